//! Uploads that nginx rejects by their header, and what becomes of the rest of them.
//!
//! With `lingering_close off`, too, nginx reads on for what it rejected (`ngx_http_discard_request_body`), so that is no early close.
//! It closes early where it was told not to answer at all, and where the upload lasts longer than `lingering_time`.

use std::io::Write as _;

use anyhow::{Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use crate::ledger::Role;
use crate::oracle;
use crate::sockets::{receive_end, send, wait_for_reset};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("nginx closes a large upload unread at once", None, |api| Bench::play(api, closed_at_once)),
    ("nginx closes a large upload by its header, and the body is late data", None, |api| {
        Bench::play(api, body_after_the_close)
    }),
    ("nginx rejects a large upload, reads on for a while, and closes it unread", None, |api| {
        Bench::play(api, closed_after_a_while)
    }),
    ("nginx rejects a large upload and reads all of it, and nobody is reset", None, |api| {
        Bench::play(api, read_in_full)
    }),
];

/// As long as it says it is.
pub(super) const BODY: usize = 256 << 10;
/// More than a second later than its answer: how long the upload lasts is no quiet.
const REJECTED: &str = "client_max_body_size 1k; lingering_time 2s;";
/// Closed without an answer.
pub(super) const UNANSWERED: &str = "client_max_body_size 1m; return 444;";

/// The header of an upload.
pub(super) fn header(length: usize) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn closed_at_once(bench: &mut Bench<'_>) -> Result<()> {
    let nginx = Nginx::start(&bench.place, Settings { server: UNANSWERED, ..Settings::default() })?;
    let client = Client::connect(&bench.place)?;
    client.until_accepted()?;
    nginx.program.freeze()?;
    // More than one read of a header takes.
    let upload = [header(BODY), vec![b'x'; 32 << 10]].concat();
    send(&client.socket, &upload)?;
    oracle::until_unread(bench.place.port, client.port, upload.len().try_into()?)?;
    nginx.program.thaw()?;
    wait_for_reset(&client.socket)?;
    bench.reset(client.port, Role::Server, "unread_data");
    Ok(())
}

fn body_after_the_close(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings { server: UNANSWERED, ..Settings::default() })?;
    let client = Client::connect(&bench.place)?;
    send(&client.socket, &header(BODY))?;
    client.until_closed()?;
    send(&client.socket, &vec![b'x'; 16 << 10])?;
    wait_for_reset(&client.socket)?;
    bench.reset(client.port, Role::Server, "late_data");
    Ok(())
}

fn closed_after_a_while(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings { server: REJECTED, ..Settings::default() })?;
    let client = Client::connect(&bench.place)?;
    send(&client.socket, &header(64 << 20))?;
    ensure!(client.answer()? == 413, "the upload was not rejected");
    wait::until_true("the end of an upload", || {
        Ok((&client.socket).write(b"a bit of a large file").is_err())
    })?;
    bench.reset(client.port, Role::Server, "unread_data");
    Ok(())
}

fn read_in_full(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings { server: REJECTED, ..Settings::default() })?;
    let client = Client::connect(&bench.place)?;
    send(&client.socket, &header(BODY))?;
    ensure!(client.answer()? == 413, "the upload was not rejected");
    for _ in 0..4 {
        send(&client.socket, &vec![b'x'; BODY / 4])?;
    }
    receive_end(&client.socket)?;
    drop(client);
    bench.ended_well(1)
}
