//! A daemon that is replaced under load, and put back: what Prometheus makes of it, beside what the kernel counted meanwhile.

mod account;

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::symlink;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;

use self::account::judge;
use crate::AloneWithOwn;
use crate::again::NotAsMeant;
use crate::clock;
use crate::daemon::{Daemon, Scratch};
use crate::machine;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::oracle::Snmp;
use crate::prometheus::{Prometheus, Series};
use crate::sockets::{Family, Pair, Place, Service, send, wait_for_data, wait_for_reset};
use crate::wait;

pub(crate) const TRIALS: &[AloneWithOwn] = &[(
    "a daemon that is updated under load, and put back, costs Prometheus one scrape at most and no count twice",
    Some(Need::Prometheus),
    play,
)];

/// Where each daemon is, in the place of the last one.
const ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9777);
/// Of scrapes, in seconds. What is shipped has 15 or 30.
const INTERVAL: u32 = 5;
/// Of each daemon, before it has to go: then it has counted more than the next one has at its first scrape.
const SCRAPES: usize = 3;
/// Between two resets, so that two processors have time for daemons, too.
const PAUSE: Duration = Duration::from_millis(2);

/// What this is about: resets, where the daemons and Prometheus are not.
struct Load<'a> {
    namespace: &'a Namespace,
    service: &'a Service,
}

impl Load<'_> {
    /// By the kernel's own count.
    fn sent(&self) -> Result<u64> {
        self.namespace.enter(|| Ok(Snmp::read()?.out_resets))
    }

    /// A reset: the server closes with a request unread.
    fn reset(&self) -> Result<()> {
        let Pair { client, server, .. } = {
            let pair = self.service.pair()?;
            pair.exchange(1)?;
            pair
        };
        send(&client, b"unread")?;
        wait_for_data(&server)?;
        drop(server);
        wait_for_reset(&client)
    }

    /// So many until it is told to stop.
    fn go_on(&self, done: &AtomicBool) -> Result<u64> {
        let mut resets = 0;
        while !done.load(Ordering::Relaxed) {
            self.reset()?;
            resets += 1;
            wait::quiet_for(PAUSE);
        }
        Ok(resets)
    }

    /// The series of what the server's end counts.
    fn series(&self, name: &str) -> String {
        format!("{name}{{role=\"server\",port=\"{}\",peer!=\"retired\"}}", self.service.place.port)
    }

    fn resets(&self) -> String {
        self.series("reset_monitor_connections_reset_total")
    }
}

/// A daemon's life, in resets that the kernel had counted.
#[derive(Debug)]
struct Life {
    /// It was not started yet.
    before: u64,
    /// It listened.
    ready: u64,
    /// Prometheus had seen all of these, before it was told to end.
    scraped: u64,
    /// It had ended.
    ended: u64,
    /// How long nobody had listened before it did.
    away: Duration,
}

fn play() -> Result<()> {
    let (home, namespace) = (Namespace::create()?, Namespace::create()?);
    let service = namespace.enter(|| Place::on_loopback(Family::V4).listen())?;
    let load = Load { namespace: &namespace, service: &service };
    home.enter(|| {
        let files = Scratch::create()?;
        let (lock, inum) = (files.file("lock")?, namespace.inum.to_string());
        let (next, config) = (files.file("reset-monitor-next")?, files.file("next.toml")?);
        symlink(machine::daemon(), &next)?;
        fs::write(&config, "published_peers = 50\nring_bytes = 131072\n")?;
        let old = || Daemon::start_at(machine::daemon(), ADDRESS, &lock, &["--metrics-namespace", &inum]);
        let new = || {
            let options = ["--metrics-namespace", &inum, "--config", &config];
            Daemon::start_at(&next, ADDRESS, &lock, &options)
        };
        let first = old()?;
        let prometheus = prometheus(&files)?;
        namespace.enter(|| load.reset())?;
        wait::until("Prometheus to know the series", || {
            Ok(prometheus.number(&load.resets())?.ok_or_else(|| "no sample".to_owned()))
        })?;
        let done = AtomicBool::new(false);
        let (lives, last) = thread::scope(|scope| {
            let loader = scope.spawn(|| namespace.enter(|| load.go_on(&done)));
            let replaced = replace(&load, &prometheus, first, &[&new, &old]);
            done.store(true, Ordering::Relaxed);
            let made = 1 + loader.join().unwrap_or_else(|panic| resume_unwind(panic))?;
            let replaced = replaced?;
            let sent = load.sent()?;
            let as_meant = || NotAsMeant(format!("the kernel sent {sent} resets, the trial made {made}"));
            ensure!(sent == made, as_meant());
            Ok::<_, anyhow::Error>(replaced)
        })?;
        judge(&load, &prometheus, &lives, &last)?;
        last.stop(Signal::TERM)
    })
}

fn prometheus(files: &Scratch) -> Result<Prometheus> {
    let every = format!("{INTERVAL}s");
    let config = format!(
        "global: {{scrape_interval: {every}, scrape_timeout: {every}, evaluation_interval: {every}}}\n\
         rule_files: [recording.yml]\n\
         scrape_configs:\n- {{job_name: reset-monitor, static_configs: [{{targets: ['{ADDRESS}']}}]}}\n"
    );
    Prometheus::start(files, &config, |rules| rules.replace("interval: 30s", &format!("interval: {every}")))
}

type Start<'a> = &'a dyn Fn() -> Result<Daemon>;

/// Ends the daemon and starts the next one in its place, for each of them. What there was, and the last one.
fn replace(
    load: &Load<'_>,
    prometheus: &Prometheus,
    mut daemon: Daemon,
    nexts: &[Start<'_>],
) -> Result<(Vec<Life>, Daemon)> {
    let mut lives = Vec::new();
    let (mut before, mut ready, mut known, mut away) = (0, 0, 0, Duration::ZERO);
    for start in nexts {
        let scraped = until_scraped(load, prometheus, before, known)?;
        let stopped = clock::now();
        daemon.stop(Signal::TERM)?;
        let ended = load.sent()?;
        known = samples(load, prometheus)?.len();
        lives.push(Life { before, ready, scraped, ended, away });
        daemon = start()?;
        away = clock::now().saturating_sub(stopped);
        (before, ready) = (ended, load.sent()?);
    }
    let scraped = until_scraped(load, prometheus, before, known)?;
    lives.push(Life { before, ready, scraped, ended: u64::MAX, away });
    Ok((lives, daemon))
}

/// Waits until a daemon was scraped often enough, and once more. What the kernel had counted before that.
fn until_scraped(load: &Load<'_>, prometheus: &Prometheus, before: u64, known: usize) -> Result<u64> {
    let mut scrapes = 0;
    while scrapes < SCRAPES {
        let more = scrapes + 1;
        scrapes = wait::until("another scrape", || {
            let now = samples(load, prometheus)?.len().saturating_sub(known);
            Ok(if now >= more { Ok(now) } else { Err(format!("{now} of this daemon")) })
        })?;
    }
    let sent = load.sent()?;
    wait::until("a scrape of what was counted by now", || {
        let (_, value) = samples(load, prometheus)?.last().copied().context("no samples")?;
        Ok(if value >= exact(sent - before)? { Ok(()) } else { Err(format!("{value} of {sent}")) })
    })?;
    Ok(sent)
}

fn samples(load: &Load<'_>, prometheus: &Prometheus) -> Result<Vec<(f64, f64)>> {
    Ok(only(prometheus.series(&format!("{}[1h]", load.resets()))?)?.samples)
}

fn only(series: Vec<Series>) -> Result<Series> {
    let number = series.len();
    let [one] = <[Series; 1]>::try_from(series).ok().with_context(|| format!("{number} series"))?;
    Ok(one)
}

/// A count of a trial, as Prometheus has it.
fn exact(count: u64) -> Result<f64> {
    Ok(u32::try_from(count)?.into())
}
