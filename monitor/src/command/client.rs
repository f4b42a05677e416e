//! The client side of the API: one GET that answers with JSON, or a stream of events.
//!
//! Plain HTTP only. What the other end may make us hold is bounded, since it may be anything that listens there.

use std::error::Error as StdError;
use std::time::Duration;

use anyhow::Context;
use axum::http::StatusCode;
use axum::http::uri::{InvalidUri, PathAndQuery, Scheme, Uri};
use bytes::Bytes;
use http_body_util::{BodyExt, Collected, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;
use tokio::time::{error::Elapsed, timeout};

use self::sse::{Messages, StreamError};
use crate::terminal::{innermost, printable};
use crate::view::{ErrorView, VersionView};

pub mod sse;

/// Time for the answer's headers, and for all of an answer that is not a stream.
const ANSWER: Duration = Duration::from_secs(30);
/// Time for the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest JSON answer: all peers of the largest budget.
const ANSWER_BYTES: usize = 256 << 20;

/// This program's version.
const OURS: &str = env!("CARGO_PKG_VERSION");

/// The daemon to ask.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    /// URL of the daemon
    #[arg(long, value_name = "URL", env = "RESET_MONITOR_SERVER", default_value = "http://127.0.0.1:9777")]
    pub server: String,
}

/// Why the daemon did not answer as hoped.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL cannot be read.
    #[error("`{url}` is not a URL such as http://127.0.0.1:9777")]
    ReadUrl {
        /// As typed.
        url: String,
        /// What is wrong with it.
        source: Option<InvalidUri>,
    },
    /// The URL asks for TLS.
    #[error(
        "`{url}`: the daemon speaks plain HTTP; use http://, or a tunnel such as `ssh -L 9777:127.0.0.1:9777 HOST`"
    )]
    Encrypted {
        /// As typed.
        url: String,
    },
    /// Nobody answers there.
    #[error(
        "cannot reach reset-monitor at {url}: {why}; is it running? start it with `sudo reset-monitor run`, name another one with --server, or watch without one with `reset-monitor events --local`"
    )]
    Reach {
        /// As typed.
        url: String,
        /// The innermost reason.
        why: String,
    },
    /// It answered that it will not.
    #[error("{url} answered {status}: {message}")]
    Refused {
        /// As typed.
        url: String,
        /// The status.
        status: StatusCode,
        /// The server's own words.
        message: String,
    },
    /// The answer broke off or is too long.
    #[error("cannot read the answer of {url}: {why}")]
    ReadAnswer {
        /// As typed.
        url: String,
        /// The innermost reason.
        why: String,
    },
    /// The answer is not what this version knows.
    #[error(
        "the answer of {url} is not what this version of reset-monitor expects; is it another version, or another program?"
    )]
    Understand {
        /// As typed.
        url: String,
        /// Where it differs.
        source: serde_json::Error,
    },
    /// It is a daemon of another version.
    #[error(
        "{url} is reset-monitor {theirs}, which reset-monitor {ours} does not understand: use the program of the daemon's version"
    )]
    OtherVersion {
        /// As typed.
        url: String,
        /// The daemon's.
        theirs: String,
        /// This program's.
        ours: &'static str,
    },
    /// Something else listens there.
    #[error(
        "{url} is not reset-monitor: {what}; name the daemon with --server or RESET_MONITOR_SERVER, and see with `ss -ltnp` who listens there"
    )]
    Stranger {
        /// As typed.
        url: String,
        /// What it did.
        what: String,
    },
    /// The event stream broke off.
    #[error("the event stream of {url} broke off")]
    Stream {
        /// As typed.
        url: String,
        /// Why.
        source: StreamError,
    },
    /// The event stream came to its end.
    #[error("{url} ended the event stream: reset-monitor was stopped or restarted there")]
    StreamEnded {
        /// As typed.
        url: String,
    },
}

/// A daemon somewhere.
#[derive(Debug)]
pub struct Server {
    url: String,
    base: Uri,
    client: Client<HttpConnector, Empty<Bytes>>,
}

impl Server {
    /// From what was typed; `http://` may be left out.
    pub fn new(args: &ServerArgs) -> Result<Self, ClientError> {
        let url = args.server.clone();
        let full = if url.contains("://") { url.clone() } else { format!("http://{url}") };
        let base: Uri = match full.parse() {
            Ok(base) => base,
            Err(source) => return Err(ClientError::ReadUrl { url, source: Some(source) }),
        };
        if base.scheme() == Some(&Scheme::HTTPS) {
            return Err(ClientError::Encrypted { url });
        }
        if base.scheme() != Some(&Scheme::HTTP) || base.query().is_some() {
            return Err(ClientError::ReadUrl { url, source: None });
        }
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT));
        Ok(Self { url, base, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    /// GET of `path` (with its query), read as JSON.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        match self.read(path).await {
            Err(error) => Err(self.who_is_it(error).await),
            Ok(answer) => Ok(answer),
        }
    }

    /// What an answer that was not expected means: another version, another program, or what it says.
    async fn who_is_it(&self, error: ClientError) -> ClientError {
        let what = match &error {
            ClientError::Understand { .. } => "its answer is something else".to_owned(),
            ClientError::Refused { status, .. } if *status == StatusCode::NOT_FOUND => {
                format!("it answered {status}")
            }
            ClientError::Refused { .. }
            | ClientError::ReadUrl { .. }
            | ClientError::Encrypted { .. }
            | ClientError::Reach { .. }
            | ClientError::ReadAnswer { .. }
            | ClientError::OtherVersion { .. }
            | ClientError::Stranger { .. }
            | ClientError::Stream { .. }
            | ClientError::StreamEnded { .. } => return error,
        };
        let url = self.url.clone();
        match self.read::<VersionView>("/api/v1/status").await {
            Ok(VersionView { version }) if version == OURS => error,
            Ok(VersionView { version }) => {
                ClientError::OtherVersion { url, theirs: printable(&version).into_owned(), ours: OURS }
            }
            Err(_) => ClientError::Stranger { url, what },
        }
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let body = self.ask(path).await?;
        let read = timeout(ANSWER, Limited::new(body, ANSWER_BYTES).collect()).await;
        let bytes = match read {
            Ok(Ok(collected)) => collected.to_bytes(),
            Ok(Err(error)) => return Err(self.unreadable(innermost(&*error))),
            Err(Elapsed { .. }) => {
                return Err(self.unreadable(format!("not complete after {} s", ANSWER.as_secs())));
            }
        };
        serde_json::from_slice(&bytes)
            .map_err(|source| ClientError::Understand { url: self.url.clone(), source })
    }

    /// GET of `path` (with its query), read as server-sent events.
    pub async fn stream(&self, path: &str) -> Result<Messages, ClientError> {
        match self.ask(path).await {
            Ok(body) => Ok(Messages::new(body)),
            Err(error) => Err(self.who_is_it(error).await),
        }
    }

    /// What a stream's failure means for the user.
    pub fn stream_failed(&self, source: StreamError) -> ClientError {
        ClientError::Stream { url: self.url.clone(), source }
    }

    /// What a stream's end means for the user.
    pub fn stream_ended(&self) -> ClientError {
        ClientError::StreamEnded { url: self.url.clone() }
    }

    async fn ask(&self, path: &str) -> Result<Incoming, ClientError> {
        let uri = self.uri(path)?;
        let answer = match timeout(ANSWER, self.client.get(uri)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(self.unreachable(&error)),
            Err(Elapsed { .. }) => {
                let why = format!("no answer after {} s", ANSWER.as_secs());
                return Err(ClientError::Reach { url: self.url.clone(), why });
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer.into_body());
        }
        let body = timeout(ANSWER, Limited::new(answer.into_body(), 64 * 1024).collect()).await;
        let bytes = body.ok().and_then(Result::ok).map(Collected::to_bytes).unwrap_or_default();
        let url = self.url.clone();
        Err(match serde_json::from_slice(&bytes) {
            Ok(ErrorView { error: message }) => {
                ClientError::Refused { url, status, message: printable(&message).into_owned() }
            }
            Err(_) => ClientError::Stranger { url, what: format!("it answered {status}") },
        })
    }

    /// The typed URL's path, if any, is a prefix: the daemon may be behind a proxy.
    fn uri(&self, path: &str) -> Result<Uri, ClientError> {
        let bad = |source| ClientError::ReadUrl { url: self.url.clone(), source: Some(source) };
        let path: PathAndQuery =
            format!("{}{path}", self.base.path().trim_end_matches('/')).parse().map_err(bad)?;
        let mut parts = self.base.clone().into_parts();
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).or(Err(ClientError::ReadUrl { url: self.url.clone(), source: None }))
    }

    fn unreachable(&self, error: &legacy::Error) -> ClientError {
        // A connection that was made, and then no fault of the system: what came over it was no HTTP.
        let first: &dyn StdError = error;
        let has_system_fault = std::iter::successors(Some(first), |error| (*error).source())
            .any(<dyn StdError>::is::<std::io::Error>);
        if !error.is_connect() && !has_system_fault {
            let what = "it does not answer in HTTP".to_owned();
            return ClientError::Stranger { url: self.url.clone(), what };
        }
        ClientError::Reach { url: self.url.clone(), why: innermost(error) }
    }

    fn unreadable(&self, why: String) -> ClientError {
        ClientError::ReadAnswer { url: self.url.clone(), why }
    }
}

/// Runs a client command to its end.
pub fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    let result = runtime.block_on(command);
    // A name that is still being looked up is not worth waiting for.
    runtime.shutdown_background();
    result
}

#[cfg(test)]
mod tests {
    use super::{ClientError, Server, ServerArgs};

    fn server(url: &str) -> Result<Server, ClientError> {
        Server::new(&ServerArgs { server: url.to_owned() })
    }

    #[test]
    fn a_url_may_lack_its_scheme_and_have_a_path() {
        for (url, asked) in [
            ("http://127.0.0.1:9777", "http://127.0.0.1:9777/api?x=1"),
            ("node-7:9777", "http://node-7:9777/api?x=1"),
            ("http://[::1]:9777/", "http://[::1]:9777/api?x=1"),
            ("http://proxy/node-7/", "http://proxy/node-7/api?x=1"),
        ] {
            assert_eq!(server(url).unwrap().uri("/api?x=1").unwrap(), asked, "{url}");
        }
    }

    #[test]
    fn what_cannot_be_asked_is_refused_with_the_reason() {
        assert!(matches!(server("https://127.0.0.1:9777"), Err(ClientError::Encrypted { .. })));
        for url in ["", "ftp://x", "http://", "http://a b", "http://x?y=1"] {
            assert!(matches!(server(url), Err(ClientError::ReadUrl { .. })), "{url}");
        }
    }
}
