//! TCP segments built by hand, for what no socket would send: spoofed handshakes, backscatter, strays.

use std::net::{IpAddr, SocketAddr};
use std::ops::BitOr;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::{SendFlags, sendto};
use socket2::{Domain, Protocol, Socket, Type};

/// Flag bits of a TCP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const FIN: Self = Self(0x01);
    pub(crate) const SYN: Self = Self(0x02);
    pub(crate) const RST: Self = Self(0x04);
    pub(crate) const PSH: Self = Self(0x08);
    pub(crate) const ACK: Self = Self(0x10);

    /// As a header has them.
    pub(crate) const fn of(bits: u8) -> Self {
        Self(bits)
    }

    /// Whether all of these are set.
    pub(crate) const fn has(self, flags: Self) -> bool {
        self.0 & flags.0 == flags.0
    }

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
    pub(crate) from: IpAddr,
    pub(crate) from_port: u16,
    pub(crate) to: IpAddr,
    pub(crate) port: u16,
    pub(crate) flags: Flags,
}

/// What else a segment says. Nothing is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Numbers {
    /// Its sequence number.
    pub(crate) sequence: u32,
    /// TTL or hop limit.
    pub(crate) ttl: u8,
}

impl Numbers {
    /// What any host of ours would set.
    const TTL: u8 = 64;

    /// With the usual TTL.
    pub(crate) const fn at(sequence: u32) -> Self {
        Self { sequence, ttl: Self::TTL }
    }
}

const TCP: u8 = 6;
const TCP_LENGTH: u8 = 20;

impl Segment {
    /// From one end of a connection to the other.
    pub(crate) const fn between(from: SocketAddr, to: SocketAddr, flags: Flags) -> Self {
        Self { from: from.ip(), from_port: from.port(), to: to.ip(), port: to.port(), flags }
    }

    /// The packet; for IPv4 the kernel fills in its identification and the IP checksum.
    fn to_packet(self, numbers: Numbers) -> Result<Vec<u8>> {
        match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                const PACKET_LENGTH: u8 = 40;
                let mut packet = vec![0x45, 0, 0, PACKET_LENGTH, 0, 0, 0, 0, numbers.ttl, TCP, 0, 0];
                packet.extend(from.octets().into_iter().chain(to.octets()));
                packet.extend(self.tcp(numbers, &from.octets(), &to.octets()));
                Ok(packet)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let mut packet = vec![0x60, 0, 0, 0, 0, TCP_LENGTH, TCP, numbers.ttl];
                packet.extend(from.octets().into_iter().chain(to.octets()));
                packet.extend(self.tcp(numbers, &from.octets(), &to.octets()));
                Ok(packet)
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                bail!("a packet between two families: {self:?}")
            }
        }
    }

    fn tcp(self, numbers: Numbers, from: &[u8], to: &[u8]) -> Vec<u8> {
        let mut tcp = Vec::with_capacity(TCP_LENGTH.into());
        tcp.extend(self.from_port.to_be_bytes());
        tcp.extend(self.port.to_be_bytes());
        tcp.extend(numbers.sequence.to_be_bytes());
        tcp.extend([0; 4]); // acknowledgement
        tcp.extend([5 << 4, self.flags.0]); // header length in words, flags
        tcp.extend([0xff, 0xff, 0, 0, 0, 0]); // window, checksum, urgent pointer
        let pseudo_header = [from, to, &[0, TCP, 0, TCP_LENGTH]].concat();
        let checksum = checksum(pseudo_header.into_iter().chain(tcp.iter().copied()));
        tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
        tcp
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

/// Raw sockets that send whole packets.
#[derive(Debug)]
pub(crate) struct RawSocket {
    v4: Socket,
    v6: Socket,
}

impl RawSocket {
    /// Opens them in the calling thread's namespace.
    pub(crate) fn open() -> Result<Self> {
        // IPPROTO_RAW: the packets bring their IP headers, and nothing is received.
        let open =
            |domain| Socket::new(domain, Type::RAW, Some(Protocol::from(255))).context("no raw socket");
        Ok(Self { v4: open(Domain::IPV4)?, v6: open(Domain::IPV6)? })
    }

    /// Sends a segment, with a sequence number that fits nothing.
    pub(crate) fn send(&self, segment: Segment) -> Result<()> {
        const SEQUENCE: u32 = 0x1000_0000;
        self.send_with(segment, Numbers::at(SEQUENCE))
    }

    /// Sends a segment with these numbers.
    pub(crate) fn send_with(&self, segment: Segment, numbers: Numbers) -> Result<()> {
        let packet = segment.to_packet(numbers)?;
        let (socket, to) =
            (if segment.to.is_ipv4() { &self.v4 } else { &self.v6 }, SocketAddr::new(segment.to, 0));
        let sent = sendto(socket, &packet, SendFlags::empty(), &to).context("cannot send a raw packet")?;
        ensure!(sent == packet.len(), "a raw packet was cut");
        Ok(())
    }
}
