//! Server-sent events as a client reads them: lines, each of bounded length, gathered into messages.
//!
//! <https://html.spec.whatwg.org/multipage/server-sent-events.html>, as far as our own server writes it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{error::Elapsed, timeout};

/// Longest line. An event is about 1 kB.
const LINE_BYTES: usize = 256 * 1024;
/// Longest quiet time: the server sends a comment every 15 s, so after four of them the connection is dead.
const QUIET: Duration = Duration::from_mins(1);

/// Why a stream broke off.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The connection did.
    #[error("cannot read from the connection")]
    Read(#[from] hyper::Error),
    /// The connection is open, but nothing comes, not even the regular sign of life.
    #[error("nothing came for {} s", QUIET.as_secs())]
    Quiet,
    /// Not a stream of ours.
    #[error("a line is longer than {LINE_BYTES} bytes")]
    LongLine,
    /// Not a stream of ours.
    #[error("a line is not UTF-8")]
    NotText,
}

/// One message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// The type of the message; empty when not given.
    pub event: String,
    /// Its data, lines joined by line breaks.
    pub data: String,
}

/// The messages of an answer.
#[derive(Debug)]
pub struct Messages {
    body: Incoming,
    parser: Parser,
}

impl Messages {
    pub(super) fn new(body: Incoming) -> Self {
        Self { body, parser: Parser::default() }
    }

    /// The next one; `None` when the server ended the stream.
    pub async fn next(&mut self) -> Result<Option<Message>, StreamError> {
        loop {
            if let Some(message) = self.parser.messages.pop_front() {
                return Ok(Some(message));
            }
            let frame = match timeout(QUIET, self.body.frame()).await {
                Ok(None) => return Ok(None),
                Ok(Some(frame)) => frame?,
                Err(Elapsed { .. }) => return Err(StreamError::Quiet),
            };
            // A frame without data has trailers, which say nothing here.
            self.parser.feed(&frame.into_data().unwrap_or_else(|_| Bytes::new()))?;
        }
    }
}

/// Bytes to messages, wherever the bytes were cut.
#[derive(Debug, Default)]
struct Parser {
    line: Vec<u8>,
    message: Message,
    has_data: bool,
    messages: VecDeque<Message>,
}

impl Parser {
    fn feed(&mut self, bytes: &[u8]) -> Result<(), StreamError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > LINE_BYTES {
                return Err(StreamError::LongLine);
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.end_of_line(&line)?;
            }
        }
        Ok(())
    }

    fn end_of_line(&mut self, line: &[u8]) -> Result<(), StreamError> {
        let line = std::str::from_utf8(line).or(Err(StreamError::NotText))?.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            let message = std::mem::take(&mut self.message);
            if std::mem::take(&mut self.has_data) {
                self.messages.push_back(message);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.message.event),
            "data" => {
                if self.has_data {
                    self.message.data.push('\n');
                }
                if self.message.data.len() + value.len() > LINE_BYTES {
                    return Err(StreamError::LongLine);
                }
                self.message.data.push_str(value);
                self.has_data = true;
            }
            // `id` is in our data too, an empty field is a comment, and others are to be ignored.
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{LINE_BYTES, Message, Parser, StreamError};

    fn message(event: &str, data: &str) -> Message {
        Message { event: event.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn messages_do_not_depend_on_how_the_bytes_were_cut() {
        let stream = ":\n\nid: 1\nevent: reset\ndata: {\"é\":1}\n\nevent: lagged\r\ndata: a\r\ndata:b\r\n\r\nevent: none\n\n";
        let expected = [message("reset", "{\"é\":1}"), message("lagged", "a\nb")];
        for size in 1..stream.len() {
            let mut parser = Parser::default();
            stream.as_bytes().chunks(size).for_each(|chunk| parser.feed(chunk).unwrap());
            assert_eq!(Vec::from(parser.messages), expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_refused_and_not_kept() {
        let mut parser = Parser::default();
        let chunk = [b'x'; 4096];
        let refused = (0..LINE_BYTES).find_map(|_| parser.feed(&chunk).err());
        assert!(matches!(refused, Some(StreamError::LongLine)));
        assert!(parser.line.len() <= LINE_BYTES);
    }

    #[test]
    fn data_without_end_is_refused_too() {
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &[b'x'; 4096], b"\n"].concat();
        let refused = (0..LINE_BYTES).find_map(|_| parser.feed(&line).err());
        assert!(matches!(refused, Some(StreamError::LongLine)));
    }
}
