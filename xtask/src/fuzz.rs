//! `fuzz`: looks for input that breaks what must hold, guided by the code that each input reaches.
//!
//! libFuzzer from the Rust registry, and the coverage instrumentation that every stable rustc has: nothing to install but a
//! C++ compiler. Everything is built and written below `target/fuzz`; only `--keep` changes the corpus in the repository.

mod build;
mod corpus;
mod session;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context as _, Result, bail};

use self::session::Session;
use crate::process::step;
use crate::workspace;

/// Something to fuzz.
#[derive(Debug)]
struct Target {
    /// Of its program, its module and its directory in the corpus.
    name: &'static str,
    /// Longest input tried, in bytes: room for everything the target tells apart, and no more.
    longest: u32,
    /// Input that lies in the repository already, for the tests.
    fixtures: Option<Fixtures>,
}

/// Files of a directory by their extension.
#[derive(Debug)]
struct Fixtures {
    directory: &'static str,
    extension: &'static str,
}

const BTF_FIXTURES: Fixtures = Fixtures { directory: "monitor/tests/fixtures/btf", extension: "btf" };

const TARGETS: [Target; 4] = [
    // A record is 192 bytes.
    Target { name: "record", longest: 256, fixtures: None },
    // The largest of the extracts has 13 kB.
    Target { name: "btf", longest: 16_384, fixtures: Some(BTF_FIXTURES) },
    Target { name: "config", longest: 1_024, fixtures: None },
    Target { name: "query", longest: 256, fixtures: None },
];

/// Flags of the command.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// What to fuzz; everything when not given
    #[arg(value_parser = TARGETS.each_ref().map(|target| target.name))]
    target: Option<String>,
    /// How long for each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Try this many inputs for each target, the same ones in each clean clone, however long they take
    #[arg(long, value_name = "COUNT", conflicts_with = "seconds")]
    inputs: Option<NonZero<u32>>,
    /// Try only this file, to see what a run found
    #[arg(long, value_name = "FILE", requires = "target", conflicts_with = "keep")]
    input: Option<PathBuf>,
    /// Afterwards make the corpus in the repository the smallest one that reaches all that was reached
    #[arg(long)]
    keep: bool,
}

impl Args {
    fn length(&self) -> Length {
        self.inputs.map_or(Length::Seconds(self.seconds), |count| Length::Inputs(count.get()))
    }
}

/// How far a run goes.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// Other inputs each time: to find what nobody has found yet.
    Seconds(u32),
    /// The same inputs each time, given the same programs and corpora: to gate a change by what the change does.
    Inputs(u32),
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let targets: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| args.target.as_deref().is_none_or(|name| name == target.name))
        .collect();
    step("building the fuzz targets");
    let programs = build::programs(&targets)?;
    let sessions = targets.into_iter().zip(programs);
    let sessions =
        sessions.map(|(target, program)| Session::new(target, program)).collect::<Result<Vec<_>>>()?;
    if let Some(input) = &args.input {
        return sessions.first().context("no target")?.try_one(input);
    }
    let failed = all(&sessions, args.length())?;
    if !failed.is_empty() {
        bail!("fuzzing broke: {}", failed.join(", "));
    }
    if args.keep {
        for session in &sessions {
            corpus::minimise(session)?;
        }
    }
    step("nothing broke");
    Ok(ExitCode::SUCCESS)
}

/// Runs the sessions, as many at a time as there are CPUs. The names of those that found something.
fn all(sessions: &[Session], length: Length) -> Result<Vec<&'static str>> {
    let lanes = thread::available_parallelism().map_or(1, NonZero::get).min(sessions.len());
    let next = AtomicUsize::new(0);
    let lane = || -> Result<Vec<&'static str>> {
        let mut failed = Vec::new();
        while let Some(session) = sessions.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !session.fuzz(length)? {
                failed.push(session.target.name);
            }
        }
        Ok(failed)
    };
    thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        let mut failed = Vec::new();
        for lane in lanes {
            match lane.join() {
                Ok(found) => failed.extend(found?),
                Err(_panic) => bail!("a fuzzing thread panicked"),
            }
        }
        Ok(failed)
    })
}

/// Where everything of this command is written.
fn directory() -> PathBuf {
    workspace::target().join("fuzz")
}
