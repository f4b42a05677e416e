//! Pools of real clients, which give up a connection that was not used for a while. The judge is the quiet that the trial measures as
//! their server.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use monitor::view::timeouts::{SideView, TimeoutView};
use socket2::Socket;

use super::Experiment;
use super::bench::Bench;
use super::keepalive::{APART, MOMENTS, rows};
use crate::clock::Moment;
use crate::daemon::Scratch;
use crate::needs::Need;
use crate::scripted::Scripted;
use crate::sockets::{Place, receive_end, send};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("a pool of Python's http.client gives up first, and its timeout is inferred", Some(Need::Pace), |api| {
        Bench::play(api, |bench| gives_up(bench, python(&bench.place, 5)?))
    }),
    ("Java's HttpClient gives up first, and its timeout is inferred", Some(Need::Java), |api| {
        Bench::play(api, |bench| {
            let files = Scratch::create()?;
            gives_up(bench, java(&bench.place, &files, 5)?)
        })
    }),
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nresponse";

/// After so many seconds.
pub(super) fn python(place: &Place, patience: u32) -> Result<Scripted> {
    let target = place.target();
    let [address, port, source, patience] = [
        target.ip().to_string(),
        target.port().to_string(),
        place.source().to_string(),
        patience.to_string(),
    ];
    Scripted::start(include_str!("pool_client.py"), &[&address, &port, &source, &patience])
}

/// After so many seconds, or up to one less: it counts in whole ones, from the one in which the connection was used.
pub(super) fn java(place: &Place, files: &Scratch, patience: u32) -> Result<Scripted> {
    let source = files.file("PoolClient.java")?;
    fs::write(&source, include_str!("PoolClient.java"))?;
    let url = format!("http://{}/", place.target());
    Scripted::run("java", &[&format!("-Djdk.httpclient.keepalive.timeout={patience}"), &source, &url])
}

/// It asks, and leaves its connection alone, again and again. Both ends know after which quiet it gives up, and that this is no danger.
fn gives_up(bench: &mut Bench<'_>, mut client: Scripted) -> Result<()> {
    let service = bench.place.listen()?;
    let mut measured = Vec::new();
    let mut leave_alone = || -> Result<()> {
        client.say("get")?;
        let connection = service.accept()?;
        let ((), served) = Moment::of(|| answer(&connection))?;
        ensure!(client.hear()?.word(0)? == "response", "not what was answered");
        let ((), closed) = Moment::of(|| receive_end(&connection))?;
        measured.push(closed.after.saturating_sub(served.after));
        drop(connection);
        wait::quiet_for(APART);
        Ok(())
    };
    (0..MOMENTS).try_for_each(|_| leave_alone())?;
    let rows = wait::until("both ends to know the timeout", || {
        let rows = rows(bench)?;
        let known = rows.len() == 2 && rows.iter().all(|row| !client_of(row).timeouts.is_empty());
        if !known {
            // One that has just started is late with everything.
            leave_alone()?;
        }
        Ok(if known { Ok(rows) } else { Err(format!("{rows:?}")) })
    })?;
    measured.sort_unstable();
    let median = measured.get(measured.len() / 2).map(Duration::as_secs_f64).context("no request")?;
    for row in &rows {
        let inferred = client_of(row).timeouts.first().context("no timeout")?.seconds;
        let off = (inferred - median).abs();
        ensure!(off <= (median * 0.05).max(0.3), "{inferred} s inferred and {median} s measured: {row:?}");
        ensure!(row.verdict != "misaligned", "{row:?}");
    }
    bench.ended_well(measured.len().try_into()?)
}

/// Reads a request, and answers it.
fn answer(connection: &Socket) -> Result<()> {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        (&*connection).read_exact(&mut byte).context("no request")?;
        request.extend(byte);
    }
    send(connection, ANSWER)
}

/// What was seen of the client.
fn client_of(row: &TimeoutView) -> &SideView {
    if row.role == "client" { &row.local } else { &row.remote }
}
