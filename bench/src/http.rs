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
    let mut stream = ask(address, path)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).with_context(|| format!("GET {path}"))?;
    let answer = String::from_utf8(answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP answer to {path}"))?;
    ensure!(head.starts_with("HTTP/1.1 200"), "GET {path}: {head}\n{body}");
    Ok(body.to_owned())
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
