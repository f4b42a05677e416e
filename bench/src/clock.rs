//! The only reader of the clocks, and the only one that waits for a time.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use jiff::Timestamp;

use crate::interrupt;

/// How often a wait looks whether it is over or the run was interrupted.
const LOOK: Duration = Duration::from_millis(10);

/// A moment to measure from.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Wall-clock time, to be compared with the daemon's on the same machine, and for the date of a report.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub(crate) fn wall() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Lets this much time go by: what is measured then is what happens meanwhile. Ends early, with an error, on Ctrl-C.
pub(crate) fn pass(time: Duration) -> Result<()> {
    let begin = start();
    while begin.elapsed() < time {
        interrupt::check()?;
        nap(LOOK.min(time.saturating_sub(begin.elapsed())));
    }
    Ok(())
}

/// Looks again and again until `probe` has its value; after `longest` fails.
pub(crate) fn until<T>(
    what: &str,
    longest: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let begin = start();
    loop {
        if let Some(value) = probe()? {
            return Ok(value);
        }
        if begin.elapsed() > longest {
            bail!("waited {longest:?} in vain for {what}");
        }
        interrupt::check()?;
        nap(LOOK);
    }
}

/// Sleeps for a moment of a paced load.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that sleeps; its callers measure time or wait for a process"
)]
pub(crate) fn nap(time: Duration) {
    std::thread::sleep(time);
}
