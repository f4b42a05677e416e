//! Traced against untraced, in short alternating bursts, for every load and every subject.
//!
//! A block is `untraced traced traced untraced` and gives two pairs of neighbours in time; what changes slowly on the
//! machine changes both of a pair. Subjects take turns within a round, so none has a better hour than the other.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::load::{Burst, Ground, Load};
use crate::machine::{self, Moment};
use crate::report::{Table, Target};
use crate::stats::{Pair, Summary, pairs};
use crate::subject::{Running, Subject};

/// CPUs that others may keep busy, and the hypervisor may take, in an undisturbed burst. Above the resolution of the kernel's
/// ticks in a burst of a third of a second.
const QUIET: f64 = 0.1;

/// How it is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Method<'a> {
    /// The daemon's binary.
    pub(crate) daemon: &'a Path,
    /// Blocks per load and subject.
    pub(crate) rounds: u32,
    /// Length of a burst.
    pub(crate) burst: Duration,
    /// One thread per CPU.
    pub(crate) workers: u16,
}

/// One burst, with what went on around it.
#[derive(Clone, Copy, Debug)]
struct Sample {
    burst: Burst,
    /// CPU time of the subject's own process.
    beside: Duration,
    disturbed: bool,
}

impl Sample {
    fn cpu_us(&self) -> f64 {
        self.burst.cpu_us(self.beside)
    }

    fn wall_us(&self) -> f64 {
        1e6 / self.burst.rate()
    }
}

/// Measures and reports one load under all subjects.
pub(crate) fn measure(method: Method<'_>, load: Load, subjects: &[Subject]) -> Result<Table> {
    let mut found: Vec<Vec<Pair<Sample>>> = vec![Vec::new(); subjects.len()];
    for round in 0..usize::try_from(method.rounds)? {
        eprintln!("==> {}: round {} of {}", load.name(), round + 1, method.rounds);
        for turn in 0..subjects.len() {
            let place = (round + turn) % subjects.len();
            let (Some(subject), Some(into)) = (subjects.get(place), found.get_mut(place)) else { continue };
            into.extend(block(method, load, *subject).with_context(|| subject.name().to_owned())?);
        }
    }
    Ok(table(load, subjects, &found))
}

fn block(method: Method<'_>, load: Load, subject: Subject) -> Result<[Pair<Sample>; 2]> {
    let mut ground = Ground::create(method.workers)?;
    let nothing = Running::Nothing;
    let first = sample(method, &mut ground, load, &nothing)?;
    let running = subject.start(method.daemon, &ground.namespace)?;
    let traced = [(); 2].map(|()| sample(method, &mut ground, load, &running));
    running.stop()?;
    let last = sample(method, &mut ground, load, &nothing)?;
    let [second, third] = traced;
    Ok(pairs([first, second?, third?, last]))
}

fn sample(method: Method<'_>, ground: &mut Ground, load: Load, running: &Running) -> Result<Sample> {
    let expected = usize::from(matches!(running, Running::Daemon(_)));
    let alone = machine::other_daemons() == expected;
    ground.warm_up(load, method.burst)?;
    let (moment, cpu) = (Moment::now()?, running.cpu()?);
    let burst = ground.burst(load, method.burst)?;
    let (between, beside) = (moment.until_now()?, running.cpu()?.saturating_sub(cpu));
    let seconds = burst.wall.as_secs_f64();
    let others = between.busy - (burst.cpu + beside).as_secs_f64() / seconds;
    Ok(Sample { burst, beside, disturbed: others > QUIET || between.stolen > QUIET || !alone })
}

fn table(load: Load, subjects: &[Subject], found: &[Vec<Pair<Sample>>]) -> Table {
    let target = target(load);
    let mut table = Table::new(
        format!("Traced / untraced: {}", load.name()),
        "",
        &[
            "beside it",
            "CPU time per operation, µs",
            "untraced / traced CPU time",
            "traced / untraced throughput",
            "undisturbed pairs",
            "target",
            "",
        ],
    );
    let mut best_of_others: Option<f64> = None;
    let mut rows = Vec::new();
    for (subject, pairs) in subjects.iter().zip(found) {
        let quiet: Vec<_> =
            pairs.iter().filter(|pair| !pair.untraced.disturbed && !pair.traced.disturbed).collect();
        let cpu = Summary::of(pairs.iter().map(|pair| pair.ratio(Sample::cpu_us)));
        let wall = Summary::of(quiet.iter().map(|pair| pair.ratio(Sample::wall_us)));
        let traced = Summary::of(pairs.iter().map(|pair| pair.traced.cpu_us()));
        let show = |summary: Option<Summary>, digits| {
            summary.map_or_else(|| "none".to_owned(), |summary| summary.show(digits))
        };
        if !matches!(subject, Subject::Nothing | Subject::Daemon) {
            let median = cpu.map_or(0.0, |cpu| cpu.median);
            best_of_others = Some(best_of_others.map_or(median, |best| best.max(median)));
        }
        let counts = format!("{} of {}", quiet.len(), pairs.len());
        rows.push((
            *subject,
            cpu,
            [subject.name().to_owned(), show(traced, 2), show(cpu, 3), show(wall, 3), counts],
        ));
    }
    for (subject, cpu, cells) in rows {
        let (target, verdict) = match (subject, cpu) {
            (Subject::Daemon, Some(cpu)) => {
                let above = best_of_others.map_or("", |others| {
                    if cpu.median > others { ", above the others" } else { ", **not above the others**" }
                });
                (format!("≥ {target:.2}"), format!("{}{above}", Target::AtLeast(target).verdict(&cpu)))
            }
            _ => (String::new(), String::new()),
        };
        table.row(cells.into_iter().chain([target, verdict]));
    }
    table
}

/// The design's targets.
const fn target(load: Load) -> f64 {
    match load {
        Load::ClientCloses | Load::ServerCloses => 0.96,
        Load::Linger | Load::Unread => 0.94,
        Load::Refused | Load::Storm => 0.95,
    }
}
