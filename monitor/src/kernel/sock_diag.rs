//! The listening TCP sockets of our own network namespace, asked from the kernel by `NETLINK_SOCK_DIAG`.
//!
//! The kernel answers such a dump within the system calls that ask for it, so nothing here waits. Only sockets in LISTEN are
//! asked for: they have a hash table of their own (`inet_hashinfo.lhash2`), so connections cost nothing.

mod message;

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use self::message::{Progress, take_in};

/// Largest datagram of a dump: `netlink_recvmsg` makes none longer than this.
const DATAGRAM_BYTES: usize = 32 * 1024;
/// Datagrams of one answer before it counts as endless: with the smallest the kernel makes, ten times [`MOST_SOCKETS`].
const MOST_DATAGRAMS: usize = 8_192;
/// Sockets kept of one answer: 16 ports of a thousand workers each. Any user of the host can open some, so there is a limit;
/// those beyond it are counted.
pub const MOST_SOCKETS: usize = 16_384;
/// How often to ask again when the table changed meanwhile.
const TRIES: usize = 3;

/// A TCP socket in LISTEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenSocket {
    /// Where it listens; v4-mapped addresses as IPv4.
    pub address: SocketAddr,
    /// Index of the interface it is bound to.
    pub interface: Option<u32>,
    /// IPv6 only; `None` for IPv4 and where the kernel does not tell.
    pub only_v6: Option<bool>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// How many may wait; the kernel admits one more.
    pub limit: u32,
    /// `sk_drops`: segments and handshakes it dropped in its life, modulo 2^32. `None` where the kernel does not tell.
    pub drops: Option<u32>,
    /// Inode number, as in `/proc/PID/fd`.
    pub inode: u32,
    /// User who made it.
    pub uid: u32,
    /// The kernel's number for it, given to no other socket until the next boot.
    pub cookie: u64,
}

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dump {
    /// At most [`MOST_SOCKETS`].
    pub sockets: Vec<ListenSocket>,
    /// How many there were beyond that.
    pub beyond: usize,
    /// The table changed while it was read, each time it was tried: sockets may be missing, or come twice.
    pub interrupted: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SockDiagError {
    /// No such socket to be had.
    #[error("open a NETLINK_SOCK_DIAG socket: {0}")]
    Open(Errno),
    /// The question could not be sent.
    #[error("ask for listening sockets: {0}")]
    Ask(Errno),
    /// The answer could not be read.
    #[error("read the answer about listening sockets: {0}")]
    Receive(Errno),
    /// The kernel will not.
    #[error("the kernel refuses to list listening sockets: {0}")]
    Refused(Errno),
    /// Not the messages that this kernel interface is made of.
    #[error("the kernel's answer about listening sockets is not understood")]
    Malformed,
}

/// The open netlink socket.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl SockDiag {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> Result<Self, SockDiagError> {
        Ok(Self { socket: open_socket()?, sequence: 0, buffer: vec![0; DATAGRAM_BYTES] })
    }

    /// Every listening socket, IPv4 and IPv6.
    pub fn listeners(&mut self) -> Result<Dump, SockDiagError> {
        let mut dump = self.both_families()?;
        for _ in 1..TRIES {
            if !dump.interrupted {
                break;
            }
            dump = self.both_families()?;
        }
        Ok(dump)
    }

    fn both_families(&mut self) -> Result<Dump, SockDiagError> {
        let mut dump = Dump::default();
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            if let Err(error) = self.one_family(family, &mut dump) {
                // A kernel without IPv6 has no such sockets.
                if family == AddressFamily::INET6 && error == SockDiagError::Refused(Errno::NOENT) {
                    continue;
                }
                // An answer that was left in the middle would be in the way of the next.
                self.socket = open_socket()?;
                return Err(error);
            }
        }
        Ok(dump)
    }

    fn one_family(&mut self, family: AddressFamily, dump: &mut Dump) -> Result<(), SockDiagError> {
        self.sequence = self.sequence.wrapping_add(1);
        let question = message::question(family, self.sequence);
        send(&self.socket, &question, SendFlags::empty()).map_err(SockDiagError::Ask)?;
        for _ in 0..MOST_DATAGRAMS {
            let (read, whole) = recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC)
                .map_err(SockDiagError::Receive)?;
            let datagram = self.buffer.get(..read).filter(|_| read == whole);
            match take_in(datagram.ok_or(SockDiagError::Malformed)?, self.sequence, dump)? {
                Progress::More => {}
                Progress::Done => return Ok(()),
            }
        }
        Err(SockDiagError::Malformed)
    }
}

/// Not blocking: if the kernel ever had nothing to say yet, that would be an error instead of a wait.
fn open_socket() -> Result<OwnedFd, SockDiagError> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))
        .map_err(SockDiagError::Open)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn our_own_listeners_are_listed_with_their_limit() {
        let mut diag = SockDiag::open().unwrap();
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let address = listener.local_addr().unwrap();
            let dump = diag.listeners().unwrap();
            let found = dump.sockets.iter().find(|socket| socket.address == address).unwrap();
            assert_eq!((found.backlog, found.drops), (0, Some(0)), "{found:?}");
            assert!(found.limit > 0 && found.inode > 0 && found.cookie > 0, "{found:?}");
            drop(listener);
            assert!(!diag.listeners().unwrap().sockets.iter().any(|socket| socket.address == address));
        }
    }
}
