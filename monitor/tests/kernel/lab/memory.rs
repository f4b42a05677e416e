//! A server that is killed for want of memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result};

use super::Experiment;
use super::bench::Bench;
use super::program::QUIET;
use crate::helper::Holder;
use crate::ledger::Role;
use crate::needs::Need;
use crate::oracle::{self, state};
use crate::sockets::{poll_for_reset, port_of, receive, send, wait_for_reset};
use crate::wait;

pub(super) const EXPERIMENTS: &[Experiment] = &[(
    "a server beyond its memory limit is killed with open, busy and idle connections",
    Some(Need::MemoryLimit),
    |api| Bench::play(api, killed),
)];

/// Where control groups of the first version limit memory, and those of the second one.
const FIRST: &str = "/sys/fs/cgroup/memory";
const SECOND: &str = "/sys/fs/cgroup";
/// Enough to be a server, and soon used up.
const LIMIT: &str = "33554432";

/// Whether this machine can limit a process's memory.
pub(crate) fn can_be_limited() -> bool {
    let has = |text: std::io::Result<String>| text.is_ok_and(|text| text.contains("memory"));
    Path::new(FIRST).join("memory.limit_in_bytes").exists()
        || has(fs::read_to_string(Path::new(SECOND).join("cgroup.controllers")))
}

/// A control group, removed when it is empty.
#[derive(Debug)]
struct Group(PathBuf);

impl Group {
    fn limited() -> Result<Self> {
        let name = format!("reset-monitor-lab-{}", process::id());
        let (group, limit) = if Path::new(FIRST).join("memory.limit_in_bytes").exists() {
            (Self(Path::new(FIRST).join(name)), "memory.limit_in_bytes")
        } else {
            let enabled = fs::write(Path::new(SECOND).join("cgroup.subtree_control"), "+memory");
            enabled.context("cannot limit memory in control groups")?;
            (Self(Path::new(SECOND).join(name)), "memory.max")
        };
        fs::create_dir_all(&group.0).with_context(|| format!("cannot make {}", group.0.display()))?;
        fs::write(group.0.join(limit), LIMIT)?;
        // Where there is swap it would take its time; not every kernel counts that.
        drop(fs::write(group.0.join("memory.swap.max"), "0"));
        Ok(group)
    }

    fn take(&self, pid: u32) -> Result<()> {
        fs::write(self.0.join("cgroup.procs"), pid.to_string())
            .context("cannot move a process to its control group")
    }

    fn remove(&self) -> Result<()> {
        wait::until("the end of a control group", || {
            Ok(fs::remove_dir(&self.0).map_err(|error| error.to_string()))
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // After a failed trial there is nothing better to do with an error.
        drop(fs::remove_dir(&self.0));
    }
}

fn killed(bench: &mut Bench<'_>) -> Result<()> {
    let place = bench.place;
    let group = Group::limited()?;
    let mut server = Holder::start(&place, 2)?;
    group.take(server.pid())?;
    let (idle, busy) = (place.connect()?, place.connect()?);
    for client in [&idle, &busy] {
        send(client, b"request")?;
        receive(client, 8)?;
    }
    server.wait_until_answered()?;
    wait::quiet_for(QUIET);
    send(&busy, b"another")?;
    oracle::until_unread(place.port, port_of(&busy)?, 7)?;
    server.grow()?;
    poll_for_reset(&busy)?;
    oracle::until_state(port_of(&idle)?, place.port, state::CLOSE_WAIT)?;
    oracle::until_acknowledged(place.port, port_of(&idle)?)?;
    send(&idle, b"late")?;
    wait_for_reset(&idle)?;
    for client in [&idle, &busy] {
        let port = port_of(client)?;
        bench.state([
            bench.truth(port, Role::Server, "reset_sent", "process_exit").owner("exit_signal", 9),
            bench.truth(port, Role::Client, "reset_received", "process_exit"),
        ]);
    }
    drop(server);
    group.remove()
}
