//! The machine: what it is, and what others do on it while we measure.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use aya::programs::loaded_programs;
use rustix::system::uname;

use crate::clock;

/// The kernel program that each daemon has once.
const OUR_PROGRAM: &str = "set_state";
/// Between two looks at what runs here.
const LOOK: Duration = Duration::from_millis(200);

/// One line about the machine.
pub(crate) fn describe() -> Result<String> {
    let info = fs::read_to_string("/proc/cpuinfo")?;
    let model = info.lines().find_map(|line| line.strip_prefix("model name")?.split(':').nth(1));
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kilobytes = memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next());
    let gigabytes = kilobytes.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0).div_ceil(1 << 20);
    let virtual_machine = if info.contains(" hypervisor") { ", virtual machine" } else { "" };
    let system = uname();
    Ok(format!(
        "{}, {} CPUs, {gigabytes} GiB{virtual_machine}; Linux {} {}",
        model.unwrap_or("unknown CPU").trim(),
        cpus()?,
        system.release().to_string_lossy(),
        system.machine().to_string_lossy(),
    ))
}

/// CPUs that this process may use.
pub(crate) fn cpus() -> Result<u16> {
    Ok(u16::try_from(std::thread::available_parallelism()?.get()).unwrap_or(u16::MAX))
}

/// Daemons of ours that are attached, whatever their processes are called: nothing is "untraced" beside them.
pub(crate) fn daemons() -> usize {
    // Others' programs come and go while we look.
    loaded_programs().flatten().filter(|program| program.name_as_str() == Some(OUR_PROGRAM)).count()
}

/// Waits until no such daemon runs, at most for so long.
pub(crate) fn until_alone(longest: Duration) -> Result<()> {
    if daemons() > 0 {
        eprintln!("    waiting for another reset-monitor on this machine to end, {longest:?} at most");
    }
    let begin = clock::start();
    while daemons() > 0 && begin.elapsed() < longest {
        clock::pass(LOOK)?;
    }
    Ok(())
}

/// The machine's accounts at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    at: Instant,
    busy: Duration,
    stolen: Duration,
}

/// What happened between two moments, in CPUs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Between {
    /// How many CPUs were busy on average, in clock ticks' resolution.
    pub(crate) busy: f64,
    /// How many the hypervisor gave to someone else.
    pub(crate) stolen: f64,
}

impl Moment {
    /// Now.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        let line = text.lines().next().context("/proc/stat is empty")?;
        let ticks: Vec<u64> = line.split_whitespace().skip(1).map_while(|field| field.parse().ok()).collect();
        // user nice system idle iowait irq softirq steal
        let &[user, nice, system, _, _, irq, softirq, stolen, ..] = ticks.as_slice() else {
            anyhow::bail!("/proc/stat has too few columns")
        };
        let time = |ticks: u64| Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second());
        Ok(Self {
            at: clock::start(),
            busy: time(user + nice + system + irq + softirq),
            stolen: time(stolen),
        })
    }

    /// Since then.
    pub(crate) fn until_now(self) -> Result<Between> {
        let now = Self::now()?;
        let seconds = now.at.duration_since(self.at).as_secs_f64();
        Ok(Between {
            busy: now.busy.saturating_sub(self.busy).as_secs_f64() / seconds,
            stolen: now.stolen.saturating_sub(self.stolen).as_secs_f64() / seconds,
        })
    }
}
