//! Open connections, as the daemon tells them, against `ss` in the same namespace.
//!
//! A walk answers readers for a second, so what is told may be that old; it is never ahead of `ss`.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use monitor::view::PeerView;
use monitor::view::timeouts::TimeoutView;
use rustix::process::Signal;
use socket2::Socket;

use crate::api::Api;
use crate::daemon::Daemon;
use crate::helper::Holder;
use crate::ledger::Role;
use crate::netns::Namespace;
use crate::oracle::{Established, established};
use crate::sockets::{Family, Pair, Place};
use crate::{WithOwn, wait};

pub(crate) const TRIALS: &[WithOwn] = &[
    ("open connections are told as ss shows them, and their exchanges once (IPv4)", || {
        in_own(|| held(Family::V4))
    }),
    ("open connections are told as ss shows them, and their exchanges once (IPv6)", || {
        in_own(|| held(Family::V6))
    }),
    ("connections from before the start are told though nobody listens any more", || in_own(older)),
    ("open connections of other namespaces are told where entering them is allowed", || {
        elsewhere(&["--enter-namespaces"], true)
    }),
    ("open connections of other namespaces are not looked at unasked", || elsewhere(&[], false)),
];

/// Connections of a trial, and the turns that each has carried.
const CONNECTIONS: usize = 4;
const TURNS: u64 = 3;
/// What is quiet for so long is idle.
const IDLE_MS: u64 = 1_000;
/// In a set of capabilities.
const CAP_SYS_ADMIN: u64 = 1 << 21;

/// Runs a trial inside a namespace of its own. A daemon it starts there ends with this thread.
fn in_own(trial: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    Namespace::create()?.enter(trial)
}

fn held(family: Family) -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let place = Place::on_loopback(family);
    let service = place.listen()?;
    let pairs = (0..CONNECTIONS).map(|_| service.pair()).collect::<Result<Vec<_>>>()?;
    pairs.iter().try_for_each(|pair| pair.exchange(TURNS.try_into()?))?;
    wait::until("every connection to be idle, and to be told as ss shows it", || {
        Ok(as_ss_shows(&daemon.api, &place, CONNECTIONS).map_err(|error| format!("{error:#}")))
    })?;
    for role in [Role::Client, Role::Server] {
        let row = row(&daemon.api, &place, role)?;
        ensure!(row.counts.opened == CONNECTIONS as u64 && row.counts.closed == 0, "{row:?}");
        ensure!(row.counts.exchanges == TURNS * CONNECTIONS as u64, "{row:?}");
    }
    // Who scrapes sees what the last walk found.
    for role in ["client", "server"] {
        let peer = if role == "client" { place.server } else { place.client };
        let labels = format!("{{peer=\"{peer}\",port=\"{}\",role=\"{role}\"}}", place.port);
        wait::until("the gauges", || {
            let metrics = daemon.api.metrics()?;
            let ours = ["open", "idle"].map(|what| {
                metrics.lines().find_map(|line| {
                    let value = line.strip_prefix(&format!("reset_monitor_{what}_connections{labels} "))?;
                    value.parse::<usize>().ok()
                })
            });
            Ok(if ours == [Some(CONNECTIONS); 2] { Ok(()) } else { Err(format!("{ours:?}")) })
        })?;
    }
    pairs.into_iter().for_each(Pair::finish);
    wait::until("every connection to be closed, and none of its exchanges to count again", || {
        for role in [Role::Client, Role::Server] {
            let row = row(&daemon.api, &place, role)?;
            ensure!(row.counts.exchanges == TURNS * CONNECTIONS as u64, "{row:?}");
            if row.counts.closed != CONNECTIONS as u64 || row.open != Some(0) {
                return Ok(Err(format!("{row:?}")));
            }
        }
        Ok(Ok(()))
    })?;
    let after = timeouts(&daemon.api, &place, Role::Client)?;
    ensure!(after.held_seconds.is_none(), "{after:?}");
    daemon.stop(Signal::TERM)
}

/// Compares both roles of a service with `ss`, asked before and after.
fn as_ss_shows(api: &Api, place: &Place, count: usize) -> Result<()> {
    for role in [Role::Client, Role::Server] {
        let theirs = || -> Result<Vec<Established>> {
            let sockets = established(place.port)?.into_iter();
            Ok(sockets.filter(|socket| (socket.local_port == place.port) == (role == Role::Server)).collect())
        };
        let before = theirs()?;
        let (peer, row) = (row(api, place, role)?, timeouts(api, place, role)?);
        let after = theirs()?;
        ensure!(before.len() == count && after.len() == count, "ss shows {before:?}, then {after:?}");
        let idle =
            |sockets: &[Established]| sockets.iter().filter(|socket| socket.quiet_ms >= IDLE_MS).count();
        ensure!(idle(&before) == count, "{before:?}");
        let expected = (Some(count as u64), Some(count as u64));
        ensure!((peer.open, peer.idle) == expected, "{peer:?}");
        ensure!((row.open, row.idle) == expected, "{row:?}");
        let longest =
            |sockets: &[Established]| sockets.iter().map(|socket| socket.quiet_ms).max().unwrap_or(0);
        let ours = row.held_seconds.context("nothing is held")? * 1_000.0;
        let (least, most) = (longest(&before), longest(&after));
        ensure!(ours <= f64::from(u32::try_from(most)?), "{ours} ms, ss says {most}");
        ensure!(
            ours + 1_000.0 >= f64::from(u32::try_from(least)?),
            "{ours} ms, ss said {least} before, then {most}"
        );
        ensure!(row.verdict == "unknown", "{row:?}");
        for side in [&row.local, &row.remote] {
            // What three of them have reached.
            let let_pass = side.at_least_seconds.context("nothing has passed")?;
            ensure!(side.timeouts.is_empty() && Some(let_pass) <= row.held_seconds, "{row:?}");
        }
    }
    Ok(())
}

fn older() -> Result<()> {
    let place = Place::on_loopback(Family::V4);
    let service = place.listen()?;
    let pairs = (0..CONNECTIONS).map(|_| service.pair()).collect::<Result<Vec<_>>>()?;
    pairs.iter().try_for_each(|pair| pair.exchange(TURNS.try_into()?))?;
    drop(service);
    let daemon = Daemon::start(&[])?;
    wait::until("both ends to be told with their roles", || {
        let rows = [Role::Client, Role::Server].map(|role| timeouts(&daemon.api, &place, role));
        let told = rows.iter().flatten().filter(|row| row.open == Some(CONNECTIONS as u64)).count();
        Ok(if told == 2 { Ok(()) } else { Err(format!("{rows:?}")) })
    })?;
    // Their exchanges count when they close, since the daemon knows no peer of theirs before.
    pairs.into_iter().for_each(Pair::finish);
    wait::until("their exchanges", || {
        let rows = [Role::Client, Role::Server].map(|role| row(&daemon.api, &place, role));
        let right = |row: &PeerView| row.counts.exchanges == TURNS * CONNECTIONS as u64;
        Ok(if rows.iter().flatten().filter(|row| right(row)).count() == 2 {
            Ok(())
        } else {
            Err(format!("{rows:?}"))
        })
    })?;
    daemon.stop(Signal::TERM)
}

/// A daemon here, connections in a namespace of their own.
fn elsewhere(options: &[&str], told: bool) -> Result<()> {
    let (here, other) = (Namespace::current()?, Namespace::create()?);
    other.enter(|| {
        let place = Place::on_loopback(Family::V4);
        let mut server = Holder::start(&place, CONNECTIONS)?;
        let clients = (0..CONNECTIONS).map(|_| place.connect()).collect::<Result<Vec<Socket>>>()?;
        here.enter(|| {
            let daemon = Daemon::start(options)?;
            let signals = daemon.api.signals()?.signals;
            let signal =
                signals.iter().find(|row| row.signal == "open_connections").context("no such signal")?;
            ensure!(signal.status == if told { "works" } else { "degraded" }, "{signal:?}");
            let threads = capabilities(daemon.process().pid())?;
            let with_sys_admin = threads.iter().filter(|(_, held)| held & CAP_SYS_ADMIN != 0).count();
            ensure!(with_sys_admin == usize::from(told), "{threads:?}");
            let walker = threads.iter().find(|(name, _)| name == "walker").context("no walker")?;
            ensure!((walker.1 == 0) != told, "what is not entered needs nothing: {threads:?}");
            if told {
                wait::until("the connections to be told", || {
                    let rows = daemon.api.timeouts(place.port)?.timeouts;
                    let right = |row: &&TimeoutView| {
                        row.netns == other.inum && row.peer.is_some() && row.open == Some(CONNECTIONS as u64)
                    };
                    Ok(if rows.iter().filter(right).count() == 2 { Ok(()) } else { Err(format!("{rows:?}")) })
                })?;
            } else {
                wait::until("a walk that has left the namespace out", || {
                    let rows = daemon.api.timeouts(place.port)?.timeouts;
                    ensure!(rows.is_empty(), "{rows:?}");
                    let metrics = daemon.api.metrics()?;
                    let walked = metrics
                        .lines()
                        .any(|line| line == "reset_monitor_walk_namespaces{status=\"walked\"} 1");
                    Ok(if walked { Ok(()) } else { Err("no walk yet".to_owned()) })
                })?;
            }
            daemon.stop(Signal::TERM)
        })?;
        server.kill()?;
        drop(clients);
        Ok(())
    })
}

/// What the threads of a process are called, and the capabilities that each may use.
fn capabilities(pid: u32) -> Result<Vec<(String, u64)>> {
    let mut threads = Vec::new();
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = thread?.path();
        let (Ok(name), Ok(status)) =
            (fs::read_to_string(path.join("comm")), fs::read_to_string(path.join("status")))
        else {
            continue;
        };
        let line = status.lines().find_map(|line| line.strip_prefix("CapPrm:")).context("no CapPrm")?;
        threads.push((name.trim().to_owned(), u64::from_str_radix(line.trim(), 16)?));
    }
    Ok(threads)
}

/// The peer of a role at a place.
fn row(api: &Api, place: &Place, role: Role) -> Result<PeerView> {
    let rows = api.peers_of(Namespace::current()?.inum)?.peers;
    let is_it = |row: &PeerView| row.port == Some(place.port) && row.role == role.name();
    rows.into_iter().find(is_it).with_context(|| format!("no peer as {}", role.name()))
}

/// The same of timeouts.
fn timeouts(api: &Api, place: &Place, role: Role) -> Result<TimeoutView> {
    let rows = api.timeouts(place.port)?.timeouts;
    let is_it = |row: &TimeoutView| row.peer.is_some() && row.role == role.name();
    rows.into_iter().find(is_it).with_context(|| format!("no timeouts as {}", role.name()))
}
