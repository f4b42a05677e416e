//! The daemon as a service manager starts it: with a user of its own, the capabilities that it is given, and no others.

use std::env::set_current_dir;
use std::os::fd::AsRawFd as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use caps::{CapSet, Capability, CapsHashSet};
use rustix::fs::{Mode, OFlags, open};
use rustix::process::{Gid, Resource, Rlimit, Uid, setrlimit};
use rustix::thread::{
    set_keep_capabilities, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use crate::helper::bind_life_to;
use crate::machine;

/// First argument: become a service, and run the rest of the arguments.
pub(crate) const AS_SERVICE: &str = "as-service";
/// The service's user and group: among those that systemd gives to users without a name.
pub(crate) const USER: u32 = 64_817;
/// The unit as it is shipped.
const UNIT: &str = include_str!("../../../deploy/systemd/reset-monitor.service");
/// What stands for no capability.
const NONE: &str = "none";

/// The capabilities that the shipped unit gives; a test holds those of the `DaemonSet` against them.
pub(crate) fn granted() -> Result<Vec<&'static str>> {
    let line = UNIT.lines().find_map(|line| line.strip_prefix("AmbientCapabilities="));
    Ok(line.context("the unit gives no capabilities")?.split_whitespace().collect())
}

/// What a service is given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given<'a> {
    /// By name, and no others.
    pub(crate) capabilities: &'a [&'a str],
    /// Whether it may lock as much memory as it wants, as by `LimitMEMLOCK=infinity` of the unit.
    pub(crate) memory: bool,
}

impl<'a> Given<'a> {
    /// These capabilities, and memory where that is counted. Elsewhere not even everyone who is root may give it.
    pub(crate) fn only(capabilities: &'a [&'a str]) -> Self {
        Self { capabilities, memory: machine::counts_locked_memory() }
    }

    /// The daemon, which starts in this directory and dies with the thread that started it.
    pub(crate) fn daemon(&self, directory: &str) -> Result<Command> {
        let Self { capabilities, memory } = self;
        let capabilities = if capabilities.is_empty() { NONE.to_owned() } else { capabilities.join(",") };
        let mut command = Command::new(std::env::current_exe()?);
        command.args([AS_SERVICE, &std::process::id().to_string(), &capabilities, &memory.to_string()]);
        command.args([directory, machine::daemon()]);
        Ok(command)
    }
}

/// In the process that is to be the service.
pub(crate) fn become_service(arguments: &[String]) -> Result<()> {
    let [parent, capabilities, memory, directory, program, arguments @ ..] = arguments else {
        bail!("usage: {AS_SERVICE} PID CAPABILITY,... MEMORY DIRECTORY COMMAND...")
    };
    // Like the directory by now, since the paths of both may lead through others that are closed to this user.
    let binary = open(program.as_str(), OFlags::RDONLY, Mode::empty())?;
    set_current_dir(directory).with_context(|| format!("cannot enter {directory}"))?;
    if memory.parse()? {
        let unlimited = Rlimit { current: None, maximum: None };
        setrlimit(Resource::Memlock, unlimited).context("cannot raise the limit of locked memory")?;
    }
    let given = named(capabilities)?;
    for capability in caps::read(None, CapSet::Bounding)?.difference(&given) {
        caps::drop(None, CapSet::Bounding, *capability)?;
    }
    set_keep_capabilities(true)?;
    let (user, group) = (Uid::from_raw(USER), Gid::from_raw(USER));
    set_thread_groups(&[])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    caps::set(None, CapSet::Inheritable, &given)?;
    caps::set(None, CapSet::Ambient, &given)?;
    set_no_new_privs(true)?;
    // After the change of user, with which the kernel forgets it.
    bind_life_to(parent)?;
    let mut command = Command::new(format!("/proc/self/fd/{}", binary.as_raw_fd()));
    // In virtual machines the trials' own binary is the daemon, when it is called so.
    Err(command.arg0("reset-monitor").args(arguments).exec()).with_context(|| format!("cannot run {program}"))
}

fn named(capabilities: &str) -> Result<CapsHashSet> {
    let names = capabilities.split(',').filter(|name| *name != NONE);
    names.map(|name| name.parse::<Capability>().with_context(|| format!("no capability {name}"))).collect()
}
