//! Where the trials run: on a machine as it is, or in a virtual one that holds nothing else (`guest.rs`).

use std::io::{Write as _, stdout};
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// This binary in a virtual machine: its first process, and all others.
pub(crate) const INIT: &str = "/init";
/// The daemon in a virtual machine: another name of the same file.
const DAEMON: &str = "/reset-monitor";

/// Whether this is a virtual machine made for the trials.
pub(crate) fn is_virtual() -> bool {
    static IS_VIRTUAL: LazyLock<bool> =
        LazyLock::new(|| std::env::current_exe().is_ok_and(|path| path == Path::new(INIT)));
    *IS_VIRTUAL
}

/// The daemon's binary.
pub(crate) fn daemon() -> &'static str {
    if is_virtual() { DAEMON } else { env!("CARGO_BIN_EXE_reset-monitor") }
}

/// Whether the kernel counts the memory of maps as locked, as it does before 5.11.
pub(crate) fn counts_locked_memory() -> bool {
    rustix::system::uname().release().to_bytes().starts_with(b"5.10.")
}

/// Says which trial begins, so that one that never ends can be named. Outside virtual machines somebody is there to look.
pub(crate) fn announce(trial: &str) {
    if is_virtual() {
        // Without a stdout there is nobody to tell.
        drop(writeln!(stdout(), "begun: {trial}"));
    }
}

/// Whether this process is to be the daemon, by the name it was called by.
pub(crate) fn is_daemon() -> bool {
    let name = std::env::args_os().next().map(PathBuf::from);
    is_virtual() && name.as_deref().and_then(Path::file_name) == Path::new(DAEMON).file_name()
}

/// Where trials make directories.
pub(crate) fn scratch() -> &'static Path {
    Path::new(if is_virtual() { "/tmp" } else { env!("CARGO_TARGET_TMPDIR") })
}
