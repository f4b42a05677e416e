//! What the daemon itself costs: start, memory, CPU, and the time of its answers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::clock;
use crate::daemon::Daemon;
use crate::http;
use crate::load::{Ground, Load, Plan};
use crate::process::Resident;
use crate::programs;
use crate::report::{Table, Target};
use crate::stats::Summary;

const MIB: f64 = 1_048_576.0;
/// Connections ended by a reset per second; with both ends here each is a reset sent and one received.
pub(crate) const RESETS_PER_SECOND: u32 = 1_000;
/// How long a fresh daemon is left alone before it counts as idle.
const SETTLE: Duration = Duration::from_secs(2);
/// Peers with series of their own that make about 10,000 series.
const PUBLISHED: &str = "338";
/// Connections with two new peers each.
const TEN_THOUSAND_PEERS: u32 = 5_000;
const HUNDRED_THOUSAND_PEERS: u32 = 50_000;

/// What to spend on it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort<'a> {
    /// The daemon's binary.
    pub(crate) daemon: &'a Path,
    /// How long CPU time is watched.
    pub(crate) window: Duration,
    /// Starts, requests.
    pub(crate) repeats: u32,
}

pub(crate) fn table(title: &str, note: impl Into<String>) -> Table {
    Table::new(title, note, &["what", "figure", "target", ""])
}

/// A row with a target.
pub(crate) fn against(table: &mut Table, what: &str, figure: &Summary, unit: &str, digits: usize, most: f64) {
    let shown = if figure.count == 1 { format!("{:.digits$}", figure.median) } else { figure.show(digits) };
    let verdict = Target::AtMost(most).verdict(figure);
    table.row([what.to_owned(), format!("{shown} {unit}"), format!("≤ {most} {unit}"), verdict.to_owned()]);
}

fn single(value: f64) -> Summary {
    Summary { low: value, median: value, high: value, count: 1 }
}

pub(crate) fn just(table: &mut Table, what: &str, figure: String) {
    table.row([what.to_owned(), figure, String::new(), String::new()]);
}

/// Start to ready.
pub(crate) fn start(effort: Effort<'_>) -> Result<Table> {
    eprintln!("==> start to ready");
    let mut times = Vec::new();
    for _ in 0..effort.repeats {
        let daemon = Daemon::start(effort.daemon, &[])?;
        times.push(daemon.start.as_secs_f64());
        daemon.stop()?;
    }
    let mut table = table("Start", "From the start of the process to the first 200 of `/readyz`.");
    let figure = Summary::of(times).context("no start")?;
    against(&mut table, "start to ready", &figure, "s", 3, 1.0);
    Ok(table)
}

/// CPU and memory, idle and with 1,000 resets a second.
pub(crate) fn idle_and_loaded(effort: Effort<'_>) -> Result<Table> {
    let note = format!(
        "Watched for {:?} each, nobody asking. The load: {} connections a second with one exchange that end by a reset, both \
         ends here, so {RESETS_PER_SECOND} resets a second, half of them sent.",
        effort.window,
        RESETS_PER_SECOND / 2,
    );
    let mut table = table("Daemon, idle and at 1,000 resets per second", note);
    let daemon = Daemon::start(effort.daemon, &[])?;
    let mut ground = Ground::create(1)?;
    clock::pass(SETTLE)?;
    eprintln!("==> daemon: idle");
    let before = daemon.process.cpu()?;
    clock::pass(effort.window)?;
    let spent = daemon.process.cpu()?.saturating_sub(before);
    let percent = |spent: Duration| single(spent.as_secs_f64() / effort.window.as_secs_f64() * 100.0);
    against(&mut table, "CPU, idle", &percent(spent), "% of a core", 3, 0.1);
    memory(&mut table, "memory, idle", daemon.resident()?, 24.0);
    eprintln!("==> daemon: {RESETS_PER_SECOND} resets per second");
    let before = daemon.process.cpu()?;
    let plan = Plan { load: Load::Linger, rate: Some(RESETS_PER_SECOND / 2) };
    ground.run(&[plan], effort.window)?;
    let spent = daemon.process.cpu()?.saturating_sub(before);
    against(&mut table, "CPU, at 1,000 resets/s", &percent(spent), "% of a core", 3, 1.0);
    let resident = daemon.resident()?;
    just(&mut table, "memory after it", describe(resident));
    maps(&mut table, &daemon)?;
    daemon.stop()?;
    Ok(table)
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn describe(resident: Resident) -> String {
    let Resident { total, anonymous, file, shared } = resident;
    let [total, anonymous, file, shared] = [total, anonymous, file, shared].map(|bytes| bytes as f64 / MIB);
    format!("{total:.1} MiB ({anonymous:.1} anonymous, {file:.1} files, {shared:.1} shared)")
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn memory(table: &mut Table, what: &str, resident: Resident, most: f64) {
    let verdict = Target::AtMost(most).verdict_of(resident.total as f64 / MIB);
    table.row([what.to_owned(), describe(resident), format!("≤ {most} MiB"), verdict.to_owned()]);
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn maps(table: &mut Table, daemon: &Daemon) -> Result<()> {
    let maps = programs::maps(daemon.process.pid())?;
    let sum: u64 = maps.iter().map(|(_, bytes)| bytes).sum();
    against(table, "kernel maps, default options", &single(sum as f64 / MIB), "MiB", 1, 32.0);
    let large: Vec<_> = maps.iter().filter(|(_, bytes)| *bytes > 1 << 18).collect();
    let list: Vec<_> =
        large.iter().map(|(name, bytes)| format!("`{name}` {:.1} MiB", *bytes as f64 / MIB)).collect();
    just(table, "the largest of them", list.join(", "));
    Ok(())
}

/// With 100,000 peers: memory, and how long the truth takes to read.
pub(crate) fn peers(effort: Effort<'_>) -> Result<Table> {
    eprintln!("==> daemon: 100,000 peers");
    let mut table = table(
        "Daemon with 100,000 peers",
        "50,000 connections between addresses of their own, each a peer in either role; `--client-peers 60000 \
         --server-peers 60000`.",
    );
    let daemon = Daemon::start(effort.daemon, &["--client-peers", "60000", "--server-peers", "60000"])?;
    let mut ground = Ground::create(1)?;
    ground.populate(HUNDRED_THOUSAND_PEERS)?;
    let mut readings = Vec::new();
    for _ in 0..effort.repeats {
        let page = http::get(daemon.address, "/metrics")?;
        readings.push(sample(&page, "reset_monitor_snapshot_duration_seconds").context("no duration")? * 1e3);
    }
    memory(&mut table, "memory", daemon.resident()?, 64.0);
    let figure = Summary::of(readings).context("no reading")?;
    against(&mut table, "reading the truth at a scrape", &figure, "ms", 2, 5.0);
    let known = http::json(daemon.address, "/api/v1/peers?limit=1")?;
    just(&mut table, "peers in the API", known["matching"].to_string());
    just(&mut table, "memory after one request for a row", describe(daemon.resident()?));
    daemon.stop()?;
    Ok(table)
}

fn sample(page: &str, name: &str) -> Option<f64> {
    page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Times of `/metrics` and of the API.
pub(crate) fn pages(effort: Effort<'_>) -> Result<Table> {
    eprintln!("==> daemon: pages");
    let daemon = Daemon::start(effort.daemon, &["--published-peers", PUBLISHED])?;
    let mut ground = Ground::create(1)?;
    ground.populate(TEN_THOUSAND_PEERS)?;
    let page = http::get(daemon.address, "/metrics")?;
    let series = page.lines().filter(|line| !line.starts_with('#')).count();
    let note = format!(
        "A connection, one request, the whole answer read, {} times each. 10,000 peers; `--published-peers {PUBLISHED}`, which \
         makes {series} series.",
        effort.repeats * 4
    );
    let mut table = table("Answers", note);
    let mut ask = |path: &str, what: &str, most: f64| -> Result<()> {
        let mut times = Vec::new();
        let mut answer = Vec::new();
        http::read(daemon.address, path, &mut answer)?;
        for _ in 0..effort.repeats * 4 {
            let begin = clock::start();
            http::read(daemon.address, path, &mut answer)?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        let figure = Summary::of(times).context("no answer")?;
        against(&mut table, &format!("`{what}`, {} kB", answer.len() / 1000), &figure, "ms", 2, most);
        Ok(())
    };
    ask("/metrics", "/metrics", 3.0)?;
    ask("/api/v1/peers?limit=10000", "/api/v1/peers?limit=10000", 10.0)?;
    ask("/api/v1/events?limit=100", "/api/v1/events?limit=100", 10.0)?;
    daemon.stop()?;
    Ok(table)
}
