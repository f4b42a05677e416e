//! Idle timeouts of real servers: inferred from what they close, called misaligned before any reset, and aligned when their clients
//! give up first. The judge is the quiet that the trial measures on its own socket, not the number in the settings.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use monitor::view::timeouts::{SideView, TimeoutView};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Program;
use super::used::{Use, http, quiets, redis, tls};
use super::{haproxy, node};
use crate::clock::{Moment, now};
use crate::ledger::Role;
use crate::needs::Need;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("nginx's timeout is inferred, misaligned, raced, and aligned once clients give up", None, |api| {
        Bench::play(api, of_nginx)
    }),
    (
        "HAProxy's timeout is inferred, misaligned, raced, and aligned once clients give up",
        Some(Need::Pace),
        |api| Bench::play(api, of_haproxy),
    ),
    (
        "Node's timeout is inferred, misaligned, raced, and aligned once clients give up",
        Some(Need::Node),
        |api| Bench::play(api, of_node),
    ),
    (
        "a TLS server's timeout is inferred, misaligned, raced, and aligned once clients give up",
        Some(Need::Pace),
        |api| Bench::play(api, of_tls),
    ),
    (
        "Redis' timeout is inferred, misaligned, raced, and aligned once clients give up",
        Some(Need::Pace),
        |api| Bench::play(api, of_redis),
    ),
    ("a server's timeout is inferred from what curl asks for now and then", Some(Need::Pace), |api| {
        Bench::play(api, of_curl)
    }),
];

/// So many moments make a timeout that is exact.
pub(super) const MOMENTS: usize = 3;
/// And so many one of nine seconds that ticks once a second.
const TICKING: usize = 6;
/// Between them.
pub(super) const APART: Duration = Duration::from_millis(1_200);

/// Of a server's timeout, in seconds: far enough above what clients will do for the margin of 5 s, on a slow machine, too.
const SERVER: u32 = 9;

fn of_nginx(bench: &mut Bench<'_>) -> Result<()> {
    let server = format!("keepalive_timeout {SERVER}s;");
    let _nginx = Nginx::start(&bench.place, Settings { server: &server, ..Settings::default() })?;
    whole_story(bench, (MOMENTS, APART), http)
}

fn of_haproxy(bench: &mut Bench<'_>) -> Result<()> {
    let _proxy = haproxy::answering(bench, Duration::from_secs(SERVER.into()))?;
    whole_story(bench, (MOMENTS, APART), http)
}

fn of_node(bench: &mut Bench<'_>) -> Result<()> {
    let _node = node::answering(bench, Duration::from_secs(SERVER.into()))?;
    whole_story(bench, (TICKING, APART), http)
}

fn of_tls(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start_with_tls(&bench.place, &format!("keepalive_timeout {SERVER}s;"))?;
    whole_story(bench, (MOMENTS, APART), tls)
}

fn of_redis(bench: &mut Bench<'_>) -> Result<()> {
    let _redis = redis_server(bench, SERVER)?;
    // Its closes are whole seconds apart, and what closes within one is one moment.
    whole_story(bench, (TICKING, 2 * APART), redis)
}

/// Redis at the bench's place. It looks at its clients once a second, by a clock of whole seconds.
pub(super) fn redis_server(bench: &Bench<'_>, timeout: u32) -> Result<Program> {
    let target = bench.place.target();
    let [address, port, timeout] = [target.ip().to_string(), target.port().to_string(), timeout.to_string()];
    let mut redis = Program::start(
        "redis-server",
        &["--bind", &address, "--port", &port, "--timeout", &timeout, "--save", "", "--protected-mode", "no"],
    )?;
    redis.until_listening(target.port())?;
    Ok(redis)
}

/// Inferred and misaligned before any reset; the race that was to be expected; and what the advice says.
fn whole_story(bench: &mut Bench<'_>, moments: (usize, Duration), make: Use) -> Result<()> {
    let ((), misaligned) = Moment::of(|| is_inferred(bench, moments, make))?;
    let port = make(&bench.place)?.too_late()?;
    bench.reset(port, Role::Server, "idle_reuse");
    let load = || -> Result<()> {
        let client = make(&bench.place)?;
        wait::quiet_for(APART);
        client.give_up()
    };
    let aligned_from = now();
    wait::until("the pair to be aligned", || {
        load()?;
        let rows = rows(bench)?;
        let aligned = rows.iter().all(|row| row.verdict == "aligned" && row.margin_seconds > Some(5.0));
        Ok(if aligned { Ok(()) } else { Err(format!("{rows:?}")) })
    })?;
    // For as long again.
    while now().saturating_sub(aligned_from) < misaligned.after.saturating_sub(misaligned.before) {
        load()?;
    }
    // That one, and no other since.
    for role in [Role::Client, Role::Server] {
        ensure!(bench.counts(role)?.reset == 1, "resets: {:?}", bench.counts(role)?);
    }
    Ok(())
}

/// A request every five seconds on one connection, which curl makes anew when it finds that the server has closed it.
fn of_curl(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 4s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let (url, source) = (format!("http://{}/", bench.place.target()), bench.place.source().to_string());
    // Its last connection it closes itself.
    let requests = (0..=MOMENTS + 1).map(|_| url.as_str());
    let curl =
        Command::new("curl").args(["-sS", "--rate", "12/m", "--interface", &source]).args(requests).output();
    let curl = curl.context("cannot run `curl`")?;
    ensure!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    let (client, served) = Moment::of(|| http(&bench.place))?;
    let ((), ended) = Moment::of(|| client.until_ended())?;
    is_told(bench, ended.after.saturating_sub(served.after).as_secs_f64())
}

/// Connections are used and left alone, so many with so much time between; the server closes each. Both ends know after which quiet, and
/// that this is a danger, and no reset was needed.
fn is_inferred(bench: &mut Bench<'_>, (moments, apart): (usize, Duration), make: Use) -> Result<()> {
    let mut measured = Vec::new();
    loop {
        measured.extend(quiets(&bench.place, (moments, apart), make)?);
        // Told of them all, at both ends, and the last moment is over.
        wait::until_true("closes to be told", || {
            let query =
                format!("after={}&limit=10000&idle_closes=true&port={}", bench.after, bench.place.port);
            let events = bench.api.events(&query)?.events;
            Ok(events.iter().filter(|event| event.kind.starts_with("idle_close")).count()
                >= 2 * measured.len())
        })?;
        wait::quiet_for(APART);
        // On a busy machine timers are late, and it takes more of them.
        if measured.len() > moments * 3 || rows(bench)?.iter().any(|row| !server_of(row).timeouts.is_empty())
        {
            break;
        }
    }
    measured.sort_unstable();
    is_told(bench, measured.get(measured.len() / 2).context("no client")?.as_secs_f64())
}

/// So many seconds were measured.
fn is_told(bench: &Bench<'_>, median: f64) -> Result<()> {
    let rows = wait::until("both ends to know the timeout", || {
        let rows = rows(bench)?;
        let known = rows.len() == 2 && rows.iter().all(|row| !server_of(row).timeouts.is_empty());
        Ok(if known { Ok(rows) } else { Err(format!("{rows:?}")) })
    })?;
    for row in &rows {
        let inferred = server_of(row).timeouts.first().context("no timeout")?.seconds;
        let off = (inferred - median).abs();
        ensure!(off <= (median * 0.05).max(0.3), "{inferred} s inferred and {median} s measured: {row:?}");
        ensure!(row.verdict == "misaligned", "{row:?}");
    }
    for role in [Role::Client, Role::Server] {
        ensure!(bench.counts(role)?.reset == 0, "there was a reset");
    }
    Ok(())
}

/// Of the service, by peer: one as client and one as server.
pub(super) fn rows(bench: &Bench<'_>) -> Result<Vec<TimeoutView>> {
    let rows = bench.api.timeouts(bench.place.port)?.timeouts;
    Ok(rows.into_iter().filter(|row| row.peer.is_some()).collect())
}

/// What was seen of the server.
fn server_of(row: &TimeoutView) -> &SideView {
    if row.role == "server" { &row.local } else { &row.remote }
}
