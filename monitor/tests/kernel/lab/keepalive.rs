//! Idle timeouts of real servers: inferred from what they close, called misaligned before any reset, and aligned when their clients
//! give up first. The judge is the quiet that the trial measures on its own socket, not the number in the settings.

use std::net::SocketAddr;
use std::panic::resume_unwind;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use monitor::view::timeouts::{SideView, TimeoutView};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings, client_of_tls};
use super::program::{Client, Program};
use super::{haproxy, node};
use crate::clock::Moment;
use crate::ledger::Role;
use crate::needs::Need;
use crate::sockets::{Place, receive, receive_end, send};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    (
        "nginx's timeout is inferred and misaligned before any reset, and aligned once clients give up",
        None,
        |api| Bench::play(api, of_nginx),
    ),
    ("HAProxy's timeout is inferred and misaligned before any reset", Some(Need::Pace), |api| {
        Bench::play(api, of_haproxy)
    }),
    ("Node's timeout is inferred as it really runs out", Some(Need::Node), |api| Bench::play(api, of_node)),
    ("a TLS server's timeout is inferred and misaligned before any reset", Some(Need::Pace), |api| {
        Bench::play(api, of_tls)
    }),
    ("Redis' timeout is inferred as it really runs out", Some(Need::Pace), |api| Bench::play(api, of_redis)),
    ("a server's timeout is inferred from what curl asks for now and then", Some(Need::Pace), |api| {
        Bench::play(api, of_curl)
    }),
];

/// So many moments make a timeout.
pub(super) const MOMENTS: u32 = 3;
/// Between them.
pub(super) const APART: Duration = Duration::from_millis(1_200);

fn of_nginx(bench: &mut Bench<'_>) -> Result<()> {
    // Far enough above what clients will do for the margin of 5 s, on a slow machine, too.
    let server = "keepalive_timeout 9s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    is_inferred(bench, APART, http)?;
    // The race that was to be expected.
    let client = Client::served(&bench.place)?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    // What the advice says: the clients give up first.
    let before = bench.counts(Role::Client)?.reset;
    wait::until("the pair to be aligned", || {
        let client = Client::served(&bench.place)?;
        wait::quiet_for(APART);
        drop(client);
        let rows = rows(bench)?;
        let aligned = rows.iter().all(|row| row.verdict == "aligned" && row.margin_seconds > Some(5.0));
        Ok(if aligned { Ok(()) } else { Err(format!("{rows:?}")) })
    })?;
    ensure!(bench.counts(Role::Client)?.reset <= before.max(1), "resets after the change");
    Ok(())
}

fn of_haproxy(bench: &mut Bench<'_>) -> Result<()> {
    let _proxy = haproxy::answering(bench)?;
    is_inferred(bench, APART, http)
}

fn of_node(bench: &mut Bench<'_>) -> Result<()> {
    let _node = node::answering(bench)?;
    is_inferred(bench, APART, http)
}

fn of_tls(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start_with_tls(&bench.place, "keepalive_timeout 2s;")?;
    is_inferred(bench, APART, |place| {
        let mut client = client_of_tls(place)?;
        client.ask("get")?;
        Ok(Box::new(move || client.ask("read_to_the_end").map(drop)))
    })
}

/// By its settings after 2 s; it looks at its clients once a second, by a clock of whole seconds.
fn of_redis(bench: &mut Bench<'_>) -> Result<()> {
    let target: SocketAddr = bench.place.target();
    let (address, port) = (target.ip().to_string(), target.port().to_string());
    let mut redis = Program::start(
        "redis-server",
        &["--bind", &address, "--port", &port, "--timeout", "2", "--save", "", "--protected-mode", "no"],
    )?;
    redis.until_listening(target.port())?;
    // Its closes are whole seconds apart, and what closes within one is one moment.
    is_inferred(bench, 2 * APART, |place| {
        let socket = place.connect()?;
        send(&socket, b"PING\r\n")?;
        receive(&socket, b"+PONG\r\n".len())?;
        Ok(Box::new(move || receive_end(&socket)))
    })
}

/// A request every three seconds on one connection, which curl makes anew when it finds that the server has closed it.
fn of_curl(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 1500ms;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let (url, source) = (format!("http://{}/", bench.place.target()), bench.place.source().to_string());
    let requests = (0..=MOMENTS).map(|_| url.as_str());
    let curl =
        Command::new("curl").args(["-sS", "--rate", "20/m", "--interface", &source]).args(requests).output();
    let curl = curl.context("cannot run `curl`")?;
    ensure!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    let (until_closed, served) = Moment::of(|| http(&bench.place))?;
    let ((), closed) = Moment::of(until_closed)?;
    is_told(bench, closed.after.saturating_sub(served.after).as_secs_f64())
}

/// Waits for the end of a connection that is left alone.
type UntilClosed = Box<dyn FnOnce() -> Result<()> + Send>;

/// A connection that was used once.
fn http(place: &Place) -> Result<UntilClosed> {
    let client = Client::served(place)?;
    Ok(Box::new(move || receive_end(&client.socket)))
}

/// Connections are used and left alone, one after the other; the server closes each. Both ends know after which quiet, and that this is
/// a danger, and no reset was needed.
fn is_inferred(
    bench: &mut Bench<'_>,
    apart: Duration,
    used: impl Fn(&Place) -> Result<UntilClosed>,
) -> Result<()> {
    let mut measured = thread::scope(|scope| -> Result<Vec<Duration>> {
        let mut waiting = Vec::new();
        for _ in 0..MOMENTS {
            let (until_closed, served) = Moment::of(|| used(&bench.place))?;
            waiting.push(scope.spawn(move || {
                let ((), closed) = Moment::of(until_closed)?;
                Ok(closed.after.saturating_sub(served.after))
            }));
            wait::quiet_for(apart);
        }
        waiting.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })?;
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
