//! Sockets to make traffic with: a service in one of three address families, and connected pairs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use crate::clock::Moment;
use crate::expected::Ends;
use crate::ledger::Role;
use crate::oracle::{self, state};
use crate::packets::Flags;
use crate::wait::deadline;

/// A port that no other trial uses, and hardly one of another run beside this one: the daemon counts ports over all
/// namespaces. Below the ports that the kernel gives out.
pub(crate) fn unique_port() -> u16 {
    const FIRST: u32 = 2_000;
    const RUNS: u32 = 50;
    const OF_A_RUN: u32 = 600;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let run = std::process::id() % RUNS;
    let port = FIRST + run * OF_A_RUN + NEXT.fetch_add(1, Ordering::Relaxed) % OF_A_RUN;
    u16::try_from(port).unwrap_or(u16::MAX)
}

/// How the two ends address each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// Plain IPv4.
    V4,
    /// Plain IPv6.
    V6,
    /// IPv4 on the wire between IPv6 sockets: the server is dual-stack, the client connects to `::ffff:a.b.c.d`.
    Mapped,
}

impl Family {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::V4, Self::V6, Self::Mapped];

    /// The name in a trial's name.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
            Self::Mapped => "v4-mapped",
        }
    }
}

/// Where a service is, and from where its clients come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// As the users of the daemon see the server.
    pub(crate) server: IpAddr,
    /// As they see the client.
    pub(crate) client: IpAddr,
    /// The service port.
    pub(crate) port: u16,
    pub(crate) family: Family,
}

impl Place {
    /// On loopback, with a port of its own and different addresses of server and client.
    pub(crate) fn on_loopback(family: Family) -> Self {
        let (server, client) = match family {
            Family::V4 | Family::Mapped => {
                (IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), Ipv4Addr::new(127, 0, 0, 3).into())
            }
            Family::V6 => (
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xa).into(),
                Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xb).into(),
            ),
        };
        Self { server, client, port: unique_port(), family }
    }

    /// Between two addresses of one family, with a port of its own.
    pub(crate) fn between(server: IpAddr, client: IpAddr) -> Self {
        let family = if server.is_ipv4() { Family::V4 } else { Family::V6 };
        Self { server, client, port: unique_port(), family }
    }

    /// The same at another port.
    pub(crate) const fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// The address as the sockets of this family write it.
    fn written(&self, address: IpAddr) -> IpAddr {
        match (self.family, address) {
            (Family::Mapped, IpAddr::V4(v4)) => v4.to_ipv6_mapped().into(),
            (_, address) => address,
        }
    }

    fn socket(&self, protocol: Protocol) -> Result<Socket> {
        let domain = if self.family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::STREAM, Some(protocol))?;
        if self.family == Family::Mapped {
            socket.set_only_v6(false)?;
        }
        socket.set_read_timeout(Some(deadline()))?;
        Ok(socket)
    }

    /// Listens.
    pub(crate) fn listen(self) -> Result<Service> {
        self.listen_as(Protocol::TCP)
    }

    /// Listens, for TCP or MPTCP.
    pub(crate) fn listen_as(self, protocol: Protocol) -> Result<Service> {
        self.listen_on(self.socket(protocol)?, 1024)
    }

    /// Listens with a short accept queue.
    pub(crate) fn listen_with(self, limit: i32) -> Result<Service> {
        let socket = self.socket(Protocol::TCP)?;
        if self.family == Family::V6 {
            socket.set_only_v6(true)?;
        }
        self.listen_on(socket, limit)
    }

    /// Listens beside others on the same port.
    pub(crate) fn listen_shared(self, limit: i32) -> Result<Service> {
        let socket = self.socket(Protocol::TCP)?;
        socket.set_reuse_port(true)?;
        self.listen_on(socket, limit)
    }

    fn listen_on(self, socket: Socket, limit: i32) -> Result<Service> {
        socket.set_reuse_address(true)?;
        // The dual-stack server listens on the unspecified address, as such servers do.
        let address = if self.family == Family::Mapped {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            self.written(self.server)
        };
        socket.bind(&SocketAddr::new(address, self.port).into())?;
        socket.listen(limit)?;
        Ok(Service { place: self, socket })
    }

    /// A client socket bound to the client's address, and to a port if one is given.
    pub(crate) fn client_socket(&self, protocol: Protocol, port: u16) -> Result<Socket> {
        let socket = self.socket(protocol)?;
        if port != 0 {
            socket.set_reuse_address(true)?;
        }
        socket.bind(&SocketAddr::new(self.written(self.client), port).into())?;
        Ok(socket)
    }

    /// Where clients connect to.
    pub(crate) fn target(&self) -> SocketAddr {
        SocketAddr::new(self.written(self.server), self.port)
    }

    /// Both ends of a connection from this port of the client.
    pub(crate) const fn ends(&self, client_port: u16) -> Ends {
        Ends {
            server: SocketAddr::new(self.server, self.port),
            client: SocketAddr::new(self.client, client_port),
        }
    }

    /// The address that clients connect from, as the sockets of this family write it.
    pub(crate) fn source(&self) -> IpAddr {
        self.written(self.client)
    }

    /// Connects a new client.
    pub(crate) fn connect(&self) -> Result<Socket> {
        let socket = self.client_socket(Protocol::TCP, 0)?;
        socket.connect(&self.target().into()).context("cannot connect")?;
        Ok(socket)
    }
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) place: Place,
    pub(crate) socket: Socket,
}

impl Service {
    /// Accepts a connection.
    pub(crate) fn accept(&self) -> Result<Socket> {
        let (server, _) = self.socket.accept().context("cannot accept")?;
        server.set_read_timeout(Some(deadline()))?;
        Ok(server)
    }

    /// Both ends of a new connection.
    pub(crate) fn pair(&self) -> Result<Pair> {
        self.pair_of(self.place.connect()?)
    }

    /// Both ends of a connection that is already on its way.
    pub(crate) fn pair_of(&self, client: Socket) -> Result<Pair> {
        let client_port = port_of(&client)?;
        Ok(Pair { client, server: self.accept()?, client_port, service_port: self.place.port })
    }

    /// One connection with one exchange from another client's address.
    pub(crate) fn talk_from(&self, client: IpAddr) -> Result<()> {
        let pair = self.pair_of(Place { client, ..self.place }.connect()?)?;
        pair.exchange(1)?;
        pair.finish();
        Ok(())
    }
}

/// Both ends of a connection.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) client: Socket,
    pub(crate) server: Socket,
    pub(crate) client_port: u16,
    pub(crate) service_port: u16,
}

impl Pair {
    /// Requests with their responses.
    pub(crate) fn exchange(&self, times: usize) -> Result<()> {
        for _ in 0..times {
            self.last_exchange()?;
        }
        Ok(())
    }

    /// A request with its response, and when they went. Both: which of the two an idle time begins with depends on the end that tells it.
    pub(crate) fn last_exchange(&self) -> Result<Moment> {
        let ((), exchange) = Moment::of(|| {
            send(&self.client, b"request")?;
            receive(&self.server, 7)?;
            send(&self.server, b"response")?;
            receive(&self.client, 8)
        })?;
        Ok(exchange)
    }

    /// The ports of this role's end and of the other.
    pub(crate) const fn ports(&self, role: Role) -> (u16, u16) {
        match role {
            Role::Client => (self.client_port, self.service_port),
            Role::Server => (self.service_port, self.client_port),
        }
    }

    /// The socket of this role, and the other.
    pub(crate) fn split(self, role: Role) -> (Socket, Socket) {
        match role {
            Role::Client => (self.client, self.server),
            Role::Server => (self.server, self.client),
        }
    }

    /// Closes both ends, the client first.
    pub(crate) fn finish(self) {
        drop(self.client);
        drop(self.server);
    }

    /// Closes the server's end and waits until only its minisock is left.
    pub(crate) fn close_server(self) -> Result<Left> {
        let left = self.close_server_to_orphan()?;
        oracle::until_minisock(left.service_port, left.client_port)?;
        Ok(left)
    }

    /// Closes the server's end and waits until that is acknowledged; its socket stays a full one where `tcp_fin_timeout` is above the
    /// 60 s of `TIME_WAIT`.
    pub(crate) fn close_server_to_orphan(self) -> Result<Left> {
        drop(self.server);
        oracle::until_state(self.service_port, self.client_port, state::FIN_WAIT2)?;
        oracle::until_state(self.client_port, self.service_port, state::CLOSE_WAIT)?;
        Ok(Left { client: self.client, client_port: self.client_port, service_port: self.service_port })
    }
}

/// A client whose server has closed.
#[derive(Debug)]
pub(crate) struct Left {
    pub(crate) client: Socket,
    pub(crate) client_port: u16,
    pub(crate) service_port: u16,
}

/// The local port of a socket.
pub(crate) fn port_of(socket: &Socket) -> Result<u16> {
    Ok(socket.local_addr()?.as_socket().context("not an internet socket")?.port())
}

/// Writes all of `data`.
pub(crate) fn send(mut socket: &Socket, data: &[u8]) -> Result<()> {
    socket.write_all(data).context("cannot send")
}

/// Reads exactly this many bytes.
pub(crate) fn receive(mut socket: &Socket, bytes: usize) -> Result<()> {
    socket.read_exact(&mut vec![0; bytes]).context("cannot receive")
}

/// Waits for the other end's FIN.
pub(crate) fn receive_end(mut socket: &Socket) -> Result<()> {
    let bytes = socket.read(&mut [0; 16]).context("no end of the connection")?;
    ensure!(bytes == 0, "expected the end of the connection, not {bytes} bytes");
    Ok(())
}

/// Waits until something can be read, and leaves it unread.
pub(crate) fn wait_for_data(socket: &Socket) -> Result<()> {
    let bytes = socket.peek(&mut [MaybeUninit::uninit(); 1]).context("no data came")?;
    ensure!(bytes == 1, "expected data, not the end of the connection");
    Ok(())
}

/// Waits until a reset has ended the connection.
pub(crate) fn wait_for_reset(socket: &Socket) -> Result<()> {
    poll_for_reset(socket)?;
    // Taking the error keeps it from meeting a later call.
    drop(socket.take_error()?);
    Ok(())
}

/// Waits until a reset has ended the connection, and uses the socket as an application would: what it gets to see, as the
/// daemon names it.
pub(crate) fn saw_reset(mut socket: &Socket) -> Result<&'static str> {
    poll_for_reset(socket)?;
    loop {
        match socket.read(&mut [0; 4096]) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) => return error_name(&error),
        }
    }
    // ECONNRESET only where the application has shut down writing itself.
    match socket.write(b"more").map_err(|error| error.kind()) {
        Err(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => Ok("EOF"),
        written => bail!("after the end, writing gives {written:?}"),
    }
}

/// An error as the daemon names what applications see.
pub(crate) fn error_name(error: &std::io::Error) -> Result<&'static str> {
    let names = [
        (ErrorKind::ConnectionReset, "ECONNRESET"),
        (ErrorKind::ConnectionAborted, "ECONNABORTED"),
        (ErrorKind::ConnectionRefused, "ECONNREFUSED"),
        (ErrorKind::TimedOut, "ETIMEDOUT"),
    ];
    let name = names.into_iter().find_map(|(kind, name)| (error.kind() == kind).then_some(name));
    name.with_context(|| format!("an unexpected error: {error}"))
}

/// Waits until a reset has ended the connection, and takes nothing from the socket.
pub(crate) fn poll_for_reset(socket: &Socket) -> Result<()> {
    let mut polled = [PollFd::new(socket, PollFlags::empty())];
    poll(&mut polled, Some(&Timespec::try_from(deadline())?))?;
    let events = polled[0].revents();
    ensure!(events.contains(PollFlags::ERR) || events.contains(PollFlags::HUP), "no reset came ({events:?})");
    Ok(())
}

/// Closes with `SO_LINGER` 0.
pub(crate) fn abort(socket: Socket) -> Result<()> {
    socket.set_linger(Some(Duration::ZERO))?;
    drop(socket);
    Ok(())
}

/// Loses every segment with this flag on its way into this socket.
pub(crate) fn lose(socket: &Socket, flag: Flags) -> Result<()> {
    Ok(socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_BYTE),
        SockFilter::new(JUMP_IF_SET, 0, 1, flag.bits()),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ])?)
}

/// Loses every segment without this flag on its way into this socket.
pub(crate) fn lose_without(socket: &Socket, flag: Flags) -> Result<()> {
    Ok(socket.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_BYTE),
        SockFilter::new(JUMP_IF_SET, 0, 1, flag.bits()),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ])?)
}

/// Loses every segment on its way into this socket: its end has vanished without a word.
pub(crate) fn lose_everything(socket: &Socket) -> Result<()> {
    Ok(socket.attach_filter(&[SockFilter::new(RETURN, 0, 0, 0)])?)
}

/// The filter's instruction to load a byte of the segment.
const LOAD_BYTE: u16 = 0x30;
/// A socket filter of TCP sees the segment from its TCP header on; this byte of it holds the flags.
const FLAGS_BYTE: u32 = 13;
/// The instruction to go on, or to skip so many, by a bit of what was loaded.
const JUMP_IF_SET: u16 = 0x45;
/// The instruction to keep so many bytes of the segment.
const RETURN: u16 = 0x06;
