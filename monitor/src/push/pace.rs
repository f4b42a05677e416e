//! When to try again: later and later, and not all hosts at once. Pure, but for where chance comes from.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

/// Waits after failures.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The first wait and the longest.
    waits: [Duration; 2],
    failures: u32,
    /// Not before.
    next: Option<Duration>,
}

impl Pace {
    pub(crate) const fn new(waits: [Duration; 2]) -> Self {
        Self { waits, failures: 0, next: None }
    }

    /// Waits double from one failure to the next; of each, some part between half and all is waited.
    pub(crate) fn failed(&mut self, now: Duration, random: u32) {
        let [first, longest] = self.waits;
        let wait = first.saturating_mul(1 << self.failures.min(20)).min(longest);
        self.failures = self.failures.saturating_add(1);
        let part = wait.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        self.next = Some(now + part);
    }

    pub(crate) const fn worked(&mut self) {
        self.failures = 0;
        self.next = None;
    }

    pub(crate) fn may_try(&self, now: Duration) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    pub(crate) const fn next(&self) -> Option<Duration> {
        self.next
    }
}

/// Any number: each hasher has other keys.
#[expect(clippy::cast_possible_truncation, reason = "any bits of it will do")]
pub(crate) fn random() -> u32 {
    RandomState::new().hash_one(0) as u32
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use std::time::Duration;

    #[test]
    fn waits_double_up_to_the_longest_and_begin_anew_after_an_answer() {
        let seconds = Duration::from_secs;
        let mut pace = Pace::new([seconds(1), seconds(60)]);
        assert!(pace.may_try(seconds(0)));
        for (random, factor) in [(0, 0.5), (u32::MAX, 1.0)] {
            for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
                pace.failed(seconds(100), random);
                let next = seconds(100) + seconds(wait).mul_f64(factor);
                assert_eq!(pace.next(), Some(next));
                assert!(!pace.may_try(seconds(100)) && pace.may_try(next));
            }
            pace.worked();
            assert_eq!(pace.next(), None);
        }
    }
}
