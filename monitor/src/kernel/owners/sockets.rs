//! Inode numbers of sockets to the processes that have them open, by one search for all of them through `/proc/PID/fd`.
//!
//! What another user's process has open cannot be seen without `CAP_DAC_READ_SEARCH`, which is not kept: such a process is not found.

use std::collections::{HashMap, HashSet};
use std::mem::MaybeUninit;

use rustix::fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw};

use super::cgroups::Cgroups;

/// Files looked at in one search, about 1 us each; on a host with more, sockets are found in the processes that are looked at first.
const FILES: usize = 65_536;
/// Processes looked at in one search, about 10 us each.
const PROCESSES: usize = 8_192;

/// Which process has each of these sockets open, as far as it can be seen; where several have, the first that is found. The
/// processes of these cgroups are looked at first, since sockets mostly stay where they were made.
pub(super) fn search(
    inodes: impl Iterator<Item = u64>,
    cgroups: impl Iterator<Item = u64>,
    known: &Cgroups,
) -> HashMap<u64, u32> {
    let mut search = Search {
        wanted: inodes.collect(),
        found: HashMap::new(),
        seen: HashSet::new(),
        files: FILES,
        processes: PROCESSES,
    };
    for cgroup in cgroups.collect::<HashSet<_>>() {
        known.processes(cgroup).into_iter().for_each(|pid| search.process(pid));
    }
    if !search.is_over() {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .for_each(|pid| search.process(pid));
    }
    search.found
}

struct Search {
    wanted: HashSet<u64>,
    found: HashMap<u64, u32>,
    /// Processes looked at.
    seen: HashSet<u32>,
    /// How much may still be looked at.
    files: usize,
    processes: usize,
}

impl Search {
    fn is_over(&self) -> bool {
        self.wanted.is_empty() || self.files == 0
    }

    fn process(&mut self, pid: u32) {
        if self.is_over() || self.processes == 0 || !self.seen.insert(pid) {
            return;
        }
        self.processes -= 1;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty()) else { return };
        let Ok(entries) = Dir::read_from(&directory) else { return };
        let mut target = [MaybeUninit::uninit(); 32];
        for entry in entries.flatten() {
            if self.is_over() {
                return;
            }
            self.files -= 1;
            let link = readlinkat_raw(&directory, entry.file_name(), &mut target);
            if let Some(inode) = link.ok().and_then(|(target, _)| inode(target))
                && self.wanted.remove(&inode)
            {
                self.found.insert(inode, pid);
            }
        }
    }
}

/// Of `socket:[4711]`.
fn inode(target: &[u8]) -> Option<u64> {
    str::from_utf8(target.strip_prefix(b"socket:[")?.strip_suffix(b"]")?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};
    use std::os::fd::AsFd;

    use super::*;

    fn inode_of(socket: impl AsFd) -> u64 {
        rustix::fs::fstat(socket).unwrap().st_ino
    }

    #[test]
    fn sockets_of_this_process_are_found_and_others_are_not() {
        let (tcp, udp) = (TcpListener::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        let wanted = [inode_of(&tcp), inode_of(&udp), u64::MAX];
        let found = search(wanted.into_iter(), std::iter::empty(), &Cgroups::start());
        let own = std::process::id();
        assert_eq!(found, HashMap::from([(wanted[0], own), (wanted[1], own)]));
    }

    #[test]
    fn a_search_ends_with_what_it_may_look_at() {
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let search = |files, processes| {
            let wanted = HashSet::from([inode_of(&tcp)]);
            let mut search = Search { wanted, found: HashMap::new(), seen: HashSet::new(), files, processes };
            search.process(std::process::id());
            search.found.len()
        };
        assert_eq!([search(0, 1), search(FILES, 0), search(FILES, 1)], [0, 0, 1]);
    }

    #[test]
    fn only_sockets_are_read_as_sockets() {
        assert_eq!(inode(b"socket:[4711]"), Some(4711));
        for target in
            [&b""[..], b"socket:[]", b"socket:[x]", b"pipe:[4711]", b"/socket:[4711]", b"socket:[47"]
        {
            assert_eq!(inode(target), None);
        }
    }
}
