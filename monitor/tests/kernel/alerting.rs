//! The whole way of an alert: real resets, the daemon, a real Prometheus with the rules that are shipped, and a real Alertmanager that
//! hears of both.
//!
//! What is minutes for users is seconds here: in the daemon by its configuration, in the rules by their numbers.

#[path = "../grafana/queries.rs"]
mod queries;
mod stack;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;
use socket2::Protocol;

use self::stack::{Alertmanager, FOR, HOLD, WINDOW, prometheus};
use crate::WithOwn;
use crate::again::NotAsMeant;
use crate::api::Api;
use crate::clock::Moment;
use crate::daemon::{Daemon, Scratch};
use crate::netns::Namespace;
use crate::oracle::counter;
use crate::prometheus::Prometheus;
use crate::sockets::{Left, Place, Service, abort, send, unique_port, wait_for_reset};
use crate::wait;

pub(crate) const TRIALS: &[WithOwn] = &[(
    "alerts fire where 0.3 % are reset, and neither at 0.1 % nor on purpose, here and in Prometheus",
    play,
)];

/// Requests of each pair.
const REQUESTS: usize = 6_000;
/// Of one connection.
const OF_ONE: usize = 100;
/// So many of them were reset: 0.05 %, 0.1 %, and 0.3 %.
const RESETS: [usize; 3] = [3, 6, 18];
const BOTH: &[&str] = &["client", "server"];
const RATIO: &str = "ResetRatioHigh";
/// From one evaluation of the daemon's to the next.
const EVERY: Duration = Duration::from_secs(1);
/// A server closes after so much quiet, and so often.
const PATIENCE: Duration = Duration::from_secs(3);
const MOMENTS: usize = 4;
const BY_CONNECTION: &str = "ConnectionResetRatioHigh";

fn play() -> Result<()> {
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let files = Scratch::create()?;
        let manager = Alertmanager::start(&files)?;
        let config = configured(&files)?;
        let options = ["--config", &config, "--published-peers", "10000", "--alertmanager", &manager.url];
        let daemon = Daemon::start(&options)?;
        let prometheus = prometheus(&files, daemon.api.address(), &manager)?;
        let services = (1..=6).map(service).collect::<Result<Vec<_>>>()?;
        let [rare, limit, often, chosen, health, misaligned] = &services[..] else {
            bail!("not six services")
        };
        // Known to both before anything happens.
        for service in &services {
            service.pair()?.finish();
            let port = service.place.port;
            until_known(
                &prometheus,
                &format!("reset_monitor_connections_closed_total{{port=\"{port}\"}}"),
                2,
            )?;
        }
        // A second time, or it would be a series that never grew.
        let nobody = misaligned.place.with_port(unique_port());
        refused(nobody)?;
        until_known(
            &prometheus,
            &format!("reset_monitor_refused_sent_total{{port=\"{}\"}}", nobody.port),
            1,
        )?;
        refused(nobody)?;
        gives_up_first(misaligned)?;
        overflows(misaligned)?;
        aborted(chosen)?;
        probed(health)?;
        for (service, resets) in [rare, limit, often].into_iter().zip(RESETS) {
            in_time(|| used(service, resets))?;
        }
        fires_once(&daemon.api, &prometheus, &manager, often)?;
        for (service, roles) in [(rare, BOTH), (limit, BOTH), (health, BOTH), (chosen, &BOTH[..1])] {
            silent(&daemon.api, &prometheus, service, roles, RATIO)?;
        }
        for (service, roles) in [(health, BOTH), (chosen, &BOTH[..1])] {
            silent(&daemon.api, &prometheus, service, roles, BY_CONNECTION)?;
        }
        dashboard_is_filled(&prometheus)?;
        resolves(&daemon.api, &prometheus, &manager, often)
    })
}

fn until_known(prometheus: &Prometheus, query: &str, series: usize) -> Result<()> {
    wait::until("Prometheus to know something", || {
        let found = prometheus.query(query)?;
        Ok(if found.len() == series { Ok(()) } else { Err(format!("{query}: {found:?}")) })
    })
}

fn configured(files: &Scratch) -> Result<String> {
    let path = files.file("reset-monitor.toml")?;
    let ratio = |name: &str| format!("[alerts.{name}]\nwindow = \"{WINDOW}s\"\nfor = \"{FOR}s\"\n");
    fs::write(
        &path,
        format!("[alerts]\nevery = \"1s\"\nhold = \"{HOLD}s\"\n{}{}", ratio(RATIO), ratio(BY_CONNECTION)),
    )?;
    Ok(path)
}

/// Each with an address of its own, and its clients with another one.
fn service(number: u8) -> Result<Service> {
    let [server, client] = [1, 2].map(|net| IpAddr::from(Ipv4Addr::new(127, 77, net, number)));
    Place::between(server, client).listen()
}

/// Requests, and as many as that late ones, whose server has closed meanwhile, spread among them.
fn used(service: &Service, resets: usize) -> Result<()> {
    for _ in 0..resets {
        let mut left = REQUESTS / resets;
        while left > 0 {
            let now = left.min(OF_ONE);
            let pair = service.pair()?;
            pair.exchange(now)?;
            pair.finish();
            left -= now;
        }
        let Left { client, .. } = service.pair()?.close_server()?;
        send(&client, b"late")?;
        wait_for_reset(&client)?;
    }
    // Later than an evaluation: where `for` is shorter than the window, the daemon goes by what it has seen since the first reset. And
    // whoever computes in floating point must not take 6 of 6,000 for more than 0.1 %.
    wait::quiet_for(2 * EVERY);
    for _ in 0..2 {
        let pair = service.pair()?;
        pair.exchange(OF_ONE)?;
        pair.finish();
    }
    Ok(())
}

/// A window that comes or goes has a part of what was done, and so another share; that must be over before it may fire.
fn in_time(play: impl FnOnce() -> Result<()>) -> Result<()> {
    let ((), moment) = Moment::of(play)?;
    if moment.after.saturating_sub(moment.before) > Duration::from_secs(u64::from(FOR) / 2) {
        return Err(NotAsMeant("this machine was too slow for its windows".to_owned()).into());
    }
    Ok(())
}

/// Connections that their clients end by resets on purpose. Whoever gets one of those cannot know.
fn aborted(service: &Service) -> Result<()> {
    for _ in 0..2 * OF_ONE {
        let pair = service.pair()?;
        pair.exchange(1)?;
        abort(pair.client)?;
    }
    Ok(())
}

/// Connections that ask nothing, as probes of health do.
fn probed(service: &Service) -> Result<()> {
    for _ in 0..2 * OF_ONE {
        abort(service.pair()?.client)?;
    }
    Ok(())
}

/// A server that closes what its clients would keep.
fn gives_up_first(service: &Service) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..MOMENTS {
        let pair = service.pair()?;
        pair.exchange(1)?;
        wait::quiet_for(PATIENCE);
        clients.push(pair.close_server()?);
    }
    Ok(())
}

/// Where nobody listens.
fn refused(nobody: Place) -> Result<()> {
    ensure!(nobody.connect().is_err(), "somebody listens");
    Ok(())
}

/// An accept queue that is full.
fn overflows(service: &Service) -> Result<()> {
    let place = service.place.with_port(unique_port());
    let _service = place.listen_with(0)?;
    let before = counter("ListenOverflows")?;
    let _first = place.connect()?;
    let second = place.client_socket(Protocol::TCP, 0)?;
    second.set_nonblocking(true)?;
    ensure!(second.connect(&place.target().into()).is_err(), "connected at once");
    wait::until_true("an overflow", || Ok(counter("ListenOverflows")? > before))
}

/// Both ends, as both tell them, at the same time; and Alertmanager has each once from each of both.
fn fires_once(api: &Api, prometheus: &Prometheus, manager: &Alertmanager, service: &Service) -> Result<()> {
    let port = service.place.port;
    let [ours, theirs] = wait::until("both to fire", || {
        let ours = with_port(of_daemon(api, RATIO)?, port);
        let theirs = with_port(prometheus.alerts(RATIO)?, port);
        let both = [ours, theirs]
            .map(|alerts| alerts.into_iter().filter(|alert| alert["state"] == "firing").collect::<Vec<_>>());
        let are_there = both.iter().all(|alerts| roles(alerts) == BOTH);
        // As it is told in full: one that is over is over.
        Ok(if are_there { Ok(both) } else { Err(format!("{both:?}, of {:?}", of_daemon(api, RATIO)?)) })
    })?;
    for (one, other) in ours.iter().zip(&theirs) {
        let [one, other] = [moment(&one["since"])?, moment(&other["activeAt"])?];
        let apart = one.duration_since(other).as_secs().abs();
        // Both saw the same window.
        ensure!(apart <= i64::from(WINDOW), "since {one} here and since {other} in Prometheus");
    }
    let alerts = wait::until("Alertmanager to have them", || {
        let alerts = with_port(manager.alerts(RATIO)?, port);
        Ok(if alerts.len() >= 4 { Ok(alerts) } else { Err(format!("{alerts:?}")) })
    })?;
    let different: BTreeSet<_> = alerts.iter().map(|alert| alert["labels"].to_string()).collect();
    ensure!(alerts.len() == 4 && different.len() == 4, "not two of each: {alerts:?}");
    Ok(())
}

/// It has never fired for these roles, here or there.
fn silent(api: &Api, prometheus: &Prometheus, service: &Service, roles: &[&str], name: &str) -> Result<()> {
    let port = service.place.port;
    for role in roles {
        let mut ours = with_port(of_daemon(api, name)?, port);
        ours.retain(|alert| alert["labels"]["role"] == *role && !alert["fired"].is_null());
        ensure!(ours.is_empty(), "fired: {ours:?}");
        let of = format!("alertname=\"{name}\",alertstate=\"firing\",port=\"{port}\",role=\"{role}\"");
        let theirs = prometheus.query(&format!("count_over_time(ALERTS{{{of}}}[10m])"))?;
        ensure!(theirs.is_empty(), "fired in Prometheus: {theirs:?}");
    }
    Ok(())
}

/// When what was counted is out of the window, and it has held for as long as it holds.
fn resolves(api: &Api, prometheus: &Prometheus, manager: &Alertmanager, service: &Service) -> Result<()> {
    let port = service.place.port;
    wait::until("both to resolve it", || {
        let ours = with_port(of_daemon(api, RATIO)?, port);
        let theirs = with_port(prometheus.alerts(RATIO)?, port);
        let is_so = ours.iter().all(|alert| alert["state"] == "resolved") && theirs.is_empty();
        Ok(if is_so { Ok(()) } else { Err(format!("{ours:?} {theirs:?}")) })
    })?;
    wait::until("Alertmanager to hear of that", || {
        let alerts = with_port(manager.alerts(RATIO)?, port);
        Ok(if alerts.is_empty() { Ok(()) } else { Err(format!("{alerts:?}")) })
    })
}

/// The daemon's alerts of a name.
fn of_daemon(api: &Api, name: &str) -> Result<Vec<Value>> {
    let view = api.alerts()?;
    let alerts = serde_json::to_value(view.alerts)?;
    let alerts = alerts.as_array().context("no alerts")?;
    Ok(alerts.iter().filter(|alert| alert["alert"] == name).cloned().collect())
}

/// Of a service, by role.
fn with_port(mut alerts: Vec<Value>, port: u16) -> Vec<Value> {
    let port = port.to_string();
    alerts.retain(|alert| alert["labels"]["port"].as_str() == Some(&port));
    alerts.sort_by_key(|alert| alert["labels"]["role"].to_string());
    alerts
}

fn roles(alerts: &[Value]) -> Vec<&str> {
    alerts.iter().filter_map(|alert| alert["labels"]["role"].as_str()).collect()
}

fn moment(time: &Value) -> Result<Timestamp> {
    Ok(time.as_str().context("no time")?.parse()?)
}

/// What did not happen, or is not seen by every kernel.
const ABSENT: [&str; 10] = [
    "reset_monitor_peer_idle_timeout_seconds{role=\"server\",side=\"peer\"",
    "instance:reset_monitor_restarted:1m",
    "reset_monitor_conntrack_",
    "reset_monitor_listener_drops_total",
    "reset_monitor_listener_backlog{",
    "reset_monitor_stray_sent_total",
    "reset_monitor_stray_received_total",
    "reset_monitor_reject_sent_total",
    "reset_monitor_program_missed_runs_total",
    "reset_monitor_closed_memory_coverage_seconds",
];

/// Every other query of the dashboard has something to show.
fn dashboard_is_filled(prometheus: &Prometheus) -> Result<()> {
    let mut empty = Vec::new();
    for (title, query) in queries::queries(queries::DASHBOARD)? {
        if prometheus.query(&query)?.is_empty() && !ABSENT.iter().any(|name| query.contains(name)) {
            empty.push(format!("{title}: {query}"));
        }
    }
    ensure!(empty.is_empty(), "nothing to show:\n{}", empty.join("\n"));
    Ok(())
}
