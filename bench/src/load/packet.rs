//! A SYN as raw bytes: what a scanner sends, at less cost to the sender than a socket.

use std::net::Ipv4Addr;

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;
/// A packet without payload.
pub(super) type Packet = [u8; IP_HEADER + TCP_HEADER];

/// A SYN with valid checksums; the kernel fills in the IP header's.
pub(super) fn syn(from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Packet {
    const PACKET_LENGTH: u16 = 40;
    const TCP_LENGTH: u16 = 20;
    const TCP: u8 = 6;
    const SYN: u8 = 2;
    let mut packet = [0; IP_HEADER + TCP_HEADER];
    let (ip, tcp) = packet.split_at_mut(IP_HEADER);
    tcp[0..2].copy_from_slice(&from.1.to_be_bytes());
    tcp[2..4].copy_from_slice(&to.1.to_be_bytes());
    tcp[4] = 1; // sequence number, any
    tcp[12] = 5 << 4; // header length in words
    tcp[13] = SYN;
    tcp[14..16].copy_from_slice(&u16::MAX.to_be_bytes()); // window
    let pseudo_header = [0, TCP].into_iter().chain(TCP_LENGTH.to_be_bytes());
    let summed = from.0.octets().into_iter().chain(to.0.octets()).chain(pseudo_header);
    let checksum = checksum(summed.chain(tcp.iter().copied()));
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    ip[0] = 0x45; // version, header length in words
    ip[2..4].copy_from_slice(&PACKET_LENGTH.to_be_bytes());
    ip[8] = 64; // time to live
    ip[9] = TCP;
    ip[12..16].copy_from_slice(&from.0.octets());
    ip[16..20].copy_from_slice(&to.0.octets());
    packet
}

/// The internet checksum of an even number of bytes.
fn checksum(bytes: impl Iterator<Item = u8>) -> u16 {
    let (mut sum, mut high) = (0_u32, None);
    for byte in bytes {
        match high.take() {
            None => high = Some(byte),
            Some(high) => sum += u32::from(u16::from_be_bytes([high, byte])),
        }
    }
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, upper, lower] = (folded + (folded >> 16)).to_be_bytes();
    !u16::from_be_bytes([upper, lower])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_header_with_its_checksum_is_zero() {
        let packet = syn((Ipv4Addr::LOCALHOST, 4_000), (Ipv4Addr::new(127, 0, 0, 2), 6_000));
        let pseudo_header = packet[12..20].iter().copied().chain([0, 6, 0, 20]);
        assert_eq!(checksum(pseudo_header.chain(packet[20..].iter().copied())), 0);
    }

    #[test]
    fn the_checksum_is_that_of_rfc_1071() {
        let example = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(checksum(example.into_iter()), !0xddf2);
    }
}
