//! A client that believes it is connected: its server's queue was full for the last ACK of the handshake, and stayed full.

use anyhow::{Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::python::script;
use crate::ledger::Role;
use crate::netns::sysctl;
use crate::oracle::{self, state};
use crate::packets::Flags;
use crate::signals::Signal;
use crate::sockets::{lose, poll_for_reset, port_of, send};

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "a client that its server in Python never heard of is reset when the server has given up",
    None,
    |api| Bench::play(api, unheard),
)];

fn unheard(bench: &mut Bench<'_>) -> Result<()> {
    let place = bench.place;
    // The server gives up after 15 s instead of 63 s.
    sysctl("ipv4/tcp_synack_retries", "3")?;
    let mut server = script(bench)?;
    server.ask("listen 16")?;
    let late = place.client_socket(socket2::Protocol::TCP, 0)?;
    lose(&late, Flags::SYN)?;
    late.set_nonblocking(true)?;
    ensure!(late.connect(&place.target().into()).is_err(), "connected at once");
    server.ask("listen 1")?;
    let admitted = [place.connect()?, place.connect()?];
    late.detach_filter()?;
    let port = port_of(&late)?;
    oracle::until_state(port, place.port, state::ESTABLISHED)?;
    send(&late, b"request")?;
    // First the server forgets the handshake; then the request is sent once more, which takes as long as it did before.
    oracle::until_gone(place.port, port)?;
    poll_for_reset(&late)?;
    bench.state([
        bench
            .truth(port, Role::Server, "listen_overflow", "listen_overflow")
            .only_with(Signal::OverflowAck)
            .repeatedly(),
        bench.truth(port, Role::Server, "stray_sent", "listen_overflow").or_perhaps(&["other"]),
        // The sender's word for it, where it is on this host and sure enough.
        bench.truth(port, Role::Client, "reset_received", "peer_overflow").or_perhaps(&["listen_overflow"]),
    ]);
    for client in &admitted {
        let port = port_of(client)?;
        bench.state([
            bench.truth(port, Role::Server, "reset_sent", "listener_closed"),
            bench.truth(port, Role::Client, "reset_received", "listener_closed"),
        ]);
    }
    server.ask("unlisten")?;
    admitted.iter().try_for_each(poll_for_reset)
}
