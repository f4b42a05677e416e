//! `kernel-test`: the kernel trials, on this machine's kernel and on every series in virtual machines.
//!
//! One static binary is the machine's first process, its trials and its daemon (`monitor/tests/kernel/guest.rs`); each
//! kernel gets it in an initramfs with the modules and programs that the trials use.

mod costs;
mod cpio;
mod image;
mod machine;
mod modules;
mod seen;
mod verdicts;

use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use self::machine::{Files, Time};
use self::verdicts::Verdicts;
use crate::bpf::Programs;
use crate::build::kernel_programs;
use crate::kernels::{PAGE, Record};
use crate::process::{capture, note, step};
use crate::setup::{self, Emulator, Guest, Kernel, SERIES, Series};
use crate::test::KERNEL_TESTS;
use crate::workspace::{self, OBJECT_VARIABLE};
use crate::{cache, diagnosis, test};

/// The word for this machine's own kernel.
const LOCAL: &str = "local";
/// A target directory of its own: other flags in a shared one would make each build undo the other's.
const DIRECTORY: &str = "guest";
/// Named in full, so that flags for the trials are not applied to programs of the build.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// The profile in the workspace's manifest.
const PROFILE: &str = "guest";
/// How much of a message is shown.
const MOST_LINES: usize = 30;
const MOST_CHARACTERS: usize = 4_000;
/// How many of a kernel's last lines are shown when its machine went wrong.
const LAST_WORDS: usize = 60;

/// Which kernels, and which trials.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Kernels (5.10, 6.1, 6.12, 6.18, 7.2; `local` is this machine's; without any, all five), then a part of the trials' names
    words: Vec<String>,
    /// Write what `check` says on these kernels into docs/kernels.md, instead of comparing, and which causes all trials made and the
    /// daemon named into docs/diagnosis.md; with a part of the trials' names, only those are run, and the latter stays as it is
    #[arg(long)]
    write: bool,
    /// Measure what programs cost by fentry, kprobe and tracepoint on one kernel (6.18 without any), and run no trials
    #[arg(long)]
    costs: bool,
}

/// The command.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.costs {
        return costs::run(&args.words, args.write);
    }
    let Choice { local, series, filter } = Choice::parse(&args.words)?;
    let arguments: Vec<_> = filter.into_iter().collect();
    let mut passed = true;
    if local {
        let (all_passed, named) = test::local_kernel(&arguments)?;
        passed &= all_passed;
        if args.write {
            let (name, seen) = seen::here()?;
            seen::write(vec![(name.clone(), seen)])?;
            let named = named.filter(|_| all_passed && arguments.is_empty());
            diagnosis::write(named.into_iter().map(|cases| (name.clone(), cases)).collect())?;
        }
    }
    if !series.is_empty() {
        let use_of_it = if args.write { Use::Write } else { Use::Compare };
        passed &= machines(&series, &arguments, use_of_it)?;
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every trial on every series of kernels, and all that they say against what is documented. Tells whether all was as it should be.
pub(crate) fn on_every_series() -> Result<bool> {
    machines(&SERIES, &[], Use::Compare)
}

/// What the words mean.
#[derive(Debug, PartialEq, Eq)]
struct Choice {
    local: bool,
    series: Vec<Series>,
    filter: Option<String>,
}

impl Choice {
    fn parse(words: &[String]) -> Result<Self> {
        let mut choice = Self { local: false, series: Vec::new(), filter: None };
        for word in words {
            if word == LOCAL {
                choice.local = true;
            } else if let Some(series) = SERIES.into_iter().find(|series| series.name == word) {
                choice.series.push(series);
            } else {
                let before = choice.filter.replace(word.clone());
                ensure!(
                    before.is_none(),
                    "neither {before:?} nor {word:?} is a kernel; there can be one filter"
                );
            }
        }
        if !choice.local && choice.series.is_empty() {
            choice.series = SERIES.to_vec();
        }
        Ok(choice)
    }
}

/// What is done with what machines say of their kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It must be as documented.
    Compare,
    /// It becomes what is documented.
    Write,
}

/// Runs the trials on these kernels; `arguments` go to the test binary. Tells whether everything passed, and, unless it is written
/// down, whether all is as documented.
fn machines(series: &[Series], arguments: &[String], use_of_it: Use) -> Result<bool> {
    let record = Record::read()?;
    let is_whole = arguments.is_empty();
    let arguments = [&["--format".to_owned(), "json".to_owned()], arguments].concat();
    let (job, kernels) = Job::prepare(series, arguments)?;
    let names: Vec<_> = kernels.iter().map(|kernel| kernel.series.name).collect();
    step(&format!("trials in virtual machines: Linux {}", names.join(", ")));
    let documented = (use_of_it == Use::Compare).then_some(&record);
    let outcomes = job.run_all(kernels, documented);
    step("kernels:");
    for outcome in &outcomes {
        note(&outcome.summary());
    }
    let passed = outcomes.len() == series.len() && outcomes.iter().all(Outcome::is_good);
    if use_of_it == Use::Write {
        let (mut seen, mut named) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            let (name, is_good) = (outcome.name.to_owned(), outcome.is_good());
            let Ok(verdicts) = outcome.verdicts else { continue };
            named.extend(verdicts.named.filter(|_| is_good && is_whole).map(|cases| (name.clone(), cases)));
            seen.extend(verdicts.seen.map(|seen| (name, seen)));
        }
        seen::write(seen)?;
        diagnosis::write(named)?;
    }
    Ok(passed)
}

/// Builds the trials for virtual machines and returns the binary's path.
fn build() -> Result<PathBuf> {
    let object = kernel_programs(Programs::Release)?;
    step("building the trials for virtual machines");
    let mut cargo = workspace::cargo("test");
    cargo.args([
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
        "--package",
        "monitor",
        "--test",
        "kernel",
    ]);
    cargo.args(["--features", KERNEL_TESTS, "--profile", PROFILE, "--target", TARGET]);
    cargo.env("CARGO_TARGET_DIR", workspace::target().join(DIRECTORY));
    // Without libraries: the machine has no others than the programs' own. The encoded form outranks flags of the environment.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static").env_remove("RUSTFLAGS");
    let messages = capture(cargo.env(OBJECT_VARIABLE, object))?;
    let mut built = messages.lines().filter_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let is_it = message["target"]["name"] == "kernel" && message["profile"]["test"] == true;
        is_it.then(|| message["executable"].as_str().map(PathBuf::from))?
    });
    built.next_back().context("cargo built no trials")
}

/// What every machine needs.
#[derive(Debug)]
struct Job {
    emulator: Emulator,
    guest: Guest,
    trials: Vec<u8>,
    arguments: Vec<String>,
    directory: PathBuf,
}

/// How it went on one kernel.
#[derive(Debug)]
struct Outcome {
    name: &'static str,
    verdicts: Result<Verdicts>,
    /// What is not as documented.
    differences: Vec<String>,
    took: Duration,
}

impl Job {
    /// Fetches and builds what the machines of these kernels need. `arguments` go to the process of the trials.
    fn prepare(series: &[Series], arguments: Vec<String>) -> Result<(Self, Vec<Kernel>)> {
        let (emulator, guest, kernels) = setup::virtual_machines(series)?;
        let trials = build()?;
        let trials = fs::read(&trials).with_context(|| format!("cannot read {}", trials.display()))?;
        let directory = workspace::target().join(DIRECTORY).join("machines");
        cache::remove(&directory)?;
        fs::create_dir_all(&directory).with_context(|| format!("cannot create {}", directory.display()))?;
        Ok((Self { emulator, guest, trials, arguments, directory }, kernels))
    }

    /// As many at a time as there are processors, in any order; the outcomes are in order.
    fn run_all(&self, kernels: Vec<Kernel>, documented: Option<&Record>) -> Vec<Outcome> {
        let workers = thread::available_parallelism().map_or(1, usize::from).min(kernels.len());
        let queue = Mutex::new(VecDeque::from(kernels));
        let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let outcomes = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..workers {
                scope.spawn(|| {
                    while let Some(kernel) = next() {
                        let outcome = self.run(&kernel, documented);
                        outcome.tell(&self.files(kernel.series));
                        outcomes.lock().unwrap_or_else(PoisonError::into_inner).push(outcome);
                    }
                });
            }
        });
        let mut outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        outcomes.sort_by_key(|outcome| SERIES.iter().position(|series| series.name == outcome.name));
        outcomes
    }

    #[expect(clippy::disallowed_methods, reason = "how long it took is told, and nothing depends on it")]
    fn run(&self, kernel: &Kernel, documented: Option<&Record>) -> Outcome {
        let begin = Instant::now();
        let name = kernel.series.name;
        let mut verdicts = self.boot(kernel, Time::Real);
        if let Ok(silent) = &verdicts
            && silent.fell_silent
            && !silent.gaps().is_empty()
        {
            // Seen once in some forty emulated machines, on a busy host, among trials that had nothing in common. What its
            // processors did is told either way; a kernel that stands still for a reason does so twice.
            note(&format!("Linux {name}: fell silent and is started anew. {}", silent.gaps().join("; ")));
            tell_last_words(name, &self.files(kernel.series));
            verdicts = self.boot(kernel, Time::Real);
        }
        let seen = verdicts.as_ref().ok().and_then(|verdicts| verdicts.seen.as_ref());
        let differences = match (documented, seen) {
            (Some(record), Some(seen)) => seen::compare(record, name, seen),
            // What was not seen is told elsewhere.
            (None, _) | (_, None) => Vec::new(),
        };
        Outcome { name, verdicts, differences, took: begin.elapsed() }
    }

    fn boot(&self, kernel: &Kernel, time: Time) -> Result<Verdicts> {
        let files = self.files(kernel.series);
        let image = image::make(&self.trials, &self.arguments, &self.guest, kernel)?;
        fs::write(&files.initramfs, image)
            .with_context(|| format!("cannot write {}", files.initramfs.display()))?;
        let verdicts = machine::run(&self.emulator, kernel, &files, time);
        fs::remove_file(&files.initramfs)
            .with_context(|| format!("cannot remove {}", files.initramfs.display()))?;
        verdicts
    }

    fn files(&self, series: Series) -> Files {
        let file = |kind| self.directory.join(format!("{}.{kind}", series.name));
        Files {
            initramfs: file("initramfs"),
            console: file("console"),
            said: file("said"),
            orders: file("orders"),
        }
    }
}

impl Outcome {
    fn is_good(&self) -> bool {
        let whole = |verdicts: &Verdicts| verdicts.failed.is_empty() && verdicts.gaps().is_empty();
        self.differences.is_empty() && self.verdicts.as_ref().is_ok_and(whole)
    }

    /// What went wrong, in full.
    fn tell(&self, files: &Files) {
        note(&self.summary());
        let Ok(verdicts) = &self.verdicts else { return };
        for (name, message) in &verdicts.failed {
            note(&format!("Linux {}: FAILED: {name}\n{}", self.name, indented(message.lines(), MOST_LINES)));
        }
        for difference in &self.differences {
            note(&format!("Linux {}: FAILED: not as {PAGE} says: {difference}", self.name));
        }
        let gaps = verdicts.gaps();
        for gap in &gaps {
            note(&format!("Linux {}: FAILED: {gap}", self.name));
        }
        if !self.is_good() {
            note(&format!("Linux {}: in full in {}", self.name, files.said.display()));
        }
        if !self.is_good() && !verdicts.remarks.is_empty() {
            note(&format!(
                "Linux {}: said:\n{}",
                self.name,
                indented(verdicts.remarks.iter().map(String::as_str), MOST_LINES)
            ));
        }
        if !gaps.is_empty() {
            tell_last_words(self.name, files);
        }
    }

    fn summary(&self) -> String {
        let took = self.took.as_secs();
        match &self.verdicts {
            Ok(verdicts) => {
                let (left_out, failed) = (verdicts.count_left_out(), verdicts.failed.len());
                let differences = match self.differences.len() {
                    0 => String::new(),
                    count => format!(", {count} not as documented"),
                };
                let whole = if verdicts.gaps().is_empty() { "" } else { ", not a whole run" };
                let reasons: Vec<_> =
                    verdicts.left_out.iter().map(|(count, need)| format!("{count} {need}")).collect();
                let reasons =
                    if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
                let passed = verdicts.count_passed();
                format!(
                    "Linux {:5} {passed} passed, {left_out} left out{reasons}, {failed} failed{differences}{whole}, {took} s",
                    self.name
                )
            }
            Err(error) => format!("Linux {:5} FAILED: {error:#}, {took} s", self.name),
        }
    }
}

fn tell_last_words(name: &str, files: &Files) {
    let words = machine::last_words(&files.console, LAST_WORDS);
    note(&format!(
        "Linux {name}: its kernel's last words:\n{}",
        indented(words.iter().map(String::as_str), LAST_WORDS)
    ));
}

/// The beginnings of the first lines: events fill pages, and the file has them all.
fn indented<'a>(lines: impl IntoIterator<Item = &'a str>, most: usize) -> String {
    let mut lines = lines.into_iter();
    let mut shown: Vec<_> =
        lines.by_ref().take(most).map(|line| format!("        {line:.MOST_CHARACTERS$}")).collect();
    let rest = lines.count();
    if rest > 0 {
        shown.push(format!("        and {rest} lines more"));
    }
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Choice> {
        Choice::parse(&words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn kernels_are_told_from_a_filter() {
        assert_eq!(parse(&[]).unwrap(), Choice { local: false, series: SERIES.to_vec(), filter: None });
        let some = parse(&["6.1", "ss -K", "local"]).unwrap();
        assert!(some.local && some.series == [SERIES[1]] && some.filter.as_deref() == Some("ss -K"));
        assert!(parse(&["local"]).unwrap().series.is_empty());
        assert!(parse(&["6.2", "ss -K"]).is_err());
    }
}
