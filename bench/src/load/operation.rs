//! One operation of each load: system calls of both ends, in one thread, in a fixed order.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use super::Load;
use super::packet::{self, Packet};

/// Addresses that clients connect to in turn. More than one, so that connections in `TIME_WAIT` do not crowd the ports of one
/// pair of addresses; few, so that the daemon has as many peers as a usual host.
const SERVERS: u8 = 8;
const SERVICE_PORT: u16 = 5_000;
const CLOSED_PORT: u16 = 6_000;
/// Where raw SYNs come from: below the ports that the kernel gives out.
const CLIENT_PORT: u16 = 4_000;
/// `IPPROTO_RAW`.
const RAW: i32 = 255;
const REQUEST: &[u8] = b"request";
const RESPONSE: &[u8] = b"response";

/// Both ends of a worker's connections.
#[derive(Debug)]
pub(super) struct Ends {
    listener: Socket,
    services: Vec<SockAddr>,
    closed: Vec<SockAddr>,
    raw: Socket,
    syns: Vec<(SockAddr, Packet)>,
    turn: usize,
}

impl Ends {
    /// In the calling thread's namespace.
    pub(super) fn open(worker: u16) -> Result<Self> {
        let listener = socket()?;
        listener.set_reuse_address(true)?;
        let port = SERVICE_PORT + worker;
        listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
        listener.listen(128)?;
        let addresses = |port| {
            (0..SERVERS).map(move |host| SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2 + host), port)).into())
        };
        let closed = CLOSED_PORT + worker;
        // Packets bring their IP headers, and the socket receives nothing.
        let raw = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(RAW)))?;
        Ok(Self {
            listener,
            services: addresses(port).collect(),
            closed: addresses(closed).collect(),
            raw,
            syns: (0..u16::from(SERVERS)).map(|turn| raw_syn(turn, closed)).collect(),
            turn: 0,
        })
    }

    /// Does one.
    pub(super) fn operate(&mut self, load: Load) -> Result<()> {
        self.turn = (self.turn + 1) % usize::from(SERVERS);
        match load {
            Load::ClientCloses => {
                let (client, server) = self.exchange()?;
                drop(client);
                drop(server);
            }
            Load::ServerCloses => {
                let (client, server) = self.exchange()?;
                drop(server);
                drop(client);
            }
            Load::Linger => {
                let (client, server) = self.exchange()?;
                client.set_linger(Some(Duration::ZERO))?;
                drop(client);
                drop(server);
            }
            Load::Unread => {
                let (client, server) = self.exchange()?;
                (&client).write_all(REQUEST)?;
                drop(server);
                drop(client);
            }
            Load::Refused => self.be_refused()?,
            Load::Storm => self.send_syn()?,
        }
        Ok(())
    }

    /// A connection with one exchange, from an address of its own to another, that the client ends by a reset.
    pub(super) fn connect_between_own_addresses(&mut self, number: u32) -> Result<()> {
        const EACH: u32 = 250;
        let [_, _, block, _] = (number / EACH * 256).to_be_bytes();
        let [_, _, _, host] = (1 + number % EACH).to_be_bytes();
        let client = socket()?;
        client.bind(&SocketAddr::from((Ipv4Addr::new(127, 1, block, host), 0)).into())?;
        let port = self.listener.local_addr()?.as_socket().context("no port")?.port();
        let target = SocketAddr::from((Ipv4Addr::new(127, 2, block, host), port)).into();
        let (client, server) = self.exchange_with(client, &target)?;
        client.set_linger(Some(Duration::ZERO))?;
        drop(client);
        drop(server);
        Ok(())
    }

    fn exchange(&self) -> Result<(Socket, Socket)> {
        self.exchange_with(socket()?, self.services.get(self.turn).context("no such server")?)
    }

    fn exchange_with(&self, client: Socket, target: &SockAddr) -> Result<(Socket, Socket)> {
        client.connect(target).context("cannot connect")?;
        let (server, _) = self.listener.accept().context("cannot accept")?;
        let mut buffer = [0; 16];
        (&client).write_all(REQUEST)?;
        ensure!((&server).read(&mut buffer)? == REQUEST.len(), "half a request");
        (&server).write_all(RESPONSE)?;
        ensure!((&client).read(&mut buffer)? == RESPONSE.len(), "half a response");
        Ok((client, server))
    }

    fn send_syn(&self) -> Result<()> {
        let (to, packet) = self.syns.get(self.turn).context("no such packet")?;
        ensure!(self.raw.send_to(packet, to)? == packet.len(), "half a packet");
        Ok(())
    }

    fn be_refused(&self) -> Result<()> {
        let client = socket()?;
        let target = self.closed.get(self.turn).context("no such server")?;
        match client.connect(target) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
            Err(error) => Err(error).context("a connection to a closed port should be refused"),
            Ok(()) => bail!("somebody listens at the closed port"),
        }
    }
}

fn raw_syn(turn: u16, port: u16) -> (SockAddr, Packet) {
    let [_, host] = (2 + turn).to_be_bytes();
    let to = Ipv4Addr::new(127, 0, 0, host);
    let from = (Ipv4Addr::LOCALHOST, CLIENT_PORT + turn);
    (SocketAddr::from((to, 0)).into(), packet::syn(from, (to, port)))
}

fn socket() -> Result<Socket> {
    Ok(Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?)
}
