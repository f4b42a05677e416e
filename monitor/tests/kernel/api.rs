//! A small HTTP client for the daemon. It asks from the namespace the daemon was started in, wherever the trial is.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use monitor::view::alerts::AlertsView;
use monitor::view::listeners::ListenersView;
use monitor::view::timeouts::TimeoutsView;
use monitor::view::{EventsView, PeersView, SignalsView, StatusView};
use serde::de::DeserializeOwned;

use crate::netns::Namespace;
use crate::wait::deadline;

/// An answer with status 200.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status line and headers, in lower case.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(self) -> Result<String> {
        Ok(String::from_utf8(self.body)?)
    }
}

/// The daemon's HTTP interface.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    address: SocketAddr,
    home: Arc<Namespace>,
}

impl Api {
    /// Of a daemon in the calling thread's namespace.
    pub(crate) fn at(address: SocketAddr) -> Result<Self> {
        Ok(Self { address, home: Arc::new(Namespace::current()?) })
    }

    /// `GET`; anything but 200 is an error.
    pub(crate) fn get(&self, path: &str, accept: &str) -> Result<Answer> {
        self.home
            .enter(|| {
                let mut stream = self.ask(path, accept)?;
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer)?;
                parse(&answer)
            })
            .with_context(|| format!("GET {path}"))
    }

    /// Opens an answer that does not end, reads its head, and leaves the connection open.
    pub(crate) fn open_stream(&self, path: &str) -> Result<TcpStream> {
        self.home.enter(|| {
            let mut stream = self.ask(path, "text/event-stream")?;
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).context("the stream ended in its head")?;
                head.extend(byte);
            }
            let head = String::from_utf8_lossy(&head).to_lowercase();
            ensure!(head.starts_with("http/1.1 200"), "no stream at {path}: {head}");
            Ok(stream)
        })
    }

    fn ask(&self, path: &str, accept: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(self.address).context("cannot connect to the daemon")?;
        stream.set_read_timeout(Some(deadline()))?;
        let host = self.address;
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes())?;
        Ok(stream)
    }

    fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T> {
        let answer = self.get(path, "application/json")?;
        serde_json::from_slice(&answer.body).with_context(|| format!("unexpected JSON from {path}"))
    }

    /// The peers of one namespace, and the sums over all.
    pub(crate) fn peers_of(&self, netns: u32) -> Result<PeersView> {
        self.json(&format!("/api/v1/peers?limit=200000&netns={netns}"))
    }

    /// All peers.
    pub(crate) fn peers(&self) -> Result<PeersView> {
        self.json("/api/v1/peers?limit=200000")
    }

    /// What is firing or about to, and what is over.
    pub(crate) fn alerts(&self) -> Result<AlertsView> {
        self.json("/api/v1/alerts")
    }

    /// Listeners and what else fills up.
    pub(crate) fn listeners(&self) -> Result<ListenersView> {
        self.json("/api/v1/listeners?limit=16384")
    }

    /// Timeouts of a service.
    pub(crate) fn timeouts(&self, port: u16) -> Result<TimeoutsView> {
        self.json(&format!("/api/v1/timeouts?port={port}"))
    }

    /// Where it is.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The daemon's own account.
    pub(crate) fn status(&self) -> Result<StatusView> {
        self.json("/api/v1/status")
    }

    /// What serves each signal.
    pub(crate) fn signals(&self) -> Result<SignalsView> {
        self.json("/api/v1/signals")
    }

    /// Events that match a query string.
    pub(crate) fn events(&self, query: &str) -> Result<EventsView> {
        self.json(&format!("/api/v1/events?{query}"))
    }

    /// The metrics, as text of format 0.0.4.
    pub(crate) fn metrics(&self) -> Result<String> {
        self.get("/metrics", "text/plain")?.text()
    }
}

/// Splits an answer read to its end; chunks are joined.
fn parse(answer: &[u8]) -> Result<Answer> {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").context("no HTTP answer")?;
    let (head, body) = answer.split_at(end);
    let (head, mut body) = (String::from_utf8_lossy(head).to_lowercase(), body.get(4..).context("no body")?);
    ensure!(head.starts_with("http/1.1 200"), "{head}\n{}", String::from_utf8_lossy(body));
    if !head.contains("transfer-encoding: chunked") {
        return Ok(Answer { head, body: body.to_vec() });
    }
    let mut joined = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n").context("a chunk without size")?;
        let (size, rest) = body.split_at(end);
        let size = usize::from_str_radix(str::from_utf8(size)?.trim(), 16)?;
        let chunk = rest.get(2..2 + size).context("a chunk is cut short")?;
        if chunk.is_empty() {
            return Ok(Answer { head, body: joined });
        }
        joined.extend_from_slice(chunk);
        body = rest.get(2 + size + 2..).context("a chunk without end")?;
    }
}
