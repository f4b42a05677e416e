//! One POST to one receiver, within bounds of time and size. A connection each: they are a minute apart.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;
use tokio::time::{error::Elapsed, timeout};
use tokio_rustls::TlsConnector;

use super::settings::{Address, Auth};
use crate::clock;
use crate::terminal::{innermost, printable};

/// Of an answer, that is read at most: it is for a log.
const ANSWER_BYTES: usize = 4_096;
/// Of what it says, that is logged.
const LONGEST_QUOTE: usize = 200;
/// Of a file with a secret.
const LONGEST_SECRET: u64 = 64 * 1_024;

/// Why an instance does not have what it was to be told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It does not want it, and would not a moment later either.
    #[error("it answered {status}: {said}")]
    Refused { status: StatusCode, said: String },
    /// It cannot, now.
    #[error("it answered {status}: {said}")]
    Unable {
        status: StatusCode,
        said: String,
        /// Not to be asked again sooner, if it says so.
        wait: Option<Duration>,
    },
    /// It said nothing.
    #[error("no answer after {seconds} s")]
    Silent { seconds: f64 },
    /// It cannot be reached, or breaks off.
    #[error("{0}")]
    Reach(String),
    /// A file cannot be used.
    #[error("{}: {why}", .path.display())]
    File { path: PathBuf, why: String },
}

/// How one receiver is reached.
#[derive(Debug)]
pub(crate) struct Client {
    address: Address,
    timeout: Duration,
    /// Made when it is needed first.
    tls: Option<Arc<ClientConfig>>,
}

/// What is posted.
#[derive(Debug)]
pub(crate) struct Post {
    /// The API's path.
    pub(crate) path: &'static str,
    /// The type of the body.
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
    /// Besides those that every request has.
    pub(crate) headers: HeaderMap,
}

impl Client {
    pub(crate) const fn new(address: Address, timeout: Duration) -> Self {
        Self { address, timeout, tls: None }
    }

    /// Tells it this; returns the beginning of what it says.
    pub(crate) async fn post(&mut self, post: Post) -> Result<Bytes, Failure> {
        let seconds = self.timeout.as_secs_f64();
        match timeout(self.timeout, self.try_post(post)).await {
            Ok(done) => done,
            Err(Elapsed { .. }) => Err(Failure::Silent { seconds }),
        }
    }

    async fn try_post(&mut self, post: Post) -> Result<Bytes, Failure> {
        let request = self.request(post).await?;
        let host = self.address.authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let tcp = TcpStream::connect((host.as_str(), self.address.port())).await.map_err(reach)?;
        if !self.address.encrypted {
            return exchange(tcp, request).await;
        }
        let Ok(name) = ServerName::try_from(host.clone()) else {
            return Err(Failure::Reach(format!("`{host}` is no name that a certificate can have")));
        };
        let config = self.tls().await?;
        match TlsConnector::from(config).connect(name, tcp).await {
            Ok(stream) => exchange(stream, request).await,
            Err(error) => {
                // The next try reads the file anew: whom to believe may have changed.
                self.tls = None;
                Err(reach(error))
            }
        }
    }

    async fn request(&self, post: Post) -> Result<Request<Full<Bytes>>, Failure> {
        let Post { path, content_type, body, headers } = post;
        let Address { encrypted: _, authority, prefix, ca_file: _, auth } = &self.address;
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(format!("{prefix}{path}"))
            .header(header::HOST, authority.as_str())
            .header(header::CONTENT_TYPE, content_type)
            .header(header::USER_AGENT, concat!("reset-monitor/", env!("CARGO_PKG_VERSION")))
            .header(header::CONNECTION, "close");
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let secret = match auth {
            Auth::None => None,
            Auth::Bearer(file) => Some((file, format!("Bearer {}", read_secret(file).await?))),
            Auth::Basic(name, file) => {
                let pair = format!("{name}:{}", read_secret(file).await?);
                Some((file, format!("Basic {}", BASE64_STANDARD.encode(pair))))
            }
        };
        if let Some((file, secret)) = secret {
            let Ok(mut value) = HeaderValue::try_from(secret) else {
                let why = "what it has cannot be sent: it must be one line of text".to_owned();
                return Err(Failure::File { path: file.clone(), why });
            };
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::from(body)).map_err(reach)
    }

    async fn tls(&mut self) -> Result<Arc<ClientConfig>, Failure> {
        if let Some(config) = &self.tls {
            return Ok(Arc::clone(config));
        }
        let file = self.address.ca_file.clone();
        let config = spawn_blocking(move || tls(file.as_deref())).await.map_err(reach)??;
        Ok(Arc::clone(self.tls.insert(config)))
    }
}

/// One request and its answer.
async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Bytes, Failure> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(reach)?;
    let ask = async move {
        let answer = sender.send_request(request).await.map_err(reach)?;
        let status = answer.status();
        let wait = answer.headers().get(header::RETRY_AFTER).and_then(|value| wait_of(value, clock::now()));
        let said = Limited::new(answer.into_body(), ANSWER_BYTES).collect().await;
        let said = said.map(Collected::to_bytes).unwrap_or_default();
        if status.is_success() {
            return Ok(said);
        }
        let said: String = String::from_utf8_lossy(&said).chars().take(LONGEST_QUOTE).collect();
        let said = printable(said.trim()).into_owned();
        let is_final = status.is_client_error()
            && status != StatusCode::TOO_MANY_REQUESTS
            && status != StatusCode::REQUEST_TIMEOUT;
        Err(if is_final { Failure::Refused { status, said } } else { Failure::Unable { status, said, wait } })
    };
    // The connection ends with the request, whose failure tells more than its own.
    let (answer, _ended) = tokio::join!(ask, connection);
    answer
}

/// `Retry-After`: seconds, or a moment (RFC 9110, 10.2.3).
fn wait_of(value: &HeaderValue, now: Timestamp) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let moment = rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(Duration::try_from(moment.duration_since(now)).unwrap_or_default())
}

/// What a file has, without the white space around it.
pub(crate) async fn read_secret(file: &Path) -> Result<String, Failure> {
    let path = file.to_owned();
    let read = move || {
        let wrong = |why: String| Failure::File { path: path.clone(), why };
        let size = std::fs::metadata(&path).map_err(|error| wrong(error.to_string()))?.len();
        if size > LONGEST_SECRET {
            return Err(wrong("it is too long for a secret".to_owned()));
        }
        let text = std::fs::read_to_string(&path).map_err(|error| wrong(error.to_string()))?;
        Ok(text.trim().to_owned())
    };
    spawn_blocking(read).await.map_err(reach)?
}

/// Whom to believe: who is in the file, or whom this host believes.
fn tls(ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, Failure> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = ca_file {
        let wrong = |why: String| Failure::File { path: file.to_owned(), why };
        let text = std::fs::read(file).map_err(|error| wrong(error.to_string()))?;
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
            roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(wrong("there is no certificate in it; it must be PEM".to_owned()));
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if roots.is_empty() {
            let why = "this host believes nobody: install ca-certificates, or set ca_file";
            return Err(Failure::Reach(why.to_owned()));
        }
    }
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(builder.map_err(reach)?.with_root_certificates(roots).with_no_client_auth()))
}

pub(crate) fn reach(error: impl std::error::Error + 'static) -> Failure {
    Failure::Reach(printable(&innermost(&error)).into_owned())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{HeaderValue, wait_of};

    #[test]
    fn retry_after_is_a_number_of_seconds_or_a_moment() {
        let now = "2026-11-20T02:00:00Z".parse().unwrap();
        for (text, wanted) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Fri, 20 Nov 2026 02:01:30 GMT", Some(90)),
            ("Fri, 20 Nov 2026 01:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
        ] {
            let wait = wait_of(&HeaderValue::from_static(text), now);
            assert_eq!(wait, wanted.map(Duration::from_secs), "{text}");
        }
    }
}
