//! What an incoming segment tells, taken before it was freed: the one that provoked a reset.

use core::mem::MaybeUninit;

use monitor_common::peer::Tuple;
use monitor_common::places::{Part, SKB_PART_BYTES, SKB_PARTS, SKBS, Skb, ZEROS};

use crate::fields::{
    Copied, byte, clear, copy_sixteen, field, four_bytes_at, mapped_words, number, two_addresses_at,
    two_bytes_at,
};
use crate::maps::PLACES;

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

const ETH_P_IP: u16 = 0x0800;
/// Offsets that the wire formats fix: RFC 791, RFC 8200, RFC 9293.
const IPV4_TTL: u64 = 8;
const IPV4_SOURCE: u64 = 12;
const IPV6_HOP_LIMIT: u64 = 7;
const IPV6_SOURCE: u64 = 8;
const IPV6_DESTINATION: u64 = 24;
const IPV4_LENGTH: u64 = 2;
const IPV6_PAYLOAD_LENGTH: u64 = 4;
const IPV6_HEADER_BYTES: u32 = 40;
const TCP_SEQUENCE: u64 = 4;
const TCP_OFFSET: u64 = 12;

/// A segment. `tcp_v4_rcv` and `tcp_v6_rcv` have made both headers linear and filled the control block before any reset is
/// decided.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Segment {
    head: u64,
    /// 0 once the segment was queued to a socket.
    dev: u64,
    seq: u32,
    end_seq: u32,
    pub(crate) ifindex: u32,
    network_header: u16,
    transport_header: u16,
    protocol: u16,
    flags: u8,
    reserved: u8,
}

impl Segment {
    /// Of an `sk_buff`.
    #[inline(always)]
    pub(crate) fn of(skb: u64, room: &mut MaybeUninit<Self>) -> &mut Self {
        // SAFETY: nothing but integers.
        let segment = unsafe { clear(room) };
        let mut part = 0;
        while part < SKB_PARTS {
            if !read_part(skb, part as u32, segment) {
                break;
            }
            part += 1;
        }
        segment
    }

    /// Of an `sk_buff` that TCP has not seen, or not as its own: numbers and flags come from the headers themselves.
    #[inline(always)]
    pub(crate) fn of_packet(skb: u64, room: &mut MaybeUninit<Self>) -> &mut Self {
        let segment = Self::of(skb, room);
        let tcp = segment.head + segment.transport_header as u64;
        segment.seq = u32::from_be_bytes(four_bytes_at(tcp + TCP_SEQUENCE));
        let [offset, flags, ..] = four_bytes_at(tcp + TCP_OFFSET);
        segment.flags = flags;
        let ip_header = segment.transport_header.wrapping_sub(segment.network_header) as u32;
        let packet = if segment.is_ipv4() {
            two_bytes_at(segment.ip() + IPV4_LENGTH) as u32
        } else {
            two_bytes_at(segment.ip() + IPV6_PAYLOAD_LENGTH) as u32 + IPV6_HEADER_BYTES
        };
        let headers = ip_header + (offset as u32 >> 4) * 4;
        segment.end_seq = segment
            .seq
            .wrapping_add(if packet > headers { packet - headers } else { 0 })
            .wrapping_add(u32::from(flags & SYN != 0))
            .wrapping_add(u32::from(flags & FIN != 0));
        segment
    }

    #[inline(always)]
    fn ip(&self) -> u64 {
        self.head + self.network_header as u64
    }

    #[inline(always)]
    fn is_ipv4(&self) -> bool {
        // By the packet and not by the socket's family: a dual-stack socket receives IPv4 too.
        u16::from_be(self.protocol) == ETH_P_IP
    }

    /// The other port and ours.
    #[inline(always)]
    fn ports(&self) -> (u16, u16) {
        let ports = four_bytes_at(self.head + self.transport_header as u64);
        (u16::from_be_bytes([ports[0], ports[1]]), u16::from_be_bytes([ports[2], ports[3]]))
    }

    /// Our port, host order.
    #[inline(always)]
    pub(crate) fn local_port(&self) -> u16 {
        self.ports().1
    }

    /// The four-tuple as this host sees it: the segment's destination is our end.
    #[inline(always)]
    pub(crate) fn tuple<'a>(&self, netns: u32, room: &'a mut MaybeUninit<Tuple>) -> &'a Tuple {
        // SAFETY: there is room for one.
        unsafe { write_tuple(self, netns, room.as_mut_ptr()) };
        // SAFETY: written above, every field of it.
        unsafe { room.assume_init_ref() }
    }

    /// Namespace of the device; 0 once the segment was queued to a socket, which clears `dev`.
    #[inline(always)]
    pub(crate) fn netns(&self) -> u32 {
        if self.dev == 0 {
            return 0;
        }
        let net = number(self.dev, field!(dev_net));
        number(net, field!(net_inum)) as u32
    }

    /// Flag byte of the TCP header.
    #[inline(always)]
    pub(crate) fn flags(&self) -> u8 {
        self.flags
    }

    /// A SYN that opens: no ACK with it.
    #[inline(always)]
    pub(crate) fn opens(&self) -> bool {
        opens(self.flags)
    }

    /// First sequence number.
    #[inline(always)]
    pub(crate) fn sequence(&self) -> u32 {
        self.seq
    }

    /// Payload bytes.
    #[inline(always)]
    pub(crate) fn payload(&self) -> u32 {
        self.end_seq
            .wrapping_sub(self.seq)
            .wrapping_sub(u32::from(self.flags & SYN != 0))
            .wrapping_sub(u32::from(self.flags & FIN != 0))
    }

    /// TTL or hop limit.
    #[inline(always)]
    pub(crate) fn ttl(&self) -> u8 {
        ttl_at(self.ip(), self.is_ipv4())
    }
}

/// TTL or hop limit of an `sk_buff`, where nothing else of it is asked for: reading all of a [`Segment`] took some 300 instructions more for
/// each `connect()` (`cargo xtask kernel-test --costs 6.18`).
#[inline(always)]
pub(crate) fn ttl_of(skb: u64, is_ipv4: bool) -> u8 {
    ttl_at(number(skb, field!(skb_head)) + number(skb, field!(network_header)), is_ipv4)
}

#[inline(always)]
fn ttl_at(ip: u64, is_ipv4: bool) -> u8 {
    byte(ip + if is_ipv4 { IPV4_TTL } else { IPV6_HOP_LIMIT })
}

/// In a frame of its own, for the sake of the stack.
///
/// # Safety
/// `tuple` has room for one.
#[inline(never)]
unsafe fn write_tuple(segment: &Segment, netns: u32, tuple: *mut Tuple) {
    let ip = segment.ip();
    let (remote_port, local_port) = segment.ports();
    // SAFETY: the caller's promise; only addresses inside the tuple are taken.
    let (remote, local) = unsafe { (&raw mut (*tuple).remote_addr, &raw mut (*tuple).local_addr) };
    if segment.is_ipv4() {
        let [source, destination] = two_addresses_at(ip + IPV4_SOURCE);
        // SAFETY: addresses are aligned to 8 in a tuple.
        unsafe { remote.cast::<[u64; 2]>().write_volatile(mapped_words(source)) };
        // SAFETY: as above.
        unsafe { local.cast::<[u64; 2]>().write_volatile(mapped_words(destination)) };
    } else {
        // SAFETY: both have sixteen bytes.
        unsafe { copy_sixteen(remote, ip + IPV6_SOURCE) };
        // SAFETY: as above.
        unsafe { copy_sixteen(local, ip + IPV6_DESTINATION) };
    }
    // SAFETY: the caller's promise.
    unsafe { (&raw mut (*tuple).netns).write(netns) };
    // SAFETY: as above.
    unsafe { (&raw mut (*tuple).local_port).write(local_port) };
    // SAFETY: as above.
    unsafe { (&raw mut (*tuple).remote_port).write(remote_port) };
}

/// Whether flags are those of a SYN that opens: no ACK with it.
#[inline(always)]
pub(crate) const fn opens(flags: u8) -> bool {
    flags & (SYN | ACK) == SYN
}

/// Flag byte of a segment's TCP header, without the rest of it. Only where TCP has filled its control block.
#[inline(always)]
pub(crate) fn flags_of(skb: u64) -> u8 {
    byte(skb + field!(skb_cb).offset as u64 + field!(cb_tcp_flags).offset as u64)
}

/// Whether a packet is IPv4, without the rest of it.
#[inline(always)]
pub(crate) fn is_ipv4(skb: u64) -> bool {
    u16::from_be(number(skb, field!(skb_protocol)) as u16) == ETH_P_IP
}

/// Adds what one part of the `sk_buff` has. `false` when there is no such part.
#[inline(never)]
fn read_part(skb: u64, part: u32, segment: &mut Segment) -> bool {
    if part as usize >= SKB_PARTS {
        return false;
    }
    // SAFETY: `part` is below the number of parts; only an address inside the static is taken.
    let part = unsafe { (&raw const PLACES.skb).cast::<Part<SKBS>>().add(part as usize) };
    let mut copied = Copied::<{ ZEROS + SKB_PART_BYTES }>::room();
    // SAFETY: `part` points into PLACES.
    if !unsafe { copied.fill(skb, part) } {
        return false;
    }
    macro_rules! pick {
        ($field:ident as $number:ty) => {
            // SAFETY: copied above, and of the size that the daemon requires.
            unsafe { copied.pick::<$number, SKBS>(part, Skb::$field as usize) }
        };
    }
    segment.head |= pick!(Head as u64);
    segment.dev |= pick!(Dev as u64);
    segment.seq |= pick!(Seq as u32);
    segment.end_seq |= pick!(EndSeq as u32);
    segment.flags |= pick!(Flags as u8);
    segment.ifindex |= pick!(Iif as u32);
    segment.network_header |= pick!(NetworkHeader as u16);
    segment.transport_header |= pick!(TransportHeader as u16);
    segment.protocol |= pick!(Protocol as u16);
    true
}
