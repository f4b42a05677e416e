//! Starts that must fail, each with one clear line and its exit code, and the ends of runs that must be clean.

use std::collections::BTreeSet;
use std::fs;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::Signal;

use crate::daemon::{Daemon, Scratch, Watched};
use crate::{WithOwn, machine};

pub(crate) const TRIALS: &[WithOwn] = &[
    ("without root the daemon says so", without_root),
    ("without BTF the daemon says so", without_btf),
    ("with its port taken the daemon says so", port_taken),
    ("a bad flag is named", bad_flag),
    ("a bad value of a flag is named", bad_value),
    ("bad TOML is named", bad_toml),
    ("an unknown key is named", unknown_key),
    ("a second instance is refused", second_instance),
    ("SIGTERM ends the daemon in the middle of a stream", || ends_by(Signal::TERM)),
    ("SIGINT ends the daemon in the middle of a stream", || ends_by(Signal::INT)),
];

/// Runs the daemon, which must end by itself: with this code, and one line on stderr that has all these words.
pub(crate) fn refuses(command: &mut Command, code: i32, words: &[&str]) -> Result<()> {
    let mut process = Watched::spawn(command)?;
    let ended = process.wait()?;
    let lines = process.stderr();
    let all = lines.join("\n");
    ensure!(ended == Some(code), "expected exit code {code}, got {ended:?}:\n{all}");
    let complaints: Vec<_> =
        lines.iter().filter(|line| !line.trim().is_empty() && !is_information(line)).collect();
    ensure!(complaints.len() == 1, "expected one line:\n{all}");
    let complaint = complaints.first().context("no line")?;
    ensure!(lines.last() == Some(*complaint), "the complaint is not the last line:\n{all}");
    for word in words {
        ensure!(complaint.contains(word), "no {word:?} in: {complaint}");
    }
    ensure!(!complaint.contains("panicked"), "{complaint}");
    Ok(())
}

/// A log line that tells of progress, as any start writes some.
fn is_information(line: &str) -> bool {
    line.contains(" INFO ")
}

/// `run` with a lock file of its own and a free port.
fn run(directory: &Scratch) -> Result<Command> {
    let mut command = Command::new(machine::daemon());
    command.args(["run", "--lock-file", &directory.file("lock")?]);
    Ok(command)
}

fn without_root() -> Result<()> {
    const NOBODY: u32 = 65_534;
    // Through an open descriptor, since the path of the binary may lead through directories closed to others.
    let binary = open(machine::daemon(), OFlags::RDONLY, Mode::empty())?;
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    // In virtual machines the trials' own binary is the daemon, when it is called so.
    command.arg0("reset-monitor").args(["run", "--listen", "127.0.0.1:0"]).uid(NOBODY).gid(NOBODY);
    refuses(&mut command, 3, &["CAP_BPF"])
}

fn without_btf() -> Result<()> {
    let directory = Scratch::create()?;
    let mut command = Command::new("unshare");
    let script = "mount -t tmpfs none /sys/kernel/btf && exec \"$@\"";
    command.args(["--mount", "sh", "-c", script, "sh", machine::daemon()]);
    command.args(["run", "--listen", "127.0.0.1:0", "--lock-file", &directory.file("lock")?]);
    refuses(&mut command, 3, &["BTF"])
}

fn port_taken() -> Result<()> {
    let directory = Scratch::create()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    refuses(run(&directory)?.args(["--listen", &address]), 1, &[&address])?;
    // And the lock is free again.
    Daemon::start_in(directory, &[])?.stop(Signal::TERM)
}

fn bad_flag() -> Result<()> {
    refuses(Command::new(machine::daemon()).args(["run", "--no-such-flag"]), 2, &["--no-such-flag"])
}

fn bad_value() -> Result<()> {
    refuses(Command::new(machine::daemon()).args(["run", "--listen", "nowhere"]), 2, &["--listen", "nowhere"])
}

/// A configuration file with this text must be refused with these words, and its own name.
fn refuses_config(text: &str, words: &[&str]) -> Result<()> {
    let directory = Scratch::create()?;
    let path = directory.file("config.toml")?;
    fs::write(&path, text)?;
    let mut words = words.to_vec();
    words.push(&path);
    refuses(run(&directory)?.args(["--listen", "127.0.0.1:0", "--config", &path]), 2, &words)
}

fn bad_toml() -> Result<()> {
    refuses_config("listen = [\n", &[])
}

fn unknown_key() -> Result<()> {
    refuses_config("no_such_key = 1\n", &["no_such_key"])
}

fn second_instance() -> Result<()> {
    let first = Daemon::start(&[])?;
    let lock = first.lock_file()?;
    let second = ["run", "--listen", "127.0.0.1:0", "--lock-file", &lock];
    refuses(Command::new(machine::daemon()).args(second), 1, &[&lock])?;
    // The first is not disturbed.
    first.api.status()?;
    first.stop(Signal::TERM)
}

/// Ends a daemon that has a stream open; afterwards nobody holds its programs any more.
fn ends_by(signal: Signal) -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let programs = programs_held_by(&daemon.process().pid().to_string())?;
    ensure!(programs.len() >= 3, "the daemon holds only {} BPF programs", programs.len());
    let stream = daemon.api.open_stream("/api/v1/events/stream")?;
    daemon.stop(signal)?;
    drop(stream);
    for process in fs::read_dir("/proc")? {
        let name = process?.file_name().to_string_lossy().into_owned();
        if name.bytes().all(|byte| byte.is_ascii_digit()) {
            let held = programs_held_by(&name).unwrap_or_default();
            ensure!(held.is_disjoint(&programs), "process {name} still holds programs of the daemon");
        }
    }
    Ok(())
}

/// Ids of the BPF programs that a process holds by descriptors of programs or of links.
fn programs_held_by(process: &str) -> Result<BTreeSet<String>> {
    let mut programs = BTreeSet::new();
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // A descriptor may be closed meanwhile.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let ids = text.lines().filter_map(|line| line.strip_prefix("prog_id:"));
        programs.extend(ids.map(|id| id.trim().to_owned()));
    }
    Ok(programs)
}
