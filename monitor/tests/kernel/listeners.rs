//! Full accept queues and other tables, as the daemon tells them, against `ss`, `/proc/net/netstat` and `/proc/net/sockstat`.
//!
//! Backlogs and drops are told of the daemon's own network namespace, so most trials start one inside theirs.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use monitor::view::listeners::{ListenNamespaceView, ListenerView, ListenersView};
use rustix::process::Signal;
use socket2::{Protocol, Socket};

use self::stages::{at_the_last_ack, by_listener};
use crate::api::Api;
use crate::daemon::Daemon;
use crate::exposition::Counters;
use crate::helper::Holder;
use crate::netns::Namespace;
use crate::oracle::{self, Netstat, Sockstat, listening, state};
use crate::sockets::{Family, Pair, Place, abort, lose_everything};
use crate::{WithOwn, machine, wait};

mod stages;

pub(crate) const TRIALS: &[WithOwn] = &[
    ("a full accept queue is told as the kernel counts it (IPv4)", || in_own(|| overflow(Family::V4))),
    ("a full accept queue is met by a handshake's last ACK (IPv6)", || {
        in_own(|| at_the_last_ack(Family::V6))
    }),
];

/// What needs no other kernel than the one at hand.
pub(crate) const TRIALS_OF_ONE_KERNEL: &[WithOwn] = &[
    ("a full accept queue is told as the kernel counts it (IPv6)", || in_own(|| overflow(Family::V6))),
    ("a full accept queue is told as the kernel counts it (dual-stack)", || {
        in_own(|| overflow(Family::Mapped))
    }),
    ("a full accept queue is met by a handshake's last ACK (IPv4)", || {
        in_own(|| at_the_last_ack(Family::V4))
    }),
    ("a listener that is opened again goes on counting", || in_own(reopened)),
    ("what was dropped before the start is left out", || in_own(before_the_start)),
    ("sockets that share a port are summed up, and the fullest is shown", || in_own(shared_port)),
    ("orphans, TIME_WAIT and conntrack are the kernel's numbers", || beside(tables)),
    ("the command lists listeners, or says that there is none", || in_own(command)),
    ("overflows of a namespace stay counted when its last process ends", || beside(namespace_ends)),
];

/// Connections tried; `listen(1)` admits two.
const TRIED: u64 = 6;
const ADMITTED: u64 = 2;

/// The metric of overflows.
const OVERFLOWS: &str = "reset_monitor_listen_overflows_total";

/// Runs a trial inside a namespace of its own. A daemon it starts there ends with this thread.
fn in_own(trial: impl FnOnce() -> Result<()> + Send) -> Result<()> {
    Namespace::create()?.enter(trial)
}

/// Runs a trial with a daemon here and a process in a namespace of its own, by which the daemon can read that namespace's
/// counters.
fn beside(trial: impl FnOnce(&Daemon, &Namespace, &mut Holder) -> Result<()> + Send) -> Result<()> {
    let (here, other) = (Namespace::current()?, Namespace::create()?);
    // Process and daemon end with the threads that started them, so those stay until the end.
    other.enter(|| {
        let mut process = Holder::start(&Place::on_loopback(Family::V4), 1)?;
        here.enter(|| {
            let daemon = Daemon::start(&[])?;
            trial(&daemon, &other, &mut process)?;
            daemon.stop(Signal::TERM)
        })
    })
}

/// Clients that fill a queue of `listen(1)`: two get in, the others' SYNs are dropped and sent again.
struct Crowd(Vec<Socket>);

impl Crowd {
    /// Comes when the queue has its two, and the kernel has dropped a SYN of each of the others.
    fn gather(place: &Place) -> Result<Self> {
        let before = Netstat::read()?;
        let mut crowd = Self((0..ADMITTED).map(|_| connecting(place)).collect::<Result<_>>()?);
        // A queue is full when handshakes have ended: SYNs that a busy machine takes all at once find room, every one.
        wait::until("the queue to be full", || {
            let queue = the_listener(place.port)?;
            Ok(if queue.backlog == ADMITTED { Ok(()) } else { Err(format!("{queue:?}")) })
        })?;
        for _ in ADMITTED..TRIED {
            crowd.0.push(connecting(place)?);
        }
        wait::until("the queue to be full and the rest to be dropped", || {
            let (now, queue) = (Netstat::read()?.since(before), the_listener(place.port)?);
            let full = queue.backlog == ADMITTED;
            let dropped = now.listen_overflows >= TRIED - ADMITTED;
            Ok(if full && dropped { Ok(()) } else { Err(format!("{now:?}, {queue:?}")) })
        })?;
        Ok(crowd)
    }

    /// Those in the queue stay there; the others give up, so that the counters come to rest.
    fn give_up(&mut self) -> Result<()> {
        let mut admitted = Vec::new();
        for client in self.0.drain(..) {
            if client.peer_addr().is_ok() {
                admitted.push(client);
            }
        }
        ensure!(admitted.len() as u64 == ADMITTED, "{} of {TRIED} connected", admitted.len());
        self.0 = admitted;
        Ok(())
    }
}

/// A client on its way.
fn connecting(place: &Place) -> Result<Socket> {
    let client = place.client_socket(Protocol::TCP, 0)?;
    client.set_nonblocking(true)?;
    match client.connect(&place.target().into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error).context("cannot begin to connect")
        }
        Ok(()) | Err(_) => Ok(client),
    }
}

/// What `ss` says of the only listener on a port.
fn the_listener(port: u16) -> Result<oracle::Listening> {
    let mut found = listening(port)?;
    ensure!(found.len() == 1, "ss shows {} listeners on port {port}", found.len());
    found.pop().context("no listener")
}

/// The daemon's rows of a port.
fn rows(view: &ListenersView, port: u16) -> Vec<&ListenerView> {
    view.listeners.iter().flatten().filter(|row| row.port == port).collect()
}

/// The listener label of a metric.
fn label(place: &Place) -> String {
    let address = match place.family {
        Family::V4 | Family::V6 => SocketAddr::new(place.server, place.port),
        Family::Mapped => SocketAddr::new(std::net::Ipv6Addr::UNSPECIFIED.into(), place.port),
    };
    format!("{{listener=\"{address}\"}}")
}

/// A gauge or counter of a scrape, by name and labels.
fn sample(metrics: &str, key: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(key)?.strip_prefix(' ')?.parse().ok();
    metrics.lines().find_map(value)
}

/// Asks the kernel, the daemon, and the kernel again until nothing changed meanwhile; then `compare` must hold.
fn at_rest<T: PartialEq + std::fmt::Debug>(
    api: &Api,
    theirs: impl Fn() -> Result<T>,
    compare: impl Fn(&T, &ListenersView, &str) -> Result<()>,
) -> Result<()> {
    wait::until("a moment at which the daemon and the kernel can be compared", || {
        let before = theirs()?;
        let (view, metrics) = (api.listeners()?, api.metrics()?);
        let after = theirs()?;
        if before != after {
            return Ok(Err(format!("{before:?} became {after:?}")));
        }
        Ok(compare(&after, &view, &metrics).map_err(|error| format!("{error:#}")))
    })
}

/// Overflows in all, whichever listeners and stages there are; `None` without any.
fn overflows(metrics: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(OVERFLOWS)?.rsplit_once(' ')?.1.parse::<u64>().ok();
    metrics.lines().filter_map(value).reduce(|sum, more| sum + more)
}

fn own_row(view: &ListenersView) -> Result<&ListenNamespaceView> {
    row_of(view, Namespace::current()?.inum)
}

fn row_of(view: &ListenersView, netns: u32) -> Result<&ListenNamespaceView> {
    view.namespaces.iter().find(|row| row.netns == Some(netns)).with_context(|| format!("no row of {netns}"))
}

fn overflow(family: Family) -> Result<()> {
    // Counters of the namespace that are older than the daemon, to be left out.
    let early = Place::on_loopback(family);
    let early_service = early.listen_with(1)?;
    Crowd::gather(&early)?.give_up()?;
    drop(early_service);
    let start = Netstat::read()?;
    ensure!(start.listen_overflows > 0, "nothing was dropped before the daemon started");

    let daemon = Daemon::start(&[])?;
    let place = Place::on_loopback(family);
    let service = place.listen_with(1)?;
    let mut crowd = Crowd::gather(&place)?;
    crowd.give_up()?;
    let theirs = || Ok((Netstat::read()?.since(start), the_listener(place.port)?));
    at_rest(&daemon.api, theirs, |(netstat, queue), view, metrics| {
        let row = own_row(view)?;
        ensure!(netstat.listen_overflows >= TRIED - ADMITTED, "{netstat:?}");
        ensure!(
            row.listen_overflows == Some(netstat.listen_overflows),
            "{row:?}, the kernel says {netstat:?}"
        );
        ensure!(row.listen_drops == Some(netstat.listen_drops), "{row:?}, the kernel says {netstat:?}");
        let rows = rows(view, place.port);
        ensure!(rows.len() == 1, "{rows:?}");
        let listener = rows.first().context("no row")?;
        let ours = oracle::Listening {
            backlog: listener.backlog.into(),
            limit: listener.limit.into(),
            drops: listener.drops.context("no drops")?,
            inode: listener.inode.into(),
        };
        ensure!(ours == *queue, "{ours:?}, ss says {queue:?}");
        ensure!(queue.limit == 1 && queue.backlog == ADMITTED, "{queue:?}");
        // Every SYN met a full queue, and nothing else was dropped.
        ensure!(queue.drops == netstat.listen_overflows, "{queue:?}, {netstat:?}");
        ensure!(listener.only_v6 == (family != Family::V4).then_some(family == Family::V6), "{listener:?}");

        let label = label(&place);
        for (name, theirs) in [
            ("listener_drops_total", queue.drops),
            ("listener_backlog", queue.backlog),
            ("listener_backlog_limit", queue.limit),
        ] {
            let ours = sample(metrics, &format!("reset_monitor_{name}{label}"));
            ensure!(ours == Some(theirs), "{name} is {ours:?}, ss says {theirs}");
        }
        ensure!(overflows(metrics) >= Some(netstat.listen_overflows), "{metrics}");
        by_listener(&daemon.api, view, metrics, &place, netstat.listen_overflows)
    })?;
    drop((crowd, service));
    daemon.stop(Signal::TERM)
}

fn reopened() -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let api = &daemon.api;
    let place = Place::on_loopback(Family::V4);
    let key = format!("reset_monitor_listener_drops_total{}", label(&place));
    let mut dropped = 0;
    let mut earlier = Counters::parse(&api.metrics()?)?;
    for _ in 0..3 {
        let service = place.listen_with(1)?;
        let mut crowd = Crowd::gather(&place)?;
        crowd.give_up()?;
        dropped += the_listener(place.port)?.drops;
        wait::until("the listener's drops, of all its sockets", || {
            let metrics = api.metrics()?;
            let counters = Counters::parse(&metrics)?;
            let fallen = counters.fallen_since(&earlier);
            ensure!(fallen.is_empty(), "went down:\n{}", fallen.join("\n"));
            earlier = counters;
            let ours = sample(&metrics, &key);
            Ok(if ours == Some(dropped) { Ok(()) } else { Err(format!("{ours:?} of {dropped}")) })
        })?;
        drop((crowd, service));
        wait::until("the listener to be gone, and its drops to stay", || {
            let (view, metrics) = (api.listeners()?, api.metrics()?);
            let gone = rows(&view, place.port).is_empty();
            ensure!(sample(&metrics, &key) == Some(dropped), "{dropped} became {:?}", sample(&metrics, &key));
            let gauge = sample(&metrics, &format!("reset_monitor_listener_backlog{}", label(&place)));
            Ok(if gone && gauge.is_none() && view.closed_drops == Some(dropped) {
                Ok(())
            } else {
                Err(format!("backlog {gauge:?}, {view:?}"))
            })
        })?;
    }
    ensure!(dropped >= 3 * (TRIED - ADMITTED), "{dropped}");
    daemon.stop(Signal::TERM)
}

fn before_the_start() -> Result<()> {
    let place = Place::on_loopback(Family::V6);
    let service = place.listen_with(1)?;
    Crowd::gather(&place)?.give_up()?;
    let before = the_listener(place.port)?;
    let daemon = Daemon::start(&[])?;
    let start = Netstat::read()?;
    // The first crowd's two are still in the queue.
    let mut more = (0..TRIED).map(|_| connecting(&place)).collect::<Result<Vec<_>>>()?;
    wait::until_true("every SYN to be dropped", || {
        Ok(Netstat::read()?.since(start).listen_overflows >= TRIED)
    })?;
    more.clear();
    let theirs = || Ok((Netstat::read()?.since(start), the_listener(place.port)?));
    at_rest(&daemon.api, theirs, |(netstat, queue), view, _| {
        let row = own_row(view)?;
        ensure!(row.listen_overflows == Some(netstat.listen_overflows), "{row:?}, {netstat:?}");
        let drops = rows(view, place.port).first().and_then(|row| row.drops);
        ensure!(drops == Some(queue.drops - before.drops), "{drops:?}, {before:?} before, {queue:?}");
        Ok(())
    })?;
    drop((more, service));
    daemon.stop(Signal::TERM)
}

fn shared_port() -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let place = Place::on_loopback(Family::V4);
    let services = [place.listen_shared(1)?, place.listen_shared(1)?, place.listen_shared(9)?];
    // Enough that each of the small ones is full and has dropped something, whichever of them the kernel chooses.
    let mut clients = Vec::new();
    wait::until("both small queues to be full", || {
        let small = listening(place.port)?.into_iter().filter(|queue| queue.limit == 1);
        if small.clone().filter(|queue| queue.backlog == 2 && queue.drops > 0).count() == 2 {
            return Ok(Ok(()));
        }
        if clients.len() < 200 {
            clients.push(connecting(&place)?);
        }
        Ok(Err(format!("{:?}", small.collect::<Vec<_>>())))
    })?;
    clients.retain(|client| client.peer_addr().is_ok());
    at_rest(
        &daemon.api,
        || listening(place.port),
        |queues, view, metrics| {
            let rows = rows(view, place.port);
            ensure!(rows.len() == services.len() && queues.len() == services.len(), "{rows:?}, {queues:?}");
            for queue in queues {
                let same = rows.iter().find(|row| u64::from(row.inode) == queue.inode).context("no row")?;
                ensure!(same.drops == Some(queue.drops), "{same:?}, {queue:?}");
            }
            let value = |name: &str| sample(metrics, &format!("reset_monitor_{name}{}", label(&place)));
            let drops = queues.iter().map(|queue| queue.drops).sum::<u64>();
            ensure!(value("listener_drops_total") == Some(drops), "{drops}, {queues:?}");
            ensure!(
                (value("listener_backlog"), value("listener_backlog_limit")) == (Some(2), Some(1)),
                "{queues:?}"
            );
            Ok(())
        },
    )?;
    drop((clients, services));
    daemon.stop(Signal::TERM)
}

fn tables(daemon: &Daemon, namespace: &Namespace, _: &mut Holder) -> Result<()> {
    let (client, service) = namespace.enter(|| {
        let service = Place::on_loopback(Family::V4).listen()?;
        for _ in 0..5 {
            let pair = service.pair()?;
            pair.exchange(1)?;
            pair.finish();
        }
        // Its peer has vanished, so what is left of this one stays until the kernel gives up.
        let Pair { client, server, client_port, service_port } = service.pair()?;
        lose_everything(&client)?;
        drop(server);
        oracle::until_state(service_port, client_port, state::FIN_WAIT1)?;
        Ok((client, service))
    })?;
    let theirs = || Ok((namespace.enter(Sockstat::read)?, oracle::conntrack()));
    at_rest(&daemon.api, theirs, |(sockstat, conntrack), view, metrics| {
        ensure!(sockstat.time_wait >= 5 && sockstat.orphans >= 1, "{sockstat:?}");
        let row = row_of(view, namespace.inum)?;
        ensure!(row.time_wait_sockets == Some(sockstat.time_wait), "{row:?}, {sockstat:?}");
        ensure!(view.orphan_sockets == Some(sockstat.orphans), "{view:?}, {sockstat:?}");
        let orphans = sample(metrics, "reset_monitor_orphan_sockets");
        ensure!(orphans == Some(sockstat.orphans), "{orphans:?}, {sockstat:?}");
        let all = view.namespaces.iter().filter_map(|row| row.time_wait_sockets).sum::<u64>();
        ensure!(view.time_wait_sockets == Some(all), "{view:?}");
        let time_wait = sample(metrics, "reset_monitor_time_wait_sockets");
        ensure!(time_wait >= Some(sockstat.time_wait), "{time_wait:?}, {sockstat:?}");
        let ours = view.conntrack.as_ref().map(|table| (table.entries, table.limit));
        ensure!(
            ours == conntrack.map(|(entries, limit)| (Some(entries), Some(limit))),
            "{ours:?}, {conntrack:?}"
        );
        let gauges =
            ["entries", "limit"].map(|name| sample(metrics, &format!("reset_monitor_conntrack_{name}")));
        let wanted = conntrack.map(|(entries, limit)| [Some(entries), Some(limit)]);
        ensure!(gauges == wanted.unwrap_or_default(), "{gauges:?}, {conntrack:?}");
        Ok(())
    })?;
    drop(service);
    // What it sends still arrives, and takes the orphan with it.
    abort(client)
}

fn command() -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let server = format!("http://{}", daemon.api.address());
    let run = |options: &[&str]| -> Result<(String, String)> {
        let output = std::process::Command::new(machine::daemon())
            .args(["listeners", "--server", &server])
            .args(options)
            .output()?;
        ensure!(output.status.success(), "{output:?}");
        Ok((String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
    };
    let place = Place::on_loopback(Family::V6);
    let (table, message) = run(&["--port", &place.port.to_string()])?;
    // How many overflows is a matter of the whole host: other trials make some.
    let summary = table.split_once(" listen overflow").map(|(count, _)| count.parse::<u64>());
    ensure!(matches!(summary, Some(Ok(_))) && table.lines().count() == 1, "{table}");
    ensure!(message.contains(&format!("port {}", place.port)), "{message}");

    let service = place.listen_with(1)?;
    let mut crowd = Crowd::gather(&place)?;
    crowd.give_up()?;
    let queue = the_listener(place.port)?;
    let (table, message) = run(&["--port", &place.port.to_string()])?;
    let line = table.lines().nth(1).context("no row")?;
    let cells: Vec<_> = line.split_whitespace().collect();
    let name = format!("[{}]:{}", place.server, place.port);
    let drops = queue.drops.to_string();
    let mut wanted = vec![&*name, "2", "1", "100%", &*drops];
    // Every drop of this queue was a full one's.
    let by_stage = format!("{drops}/0");
    if table.contains("OVERFLOWS(SYN/ACK)") {
        wanted.insert(4, &by_stage);
    }
    ensure!(cells.get(..wanted.len()) == Some(&*wanted), "{table}");
    ensure!(table.lines().last().is_some_and(|last| last.contains("TIME_WAIT")), "{table}");
    ensure!(message.is_empty() && !table.contains('\x1b'), "{message}{table}");
    let (json, _) = run(&["-o", "json"])?;
    let view: ListenersView = serde_json::from_str(&json)?;
    ensure!(
        view.listeners.is_some_and(|rows| rows.first().is_some_and(|row| row.port == place.port)),
        "{json}"
    );
    drop((crowd, service));
    daemon.stop(Signal::TERM)
}

fn namespace_ends(daemon: &Daemon, namespace: &Namespace, process: &mut Holder) -> Result<()> {
    let api = &daemon.api;
    let held = namespace.enter(|| {
        let place = Place::on_loopback(Family::V4);
        let service = place.listen_with(1)?;
        let mut crowd = Crowd::gather(&place)?;
        crowd.give_up()?;
        Ok((crowd, service))
    })?;
    let theirs = || namespace.enter(Netstat::read);
    at_rest(api, theirs, |netstat, view, metrics| {
        let row = row_of(view, namespace.inum)?;
        ensure!(netstat.listen_overflows >= TRIED - ADMITTED, "{netstat:?}");
        ensure!(row.listen_overflows == Some(netstat.listen_overflows), "{row:?}, {netstat:?}");
        ensure!(row.listen_drops == Some(netstat.listen_drops), "{row:?}, {netstat:?}");
        ensure!(overflows(metrics) >= Some(netstat.listen_overflows), "{netstat:?}, {metrics}");
        Ok(())
    })?;
    let earlier = Counters::parse(&api.metrics()?)?;
    process.kill()?;
    let row = wait::until("the namespace to be lost sight of", || {
        let row = row_of(&api.listeners()?, namespace.inum)?.clone();
        Ok(if row.time_wait_sockets.is_none() { Ok(row) } else { Err(format!("{row:?}")) })
    })?;
    let counted = theirs()?;
    ensure!(row.listen_overflows == Some(counted.listen_overflows), "{row:?}, {counted:?}");
    let fallen = Counters::parse(&api.metrics()?)?.fallen_since(&earlier);
    ensure!(fallen.is_empty(), "went down:\n{}", fallen.join("\n"));
    drop(held);
    Ok(())
}
