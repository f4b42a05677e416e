//! Several daemons, each on a node of its own, scraped by one Prometheus with the rules that are shipped: what both ends of a connection say is
//! joined, and is what happened.

mod nodes;
mod traffic;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Write as _, stderr};
use std::net::IpAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::nodes::Fleet;
use self::traffic::Account;
use crate::AloneWithOwn;
use crate::again::NotAsMeant;
use crate::daemon::Scratch;
use crate::needs::Need;
use crate::prometheus::Prometheus;
use crate::sockets::unique_port;
use crate::wait;

pub(crate) const TRIALS: &[AloneWithOwn] =
    &[("rules of a fleet join both ends of what happens between three nodes", Some(Need::Prometheus), play)];

const SCRAPE: &str = include_str!("../../../deploy/prometheus/scrape-fleet.yml");
const SCRAPE_BELOW: &str = include_str!("../../../deploy/prometheus/scrape-global.yml");
/// Of the Prometheus above.
const PORT_ABOVE: u16 = 9091;

fn play() -> Result<()> {
    let fleet = Fleet::create()?;
    let hidden = unique_port();
    let except = vec!["--metrics-except-port".to_owned(), hidden.to_string()];
    fleet.watched(&[vec![], except, vec![]], || fleet.router.enter(|| judge(&fleet, hidden)))
}

fn judge(fleet: &Fleet, hidden: u16) -> Result<()> {
    let files = Scratch::create()?;
    let prometheus = Prometheus::start(&files, &config(fleet)?, quick)?;
    wait::until("all daemons to be scraped", || {
        let up = prometheus.number("count(up == 1)")?;
        Ok(if up == Some(3.0) { Ok(()) } else { Err(format!("{up:?}")) })
    })?;
    let (files_above, config_above) = (Scratch::create()?, config_above(&prometheus)?);
    let above = Prometheus::start_on(PORT_ABOVE, &files_above, &config_above, quick)?;
    let account = traffic::play(fleet, hidden)?;
    for node in &fleet.nodes {
        let (sent, made) = (node.sent()?, traffic::sent_by(&account, node, hidden));
        let why = || NotAsMeant(format!("{} sent {sent} resets, the trial {made}", node.address));
        ensure!(sent == made, why());
    }
    for prometheus in [&prometheus, &above] {
        both_ends(prometheus, &account)?;
        only_the_device_forged(prometheus, &account)?;
        margin_is_of_both(prometheus, &account)?;
    }
    tell_series(&prometheus)
}

/// What is shipped, but for how the nodes are found, and with an interval of a second.
fn config(fleet: &Fleet) -> Result<String> {
    let (before, _) = SCRAPE.split_once("    kubernetes_sd_configs:\n").context("no discovery")?;
    let mut config = format!("{}    static_configs:\n", quick(before));
    for (number, node) in fleet.nodes.iter().enumerate() {
        let (daemon, address) = (node.daemon(), node.address);
        writeln!(
            config,
            "      - {{targets: ['{daemon}'], labels: {{instance: node-{number}, node_address: {address}}}}}"
        )?;
    }
    Ok(config)
}

/// What is shipped for one that knows no host itself.
fn config_above(below: &Prometheus) -> Result<String> {
    let (before, _) = SCRAPE_BELOW.split_once("      - targets: ").context("no targets")?;
    Ok(format!("{}      - targets: ['{}']\n", quick(before), below.address()))
}

fn quick(text: &str) -> String {
    ["interval: 30s", "interval: 15s", "interval: 1m"]
        .iter()
        .fold(text.to_owned(), |text, long| text.replace(long, "interval: 1s"))
}

/// Samples above 0, by pair and sender.
fn pairs(prometheus: &Prometheus, name: &str) -> Result<BTreeMap<(IpAddr, IpAddr, u16, String), f64>> {
    let of = |sample: Value| {
        let label = |name: &str| sample["metric"][name].as_str().unwrap_or_default().to_owned();
        let value = sample["value"][1].as_str().context("no value")?.parse()?;
        let ends = (label("client").parse()?, label("server").parse()?);
        Ok(((ends.0, ends.1, label("port").parse()?, label("sender")), value))
    };
    prometheus.query(&format!("{name} > 0"))?.into_iter().map(of).collect()
}

/// Each pair is there once for each sender, with what the trial and the kernel know, and no other.
fn both_ends(prometheus: &Prometheus, account: &Account) -> Result<()> {
    for (name, made) in [("sent", &account.sent), ("received", &account.received)] {
        let name = format!("pair:reset_monitor_resets_{name}:increase10m");
        let mut expected = BTreeMap::new();
        for ((client, server, port, sender), times) in made {
            let times = f64::from(u32::try_from(*times)?);
            expected.insert((*client, *server, *port, (*sender).to_owned()), times);
        }
        wait::until("the pairs", || {
            let found = pairs(prometheus, &name)?;
            Ok(if found == expected { Ok(()) } else { Err(format!("{name}: {found:?}, not {expected:?}")) })
        })?;
    }
    Ok(())
}

/// At least so many: strays that the server's daemon counted, of whatever else this machine does, are taken off.
fn only_the_device_forged(prometheus: &Prometheus, account: &Account) -> Result<()> {
    let key = account.forged.context("nothing was forged")?;
    let made = account.received.get(&key).copied().context("not in the account")?;
    let made = f64::from(u32::try_from(made)?);
    let (client, server, port, sender) = key;
    wait::until("what was forged", || {
        let found = pairs(prometheus, "pair:reset_monitor_resets_forged:increase10m")?;
        let others =
            format!("node:reset_monitor_resets_without_peer:increase15m{{node_address=\"{server}\"}}");
        let others = prometheus.number(&others)?.unwrap_or_default();
        let of_device = found.get(&(client, server, port, sender.to_owned())).copied().unwrap_or_default();
        ensure!(of_device <= made && found.len() <= 1, "{found:?} are called forged, where {made} were");
        let is_all = of_device + others >= made;
        Ok(if is_all { Ok(()) } else { Err(format!("{found:?}, and {others} without peer")) })
    })
}

/// It has the server's own timeout and the client's own, each from its own daemon.
fn margin_is_of_both(prometheus: &Prometheus, account: &Account) -> Result<()> {
    let port = account.quiet;
    let own = |role: &str| {
        let labels = format!("role=\"{role}\",side=\"local\",port=\"{port}\"");
        let series = format!("reset_monitor_peer_idle_timeout_seconds{{{labels}}}");
        wait::until("both sides' timeouts", || Ok(prometheus.number(&series)?.ok_or_else(|| series.clone())))
    };
    let (server, client) = (own("server")?, own("client")?);
    ensure!(server > client, "the server gives up after {server} s, the client after {client} s");
    wait::until("the margin of both", || {
        let margin = format!("pair:reset_monitor_keepalive_margin:seconds{{port=\"{port}\"}}");
        let margin = prometheus.number(&margin)?;
        let is_theirs = margin.is_some_and(|margin| (margin - (server - client)).abs() < 1e-6);
        Ok(if is_theirs { Ok(()) } else { Err(format!("{margin:?}, not {server} - {client}")) })
    })
}

/// For docs/fleet.md.
fn tell_series(prometheus: &Prometheus) -> Result<()> {
    for query in [
        "sum by (instance) (scrape_samples_scraped)",
        "count by (instance) ({__name__=~\".+:.+\",instance=~\".+\"})",
        "count({__name__=~\"(pair|node):.+\"})",
    ] {
        let samples = prometheus.query(query)?;
        let told = |sample: &Value| format!("{} {}", sample["metric"], sample["value"][1]);
        writeln!(stderr(), "{query}: {}", samples.iter().map(told).collect::<Vec<_>>().join(", "))?;
    }
    Ok(())
}
