//! The TCP sockets of a network namespace, asked from the kernel by `NETLINK_SOCK_DIAG`: those that listen, and open connections.
//!
//! The kernel answers such a dump within the system calls that ask for it, so nothing here waits. Sockets in LISTEN have a hash
//! table of their own (`inet_hashinfo.lhash2`), so asking for them costs nothing for connections. Connections are handed on one by
//! one and never collected: there may be a hundred thousand.

mod message;

use std::cell::Cell;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use self::message::{Answer, Progress, Wanted, connection, listener};
use crate::live::Connection;

/// Largest datagram of a dump: the kernel makes none longer than what it is read into (`netlink_recvmsg`). Twice as much, which is the
/// most that it makes, took 5 % more CPU for 50,000 connections: it falls out of the processor's cache.
const DATAGRAM_BYTES: usize = 16 * 1024;
/// Datagrams of one answer before it counts as endless. Of connections, 40 were seen to fit in one: five million of them.
const MOST_DATAGRAMS: usize = 131_072;
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

impl Dump {
    fn add(&mut self, socket: Option<ListenSocket>) {
        match socket {
            Some(socket) if self.sockets.len() < MOST_SOCKETS => self.sockets.push(socket),
            Some(_) => self.beyond += 1,
            None => {}
        }
    }
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SockDiagError {
    /// No such socket to be had.
    #[error("open a NETLINK_SOCK_DIAG socket: {0}")]
    Open(Errno),
    /// The question could not be sent.
    #[error("ask for TCP sockets: {0}")]
    Ask(Errno),
    /// The answer could not be read.
    #[error("read the answer about TCP sockets: {0}")]
    Receive(Errno),
    /// The kernel will not.
    #[error("the kernel refuses to list TCP sockets: {0}")]
    Refused(Errno),
    /// Not the messages that this kernel interface is made of.
    #[error("the kernel's answer about TCP sockets is not understood")]
    Malformed,
}

/// The open netlink socket.
#[derive(Debug)]
pub struct SockDiag {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
    /// This kernel tells of all families at once, as far as is known.
    all_at_once: bool,
}

impl SockDiag {
    /// Opens it in the calling thread's network namespace.
    pub fn open() -> Result<Self, SockDiagError> {
        Ok(Self { socket: open_socket()?, sequence: 0, buffer: vec![0; DATAGRAM_BYTES], all_at_once: true })
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

    /// Hands on every open connection, IPv4 and IPv6. In one go where that is possible: for 50,000 of them it takes a tenth less than to go
    /// through the kernel's table twice.
    pub fn connections(&mut self, mut take: impl FnMut(&Connection)) -> Result<(), SockDiagError> {
        let some = Cell::new(false);
        let mut take = |payload: &[u8]| {
            some.set(true);
            if let Some(connection) = connection::read(payload)? {
                take(&connection);
            }
            Some(())
        };
        if self.all_at_once {
            let question = message::question_of_all(Wanted::Connections, self.next());
            let answered = self.answer(&question, &mut take);
            match answered {
                Ok(_) => return Ok(()),
                Err(SockDiagError::Refused(_)) if !some.get() => self.all_at_once = false,
                Err(error) => return Err(error),
            }
        }
        self.each(Wanted::Connections, &mut take)?;
        Ok(())
    }

    fn both_families(&mut self) -> Result<Dump, SockDiagError> {
        let mut dump = Dump::default();
        dump.interrupted = self.each(Wanted::Listeners, &mut |payload| {
            dump.add(listener::read(payload)?);
            Some(())
        })?;
        Ok(dump)
    }

    /// Lends each socket of both families; `None` says that it is not understood. Whether the table changed meanwhile.
    fn each(
        &mut self,
        wanted: Wanted,
        take: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<bool, SockDiagError> {
        let mut interrupted = false;
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            let question = message::question(family, wanted, self.next());
            match self.answer(&question, take) {
                Ok(one) => interrupted |= one,
                // A kernel without IPv6 has no such sockets.
                Err(SockDiagError::Refused(Errno::NOENT)) if family == AddressFamily::INET6 => {}
                Err(error) => return Err(error),
            }
        }
        Ok(interrupted)
    }

    const fn next(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Asks, and lends each socket of the answer.
    fn answer(
        &mut self,
        question: &[u8],
        take: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<bool, SockDiagError> {
        let answered = self.whole_answer(question, take);
        if answered.is_err() {
            // An answer that was left in the middle would be in the way of the next.
            self.socket = open_socket()?;
        }
        answered
    }

    fn whole_answer(
        &mut self,
        question: &[u8],
        take: &mut impl FnMut(&[u8]) -> Option<()>,
    ) -> Result<bool, SockDiagError> {
        send(&self.socket, question, SendFlags::empty()).map_err(SockDiagError::Ask)?;
        let mut answer = Answer::to(self.sequence);
        for _ in 0..MOST_DATAGRAMS {
            let (read, whole) = recv(&self.socket, self.buffer.as_mut_slice(), RecvFlags::TRUNC)
                .map_err(SockDiagError::Receive)?;
            let datagram = self.buffer.get(..read).filter(|_| read == whole);
            match answer.take_in(datagram.ok_or(SockDiagError::Malformed)?, take)? {
                Progress::More => {}
                Progress::Done => return Ok(answer.interrupted()),
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
    use std::io::{Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};

    use monitor_common::peer::Role;

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

    #[test]
    fn our_own_connections_are_listed_with_what_they_carried_and_who_called() {
        let mut diag = SockDiag::open().unwrap();
        // At once, and by family as on a kernel that does not know the other form.
        for (address, all_at_once) in
            [("127.0.0.1:0", true), ("[::1]:0", true), ("127.0.0.1:0", false), ("[::1]:0", false)]
        {
            diag.all_at_once = all_at_once;
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            for _ in 0..3 {
                client.write_all(b"request").unwrap();
                server.read_exact(&mut [0; 7]).unwrap();
                server.write_all(b"answer").unwrap();
                client.read_exact(&mut [0; 6]).unwrap();
            }
            // What the server sent last may not be acknowledged yet, and then it is not known who called.
            client.write_all(b"request").unwrap();
            server.read_exact(&mut [0; 7]).unwrap();
            let ends = [(&client, &server, Role::Client), (&server, &client, Role::Server)];
            for (end, other, caller) in ends {
                let (local, remote) = (end.local_addr().unwrap(), other.local_addr().unwrap());
                let mut found = None;
                diag.connections(|connection| {
                    if (connection.local, connection.remote) == (local, remote) {
                        found = Some(*connection);
                    }
                })
                .unwrap();
                let found = found.unwrap();
                assert!(found.established && found.exchanges == 3, "{found:?}");
                assert!(found.caller.is_none_or(|role| role == caller), "{found:?}");
            }
        }
    }
}
