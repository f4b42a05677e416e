//! Who closes: what the kernel knows of a task, read from where it shows it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// A task that closes or dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    pid: u32,
    tid: u32,
    comm: String,
    exiting: bool,
    signal: Option<u8>,
    oom_killed: bool,
}

impl Owner {
    /// The calling thread.
    pub(crate) fn me() -> Result<Self> {
        let tid = rustix::thread::gettid().as_raw_nonzero().get().try_into()?;
        let comm = fs::read_to_string("/proc/thread-self/comm")?.trim_end().to_owned();
        Ok(Self { pid: std::process::id(), tid, comm, exiting: false, signal: None, oom_killed: false })
    }

    /// A process with one thread.
    pub(crate) fn of_process(pid: u32) -> Result<Self> {
        let comm = fs::read_to_string(format!("/proc/{pid}/comm"))?.trim_end().to_owned();
        Ok(Self { pid, tid: pid, comm, exiting: false, signal: None, oom_killed: false })
    }

    /// The same, dying of a signal.
    pub(crate) fn dying_of(self, signal: u8) -> Self {
        Self { exiting: true, signal: Some(signal), ..self }
    }

    /// The same, dying of the OOM killer's.
    pub(crate) fn dying_of_oom(self) -> Self {
        Self { oom_killed: true, ..self.dying_of(9) }
    }

    /// The same, ending by itself.
    pub(crate) fn exiting(self) -> Self {
        Self { exiting: true, ..self }
    }

    /// As the API shows it.
    pub(crate) fn json(&self) -> Value {
        let Self { pid, tid, comm, exiting, signal, oom_killed } = self;
        json!({
            "pid": pid, "tid": tid, "comm": comm, "exiting": exiting, "exit_signal": signal, "oom_killed": oom_killed,
        })
    }
}

/// Id of this process's cgroup; `None` on hosts without cgroup v2.
pub(crate) fn cgroup_id() -> Result<Option<u64>> {
    Ok(cgroup_of("self")?.map(|(id, _)| id))
}

/// Id and path of a process's cgroup; `None` on hosts without cgroup v2.
pub(crate) fn cgroup_of(process: &str) -> Result<Option<(u64, String)>> {
    let groups = fs::read_to_string(format!("/proc/{process}/cgroup"))?;
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"));
    let Some((mount, group)) = cgroup_mount()?.zip(group) else {
        return Ok(None);
    };
    let metadata = mount.join(group).metadata().context("no directory of a cgroup")?;
    Ok(Some((metadata.ino(), format!("/{group}"))))
}

/// Where cgroups of version 2 are; `None` on hosts without.
pub(crate) fn cgroup_mount() -> Result<Option<PathBuf>> {
    let mounts = fs::read_to_string("/proc/self/mounts")?;
    let mount = mounts.lines().find_map(|line| {
        let mut fields = line.split(' ');
        let (_, path, kind) = (fields.next()?, fields.next()?, fields.next()?);
        (kind == "cgroup2").then_some(path)
    });
    Ok(mount.map(PathBuf::from))
}
