//! Evaluations by number, and what was counted at them: where a window begins, and how much was added since. Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Where a window begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// Before the first evaluation: counts began at 0, so all of them are in it.
    Start,
    /// At this one.
    Tick(u32),
}

/// When the last evaluations were.
#[derive(Debug)]
pub(super) struct Ticks {
    /// Oldest first; monotonic, never going back.
    times: VecDeque<Duration>,
    /// Number of the next one.
    next: u32,
    /// How many are kept: those of the longest window, and two more.
    most: usize,
    every: Duration,
}

impl Ticks {
    pub(super) fn of(longest: Duration, every: Duration) -> Self {
        Self { times: VecDeque::new(), next: 0, most: ticks_in(longest, every) + 2, every }
    }

    /// How many values a window can hold at most.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// The next evaluation; its number, and its time. A time before the last one counts as that.
    pub(super) fn begin(&mut self, now: Duration) -> (u32, Duration) {
        let now = self.times.back().map_or(now, |last| now.max(*last));
        if self.times.len() == self.most {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.next = self.next.saturating_add(1);
        (self.next - 1, now)
    }

    /// Where a window ends that began so long before the last evaluation: the nearest one. `None` when there is none near enough, since the
    /// daemon stood still: what was counted over a much longer time says nothing about the window.
    pub(super) fn base(&self, window: Duration) -> Option<Base> {
        let now = *self.times.back()?;
        let Some(begin) = (now + self.every / 2).checked_sub(window) else { return Some(Base::Start) };
        let after = self.times.partition_point(|time| *time <= begin);
        let Some(place) = after.checked_sub(1) else {
            return (self.oldest() == 0).then_some(Base::Start);
        };
        let age = now.saturating_sub(self.times[place]);
        let number = u32::try_from(place).unwrap_or(u32::MAX).saturating_add(self.oldest());
        (age <= window + window / 2 + self.every).then_some(Base::Tick(number))
    }

    /// When the last one was.
    pub(super) fn last(&self) -> Option<Duration> {
        self.times.back().copied()
    }

    /// When an evaluation was, of those that are kept.
    pub(super) fn time(&self, tick: u32) -> Option<Duration> {
        self.times.get(tick.checked_sub(self.oldest())? as usize).copied()
    }

    /// Number of the oldest one that is kept.
    pub(super) fn oldest(&self) -> u32 {
        self.next - u32::try_from(self.times.len()).unwrap_or(u32::MAX)
    }
}

/// How many evaluations a window spans.
pub(super) fn ticks_in(window: Duration, every: Duration) -> usize {
    let ticks = window.as_millis().div_ceil(every.as_millis().max(1));
    usize::try_from(ticks).unwrap_or(usize::MAX)
}

/// What was counted at the last evaluations. Only changes are kept, so what stands still takes no room.
#[derive(Debug)]
pub(super) struct Trail<T>(VecDeque<(u32, T)>);

impl<T> Default for Trail<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T: Copy + PartialEq> Trail<T> {
    /// Takes in the value at an evaluation, and lets go of what nobody asks for that asks for none before `oldest`.
    pub(super) fn note(&mut self, tick: u32, value: T, oldest: u32) {
        if self.0.back().is_none_or(|(_, last)| *last != value) {
            self.0.push_back((tick, value));
        }
        while self.0.get(1).is_some_and(|(second, _)| *second <= oldest) {
            self.0.pop_front();
        }
    }

    /// The value at an evaluation; `None` before the first one that was noted.
    pub(super) fn at(&self, tick: u32) -> Option<T> {
        let after = self.0.partition_point(|(noted, _)| *noted <= tick);
        self.0.get(after.checked_sub(1)?).map(|(_, value)| *value)
    }

    /// The first value that is kept, and when it was noted.
    pub(super) fn first(&self) -> Option<(u32, T)> {
        self.0.front().copied()
    }

    /// The last one.
    pub(super) fn last(&self) -> Option<T> {
        self.0.back().map(|(_, value)| *value)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::{Base, Ticks, Trail};
    use std::time::Duration;

    const EVERY: Duration = Duration::from_secs(15);
    const WINDOW: Duration = Duration::from_mins(1);

    fn ticks(seconds: &[f64]) -> Ticks {
        let mut ticks = Ticks::of(Duration::from_mins(2), EVERY);
        for second in seconds {
            ticks.begin(Duration::from_secs_f64(*second));
        }
        ticks
    }

    #[test]
    fn a_window_begins_at_the_nearest_evaluation_however_late_timers_are() {
        assert_eq!(ticks(&[1_000.0]).base(WINDOW), Some(Base::Start));
        assert_eq!(ticks(&[1_000.0, 1_015.0, 1_030.0]).base(WINDOW), Some(Base::Start));
        for jitter in [-0.4, 0.0, 0.4] {
            let times = [0.0, 15.0, 30.0, 45.0, 60.0 + jitter].map(|time| time + 1_000.0);
            assert_eq!(ticks(&times).base(WINDOW), Some(Base::Tick(0)), "{jitter}");
        }
        let many: Vec<f64> = (0..100).map(|number| f64::from(number) * 15.0).collect();
        assert_eq!(ticks(&many).base(WINDOW), Some(Base::Tick(95)));
    }

    #[test]
    fn where_the_daemon_stood_still_there_is_no_window() {
        let times = [0.0, 15.0, 30.0, 45.0, 60.0, 75.0, 90.0, 3_600.0];
        assert_eq!(ticks(&times).base(WINDOW), None);
        // Later evaluations are within it again.
        let mut later = times.to_vec();
        later.extend([3_615.0, 3_630.0, 3_645.0, 3_660.0]);
        assert_eq!(ticks(&later).base(WINDOW), Some(Base::Tick(7)));
    }

    #[test]
    fn a_time_that_goes_back_stands_still() {
        let mut ticks = ticks(&[1_000.0]);
        assert_eq!(ticks.begin(Duration::from_secs(10)), (1, Duration::from_secs(1_000)));
        assert_eq!(ticks.base(WINDOW), Some(Base::Start));
    }

    #[test]
    fn a_trail_has_the_value_of_every_evaluation_and_keeps_only_changes() {
        let mut trail = Trail::default();
        for (tick, value) in [(5, 1), (6, 1), (7, 4), (8, 4), (9, 6)] {
            trail.note(tick, value, 0);
        }
        assert_eq!(
            [4, 5, 6, 7, 8, 9, 10].map(|tick| trail.at(tick)),
            [None, Some(1), Some(1), Some(4), Some(4), Some(6), Some(6)]
        );
        assert_eq!(trail.len(), 3);
        trail.note(10, 6, 8);
        assert_eq!((trail.len(), trail.at(8), trail.first()), (2, Some(4), Some((7, 4))));
    }
}
