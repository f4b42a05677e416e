//! Clients and servers in Python that close in ways of their own, and curl.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::Client;
use crate::ledger::Role;
use crate::netns::sysctl;
use crate::oracle::{self, Netstat, state};
use crate::packets::Flags;
use crate::scripted::Scripted;
use crate::signals::Signal;
use crate::sockets::{lose, poll_for_reset, port_of};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("a client of nginx gives up by SO_LINGER 0", None, |api| Bench::play(api, client_gives_up)),
    ("a server in Python closes by SO_LINGER 0 after its client's FIN", None, |api| {
        Bench::play(api, after_the_fin)
    }),
    ("a health probe that connects and resets is aborted, and does not count", None, |api| {
        Bench::play(api, probe_resets)
    }),
    ("a health probe that connects and closes, and curl, reset nobody", None, |api| {
        Bench::play(api, probe_closes)
    }),
    ("a flood of connects overflows a server in Python with a backlog of 1", None, |api| {
        Bench::play(api, |bench| flood(bench, false))
    }),
    (
        "a flood of connects overflows a backlog of 1 with tcp_abort_on_overflow, and is told so",
        None,
        |api| Bench::play(api, |bench| flood(bench, true)),
    ),
];

/// A script that listens or connects, and does with its connections what each line says.
pub(super) const SCRIPT: &str = include_str!("peer.py");

/// Starts the script at the bench's service.
pub(super) fn script(bench: &Bench<'_>) -> Result<Scripted> {
    let target = bench.place.target();
    let arguments = [target.ip().to_string(), target.port().to_string(), bench.place.source().to_string()];
    Scripted::start(SCRIPT, &arguments.each_ref().map(String::as_str))
}

fn client_gives_up(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings::default())?;
    let mut client = script(bench)?;
    let port: u16 = client.ask("connect")?.word(0)?.parse()?;
    client.ask("get")?;
    client.ask("abort")?;
    bench.reset(port, Role::Client, "linger_abort");
    Ok(())
}

fn after_the_fin(bench: &mut Bench<'_>) -> Result<()> {
    let mut server = script(bench)?;
    server.ask("listen 16")?;
    let client = Client::connect(&bench.place)?;
    server.ask("accept")?;
    // All its client has to say; it reads on.
    client.socket.shutdown(std::net::Shutdown::Write)?;
    oracle::until_state(bench.place.port, client.port, state::CLOSE_WAIT)?;
    server.ask("abort")?;
    poll_for_reset(&client.socket)?;
    bench.reset(client.port, Role::Server, "linger_abort");
    Ok(())
}

/// So many probes.
const PROBES: u64 = 5;

fn probe_resets(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings::default())?;
    let mut prober = script(bench)?;
    for _ in 0..PROBES {
        let port: u16 = prober.ask("connect")?.word(0)?.parse()?;
        prober.ask("abort")?;
        bench.reset(port, Role::Client, "linger_abort");
    }
    for role in [Role::Client, Role::Server] {
        wait::until_true("aborted probes", || Ok(bench.counts(role)?.aborted == PROBES))?;
        ensure!(bench.counts(role)?.reset == 0, "health probes count");
    }
    Ok(())
}

fn probe_closes(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings::default())?;
    let mut prober = script(bench)?;
    for _ in 0..PROBES {
        let port: u16 = prober.ask("connect")?.word(0)?.parse()?;
        // Its last ACK and its FIN may come by two processors.
        oracle::until_state(bench.place.port, port, state::ESTABLISHED)?;
        prober.ask("close")?;
    }
    let (url, source) = (format!("http://{}/", bench.place.target()), bench.place.source().to_string());
    for _ in 0..PROBES {
        let output = Command::new("curl").args(["-sS", "--interface", &source, &url]).output();
        let output = output.context("cannot run `curl`")?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    bench.ended_well(2 * PROBES)?;
    // An emulated host is late with its ACK of a FIN: that comes again, and the second ACK of it finds no connection.
    bench.state([
        bench.truth_of_all(Role::Server, "stray_sent", "other").at_most(usize::MAX),
        bench.truth_of_all(Role::Client, "stray_received", "other").at_most(usize::MAX),
    ]);
    Ok(())
}

/// Clients beyond a backlog of 1, which admits two.
const FLOOD: usize = 8;

fn flood(bench: &mut Bench<'_>, aborting: bool) -> Result<()> {
    let place = bench.place;
    sysctl("ipv4/tcp_abort_on_overflow", if aborting { "1" } else { "0" })?;
    let mut server = script(bench)?;
    server.ask("listen 16")?;
    // Their SYNs are in before the queue is full, and their handshakes are completed when it is: what a burst from far away does.
    let mut late = Vec::new();
    for _ in 0..FLOOD {
        let client = place.client_socket(socket2::Protocol::TCP, 0)?;
        lose(&client, Flags::SYN)?;
        client.set_nonblocking(true)?;
        ensure!(client.connect(&place.target().into()).is_err(), "connected at once");
        late.push(client);
    }
    server.ask("listen 1")?;
    let admitted = [place.connect()?, place.connect()?];
    let before = Netstat::read()?;
    for client in &late {
        client.detach_filter()?;
    }
    wait::until_true("overflows", || {
        Ok(Netstat::read()?.since(before).listen_overflows >= FLOOD.try_into()?)
    })?;
    for client in &late {
        let port = port_of(client)?;
        let overflow = bench.truth(port, Role::Server, "listen_overflow", "listen_overflow");
        bench.state([overflow.only_with(Signal::OverflowAck).repeatedly()]);
        if aborting {
            poll_for_reset(client)?;
            bench.state([
                // Its own SYN comes again as well as the answer to it.
                bench.truth(port, Role::Server, "stray_sent", "listen_overflow").repeatedly(),
                // Where they are seen, those that come to a socket that has ended are told, too, and of what they are nobody asks.
                bench
                    .truth(port, Role::Client, "reset_received", "listen_overflow")
                    .repeatedly()
                    .or_perhaps(&["other"]),
            ]);
        } else {
            // Its SYN-ACK has come again, so its ACK has met the queue. Else it would ask again when nobody listens any more.
            oracle::until_state(port, place.port, state::ESTABLISHED)?;
        }
    }
    // Nobody tells those that were not admitted; closing them would ask a port where nobody listens.
    bench.kept.extend(late);
    // Those that were admitted are closed with the listener, whose program never accepted them.
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
