//! A server's host that has no room for what its program has closed.

use std::fs;

use anyhow::Result;

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use crate::ledger::Role;
use crate::needs::Need;
use crate::netns::{Namespace, sysctl};
use crate::sockets::send;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "nginx gives up a client that does not read, on a host without room for orphans",
    Some(Need::OwnMachine),
    |api| Bench::play(api, without_room),
)];

/// A limit of the whole machine.
const LIMIT: &str = "ipv4/tcp_max_orphans";

fn without_room(bench: &mut Bench<'_>) -> Result<()> {
    let server = "send_timeout 1s;";
    let _nginx = Nginx::start(&bench.place, Settings { server, ..Settings::default() })?;
    let client = Client::connect(&bench.place)?;
    client.socket.set_recv_buffer_size(4_096)?;
    let machine = Namespace::first()?;
    let usual = machine.enter(|| Ok(fs::read_to_string(format!("/proc/sys/net/{LIMIT}"))?))?;
    machine.enter(|| sysctl(LIMIT, "0"))?;
    // nginx closes while most of the file has not been sent: an orphan, and one too many.
    send(&client.socket, b"GET /large HTTP/1.1\r\nHost: lab\r\n\r\n")?;
    let came = client.until_reset_at_a_closed_window();
    machine.enter(|| sysctl(LIMIT, usual.trim()))?;
    came?;
    bench.state([
        // What its client still says is answered by a second one, whose cause is not the orphan's for sure.
        bench
            .truth(client.port, Role::Server, "reset_sent", "memory_pressure")
            .repeatedly()
            .or_perhaps(&["other"]),
        bench
            .truth(client.port, Role::Client, "reset_received", "memory_pressure")
            .or_perhaps(&["peer_abort", "idle_abort"]),
    ]);
    Ok(())
}
