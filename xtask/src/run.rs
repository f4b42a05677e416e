//! `run`: builds everything and becomes the daemon.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::build::{Profile, daemon};
use crate::process::{show, step};
use crate::workspace;

/// The daemon's own exit code for missing privileges.
const NOT_PERMITTED: u8 = 3;

/// The command. Returns only if the daemon could not be started.
pub(crate) fn run(profile: Profile, args: &[String]) -> Result<ExitCode> {
    let mut command = Command::new(daemon(profile)?);
    command.arg("run").args(args);
    if !workspace::is_root()? {
        // Built as this user and started by another: a build as root would leave root's files in the checkout.
        step(&format!(
            "the daemon needs root to load its kernel programs; start it with: sudo {}",
            show(&command)
        ));
        return Ok(ExitCode::from(NOT_PERMITTED));
    }
    step(&format!("starting {}", show(&command)));
    // In our place, so that signals and the exit code are the daemon's.
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start: {}", show(&command)))
}
