//! Cgroups: one with little memory, for processes to be killed in, and one for a service manager to have its own in.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};

use crate::wait;

/// Several times what a helper process needs to run, and used up at once.
const LIMIT_BYTES: u64 = 32 << 20;
/// Before the number of the process that made it.
const PREFIX: &str = "reset-monitor-kernel-";

/// Removed when dropped; its processes must have ended by then.
#[derive(Debug)]
pub(crate) struct SmallCgroup {
    directory: PathBuf,
    version: Version,
}

/// Which interface a hierarchy has.
#[derive(Clone, Copy, Debug)]
enum Version {
    V1,
    V2,
}

impl SmallCgroup {
    /// A new one without processes, at the top of the hierarchy that limits memory.
    pub(crate) fn create() -> Result<Self> {
        let (top, version) = memory_hierarchy()?;
        sweep(&top)?;
        let directory = top.join(unused_name());
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let group = Self { directory, version };
        let (memory, with_swap, bytes_with_swap) = match version {
            Version::V1 => ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", LIMIT_BYTES),
            Version::V2 => ("memory.max", "memory.swap.max", 0),
        };
        group.write(memory, LIMIT_BYTES)?;
        // A kernel that cannot swap has no such file.
        if group.directory.join(with_swap).exists() {
            group.write(with_swap, bytes_with_swap)?;
        }
        Ok(group)
    }

    /// Moves a process into it. What it uses already stays where it was.
    pub(crate) fn admit(&self, process: u32) -> Result<()> {
        self.write("cgroup.procs", process.into())
    }

    /// How many processes in it the OOM killer has killed.
    pub(crate) fn oom_kills(&self) -> Result<u64> {
        let file = match self.version {
            Version::V1 => "memory.oom_control",
            Version::V2 => "memory.events",
        };
        let counts = fs::read_to_string(self.directory.join(file))?;
        let count = counts.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.with_context(|| format!("no oom_kill in {file}"))?.parse().context("a number was expected")
    }

    fn write(&self, file: &str, number: u64) -> Result<()> {
        let path = self.directory.join(file);
        fs::write(&path, number.to_string()).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for SmallCgroup {
    fn drop(&mut self) {
        // A process that has ended is in its cgroup for a moment more. What is left is for the next sweep.
        drop(wait::until_true("an empty cgroup", || Ok(fs::remove_dir(&self.directory).is_ok())));
    }
}

/// In the unified hierarchy, with whatever is made below it. Removed when dropped; its processes must be about to end by then.
#[derive(Debug)]
pub(crate) struct Delegated(PathBuf);

impl Delegated {
    /// A new one without processes.
    pub(crate) fn create() -> Result<Self> {
        let top =
            mounts()?.find(|(_, kind, _)| kind == "cgroup2").context("no unified hierarchy is mounted")?.0;
        sweep(&top)?;
        let directory = top.join(unused_name());
        fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
        Ok(Self(directory))
    }

    /// Its directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.0
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        drop(wait::until_true("empty cgroups", || Ok(remove(&self.0).is_ok())));
    }
}

/// Removes a cgroup and those below it.
fn remove(directory: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove(&entry.path())?;
        }
    }
    fs::remove_dir(directory)
}

fn unused_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{PREFIX}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Mounted file systems: where, of which kind, with which options.
fn mounts() -> Result<impl Iterator<Item = (PathBuf, String, String)>> {
    let text = fs::read_to_string("/proc/self/mounts")?;
    let fields = |line: &str| {
        let mut fields = line.split(' ').skip(1).map(str::to_owned);
        Some((PathBuf::from(fields.next()?), fields.next()?, fields.next()?))
    };
    Ok(text.lines().filter_map(fields).collect::<Vec<_>>().into_iter())
}

/// Where the hierarchy with the memory controller is mounted.
fn memory_hierarchy() -> Result<(PathBuf, Version)> {
    for (top, kind, options) in mounts()? {
        if kind == "cgroup" && options.split(',').any(|option| option == "memory") {
            return Ok((top, Version::V1));
        }
        let has_memory = |file: &str| {
            fs::read_to_string(top.join(file))
                .is_ok_and(|names| names.split_whitespace().any(|name| name == "memory"))
        };
        if kind == "cgroup2" && has_memory("cgroup.controllers") {
            if !has_memory("cgroup.subtree_control") {
                fs::write(top.join("cgroup.subtree_control"), "+memory")
                    .context("cannot limit memory here")?;
            }
            return Ok((top, Version::V2));
        }
    }
    anyhow::bail!("no mounted hierarchy of cgroups limits memory")
}

/// Removes what runs left behind that were killed.
fn sweep(top: &Path) -> Result<()> {
    for entry in fs::read_dir(top).with_context(|| format!("cannot read {}", top.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            // Another run may be at the same.
            drop(remove(&entry.path()));
        }
    }
    Ok(())
}
