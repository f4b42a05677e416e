//! How often something may be done that costs CPU time: at once after quiet, and in the long run no more than a share of it.

use std::time::Duration;

/// Searches for sockets and walks over cgroups: 0.05 % of a CPU each while questions never end. The daemon may take 1 % at 1,000 resets a
/// second, and took 0.79 % before it knew owners.
pub(super) type SearchPace = Pace<2_000>;
/// All else, which grows with the questions: 0.25 % at most.
pub(super) type AnswerPace = Pace<400>;
/// The shortest rest: waking another thread ten times a second costs nothing that can be measured.
const LEAST: Duration = Duration::from_millis(100);
/// What may be owed: 5 ms of searches at a time, 25 ms of the rest. Single resets, seconds apart, are looked for at once on most hosts.
const CREDIT: Duration = Duration::from_secs(10);
/// What one piece of work can cost at most, however long a clock says that it took: answers come again.
const MOST: Duration = Duration::from_mins(5);

/// When it may be done again, by the monotonic clock. Work is paid for by `REST` times as long without.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace<const REST: u32> {
    /// When everything done so far is paid for.
    paid: Duration,
    /// When it was rested for long enough.
    rested: Duration,
}

impl<const REST: u32> Pace<REST> {
    /// When it may be done again.
    pub(super) fn next(self) -> Duration {
        self.rested.max(self.paid.saturating_sub(CREDIT))
    }

    /// Whether it may be done now.
    pub(super) fn is_due(self, now: Duration) -> bool {
        now >= self.next()
    }

    /// It was done until now, and took so much CPU time.
    pub(super) fn pay(&mut self, now: Duration, spent: Duration) {
        self.paid = self.paid.max(now) + (spent * REST).min(MOST);
        self.rested = now + LEAST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_hours(1);

    #[test]
    fn after_quiet_it_is_done_at_once_and_then_as_often_as_its_share_allows() {
        let mut pace = AnswerPace::default();
        let (spent, until) = (Duration::from_millis(5), Duration::from_hours(1));
        let (mut now, mut done) = (START, 0);
        while now < START + until {
            assert!(pace.is_due(now));
            pace.pay(now, spent);
            done += 1;
            assert!(!pace.is_due(now) && pace.next() >= now + LEAST);
            now = pace.next();
        }
        let most = (until + CREDIT).as_millis() / (spent * 400).as_millis();
        assert!((most - 1..=most + 1).contains(&done), "{done} times, and not {most}");
    }

    #[test]
    fn quiet_is_not_saved_beyond_the_credit_and_nothing_is_owed_for_ever() {
        let mut pace = AnswerPace::default();
        pace.pay(START, START);
        assert_eq!(pace.next() + CREDIT, START + MOST);
        let later = START + Duration::from_hours(24);
        for _ in 0..5 {
            pace.pay(later, Duration::from_millis(5));
        }
        assert_eq!(pace.next(), later + LEAST);
        pace.pay(later, Duration::from_millis(5));
        assert_eq!(pace.next(), later + Duration::from_secs(2));
    }
}
