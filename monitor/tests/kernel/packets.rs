//! TCP segments built by hand, for what no socket would send: spoofed handshakes, backscatter, strays.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::ops::BitOr;

use anyhow::{Context as _, Result, ensure};
use rustix::net::{SendFlags, sendto};
use socket2::{Domain, Protocol, Socket, Type};

/// Flag bits of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: Self = Self(0x01);
    pub(crate) const SYN: Self = Self(0x02);
    pub(crate) const RST: Self = Self(0x04);
    pub(crate) const ACK: Self = Self(0x10);
}

impl Flags {
    /// The bits, as a filter compares them.
    pub(crate) fn bits(self) -> u32 {
        self.0.into()
    }
}

impl BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// A segment without payload, from anyone to anyone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) from: Ipv4Addr,
    pub(crate) from_port: u16,
    pub(crate) to: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) flags: Flags,
}

const IP_HEADER: usize = 20;
const TCP_HEADER: usize = 20;

impl Segment {
    /// The packet; the kernel fills in its identification and the IP checksum.
    fn to_packet(self, sequence: u32) -> [u8; IP_HEADER + TCP_HEADER] {
        const PACKET_LENGTH: u16 = 40;
        const TCP_LENGTH: u16 = 20;
        const TCP: u8 = 6;
        let mut tcp = Vec::with_capacity(TCP_HEADER);
        tcp.extend(self.from_port.to_be_bytes());
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend([0; 4]); // acknowledgement
        tcp.extend([5 << 4, self.flags.0]); // header length in words, flags
        tcp.extend([0xff, 0xff, 0, 0, 0, 0]); // window, checksum, urgent pointer

        let pseudo_header = [0, TCP].into_iter().chain(TCP_LENGTH.to_be_bytes());
        let summed = self.from.octets().into_iter().chain(self.to.octets()).chain(pseudo_header);
        let checksum = checksum(summed.chain(tcp.iter().copied()));

        let mut packet = [0; IP_HEADER + TCP_HEADER];
        let (ip_part, tcp_part) = packet.split_at_mut(IP_HEADER);
        tcp_part.copy_from_slice(&tcp);
        tcp_part[16..18].copy_from_slice(&checksum.to_be_bytes());
        ip_part[0] = 0x45; // version and header length in words
        ip_part[2..4].copy_from_slice(&PACKET_LENGTH.to_be_bytes());
        ip_part[8] = 64; // time to live
        ip_part[9] = TCP;
        ip_part[12..16].copy_from_slice(&self.from.octets());
        ip_part[16..20].copy_from_slice(&self.to.octets());
        packet
    }
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

/// A raw socket that sends whole packets.
#[derive(Debug)]
pub(crate) struct RawSocket(Socket);

impl RawSocket {
    /// Opens one in the calling thread's namespace.
    pub(crate) fn open() -> Result<Self> {
        // IPPROTO_RAW: the packets bring their IP headers, and nothing is received.
        let socket =
            Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(255))).context("no raw socket")?;
        Ok(Self(socket))
    }

    /// Sends a segment, with a sequence number that fits nothing.
    pub(crate) fn send(&self, segment: Segment) -> Result<()> {
        const SEQUENCE: u32 = 0x1000_0000;
        self.send_at(segment, SEQUENCE)
    }

    /// Sends a segment with a sequence number.
    pub(crate) fn send_at(&self, segment: Segment, sequence: u32) -> Result<()> {
        let packet = segment.to_packet(sequence);
        let to = SocketAddrV4::new(segment.to, 0);
        let sent = sendto(&self.0, &packet, SendFlags::empty(), &to).context("cannot send a raw packet")?;
        ensure!(sent == packet.len(), "a raw packet was cut");
        Ok(())
    }
}
