//! Real resets on the page: what a browser shows of them, live and counted, against what the trial made.

use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::{Context as _, Error, Result, ensure};
use rustix::process::Signal;

use crate::daemon::Daemon;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, Service, abort, wait_for_reset};
use crate::{WithOwn, helper, player};

pub(crate) const TRIALS: &[WithOwn] =
    &[("the page shows real resets as they happen, and counts each once", real_resets)];

/// With a daemon of its own, in which only this trial's peers have series: the past is that of peers with series, and whoever runs beside
/// makes more peers than there are places.
fn real_resets() -> Result<()> {
    let namespace = Namespace::create()?;
    let trial = Daemon::start(&["--metrics-namespace", &namespace.inum.to_string()])?;
    let api = &trial.api;
    let place = Place::on_loopback(Family::V4);
    let service = namespace.enter(|| crate::netns::ip("link set lo up").and_then(|()| place.listen()))?;
    let mut node = helper::dying_with_parent("node")?;
    player::prepare(&mut node, api.address(), "real").map_err(Error::msg)?;
    node.args([place.server.to_string(), place.port.to_string(), namespace.inum.to_string()]);
    let mut browser = node.spawn().context("not run: node, which drives the browser")?;
    let output = BufReader::new(browser.stdout.take().context("no stdout")?);
    let mut answers = browser.stdin.take().context("no stdin")?;
    let mut played = false;
    for line in output.lines() {
        let line = line?;
        played |= line == "played";
        if let Some(count) = line.strip_prefix("> reset ") {
            let count = count.parse()?;
            namespace.enter(|| (0..count).try_for_each(|_| reset(&service)))?;
            writeln!(answers, "done")?;
        }
    }
    let status = browser.wait()?;
    ensure!(status.success() && played, "the browser: {status}; what it said is above");
    trial.stop(Signal::TERM)
}

/// A server that has answered once aborts, and its client sees it.
fn reset(service: &Service) -> Result<()> {
    let pair = service.pair()?;
    pair.exchange(1)?;
    abort(pair.server)?;
    wait_for_reset(&pair.client)
}
