//! Node: a keep-alive timeout that is checked now and then, and so runs out up to a second late.

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

const SERVER: &str = "const [address, port] = process.argv.slice(1); \
    const server = require('http').createServer((_, response) => response.end('response')); \
    server.keepAliveTimeout = 2000; server.listen(Number(port), address);";

/// Answers at the bench's place, and keeps quiet connections for 2 s by its settings.
pub(super) fn answering(bench: &Bench<'_>) -> Result<Program> {
    let target = bench.place.target();
    let mut node =
        Program::start("node", &["-e", SERVER, &target.ip().to_string(), &target.port().to_string()])?;
    node.until_listening(target.port())?;
    Ok(node)
}

fn race(bench: &mut Bench<'_>) -> Result<()> {
    let _node = answering(bench)?;
    let client = Client::served(&bench.place)?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    Ok(())
}
