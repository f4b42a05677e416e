//! Routers that end connections: by forgetting their translation, as those of clouds and at home do, and by a rule.

use std::fs;

use anyhow::{Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::{Client, QUIET};
use crate::api::Api;
use crate::ledger::Role;
use crate::netns::{Routed, sysctl};
use crate::scenarios::nft;
use crate::sockets::Place;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("address translation forgets a quiet connection, and its next request is stale", None, forgotten),
    ("a REJECT rule of a router is not called the peer's own for certain", None, rejected),
];

/// Clients appear as the router. What it has no entry for it lets pass as it is.
const RULES: &str = "add table ip lab\n\
    add chain ip lab leaving { type nat hook postrouting priority 100; }\n\
    add rule ip lab leaving ip daddr 10.77.0.128/25 masquerade\n";

/// A client and a server with a router between them that translates addresses.
pub(super) fn translating() -> Result<Routed> {
    let routed = Routed::create()?;
    routed.router.enter(|| nft(RULES))?;
    Ok(routed)
}

fn forgotten(api: &Api) -> Result<()> {
    let routed = translating()?;
    routed.router.enter(|| {
        // An entry is made by a SYN only, and lives for a second of quiet.
        sysctl("netfilter/nf_conntrack_tcp_loose", "0")?;
        sysctl("netfilter/nf_conntrack_tcp_timeout_established", "1")
    })?;
    let place = Place::between(Routed::SERVER[0].parse()?, Routed::CLIENT[0].parse()?);
    routed.server.enter(|| {
        let mut bench = Bench::open(api, place, &[&routed.client, &routed.server])?;
        let _nginx = Nginx::start(&place, Settings::default())?;
        let client = routed.client.enter(|| Client::served(&place))?;
        routed.router.enter(|| {
            // Reading it removes what has expired.
            wait::until_true("the end of its entry", || {
                Ok(fs::read_to_string("/proc/thread-self/net/nf_conntrack")?.is_empty())
            })
        })?;
        client.ask_too_late()?;
        bench.state([
            // The server's host has never seen the client's own address.
            bench.truth(client.port, Role::Server, "stray_sent", "other"),
            bench.truth(client.port, Role::Client, "reset_received", "stale_idle"),
        ]);
        ensure!(bench.counts(Role::Server)?.reset == 0, "the server's connection is open still");
        bench.judge()
    })
}

fn rejected(api: &Api) -> Result<()> {
    let routed = Routed::create()?;
    let place = Place::between(Routed::SERVER[0].parse()?, Routed::CLIENT[0].parse()?);
    routed.server.enter(|| {
        let mut bench = Bench::open(api, place, &[&routed.client, &routed.server])?;
        let _nginx = Nginx::start(&place, Settings::default())?;
        let quiet = routed.client.enter(|| Client::served(&place))?;
        wait::quiet_for(QUIET);
        let busy = routed.client.enter(|| Client::served(&place))?;
        routed.router.enter(|| {
            nft(&format!(
                "add table ip lab\n\
                 add chain ip lab passing {{ type filter hook forward priority 0; }}\n\
                 add rule ip lab passing tcp dport {} reject with tcp reset\n",
                place.port
            ))
        })?;
        for client in [&quiet, &busy] {
            client.ask_too_late()?;
            let received = bench.truth(client.port, Role::Client, "reset_received", "netfilter_reject");
            // How quiet it was decides between the two, and a slow machine is slow to make a rule.
            bench.state([received.or_perhaps(&["stale_idle", "peer_abort"])]);
        }
        bench.judge()
    })
}
