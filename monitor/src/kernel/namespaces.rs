//! Ours against the kernel's: resets sent per network namespace, compared with its `Tcp: OutRsts`.
//!
//! `OutRsts` (`/proc/PID/net/snmp`) counts every reset the TCP stack sends, passive and active, per namespace. Reading it
//! for another namespace needs any process in it, so those are looked up in `/proc`, rarely.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use super::truth::{NamespaceReading, Truth};
use crate::snapshot::NamespaceRow;

/// How often to look for new namespaces when nothing hints at one.
const RESCAN: Duration = Duration::from_mins(1);
/// How often at most, when a namespace that nobody is known of has sent resets.
const RESCAN_SOON: Duration = Duration::from_secs(10);
/// Where namespaces are kept without a process; `ip netns`, Docker, CRI-O and containerd.
const MOUNTED: [&str; 3] = ["/run/netns", "/run/docker/netns", "/var/run/netns"];
/// A namespace under load is read again this often to catch a quiet moment.
const TRIES: usize = 5;

/// What is known of the host's namespaces.
#[derive(Debug)]
pub struct Namespaces {
    /// A process in each.
    processes: HashMap<u32, u32>,
    /// `OutRsts` minus ours when we began to compare, and `OutRsts` then or later.
    baselines: HashMap<u32, Baseline>,
    /// There when we started, so their counters are older than we are.
    older: HashSet<u32>,
    /// When `/proc` was last searched.
    searched: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Baseline {
    offset: i64,
    last: u64,
}

impl Namespaces {
    /// Looks around, right after the programs were attached. `now` is monotonic.
    pub fn start(truth: &Truth, now: Duration) -> Self {
        let mut namespaces = Self {
            processes: HashMap::new(),
            baselines: HashMap::new(),
            older: mounted_namespaces(),
            searched: now,
        };
        namespaces.search();
        namespaces.older.extend(namespaces.processes.keys());
        // Sets the baselines.
        drop(namespaces.compare(truth, now));
        namespaces
    }

    /// Reads ours, theirs, and ours again: what changed in between is not a difference.
    pub fn compare(&mut self, truth: &Truth, now: Duration) -> Vec<NamespaceRow> {
        let mut before = by_namespace(truth);
        let unknown = before.keys().any(|netns| !self.processes.contains_key(netns));
        let since = now.saturating_sub(self.searched);
        if since >= RESCAN || (unknown && since >= RESCAN_SOON) {
            self.searched = now;
            self.search();
        }
        for &netns in self.processes.keys() {
            before.entry(netns).or_insert(NamespaceReading { netns, ..NamespaceReading::default() });
        }
        let mut rows: Vec<_> = before.into_values().filter_map(|first| self.row(truth, first)).collect();
        rows.sort_unstable_by_key(|row| row.netns);
        rows
    }

    /// `None` for a namespace in which nothing ever happened.
    fn row(&mut self, truth: &Truth, mut reading: NamespaceReading) -> Option<NamespaceRow> {
        let netns = reading.netns;
        let mut compared = None;
        for _ in 0..TRIES {
            let Some(theirs) = self.out_resets(netns) else { break };
            let first = sum(&reading);
            reading = truth.namespaces().find(|again| again.netns == netns).unwrap_or(reading);
            let last = sum(&reading);
            let since = self.since_baseline(netns, theirs, last);
            // Between our two readings theirs may have grown anywhere in between.
            let difference = last - since.clamp(first, last) - (since - since.clamp(first, last));
            compared = Some((u64::try_from(since).unwrap_or(0), difference));
            if difference == 0 {
                break;
            }
        }
        let row = NamespaceRow {
            netns,
            resets_sent: reading.resets_sent,
            refused_sent: reading.refused_sent,
            stray_sent: reading.stray_sent,
            kernel_out_resets: compared.map(|(theirs, _)| theirs),
            unattributed: compared.map(|(_, difference)| difference),
        };
        let silent = sum(&reading) == 0 && row.kernel_out_resets.unwrap_or(0) == 0;
        (!silent).then_some(row)
    }

    /// `OutRsts` since the comparison began.
    fn since_baseline(&mut self, netns: u32, theirs: u64, ours: i64) -> i64 {
        let theirs_signed = i64::try_from(theirs).unwrap_or(i64::MAX);
        let older = self.older.contains(&netns);
        // Ours more than theirs at first sight: the number was another namespace's, and some of ours are its.
        let offset = if older || ours > theirs_signed { theirs_signed - ours } else { 0 };
        let baseline = self.baselines.entry(netns).or_insert(Baseline { offset, last: theirs });
        if theirs < baseline.last {
            // The number was given to a new namespace.
            baseline.offset = theirs_signed - ours;
        }
        baseline.last = theirs;
        theirs_signed - baseline.offset
    }

    fn out_resets(&mut self, netns: u32) -> Option<u64> {
        let pid = *self.processes.get(&netns)?;
        // The process may have ended or moved: its number is only good while its namespace is.
        if namespace_of(pid) != Some(netns) {
            self.processes.remove(&netns);
            self.baselines.remove(&netns);
            self.older.insert(netns);
            return None;
        }
        out_resets(&std::fs::read_to_string(format!("/proc/{pid}/net/snmp")).ok()?)
    }

    fn search(&mut self) {
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        for pid in pids {
            if let Some(netns) = namespace_of(pid) {
                self.processes.entry(netns).or_insert(pid);
            }
        }
    }
}

fn by_namespace(truth: &Truth) -> HashMap<u32, NamespaceReading> {
    truth.namespaces().map(|reading| (reading.netns, reading)).collect()
}

fn sum(reading: &NamespaceReading) -> i64 {
    i64::try_from(reading.resets_sent + reading.refused_sent + reading.stray_sent).unwrap_or(i64::MAX)
}

/// Inode number of a process's network namespace. `None` when it is gone or may not be looked at.
fn namespace_of(pid: u32) -> Option<u32> {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/net")).ok()?;
    link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok()
}

fn mounted_namespaces() -> HashSet<u32> {
    let entries = MOUNTED.iter().filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten();
    entries.filter_map(|entry| u32::try_from(std::fs::metadata(entry.path()).ok()?.ino()).ok()).collect()
}

/// `OutRsts` of a `/proc/PID/net/snmp` text: the `Tcp:` line of names, then the one of values.
pub fn out_resets(snmp: &str) -> Option<u64> {
    let mut lines = snmp.lines().filter_map(|line| line.strip_prefix("Tcp:"));
    let (names, values) = (lines.next()?, lines.next()?);
    let (_, value) =
        names.split_whitespace().zip(values.split_whitespace()).find(|(name, _)| *name == "OutRsts")?;
    value.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn out_resets_is_found_by_name_and_not_by_place() {
        let snmp = "Ip: Forwarding\nIp: 1\nTcp: RtoAlgorithm OutRsts InCsumErrors\nTcp: 1 42 7\nUdp: InDatagrams\nUdp: 9\n";
        assert_eq!(out_resets(snmp), Some(42));
    }

    #[test]
    fn a_text_without_the_counter_gives_nothing() {
        for text in ["", "Tcp: OutRsts", "Tcp: A B\nTcp: 1 2", "Tcp: OutRsts\nTcp: many"] {
            assert_eq!(out_resets(text), None, "{text:?}");
        }
    }

    #[test]
    fn our_own_namespace_is_readable() {
        assert!(namespace_of(std::process::id()).is_some());
    }
}
