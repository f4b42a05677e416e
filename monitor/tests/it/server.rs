//! The accept loop over real sockets on loopback. Tests wait for what must happen, never for a time.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::stream;
use monitor::http::server::{Limits, serve_within};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::support::{Daemon, told};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_hours(1);
/// So short that waiting for it costs nothing.
const SOON: Duration = Duration::from_millis(20);
const PATIENT: Limits = Limits { connections: 16, header: NEVER, write_stall: NEVER, goodbye: NEVER };

/// A server in the background of a test.
struct Running {
    address: std::net::SocketAddr,
    shutdown: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Running {
    async fn start(router: Router, limits: Limits) -> Self {
        let (shutdown, stop) = watch::channel(false);
        Self::start_with(router, limits, shutdown, stop).await
    }

    async fn start_with(
        router: Router,
        limits: Limits,
        shutdown: watch::Sender<bool>,
        stop: watch::Receiver<bool>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(serve_within(listener, router, stop, limits));
        Self { address, shutdown, task }
    }

    async fn send(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream
    }

    async fn stop(mut self) {
        self.shutdown.send_replace(true);
        self.task.join_next().await.unwrap().unwrap();
    }
}

/// All that comes until the connection ends, in whatever way.
async fn rest(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    drop(stream.read_to_end(&mut bytes).await);
    String::from_utf8(bytes).unwrap()
}

const HEALTH: &[u8] = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[tokio::test]
async fn a_request_is_answered_and_its_connection_ends() {
    let server = Running::start(Daemon::new().router, PATIENT).await;
    let answer = rest(server.send(HEALTH).await).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("ok\n"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_never_completes_its_header_is_cut_off() {
    let server = Running::start(Daemon::new().router, Limits { header: SOON, ..PATIENT }).await;
    let answer = rest(server.send(b"GET /healthz HTTP/1.1\r\nHost: lo").await).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_header_beyond_all_measure_is_refused() {
    let server = Running::start(Daemon::new().router, PATIENT).await;
    let request = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX: {}", "x".repeat(64 * 1024));
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may be done with us before all of it is sent.
    drop(stream.write_all(request.as_bytes()).await);
    let answer = rest(stream).await;
    assert!(!answer.contains("200 OK"), "{answer}");
    server.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off() {
    let (held, mut dropped) = mpsc::channel::<()>(1);
    let endless = Router::new().route(
        "/",
        get(move || async move {
            let chunk = Bytes::from(vec![b'x'; 64 * 1024]);
            Body::from_stream(stream::repeat_with(move || {
                let _held = &held;
                Ok::<_, std::convert::Infallible>(chunk.clone())
            }))
        }),
    );
    let server = Running::start(endless, Limits { write_stall: SOON, ..PATIENT }).await;
    let client = server.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut first = [0];
    client.peek(&mut first).await.unwrap();
    let Running { shutdown, task, .. } = server;
    shutdown.send_replace(true);
    // Without the bound the answer would go on for ever, and so would the graceful end.
    assert_eq!(task.join_all().await.len(), 1);
    assert_eq!(dropped.recv().await, None);
    drop(client);
}

#[tokio::test]
async fn silent_connections_make_way_for_one_that_asks() {
    let server = Running::start(Daemon::new().router, Limits { connections: 2, ..PATIENT }).await;
    let silent = [server.send(b"").await, server.send(b"GET").await, server.send(b"").await];
    let answer = rest(server.send(HEALTH).await).await;
    assert!(answer.ends_with("ok\n"), "{answer}");
    let [oldest, ..] = silent;
    assert_eq!(rest(oldest).await, "");
}

#[tokio::test]
async fn shutdown_ends_an_open_event_stream() {
    let Daemon { router, publisher, shutdown } = Daemon::new();
    let stop = shutdown.subscribe();
    let server = Running::start_with(router, PATIENT, shutdown, stop).await;
    let mut stream = server.send(b"GET /api/v1/events/stream HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    let mut head = vec![0; 1024];
    let length = stream.read(&mut head).await.unwrap();
    assert!(head[..length].starts_with(b"HTTP/1.1 200 OK"));
    server.stop().await;
    rest(stream).await;
    drop(publisher);
}

#[tokio::test]
async fn a_stalled_reader_costs_a_constant_and_delays_nobody() {
    const ROUND: u64 = 1_000;
    const ROUNDS: u64 = 30;
    let Daemon { router, publisher, shutdown } = Daemon::new();
    let stop = shutdown.subscribe();
    let server = Running::start_with(router, PATIENT, shutdown, stop).await;
    let ask = b"GET /api/v1/events/stream?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    publisher.event(told(1).into());
    let mut live = Ids::of(server.send(ask).await);
    let stalled = server.send(ask).await;
    // Both streams are open once their first byte is there.
    stalled.peek(&mut [0]).await.unwrap();
    assert_eq!(live.next().await, Some(Id::Event(1)));

    // The live reader has each round before the next one comes, however little the other one reads.
    for round in 0..ROUNDS {
        let ids = round * ROUND + 2..=(round + 1) * ROUND + 1;
        ids.clone().for_each(|id| publisher.event(told(id).into()));
        for id in ids {
            assert_eq!(live.next().await, Some(Id::Event(id)));
        }
    }

    // The other one was given what fits the sockets, and was not queued for: the rest is forgotten but for the history.
    let newest = ROUNDS * ROUND + 1;
    let mut late = Ids::of(stalled);
    let (mut at, mut missed) = (0, 0);
    while at < newest {
        match late.next().await.unwrap() {
            Id::Event(id) => {
                assert_eq!(id, at + 1);
                at = id;
            }
            Id::Missed(count) => {
                (at, missed) = (at + count, missed + count);
            }
        }
    }
    assert!(missed > 0, "all {newest} events had been queued");
    server.stop().await;
    drop(publisher);
}

/// What a reader of a stream is told.
#[derive(Debug, PartialEq, Eq)]
enum Id {
    Event(u64),
    Missed(u64),
}

/// The ids in a stream, as they come off the wire.
struct Ids(Lines<BufReader<TcpStream>>);

impl Ids {
    fn of(stream: TcpStream) -> Self {
        Self(BufReader::new(stream).lines())
    }

    async fn next(&mut self) -> Option<Id> {
        loop {
            let line = self.0.next_line().await.unwrap()?;
            if let Some(id) = line.strip_prefix("id: ") {
                return Some(Id::Event(id.parse().unwrap()));
            }
            if let Some(count) = line.strip_prefix("data: {\"missed\":") {
                return Some(Id::Missed(count.trim_end_matches('}').parse().unwrap()));
            }
        }
    }
}

#[tokio::test]
async fn shutdown_does_not_wait_for_an_answer_that_never_comes() {
    let (asked, mut is_asked) = mpsc::channel::<()>(1);
    let stuck = Router::new().route(
        "/",
        get(move || async move {
            asked.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }),
    );
    let server = Running::start(stuck, Limits { goodbye: SOON, ..PATIENT }).await;
    let client = server.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    is_asked.recv().await.unwrap();
    server.stop().await;
    rest(client).await;
}
