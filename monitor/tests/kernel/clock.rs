//! The trials' own clock: when a system call was made, and between which bounds a quiet time lies. A slow machine widens
//! the bounds instead of breaking them.

use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_getres, clock_gettime};

/// What the daemon may be off besides a jiffy.
const ROUNDING: Duration = Duration::from_millis(10);

/// `CLOCK_MONOTONIC` now.
pub(crate) fn now() -> Duration {
    read(ClockId::Monotonic)
}

/// `CLOCK_MONOTONIC`, or less when the kernel is late with its ticks. What it stores then are old jiffies: a virtual processor that
/// was not run for a while makes that many jiffies of it. The coarse clock advances with them.
fn as_ticks_know() -> Duration {
    now().min(read(ClockId::MonotonicCoarse) + jiffy())
}

fn read(clock: ClockId) -> Duration {
    let time = clock_gettime(clock);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The time system calls took: what they did, they did in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) before: Duration,
    pub(crate) after: Duration,
}

impl Moment {
    /// Runs `act` and tells when.
    pub(crate) fn of<T>(act: impl FnOnce() -> Result<T>) -> Result<(T, Self)> {
        let before = as_ticks_know();
        let value = act()?;
        Ok((value, Self { before, after: now() }))
    }

    /// From the beginning of this to the end of another.
    pub(crate) const fn until(self, other: Self) -> Self {
        Self { before: self.before, after: other.after }
    }
}

/// Between which a time must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    least: Duration,
    most: Duration,
}

impl Bounds {
    /// The quiet between what happened in two moments.
    pub(crate) fn between(last: Moment, next: Moment) -> Self {
        Self { least: next.before.saturating_sub(last.after), most: next.after.saturating_sub(last.before) }
    }

    /// Any time up to one between these moments.
    pub(crate) fn up_to(last: Moment, next: Moment) -> Self {
        Self { least: Duration::ZERO, ..Self::between(last, next) }
    }

    /// Whether it is certainly below this time.
    pub(crate) fn is_below(self, time: Duration) -> bool {
        self.most + jiffy() < time
    }

    /// In seconds, with the kernel's resolution and a little for rounding on both sides.
    pub(crate) fn seconds(self) -> (f64, f64) {
        let slack = jiffy() + ROUNDING;
        (self.least.saturating_sub(slack).as_secs_f64(), (self.most + slack).as_secs_f64())
    }
}

/// The kernel's coarse clock advances once per jiffy.
fn jiffy() -> Duration {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    Duration::from_nanos(u64::try_from(tick.tv_nsec).unwrap_or(0))
}
