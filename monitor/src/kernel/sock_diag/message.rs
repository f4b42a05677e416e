//! Bytes of the `sock_diag` protocol (`linux/sock_diag.h`, `linux/inet_diag.h`): the question, and datagrams of the answer.
//!
//! Pure, with checked reads only. Netlink is in the byte order of the host, addresses and ports are in that of the network.

pub(super) mod connection;
pub(super) mod listener;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::AddressFamily;

use super::SockDiagError;

/// `struct nlmsghdr`.
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_req_v2`.
const QUESTION_BYTES: usize = 56;
/// `struct inet_diag_req`.
const OLD_QUESTION_BYTES: usize = 60;
/// Where that has the states.
const OLD_STATES: usize = 52;
/// `struct inet_diag_msg`.
const SOCKET_BYTES: usize = 72;
/// `struct rtattr`.
const ATTRIBUTE_BYTES: usize = 4;

/// `SOCK_DIAG_BY_FAMILY`, in questions and answers.
const BY_FAMILY: u16 = 20;
/// `TCPDIAG_GETSOCK`, in questions and answers: the older form of it.
const TCP_OF_ALL_FAMILIES: u16 = 18;
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
/// `TCP_ESTABLISHED`.
const ESTABLISHED: u8 = 1;
/// `TCP_CLOSE_WAIT`.
const CLOSE_WAIT: u8 = 8;
/// `TCP_LISTEN`.
const LISTEN: u8 = 10;
/// `INET_DIAG_INFO`; what to ask for is a bit mask that begins with attribute 1.
const INFO: u16 = 2;
/// `INET_DIAG_SKMEMINFO`.
const MEMORY: u16 = 7;

/// Which sockets are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// In LISTEN, with their memory counters.
    Listeners,
    /// In ESTABLISHED or `CLOSE_WAIT`, with `struct tcp_info`.
    Connections,
}

impl Wanted {
    const fn states(self) -> u32 {
        match self {
            Self::Listeners => 1 << LISTEN,
            Self::Connections => 1 << ESTABLISHED | 1 << CLOSE_WAIT,
        }
    }

    const fn attributes(self) -> u8 {
        match self {
            Self::Listeners => 1 << (MEMORY - 1),
            Self::Connections => 1 << (INFO - 1),
        }
    }
}

/// Whether the answer goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// With the next datagram.
    More,
    /// That was all.
    Done,
}

/// Asks for every such TCP socket of the family.
pub(super) fn question(
    family: AddressFamily,
    wanted: Wanted,
    sequence: u32,
) -> [u8; HEADER_BYTES + QUESTION_BYTES] {
    let mut bytes = [0; HEADER_BYTES + QUESTION_BYTES];
    put_header(&mut bytes, BY_FAMILY, sequence);
    let family = u8::try_from(family.as_raw()).unwrap_or(0);
    put(&mut bytes, HEADER_BYTES, &[family, TCP, wanted.attributes(), 0]);
    put(&mut bytes, HEADER_BYTES + 4, &wanted.states().to_ne_bytes());
    // The rest would name a single socket, and is zero.
    bytes
}

/// The same of all families at once, in the form that is older than the one by family (`inet_diag_dump_compat`, 5.10 to 6.18).
pub(super) fn question_of_all(wanted: Wanted, sequence: u32) -> [u8; HEADER_BYTES + OLD_QUESTION_BYTES] {
    let mut bytes = [0; HEADER_BYTES + OLD_QUESTION_BYTES];
    put_header(&mut bytes, TCP_OF_ALL_FAMILIES, sequence);
    // The family would be that of a single socket.
    put(&mut bytes, HEADER_BYTES, &[0, 0, 0, wanted.attributes()]);
    put(&mut bytes, HEADER_BYTES + OLD_STATES, &wanted.states().to_ne_bytes());
    bytes
}

fn put_header(bytes: &mut [u8], kind: u16, sequence: u32) {
    let length = u32::try_from(bytes.len()).unwrap_or(0);
    put(bytes, 0, &length.to_ne_bytes());
    put(bytes, 4, &kind.to_ne_bytes());
    put(bytes, 6, &REQUEST_DUMP.to_ne_bytes());
    put(bytes, 8, &sequence.to_ne_bytes());
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = bytes.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// The answer to one question, as it comes.
#[derive(Debug)]
pub(super) struct Answer {
    sequence: u32,
    interrupted: bool,
}

impl Answer {
    /// To the question with this number.
    pub(super) const fn to(sequence: u32) -> Self {
        Self { sequence, interrupted: false }
    }

    /// Whether the kernel said that the table changed meanwhile.
    pub(super) const fn interrupted(&self) -> bool {
        self.interrupted
    }

    /// Lends the sockets of one datagram. Messages that answer an earlier question are passed over.
    pub(super) fn take_in(
        &mut self,
        mut bytes: &[u8],
        socket: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<Progress, SockDiagError> {
        while !bytes.is_empty() {
            let Header { length, kind, flags, sequence } =
                Header::read(bytes).ok_or(SockDiagError::Malformed)?;
            let payload = bytes.get(HEADER_BYTES..length).ok_or(SockDiagError::Malformed)?;
            // The last message of a datagram need not be padded.
            bytes = bytes.get(padded(length)..).unwrap_or_default();
            if sequence != self.sequence {
                continue;
            }
            self.interrupted |= flags & INTERRUPTED != 0;
            match kind {
                // The result of the dump as a whole.
                DONE if payload.is_empty() => return Ok(Progress::Done),
                DONE | ERROR => return result(payload),
                BY_FAMILY | TCP_OF_ALL_FAMILIES => socket(payload).ok_or(SockDiagError::Malformed)?,
                // NLMSG_NOOP, or news of a kernel that we did not ask for.
                _ => {}
            }
        }
        Ok(Progress::More)
    }
}

fn result(payload: &[u8]) -> Result<Progress, SockDiagError> {
    let result = array(payload, 0).map(i32::from_ne_bytes).ok_or(SockDiagError::Malformed)?;
    match result.checked_neg() {
        Some(1..=LARGEST_ERROR) => {
            Err(SockDiagError::Refused(Errno::from_raw_os_error(result.saturating_neg())))
        }
        Some(..=0) => Ok(Progress::Done),
        Some(_) | None => Err(SockDiagError::Malformed),
    }
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

/// An address and port of `struct inet_diag_sockid`, v4-mapped ones as IPv4. `None` when it is cut short or of another family.
fn endpoint(bytes: &[u8], address: usize, port: usize) -> Option<SocketAddr> {
    let ip = match bytes.first().map(|family| AddressFamily::from_raw((*family).into()))? {
        AddressFamily::INET => IpAddr::V4(Ipv4Addr::from(array::<4>(bytes, address)?)),
        AddressFamily::INET6 => IpAddr::V6(Ipv6Addr::from(array::<16>(bytes, address)?)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_be_bytes(array(bytes, port)?)))
}

/// Looks at the attributes after the socket, one by one, until `look` has seen enough. `None` when one is cut short.
fn attributes<'a>(mut bytes: &'a [u8], mut look: impl FnMut(u16, &'a [u8]) -> bool) -> Option<()> {
    while !bytes.is_empty() {
        let length = usize::from(u16::from_ne_bytes(array(bytes, 0)?));
        if look(u16::from_ne_bytes(array(bytes, 2)?), bytes.get(ATTRIBUTE_BYTES..length)?) {
            break;
        }
        bytes = bytes.get(padded(length)..).unwrap_or_default();
    }
    Some(())
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
