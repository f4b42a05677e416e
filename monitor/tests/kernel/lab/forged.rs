//! A device on the way that ends a connection in the server's name, as censors and intrusion prevention systems do. It builds its reset
//! itself, so it comes with a TTL of its own.

use std::process::Command;

use anyhow::{Context as _, Result};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use crate::api::Api;
use crate::capture::Capture;
use crate::ledger::Role;
use crate::netns::Routed;
use crate::signals::Signal;
use crate::sockets::{Place, poll_for_reset};

pub(super) const EXPERIMENTS: &[Experiment] =
    &[("hping3 on a router forges a reset of nginx's, which is called a middlebox's", None, forged)];

/// Neither what the server's packets have left behind one router, nor anything near.
const TTL: &str = "40";

fn forged(api: &Api) -> Result<()> {
    let routed = Routed::create()?;
    let place = Place::between(Routed::SERVER[0].parse()?, Routed::CLIENT[0].parse()?);
    routed.server.enter(|| {
        let mut bench = Bench::open(api, place, &[&routed.client, &routed.server])?;
        let _nginx = Nginx::start(&place, Settings::default())?;
        let capture = routed.router.enter(Capture::open)?;
        let client = routed.client.enter(|| Client::served(&place))?;
        let answer = capture.next(|passed| passed.from.port() == place.port && passed.bytes > 0)?;
        routed.router.enter(|| {
            let (sequence, from, to) =
                (answer.next.to_string(), answer.from.port().to_string(), answer.to.port().to_string());
            let (server, victim) = (answer.from.ip().to_string(), answer.to.ip().to_string());
            // It fails when nobody answers, as nobody answers a reset.
            Command::new("hping3")
                .args(["--count", "1", "--numeric", "--quiet", "--rst", "--setseq", &sequence, "--ttl", TTL])
                .args(["--spoof", &server, "--baseport", &from, "--keep", "--destport", &to, &victim])
                .output()
                .context("cannot run `hping3`")
        })?;
        poll_for_reset(&client.socket)?;
        let received = bench.truth(client.port, Role::Client, "reset_received", "middlebox");
        let perhaps: &[_] = if bench.sees(Signal::Received) { &[] } else { &["peer_abort"] };
        bench.state([received.or_perhaps(perhaps)]);
        bench.judge()
    })
}
