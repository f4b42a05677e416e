//! Which network namespaces there are, each by a process in it: their files in `/proc/PID/net` are read through it.
//!
//! Descriptors of these files are never kept: an open one keeps its namespace alive after its last process.

use std::collections::{HashMap, HashSet};
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rustix::fs::{CWD, Mode, OFlags, openat};

use super::cgroups::Cgroups;
use crate::residents::Residents;

/// How often to look for new namespaces when nothing hints at one.
const RESCAN: Duration = Duration::from_mins(1);
/// How often at most, when there is a namespace that nobody is known of, or a known process is gone.
const RESCAN_SOON: Duration = Duration::from_secs(10);
/// Where namespaces are kept without a process; `ip netns`, Docker, CRI-O and containerd.
const MOUNTED: [&str; 3] = ["/run/netns", "/run/docker/netns", "/var/run/netns"];
/// What a file of counters usually takes: `netstat` is the longest, with about 9 KB.
const FILE_BYTES: usize = 16 * 1024;

/// Processes by the namespaces they are in.
#[derive(Debug)]
pub(super) struct Known {
    processes: HashMap<u32, u32>,
    /// Ours.
    own: Option<u32>,
    /// There when we started, or lost sight of, so their counters are older than what we know of them.
    older: HashSet<u32>,
    /// What those besides ours belong to.
    residents: Residents,
    /// When `/proc` was last searched.
    searched: Duration,
    /// A process was gone since then.
    lost: bool,
    buffer: Vec<u8>,
}

impl Known {
    /// Looks around. `now` is monotonic.
    pub(super) fn start(now: Duration) -> Self {
        let mut known = Self {
            processes: HashMap::new(),
            own: None,
            older: mounted_namespaces(),
            residents: Residents::default(),
            searched: now,
            lost: false,
            buffer: Vec::with_capacity(FILE_BYTES),
        };
        known.search();
        known.older.extend(known.processes.keys());
        known
    }

    /// Looks again if it is time to; `unknown` hints at a namespace without a known process.
    pub(super) fn refresh(&mut self, now: Duration, unknown: bool) {
        let since = now.saturating_sub(self.searched);
        if since >= RESCAN || ((unknown || self.lost) && since >= RESCAN_SOON) {
            self.searched = now;
            self.lost = false;
            self.search();
        }
    }

    /// Every namespace with a known process.
    pub(super) fn all(&self) -> impl Iterator<Item = u32> {
        self.processes.keys().copied()
    }

    /// The same, each with that process.
    pub(super) fn processes(&self) -> impl Iterator<Item = (u32, u32)> {
        self.processes.iter().map(|(netns, process)| (*netns, *process))
    }

    /// Our own.
    pub(super) const fn own(&self) -> Option<u32> {
        self.own
    }

    /// What the others belong to.
    pub(super) const fn residents(&self) -> &Residents {
        &self.residents
    }

    /// Whether a process of it is known.
    pub(super) fn has(&self, netns: u32) -> bool {
        self.processes.contains_key(&netns)
    }

    /// Whether its counters are older than what we know of it.
    pub(super) fn is_older(&self, netns: u32) -> bool {
        self.older.contains(&netns)
    }

    /// Parts of a namespace's files below `/proc/PID/net`, each taken out by `part`, which gets the file's number. `None`
    /// when no process of the namespace is known or its process was in another one before or after: nothing of that can be used.
    pub(super) fn read<T: Default, const N: usize>(
        &mut self,
        netns: u32,
        files: [&str; N],
        mut part: impl FnMut(usize, &str, &mut T),
    ) -> Option<T> {
        let pid = *self.processes.get(&netns)?;
        let mut parts = T::default();
        let mut there = namespace_of(pid) == Some(netns);
        if there {
            for (number, file) in files.into_iter().enumerate() {
                // What cannot be read stays at its default; why not shows below.
                if read_file(&format!("/proc/{pid}/net/{file}"), &mut self.buffer).is_ok()
                    && let Ok(text) = str::from_utf8(&self.buffer)
                {
                    part(number, text, &mut parts);
                }
            }
            there = namespace_of(pid) == Some(netns);
        }
        if !there {
            // The process may have ended or moved: its number is only good while its namespace is.
            self.processes.remove(&netns);
            self.older.insert(netns);
            self.residents.forget(netns);
            self.lost = true;
        }
        there.then_some(parts)
    }

    fn search(&mut self) {
        // Ourselves first: our own namespace is always known, by a process that does not end before us.
        let own = std::process::id();
        self.own = namespace_of(own);
        if let Some(netns) = self.own {
            self.processes.insert(netns, own);
        }
        let Ok(entries) = std::fs::read_dir("/proc") else { return };
        let pids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        let mut cgroups = Cgroups::default();
        for pid in pids {
            let Some(netns) = namespace_of(pid) else { continue };
            self.processes.entry(netns).or_insert(pid);
            // What is in ours is of the host, whichever pod or unit it is.
            if Some(netns) != self.own
                && cgroups.may_grow(netns)
                && read_file(&format!("/proc/{pid}/cgroup"), &mut self.buffer).is_ok()
                && let Ok(text) = str::from_utf8(&self.buffer)
            {
                cgroups.put(netns, text);
            }
        }
        self.residents.replace(cgroups.into_found());
    }
}

/// All of a file, in a buffer that is used again and again: the kernel does not tell sizes here, and growing costs more than reading.
fn read_file(path: &str, buffer: &mut Vec<u8>) -> rustix::io::Result<()> {
    let file = openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    buffer.clear();
    loop {
        buffer.reserve(FILE_BYTES / 4);
        if rustix::io::read(&file, rustix::buffer::spare_capacity(buffer))? == 0 {
            return Ok(());
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> u32 {
        namespace_of(std::process::id()).unwrap()
    }

    #[test]
    fn our_own_namespace_is_known_by_ourselves() {
        let mut known = Known::start(Duration::ZERO);
        assert!(known.has(own()) && known.is_older(own()));
        let lines =
            known.read(own(), ["netstat", "sockstat", "nothing"], |number, text, seen: &mut Vec<_>| {
                seen.push((number, text.lines().count() > 1));
            });
        assert_eq!(lines, Some(vec![(0, true), (1, true)]));
    }

    #[test]
    fn what_a_process_of_another_namespace_says_is_not_used() {
        let mut known = Known::start(Duration::ZERO);
        // No namespace has the number 1, so whoever is known of it has moved.
        known.processes.insert(1, std::process::id());
        assert_eq!(known.read(1, ["netstat"], |_, _, seen: &mut bool| *seen = true), None);
        assert!(!known.has(1) && known.is_older(1) && known.lost);
    }
}
