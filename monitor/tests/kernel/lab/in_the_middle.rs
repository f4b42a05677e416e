//! nginx as a proxy: clients before it, a server behind it, and both hops of the chain told, raced and mended.

use anyhow::{Context as _, Result, ensure};
use monitor::view::timeouts::ChainView;
use rustix::process::Signal;

use super::Experiment;
use super::bench::Bench;
use super::nginx::{Nginx, Settings};
use super::program::{Client, QUIET};
use crate::api::Api;
use crate::clock::now;
use crate::ledger::Role;
use crate::needs::Need;
use crate::netns::Joined;
use crate::oracle::{self, state};
use crate::sockets::Place;
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "nginx as a proxy shows its chain, loses the race that is said to come, and is aligned hop by hop",
    Some(Need::Pace),
    chain,
)];

/// Each has a pool of its own, so that a connection is left alone though another is asked for.
const PATHS: [&str; 5] = ["one", "two", "three", "four", "five"];
/// One on which the proxy itself waits for longer than the server does.
const PATIENT: &str = "patient";
/// Far enough above what is in front for the margin of 5 s, on a slow machine, too.
const WAITS: &str = "keepalive_timeout 9s;";

/// Clients and the server in one namespace, the proxy in the other.
struct Chain<'a, 'b> {
    joined: &'a Joined,
    bench: &'a mut Bench<'b>,
    behind: Place,
}

fn chain(api: &Api) -> Result<()> {
    let joined = Joined::create()?;
    let [[one, _], [two, _]] = Joined::ADDRESSES;
    let (front, behind) =
        (Place::between(two.parse()?, one.parse()?), Place::between(one.parse()?, two.parse()?));
    joined.one.enter(|| {
        let server = format!("{WAITS} location / {{ return 200 \"response\"; }}");
        let _server = Nginx::start(&behind, Settings { server: &server, ..Settings::default() })?;
        joined.two.enter(|| {
            let mut bench = Bench::open(api, front, &[&joined.one, &joined.two])?;
            Chain { joined: &joined, bench: &mut bench, behind }.play()?;
            bench.judge()
        })
    })
}

impl Chain<'_, '_> {
    fn play(&mut self) -> Result<()> {
        let mut proxy = self.proxy("60s")?;
        // Everybody in front holds on: the proxy closes its clients, and the server the proxy.
        let begin = now();
        let clients = PATHS.map(|path| self.served_at(path));
        let told = wait::until("a chain that is misaligned in both hops", || {
            let chain = self.told()?;
            let is_so = chain.as_ref().is_some_and(|chain| {
                chain.hops.len() == 2 && chain.hops.iter().all(|hop| hop.verdict == "misaligned")
            });
            Ok(if is_so { Ok(chain) } else { Err(format!("{chain:?}")) })
        })?;
        let told = told.context("no chain")?;
        ensure!((told.port, &*told.verdict) == (self.bench.place.port, "misaligned"), "{told:?}");
        ensure!(told.hops[0].peer.is_none() && told.hops[1].port == self.behind.port, "{told:?}");
        let misaligned = now().saturating_sub(begin);
        drop(clients);
        self.no_more_than(0)?;
        self.race(&proxy)?;
        // What the advice says: who is in front gives up first.
        proxy.program.signal(Signal::KILL)?;
        proxy.program.wait()?;
        drop(proxy);
        let _proxy = self.proxy("1500ms")?;
        let mut paths = PATHS.iter().cycle();
        let mut load = || -> Result<()> {
            let client = self.served_at(paths.next().context("no path")?)?;
            wait::quiet_for(QUIET);
            drop(client);
            Ok(())
        };
        let aligned_from = now();
        PATHS.iter().try_for_each(|_| load())?;
        wait::until("a chain that is aligned in both hops", || {
            load()?;
            let chain = self.told()?;
            let is_so = chain.as_ref().is_some_and(|chain| {
                let safe = |margin: Option<f64>| margin > Some(5.0);
                chain.hops.iter().all(|hop| hop.verdict == "aligned" && safe(hop.margin_seconds))
            });
            Ok(if is_so { Ok(()) } else { Err(format!("{chain:?}")) })
        })?;
        // For as long again.
        while now().saturating_sub(aligned_from) < misaligned {
            load()?;
        }
        // The one of the race.
        self.no_more_than(1)
    }

    /// Starts it in front, with so much patience for the server.
    fn proxy(&self, patience: &str) -> Result<Nginx> {
        let target = self.behind.target();
        let pool = |path: &str| {
            format!("upstream {path} {{ server {target}; keepalive 4; keepalive_timeout {patience}; }}\n")
        };
        let location = |path: &str| {
            let front = if path == PATIENT { "keepalive_timeout 60s;" } else { "" };
            format!(
                "location = /{path} {{ {front} proxy_pass http://{path}; proxy_http_version 1.1; \
                 proxy_set_header Connection \"\"; }}\n"
            )
        };
        let paths = || PATHS.into_iter().chain([PATIENT]);
        let (http, locations): (String, String) =
            (paths().map(pool).collect(), paths().map(location).collect());
        let server = format!("{WAITS}\n{locations}");
        Nginx::start(&self.bench.place, Settings { http: &http, server: &server, ..Settings::default() })
    }

    /// More than a second after the last one, so that what it leaves alone ends in a moment of its own.
    fn served_at(&self, path: &str) -> Result<Client> {
        wait::quiet_for(QUIET);
        let place = self.bench.place;
        self.joined.one.enter(|| {
            let client = Client::connect(&place)?;
            client.get_at(&format!("/{path}"))?;
            Ok(client)
        })
    }

    /// A request that waits at the proxy while the server closes the connection that it will take: the proxy reads it before it reads
    /// of that.
    fn race(&mut self, proxy: &Nginx) -> Result<()> {
        wait::until_true("the server to have closed what it had", || {
            Ok(oracle::connected_to(self.behind.port)?.is_empty())
        })?;
        let client = self.served_at(PATIENT)?;
        proxy.program.freeze()?;
        client.ask_at(&format!("/{PATIENT}"))?;
        let to_the_server = oracle::connected_to(self.behind.port)?;
        let [port] = to_the_server[..] else { anyhow::bail!("not one connection: {to_the_server:?}") };
        oracle::until_state(port, self.behind.port, state::CLOSE_WAIT)?;
        proxy.program.thaw()?;
        // On another connection: nginx tries again.
        client.is_answered()?;
        let front = std::mem::replace(&mut self.bench.place, self.behind);
        self.bench.reset(port, Role::Server, "idle_reuse");
        self.bench.place = front;
        Ok(())
    }

    /// Through the proxy.
    fn told(&self) -> Result<Option<ChainView>> {
        let chains = self.bench.api.timeouts(self.bench.place.port)?.chains;
        let ports = [self.bench.place.port, self.behind.port];
        Ok(chains.into_iter().find(|chain| chain.port == self.bench.place.port).map(|mut chain| {
            // The kernel gives the number of a namespace that has ended to the next, so there may be services of an earlier trial.
            chain.hops.retain(|hop| ports.contains(&hop.port));
            chain
        }))
    }

    /// Resets of either hop, seen at the end that suffers.
    fn no_more_than(&mut self, resets: u64) -> Result<()> {
        for place in [self.bench.place, self.behind] {
            let front = std::mem::replace(&mut self.bench.place, place);
            let seen = self.bench.counts(Role::Client)?.reset;
            self.bench.place = front;
            ensure!(seen <= resets, "{seen} resets at port {}", place.port);
        }
        Ok(())
    }
}
