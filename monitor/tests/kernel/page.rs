//! Real resets on the page: what a browser shows of them in every view, live and counted, against what the trial made.

mod mix;

use std::io::{BufRead as _, BufReader, Write as _};

use anyhow::{Context as _, Error, Result, bail, ensure};
use rustix::process::Signal;

use self::mix::Full;
use crate::daemon::Daemon;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, Service};
use crate::{AloneWithOwn, helper, needs::Need, player};

/// Alone: it compares what a whole host's daemon says of everything with what a page shows of it a moment later.
pub(crate) const TRIALS: &[AloneWithOwn] = &[(
    "every view of the page shows real resets of many causes as the API tells them, and as they happen",
    Some(Need::OneKernel),
    real_resets,
)];

/// With a daemon of its own, in which only this trial's peers have series: the past is that of peers with series.
fn real_resets() -> Result<()> {
    let namespace = Namespace::create()?;
    let trial = Daemon::start(&["--metrics-namespace", &namespace.inum.to_string()])?;
    let place = Place::on_loopback(Family::V4);
    let service = namespace.enter(|| place.listen())?;
    // Where the daemon is: it reads listeners and the kernel's counters there.
    let full = Full::fill(Place::on_loopback(Family::V4))?;
    let mut node = helper::dying_with_parent("node")?;
    player::prepare(&mut node, trial.api.address(), "real").map_err(Error::msg)?;
    node.args([place.server.to_string(), place.port.to_string(), namespace.inum.to_string()]);
    let mut browser = node.spawn().context("not run: node, which drives the browser")?;
    let output = BufReader::new(browser.stdout.take().context("no stdout")?);
    let mut answers = browser.stdin.take().context("no stdin")?;
    let mut played = false;
    for line in output.lines() {
        let line = line?;
        played |= line == "played";
        if let Some(command) = line.strip_prefix("> ") {
            let done = namespace.enter(|| obey(command, &service, &full))?;
            writeln!(answers, "{done}")?;
        }
    }
    let status = browser.wait()?;
    ensure!(status.success() && played, "the browser: {status}; what it said is above");
    trial.stop(Signal::TERM)
}

/// Does what the scenario asks for, and says what that was, on one line.
fn obey(command: &str, service: &Service, full: &Full) -> Result<String> {
    if command == "mix" {
        return Ok(mix::make(service, full)?.to_string());
    }
    let Some(count) = command.strip_prefix("reset ") else { bail!("a scenario asks for {command}") };
    (0..count.parse()?).try_for_each(|_: u64| mix::aborted(service))?;
    Ok(count.to_owned())
}
