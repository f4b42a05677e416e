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

/// How long a block waits for somebody else's daemon to go. If it stays, its pairs do not count.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

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
    /// No other daemon of ours was attached. Otherwise nothing was untraced, and the pair is of no use.
    alone: bool,
    /// Others left the CPUs alone.
    quiet: bool,
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
    machine::until_alone(LONGEST_WAIT)?;
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
    let alone = machine::daemons() == expected;
    ground.warm_up(load, method.burst)?;
    let (moment, cpu) = (Moment::now()?, running.cpu()?);
    let burst = ground.burst(load, method.burst)?;
    let (between, beside) = (moment.until_now()?, running.cpu()?.saturating_sub(cpu));
    let seconds = burst.wall.as_secs_f64();
    let others = between.busy - (burst.cpu + beside).as_secs_f64() / seconds;
    let alone = alone && machine::daemons() == expected;
    Ok(Sample { burst, beside, alone, quiet: others <= QUIET && between.stolen <= QUIET })
}

/// What the pairs of one subject say.
struct Figures {
    /// CPU time per operation beside it.
    traced_us: Option<Summary>,
    /// Ratios of CPU time.
    cpu: Option<Summary>,
    /// Ratios of throughput.
    wall: Option<Summary>,
    /// Pairs: usable, undisturbed, all.
    counts: [usize; 3],
}

impl Figures {
    fn of(pairs: &[Pair<Sample>]) -> Self {
        let usable: Vec<_> = pairs.iter().filter(|pair| pair.both(|sample| sample.alone)).collect();
        let quiet: Vec<_> = usable.iter().filter(|pair| pair.both(|sample| sample.quiet)).collect();
        Self {
            traced_us: Summary::of(usable.iter().map(|pair| pair.traced.cpu_us())),
            cpu: Summary::of(usable.iter().map(|pair| pair.ratio(Sample::cpu_us))),
            wall: Summary::of(quiet.iter().map(|pair| pair.ratio(Sample::wall_us))),
            counts: [usable.len(), quiet.len(), pairs.len()],
        }
    }

    fn cells(&self, subject: Subject) -> [String; 5] {
        let show = |summary: Option<Summary>, digits| {
            summary.map_or_else(|| "none".to_owned(), |summary| summary.show(digits))
        };
        let [usable, quiet, all] = self.counts;
        [
            subject.name().to_owned(),
            show(self.traced_us, 2),
            show(self.cpu, 3),
            show(self.wall, 3),
            format!("{usable}, {quiet}, {all}"),
        ]
    }
}

fn table(load: Load, subjects: &[Subject], found: &[Vec<Pair<Sample>>]) -> Table {
    let head = [
        "beside it",
        "CPU time per operation, µs",
        "untraced / traced CPU time",
        "traced / untraced throughput",
        "pairs: usable, undisturbed, all",
        "target",
        "",
    ];
    let mut table = Table::new(format!("Traced / untraced: {}", load.name()), "", &head);
    let rows: Vec<_> =
        subjects.iter().zip(found).map(|(subject, pairs)| (*subject, Figures::of(pairs))).collect();
    let tools = rows.iter().filter(|(subject, _)| subject.is_a_tool_for(load));
    let best = tools.filter_map(|(_, figures)| figures.cpu).max_by(|a, b| a.median.total_cmp(&b.median));
    for (subject, figures) in &rows {
        let (target, verdict) = match figures.cpu.filter(|_| *subject == Subject::Daemon) {
            Some(cpu) => verdict(load, &cpu, best),
            None => (String::new(), String::new()),
        };
        table.row(figures.cells(*subject).into_iter().chain([target, verdict]));
    }
    table
}

/// The daemon's target, and whether it is met; also against the cheapest of the other tools that have work with this load.
fn verdict(load: Load, cpu: &Summary, best: Option<Summary>) -> (String, String) {
    let target = target(load);
    let beside = match best {
        Some(best) if cpu.low > best.high => ", cheaper than every other",
        Some(best) if cpu.high < best.low => ", **not cheaper than every other**",
        Some(_) => ", level with the cheapest other",
        None => "",
    };
    (format!("≥ {target:.2}"), format!("{}{beside}", Target::AtLeast(target).verdict(cpu)))
}

/// The design's targets.
const fn target(load: Load) -> f64 {
    match load {
        Load::ClientCloses | Load::ServerCloses => 0.96,
        Load::Linger | Load::Unread => 0.94,
        Load::Refused | Load::Storm => 0.95,
    }
}
