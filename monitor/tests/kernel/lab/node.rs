//! Node: a keep-alive timeout that is checked now and then, and so runs out up to a second late.

use std::time::Duration;

use anyhow::Result;

use super::Experiment;
use super::bench::Bench;
use super::program::{Client, Program};
use crate::ledger::Role;
use crate::needs::Need;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "Node closes a kept connection by its timeout, and a late request loses the race",
    Some(Need::Node),
    |api| Bench::play(api, race),
)];

const SERVER: &str = "const [address, port, timeout] = process.argv.slice(1); \
    const server = require('http').createServer((_, response) => response.end('response')); \
    server.keepAliveTimeout = Number(timeout); server.listen(Number(port), address);";

/// Answers at the bench's place, and keeps quiet connections for so long by its settings.
pub(super) fn answering(bench: &Bench<'_>, timeout: Duration) -> Result<Program> {
    let target = bench.place.target();
    let [address, port] = [target.ip().to_string(), target.port().to_string()];
    let mut node =
        Program::start("node", &["-e", SERVER, &address, &port, &timeout.as_millis().to_string()])?;
    node.until_listening(target.port())?;
    Ok(node)
}

fn race(bench: &mut Bench<'_>) -> Result<()> {
    let _node = answering(bench, Duration::from_secs(2))?;
    let client = Client::served(&bench.place)?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    Ok(())
}
