//! Waiting for a condition. Only [`quiet_for`] waits for a time, since quiet is what the trials that use it are about.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::machine;

/// How long anything may take before it counts as never happening: generous, for busy machines, and more so for emulated ones,
/// which were measured to be ten to twenty times slower.
pub(crate) fn deadline() -> Duration {
    Duration::from_secs(if machine::is_virtual() { 120 } else { 30 })
}

/// What a probe found: the value waited for, or why it is not there yet.
pub(crate) type Probe<T> = std::result::Result<T, String>;

/// Asks `probe` until it has its value; after [`deadline`] fails with the last reason why it had not.
pub(crate) fn until<T>(what: &str, probe: impl FnMut() -> Result<Probe<T>>) -> Result<T> {
    at_most(deadline(), what, probe)
}

/// The same for what somebody else gives so much time and no more.
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that polls: between two looks there is nothing to wait on"
)]
pub(crate) fn at_most<T>(
    time: Duration,
    what: &str,
    mut probe: impl FnMut() -> Result<Probe<T>>,
) -> Result<T> {
    let begin = Instant::now();
    loop {
        match probe()? {
            Ok(value) => return Ok(value),
            Err(reason) if begin.elapsed() > time => bail!("waited in vain for {what}: {reason}"),
            Err(_) => std::thread::sleep(pause()),
        }
    }
}

/// Between two looks. Most of them ask a daemon, which on an emulated processor would do nothing else but answer: looking every
/// 5 ms there took a quarter of all time.
fn pause() -> Duration {
    Duration::from_millis(if machine::is_virtual() { 60 } else { 5 })
}

/// [`until`] for a plain yes or no.
pub(crate) fn until_true(what: &str, mut probe: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, || Ok(if probe()? { Ok(()) } else { Err("not so".to_owned()) }))
}

/// Lets a connection be quiet for so long, or longer.
#[expect(
    clippy::disallowed_methods,
    reason = "the time is the condition: idle connections are made by waiting"
)]
pub(crate) fn quiet_for(time: Duration) {
    std::thread::sleep(time);
}
