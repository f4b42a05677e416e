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
    /// A name that no certificate can have.
    #[error(
        "`{host}` is no name that a certificate can be for: give a host name, or an address as it is written"
    )]
    NoName {
        /// As typed.
        host: String,
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
    /// The resolver says nothing.
    #[error("cannot look up {host}: no answer within {}; is this host's resolver reached? --timeout waits longer", seconds(*time))]
    LookupTimeout {
        /// The name.
        host: String,
        /// Waited so long.
        time: Duration,
    },
    /// The zone of an IPv6 address is unknown.
    #[error("this host has no network interface `{name}`: {why}; `ip link` lists them")]
    Interface {
        /// The zone.
        name: String,
        /// What the kernel says.
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
    /// None of several addresses is reached.
    #[error("{first} (nor to {others})")]
    AnyAddress {
        /// The first one, or the first that there is a route to.
        first: Box<Self>,
        /// The others, in short.
        others: String,
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
    #[error("{address} ended the connection by a {how} before it had answered; does it speak what was sent?")]
    Unanswered {
        /// Whose.
        address: SocketAddr,
        /// `FIN` or `reset`.
        how: &'static str,
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
    /// Bytes that are never answered.
    #[error(
        "{address} answers nothing to what --send says, so whether a later use is lost cannot be told: leave --idle and --sweep out"
    )]
    Silent {
        /// Whose.
        address: SocketAddr,
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
    /// The target speaks all the time.
    #[error("{address} sent by itself again and again, and no connection was quiet for longer than {}: how long it keeps an idle one was not seen", seconds(*longest))]
    NeverQuiet {
        /// Whose.
        address: SocketAddr,
        /// The longest quiet.
        longest: Duration,
    },
    /// Ctrl-C.
    #[error("stopped before any connection was ended or used again")]
    Stopped,
    /// Ctrl-C, and once more.
    #[error("stopped at once: what was learnt so far is not summed up")]
    StoppedTwice,
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

impl Failure {
    /// Of all addresses of a name, in the resolver's order.
    pub fn of_all(mut failures: Vec<Self>) -> Option<Self> {
        // A host without IPv6 says so of each name that has it; what its other addresses say is the news.
        failures.sort_by_key(Self::is_without_route);
        let mut failures = failures.into_iter();
        let first = failures.next()?;
        let others: Vec<_> = failures.map(|failure| failure.in_short()).collect();
        Some(if others.is_empty() {
            first
        } else {
            Self::AnyAddress { first: Box::new(first), others: others.join(", ") }
        })
    }

    fn is_without_route(&self) -> bool {
        matches!(
            self,
            Self::Connect { kind: io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable, .. }
        )
    }

    fn in_short(&self) -> String {
        if let Self::Connect { address, why, kind: _ } = self {
            format!("{address}: {why}")
        } else if let Self::ConnectTimeout { address, time } = self {
            format!("{address}: no answer within {}", seconds(*time))
        } else {
            self.to_string()
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_is_told_and_what_has_a_route_first() {
        let connect = |address: &str, why: &str, kind| Failure::Connect {
            address: address.parse().unwrap(),
            why: why.to_owned(),
            kind,
        };
        let unreachable =
            || connect("[2001:db8::1]:80", "Network is unreachable", io::ErrorKind::NetworkUnreachable);
        let refused = || connect("192.0.2.1:80", "Connection refused", io::ErrorKind::ConnectionRefused);
        let late = || Failure::ConnectTimeout {
            address: "192.0.2.2:80".parse().unwrap(),
            time: Duration::from_secs(10),
        };
        let text = |failures| Failure::of_all(failures).map(|failure| failure.to_string());
        for failures in [vec![refused(), late(), unreachable()], vec![unreachable(), refused(), late()]] {
            assert_eq!(
                text(failures).as_deref(),
                Some(
                    "cannot connect to 192.0.2.1:80: Connection refused; does anything listen there? (nor to \
                     192.0.2.2:80: no answer within 10.0 s, [2001:db8::1]:80: Network is unreachable)"
                )
            );
        }
        assert!(text(vec![unreachable()]).unwrap().contains("is there a route"), "alone it is as before");
        assert_eq!(text(Vec::new()), None);
    }
}
