//! Bytes of the `sock_diag` protocol (`linux/sock_diag.h`, `linux/inet_diag.h`): the question, and datagrams of the answer.
//!
//! Pure, with checked reads only. Netlink is in the byte order of the host, addresses and ports are in that of the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::AddressFamily;

use super::{Dump, ListenSocket, MOST_SOCKETS, SockDiagError};

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_req_v2`.
const QUESTION_BYTES: usize = 56;
/// `struct inet_diag_msg`.
const SOCKET_BYTES: usize = 72;
/// `struct rtattr`.
const ATTRIBUTE_BYTES: usize = 4;

/// `SOCK_DIAG_BY_FAMILY`, in questions and answers.
const BY_FAMILY: u16 = 20;
/// `NLMSG_ERROR`.
const ERROR: u16 = 2;
/// `NLMSG_DONE`.
const DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const REQUEST_DUMP: u16 = 0x301;
/// `MAX_ERRNO`: beyond it `Errno` panics.
const LARGEST_ERROR: i32 = 4095;
/// `NLM_F_DUMP_INTR`.
const INTERRUPTED: u16 = 0x10;

/// `IPPROTO_TCP`.
const TCP: u8 = 6;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;
/// `INET_DIAG_SKMEMINFO`; what to ask for is a bit mask that begins with attribute 1.
const MEMORY: u16 = 7;
/// `SK_MEMINFO_DROPS`, an index of 32-bit words.
const MEMORY_DROPS: usize = 8;
/// `INET_DIAG_SKV6ONLY`, which comes without being asked for.
const ONLY_V6: u16 = 11;

/// Whether the answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// With the next datagram.
    More,
    /// That was all.
    Done,
}

/// Asks for every TCP socket of the family in LISTEN, with its memory counters.
pub(super) fn question(family: AddressFamily, sequence: u32) -> [u8; HEADER_BYTES + QUESTION_BYTES] {
    let mut bytes = [0; HEADER_BYTES + QUESTION_BYTES];
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    let mut at = 0;
    let mut put = |value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
        at += value.len();
    };
    put(&length.to_ne_bytes());
    put(&BY_FAMILY.to_ne_bytes());
    put(&REQUEST_DUMP.to_ne_bytes());
    put(&sequence.to_ne_bytes());
    put(&0_u32.to_ne_bytes());
    put(&[u8::try_from(family.as_raw()).unwrap_or(0), TCP, 1 << (MEMORY - 1), 0]);
    put(&(1_u32 << LISTEN).to_ne_bytes());
    // The rest would name a single socket, and is zero.
    bytes
}

/// Adds the sockets of one datagram. Messages that answer an earlier question are passed over.
pub(super) fn take_in(mut bytes: &[u8], sequence: u32, dump: &mut Dump) -> Result<Progress, SockDiagError> {
    while !bytes.is_empty() {
        let Header { length, kind, flags, sequence: of } =
            Header::read(bytes).ok_or(SockDiagError::Malformed)?;
        let payload = bytes.get(HEADER_BYTES..length).ok_or(SockDiagError::Malformed)?;
        // The last message of a datagram need not be padded.
        bytes = bytes.get(padded(length)..).unwrap_or_default();
        if of != sequence {
            continue;
        }
        dump.interrupted |= flags & INTERRUPTED != 0;
        match kind {
            // The result of the dump as a whole.
            DONE if payload.is_empty() => return Ok(Progress::Done),
            DONE | ERROR => {
                let result = array(payload, 0).map(i32::from_ne_bytes).ok_or(SockDiagError::Malformed)?;
                return match result.checked_neg() {
                    Some(1..=LARGEST_ERROR) => {
                        Err(SockDiagError::Refused(Errno::from_raw_os_error(result.saturating_neg())))
                    }
                    Some(..=0) => Ok(Progress::Done),
                    Some(_) | None => Err(SockDiagError::Malformed),
                };
            }
            BY_FAMILY => {
                let socket = socket(payload).ok_or(SockDiagError::Malformed)?;
                match socket {
                    Some(socket) if dump.sockets.len() < MOST_SOCKETS => dump.sockets.push(socket),
                    Some(_) => dump.beyond += 1,
                    None => {}
                }
            }
            // NLMSG_NOOP, or news of a kernel that we did not ask for.
            _ => {}
        }
    }
    Ok(Progress::More)
}

struct Header {
    /// With itself; at least [`HEADER_BYTES`].
    length: usize,
    kind: u16,
    flags: u16,
    sequence: u32,
}

impl Header {
    fn read(bytes: &[u8]) -> Option<Self> {
        let length = usize::try_from(u32::from_ne_bytes(array(bytes, 0)?)).ok()?;
        Some(Self {
            length: (length >= HEADER_BYTES).then_some(length)?,
            kind: u16::from_ne_bytes(array(bytes, 4)?),
            flags: u16::from_ne_bytes(array(bytes, 6)?),
            sequence: u32::from_ne_bytes(array(bytes, 8)?),
        })
    }
}

/// `None` when it is cut short; `Some(None)` when it does not listen any more, or is of no family we asked for.
#[expect(
    clippy::option_option,
    reason = "the outer one is a malformed message, the inner one a socket to leave out"
)]
fn socket(bytes: &[u8]) -> Option<Option<ListenSocket>> {
    let number = |at| array(bytes, at).map(u32::from_ne_bytes);
    let attributes = bytes.get(SOCKET_BYTES..)?;
    let [family, state] = array(bytes, 0)?;
    let ip = match AddressFamily::from_raw(family.into()) {
        AddressFamily::INET => IpAddr::V4(Ipv4Addr::from(array::<4>(bytes, 8)?)),
        AddressFamily::INET6 => IpAddr::V6(Ipv6Addr::from(array::<16>(bytes, 8)?)),
        _ => return Some(None),
    };
    if state != LISTEN {
        return Some(None);
    }
    let interface = number(40)?;
    let cookie = u64::from(number(44)?) | u64::from(number(48)?) << 32;
    let (drops, only_v6) = known_attributes(attributes)?;
    Some(Some(ListenSocket {
        address: SocketAddr::new(ip.to_canonical(), u16::from_be_bytes(array(bytes, 4)?)),
        interface: (interface != 0).then_some(interface),
        only_v6,
        backlog: number(56)?,
        limit: number(60)?,
        drops,
        inode: number(68)?,
        uid: number(64)?,
        cookie,
    }))
}

/// Drops, and whether it is for IPv6 only. `None` when an attribute is cut short.
fn known_attributes(mut bytes: &[u8]) -> Option<(Option<u32>, Option<bool>)> {
    let (mut drops, mut only_v6) = (None, None);
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes(array(bytes, 0)?));
        let value = bytes.get(ATTRIBUTE_BYTES..length)?;
        match u16::from_ne_bytes(array(bytes, 2)?) {
            // Older kernels may have fewer words.
            MEMORY => drops = array(value, MEMORY_DROPS * 4).map(u32::from_ne_bytes),
            ONLY_V6 => only_v6 = value.first().map(|flag| *flag != 0),
            _ => {}
        }
        bytes = bytes.get(padded(length)..).unwrap_or_default();
    }
    Some((drops, only_v6))
}

/// Messages and attributes begin at multiples of four.
const fn padded(length: usize) -> usize {
    length.next_multiple_of(4)
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

#[cfg(test)]
mod tests;
