//! A cable that is cut under connections that probe.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use super::python::script;
use crate::api::Api;
use crate::ledger::Role;
use crate::netns::{Joined, ip};
use crate::signals::gives_reasons;
use crate::sockets::Place;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("a cut cable ends a connection that nginx keeps alive by probes", None, |api| {
        behind_a_cut_cable(api, of_nginx)
    }),
    ("a cut cable ends a connection that probes, SO_LINGER 0 or not", None, |api| {
        behind_a_cut_cable(api, with_linger)
    }),
    ("ss -K of a connection of nginx that probes in vain is an abort by its administrator", None, |api| {
        behind_a_cut_cable(api, killed_by_ss)
    }),
];

/// Plays in the server's namespace of two that are joined by a cable.
fn behind_a_cut_cable(api: &Api, play: fn(&mut Bench<'_>, &Joined) -> Result<()>) -> Result<()> {
    let joined = Joined::create()?;
    let [[one, _], [two, _]] = Joined::ADDRESSES;
    let place = Place::between(two.parse()?, one.parse()?);
    joined.two.enter(|| {
        let mut bench = Bench::open(api, place, &[&joined.one, &joined.two])?;
        play(&mut bench, &joined)?;
        bench.judge()
    })
}

/// Takes the carrier away from the server: its route stays, and nothing comes back.
fn cut(joined: &Joined) -> Result<()> {
    joined.one.enter(|| ip(&format!("link set {} down\n", Joined::INTERFACE)))
}

fn of_nginx(bench: &mut Bench<'_>, joined: &Joined) -> Result<()> {
    let settings = Settings { listen: "so_keepalive=1s:1s:2", ..Settings::default() };
    let _nginx = Nginx::start(&bench.place, settings)?;
    let place = bench.place;
    let client = joined.one.enter(|| Client::served(&place))?;
    cut(joined)?;
    bench.state([bench.truth(client.port, Role::Server, "reset_sent", "keepalive_timeout")]);
    until_told(bench)
}

fn with_linger(bench: &mut Bench<'_>, joined: &Joined) -> Result<()> {
    let mut server = script(bench)?;
    server.ask("listen 16")?;
    let place = bench.place;
    let client = joined.one.enter(|| Client::connect(&place))?;
    server.ask("accept")?;
    server.ask("probe 2")?;
    server.ask("linger")?;
    cut(joined)?;
    bench.state([bench.truth(client.port, Role::Server, "reset_sent", "keepalive_timeout")]);
    until_told(bench)
}

fn killed_by_ss(bench: &mut Bench<'_>, joined: &Joined) -> Result<()> {
    let settings = Settings { listen: "so_keepalive=1s:1s:8", ..Settings::default() };
    let _nginx = Nginx::start(&bench.place, settings)?;
    let place = bench.place;
    let client = joined.one.enter(|| Client::served(&place))?;
    cut(joined)?;
    until_probing(place.port)?;
    let port = place.port.to_string();
    let output = Command::new("ss").args(["-tK", "state", "established", "sport", "=", &port]).output()?;
    ensure!(output.status.success(), "`ss -K` failed: {}", String::from_utf8_lossy(&output.stderr));
    // Without the kernel's reason a connection that probes looks like one that has probed in vain.
    let sent = bench.truth(client.port, Role::Server, "reset_sent", "admin_abort");
    let perhaps: &[_] = if gives_reasons()? { &[] } else { &["keepalive_timeout"] };
    bench.state([sent.or_perhaps(perhaps)]);
    until_told(bench)
}

/// Waits until the reset is counted: the connection must not be closed before.
fn until_told(bench: &Bench<'_>) -> Result<()> {
    wait::until_true("a reset by the server", || {
        let counts = bench.counts(Role::Server)?;
        Ok(counts.reset + counts.aborted > 0)
    })
}

/// Waits until a probe of the server's connection is out without an answer.
fn until_probing(port: u16) -> Result<()> {
    wait::until("a probe without an answer", || {
        let text = fs::read_to_string("/proc/thread-self/net/tcp")?;
        let local = format!(":{port:04X}");
        let line = text.lines().find(|line| {
            let mut fields = line.split_whitespace().skip(1);
            fields.next().is_some_and(|end| end.ends_with(&local)) && fields.nth(1) == Some("01")
        });
        let line = line.context("no connection")?;
        // kernel: `get_tcp4_sock`: address, address, state, queues, timer, repeated, user, probes.
        let probes = line.split_whitespace().nth(8).unwrap_or_default();
        Ok(if probes.parse::<u32>().is_ok_and(|probes| probes > 0) { Ok(()) } else { Err(line.to_owned()) })
    })
}
