//! From an address to a connection, with TLS or without.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{error::Elapsed, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::failure::Failure;
use super::tap::Tap;
use super::tls;
use crate::terminal::words;

/// A goodbye of TLS takes at most so long.
const GOODBYE: Duration = Duration::from_millis(500);

/// A connection, with TLS or without.
#[derive(Debug)]
pub enum Stream {
    /// As it is.
    Plain(Tap),
    /// In TLS.
    Tls(Box<TlsStream<Tap>>),
}

impl Stream {
    /// The connection below.
    pub fn tap(&self) -> &Tap {
        match self {
            Self::Plain(tap) => tap,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }

    /// Reads what is for us; 0 is an end: a FIN, or what says so in TLS.
    pub async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tap) => tap.read(buffer).await,
            Self::Tls(tls) => tls.read(buffer).await,
        }
    }

    /// Reads what comes below TLS.
    pub async fn read_raw(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(tap) => tap.read(buffer).await,
            Self::Tls(tls) => tls.get_mut().0.read(buffer).await,
        }
    }

    /// Writes all of it.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(tap) => tap.write_all(bytes).await,
            Self::Tls(tls) => {
                tls.write_all(bytes).await?;
                tls.flush().await
            }
        }
    }

    /// Ends it as its peer expects.
    pub async fn close(mut self) {
        let is_open = self.tap().end.is_none();
        if let Self::Tls(tls) = &mut self
            && is_open
        {
            // It is closed anyhow.
            drop(timeout(GOODBYE, tls.shutdown()).await);
        }
    }
}

/// How to connect to one address.
#[derive(Clone)]
pub struct Connector {
    /// Where to.
    pub address: SocketAddr,
    /// From where; `None` leaves it to the kernel.
    pub source: Option<IpAddr>,
    /// For the connection, and again for TLS.
    pub time: Duration,
    /// With what, and to whom.
    pub tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, source, time, tls } = self;
        let tls = tls.as_ref().map(|(_, name)| name);
        formatter
            .debug_struct("Connector")
            .field("address", address)
            .field("source", source)
            .field("time", time)
            .field("tls", &tls)
            .finish()
    }
}

impl Connector {
    /// Makes a connection. Returns it with the address of this end.
    pub async fn connect(&self) -> Result<(Stream, SocketAddr), Failure> {
        let Self { address, source: _, time, tls } = self;
        let (address, time) = (*address, *time);
        let failed = |error: io::Error| Failure::Connect { address, why: words(&error), kind: error.kind() };
        let tcp = match timeout(time, self.tcp()).await {
            Ok(tcp) => tcp.map_err(failed)?,
            Err(Elapsed { .. }) => return Err(Failure::ConnectTimeout { address, time }),
        };
        // What is sent late by Nagle's algorithm would make the quiet look shorter.
        tcp.set_nodelay(true).map_err(failed)?;
        let local = tcp.local_addr().map_err(failed)?;
        let tap = Tap::new(tcp);
        let Some((connector, name)) = tls else { return Ok((Stream::Plain(tap), local)) };
        let why = match timeout(time, connector.connect(name.clone(), tap).into_fallible()).await {
            Ok(Ok(tls)) => return Ok((Stream::Tls(Box::new(tls)), local)),
            Ok(Err((error, tap))) => tls::why(&error, tap.end.map(|(end, _)| end), name),
            Err(Elapsed { .. }) => {
                format!("the handshake did not end within {} s; does it speak TLS?", time.as_secs_f64())
            }
        };
        Err(Failure::Tls { address, why })
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(self.address).await
    }
}
