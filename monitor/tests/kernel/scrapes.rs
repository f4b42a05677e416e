//! Scrapes: by forty at once while peers come, with few and with many series; and by who chose which peers have any.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use socket2::{Domain, Protocol, Socket, Type};

use crate::AloneWithOwn;
use crate::api::Api;
use crate::daemon::Daemon;
use crate::exposition::Counters;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::oracle::{self, Snmp};
use crate::sockets::{Family, Pair, Place, abort, receive, send, unique_port, wait_for_reset};
use crate::wait;

pub(crate) const TRIALS: &[AloneWithOwn] = &[
    ("forty scrapers at once, among 200 and 10,000 series, delay no count", Some(Need::Pace), forty_at_once),
    ("options choose which peers have series, and sums hold", Some(Need::OneKernel), options),
];

const OPENED: &str = "reset_monitor_connections_opened_total";
/// With a thorough one and a slow one as many as the daemon answers at once.
const SCRAPERS: usize = 38;
/// So many clients, each connecting to a server of its own: a peer for each end.
const CONNECTIONS: u32 = 6_000;

fn forty_at_once() -> Result<()> {
    let budgets = ["--client-peers", "8000", "--server-peers", "8000", "--published-peers"];
    let with = |published| Daemon::start(&[&budgets[..], &[published]].concat());
    let daemons = [with("200")?, with("10000")?];
    let namespace = Namespace::create()?;
    let kernel = namespace.enter(|| {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Who asks and then does not read the answer, until the end.
            let slow: Vec<_> =
                daemons.iter().map(|daemon| daemon.api.open_stream("/metrics")).collect::<Result<_>>()?;
            let mut scrapers = Vec::new();
            for daemon in &daemons {
                scrapers.push(scope.spawn(|| scrape_thoroughly(&daemon.api, &done)));
                for _ in 0..SCRAPERS {
                    scrapers.push(scope.spawn(|| scrape(&daemon.api, &done)));
                }
            }
            let made = make_peers();
            done.store(true, Ordering::Relaxed);
            let scraped: Result<Vec<()>> = scrapers
                .into_iter()
                .map(|scraper| scraper.join().unwrap_or_else(|panic| resume_unwind(panic)))
                .collect();
            drop(slow);
            made.and(scraped.map(drop))
        })?;
        oracle::until_quiet()?;
        Snmp::read()
    })?;
    let opens = kernel.active_opens + kernel.passive_opens;
    ensure!(opens == 2 * u64::from(CONNECTIONS), "the trial is wrong: {kernel:?}");
    for daemon in daemons {
        wait::until("the namespace's peers to have all that the kernel counts", || {
            let view = daemon.api.peers_of(namespace.inum)?;
            let ours = view.peers.iter().filter(|peer| peer.netns == Some(namespace.inum));
            let (opened, sent) =
                ours.fold((0, 0), |sum, peer| (sum.0 + peer.counts.opened, sum.1 + peer.counts.resets_sent));
            let right = (opened, sent) == (opens, kernel.out_resets);
            Ok(if right { Ok(()) } else { Err(format!("{opened} and {sent}, and {kernel:?}")) })
        })?;
        let counters = Counters::parse(&daemon.api.metrics()?)?;
        let lost = counters.sum("reset_monitor_events_lost_total");
        ensure!(lost.total_cmp(&0.0).is_eq(), "{lost} stories were lost while all of them scraped");
        daemon.stop(Signal::TERM)?;
    }
    Ok(())
}

/// One connection from each of so many loopback addresses to another one; every other one ends in a reset.
fn make_peers() -> Result<()> {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    let port = unique_port();
    listener.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    listener.listen(128)?;
    for number in 0..CONNECTIONS {
        let place = Place::between(loopback([127, 96, 0, 1], number), loopback([127, 112, 0, 1], number));
        let client = place.with_port(port).connect().with_context(|| format!("connection {number}"))?;
        let (server, _) = listener.accept()?;
        server.set_read_timeout(Some(wait::deadline()))?;
        let pair = Pair { client, server, client_port: 0, service_port: port };
        if number % 2 == 0 {
            send(&pair.client, b"one way")?;
            receive(&pair.server, 7)?;
            abort(pair.client)?;
            wait_for_reset(&pair.server)?;
        } else {
            pair.exchange(1)?;
            pair.finish();
        }
    }
    Ok(())
}

fn loopback(base: [u8; 4], number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(Ipv4Addr::from_octets(base).to_bits() + number))
}

/// Sees one sum grow, as cheaply as can be.
fn scrape(api: &Api, done: &AtomicBool) -> Result<()> {
    let mut earlier = 0.0;
    while !done.load(Ordering::Relaxed) {
        let text = api.metrics()?;
        let lines = text.lines().filter(|line| line.starts_with(OPENED));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        let sum: f64 = values.sum();
        ensure!(sum >= earlier, "the sum of {OPENED} was {earlier}, and is {sum}");
        earlier = sum;
    }
    Ok(())
}

/// Sees that nothing goes down, and that the sum is the total.
fn scrape_thoroughly(api: &Api, done: &AtomicBool) -> Result<()> {
    let mut earlier = Counters::parse(&api.metrics()?)?;
    loop {
        let last = done.load(Ordering::Relaxed);
        let least = api.status()?.total.opened;
        let counters = Counters::parse(&api.metrics()?)?;
        let most = api.status()?.total.opened;
        let sum = counters.sum(OPENED);
        let number = |count: u64| Ok::<f64, anyhow::Error>(u32::try_from(count)?.into());
        ensure!(
            number(least)? <= sum && sum <= number(most)?,
            "the series give {sum}, and the total was {least} before and {most} after"
        );
        let fallen = counters.fallen_since(&earlier);
        ensure!(fallen.is_empty(), "went down:\n{}", fallen.join("\n"));
        earlier = counters;
        if last {
            return Ok(());
        }
    }
}

fn options() -> Result<()> {
    let namespace = Namespace::create()?;
    let [told, hidden] = [(); 2].map(|()| unique_port());
    let ports = [told.to_string(), hidden.to_string()];
    let other = Namespace::create()?;
    let (inum, other_inum) = (namespace.inum, other.inum);
    let daemon = Daemon::start(&[
        "--metrics-namespace-label",
        "--metrics-network",
        "127.70.0.0/16@24",
        "--metrics-except-port",
        &ports[1],
        "--metrics-namespace",
        &inum.to_string(),
    ])?;
    let talk_to = |port: u16| -> Result<()> {
        let service = Place::on_loopback(Family::V4).with_port(port).listen()?;
        for number in [1, 2, 3, 257] {
            service.talk_from(loopback([127, 70, 0, 0], number))?;
        }
        service.talk_from(Ipv4Addr::new(127, 71, 0, 9).into())
    };
    for port in [told, hidden] {
        namespace.enter(|| talk_to(port))?;
    }
    other.enter(|| talk_to(told))?;
    wait::until("series of the peers that were chosen", || {
        let text = daemon.api.metrics()?;
        let counters = Counters::parse(&text)?;
        let of = |peer: &str, port: &str, netns: u32| {
            let labels = format!("peer=\"{peer}\",port=\"{port}\",role=\"server\",netns=\"{netns}\"");
            counters.0.get(&format!("{OPENED}{{{labels}}}")).copied()
        };
        let found = ["127.70.0.0/24", "127.70.1.0/24", "127.71.0.9"].map(|peer| of(peer, &ports[0], inum));
        if found != [Some(3.0), Some(1.0), Some(1.0)] {
            return Ok(Err(format!("{found:?}")));
        }
        for unwanted in [format!("port=\"{hidden}\""), format!("netns=\"{other_inum}\"")] {
            ensure!(!text.contains(&unwanted), "{unwanted} was not chosen");
        }
        // All the same, they are counted.
        let total = daemon.api.status()?.total.opened;
        let sum = counters.sum(OPENED);
        ensure!(sum >= 30.0 && sum <= u32::try_from(total)?.into(), "{sum} in all, and {total} after");
        Ok(Ok(()))
    })?;
    let rows = daemon.api.peers_of(inum)?;
    let hidden_rows =
        rows.peers.iter().filter(|peer| peer.port == Some(hidden) && peer.role == "server").count();
    ensure!(hidden_rows == 5, "the API has {hidden_rows} of them, each by itself");
    daemon.stop(Signal::TERM)
}
