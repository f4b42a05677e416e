//! One target's run: which corpora it reads, where it writes, and what is said about the end of it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::{Length, Target, directory};
use crate::process::{capture, note, show, step};
use crate::workspace;

/// Seconds that one input may take: the slowest known takes milliseconds, and a machine may be a hundred times slower.
const TIMEOUT: &str = "-timeout=60";
/// Megabytes that a target may need. They need about 100; an allocation by a size from the input needs more.
const MEMORY: &str = "-rss_limit_mb=2048";
/// Any number, as long as it is the same one.
const SEED: &str = "-seed=1";
/// Lines of a failed run that are shown: the panic, the stack and the input.
const END: usize = 60;

/// A target, ready to run.
pub(super) struct Session {
    pub(super) target: &'static Target,
    pub(super) program: PathBuf,
    /// What this checkout's runs have found interesting so far. Grows.
    pub(super) found: PathBuf,
    /// What is in the repository. Only read.
    pub(super) kept: PathBuf,
    broken: PathBuf,
    log: PathBuf,
}

impl Session {
    pub(super) fn new(target: &'static Target, program: PathBuf) -> Result<Self> {
        let below = |name: &str| directory().join(name).join(target.name);
        let session = Self {
            target,
            program,
            found: below("corpus"),
            kept: workspace::root().join("fuzz/corpus").join(target.name),
            broken: below("broken"),
            log: directory().join(format!("{}.log", target.name)),
        };
        for path in [&session.found, &session.broken] {
            fs::create_dir_all(path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        Ok(session)
    }

    /// A call of the program without our environment's settings of the daemon, which would win over an input's.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(workspace::root()).args([TIMEOUT, MEMORY]);
        command.arg(format!("-max_len={}", self.target.longest));
        command.arg(format!("-artifact_prefix={}/", self.broken.display()));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESET_MONITOR_") {
                command.env_remove(name);
            }
        }
        command.env("NO_COLOR", "1").env("RUST_BACKTRACE", "1");
        command
    }

    /// Fuzzes that far. Whether nothing broke.
    pub(super) fn fuzz(&self, length: Length) -> Result<bool> {
        let Self { target, found, kept, broken, log, program: _ } = self;
        let mut command = self.command();
        match length {
            Length::Seconds(seconds) => {
                step(&format!("fuzzing `{}` for {seconds} s", target.name));
                command.arg(format!("-max_total_time={seconds}"));
            }
            Length::Inputs(count) => {
                step(&format!("fuzzing `{}` with {count} inputs", target.name));
                command.arg(format!("-runs={count}")).arg(SEED);
            }
        }
        command.arg("-print_final_stats=1");
        // New input goes into the first directory; the others are only read.
        command.arg(found);
        // A target whose fixtures reach everything has nothing else to keep.
        if kept.is_dir() {
            command.arg(kept);
        }
        if let Some(fixtures) = &target.fixtures {
            command.arg(workspace::root().join(fixtures.directory));
        }
        let output = File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
        command.stdout(output.try_clone().context("cannot share the log")?).stderr(output);
        let before = newest(broken);
        let status = command.status().with_context(|| format!("cannot start: {}", show(&command)))?;
        let said = String::from_utf8_lossy(&fs::read(log).context("cannot read the log")?).into_owned();
        note(&format!("{}: {}", target.name, summary(&said)));
        if status.success() {
            return Ok(true);
        }
        step(&format!("FAILED: `{}` ({status}); all it said is in {}", target.name, log.display()));
        let lines: Vec<_> = said.lines().collect();
        for line in &lines[lines.len().saturating_sub(END)..] {
            note(line);
        }
        if let Some((_, input)) = newest(broken).filter(|found| Some(found) != before.as_ref()) {
            reproduce(target.name, &input);
        }
        Ok(false)
    }

    /// Runs one input, with all that is said to see.
    pub(super) fn try_one(&self, input: &Path) -> Result<ExitCode> {
        // Relative to where the user is, and not to the root of the workspace.
        let input = input.canonicalize().with_context(|| format!("cannot find {}", input.display()))?;
        let mut command = self.command();
        let status =
            command.arg(input).status().with_context(|| format!("cannot start: {}", show(&command)))?;
        Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// How to go on here, and on another machine, from nothing but this output.
fn reproduce(target: &str, input: &Path) {
    step(&format!("to see it again: cargo xtask fuzz {target} --input {}", input.display()));
    let name = input.file_name().unwrap_or_default().to_string_lossy();
    match capture(Command::new("base64").arg("--wrap=0").arg(input)) {
        Ok(text) => note(&format!("elsewhere, make the file first: echo {text} | base64 -d > {name}")),
        Err(error) => note(&format!("cannot read it: {error:#}")),
    }
}

fn newest(directory: &Path) -> Option<(SystemTime, PathBuf)> {
    let entries = fs::read_dir(directory).ok()?;
    entries
        .filter_map(|entry| {
            Some((entry.as_ref().ok()?.metadata().ok()?.modified().ok()?, entry.ok()?.path()))
        })
        .max()
}

/// The end of libFuzzer's report in one line: how much was tried, and how far it came.
fn summary(said: &str) -> String {
    let statistic = |name: &str| {
        let line = said.lines().rev().find(|line| line.starts_with("stat::") && line.contains(name))?;
        line.split_whitespace().last()
    };
    let after = |word: &str| {
        let line = said.lines().rev().find(|line| line.starts_with('#') && line.contains(word))?;
        line.split_once(word)?.1.split_whitespace().next()
    };
    format!(
        "{} inputs, {} a second; {} edges, corpus of {}",
        statistic("number_of_executed_units").unwrap_or("?"),
        statistic("average_exec_per_sec").unwrap_or("?"),
        after("cov: ").unwrap_or("?"),
        after("corp: ").unwrap_or("?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_is_read_from_the_last_lines() {
        let said = "#2\tINITED cov: 5 ft: 5 corp: 1/1b exec/s: 0 rss: 40Mb\n\
                    #99\tDONE   cov: 17 ft: 40 corp: 9/80b lim: 256 exec/s: 33 rss: 41Mb\n\
                    stat::number_of_executed_units: 99\nstat::average_exec_per_sec:     33\n";
        assert_eq!(summary(said), "99 inputs, 33 a second; 17 edges, corpus of 9/80b");
        assert_eq!(summary("killed"), "? inputs, ? a second; ? edges, corpus of ?");
    }
}
