//! What reset-monitor costs, measured on the machine at hand: `cargo xtask bench` builds everything and calls this.
//!
//! No test and no part of CI: it judges nothing but its own targets, on a page for people. Modules in reading order: the
//! loads (`load`), what runs beside them (`subject`), the comparison of the two (`ratios`), then the daemon's own
//! costs. A crate of its own, so that neither `xtask` nor the daemon's tests wait for it, of packages that they have anyway.
#![expect(clippy::print_stderr, reason = "a command-line tool")]

mod cost;
mod losses;
mod pipeline;
mod programs;
mod ratios;
mod soak;
mod walk;

mod load;
mod subject;

mod daemon;
mod http;
mod machine;
mod netns;
mod process;
mod report;
mod stats;

mod clock;
mod interrupt;

use std::io::{Write as _, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};

use self::cost::Effort;
use self::load::{Ground, Load};
use self::ratios::Method;
use self::report::Table;
use self::subject::Subject;

/// Measures what reset-monitor costs, as ratios in one run, and prints tables in Markdown
#[derive(Debug, Parser)]
#[command(name = "cargo xtask bench", bin_name = "cargo xtask bench")]
struct Cli {
    /// The daemon to measure; given by `cargo xtask bench`
    #[arg(long, hide = true)]
    daemon: PathBuf,
    /// The repository; given by `cargo xtask bench`
    #[arg(long, hide = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: Option<Task>,
    /// Only these parts
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Blocks of four bursts per load and subject: two pairs each
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Length of a burst in milliseconds
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(20..))]
    burst_ms: u64,
    /// Threads that make a load, one per CPU unless said otherwise
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    workers: Option<u16>,
    /// A look in a minute or two: three rounds, short windows
    #[arg(long)]
    quick: bool,
    /// Replace the generated part of docs/benchmarks.md instead of printing
    #[arg(long, global = true)]
    write: bool,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// A thousand events per second for minutes: is memory flat, is anything lost, whom do stalled readers delay
    Soak {
        /// Seconds
        #[arg(long, default_value_t = 600)]
        duration: u64,
    },
    /// Make one load and say how long an operation takes; for profilers, and to look beside a tool of your own
    Load {
        /// Which
        load: Load,
        /// Bursts
        #[arg(long, default_value_t = 10)]
        bursts: u32,
    },
}

/// The parts of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Connections, traced and untraced
    Churn,
    /// Connections that end by a reset, traced and untraced
    Resets,
    /// Refusals, traced and untraced
    Storm,
    /// Nanoseconds per kernel program
    Programs,
    /// Decode to publish
    Pipeline,
    /// What a storm makes the daemon lose
    Losses,
    /// Start to ready
    Start,
    /// CPU and memory, idle and at 1,000 resets per second
    Daemon,
    /// 100,000 peers
    Peers,
    /// Times of /metrics and the API
    Pages,
    /// A walk over 50,000 open sockets
    Walk,
}

impl Part {
    const fn loads(self) -> &'static [Load] {
        match self {
            Self::Churn => &[Load::ClientCloses, Load::ServerCloses],
            Self::Resets => &[Load::Linger, Load::Unread],
            Self::Storm => &[Load::Refused, Load::Storm],
            Self::Programs
            | Self::Pipeline
            | Self::Losses
            | Self::Start
            | Self::Daemon
            | Self::Peers
            | Self::Pages
            | Self::Walk => &[],
        }
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    let outcome = match arguments.split_first() {
        Some((_, [first, rest @ ..])) if first == process::DIE_WITH_PARENT => process::die_with_parent(rest),
        Some((_, [first, rest @ ..])) if first == walk::HOLD => walk::hold(rest),
        _ => run(&Cli::parse()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    ensure!(rustix::process::geteuid().is_root(), "the daemon and network namespaces need root");
    interrupt::install()?;
    let workers = cli.workers.map_or_else(machine::cpus, Ok)?;
    let others = machine::daemons();
    let (name, mut about, tables) = match cli.command {
        None => {
            let (obstacles, tables) = measure(cli, workers)?;
            ("bench", obstacles, tables)
        }
        Some(Task::Soak { duration }) => {
            ("soak", Vec::new(), vec![soak::measure(&cli.daemon, Duration::from_secs(duration))?])
        }
        Some(Task::Load { load, bursts }) => return just_load(cli, load, bursts, workers),
    };
    if others + machine::daemons() > 0 {
        about.push("Another reset-monitor ran on this machine: nothing was untraced all the time".to_owned());
    }
    let words: Vec<_> = std::env::args().skip(1).collect();
    about.splice(
        0..0,
        [
            format!("Date: {}", clock::wall().strftime("%Y-%m-%d")),
            format!("Machine: {}", machine::describe()?),
            format!("Command: `cargo xtask bench {}`", typed(&words)),
        ],
    );
    let text = report::render(&about, &tables)?;
    if cli.write {
        report::write_part(&cli.root.join("docs/benchmarks.md"), name, &text)?;
    } else {
        say(&text)?;
    }
    Ok(())
}

/// The arguments without those that xtask gives.
fn typed(words: &[String]) -> String {
    let mut typed = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--daemon" || word == "--root" {
            words.next();
        } else {
            typed.push(word.as_str());
        }
    }
    typed.join(" ")
}

fn measure(cli: &Cli, workers: u16) -> Result<(Vec<String>, Vec<Table>)> {
    let daemon = cli.daemon.as_path();
    let wanted = |part: &Part| cli.only.is_empty() || cli.only.contains(part);
    let parts: Vec<_> = Part::value_variants().iter().copied().filter(wanted).collect();
    let rounds = if cli.quick { cli.rounds.min(3) } else { cli.rounds };
    let burst = Duration::from_millis(cli.burst_ms);
    let seconds = Duration::from_secs(if cli.quick { 3 } else { 30 });
    let effort = Effort { daemon, window: seconds, repeats: if cli.quick { 3 } else { 9 } };
    let mut subjects = Vec::new();
    let mut about = vec![format!("Threads making a load: {workers}, each on a CPU of its own")];
    if parts.iter().any(|part| !part.loads().is_empty()) {
        for subject in Subject::ALL {
            match subject.obstacle(daemon) {
                None => subjects.push(subject),
                Some(why) => about.push(format!("Not measured: {}: {why}", subject.name())),
            }
        }
        ensure!(subjects.contains(&Subject::Daemon), "the daemon does not run here: {}", about.join("; "));
    }
    let mut tables = Vec::new();
    for part in parts {
        for &load in part.loads() {
            let method = Method { daemon, rounds, burst, workers };
            tables.push(ratios::measure(method, load, &subjects)?);
        }
        match part {
            Part::Churn | Part::Resets | Part::Storm => {}
            Part::Programs => tables.push(programs::measure(daemon, burst * 3, workers, &Load::ALL)?),
            Part::Pipeline => tables.push(pipeline::measure(&cli.root, effort.repeats)?),
            Part::Losses => tables.push(losses::measure(daemon, seconds / 3, workers)?),
            Part::Start => tables.push(cost::start(effort)?),
            Part::Daemon => tables.push(cost::idle_and_loaded(effort)?),
            Part::Peers => tables.push(cost::peers(effort)?),
            Part::Pages => tables.push(cost::pages(effort)?),
            Part::Walk => tables.push(walk::measure(effort)?),
        }
    }
    Ok((about, tables))
}

/// To stdout, which may be a pipe that somebody closed.
fn say(text: &str) -> Result<()> {
    Ok(writeln!(stdout(), "{text}")?)
}

fn just_load(cli: &Cli, load: Load, bursts: u32, workers: u16) -> Result<()> {
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..bursts {
        // Anew each time, or connections in TIME_WAIT would crowd the ports.
        let mut ground = Ground::create(workers)?;
        let length = Duration::from_millis(cli.burst_ms);
        ground.warm_up(load, length)?;
        let burst = ground.burst(load, length)?;
        cpu.push(burst.cpu_us(Duration::ZERO));
        wall.push(1e6 / burst.rate());
    }
    for (name, values) in [("CPU time", cpu), ("wall time", wall)] {
        if let Some(summary) = stats::Summary::of(values) {
            say(&format!("{name} per operation: {} µs", summary.show(2)))?;
        }
    }
    Ok(())
}
