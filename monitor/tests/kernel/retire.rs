//! Quiet peers make room for new ones, and take nothing out of the sums when they go.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};
use monitor::view::CountsView;
use rustix::process::Signal;

use crate::AloneWithOwn;
use crate::api::Api;
use crate::daemon::Daemon;
use crate::exposition::Counters;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::sockets::{Family, Place};
use crate::wait;

pub(crate) const TRIALS: &[AloneWithOwn] =
    &[("quiet peers make room for new ones and the sums stay", Some(Need::OneKernel), quiet_peers_make_room)];

/// As many peers as there is room for, and some.
const FIRST: u32 = 24;
const OPTIONS: [&str; 10] = [
    "--client-peers",
    "16",
    "--server-peers",
    "16",
    "--networks",
    "4",
    "--published-peers",
    "8",
    "--retire-after",
    "1",
];

fn quiet_peers_make_room() -> Result<()> {
    let daemon = Daemon::start(&OPTIONS)?;
    let api = &daemon.api;
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let service = Place::on_loopback(Family::V4).listen()?;
        for number in 1..=FIRST {
            service.talk_from(address(number))?;
        }
        let mut earlier = Counters::parse(&api.metrics()?)?;
        let mut newcomer = FIRST;
        wait::until("a newcomer to get counts of its own after quiet peers were retired", || {
            let counters = Counters::parse(&api.metrics()?)?;
            let fallen: Vec<String> =
                counters.fallen_since(&earlier).into_iter().filter(|series| is_sum(series)).collect();
            ensure!(fallen.is_empty(), "went down:\n{}", fallen.join("\n"));
            earlier = counters;
            let view = api.peers()?;
            let sum = view.peers.iter().map(|peer| peer.counts.opened).sum::<u64>();
            ensure!(sum == view.total.opened, "the rows give {sum}, the total is {}", view.total.opened);
            let retired = view.peers.iter().find(|peer| peer.peer == "retired" && peer.role == "server");
            if retired.is_none_or(|row| row.counts == CountsView::default()) {
                return Ok(Err("nobody was retired".to_owned()));
            }
            // Each newcomer connects once, so that its row must hold just that.
            newcomer += 1;
            service.talk_from(address(newcomer))?;
            Ok(own_row(api, namespace.inum, newcomer)?
                .ok_or_else(|| format!("no row for newcomer {newcomer}")))
        })?;
        Ok(())
    })?;
    wait::until_true("the peers' sum to equal the kernel programs' own", || {
        let status = api.status()?;
        Ok(status.total == status.kernel_total)
    })?;
    daemon.stop(Signal::TERM)
}

/// Series of single peers end when their peer is retired; the sums must not go down.
fn is_sum(series: &str) -> bool {
    series.contains("peer=\"other\"") || series.contains("peer=\"retired\"")
}

fn address(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(127, 66, 0, 0).to_bits() + number))
}

/// The newcomer's row, if it has one of its own, with its one connection in it.
fn own_row(api: &Api, netns: u32, number: u32) -> Result<Option<()>> {
    let name = address(number).to_string();
    let view = api.peers_of(netns)?;
    Ok(view
        .peers
        .iter()
        .find(|peer| peer.peer == name && peer.role == "server" && peer.counts.opened == 1)
        .map(drop))
}
