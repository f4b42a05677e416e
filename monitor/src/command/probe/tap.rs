//! A connection that notes when bytes moved and how its peer ended it, below TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::clock;

/// What a read says when the peer has ended the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RawEnd {
    /// A FIN.
    Fin,
    /// A reset.
    Reset,
}

/// A TCP connection under watch.
#[derive(Debug)]
pub struct Tap {
    tcp: TcpStream,
    /// When bytes came or went for the last time; at first when it was connected. Monotonic.
    pub moved: Duration,
    /// How and when the peer ended it.
    pub end: Option<(RawEnd, Duration)>,
}

impl Tap {
    /// Of a connection that was just made.
    pub fn new(tcp: TcpStream) -> Self {
        Self { tcp, moved: clock::monotonic(), end: None }
    }

    /// Waits until the kernel has an error for this connection, which after a FIN only says so by itself: reads go on
    /// telling of the FIN. True for a reset.
    pub async fn until_reset(&self) -> bool {
        // EPIPE is a reset after a FIN (`net/ipv4/tcp_input.c` `tcp_reset`, 5.10 to 7.2).
        let is_reset = |error: &io::Error| is_reset(error.kind());
        match self.tcp.ready(Interest::ERROR).await {
            Ok(_) => self.tcp.take_error().is_ok_and(|error| error.as_ref().is_some_and(is_reset)),
            Err(error) => is_reset(&error),
        }
    }
}

/// Whether a read or a write failed by a reset.
pub fn is_reset(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

impl AsyncRead for Tap {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.tcp).poll_read(context, buffer));
        let now = clock::monotonic();
        match &read {
            Ok(()) if buffer.filled().len() > before => this.moved = now,
            Ok(()) if buffer.capacity() > before => {
                this.end.get_or_insert((RawEnd::Fin, now));
            }
            Err(error) if is_reset(error.kind()) => this.end = Some((RawEnd::Reset, now)),
            Ok(()) | Err(_) => {}
        }
        Poll::Ready(read)
    }
}

impl AsyncWrite for Tap {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.tcp).poll_write(context, bytes));
        let now = clock::monotonic();
        match &written {
            Ok(_) => this.moved = now,
            Err(error) if is_reset(error.kind()) => this.end = Some((RawEnd::Reset, now)),
            Err(_) => {}
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(context)
    }
}
