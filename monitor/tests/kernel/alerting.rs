//! The whole way of an alert: real resets, the daemon, a real Prometheus with the rules that are shipped, and a real Alertmanager that
//! hears of both.
//!
//! What is minutes for users is seconds here: in the daemon by its configuration, in the rules by their numbers.

mod stack;

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use serde_json::Value;

use self::stack::{Alertmanager, FOR, HOLD, Prometheus, WINDOW};
use crate::WithOwn;
use crate::api::Api;
use crate::daemon::{Daemon, Scratch};
use crate::netns::Namespace;
use crate::sockets::{Left, Place, Service, abort, send, wait_for_reset};
use crate::wait;

pub(crate) const TRIALS: &[WithOwn] = &[(
    "alerts fire where 0.3 % are reset, and neither at 0.1 % nor on purpose, here and in Prometheus",
    play,
)];

/// Requests of each pair.
const REQUESTS: usize = 10_000;
/// Of one connection.
const OF_ONE: usize = 100;
/// So many of them were reset: 0.05 %, 0.1 %, and 0.3 %.
const RESETS: [usize; 3] = [5, 10, 30];
const RATIO: &str = "ResetRatioHigh";
/// May agree to within this many seconds: two scrapes or evaluations of either, on a busy machine.
const AGREE: i64 = 8;
const BY_CONNECTION: &str = "ConnectionResetRatioHigh";

fn play() -> Result<()> {
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let files = Scratch::create()?;
        let manager = Alertmanager::start(&files)?;
        let config = configured(&files, &manager)?;
        let daemon = Daemon::start(&["--config", &config, "--published-peers", "10000"])?;
        let prometheus = Prometheus::start(&files, daemon.api.address(), &manager)?;
        let services = (1..=4).map(service).collect::<Result<Vec<_>>>()?;
        let [rare, limit, often, chosen] = &services[..] else { anyhow::bail!("four services") };
        // Known to both before anything happens.
        for service in &services {
            service.pair()?.finish();
            let series = format!("reset_monitor_connections_closed_total{{port=\"{}\"}}", service.place.port);
            wait::until("Prometheus to know a pair", || {
                let found = prometheus.query(&series)?;
                Ok(if found.len() == 2 { Ok(()) } else { Err(format!("{found:?}")) })
            })?;
        }
        for (service, resets) in [rare, limit, often].into_iter().zip(RESETS) {
            used(service, resets)?;
        }
        chosen_resets(chosen)?;
        fires_once(&daemon.api, &prometheus, &manager, often)?;
        for service in [rare, limit, chosen] {
            silent(&daemon.api, &prometheus, service, RATIO)?;
        }
        silent(&daemon.api, &prometheus, chosen, BY_CONNECTION)?;
        resolves(&daemon.api, &prometheus, &manager, often)
    })
}

fn configured(files: &Scratch, manager: &Alertmanager) -> Result<String> {
    let path = files.file("reset-monitor.toml")?;
    let ratio = |name: &str| format!("[alerts.{name}]\nwindow = \"{WINDOW}s\"\nfor = \"{FOR}s\"\n");
    fs::write(
        &path,
        format!(
            "[alerts]\nevery = \"1s\"\nhold = \"{HOLD}s\"\n{}{}[push]\nalertmanagers = [\"{}\"]\n",
            ratio(RATIO),
            ratio(BY_CONNECTION),
            manager.url,
        ),
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
    // Whoever computes in floating point must not take 10 of 10,000 for more than 0.1 %.
    let pair = service.pair()?;
    pair.exchange(OF_ONE)?;
    pair.finish();
    Ok(())
}

/// Connections that are ended by resets on purpose, and probes that ask nothing.
fn chosen_resets(service: &Service) -> Result<()> {
    for _ in 0..OF_ONE {
        let pair = service.pair()?;
        pair.exchange(1)?;
        abort(pair.client)?;
        drop(pair.server);
        let probe = service.pair()?;
        abort(probe.client)?;
    }
    Ok(())
}

/// Both ends, as both tell them, at the same time; and Alertmanager has each once from each of both.
fn fires_once(api: &Api, prometheus: &Prometheus, manager: &Alertmanager, service: &Service) -> Result<()> {
    let port = service.place.port;
    let [ours, theirs] = wait::until("both to fire", || {
        let ours = with_port(of_daemon(api, RATIO)?, port);
        let theirs = with_port(prometheus.alerts(RATIO)?, port);
        let both = [ours, theirs]
            .map(|alerts| alerts.into_iter().filter(|alert| alert["state"] == "firing").collect::<Vec<_>>());
        let are_there = both.iter().all(|alerts| roles(alerts) == ["client", "server"]);
        Ok(if are_there { Ok(both) } else { Err(format!("{both:?}")) })
    })?;
    for (one, other) in ours.iter().zip(&theirs) {
        let [one, other] = [moment(&one["since"])?, moment(&other["activeAt"])?];
        let apart = one.duration_since(other).as_secs().abs();
        ensure!(apart <= AGREE, "since {one} here and since {other} in Prometheus");
    }
    let alerts = wait::until("Alertmanager to have them", || {
        let alerts = with_port(manager.alerts(RATIO)?, port);
        Ok(if alerts.len() >= 4 { Ok(alerts) } else { Err(format!("{alerts:?}")) })
    })?;
    let different: BTreeSet<_> = alerts.iter().map(|alert| alert["labels"].to_string()).collect();
    ensure!(alerts.len() == 4 && different.len() == 4, "not two of each: {alerts:?}");
    Ok(())
}

/// It has never fired, here or there.
fn silent(api: &Api, prometheus: &Prometheus, service: &Service, name: &str) -> Result<()> {
    let port = service.place.port;
    let fired: Vec<_> = with_port(of_daemon(api, name)?, port)
        .into_iter()
        .filter(|alert| !alert["fired"].is_null())
        .collect();
    ensure!(fired.is_empty(), "fired: {fired:?}");
    let ever =
        format!("count_over_time(ALERTS{{alertname=\"{name}\",alertstate=\"firing\",port=\"{port}\"}}[10m])");
    let fired = prometheus.query(&ever)?;
    ensure!(fired.is_empty(), "fired in Prometheus: {fired:?}");
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
    let port = Value::from(port.to_string());
    alerts.retain(|alert| alert["labels"]["port"] == port);
    alerts.sort_by_key(|alert| alert["labels"]["role"].to_string());
    alerts
}

fn roles(alerts: &[Value]) -> Vec<&str> {
    alerts.iter().filter_map(|alert| alert["labels"]["role"].as_str()).collect()
}

fn moment(time: &Value) -> Result<Timestamp> {
    Ok(time.as_str().context("no time")?.parse()?)
}
