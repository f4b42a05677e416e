//! `soak`: a thousand events a second for minutes. Memory must stay flat, nothing may be lost, and stream readers that
//! stopped reading must cost little and delay nobody.

use std::io::BufRead as _;
use std::net::{SocketAddr, TcpStream};
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;

use crate::cost::RESETS_PER_SECOND;
use crate::daemon::Daemon;
use crate::load::{Ground, Load, Plan};
use crate::losses::Books;
use crate::report::{Table, Target};
use crate::stats::Summary;
use crate::{clock, http};

/// Stream readers that stop reading, from half of the time on.
const STALLED: usize = 10;
/// How often memory, CPU and a page's time are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// Looks at the start of each half whose memory does not count: the history of 10,000 events fills, then the stalled
/// readers' buffers do, and the heap finds its size.
const WARM_UP: u32 = 20;
/// How far memory may grow from the first to the last quarter of the looks, in MiB.
const FLAT: f64 = 0.5;
const STREAM: &str = "/api/v1/events/stream";

/// What was seen once a second.
#[derive(Clone, Copy, Debug)]
struct Look {
    stalled: bool,
    resident_mib: f64,
    cpu_percent: f64,
    page_ms: f64,
}

/// An event as the reader got it.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    stalled: bool,
    delay_ms: f64,
}

/// Runs for `length` and reports.
pub(crate) fn measure(binary: &Path, length: Duration) -> Result<Table> {
    let least = LOOK * (WARM_UP + 20) * 2;
    ensure!(length >= least, "a soak takes {least:?} at least");
    let daemon = Daemon::start(binary, &[])?;
    let mut ground = Ground::create(1)?;
    let address = daemon.address;
    let ours = format!("\"netns\":{},", ground.namespace.inum()?);
    let (stalled, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let (made, arrivals, looks, alive) = thread::scope(|scope| {
        let reader = scope.spawn(|| read_stream(address, &ours, &stalled, &over));
        let maker = scope.spawn(|| {
            let plan = Plan { load: Load::Linger, rate: Some(RESETS_PER_SECOND / 2) };
            ground.run(&[plan], length)
        });
        let watched = watch(&daemon, length, &stalled);
        let made = maker.join().unwrap_or_else(|panic| resume_unwind(panic));
        over.store(true, Ordering::Relaxed);
        // Something for the reader to wake up for.
        drop(TcpStream::connect((address.ip(), 1)));
        let arrivals = reader.join().unwrap_or_else(|panic| resume_unwind(panic));
        let (looks, alive) = watched?;
        anyhow::Ok((made?, arrivals?, looks, alive))
    })?;
    let made = made.first().context("no load")?.operations;
    let books = Books::settled(&daemon, ground.namespace.inum()?)?;
    daemon.stop()?;
    report(length, made, &books, &arrivals, &looks, alive)
}

/// Looks once a second; makes the stalled readers at half of the time. Also how many of them were not cut off at the end.
fn watch(daemon: &Daemon, length: Duration, stalled: &AtomicBool) -> Result<(Vec<Look>, usize)> {
    let begin = clock::start();
    let mut looks = Vec::new();
    let mut readers = Vec::new();
    let mut cpu = (clock::start(), daemon.process.cpu()?);
    while begin.elapsed() < length {
        clock::pass(LOOK)?;
        if readers.is_empty() && begin.elapsed() > length / 2 {
            eprintln!("==> soak: {STALLED} stream readers stop reading");
            stalled.store(true, Ordering::Relaxed);
            for _ in 0..STALLED {
                // From the first event there is: the answer alone is more than a socket's buffer holds.
                readers.push(http::open_stream(daemon.address, &format!("{STREAM}?after=0"))?);
            }
        }
        let asked = clock::start();
        http::get(daemon.address, "/metrics")?;
        let page_ms = asked.elapsed().as_secs_f64() * 1e3;
        let now = (clock::start(), daemon.process.cpu()?);
        let cpu_percent =
            now.1.saturating_sub(cpu.1).as_secs_f64() / now.0.duration_since(cpu.0).as_secs_f64() * 100.0;
        cpu = now;
        #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
        let resident_mib = daemon.resident()?.total as f64 / 1_048_576.0;
        looks.push(Look { stalled: !readers.is_empty(), resident_mib, cpu_percent, page_ms });
        progress(begin, length, resident_mib);
    }
    let alive = readers.iter().filter(|reader| is_open(reader.get_ref())).count();
    Ok((looks, alive))
}

fn progress(begin: Instant, length: Duration, resident_mib: f64) {
    let seconds = begin.elapsed().as_secs();
    if seconds.is_multiple_of(30) {
        eprintln!("==> soak: {seconds} of {} s, {resident_mib:.1} MiB", length.as_secs());
    }
}

/// Whether the daemon still has its end. It cuts a reader off by closing, which is an end behind unread data, or a reset.
fn is_open(stream: &TcpStream) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut polled = [PollFd::new(stream, PollFlags::RDHUP)];
    let asked = poll(&mut polled, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    asked.is_ok() && !polled[0].revents().intersects(PollFlags::RDHUP | PollFlags::ERR | PollFlags::HUP)
}

/// A reader that keeps up: when it got what happened when, of the namespace that `ours` names in an event's JSON.
fn read_stream(
    address: SocketAddr,
    ours: &str,
    stalled: &AtomicBool,
    over: &AtomicBool,
) -> Result<Vec<Arrival>> {
    let mut stream = http::open_stream(address, STREAM)?;
    let mut arrivals = Vec::new();
    let mut line = String::new();
    loop {
        line.clear();
        ensure!(stream.read_line(&mut line)? > 0, "the event stream ended");
        if over.load(Ordering::Relaxed) {
            return Ok(arrivals);
        }
        ensure!(!line.starts_with("event: lagged"), "a reader that keeps up was told of missed events");
        // Others are busy on the machine too.
        let Some((_, rest)) = line.split_once("\"time\":\"").filter(|_| line.contains(ours)) else {
            continue;
        };
        let (time, _) = rest.split_once('"').context("a time without end")?;
        let delay = clock::wall().duration_since(time.parse::<Timestamp>()?);
        arrivals
            .push(Arrival { stalled: stalled.load(Ordering::Relaxed), delay_ms: delay.as_secs_f64() * 1e3 });
    }
}

fn report(
    length: Duration,
    made: u64,
    books: &Books,
    arrivals: &[Arrival],
    looks: &[Look],
    alive: usize,
) -> Result<Table> {
    let title = format!("Soak: {RESETS_PER_SECOND} events per second for {} seconds", length.as_secs());
    let note = format!(
        "{} connections a second with both ends here that end by a reset: each is one event sent and one received. One stream \
         reader keeps up all the time, and `/metrics` is read every second. From half of the time on, {STALLED} more stream \
         readers ask for all events there are and never read the answer. The first {WARM_UP} seconds of each half do not count.",
        RESETS_PER_SECOND / 2
    );
    let mut table = Table::new(title, note, &["what", "figure", "target", ""]);
    let events = made * 2;
    let missing = events.abs_diff(books.resets_sent + books.resets_received) + books.lost;
    #[expect(clippy::cast_precision_loss, reason = "small, or wrong anyway")]
    let verdict = Target::AtMost(0.0).verdict_of(missing as f64);
    table.row([
        "events made; not counted, or their story lost".to_owned(),
        format!("{events}; {missing}"),
        "0 lost".to_owned(),
        verdict.to_owned(),
    ]);
    for (name, stalled) in [("without stalled readers", false), ("with stalled readers", true)] {
        let phase = looks.iter().filter(|look| look.stalled == stalled);
        let phase: Vec<_> = phase.skip(usize::try_from(WARM_UP)?).collect();
        let quarter = phase.len().div_ceil(4);
        let part = |looks: &[&Look]| Summary::of(looks.iter().map(|look| look.resident_mib));
        let first = part(phase.get(..quarter).unwrap_or_default()).context("too few looks")?;
        let last = part(phase.get(phase.len() - quarter..).unwrap_or_default()).context("too few looks")?;
        table.row([
            format!("memory {name}, first and last quarter"),
            format!("{:.2} and {:.2} MiB", first.median, last.median),
            format!("grows by ≤ {FLAT} MiB"),
            Target::AtMost(FLAT).verdict_of(last.median - first.median).to_owned(),
        ]);
        let cpu = Summary::of(phase.iter().map(|look| look.cpu_percent)).context("too few looks")?;
        just(&mut table, format!("CPU {name}"), format!("{} % of a core", cpu.show(2)));
        let page = Summary::of(phase.iter().map(|look| look.page_ms)).context("too few looks")?;
        just(&mut table, format!("`/metrics` {name}"), format!("{} ms", page.show(2)));
        let delays: Vec<_> = arrivals
            .iter()
            .filter(|arrival| arrival.stalled == stalled)
            .map(|arrival| arrival.delay_ms)
            .collect();
        let delay = Summary::of(delays.iter().copied()).context("no event came through the stream")?;
        let most = delays.iter().copied().fold(0.0, f64::max);
        just(
            &mut table,
            format!("delay of an event at a reader that keeps up, {name}"),
            format!("{} ms, at most {most:.1} ms, {} events", delay.show(2), delay.count),
        );
    }
    just(&mut table, "stalled readers not cut off at the end".to_owned(), format!("{alive} of {STALLED}"));
    Ok(table)
}

fn just(table: &mut Table, what: String, figure: String) {
    table.row([what, figure, String::new(), String::new()]);
}
