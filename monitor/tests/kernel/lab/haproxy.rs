//! `HAProxy`: flows that it ends for idleness, and its health checks.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::{Client, Program};
use crate::daemon::Scratch;
use crate::ledger::Role;
use crate::sockets::{Place, unique_port, wait_for_reset};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[
    ("HAProxy closes a kept connection by its timeout, and a late request loses the race", None, |api| {
        Bench::play(api, race)
    }),
    ("HAProxy ends idle flows by SO_LINGER 0, on both sides", None, |api| Bench::play(api, idle_flow)),
    ("HAProxy's health checks are aborted connections, and none that count", None, |api| {
        Bench::play(api, health_checks)
    }),
    ("HAProxy's health checks of a server that is down are refused", None, |api| {
        Bench::play(api, server_down)
    }),
];

/// `HAProxy` with its files.
pub(super) struct Proxy {
    program: Program,
    _files: Scratch,
}

/// Starts it in the calling thread's namespace.
fn proxy(settings: &str) -> Result<Proxy> {
    let files = Scratch::create()?;
    let file = files.file("haproxy.cfg")?;
    let usual = "timeout connect 5s\n timeout client 1500ms\n timeout server 1500ms\n retries 0\n";
    fs::write(&file, format!("global\n maxconn 100\n nbthread 1\ndefaults\n {usual}{settings}\n"))?;
    Ok(Proxy { program: Program::start("haproxy", &["-db", "-f", &file])?, _files: files })
}

/// Answers by itself, at the bench's place, and keeps quiet connections for so long.
pub(super) fn answering(bench: &Bench<'_>, timeout: Duration) -> Result<Proxy> {
    let (target, timeout) = (bench.place.target(), timeout.as_millis());
    let settings = format!(
        " mode http\n timeout http-keep-alive {timeout}ms\n timeout client 60s\n\
         frontend lab\n bind {target}\n http-request return status 200 content-type text/plain string response\n"
    );
    let mut proxy = proxy(&settings)?;
    proxy.program.until_listening(target.port())?;
    Ok(proxy)
}

fn race(bench: &mut Bench<'_>) -> Result<()> {
    let _proxy = answering(bench, Duration::from_millis(1_500))?;
    let client = Client::served(&bench.place)?;
    client.until_closed()?;
    client.ask_too_late()?;
    bench.reset(client.port, Role::Server, "idle_reuse");
    Ok(())
}

/// A server at another port of the same address, and the proxy's port before it.
fn server_behind(bench: &Bench<'_>) -> Place {
    bench.place.with_port(unique_port())
}

/// nginx behind a proxy that ends idle flows by resets.
pub(super) struct Flow {
    _server: Nginx,
    _proxy: Proxy,
    behind: Place,
}

/// Starts them, the proxy at the bench's place.
pub(super) fn flow(bench: &Bench<'_>) -> Result<Flow> {
    let behind = server_behind(bench);
    let server = Nginx::start(&behind, Settings::default())?;
    let target = bench.place.target();
    let settings = format!(
        " mode tcp\n option nolinger\nfrontend lab\n bind {target}\n default_backend server\n\
         backend server\n option nolinger\n server one {}\n",
        behind.target(),
    );
    let mut proxy = proxy(&settings)?;
    proxy.program.until_listening(target.port())?;
    Ok(Flow { _server: server, _proxy: proxy, behind })
}

fn idle_flow(bench: &mut Bench<'_>) -> Result<()> {
    let flow = flow(bench)?;
    let client = Client::served(&bench.place)?;
    wait_for_reset(&client.socket)?;
    bench.reset(client.port, Role::Server, "linger_abort");
    flow.towards_the_server(bench);
    Ok(())
}

impl Flow {
    /// Towards the server the proxy is the client.
    pub(super) fn towards_the_server(&self, bench: &mut Bench<'_>) {
        let front = bench.place;
        bench.place = self.behind;
        bench.state([
            bench.truth_of_all(Role::Client, "reset_sent", "linger_abort"),
            bench.truth_of_all(Role::Server, "reset_received", "linger_abort"),
        ]);
        bench.place = front;
    }
}

fn health_checks(bench: &mut Bench<'_>) -> Result<()> {
    let _nginx = Nginx::start(&bench.place, Settings::default())?;
    let _proxy = checking(bench)?;
    wait::until_true("health checks", || Ok(bench.counts(Role::Client)?.aborted >= 3))?;
    for role in [Role::Client, Role::Server] {
        let counts = bench.counts(role)?;
        ensure!(counts.reset == 0, "health checks count: {}: {counts:?}", role.name());
    }
    bench.state([
        bench.truth_of_all(Role::Client, "reset_sent", "linger_abort").repeatedly(),
        // A check is over before its handshake is, or right after.
        bench.truth_of_all(Role::Server, "reset_received", "linger_abort").at_most(usize::MAX),
        bench.truth_of_all(Role::Server, "stray_received", "other").at_most(usize::MAX),
    ]);
    Ok(())
}

fn server_down(bench: &mut Bench<'_>) -> Result<()> {
    let _proxy = checking(bench)?;
    bench.state([
        bench.truth_of_all(Role::Client, "refused_received", "refused").repeatedly(),
        bench.truth_of_all(Role::Server, "refused_sent", "refused").repeatedly(),
    ]);
    wait::until_true("refused checks", || Ok(bench.counts(Role::Client)?.refused_received >= 2))
}

/// A proxy that checks the bench's service often.
fn checking(bench: &Bench<'_>) -> Result<Proxy> {
    let front = server_behind(bench).target();
    let settings = format!(
        " mode tcp\nfrontend lab\n bind {front}\n default_backend server\n\
         backend server\n server one {} source {} check inter 100ms\n",
        bench.place.target(),
        bench.place.source()
    );
    let mut proxy = proxy(&settings)?;
    proxy.program.until_listening(front.port())?;
    Ok(proxy)
}
