//! Ids of cgroups to their paths, names and processes: an id is the inode number of a directory in the cgroup file system, version 2.
//!
//! There is no way from an id to its directory without `CAP_DAC_READ_SEARCH`, so all directories are walked when a strange id comes.

use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::{DirEntryExt as _, MetadataExt as _};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::pace::SearchPace;
use crate::clock;
use crate::owners::cgroup::Cgroup;

/// Cgroups remembered, those that have ended included: about 300 bytes each.
const KNOWN: usize = 4_096;
/// Directories looked at in one walk, about 30 us each.
const DIRECTORIES: usize = 16_384;
/// Ids remembered that no directory has.
const ABSENT: usize = 1_024;
/// For how long: a cgroup that has ended does not come back, and one that was made during a walk is found soon.
const FORGET_ABSENT: Duration = Duration::from_secs(30);

/// What is known of cgroups.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// Where the file system is; `None` on hosts without it.
    mount: Option<PathBuf>,
    /// With the path below the mount, as the file system spells it.
    known: HashMap<u64, (PathBuf, Arc<Cgroup>)>,
    /// When it was looked for in vain.
    absent: HashMap<u64, Duration>,
    /// The only process of each that was looked at since [`Self::forget_processes`].
    alone: HashMap<u64, Option<u32>>,
    walks: SearchPace,
}

impl Cgroups {
    /// Walks once.
    pub(super) fn start() -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mount = mount(&mounts).map(PathBuf::from);
        let mut cgroups = Self::at(mount);
        cgroups.walk(&[]);
        cgroups
    }

    fn at(mount: Option<PathBuf>) -> Self {
        let (known, absent, alone) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { mount, known, absent, alone, walks: SearchPace::default() }
    }

    /// The cgroup with this id.
    pub(super) fn get(&self, id: u64) -> Option<Arc<Cgroup>> {
        self.known.get(&id).map(|(_, cgroup)| Arc::clone(cgroup))
    }

    /// Whether it is worth a walk to find it.
    pub(super) fn is_strange(&self, id: u64) -> bool {
        self.mount.is_some() && !self.known.contains_key(&id) && !self.absent.contains_key(&id)
    }

    /// When the next walk may be.
    pub(super) fn next_walk(&self) -> Duration {
        self.walks.next()
    }

    /// Looks at every directory, unless it is too early for that. Remembers those that are wanted, and others as there is room.
    pub(super) fn walk(&mut self, wanted: &[u64]) -> bool {
        let begin = clock::monotonic();
        if !self.walks.is_due(begin) {
            return false;
        }
        let Some(mount) = self.mount.clone() else { return false };
        let spent_before = clock::spent_by_thread();
        self.absent.retain(|_, since| begin.saturating_sub(*since) < FORGET_ABSENT);
        if self.known.len() >= KNOWN || self.absent.len() >= ABSENT {
            self.known.clear();
            self.absent.clear();
        }
        let root = std::fs::metadata(&mount).map(|root| root.ino());
        let mut waiting: VecDeque<(u64, PathBuf)> = root.into_iter().map(|id| (id, PathBuf::new())).collect();
        let mut left = DIRECTORIES;
        // Outer ones first, so that a host with too many lacks the innermost.
        while let Some((id, path)) = waiting.pop_front() {
            let entries = std::fs::read_dir(mount.join(&path)).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
                if let Some(less) = left.checked_sub(1) {
                    left = less;
                    waiting.push_back((entry.ino(), path.join(entry.file_name())));
                }
            }
            if self.known.len() < KNOWN || wanted.contains(&id) {
                let cgroup = || Arc::new(Cgroup::of_path(&format!("/{}", path.to_string_lossy())));
                self.known.entry(id).or_insert_with(|| (path.clone(), cgroup()));
            }
        }
        let strangers = wanted.iter().filter(|id| !self.known.contains_key(id)).take(ABSENT);
        self.absent.extend(strangers.map(|id| (*id, begin)));
        self.walks.pay(clock::monotonic(), clock::spent_by_thread().saturating_sub(spent_before));
        true
    }

    /// The processes in it; none when it has ended.
    pub(super) fn processes(&self, id: u64) -> Vec<u32> {
        let path = self.mount.as_ref().zip(self.known.get(&id));
        let path = path.map(|(mount, (path, _))| mount.join(path).join("cgroup.procs"));
        let text = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// The one process in it; `None` when there are none or more. In the root are those that nobody has sorted, and a process of another
    /// PID namespace than ours has the number 0.
    pub(super) fn only_process(&mut self, id: u64) -> Option<u32> {
        let (path, _) = self.known.get(&id)?;
        if path.as_os_str().is_empty() {
            return None;
        }
        if let Some(alone) = self.alone.get(&id) {
            return *alone;
        }
        let alone = match self.processes(id).as_slice() {
            [pid] if *pid != 0 => Some(*pid),
            [] | [_, ..] => None,
        };
        self.alone.insert(id, alone);
        alone
    }

    /// Reads the processes of every cgroup anew from now on.
    pub(super) fn forget_processes(&mut self) {
        self.alone.clear();
    }
}

/// Where the file system is mounted. On hybrid hosts it has no controllers and is not at `/sys/fs/cgroup`.
fn mount(mounts: &str) -> Option<&str> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree that looks like the file system, removed with it.
    struct Tree(PathBuf);

    impl Tree {
        fn with(name: &str, directories: &[&str]) -> Self {
            let root = std::env::temp_dir().join(format!("reset-monitor-{name}-{}", std::process::id()));
            for path in directories {
                std::fs::create_dir_all(root.join(path)).unwrap();
            }
            Self(root)
        }

        fn cgroups(&self) -> Cgroups {
            Cgroups::at(Some(self.0.clone()))
        }

        fn id(&self, path: &str) -> u64 {
            self.0.join(path).metadata().unwrap().ino()
        }

        fn put(&self, path: &str, processes: &str) {
            std::fs::write(self.0.join(path).join("cgroup.procs"), processes).unwrap();
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            drop(std::fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn an_id_is_found_by_a_walk_and_one_that_is_not_there_is_not_looked_for_again() {
        let tree = Tree::with("walk", &["system.slice/nginx.service"]);
        let mut cgroups = tree.cgroups();
        let (id, absent) = (tree.id("system.slice/nginx.service"), u64::MAX);
        assert!(cgroups.is_strange(id) && cgroups.is_strange(absent));
        assert!(cgroups.walk(&[id, absent]));
        assert_eq!(cgroups.get(id).unwrap().unit.as_deref(), Some("nginx.service"));
        assert_eq!(cgroups.get(tree.id("")).unwrap().path, "/");
        assert!(!cgroups.is_strange(id) && !cgroups.is_strange(absent) && cgroups.get(absent).is_none());
        cgroups.walks.pay(clock::monotonic(), Duration::from_mins(1));
        assert!(cgroups.is_strange(absent - 1) && !cgroups.walk(&[absent - 1]));
        // What has ended is remembered.
        std::fs::remove_dir_all(tree.0.join("system.slice")).unwrap();
        cgroups.walks = SearchPace::default();
        assert!(cgroups.walk(&[absent - 1]) && cgroups.get(id).is_some());
    }

    #[test]
    fn only_a_process_that_is_alone_in_a_cgroup_is_named_by_it() {
        let tree = Tree::with("alone", &["one", "two", "foreign", "empty"]);
        for (path, processes) in [("", "1\n"), ("one", "7\n"), ("two", "7\n8\n"), ("foreign", "0\n")] {
            tree.put(path, processes);
        }
        let mut cgroups = tree.cgroups();
        assert!(cgroups.walk(&[]));
        let mut only = |path| cgroups.only_process(tree.id(path));
        assert_eq!(only("one"), Some(7));
        assert_eq!([only(""), only("two"), only("foreign"), only("empty")], [None; 4]);
        assert_eq!(cgroups.processes(tree.id("two")), [7, 8]);
        tree.put("one", "7\n9\n");
        cgroups.forget_processes();
        assert_eq!(cgroups.only_process(tree.id("one")), None);
        assert_eq!((cgroups.only_process(u64::MAX), cgroups.processes(u64::MAX)), (None, vec![]));
    }

    #[test]
    fn the_file_system_is_found_by_its_kind() {
        let hybrid = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(mount(hybrid), Some("/sys/fs/cgroup/unified"));
        assert_eq!(mount("cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n"), Some("/sys/fs/cgroup"));
        for mounts in ["", "cgroup2", "cgroup2 /x", "cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n"] {
            assert_eq!(mount(mounts), None);
        }
    }
}
