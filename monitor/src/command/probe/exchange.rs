//! One use of a connection: a request and its whole answer, or bytes and whatever comes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{error::Elapsed, timeout};

use super::connect::Stream;
use super::failure::Failure;
use super::http::{Answering, Head};
use super::outcome::Answer;
use super::tap::RawEnd;
use crate::terminal::{printable, words};

/// Longest answer, in bytes.
const ANSWER_BYTES: u64 = 16 << 20;
/// Read at once, in bytes.
const PIECE_BYTES: usize = 16 << 10;

/// What is said on a connection.
#[derive(Clone, Debug)]
pub enum Ask {
    /// An HTTP request with this method.
    Http {
        /// Its bytes.
        request: Vec<u8>,
        /// Its method.
        method: String,
    },
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing.
    Nothing,
}

impl Ask {
    /// What is written.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Http { request, method: _ } => request,
            Self::Bytes(bytes) => bytes,
            Self::Nothing => &[],
        }
    }
}

/// How a use of a connection ended that had no answer.
#[derive(Debug)]
pub enum Unanswered {
    /// The peer ended it.
    Ended {
        /// How.
        end: RawEnd,
        /// When everything was said; monotonic.
        said: Duration,
        /// When it ended.
        at: Duration,
    },
    /// Nothing, or not enough, came in time.
    Late,
    /// What came cannot be used.
    Failed(Failure),
}

impl Unanswered {
    /// Of the first use.
    pub fn of_first(self, address: SocketAddr, time: Duration) -> Failure {
        match self {
            Self::Ended { end: RawEnd::Fin, .. } => Failure::Unanswered { address, how: "FIN" },
            Self::Ended { end: RawEnd::Reset, .. } => Failure::Unanswered { address, how: "reset" },
            Self::Late => Failure::NoAnswer { address, time },
            Self::Failed(failure) => failure,
        }
    }
}

/// Says it, and reads the answer to its end.
pub async fn exchange(
    stream: &mut Stream,
    address: SocketAddr,
    ask: &Ask,
    time: Duration,
) -> Result<Answer, Unanswered> {
    if let Err(error) = stream.write(ask.bytes()).await {
        return Err(broken(stream, address, stream.tap().moved, &error));
    }
    let said = stream.tap().moved;
    match ask {
        Ask::Nothing => Ok(Answer::Bytes(0)),
        Ask::Bytes(_) => {
            let mut buffer = vec![0; PIECE_BYTES];
            match timeout(time, stream.read(&mut buffer)).await {
                Ok(Ok(0)) => Err(ended(stream, said)),
                Ok(Ok(bytes)) => Ok(Answer::Bytes(bytes as u64)),
                Ok(Err(error)) => Err(broken(stream, address, said, &error)),
                Err(Elapsed { .. }) => Err(Unanswered::Late),
            }
        }
        Ask::Http { request: _, method } => match timeout(time, read(stream, address, said, method)).await {
            Ok(head) => head.map(Answer::Http),
            Err(Elapsed { .. }) => Err(Unanswered::Late),
        },
    }
}

async fn read(
    stream: &mut Stream,
    address: SocketAddr,
    said: Duration,
    method: &str,
) -> Result<Head, Unanswered> {
    let (mut answering, mut buffer, mut read) = (Answering::to(method), vec![0; PIECE_BYTES], 0);
    loop {
        let bytes = match stream.read(&mut buffer).await {
            Ok(0) => &[],
            Ok(bytes) => buffer.get(..bytes).unwrap_or_default(),
            Err(error) => return Err(broken(stream, address, said, &error)),
        };
        read += bytes.len() as u64;
        let taken = answering.take(bytes).map_err(|why| Failure::Answer { address, why });
        match taken.map_err(Unanswered::Failed)? {
            Some(head) => return Ok(head),
            // Its end is where the connection ends, or it will be closed anyhow: that is enough to know.
            None => {
                if let Some(head) = answering.not_kept() {
                    return Ok(head);
                }
            }
        }
        if bytes.is_empty() {
            return Err(ended(stream, said));
        }
        if read > ANSWER_BYTES {
            return Err(Unanswered::Failed(Failure::LongAnswer { address, bytes: ANSWER_BYTES }));
        }
    }
}

/// Told by TLS alone it is as good as a FIN.
fn ended(stream: &Stream, said: Duration) -> Unanswered {
    let tap = stream.tap();
    let (end, at) = tap.end.unwrap_or((RawEnd::Fin, tap.moved));
    Unanswered::Ended { end, said, at }
}

fn broken(stream: &Stream, address: SocketAddr, said: Duration, error: &io::Error) -> Unanswered {
    match stream.tap().end {
        Some((end, at)) => Unanswered::Ended { end, said, at },
        None => Unanswered::Failed(Failure::Broken { address, why: printable(&words(error)).into_owned() }),
    }
}
