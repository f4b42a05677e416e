//! A small HTTP client for the daemon: one request per connection, as a scraper without keep-alive does.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

/// The daemon answers within milliseconds; beyond this it is stuck.
const LONGEST_WAIT: Duration = Duration::from_secs(20);

/// `GET`: the body of an answer with status 200, chunks and all.
pub(crate) fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut answer = Vec::new();
    read(address, path, &mut answer)?;
    let answer = String::from_utf8(answer)?;
    let (_, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP answer to {path}"))?;
    Ok(body.to_owned())
}

/// The same, into a buffer whose room is there already, as it came: what is measured is the daemon's time and the way, not ours.
pub(crate) fn read(address: SocketAddr, path: &str, answer: &mut Vec<u8>) -> Result<()> {
    answer.clear();
    ask(address, path)?.read_to_end(answer).with_context(|| format!("GET {path}"))?;
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "GET {path}: {}", String::from_utf8_lossy(answer));
    Ok(())
}

/// The same as JSON. The daemon sends JSON in one piece.
pub(crate) fn json(address: SocketAddr, path: &str) -> Result<Value> {
    serde_json::from_str(&get(address, path)?).with_context(|| format!("unexpected JSON from {path}"))
}

/// Opens an endless answer and reads its head.
pub(crate) fn open_stream(address: SocketAddr, path: &str) -> Result<BufReader<TcpStream>> {
    let mut reader = BufReader::new(ask(address, path)?);
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        ensure!(reader.read_line(&mut line)? > 0, "the stream ended in its head");
    }
    Ok(reader)
}

fn ask(address: SocketAddr, path: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address).context("cannot connect to the daemon")?;
    stream.set_read_timeout(Some(LONGEST_WAIT))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    Ok(stream)
}
