//! `build`: the kernel programs, then the daemon with them inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::bpf::{DEBUG_LOG, Programs};
use crate::process::{run as run_process, step};
use crate::setup;
use crate::workspace::{self, OBJECT_VARIABLE};

/// The command.
pub(crate) fn run(profile: Profile) -> Result<()> {
    let daemon = daemon(profile)?;
    step(&format!("built {}", daemon.display()));
    Ok(())
}

/// How the daemon is compiled; the kernel programs are always optimised.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// Fast to compile.
    Debug,
    /// Fast to run.
    Release,
    /// The debug profile, and debug lines in the kernel programs.
    DebugLog,
}

impl Profile {
    /// From the flags.
    pub(crate) const fn of(debug: bool, debug_log: bool) -> Self {
        match (debug, debug_log) {
            (_, true) => Self::DebugLog,
            (true, false) => Self::Debug,
            (false, false) => Self::Release,
        }
    }
}

/// Builds everything and returns the daemon's path.
pub(crate) fn daemon(profile: Profile) -> Result<PathBuf> {
    let object = kernel_programs(match profile {
        Profile::Debug | Profile::Release => Programs::Release,
        Profile::DebugLog => Programs::DebugLog,
    })?;
    step("building the daemon");
    let mut cargo = workspace::cargo("build");
    cargo.args(["--package", "monitor"]).env(OBJECT_VARIABLE, object);
    let directory = match profile {
        Profile::Debug => "debug",
        Profile::DebugLog => {
            cargo.args(["--features", DEBUG_LOG]);
            "debug"
        }
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    run_process(&mut cargo)?;
    Ok(workspace::target().join(directory).join("reset-monitor"))
}

/// Builds the kernel programs and returns the object file's path.
pub(crate) fn kernel_programs(programs: Programs) -> Result<PathBuf> {
    let toolchain = setup::toolchain()?;
    step(&format!("building the kernel programs with {}", toolchain.rustc.origin));
    toolchain.build(programs)
}
