//! Observed numbers, and what follows from them: the client gives up first, by a margin. Pure.

use std::time::Duration;

/// What lies between two timeouts of a chain, in seconds: clocks, timers and the way of a segment differ by less.
pub const MARGIN: u64 = 5;
/// From here on the margin fits below a timeout. Shorter ones are cut by a third.
const LONG: u64 = 3 * MARGIN;
/// A timer that was seen to fire this much early, by rounding, is still the one it is configured to be.
pub const ROUNDING: Duration = Duration::from_millis(100);

/// Times that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// The shortest.
    pub min: Duration,
    /// The middle one.
    pub median: Duration,
    /// The longest.
    pub max: Duration,
}

impl Spread {
    /// Of these; `None` of none.
    pub fn of(mut times: Vec<Duration>) -> Option<Self> {
        times.sort_unstable();
        let (min, max) = (*times.first()?, *times.last()?);
        let median = *times.get(times.len() / 2)?;
        Some(Self { count: times.len(), min, median, max })
    }
}

/// Numbers that were seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// How many.
    pub count: usize,
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

impl Range {
    /// Of these; `None` of none.
    pub fn of(numbers: impl IntoIterator<Item = u64>) -> Option<Self> {
        numbers.into_iter().fold(None, |range: Option<Self>, number| {
            let Self { count, min, max } = range.unwrap_or(Self { count: 0, min: number, max: number });
            Some(Self { count: count + 1, min: min.min(number), max: max.max(number) })
        })
    }

    /// As people write it.
    pub fn text(self) -> String {
        range(self.min, self.max)
    }
}

/// The smallest and the largest as people write it.
pub fn range(min: u64, max: u64) -> String {
    if min == max { min.to_string() } else { format!("{min} to {max}") }
}

/// Whole seconds for the side that must give up first, below a timeout that was seen; `None` when nothing sane fits below it.
pub fn below(timeout: Duration) -> Option<u64> {
    let whole = (timeout + ROUNDING).as_secs();
    let value = if whole >= LONG { whole - MARGIN } else { whole * 2 / 3 };
    (value > 0).then_some(value)
}

/// Whole seconds for the side that must wait longer, above a quiet time that was seen.
pub const fn above(quiet: Duration) -> u64 {
    let whole = quiet.as_secs() + if quiet.subsec_nanos() > 0 { 1 } else { 0 };
    whole + MARGIN
}

/// Half of a time in whole seconds: what keeps state alive that is dropped after it. `None` when that is less than a second.
pub fn half(quiet: Duration) -> Option<u64> {
    Some(quiet.as_secs() / 2).filter(|half| *half > 0)
}

/// A time as settings and logs have it: `250 ms`, `60.0 s`.
pub fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        format!("{} ms", time.as_millis())
    } else {
        format!("{:.1} s", time.as_secs_f64())
    }
}

/// A number with its noun: `1 close`, `2 closes`.
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_gives_up_before_any_timeout_and_by_five_seconds_where_they_fit() {
        let below = |seconds| below(Duration::from_secs_f64(seconds));
        for (timeout, value) in [
            (60.012, Some(55)),
            (59.96, Some(55)),
            (350.0, Some(345)),
            (15.0, Some(10)),
            (14.0, Some(9)),
            (6.0, Some(4)),
            (2.0, Some(1)),
            (1.0, None),
            (0.0, None),
        ] {
            assert_eq!(below(timeout), value, "{timeout}");
        }
        for tenths in 0..10_000u32 {
            let timeout = f64::from(tenths) / 10.0;
            assert!(below(timeout).is_none_or(|value| Duration::from_secs(value).as_secs_f64() < timeout));
        }
    }

    #[test]
    fn the_server_waits_longer_than_any_quiet_that_was_seen() {
        for (quiet, value) in [(60.0, 65), (60.001, 66), (0.0, 5)] {
            assert_eq!(above(Duration::from_secs_f64(quiet)), value, "{quiet}");
        }
        assert_eq!((half(Duration::from_secs(350)), half(Duration::from_millis(1_900))), (Some(175), None));
    }

    #[test]
    fn a_spread_holds_the_ends_and_the_middle() {
        let spread = Spread::of([3, 1, 2].map(Duration::from_secs).to_vec()).unwrap();
        assert_eq!((spread.count, spread.min.as_secs(), spread.median.as_secs()), (3, 1, 2));
        assert_eq!(spread.max.as_secs(), 3);
        assert_eq!((Spread::of(Vec::new()), Range::of([])), (None, None));
        assert_eq!(Range::of([5, 2, 9]).unwrap().text(), "2 to 9");
    }
}
