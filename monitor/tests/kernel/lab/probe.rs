//! `reset-monitor probe` against real servers: its number is the quiet that the trial measures on sockets of its own meanwhile, and what it
//! provokes is what the daemon names.

use std::panic::resume_unwind;
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::Experiment;
use super::bench::Bench;
use super::keepalive::redis_server;
use super::nginx::{Nginx, Settings};
use super::used::{Use, http, quiets, tls};
use super::{haproxy, node};
use crate::ledger::Role;
use crate::machine;
use crate::needs::Need;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("probe measures nginx's timeout", Some(Need::Pace), |api| Bench::play(api, of_nginx)),
    ("probe measures HAProxy's timeout", Some(Need::Pace), |api| Bench::play(api, of_haproxy)),
    ("probe measures Node's timeout", Some(Need::Node), |api| Bench::play(api, of_node)),
    ("probe measures a TLS server's timeout", Some(Need::Pace), |api| Bench::play(api, of_tls)),
    ("probe measures Redis' timeout", Some(Need::Pace), |api| Bench::play(api, of_redis)),
    ("probe provokes the race that the daemon names", Some(Need::Pace), |api| Bench::play(api, race)),
];

/// What may lie between both numbers, in seconds.
const AGREES: f64 = 0.05;
/// On a busy machine one of both is woken late, but not every time.
const RUNS: u32 = 5;
/// Of each of both.
const CONNECTIONS: usize = 3;
/// From one to the next, as `probe` does.
const APART: Duration = Duration::from_millis(350);

fn of_nginx(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 2s 2s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let view = is_measured(bench, http, &[&url(bench, "http")])?;
    ensure!(view["stated_seconds"] == 2.0 && view["stated_is"] == "true", "{view}");
    Ok(())
}

fn of_haproxy(bench: &mut Bench<'_>) -> Result<()> {
    let _proxy = haproxy::answering(bench, Duration::from_millis(1_500))?;
    is_measured(bench, http, &[&url(bench, "http")]).map(drop)
}

fn of_node(bench: &mut Bench<'_>) -> Result<()> {
    let _node = node::answering(bench, Duration::from_secs(2))?;
    is_measured(bench, http, &[&url(bench, "http")]).map(drop)
}

fn of_tls(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start_with_tls(&bench.place, "keepalive_timeout 2s;")?;
    is_measured(bench, tls, &[&url(bench, "https"), "--insecure"]).map(drop)
}

/// Between 2 and 3 s, by where in a second it was used last, so every connection is judged by itself: by the kernel's ages.
fn of_redis(bench: &mut Bench<'_>) -> Result<()> {
    let _redis = redis_server(bench, 2)?;
    let mut seen = Vec::new();
    for _ in 0..RUNS {
        let both = redis_connections(bench)?;
        if both.iter().all(|(probed, by_kernel)| (probed - by_kernel).abs() <= AGREES) {
            return Ok(());
        }
        seen.push(both);
    }
    bail!("probed and by the kernel never within {AGREES} s: {seen:?}")
}

/// After which quiet each was closed, in seconds, as probed and by the kernel's ages.
fn redis_connections(bench: &Bench<'_>) -> Result<Vec<(f64, f64)>> {
    let target = bench.place.target().to_string();
    let view = probe(bench, &[&target, "--send", "PING\\r\\n", "-n", "3"])?;
    let mut both = Vec::new();
    for one in connections(&view)? {
        ensure!(one["result"] == "fin", "{view}");
        let (port, probed) = (local_port(one)?, one["ended_after_seconds"].as_f64().context("no time")?);
        let seen = wait::until("the end of a connection to be told", || {
            let query = format!("kind=idle_close_received&port={}", bench.place.port);
            let events = bench.api.events(&query)?.events;
            let of_it = events.iter().find(|event| event.local.port == port);
            let idle = of_it.and_then(|event| event.idle.as_ref()).map(|idle| idle.seconds);
            Ok(idle.ok_or_else(|| format!("{events:?}")))
        })?;
        both.push((probed, seen));
    }
    Ok(both)
}

/// Probes until both numbers agree; what it says then. Nothing of it is a reset.
fn is_measured(bench: &Bench<'_>, make: Use, target: &[&str]) -> Result<Value> {
    let mut seen = Vec::new();
    for _ in 0..RUNS {
        let (view, measured) = thread::scope(|scope| {
            let trial = scope.spawn(|| median(bench, make));
            let view = probe(bench, &[target, &["-n", &CONNECTIONS.to_string()]].concat());
            (view, trial.join().unwrap_or_else(|panic| resume_unwind(panic)))
        });
        let (view, measured) = (view?, measured?);
        let by_fin = |one: &Value| one["result"].as_str().is_some_and(|result| result.ends_with("fin"));
        ensure!(connections(&view)?.iter().all(by_fin), "{view}");
        let probed = view["timeout"]["seconds"].as_f64().context("no timeout")?;
        if (probed - measured).abs() <= AGREES {
            for role in [Role::Client, Role::Server] {
                ensure!(bench.counts(role)?.reset == 0, "there was a reset");
            }
            return Ok(view);
        }
        seen.push((probed, measured));
    }
    bail!("probed and measured never within {AGREES} s: {seen:?}")
}

/// After which quiet the server closes, in seconds, by sockets of the trial.
fn median(bench: &Bench<'_>, make: Use) -> Result<f64> {
    let times = quiets(&bench.place, (CONNECTIONS, APART), make)?;
    Ok(times.get(times.len() / 2).context("no client")?.as_secs_f64())
}

fn race(bench: &mut Bench<'_>) -> Result<()> {
    let server = "keepalive_timeout 2s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let url = url(bench, "http");
    let early = probe(bench, &[&url, "-n", "1", "--idle", "500ms"])?;
    ensure!(early["connections"][0]["result"] == "answered", "{early}");
    let late = probe(bench, &[&url, "--sweep", "2.5s..3.5s", "--step", "500ms"])?;
    for one in connections(&late)? {
        ensure!(one["result"] == "reset" && one["ended_by"] == "fin", "{late}");
        bench.reset(local_port(one)?, Role::Server, "idle_reuse");
    }
    Ok(())
}

fn connections(view: &Value) -> Result<&Vec<Value>> {
    view["connections"].as_array().context("no connections")
}

fn local_port(connection: &Value) -> Result<u16> {
    let local = connection["local"].as_str().and_then(|local| local.rsplit(':').next());
    Ok(local.context("no address")?.parse()?)
}

fn url(bench: &Bench<'_>, scheme: &str) -> String {
    format!("{scheme}://{}/", bench.place.target())
}

/// Runs it in the calling thread's namespace, as a client of the trial.
fn probe(bench: &Bench<'_>, words: &[&str]) -> Result<Value> {
    let source = bench.place.source().to_string();
    let mut command = Command::new(machine::daemon());
    command.args(["probe", "--source", &source, "-o", "json"]).args(words);
    let output = command.output().context("cannot run reset-monitor")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("no JSON; {said}"))
}
