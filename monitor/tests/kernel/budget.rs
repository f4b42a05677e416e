//! Many times as many peers as there is room for: the sums stay exact, nothing goes down, memory stays bounded.

use std::collections::BTreeSet;
use std::io::{Write as _, stderr};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use monitor::view::{CountsView, PeerView, PeersView};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use crate::AloneWithShared;
use crate::api::Api;
use crate::daemon::Daemon;
use crate::exposition::Counters;
use crate::ledger::{ended, times, zip};
use crate::needs::Need;
use crate::netns::Namespace;
use crate::oracle::{self, Snmp};
use crate::sockets::{Pair, Place, abort, receive, send, unique_port, wait_for_data, wait_for_reset};
use crate::wait;

pub(crate) const TRIALS: &[AloneWithShared] = &[(
    "100,000 real peers in budgets of 10,000 are summed exactly at every scrape",
    Some(Need::Pace),
    far_over_budget,
)];

const PEERS: u32 = 100_000;
const SERVERS: u32 = 20_000;
const BUDGET: usize = 10_000;
const NETWORKS: usize = 100;
/// Of 64 MiB in all, of which a release's executable has 8.2 (`smaps`, 2026-11-27). Of what these trials are built from, with all features
/// and hardly optimized, it has 14: that says nothing about the daemon.
const RESIDENT_LIMIT: u64 = 55 << 20;

fn far_over_budget(roomy: &Api) -> Result<()> {
    let daemon = Daemon::start(&["--client-peers", "10000", "--server-peers", "10000", "--networks", "100"])?;
    let api = &daemon.api;
    let namespace = Namespace::create()?;
    let inum = namespace.inum;
    // The requests to both daemons get their rows first, and so stay out of `other`.
    let before = (roomy.peers()?, api.peers()?);
    let kernel = namespace.enter(|| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let scraper = scope.spawn(|| scrape_until(api, &done));
            let made = make_peers();
            done.store(true, Ordering::Relaxed);
            let scraped = scraper.join().unwrap_or_else(|panic| resume_unwind(panic));
            made.and(scraped)
        })?;
        oracle::until_quiet()?;
        Snmp::read()
    })?;
    let expected = expected();
    ensure!(kernel.active_opens + kernel.passive_opens == expected.opened, "the trial is wrong: {kernel:?}");
    ensure!(kernel.out_resets == expected.resets_sent, "the trial is wrong: {kernel:?}");
    let last = wait::until("the sum over all peers to be the trial's", || {
        let (wide, narrow) = (roomy.peers()?, api.peers()?);
        let ours = |now, before| minus(sum(now, is_ours(inum)), sum(before, is_ours(inum)));
        let with_room = ours(&wide, &before.0);
        let without = add(ours(&narrow, &before.1), sum(&narrow, is_network_of_others(inum)));
        // Others' new peers end in the same `other`; the daemon with room for them tells how much that is.
        let theirs = without_row(&wide, &before.0, &narrow, inum);
        let right = with_room == expected && without == add(expected, theirs);
        let wrong = || {
            format!("expected {expected:?}\nwith room {with_room:?}\nwithout {without:?}\nothers {theirs:?}")
        };
        Ok(if right { Ok(narrow) } else { Err(wrong()) })
    })?;
    for (role, most) in [("client", BUDGET), ("server", BUDGET + NETWORKS)] {
        let rows = last.peers.iter().filter(|peer| peer.role == role && peer.netns.is_some()).count();
        ensure!(rows <= most && rows > BUDGET / 2, "{rows} rows of role {role}");
    }
    wait::until("the peers' sum to equal the kernel programs' own", || {
        let status = api.status()?;
        ensure!(status.over_budget > 0, "nothing was over budget");
        let equal = status.total == status.kernel_total;
        Ok(if equal { Ok(()) } else { Err(format!("{:?}\n{:?}", status.total, status.kernel_total)) })
    })?;
    let (whole, resident) = (daemon.resident_bytes()? / 1024, daemon.resident_data_bytes()?);
    let rows = last.matching;
    writeln!(stderr(), "daemon with {rows} rows: {whole} KiB resident, {} without code", resident / 1024)?;
    ensure!(resident <= RESIDENT_LIMIT, "{resident} bytes resident besides the executable");
    daemon.stop(Signal::TERM)
}

/// Rows of the trial's namespace, and the sums that belong to none.
fn is_ours(netns: u32) -> impl Fn(&PeerView) -> bool {
    move |peer| peer.netns.is_none_or(|of| of == netns)
}

/// Rows of whole networks in other namespaces.
fn is_network_of_others(netns: u32) -> impl Fn(&PeerView) -> bool {
    move |peer| peer.peer.contains('/') && !is_ours(netns)(peer)
}

fn sum(view: &PeersView, which: impl Fn(&PeerView) -> bool) -> CountsView {
    let counts = view.peers.iter().filter(|peer| which(peer)).map(|peer| peer.counts);
    counts.fold(CountsView::default(), add)
}

/// What others' peers did since `before` that have no row of their own in `narrow`.
fn without_row(wide: &PeersView, before: &PeersView, narrow: &PeersView, netns: u32) -> CountsView {
    let key = |peer: &PeerView| (peer.peer.clone(), peer.port, peer.role.clone(), peer.netns);
    let known: BTreeSet<_> = narrow.peers.iter().map(key).collect();
    let is_unknown = |peer: &PeerView| !is_ours(netns)(peer) && !known.contains(&key(peer));
    minus(sum(wide, is_unknown), sum(before, is_unknown))
}

fn minus(now: CountsView, before: CountsView) -> CountsView {
    zip(now, before, |now, before| now - before)
}

fn add(one: CountsView, two: CountsView) -> CountsView {
    zip(one, two, |one, two| one + two)
}

/// Both ends of every connection, in four ways in turn.
fn expected() -> CountsView {
    let quarter = u64::from(PEERS / 4);
    let aborted = CountsView { aborted: 1, resets_sent: 1, ..ended(0) };
    let abort_received = CountsView { reset: 1, resets_received: 1, ..ended(0) };
    let unread = CountsView { reset: 1, resets_sent: 1, ..ended(0) };
    let unread_received = CountsView { reset: 1, resets_received: 1, ..ended(0) };
    let each =
        [times(ended(0), 2), times(ended(1), 2), add(aborted, abort_received), add(unread, unread_received)];
    times(each.into_iter().fold(CountsView::default(), add), quarter)
}

/// A connection from each of [`PEERS`] loopback addresses, to each of [`SERVERS`] in turn.
fn make_peers() -> Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let port = unique_port();
    listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    listener.listen(128)?;
    let loopback = |number| IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::new(127, 32, 0, 1).to_bits() + number));
    for number in 0..PEERS {
        let address = loopback(number);
        let place = Place::between(loopback(number % SERVERS), address).with_port(port);
        let client = place.connect().with_context(|| format!("peer {address}"))?;
        let (server, _) = listener.accept()?;
        server.set_read_timeout(Some(wait::deadline()))?;
        let pair = Pair { client, server, client_port: 0, service_port: port };
        match number % 4 {
            0 => pair.finish(),
            1 => {
                pair.exchange(1)?;
                pair.finish();
            }
            2 => {
                send(&pair.client, b"one way")?;
                receive(&pair.server, 7)?;
                abort(pair.client)?;
                wait_for_reset(&pair.server)?;
            }
            _ => {
                send(&pair.client, b"unread")?;
                wait_for_data(&pair.server)?;
                drop(pair.server);
                wait_for_reset(&pair.client)?;
            }
        }
    }
    Ok(())
}

/// The metric of each count, and how to find the count.
type Metric = (&'static str, fn(&CountsView) -> u64);

/// The one whose resets wait for their verdicts.
const BY_FINAL_VERDICT: &str = "reset_monitor_resets_received_total";

const METRICS: [Metric; 8] = [
    ("reset_monitor_connections_opened_total", |counts| counts.opened),
    ("reset_monitor_connections_closed_total", |counts| counts.closed),
    ("reset_monitor_connections_reset_total", |counts| counts.reset),
    ("reset_monitor_connections_aborted_total", |counts| counts.aborted),
    ("reset_monitor_exchanges_total", |counts| counts.exchanges),
    ("reset_monitor_resets_sent_total", |counts| counts.resets_sent),
    (BY_FINAL_VERDICT, |counts| counts.resets_received),
    ("reset_monitor_refused_received_total", |counts| counts.refused_received),
];

/// Scrapes until told to stop: every answer's rows add up to its total, and no series ever goes down.
fn scrape_until(api: &Api, done: &AtomicBool) -> Result<()> {
    let mut earlier = Counters::parse(&api.metrics()?)?;
    let mut scrapes = 0;
    loop {
        let last = done.load(Ordering::Relaxed);
        let before = api.peers()?;
        let counters = Counters::parse(&api.metrics()?)?;
        let after = api.peers()?;
        for view in [&before, &after] {
            let sum = sum(view, |_| true);
            ensure!(
                sum == view.total,
                "scrape {scrapes}: the rows give {sum:?}, the total is {:?}",
                view.total
            );
        }
        for (name, count) in METRICS {
            let (least, found, most) =
                (number(count(&before.total))?, counters.sum(name), number(count(&after.total))?);
            // A received reset is in a series when its verdict is final, at most a second later.
            let least = if name == BY_FINAL_VERDICT { 0.0 } else { least };
            ensure!(
                least <= found && found <= most,
                "scrape {scrapes}: {name} is {found}, and the total was {least} before and {most} after"
            );
        }
        let fallen = counters.fallen_since(&earlier);
        ensure!(fallen.is_empty(), "scrape {scrapes}: went down:\n{}", fallen.join("\n"));
        earlier = counters;
        scrapes += 1;
        if last {
            ensure!(scrapes > 3, "only {scrapes} scrapes");
            return until_final(api);
        }
    }
}

/// Waits until every received reset has its cause.
fn until_final(api: &Api) -> Result<()> {
    wait::until("every received reset to have its final verdict", || {
        let total = number(api.peers()?.total.resets_received)?;
        let found = Counters::parse(&api.metrics()?)?.sum(BY_FINAL_VERDICT);
        Ok(if found.total_cmp(&total).is_eq() { Ok(()) } else { Err(format!("{found} of {total}")) })
    })
}

fn number(count: u64) -> Result<f64> {
    Ok(u32::try_from(count)?.into())
}
