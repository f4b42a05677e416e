//! No trial, but figures: what the programs of each backend cost, by the kernel's own account.
//!
//! Each round starts a daemon for each backend, one after the other, and makes it see the same. Whoever reads the lines takes the
//! medians (`xtask/src/kernel_test/costs.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{Write as _, stdout};

use anyhow::{Context as _, Result, ensure};
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};
use rustix::process::Signal;
use serde_json::json;

use crate::daemon::Daemon;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, Service, abort, wait_for_reset};

/// What begins a line of figures.
const COST: &str = "cost:";
const BACKENDS: [&str; 3] = ["tracepoint", "fentry", "kprobe"];
const ROUNDS: usize = 7;
/// Operations of a round, and before the account of each.
const OPERATIONS: usize = 2_000;
const WARM_UP: usize = 100;

/// What is done, over and over.
#[derive(Clone, Copy)]
enum Load {
    /// A connection with one exchange that its client resets.
    Resets,
    /// A connection to a closed port.
    Refusals,
}

impl Load {
    const ALL: [Self; 2] = [Self::Resets, Self::Refusals];

    const fn name(self) -> &'static str {
        match self {
            Self::Resets => "reset",
            Self::Refusals => "refusal",
        }
    }
}

/// Runs of a program, and nanoseconds.
type Account = (u64, u64);

/// Tells one line for each round, backend and load.
pub(crate) fn measure() -> Result<()> {
    // The kernel keeps account as long as this descriptor is open, as with kernel.bpf_stats_enabled.
    let _account = enable_stats(Stats::RunTime).context("cannot make the kernel keep account of programs")?;
    for round in 0..ROUNDS {
        for backend in BACKENDS {
            let daemon = Daemon::start(&["--backend", backend])?;
            Namespace::create()?.enter(|| measure_one(round, backend, &daemon))?;
            daemon.stop(Signal::TERM)?;
        }
    }
    Ok(())
}

fn measure_one(round: usize, backend: &str, daemon: &Daemon) -> Result<()> {
    let [open, closed] = [(); 2].map(|()| Place::on_loopback(Family::V4));
    let service = open.listen()?;
    for load in Load::ALL {
        repeat(load, WARM_UP, &service, &closed)?;
        let before = accounts(daemon)?;
        repeat(load, OPERATIONS, &service, &closed)?;
        let mut programs = serde_json::Map::new();
        for (name, (runs, nanoseconds)) in accounts(daemon)? {
            let (runs_then, nanoseconds_then) = before.get(&name).copied().unwrap_or_default();
            programs.insert(name, json!([runs - runs_then, nanoseconds - nanoseconds_then]));
        }
        let told = json!({
            "round": round, "backend": backend, "load": load.name(), "operations": OPERATIONS, "programs": programs,
        });
        writeln!(stdout(), "{COST} {told}")?;
    }
    Ok(())
}

fn repeat(load: Load, times: usize, service: &Service, closed: &Place) -> Result<()> {
    for _ in 0..times {
        match load {
            Load::Resets => {
                let pair = service.pair()?;
                pair.exchange(1)?;
                abort(pair.client)?;
                wait_for_reset(&pair.server)?;
            }
            Load::Refusals => ensure!(closed.connect().is_err(), "the port is not closed"),
        }
    }
    Ok(())
}

/// Every program of the daemon, by name.
fn accounts(daemon: &Daemon) -> Result<BTreeMap<String, Account>> {
    let mut ids = Vec::new();
    for entry in fs::read_dir(format!("/proc/{}/fdinfo", daemon.process().pid()))? {
        // A connection's descriptor may go meanwhile.
        let text = fs::read_to_string(entry?.path()).unwrap_or_default();
        let id = text.lines().find_map(|line| line.strip_prefix("prog_id:"));
        ids.extend(id.and_then(|id| id.trim().parse::<u32>().ok()));
    }
    let mut accounts = BTreeMap::new();
    for program in loaded_programs() {
        let program = program?;
        if ids.contains(&program.id()) {
            let name = program.name_as_str().context("a program without a name")?.to_owned();
            let nanoseconds = u64::try_from(program.run_time().as_nanos())?;
            accounts.insert(name, (program.run_count(), nanoseconds));
        }
    }
    Ok(accounts)
}
