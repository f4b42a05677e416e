//! Where the workspace and its build output lie, and cargo calls that agree about it.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

/// The environment variable that hands the built kernel programs to the daemon's build script.
pub(crate) const OBJECT_VARIABLE: &str = "RESET_MONITOR_BPF_OBJECT";

/// The directory of the root manifest.
pub(crate) fn root() -> PathBuf {
    // Cargo sets the variable again when it runs us, so a moved checkout is found even before a rebuild.
    let manifest =
        env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), Path::to_path_buf)
}

/// The directory of all build output.
pub(crate) fn target() -> PathBuf {
    let chosen = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(chosen)
}

/// The cargo that called us, or the one on PATH.
pub(crate) fn cargo_program() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| "cargo".into(), PathBuf::from)
}

/// A cargo call in the workspace for the user side. It does not see the kernel programs unless told so.
pub(crate) fn cargo(subcommand: &str) -> Command {
    let mut command = Command::new(cargo_program());
    command.arg(subcommand).current_dir(root()).env_remove(OBJECT_VARIABLE);
    if subcommand != "fmt" && subcommand != "deny" {
        // Said explicitly, so that a directory from someone's cargo configuration cannot hide the result from us.
        command.arg("--target-dir").arg(target());
    }
    command
}

/// Whether this process may load kernel programs and make network namespaces.
pub(crate) fn is_root() -> Result<bool> {
    // The owner of a process's directory is its effective user.
    let process = fs::metadata("/proc/self").context("cannot read /proc/self")?;
    Ok(process.uid() == 0)
}
