//! Layout to places: which parts of the kernel's structs are read in one go, and where each field is in them. Pure.

use monitor_common::layout::{Field, Layout};
use monitor_common::places::{
    COMMON_BYTES, COMMONS, Common, INET_BYTES, INETS, Inet, PART_BYTES, Part, Places, SKB_PART_BYTES, SKBS,
    Skb, TCPS, Tcp, ZEROS,
};

/// A field to be picked, and the bytes that the kernel side takes for it.
type Wanted = (usize, Field, u16);

/// Parts begin at multiples of this, as the buffer does.
const ALIGNMENT: u16 = 8;

/// Groups the fields; `None` when they do not fit into the parts that the kernel side has, or are of another size.
pub fn places(layout: &Layout) -> Option<Places> {
    let [common] = group::<COMMONS, 1>(&common(layout), COMMON_BYTES)?;
    let [inet] = group::<INETS, 1>(&inet(layout), INET_BYTES)?;
    Some(Places {
        common,
        inet,
        tcp: group::<TCPS, _>(&tcp(layout), PART_BYTES)?,
        skb: group::<SKBS, _>(&skb(layout)?, SKB_PART_BYTES)?,
    })
}

/// As the kernel side's read-only global holds it.
pub fn places_bytes(places: &Places) -> Vec<u8> {
    let Places { common, inet, tcp, skb } = places;
    let mut bytes = part_bytes(common);
    bytes.extend(part_bytes(inet));
    bytes.extend(tcp.iter().flat_map(part_bytes));
    bytes.extend(skb.iter().flat_map(part_bytes));
    bytes
}

fn part_bytes<const N: usize>(part: &Part<N>) -> Vec<u8> {
    let Part { offset, bytes, at } = part;
    [offset, bytes].into_iter().chain(at).flat_map(|number| number.to_le_bytes()).collect()
}

fn common(layout: &Layout) -> [Wanted; COMMONS] {
    [
        (Common::Family as usize, layout.family, 2),
        (Common::RcvSaddr as usize, layout.rcv_saddr, 4),
        (Common::Daddr as usize, layout.daddr, 4),
        (Common::V6RcvSaddr as usize, layout.v6_rcv_saddr, 16),
        (Common::V6Daddr as usize, layout.v6_daddr, 16),
        (Common::Dport as usize, layout.dport, 2),
        (Common::Net as usize, layout.net, 8),
        (Common::Prot as usize, layout.prot, 8),
        (Common::State as usize, layout.state, 1),
        (Common::Flags as usize, layout.sk_flags, 8),
    ]
}

fn inet(layout: &Layout) -> [Wanted; INETS] {
    [(Inet::Sport as usize, layout.inet_sport, 2), (Inet::McTtl as usize, layout.mc_ttl, 1)]
}

fn tcp(layout: &Layout) -> [Wanted; TCPS] {
    [
        (Tcp::BytesReceived as usize, layout.bytes_received, 8),
        (Tcp::BytesAcked as usize, layout.bytes_acked, 8),
        (Tcp::Lsndtime as usize, layout.lsndtime, 4),
        (Tcp::Lrcvtime as usize, layout.lrcvtime, 4),
        (Tcp::RcvTstamp as usize, layout.rcv_tstamp, 4),
        (Tcp::DataSegsIn as usize, layout.data_segs_in, 4),
        (Tcp::DataSegsOut as usize, layout.data_segs_out, 4),
        (Tcp::SrttUs as usize, layout.srtt_us, 4),
        (Tcp::RcvNxt as usize, layout.rcv_nxt, 4),
        (Tcp::CopiedSeq as usize, layout.copied_seq, 4),
        (Tcp::SndNxt as usize, layout.snd_nxt, 4),
        (Tcp::SndUna as usize, layout.snd_una, 4),
        (Tcp::ProbesOut as usize, layout.probes_out, 1),
    ]
}

/// `None`: the control block's fields would end beyond what an offset can say.
fn skb(layout: &Layout) -> Option<[Wanted; SKBS]> {
    let in_control_block =
        |field: Field| layout.skb_cb.offset.checked_add(field.offset).map(|offset| Field { offset, ..field });
    // One byte before 6.18, two since; the flags are the low one.
    let flags = Field { size: layout.cb_tcp_flags.size.min(1), ..in_control_block(layout.cb_tcp_flags)? };
    Some([
        (Skb::Head as usize, layout.skb_head, 8),
        (Skb::Dev as usize, layout.skb_dev, 8),
        (Skb::Seq as usize, in_control_block(layout.cb_seq)?, 4),
        (Skb::EndSeq as usize, in_control_block(layout.cb_end_seq)?, 4),
        (Skb::Flags as usize, flags, 1),
        (Skb::Iif as usize, layout.skb_iif, 4),
        (Skb::NetworkHeader as usize, layout.network_header, 2),
        (Skb::TransportHeader as usize, layout.transport_header, 2),
        (Skb::Protocol as usize, layout.skb_protocol, 2),
    ])
}

/// As few parts as possible, from the lowest offset up, each as long as it may be. Fields that the kernel lacks stay at 0.
fn group<const N: usize, const PARTS: usize>(
    wanted: &[Wanted],
    most_bytes: usize,
) -> Option<[Part<N>; PARTS]> {
    let mut present: Vec<Wanted> =
        wanted.iter().copied().filter(|(_, field, _)| field.is_present()).collect();
    present.sort_unstable_by_key(|(_, field, _)| field.offset);
    let mut parts = [Part::NONE; PARTS];
    let mut used = 0usize;
    for (index, field, size) in present {
        if field.size != size || field.bits != 0 || field.offset % size.min(ALIGNMENT) != 0 {
            return None;
        }
        let (start, end) = (u64::from(field.offset), u64::from(field.offset) + u64::from(size));
        let fits = |part: &Part<N>| end - part.offset <= most_bytes as u64;
        if !used.checked_sub(1).and_then(|last| parts.get(last)).is_some_and(fits) {
            if usize::from(size + ALIGNMENT) > most_bytes {
                return None;
            }
            // So that each field is aligned in the buffer as it is in the struct.
            parts.get_mut(used)?.offset = start - start % u64::from(ALIGNMENT);
            used += 1;
        }
        let part = parts.get_mut(used.checked_sub(1)?)?;
        part.bytes = part.bytes.max(end - part.offset);
        *part.at.get_mut(index)? = ZEROS as u64 + start - part.offset;
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(offset: u16, size: u16) -> Field {
        Field { offset, size, ..Field::default() }
    }

    #[test]
    fn neighbours_are_read_together_and_nothing_is_longer_than_the_buffer() {
        let wanted = [
            (0, field(1400, 8), 8),
            (1, field(1250, 1), 1),
            (2, field(1264, 4), 4),
            (3, Field::default(), 4),
            (4, field(1500, 4), 4),
        ];
        let [one, two, three] = group::<5, 3>(&wanted, 104).unwrap();
        assert_eq!((one.offset, one.bytes, one.at), (1248, 20, [0, 18, 32, 0, 0]));
        assert_eq!((two.offset, two.bytes, two.at), (1400, 104, [16, 0, 0, 0, 116]));
        assert_eq!(three, Part::NONE);
        assert_eq!(group::<5, 1>(&wanted, 104), None, "one part is not enough");
    }

    #[test]
    fn a_field_of_another_size_is_refused() {
        assert_eq!(group::<1, 2>(&[(0, field(8, 8), 4)], 64), None);
        assert_eq!(group::<1, 2>(&[(0, field(8, 128), 128)], 64), None);
        assert_eq!(group::<1, 2>(&[(0, field(10, 4), 4)], 64), None, "or at an odd place");
    }

    #[test]
    fn a_control_block_beyond_every_struct_is_refused() {
        let layout = Layout { skb_cb: field(65_528, 48), cb_seq: field(8, 4), ..Layout::default() };
        assert_eq!(places(&layout), None);
        let near = Layout { skb_cb: field(40, 48), cb_seq: field(8, 4), ..Layout::default() };
        let found = places(&near).unwrap().skb;
        assert!(found.iter().any(|part| part.offset == 48), "{found:?}");
    }

    #[test]
    fn the_bytes_are_as_many_as_the_kernel_side_expects() {
        assert_eq!(places_bytes(&Places::NONE).len(), size_of::<Places>());
    }
}
