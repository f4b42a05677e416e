//! What keeps a probe from its answer: what failed, on what, and what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::http::HttpError;
use crate::advice::numbers::seconds;

/// What was typed does not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProbeUsageError {
    /// TLS options without TLS.
    #[error("{option} is for TLS: give an https:// URL, or --tls with HOST:PORT")]
    NoTls {
        /// Which.
        option: &'static str,
    },
    /// An option of plain TCP with a URL.
    #[error("{option} is for HOST:PORT; a URL says itself what is spoken")]
    ForTcp {
        /// Which.
        option: &'static str,
    },
    /// An option of HTTP without a URL.
    #[error("{option} is for HTTP: give a URL such as http://HOST:PORT/")]
    ForHttp {
        /// Which.
        option: &'static str,
    },
    /// Nothing to use the connection with.
    #[error(
        "{option} uses the connection again: give --send with what to say, such as --send 'PING\\r\\n', or a URL"
    )]
    NothingToSay {
        /// Which.
        option: &'static str,
    },
    /// Too many connections, or no times.
    #[error("{0}")]
    Sweep(String),
    /// A file of certificates cannot be used.
    #[error("cannot read certificates from {}: {why}", file.display())]
    Certificates {
        /// Its name.
        file: PathBuf,
        /// Why not.
        why: String,
    },
}

/// What failed on a connection, or before there was one.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The name is unknown.
    #[error("cannot look up {host}: {why}; is the name right, and does this host's resolver know it?")]
    Lookup {
        /// The name.
        host: String,
        /// What the resolver says.
        why: String,
    },
    /// It has no address of this family.
    #[error("{host} has no {family} address: leave {option} out")]
    Family {
        /// The name.
        host: String,
        /// Which.
        family: &'static str,
        /// By which it was asked for.
        option: &'static str,
    },
    /// The kernel says no.
    #[error("cannot connect to {address}: {why}{}", hint(*kind))]
    Connect {
        /// Where to.
        address: SocketAddr,
        /// What the kernel says, without its number.
        why: String,
        /// The same, in general.
        kind: io::ErrorKind,
    },
    /// Nobody says anything.
    #[error("cannot connect to {address}: no answer within {}; does a firewall drop it? --timeout waits longer", seconds(*time))]
    ConnectTimeout {
        /// Where to.
        address: SocketAddr,
        /// Waited so long.
        time: Duration,
    },
    /// No certificates to check with.
    #[error(
        "this host has no certificates to check {address} with: name a file of them with --ca, or check nothing with --insecure"
    )]
    NoCertificates {
        /// Where to.
        address: SocketAddr,
    },
    /// TLS came to no agreement.
    #[error("no TLS with {address}: {why}")]
    Tls {
        /// Where to.
        address: SocketAddr,
        /// What is wrong, and what to do.
        why: String,
    },
    /// Ended before it was idle.
    #[error("{address} ended the connection by a {how} before it had answered{}", if *first { "; does it speak what was sent?" } else { "" })]
    Unanswered {
        /// Whose.
        address: SocketAddr,
        /// `FIN` or `reset`.
        how: &'static str,
        /// There was nothing before.
        first: bool,
    },
    /// No complete answer in time.
    #[error("{address} gave no complete answer within {}; --timeout waits longer", seconds(*time))]
    NoAnswer {
        /// Whose.
        address: SocketAddr,
        /// Waited so long.
        time: Duration,
    },
    /// An answer without end.
    #[error("the answer of {address} is longer than {} MiB: name a smaller page, or use --method HEAD", bytes >> 20)]
    LongAnswer {
        /// Whose.
        address: SocketAddr,
        /// The limit.
        bytes: u64,
    },
    /// No HTTP.
    #[error("cannot use the answer of {address}: {why}")]
    Answer {
        /// Whose.
        address: SocketAddr,
        /// Why not.
        why: HttpError,
    },
    /// Nothing to measure.
    #[error(
        "{address} keeps no connection: its answer (status {status}) has {why}; so it has no idle timeout here, and clients must not reuse its connections"
    )]
    NotKept {
        /// Whose.
        address: SocketAddr,
        /// Of the answer.
        status: u16,
        /// What of the head says so.
        why: &'static str,
    },
    /// Never idle.
    #[error("{address} keeps sending by itself, so its connection is never quiet for {}", seconds(*time))]
    NeverQuiet {
        /// Whose.
        address: SocketAddr,
        /// As asked for.
        time: Duration,
    },
    /// Anything else that the kernel or TLS says.
    #[error("the connection to {address} failed: {why}")]
    Broken {
        /// Whose.
        address: SocketAddr,
        /// What is said.
        why: String,
    },
}

/// A run that ended without what it was for.
#[derive(Debug, thiserror::Error)]
pub enum NotLearnt {
    /// The target never closes, as far as was waited.
    #[error("{address} kept every connection open for {}: its idle timeout is longer, or it has none; --max-wait waits longer", seconds(*time))]
    NeverEnded {
        /// Whose.
        address: SocketAddr,
        /// Waited so long.
        time: Duration,
    },
    /// Ctrl-C.
    #[error("stopped before any connection was ended or used again")]
    Stopped,
    /// Some connections failed, and how the first of them did.
    #[error("{failed} of {all} connections failed: {first}")]
    Failed {
        /// So many.
        failed: usize,
        /// Of so many.
        all: usize,
        /// The first.
        first: Failure,
    },
}

fn hint(kind: io::ErrorKind) -> &'static str {
    if kind == io::ErrorKind::ConnectionRefused {
        "; does anything listen there?"
    } else if matches!(kind, io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) {
        "; is there a route, or does -4 or -6 help?"
    } else if kind == io::ErrorKind::AddrNotAvailable {
        "; is --source an address of this host?"
    } else {
        ""
    }
}

/// What the system says, without the number of the error.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}
