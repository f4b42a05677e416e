//! 200,000 connections of every kind, in two namespaces at once: still exact, to the last one.

use std::net::IpAddr;
use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use monitor::view::CountsView;

use crate::AloneWithShared;
use crate::api::Api;
use crate::ledger::{Ledger, ended};
use crate::needs::Need;
use crate::netns::{Namespace, sysctl};
use crate::sockets::{
    Family, Place, Service, abort, receive, receive_end, send, wait_for_data, wait_for_reset,
};

pub(crate) const TRIALS: &[AloneWithShared] =
    &[("200,000 mixed connections in two namespaces are counted exactly", Some(Need::Pace), two_namespaces)];

const CONNECTIONS: usize = 100_000;

fn two_namespaces(api: &Api) -> Result<()> {
    let (one, two) = (Namespace::create()?, Namespace::create()?);
    // The second one also uses the ports of TIME_WAIT again, so that tuples return.
    two.enter(|| {
        sysctl("ipv4/tcp_tw_reuse", "1")?;
        sysctl("ipv4/ip_local_port_range", "40000 46000")
    })?;
    thread::scope(|scope| {
        let other = scope.spawn(|| two.enter(|| make_traffic(api, &two)));
        let ours = one.enter(|| make_traffic(api, &one));
        let other = other.join().unwrap_or_else(|panic| resume_unwind(panic));
        ours.context("the first namespace").and(other.context("the second namespace"))
    })
}

/// A service, and a port nobody listens on, at the same addresses.
struct Target {
    service: Service,
    closed: Place,
}

/// What this trial does with one connection, and what each end counts for it.
#[derive(Clone, Copy)]
enum Way {
    ClientFirst,
    ServerFirst,
    Exchanges,
    LingerClient,
    LingerServer,
    Empty,
    UnreadServer,
    UnreadClient,
    Late,
    Refused,
}

impl Way {
    const ALL: [Self; 10] = [
        Self::ClientFirst,
        Self::ServerFirst,
        Self::Exchanges,
        Self::LingerClient,
        Self::LingerServer,
        Self::Empty,
        Self::UnreadServer,
        Self::UnreadClient,
        Self::Late,
        Self::Refused,
    ];

    /// The client's and the server's counts.
    const fn counts(self) -> (CountsView, CountsView) {
        match self {
            Self::ClientFirst | Self::ServerFirst => (ended(1), ended(1)),
            Self::Exchanges => (ended(3), ended(3)),
            Self::LingerClient => (
                CountsView { aborted: 1, resets_sent: 1, ..ended(1) },
                CountsView { reset: 1, resets_received: 1, ..ended(1) },
            ),
            Self::LingerServer => (
                CountsView { reset: 1, resets_received: 1, ..ended(1) },
                CountsView { aborted: 1, resets_sent: 1, ..ended(1) },
            ),
            Self::Empty => (
                CountsView { aborted: 1, resets_sent: 1, ..ended(0) },
                CountsView { aborted: 1, resets_received: 1, ..ended(0) },
            ),
            Self::UnreadServer => (
                CountsView { reset: 1, resets_received: 1, ..ended(0) },
                CountsView { reset: 1, resets_sent: 1, ..ended(0) },
            ),
            Self::UnreadClient => (
                CountsView { reset: 1, resets_sent: 1, ..ended(1) },
                CountsView { reset: 1, resets_received: 1, ..ended(1) },
            ),
            Self::Late => (
                CountsView { reset: 1, resets_received: 1, ..ended(1) },
                CountsView { reset: 1, resets_sent: 1, ..ended(1) },
            ),
            Self::Refused => (
                CountsView { refused_received: 1, opened: 0, closed: 0, ..ended(0) },
                CountsView { opened: 0, closed: 0, ..ended(0) },
            ),
        }
    }

    fn go(self, target: &Target) -> Result<()> {
        if matches!(self, Self::Refused) {
            ensure!(target.closed.connect().is_err(), "the port is not closed");
            return Ok(());
        }
        let pair = target.service.pair()?;
        match self {
            Self::Empty | Self::UnreadServer | Self::UnreadClient | Self::Refused => {}
            Self::Exchanges => pair.exchange(3)?,
            Self::ClientFirst | Self::ServerFirst | Self::LingerClient | Self::LingerServer | Self::Late => {
                pair.exchange(1)?;
            }
        }
        let (client, server) = (pair.client, pair.server);
        match self {
            Self::ClientFirst | Self::Exchanges | Self::Refused => drop((client, server)),
            Self::ServerFirst => drop((server, client)),
            Self::LingerClient | Self::Empty => {
                abort(client)?;
                wait_for_reset(&server)?;
            }
            Self::LingerServer => {
                abort(server)?;
                wait_for_reset(&client)?;
            }
            Self::UnreadServer => {
                send(&client, b"request")?;
                wait_for_data(&server)?;
                drop(server);
                wait_for_reset(&client)?;
            }
            Self::UnreadClient => {
                send(&client, b"request")?;
                receive(&server, 7)?;
                send(&server, b"response")?;
                wait_for_data(&client)?;
                drop(client);
                wait_for_reset(&server)?;
            }
            Self::Late => {
                drop(server);
                receive_end(&client)?;
                send(&client, b"late")?;
                wait_for_reset(&client)?;
            }
        }
        Ok(())
    }
}

/// Several servers with clients of their own, in every family.
fn targets() -> Result<Vec<Target>> {
    let between =
        |server: &str, client: &str| -> Result<(IpAddr, IpAddr)> { Ok((server.parse()?, client.parse()?)) };
    let mut ends = vec![between("fd00::a", "fd00::b")?, between("::1", "::1")?];
    for host in 10..16 {
        ends.push(between(&format!("127.0.0.{host}"), &format!("127.0.1.{host}"))?);
    }
    let mut places: Vec<[Place; 2]> =
        ends.into_iter().map(|(server, client)| [(); 2].map(|()| Place::between(server, client))).collect();
    places.push([(); 2].map(|()| Place::on_loopback(Family::Mapped)));
    places.into_iter().map(|[place, closed]| Ok(Target { service: place.listen()?, closed })).collect()
}

/// What is done with a connection of a worker, and to which of its targets.
fn plan(number: usize, targets: &[Target]) -> (Way, &Target) {
    (Way::ALL[number % Way::ALL.len()], &targets[number / Way::ALL.len() % targets.len()])
}

fn make_traffic(api: &Api, namespace: &Namespace) -> Result<()> {
    let mut ledger = Ledger::open(api, namespace)?;
    let workers = [targets()?, targets()?];
    let each = CONNECTIONS / workers.len();
    let work = |targets: &[Target]| -> Result<()> {
        for number in 0..each {
            let (way, target) = plan(number, targets);
            way.go(target).with_context(|| format!("connection {number}"))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let working: Vec<_> = workers.iter().map(|targets| scope.spawn(|| work(targets))).collect();
        working.into_iter().try_for_each(|worker| worker.join().unwrap_or_else(|panic| resume_unwind(panic)))
    })?;
    for targets in &workers {
        for number in 0..each {
            let (way, target) = plan(number, targets);
            let (client, server) = way.counts();
            if matches!(way, Way::Refused) {
                ledger.client(&target.closed, client);
                ledger.refused_sent(target.closed.port, 1);
            } else {
                ledger.client(&target.service.place, client);
                ledger.server(&target.service.place, server);
            }
        }
    }
    drop(workers);
    ledger.balance()
}
