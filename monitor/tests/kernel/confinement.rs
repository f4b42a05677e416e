//! The filter of system calls: in every thread of a daemon, and what the kernel answers to root with all capabilities behind it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use monitor::kernel::confinement::confine;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use rustix::process::{
    PidfdFlags, PidfdGetfdFlags, Signal, getppid, pidfd_getfd, pidfd_open, test_kill_process,
};
use rustix::system::finit_module;
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::WithOwn;
use crate::capabilities::field;
use crate::daemon::Daemon;

pub(crate) const TRIALS: &[WithOwn] = &[
    ("every thread of the daemon is confined, unless it is told not to be", every_thread),
    ("behind the daemon's filter root can do nothing that the daemon does not need", as_root),
];

/// First argument: try what is refused, without the filter and with it.
pub(crate) const CONFINED: &str = "confined";
/// Neither a program nor a directory.
const NOWHERE: &str = "/nowhere/at/all";

fn every_thread() -> Result<()> {
    let ours = filters(Path::new("/proc/self/status"))?;
    for (options, is_confined) in [(&[][..], true), (&["--confine=false"][..], false)] {
        let daemon = Daemon::start(options)?;
        let mut threads = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", daemon.process().pid()))? {
            let theirs = filters(&thread?.path().join("status"))?;
            ensure!((theirs > ours) == is_confined, "{theirs} filters with {options:?}, and we have {ours}");
            threads += 1;
        }
        ensure!(threads > 1, "{threads} threads: the walker has one of its own");
        let log = daemon.process().stderr();
        let told = log.iter().filter(|line| line.contains(" INFO ") && line.contains("(seccomp)")).count();
        ensure!(told == usize::from(is_confined), "{told} lines about it:\n{}", log.join("\n"));
        daemon.stop(Signal::TERM)?;
    }
    Ok(())
}

/// How many are installed.
fn filters(status: &Path) -> Result<u32> {
    Ok(field(&fs::read_to_string(status)?, "Seccomp_filters")?.parse()?)
}

fn as_root() -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.arg(CONFINED).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// In a process of its own, which stays confined.
pub(crate) fn attempt() -> Result<()> {
    // Not everyone who is root may do each of them, and elsewhere what is missing is in the way.
    let before = attempts()?;
    let allowed = before.iter().filter(|(_, error)| *error != Some(Errno::PERM)).count();
    ensure!(allowed > before.len() / 2, "without the filter: {before:?}");
    confine(&[]).context("no filter")?;
    for (what, error) in attempts()? {
        ensure!(error == Some(Errno::PERM), "{what}: {error:?}, and without the filter {before:?}");
    }
    Ok(())
}

type Attempt = (&'static str, Option<Errno>);

/// None of which would change anything for others.
fn attempts() -> Result<Vec<Attempt>> {
    let parent = getppid().context("no parent")?;
    let there = pidfd_open(parent, PidfdFlags::empty())?;
    let (own, module) = (File::open("/proc/self/ns/uts")?, File::open("/proc/self/status")?);
    let uts = Some(LinkNameSpaceType::HostNameAndNISDomainName);
    let packets =
        || socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, None).map(drop);
    Ok(vec![
        ("start a program", of(Command::new(NOWHERE).spawn())),
        ("become a program", Errno::from_io_error(&Command::new(NOWHERE).exec())),
        ("mount", mount("none", NOWHERE, "tmpfs", MountFlags::empty(), None).err()),
        ("change the root", rustix::process::chroot(NOWHERE).err()),
        ("make a namespace", leave().err()),
        ("enter a namespace", move_into_link_name_space(own.as_fd(), uts).err()),
        ("take another's file", pidfd_getfd(&there, 0, PidfdGetfdFlags::empty()).err()),
        ("signal another", test_kill_process(parent).err()),
        ("load a module", finit_module(&module, c"", 0).err()),
        ("see packets", packets().err()),
        ("write another's memory", of(writable(&format!("/proc/{}/mem", parent.as_raw_nonzero())))),
        ("write a setting", of(writable("/proc/sys/kernel/core_pattern"))),
        ("make a file", of(File::create_new("/proc/self/new"))),
    ])
}

fn writable(path: &str) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

fn of<T>(result: io::Result<T>) -> Option<Errno> {
    Errno::from_io_error(&result.err()?)
}

#[expect(
    deprecated,
    reason = "its unsafe successor differs only for the file table, which is not touched here"
)]
fn leave() -> rustix::io::Result<()> {
    rustix::thread::unshare(UnshareFlags::NEWUTS)
}
