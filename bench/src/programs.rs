//! What each kernel program costs, by the kernel's own account, and what the kernel maps take.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;
use aya::programs::loaded_programs;
use aya::sys::{Stats, enable_stats};

use crate::daemon::Daemon;
use crate::load::{Ground, Load};
use crate::report::Table;

/// Programs that run less often than this per operation are left out of the table.
const RARELY: f64 = 0.01;

/// Runs and time of one program.
#[derive(Clone, Copy, Debug, Default)]
struct Account {
    runs: u64,
    time: Duration,
}

/// Runs every load beside a daemon while the kernel keeps account.
pub(crate) fn measure(daemon: &Path, burst: Duration, workers: u16, loads: &[Load]) -> Result<Table> {
    let mut table = Table::new(
        "Kernel programs",
        "By the kernel's own account (`BPF_ENABLE_STATS`), which is off in all other measurements. Each run's time includes \
         the two readings of the clock that the account takes, some 10 to 20 ns. The second program of a tracepoint \
         (`relief_…`) normally only sees that the first has run.",
        &["load", "program", "runs per operation", "ns per run", "ns per operation"],
    );
    // The kernel keeps account as long as this descriptor is open, so not even a killed run leaves it on.
    let _account = enable_stats(Stats::RunTime).context("cannot make the kernel keep account of programs")?;
    let daemon = Daemon::start(daemon, &[])?;
    for &load in loads {
        eprintln!("==> kernel programs: {}", load.name());
        let mut ground = Ground::create(workers)?;
        ground.warm_up(load, burst)?;
        let before = accounts(daemon.process.pid())?;
        let operations = ground.burst(load, burst)?.operations;
        let mut sum = 0.0;
        for (name, now) in accounts(daemon.process.pid())? {
            let then = before.get(&name).copied().unwrap_or_default();
            let (runs, time) = (now.runs - then.runs, now.time.saturating_sub(then.time));
            #[expect(clippy::cast_precision_loss, reason = "figures for people")]
            let (runs, operations) = (runs as f64, operations as f64);
            let nanoseconds = time.as_secs_f64() * 1e9;
            sum += nanoseconds / operations;
            if runs / operations >= RARELY {
                table.row([
                    load.name().to_owned(),
                    format!("`{name}`"),
                    format!("{:.2}", runs / operations),
                    format!("{:.0}", nanoseconds / runs),
                    format!("{:.0}", nanoseconds / operations),
                ]);
            }
        }
        table.row([
            load.name().to_owned(),
            "all".to_owned(),
            String::new(),
            String::new(),
            format!("**{sum:.0}**"),
        ]);
    }
    daemon.stop()?;
    Ok(table)
}

/// Every program of the process, by name.
fn accounts(pid: u32) -> Result<BTreeMap<String, Account>> {
    let mut accounts = BTreeMap::new();
    let ids = program_ids(pid)?;
    for program in loaded_programs() {
        // Somebody else's may go while we look.
        let Ok(program) = program else { continue };
        if ids.contains(&program.id()) {
            let account = Account { runs: program.run_count(), time: program.run_time() };
            accounts.insert(program.name_as_str().unwrap_or("?").to_owned(), account);
        }
    }
    Ok(accounts)
}

fn program_ids(pid: u32) -> Result<Vec<u32>> {
    let mut ids = Vec::new();
    for entry in
        fs::read_dir(format!("/proc/{pid}/fdinfo")).context("cannot look at the daemon's descriptors")?
    {
        // A connection's descriptor may go while we look.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        ids.extend(field(&text, "prog_id:").and_then(|id| u32::try_from(id).ok()));
    }
    Ok(ids)
}

fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Memory that the kernel charges for each map of the process's programs, in bytes, most first.
pub(crate) fn maps(pid: u32) -> Result<Vec<(String, u64)>> {
    let ids = program_ids(pid)?;
    let mut maps = BTreeMap::new();
    for program in loaded_programs() {
        let Ok(program) = program else { continue };
        if !ids.contains(&program.id()) {
            continue;
        }
        for id in program.map_ids()?.unwrap_or_default() {
            let map = MapInfo::from_id(id)?;
            let descriptor = map.fd()?;
            let text = fs::read_to_string(format!("/proc/self/fdinfo/{}", descriptor.as_fd().as_raw_fd()))?;
            let bytes = field(&text, "memlock:").context("the kernel does not tell a map's memory")?;
            maps.insert(id, (map.name_as_str().unwrap_or("?").to_owned(), bytes));
        }
    }
    let mut maps: Vec<_> = maps.into_values().collect();
    maps.sort_by_key(|(_, bytes)| std::cmp::Reverse(*bytes));
    Ok(maps)
}
