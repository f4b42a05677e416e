//! `pictures`: takes the README's pictures anew, of the daemon, the page and the commands as they are. Needs root.
//!
//! The work is `monitor/examples/pictures`. Here everything for it is built, and it is started with a network and a host name of its own, so
//! that nothing of this machine is in the pictures but the kernel's release.

use std::process::Command;

use anyhow::{Result, ensure};

use crate::build::{Profile, daemon};
use crate::process::{run as run_process, step};
use crate::setup;
use crate::workspace;

/// Where the README looks for them.
const DIRECTORY: &str = "docs/pictures";
/// Sets the host's name in the namespace that it is started in, and becomes the program that is named.
const NAMED: &str = "echo node-1 > /proc/sys/kernel/hostname && exec \"$@\"";

/// The command.
pub(crate) fn run(profile: Profile, seconds: u64) -> Result<()> {
    ensure!(workspace::is_root()?, "pictures are of real resets, for which root is needed");
    let browser = setup::browser()?;
    let daemon = daemon(profile)?;
    step("building what takes the pictures");
    run_process(workspace::cargo("build").args(["--package", "monitor", "--example", "pictures"]))?;
    let program = workspace::target().join("debug/examples/pictures");
    step("taking the pictures");
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--uts", "sh", "-c", NAMED, "sh"]).arg(program).arg(daemon).arg(browser);
    run_process(unshare.arg(workspace::root().join(DIRECTORY)).arg(seconds.to_string()))
}
