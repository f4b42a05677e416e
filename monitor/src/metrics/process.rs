//! The daemon's own process from `/proc/self`, under the names that every exporter uses.

use std::fmt;
use std::fs;

use super::text::Unit;
use rustix::process::{Resource, getrlimit};

use super::family::{Counter, Gauge, Output};
use super::labels::NoLabels;

/// When the process started. Read once: computed anew it would move with every correction of the clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessStart {
    /// Seconds since 1970; `None` when `/proc` did not tell.
    pub unix_seconds: Option<f64>,
}

impl ProcessStart {
    /// From `/proc`.
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").ok();
        let ticks = stat.as_deref().and_then(Stat::parse).map(|stat| stat.start_ticks);
        let system = fs::read_to_string("/proc/stat").ok();
        let boot = system.as_deref().and_then(|text| {
            text.lines()
                .find_map(|line| line.strip_prefix("btime "))
                .and_then(|value| value.parse::<u32>().ok())
        });
        Self { unix_seconds: boot.zip(ticks).map(|(boot, ticks)| f64::from(boot) + ticks_to_seconds(ticks)) }
    }
}

/// The process at one moment. What could not be read is `None` and left out of the page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProcessRow {
    /// Seconds since 1970.
    pub start_seconds: Option<f64>,
    /// User and system time of all threads, in seconds.
    pub cpu_seconds: f64,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Address space.
    pub virtual_bytes: u64,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Limit of open file descriptors; `None` when there is none.
    pub max_fds: Option<u64>,
}

impl ProcessRow {
    /// From `/proc/self`; `None` without `/proc`.
    pub fn read(start: ProcessStart) -> Option<Self> {
        let stat = Stat::parse(&fs::read_to_string("/proc/self/stat").ok()?)?;
        // One of the entries is the directory that is being read.
        let open_fds =
            fs::read_dir("/proc/self/fd").ok().map(|entries| (entries.count() as u64).saturating_sub(1));
        Some(Self {
            start_seconds: start.unix_seconds,
            cpu_seconds: ticks_to_seconds(stat.cpu_ticks),
            resident_bytes: stat.resident_pages.saturating_mul(rustix::param::page_size() as u64),
            virtual_bytes: stat.virtual_bytes,
            open_fds,
            max_fds: getrlimit(Resource::Nofile).current,
        })
    }
}

/// Fields of `/proc/PID/stat`.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    cpu_ticks: u64,
    start_ticks: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

impl Stat {
    /// The second field is the task's name, which may hold spaces and parentheses: what counts comes after its last one.
    fn parse(text: &str) -> Option<Self> {
        let (_, fields) = text.rsplit_once(')')?;
        let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
        // `number` in proc_pid_stat(5), where the first field after the name has number 3.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)? + field(15)?,
            start_ticks: field(22)?,
            virtual_bytes: field(23)?,
            resident_pages: field(24)?,
        })
    }
}

fn ticks_to_seconds(ticks: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 ticks, which is 2.8 million years")]
    let (ticks, per_second) = (ticks as f64, rustix::param::clock_ticks_per_second() as f64);
    ticks / per_second
}

impl ProcessRow {
    pub(super) fn encode(&self, out: &mut Output<'_>) -> fmt::Result {
        let Self { start_seconds, cpu_seconds, resident_bytes, virtual_bytes, open_fds, max_fds } = *self;
        let help = "User and system CPU time of the daemon in seconds.";
        Counter::with_unit(out, "process_cpu", Unit::Seconds, help)?.line(&NoLabels, cpu_seconds)?;
        let bytes = Some(Unit::Bytes);
        Gauge::single(
            out,
            "process_resident_memory",
            bytes,
            "Resident memory of the daemon in bytes.",
            resident_bytes,
        )?;
        Gauge::single(
            out,
            "process_virtual_memory",
            bytes,
            "Address space of the daemon in bytes.",
            virtual_bytes,
        )?;
        if let Some(start) = start_seconds {
            let help = "Start of the daemon in seconds since 1970.";
            Gauge::single(out, "process_start_time", Some(Unit::Seconds), help, start)?;
        }
        if let Some(open) = open_fds {
            Gauge::single(out, "process_open_fds", None, "File descriptors the daemon has open.", open)?;
        }
        if let Some(most) = max_fds {
            Gauge::single(out, "process_max_fds", None, "File descriptors the daemon may have open.", most)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{ProcessRow, ProcessStart, Stat};

    #[test]
    fn a_hostile_task_name_does_not_shift_the_fields() {
        let numbers: Vec<String> = (4..=52).map(|number: u64| number.to_string()).collect();
        let text = format!("7 (a) S 9 (b)) R {}\n", numbers.join(" "));
        let stat = Stat { cpu_ticks: 14 + 15, start_ticks: 22, virtual_bytes: 23, resident_pages: 24 };
        assert_eq!(Stat::parse(&text), Some(stat));
    }

    #[test]
    fn this_process_has_memory_and_open_files() {
        let row = ProcessRow::read(ProcessStart::read()).unwrap();
        assert!(row.resident_bytes > 0 && row.virtual_bytes >= row.resident_bytes);
        assert!(row.open_fds > Some(0));
        assert!(row.start_seconds > Some(1_500_000_000.0));
    }
}
