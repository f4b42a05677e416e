//! Trials that are played again, because the kernel did not run our programs and that is known. Twice in a row is no accident.

use std::fs;
use std::io::{ErrorKind, Write as _, stdout};
use std::sync::LazyLock;

use anyhow::Result;

use crate::api::Api;

/// Plays it again where the daemon says that the kernel skipped runs meanwhile: of programs at functions, which have no second one.
pub(crate) fn if_skipped(api: &Api, what: &str, play: impl Fn() -> Result<()>) -> Result<()> {
    let before = skipped(api)?;
    match play() {
        Err(error) if skipped(api)? > before => {
            tell(&format!("the kernel skipped runs of our programs: {what}: {error:#}"));
            play()
        }
        outcome => outcome,
    }
}

/// Runs of programs that nobody took over.
fn skipped(api: &Api) -> Result<u64> {
    Ok(api.status()?.missed_runs.values().flatten().sum())
}

/// Plays it again where the kernel runs no programs in the time of its first process.
///
/// Seen on a locked-down 6.18.44 under Firecracker: of 6,003 moves from `FIN_WAIT2` to CLOSE that the kernel's own tracepoint
/// listed, ten came in softirqs that had interrupted a thread of process 1, and for just these ten no program was run, nor counted
/// as skipped. What happens then nobody can count.
pub(crate) fn if_hidden(trial: &str, play: impl Fn() -> Result<()>) -> Result<()> {
    match play() {
        Err(error) if hides_its_first_process() => {
            tell(&format!("this kernel runs no programs in the time of process 1: {trial}: {error:#}"));
            play()
        }
        outcome => outcome,
    }
}

/// Such a kernel is told by how it protects that process in other ways: even root may not ask which program it runs.
fn hides_its_first_process() -> bool {
    static HIDES: LazyLock<bool> = LazyLock::new(|| {
        fs::read_link("/proc/1/exe").is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    });
    *HIDES
}

fn tell(why: &str) {
    // Without a stdout there is nobody to tell.
    drop(writeln!(stdout(), "again: {why}"));
}
