//! Idle timeouts of real servers: inferred from what they close, called misaligned before any reset, and aligned when their clients
//! give up first. The judge is the quiet that the trial measures on its own socket, not the number in the settings.

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use monitor::view::timeouts::{SideView, TimeoutView};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use super::{haproxy, node};
use crate::clock::Moment;
use crate::ledger::Role;
use crate::needs::Need;
use crate::sockets::receive_end;
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
];

/// So many moments make a timeout.
const MOMENTS: u32 = 3;
/// Between them.
const APART: Duration = Duration::from_millis(1_200);

fn of_nginx(bench: &mut Bench<'_>) -> Result<()> {
    // Far enough above what clients will do for the margin of 5 s, on a slow machine, too.
    let server = "keepalive_timeout 9s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    is_inferred(bench)?;
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
    is_inferred(bench)
}

fn of_node(bench: &mut Bench<'_>) -> Result<()> {
    let _node = node::answering(bench)?;
    is_inferred(bench)
}

/// Connections are served and left alone, one after the other; the server closes each. Both ends know after which quiet, and that this is
/// a danger, and no reset was needed.
fn is_inferred(bench: &mut Bench<'_>) -> Result<()> {
    let mut measured = thread::scope(|scope| -> Result<Vec<Duration>> {
        let mut waiting = Vec::new();
        for _ in 0..MOMENTS {
            let (client, served) = Moment::of(|| Client::served(&bench.place))?;
            waiting.push(scope.spawn(move || {
                let ((), closed) = Moment::of(|| receive_end(&client.socket))?;
                Ok(closed.after.saturating_sub(served.after))
            }));
            wait::quiet_for(APART);
        }
        waiting.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })?;
    measured.sort_unstable();
    let median = measured.get(measured.len() / 2).context("no client")?.as_secs_f64();
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
fn rows(bench: &Bench<'_>) -> Result<Vec<TimeoutView>> {
    let rows = bench.api.timeouts(bench.place.port)?.timeouts;
    Ok(rows.into_iter().filter(|row| row.peer.is_some()).collect())
}

/// What was seen of the server.
fn server_of(row: &TimeoutView) -> &SideView {
    if row.role == "server" { &row.local } else { &row.remote }
}
