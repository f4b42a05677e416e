//! The first process of a virtual machine: makes it a place for trials, runs them, and turns it off.
//!
//! `cargo xtask kernel-test` makes the machine and reads the second serial line, where the trials speak undisturbed by the
//! kernel's messages on the first.

use std::fs::{self, File, OpenOptions};
use std::io::{Write as _, stderr};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};
use monitor::view::check::CheckView;
use rustix::io::Errno;
use rustix::mount::{MountFlags, mount};
use rustix::process::{Pid, Resource, Rlimit, WaitOptions, setrlimit, waitpid};
use rustix::system::{RebootCommand, reboot};

use crate::cgroups::SmallCgroup;
use crate::{machine, modules, netns};

/// The trials' arguments, one on each line.
const ARGUMENTS: &str = "/arguments";
/// Where the trials speak.
const VERDICTS: &str = "/dev/ttyS1";
/// The last line of a run that came to its end, before the exit code of the trials.
const OVER: &str = "trials over:";
/// What begins the line of what the daemon's `check` says of this kernel, before any trial loads a module.
const CHECK: &str = "check:";
/// Kinds of file systems and where they belong. Not every kernel has every one.
const MOUNTS: [(&str, &str); 8] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tracefs", "/sys/kernel/tracing"),
    ("debugfs", "/sys/kernel/debug"),
    ("cgroup2", "/sys/fs/cgroup"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
];
/// Modules that sockets and pairs of namespaces need. The rest is for trials to load.
const MODULES: [&str; 2] = ["tcp_diag", "veth"];
/// Where programs lie.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// As many open files as a service manager usually allows.
const OPEN_FILES: u64 = 65_536;

/// Whether this process is the first one, as the kernel calls it. Nothing is mounted then, so [`machine`] cannot be asked.
pub(crate) fn is_init() -> bool {
    std::process::id() == 1 && std::env::args_os().next().is_some_and(|name| name == machine::INIT)
}

/// Runs the trials in a process of their own. Comes back only when the machine cannot be turned off.
pub(crate) fn run() -> ExitCode {
    if let Err(error) = prepare().and_then(|()| trials()) {
        // The kernel's console.
        drop(writeln!(stderr(), "the machine for the trials: {error:#}"));
    }
    match reboot(RebootCommand::PowerOff) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn prepare() -> Result<()> {
    for (kind, place) in MOUNTS {
        fs::create_dir_all(place).with_context(|| format!("cannot make {place}"))?;
        match mount(kind, place, kind, MountFlags::empty(), None) {
            // What the trials cannot do without they will miss by themselves.
            Ok(()) | Err(Errno::NODEV | Errno::BUSY) => {}
            Err(error) => return Err(error).with_context(|| format!("cannot mount {kind}")),
        }
    }
    let files = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    setrlimit(Resource::Nofile, files).context("cannot raise the limit of open files")?;
    for name in MODULES {
        modules::load(name)?;
    }
    keep_a_cgroup();
    netns::ip("link set lo up\n")
}

/// A cgroup with a memory limit that stays. With the first one the kernel changes its own code, and with the last one back, and an
/// emulated processor was seen to stumble over that while it ran (`Oops: int3` in `kmem_cache_alloc_noprof` of 6.12).
fn keep_a_cgroup() {
    // Where there is none, trials that need one are told so.
    if let Ok(cgroup) = SmallCgroup::create() {
        std::mem::forget(cgroup);
    }
}

fn trials() -> Result<()> {
    let arguments = fs::read_to_string(ARGUMENTS).with_context(|| format!("no {ARGUMENTS}"))?;
    let mut verdicts = open(VERDICTS)?;
    match check() {
        Ok(said) => writeln!(verdicts, "{CHECK} {said}")?,
        // Whoever reads the lines misses it then.
        Err(error) => writeln!(verdicts, "the daemon's check: {error:#}")?,
    }
    let child = Command::new(machine::INIT)
        .args(arguments.lines())
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(verdicts.try_clone()?)
        .stderr(verdicts.try_clone()?)
        .spawn()?;
    let child = Pid::from_raw(child.id().try_into()?);
    let status = loop {
        // Orphans end here, too.
        if let Some((pid, status)) = waitpid(None, WaitOptions::empty())?
            && Some(pid) == child
        {
            break status;
        }
    };
    let status = status.exit_status().map_or_else(|| "killed".to_owned(), |code| code.to_string());
    writeln!(verdicts, "{OVER} {status}")?;
    rustix::termios::tcdrain(&verdicts).context("the last words did not get through")
}

/// What `check` says, on one line.
fn check() -> Result<String> {
    let output =
        Command::new(machine::daemon()).args(["check", "-o", "json"]).stdin(Stdio::null()).output()?;
    ensure!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice::<CheckView>(&output.stdout).and_then(|view| serde_json::to_string(&view))?)
}

fn open(line: &str) -> Result<File> {
    OpenOptions::new().write(true).open(line).with_context(|| format!("cannot open {line}"))
}
