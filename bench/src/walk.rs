//! What looking at open connections costs: 50,000 sockets, held by as many processes as the limit of open files makes necessary.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::cost::{Effort, against, just, table};
use crate::daemon::Daemon;
use crate::netns::Namespace;
use crate::process::Process;
use crate::report::Table;
use crate::stats::Summary;
use crate::{clock, http};

/// Subcommand of the processes that hold connections.
pub(crate) const HOLD: &str = "hold";
/// Both ends are here.
const SOCKETS: usize = 50_000;
/// Descriptors of a process that are not its connections'.
const OTHER_FILES: usize = 100;
/// Connections of one listener: fewer than there are ports for one address.
const EACH: usize = 5_000;
/// How long making them may take.
const LONGEST: Duration = Duration::from_mins(2);
/// How often to look whether there is another walk. A request for peers would have only the daemon's own namespace walked.
const APART: Duration = Duration::from_secs(1);

/// A daemon that enters the namespace in which they are.
pub(crate) fn measure(effort: Effort<'_>) -> Result<Table> {
    eprintln!("==> daemon: {SOCKETS} open sockets");
    let own = std::env::current_exe()?;
    let own = own.to_str().context("a path that is not UTF-8")?;
    let namespace = Namespace::create()?;
    let path = namespace.path();
    let limit = getrlimit(Resource::Nofile).maximum.map_or(Ok(usize::MAX), usize::try_from)?;
    let most = (limit.saturating_sub(OTHER_FILES) / 2).clamp(1, SOCKETS / 2);
    let mut holders = Vec::new();
    let mut left = SOCKETS / 2;
    while left > 0 {
        let count = left.min(most);
        let (number, count_text) = (holders.len().to_string(), count.to_string());
        holders.push(Process::spawn(&[own, HOLD, &path, &number, &count_text])?);
        left -= count;
    }
    let daemon = Daemon::start(effort.daemon, &["--enter-namespaces"])?;
    let mut age = f64::MAX;
    let mut walk = || -> Result<String> {
        clock::until("another walk", LONGEST, || {
            clock::pass(APART)?;
            let page = http::get(daemon.address, "/metrics")?;
            // Before the first one there is none.
            let Ok(now) = figure(&page, "reset_monitor_walk_age_seconds") else { return Ok(None) };
            let before = std::mem::replace(&mut age, now);
            Ok((age < before).then_some(page))
        })
    };
    clock::until("the connections to be open", LONGEST, || {
        holders.iter_mut().try_for_each(Process::ensure_alive)?;
        Ok((open(&walk()?) >= SOCKETS as u64).then_some(()))
    })?;
    let (mut cpu, mut took) = (Vec::new(), Vec::new());
    for _ in 0..effort.repeats {
        let page = walk()?;
        cpu.push(figure(&page, "reset_monitor_walk_cpu_seconds")? * 1e3);
        took.push(figure(&page, "reset_monitor_walk_duration_seconds")? * 1e3);
    }
    let note = format!(
        "{SOCKETS} established TCP sockets over loopback, both ends here, in a network namespace that the daemon enters \
         (`--enter-namespaces`); all namespaces of the host in one walk, {} times, by the daemon's own account. It walks every 15 s.",
        effort.repeats
    );
    let mut table = table("Open connections", note);
    against(&mut table, "CPU time of a walk", &Summary::of(cpu).context("no walk")?, "ms", 1, 50.0);
    just(&mut table, "duration of a walk", Summary::of(took).context("no walk")?.show(1) + " ms");
    daemon.stop()?;
    Ok(table)
}

/// A figure of the daemon's about its walks.
fn figure(page: &str, name: &str) -> Result<f64> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.with_context(|| format!("no {name}"))
}

/// Connections that the daemon tells as open, in all.
fn open(page: &str) -> u64 {
    let value = |line: &str| {
        line.strip_prefix("reset_monitor_open_connections{")?.rsplit_once(' ')?.1.parse::<u64>().ok()
    };
    page.lines().filter_map(value).sum()
}

/// Opens so many connections with one exchange each in a namespace, and keeps them until it is killed.
pub(crate) fn hold(arguments: &[String]) -> Result<()> {
    let [namespace, number, count] = arguments else { anyhow::bail!("usage: {HOLD} NAMESPACE NUMBER COUNT") };
    let namespace = File::open(namespace).context("open the namespace")?;
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
    let maximum = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })?;
    let (number, count): (u8, usize) = (number.parse()?, count.parse()?);
    let mut held = Vec::with_capacity(count * 2);
    let mut host = 0u8;
    while held.len() < count * 2 {
        host += 1;
        let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::new(127, 1, number, host), 8_000)))?;
        let address = listener.local_addr()?;
        for _ in 0..EACH.min(count - held.len() / 2) {
            let mut client = TcpStream::connect(address)?;
            let (mut server, _) = listener.accept()?;
            client.write_all(b"request")?;
            server.read_exact(&mut [0; 7])?;
            server.write_all(b"response")?;
            client.read_exact(&mut [0; 8])?;
            held.extend([client, server]);
        }
    }
    // Nothing comes.
    held.last_mut().context("no connection")?.read_exact(&mut [0])?;
    Ok(())
}
