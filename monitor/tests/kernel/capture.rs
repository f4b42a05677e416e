//! What passes through a namespace, for trials that must know sequence numbers.

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::packets::Flags;
use crate::wait::deadline;

/// kernel: `include/uapi/linux/if_ether.h` `ETH_P_ALL`.
const EVERY_PROTOCOL: u16 = 3;
/// kernel: `include/linux/socket.h` `AF_PACKET`.
const PACKET: i32 = 17;
const TCP: u8 = 6;

/// A segment that passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) from: SocketAddr,
    pub(crate) to: SocketAddr,
    pub(crate) flags: Flags,
    /// Payload bytes.
    pub(crate) bytes: usize,
    /// The sequence number after it.
    pub(crate) next: u32,
}

/// Sees every packet on every device of a namespace from its opening on.
#[derive(Debug)]
pub(crate) struct Capture(Socket);

impl Capture {
    /// In the calling thread's namespace.
    pub(crate) fn open() -> Result<Self> {
        // Without link-layer headers.
        let protocol = Protocol::from(i32::from(EVERY_PROTOCOL.to_be()));
        let socket =
            Socket::new(Domain::from(PACKET), Type::DGRAM, Some(protocol)).context("no packet socket")?;
        socket.set_read_timeout(Some(deadline()))?;
        Ok(Self(socket))
    }

    /// The next segment that is wanted.
    pub(crate) fn next(&self, is_wanted: impl Fn(&Passed) -> bool) -> Result<Passed> {
        let mut packet = [0; 256];
        loop {
            let length = rustix::net::recv(&self.0, &mut packet, rustix::net::RecvFlags::empty())
                .context("no such segment passed")?
                .0;
            let passed = packet.get(..length).and_then(parse);
            if let Some(passed) = passed.filter(&is_wanted) {
                return Ok(passed);
            }
        }
    }
}

fn parse(packet: &[u8]) -> Option<Passed> {
    let (header, end, protocol, from, to) = match packet.first()? >> 4 {
        4 => {
            let (header, end) = (usize::from(packet.first()? & 0xf) * 4, length(packet, 2)?);
            (header, end, *packet.get(9)?, address::<4>(packet, 12)?, address::<4>(packet, 16)?)
        }
        6 => {
            let header = 40;
            let end = header + length(packet, 4)?;
            (header, end, *packet.get(6)?, address::<16>(packet, 8)?, address::<16>(packet, 24)?)
        }
        _ => return None,
    };
    let tcp = packet.get(header..).filter(|_| protocol == TCP)?;
    let port = |at| Some(u16::from_be_bytes(bytes(tcp, at)?));
    let payload = end.checked_sub(header + usize::from(*tcp.get(12)? >> 4) * 4)?;
    let flags = Flags::of(*tcp.get(13)?);
    let marks = u32::from(flags.has(Flags::SYN)) + u32::from(flags.has(Flags::FIN));
    let sequence = u32::from_be_bytes(bytes(tcp, 4)?);
    Some(Passed {
        from: SocketAddr::new(from, port(0)?),
        to: SocketAddr::new(to, port(2)?),
        flags,
        bytes: payload,
        next: sequence.wrapping_add(u32::try_from(payload).ok()?).wrapping_add(marks),
    })
}

fn length(packet: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_be_bytes(bytes(packet, at)?).into())
}

fn address<const N: usize>(packet: &[u8], at: usize) -> Option<IpAddr>
where
    [u8; N]: Into<IpAddr>,
{
    Some(bytes::<N>(packet, at)?.into())
}

fn bytes<const N: usize>(packet: &[u8], at: usize) -> Option<[u8; N]> {
    packet.get(at..at + N)?.try_into().ok()
}
