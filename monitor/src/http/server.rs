//! The accept loop: a bounded number of connections, each bounded in what it may make us wait for.
//!
//! Our own instead of `axum::serve`, which (0.8) has neither a limit on connections nor a time limit on headers, and
//! whose graceful end waits for event streams for ever. One connection carries one request: idle ones would have to
//! be ended at some time, and a scraper whose interval is that time would meet the very reset this product explains.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_socket_send_buffer_size;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinError, JoinSet};
use tower::ServiceExt;

use super::stall::Stall;
use super::stopped;

/// Connections at a time.
pub(super) const CONNECTIONS: usize = 256;
/// Read buffer of a connection; a request line and headers have to fit.
pub(super) const BUFFER_BYTES: usize = 16 * 1024;
/// Send buffer of a connection, which the kernel doubles for its own bookkeeping: what a reader that has stopped reading can
/// make it hold. Left to itself it would grow to megabytes (`tcp_wmem`). Enough for 1 MB/s over 100 ms.
pub(super) const SEND_BUFFER_BYTES: usize = 128 * 1024;
/// Wait after a failed accept. The usual reason is that no file descriptor is free, which passes.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// What a client may take from us.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time.
    pub connections: usize,
    /// Time for a complete request.
    pub header: Duration,
    /// Time without any progress while we write.
    pub write_stall: Duration,
    /// Time for the answers on their way when the daemon ends.
    pub goodbye: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            header: Duration::from_secs(5),
            write_stall: Duration::from_secs(30),
            goodbye: Duration::from_secs(1),
        }
    }
}

/// Answers on `listener` until `shutdown` is true or its sender is gone, with the default limits.
pub async fn serve(listener: TcpListener, router: Router, shutdown: watch::Receiver<bool>) {
    serve_within(listener, router, shutdown, Limits::default()).await;
}

/// Answers on `listener` until shutdown: then no new connection, then event streams and answers on their way end, then
/// the rest is cut off.
pub async fn serve_within(
    listener: TcpListener,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
    limits: Limits,
) {
    let mut connections = Connections::default();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            Some(ended) = connections.tasks.join_next() => {
                report(ended);
                continue;
            }
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an HTTP connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        tokio::select! {
            biased;
            () = stopped(&mut shutdown) => break,
            () = connections.make_room(limits.connections) => {}
        }
        connections.spawn(stream, router.clone(), shutdown.clone(), limits);
    }
    drop(listener);
    let all_ended = async { while connections.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.goodbye, all_ended).await.is_err() {
        connections.tasks.shutdown().await;
    }
}

/// The open connections, oldest first.
#[derive(Debug, Default)]
struct Connections {
    tasks: JoinSet<()>,
    waiting: VecDeque<(AbortHandle, Arc<AtomicBool>)>,
}

impl Connections {
    /// Returns once one more connection fits. The oldest that has not yet sent its request makes way, so that clients
    /// which open connections and say nothing cannot keep out those that do.
    async fn make_room(&mut self, most: usize) {
        while self.tasks.len() >= most {
            self.forget_asked();
            if let Some((oldest, _)) = self.waiting.pop_front() {
                oldest.abort();
            }
            if let Some(ended) = self.tasks.join_next().await {
                report(ended);
            }
        }
    }

    fn spawn(&mut self, stream: TcpStream, router: Router, shutdown: watch::Receiver<bool>, limits: Limits) {
        let asked = Arc::new(AtomicBool::new(false));
        let task = self.tasks.spawn(connection(stream, router, shutdown, limits, Arc::clone(&asked)));
        if self.waiting.len() >= limits.connections {
            self.forget_asked();
        }
        self.waiting.push_back((task, asked));
    }

    /// Leaves only connections without a request in `waiting`.
    fn forget_asked(&mut self) {
        self.waiting.retain(|(task, asked)| !task.is_finished() && !asked.load(Ordering::Relaxed));
    }
}

/// One connection from its first byte to its end. `asked` turns true with the complete request.
async fn connection(
    stream: TcpStream,
    router: Router,
    mut shutdown: watch::Receiver<bool>,
    limits: Limits,
    asked: Arc<AtomicBool>,
) {
    if let Err(error) = set_socket_send_buffer_size(&stream, SEND_BUFFER_BYTES) {
        tracing::debug!(%error, "the send buffer of an HTTP connection is not bounded");
    }
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        asked.store(true, Ordering::Relaxed);
        router.clone().oneshot(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header)
        .max_buf_size(BUFFER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(Stall::new(stream, limits.write_stall)), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut shutdown) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an HTTP connection ended early");
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "an HTTP connection panicked");
    }
}
