//! One request, and the answer to it from bytes. Pure; a server's bytes are taken for hostile.

use std::time::Duration;

use httparse::{EMPTY_HEADER, Response, Status};

use super::target::Target;
use super::typed::Header;
use crate::terminal::printable;

/// Longest head of an answer, in bytes; servers and proxies have a quarter of it.
const HEAD_BYTES: usize = 64 << 10;
/// Most headers.
const HEADERS: usize = 256;
/// Longest line with a chunk's size, and longest trailers, in bytes.
const LINE_BYTES: usize = 16 << 10;
/// So much of what is no HTTP is shown.
const SHOWN: usize = 40;

/// What came is no answer that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// TLS.
    #[error("it answered in TLS: use https:// (or --tls)")]
    Tls,
    /// Something else.
    #[error("its answer is no HTTP/1: it begins with `{begins}` ({why})")]
    NotHttp {
        /// What it begins with, fit for a terminal.
        begins: String,
        /// What the parser says.
        why: httparse::Error,
    },
    /// Too long.
    #[error("the head of its answer is longer than {} KiB", HEAD_BYTES >> 10)]
    LongHead,
    /// Cannot be read to its end.
    #[error("the body of its answer has no readable length: {0}")]
    Body(&'static str),
    /// Not HTTP any more.
    #[error("it switched to another protocol (status 101)")]
    Switched,
    /// Nobody asked for it.
    #[error("it sent more than its answer")]
    More,
}

/// What an answer's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Status.
    pub status: u16,
    /// Why the connection is not kept after the answer; `None` where it is.
    pub not_kept: Option<&'static str>,
    /// Seconds that `Keep-Alive: timeout=N` states.
    pub stated: Option<Duration>,
    /// Where a redirect leads, fit for a terminal.
    pub location: Option<String>,
}

/// The request's bytes.
pub fn request(target: &Target, method: &str, headers: &[Header]) -> Vec<u8> {
    let mut text = format!("{method} {} HTTP/1.1\r\n", target.path);
    let usual = [
        ("Host", target.authority()),
        ("User-Agent", format!("reset-monitor/{}", env!("CARGO_PKG_VERSION"))),
        ("Accept", "*/*".to_owned()),
    ];
    let usual =
        usual.into_iter().filter(|(name, _)| !headers.iter().any(|own| own.name.eq_ignore_ascii_case(name)));
    let own = headers.iter().map(|Header { name, value }| (name.as_str(), value.clone()));
    for (name, value) in usual.chain(own) {
        text.extend([name, ": ", &value, "\r\n"]);
    }
    // Methods that usually have a body have an empty one.
    if matches!(method, "POST" | "PUT" | "PATCH") {
        text.push_str("Content-Length: 0\r\n");
    }
    text.push_str("Connection: keep-alive\r\n\r\n");
    text.into_bytes()
}

/// An answer that is being read.
#[derive(Debug)]
pub struct Answering {
    /// The request was HEAD: there is no body, whatever the head says.
    to_head: bool,
    head: Option<Head>,
    body: Body,
    /// What came and is not understood yet.
    pending: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Done,
    Left(u64),
    UntilEnd,
    ChunkSize,
    Chunk(u64),
    AfterChunk,
    Trailers,
}

impl Answering {
    /// To a request with this method.
    pub fn to(method: &str) -> Self {
        Self { to_head: method == "HEAD", head: None, body: Body::UntilEnd, pending: Vec::new() }
    }

    /// Takes bytes in; the head once the answer is complete.
    pub fn take(&mut self, bytes: &[u8]) -> Result<Option<Head>, HttpError> {
        self.pending.extend_from_slice(bytes);
        while self.head.is_none() {
            let Some((head, body, length)) = head(&self.pending, self.to_head)? else { return Ok(None) };
            self.pending.drain(..length);
            // Interim answers come before the real one.
            if head.status >= 200 {
                (self.head, self.body) = (Some(head), body);
            }
        }
        while self.step()? {}
        match (self.body, self.pending.is_empty()) {
            (Body::Done, true) => Ok(self.head.clone()),
            (Body::Done, false) => Err(HttpError::More),
            (
                Body::Left(_)
                | Body::UntilEnd
                | Body::ChunkSize
                | Body::Chunk(_)
                | Body::AfterChunk
                | Body::Trailers,
                _,
            ) => Ok(None),
        }
    }

    /// The head of an answer that its connection's end completes, or that has no end otherwise.
    pub fn not_kept(&self) -> Option<Head> {
        self.head.clone().filter(|head| head.not_kept.is_some())
    }

    /// Understands one more piece; false when more must come, or nothing.
    fn step(&mut self) -> Result<bool, HttpError> {
        let pending = &mut self.pending;
        let (used, next) = match self.body {
            Body::Done => return Ok(false),
            Body::UntilEnd => {
                pending.clear();
                return Ok(false);
            }
            Body::Left(left) => {
                let used = least(left, pending);
                (used, if used as u64 == left { Body::Done } else { Body::Left(left - used as u64) })
            }
            Body::Chunk(left) => {
                let used = least(left, pending);
                (used, if used as u64 == left { Body::AfterChunk } else { Body::Chunk(left - used as u64) })
            }
            Body::AfterChunk => match pending.get(..2) {
                Some(b"\r\n") => (2, Body::ChunkSize),
                Some(_) => return Err(HttpError::Body("a chunk is not as long as it says")),
                None => (0, Body::AfterChunk),
            },
            Body::ChunkSize => match httparse::parse_chunk_size(pending) {
                Ok(Status::Complete((used, 0))) => (used, Body::Trailers),
                Ok(Status::Complete((used, size))) => (used, Body::Chunk(size)),
                Ok(Status::Partial) if pending.len() <= LINE_BYTES => (0, Body::ChunkSize),
                Ok(Status::Partial) | Err(_) => return Err(HttpError::Body("a chunk's size is no number")),
            },
            Body::Trailers => {
                let mut headers = [EMPTY_HEADER; HEADERS];
                match httparse::parse_headers(pending, &mut headers) {
                    Ok(Status::Complete((used, _))) => (used, Body::Done),
                    Ok(Status::Partial) if pending.len() <= LINE_BYTES => (0, Body::Trailers),
                    Ok(Status::Partial) | Err(_) => {
                        return Err(HttpError::Body("what follows its last chunk"));
                    }
                }
            }
        };
        let moved = next != self.body;
        self.body = next;
        pending.drain(..used);
        Ok(moved)
    }
}

fn least(left: u64, pending: &[u8]) -> usize {
    usize::try_from(left).map_or(pending.len(), |left| left.min(pending.len()))
}

/// The head at the beginning of `bytes`, how its body ends, and the head's length; `None` while it is not complete.
fn head(bytes: &[u8], to_head: bool) -> Result<Option<(Head, Body, usize)>, HttpError> {
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut response = Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) => length,
        Ok(Status::Partial) if bytes.len() > HEAD_BYTES => return Err(HttpError::LongHead),
        Ok(Status::Partial) => return Ok(None),
        // A record of a handshake or an alert, of any version.
        Err(_) if matches!(bytes, [0x15 | 0x16, 3, ..]) => return Err(HttpError::Tls),
        Err(why) => {
            let begins = String::from_utf8_lossy(bytes.get(..SHOWN).unwrap_or(bytes)).into_owned();
            return Err(HttpError::NotHttp { begins: printable(&begins).into_owned(), why });
        }
    };
    let status = response.code.unwrap_or_default();
    if status == 101 {
        return Err(HttpError::Switched);
    }
    let fields = Fields(response.headers);
    let body =
        if to_head || status < 200 || status == 204 || status == 304 { Body::Done } else { fields.body()? };
    let not_kept = if fields.lists("connection", "close") {
        Some("`Connection: close`")
    } else if response.version == Some(0) && !fields.lists("connection", "keep-alive") {
        Some("HTTP/1.0 without `Connection: keep-alive`")
    } else if body == Body::UntilEnd {
        Some("a body that only the connection's end can end")
    } else {
        None
    };
    let location = fields.first("location").filter(|_| (300..400).contains(&status));
    let location = location.map(|value| printable(&String::from_utf8_lossy(value)).into_owned());
    Ok(Some((Head { status, not_kept, stated: fields.stated(), location }, body, length)))
}

struct Fields<'a>(&'a [httparse::Header<'a>]);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        self.0.iter().filter(move |field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    fn first(&self, name: &str) -> Option<&'a [u8]> {
        self.all(name).next()
    }

    /// Elements of a list, in all lines with this name.
    fn elements(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let texts = self.all(name).filter_map(|value| std::str::from_utf8(value).ok());
        texts.flat_map(|text| text.split(',').map(str::trim))
    }

    fn lists(&self, name: &str, element: &str) -> bool {
        self.elements(name).any(|one| one.eq_ignore_ascii_case(element))
    }

    /// RFC 9112, 6.3.
    fn body(&self) -> Result<Body, HttpError> {
        if self.first("transfer-encoding").is_some() {
            let last = self.elements("transfer-encoding").last();
            let chunked = last.is_some_and(|last| last.eq_ignore_ascii_case("chunked"));
            return Ok(if chunked { Body::ChunkSize } else { Body::UntilEnd });
        }
        let mut lengths = self.all("content-length").map(|value| {
            let digits = std::str::from_utf8(value)
                .ok()
                .map(str::trim)
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
            digits
                .and_then(|digits| digits.parse().ok())
                .ok_or(HttpError::Body("Content-Length is no number"))
        });
        let Some(first) = lengths.next().transpose()? else { return Ok(Body::UntilEnd) };
        for other in lengths {
            if other? != first {
                return Err(HttpError::Body("it has two different Content-Length"));
            }
        }
        Ok(Body::Left(first))
    }

    /// Of `Keep-Alive: timeout=5, max=100`.
    fn stated(&self) -> Option<Duration> {
        self.elements("keep-alive").find_map(|element| {
            let (name, value) = element.split_once('=')?;
            let seconds: u32 = value.trim().trim_matches('"').parse().ok()?;
            name.trim().eq_ignore_ascii_case("timeout").then(|| Duration::from_secs(seconds.into()))
        })
    }
}

#[cfg(test)]
mod tests;
