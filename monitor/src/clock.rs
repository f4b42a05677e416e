//! The only reader of the clocks. Everyone else is given the time.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};

/// Wall-clock time now. For display only: nothing is measured with it.
#[expect(clippy::disallowed_methods, reason = "this is the one place")]
pub fn now() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// `CLOCK_MONOTONIC` now, the clock of `bpf_ktime_get_ns`.
pub fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// `CLOCK_BOOTTIME` now, the clock of processes' start times. Unlike the monotonic one it goes on while the machine sleeps.
pub fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The CPU time that this thread has spent.
pub fn spent_by_thread() -> Duration {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(u64::try_from(spent.tv_sec).unwrap_or(0), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// How to turn monotonic times of the kernel into wall-clock times. Taken anew at each tick, since the wall clock may
/// be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Wall-clock time at monotonic zero.
    origin: Timestamp,
}

impl WallClock {
    /// From the two clocks as they are now.
    pub fn now() -> Self {
        Self::from_pair(now(), monotonic())
    }

    /// From one moment on both clocks.
    pub fn from_pair(wall: Timestamp, monotonic: Duration) -> Self {
        let since_zero = SignedDuration::try_from(monotonic).unwrap_or(SignedDuration::ZERO);
        Self { origin: wall.checked_sub(since_zero).unwrap_or(Timestamp::UNIX_EPOCH) }
    }

    /// The wall-clock time of a monotonic one, clamped to what a timestamp can hold.
    pub fn at(&self, monotonic_ns: u64) -> Timestamp {
        let since_zero = SignedDuration::from_nanos(i64::try_from(monotonic_ns).unwrap_or(i64::MAX));
        self.origin.checked_add(since_zero).unwrap_or(Timestamp::MAX)
    }
}

/// Jiffies per second of the running kernel. Its coarse clock has a resolution of one jiffy, exactly: `TICK_NSEC`
/// (`kernel/time/posix-timers.c` `posix_get_coarse_res`, 5.10 to 7.2). `sysconf` tells another number, 100.
pub fn hz() -> u32 {
    let tick = rustix::time::clock_getres(ClockId::MonotonicCoarse);
    hz_of(u64::try_from(tick.tv_nsec).unwrap_or(0))
}

fn hz_of(tick_ns: u64) -> u32 {
    const SECOND_NS: u64 = 1_000_000_000;
    // A kernel without a coarse clock is none of ours; 250 is the usual number.
    let hz = (SECOND_NS + tick_ns / 2).checked_div(tick_ns).unwrap_or(250);
    u32::try_from(hz).unwrap_or(250).clamp(1, 10_000)
}

/// How to turn the kernel's times into ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timebase {
    /// For monotonic times.
    pub wall: WallClock,
    /// Jiffies per second, never 0.
    pub hz: u32,
}

impl Timebase {
    /// An age counted in jiffies. One below zero, as another CPU's later stamp gives, is none at all.
    pub fn age(&self, jiffies: u32) -> Duration {
        if jiffies > i32::MAX.cast_unsigned() {
            return Duration::ZERO;
        }
        let hz = self.hz.max(1);
        Duration::new(u64::from(jiffies / hz), 0) + Duration::from_secs(1) * (jiffies % hz) / hz
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_time_becomes_the_wall_time_of_the_same_moment() {
        let wall: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let clock = WallClock::from_pair(wall, Duration::from_secs(100));
        assert_eq!(clock.at(101_000_000_000), "2026-11-20T12:00:01Z".parse().unwrap());
        assert_eq!(clock.at(99_000_000_000), "2026-11-20T11:59:59Z".parse().unwrap());
    }

    #[test]
    fn jiffies_become_time_by_the_tick_of_the_coarse_clock() {
        for (tick_ns, hz) in
            [(10_000_000, 100), (4_000_000, 250), (3_333_333, 300), (1_000_000, 1000), (999_848, 1000)]
        {
            assert_eq!(hz_of(tick_ns), hz);
        }
        assert!([100, 250, 300, 1000].contains(&hz()), "{}", hz());
        let timebase =
            Timebase { wall: WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO), hz: 250 };
        assert_eq!(timebase.age(15_001), Duration::from_millis(60_004));
        assert_eq!(timebase.age(u32::MAX), Duration::ZERO, "one jiffy in the future");
    }

    #[test]
    fn a_time_beyond_all_calendars_does_not_panic() {
        let clock = WallClock::from_pair(Timestamp::MAX, Duration::ZERO);
        assert_eq!(clock.at(u64::MAX), Timestamp::MAX);
    }
}
