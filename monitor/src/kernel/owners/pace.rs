//! How often something may be done that costs time: so often that it takes no more than a share of it.

use std::time::Duration;

/// Rests are as many times as long as the work. Three things are paced (searches for sockets, walks over cgroups, and the rest),
/// so together they can take 0.75 % of a CPU while questions never end; the daemon may take 1 % at 1,000 resets a second.
const REST: u32 = 400;
/// The shortest rest: ten questions' worth of waking up another thread in a second cost nothing that can be measured.
const LEAST: Duration = Duration::from_millis(100);
/// The longest: whatever a machine did meanwhile, suspended or overloaded, answers come again. The longest walk, half a second, rests for less.
const MOST: Duration = Duration::from_mins(5);

/// When it may be done again, by the monotonic clock.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace(Duration);

impl Pace {
    /// When it may be done again.
    pub(super) const fn next(self) -> Duration {
        self.0
    }

    /// Whether it may be done now.
    pub(super) fn is_due(self, now: Duration) -> bool {
        now >= self.0
    }

    /// It was done from `begin` to `end`.
    pub(super) fn rest_after(&mut self, begin: Duration, end: Duration) {
        self.0 = end + (end.saturating_sub(begin) * REST).clamp(LEAST, MOST);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_it_took_the_longer_is_the_rest() {
        let mut pace = Pace::default();
        assert!(pace.is_due(Duration::ZERO));
        let begin = Duration::from_secs(10);
        for (took, rest) in [(0, 100), (1, 400), (5, 2_000), (100_000, 300_000)] {
            let end = begin + Duration::from_millis(took);
            pace.rest_after(begin, end);
            assert_eq!(pace.next(), end + Duration::from_millis(rest));
            assert!(!pace.is_due(end) && pace.is_due(pace.next()));
        }
    }
}
