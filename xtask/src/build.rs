//! `build`: the kernel programs, then the daemon with them inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::process::{run as run_process, step};
use crate::setup;
use crate::workspace::{self, OBJECT_VARIABLE};

/// The command.
pub(crate) fn run(debug: bool) -> Result<()> {
    let daemon = daemon(if debug { Profile::Debug } else { Profile::Release })?;
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
}

/// Builds everything and returns the daemon's path.
pub(crate) fn daemon(profile: Profile) -> Result<PathBuf> {
    let object = kernel_programs()?;
    step("building the daemon");
    let mut cargo = workspace::cargo("build");
    cargo.args(["--package", "monitor"]).env(OBJECT_VARIABLE, object);
    let directory = match profile {
        Profile::Debug => "debug",
        Profile::Release => {
            cargo.arg("--release");
            "release"
        }
    };
    run_process(&mut cargo)?;
    Ok(workspace::target().join(directory).join("reset-monitor"))
}

/// Builds the kernel programs and returns the object file's path.
pub(crate) fn kernel_programs() -> Result<PathBuf> {
    let toolchain = setup::toolchain()?;
    step(&format!("building the kernel programs with {}", toolchain.rustc.origin));
    toolchain.build()
}
