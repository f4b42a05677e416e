//! Times counted finely, as native histograms of Prometheus and exponential ones of OpenTelemetry have them. Pure.
//!
//! Buckets grow by the same factor each, and only those are kept that something fell into: closes by timers fall into a few.

use std::time::Duration;

/// The factor is 2^(1/8), about 1.09, so a time is known to 5 %: enough to tell a timeout of 55 s from one of 60 s, which 2^(1/4) could not,
/// and few enough buckets. Prometheus calls this number the schema, OpenTelemetry the scale.
pub const SCHEMA: i32 = 3;
/// Buckets for each doubling.
const PER_DOUBLING: f64 = 8.0;
/// Up to 2^-10 s, about a millisecond, a time counts as zero: a jiffy is no shorter.
pub const ZERO_SECONDS: f64 = 1.0 / 1_024.0;
/// The bucket that begins there.
const FIRST: i16 = -79;
/// The bucket that ends with 2^25 s, more than a year. Jiffies tell less: 2^31 of them, at 100 a second, are 249 days.
const LAST: i16 = 200;

/// How many times fell into which bucket. At most 280 buckets of 16 bytes, 4.5 kB; of a peer whose resets come after the same two or three
/// quiets, some ten.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FineCounts {
    /// Up to [`ZERO_SECONDS`].
    zero: u64,
    /// The others, the shorter ones first.
    buckets: Vec<Bucket>,
}

/// What fell between two powers of the factor, the upper one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The upper bound is 2^(index / 8) seconds.
    pub index: i16,
    /// How many, never 0.
    pub count: u64,
}

impl FineCounts {
    /// Takes one in.
    pub fn observe(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        if seconds <= ZERO_SECONDS {
            self.zero += 1;
        } else {
            self.add(Bucket { index: index(seconds), count: 1 });
        }
    }

    /// Takes in all of another one.
    pub fn join(&mut self, other: &Self) {
        let Self { zero, buckets } = other;
        self.zero += zero;
        for bucket in buckets {
            self.add(*bucket);
        }
    }

    /// How many counted as zero.
    pub const fn zero(&self) -> u64 {
        self.zero
    }

    /// All others, by their index.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    fn add(&mut self, Bucket { index, count }: Bucket) {
        match self.buckets.binary_search_by_key(&index, |bucket| bucket.index) {
            Ok(at) => self.buckets[at].count += count,
            Err(at) => self.buckets.insert(at, Bucket { index, count }),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "it is between two numbers of that type")]
fn index(seconds: f64) -> i16 {
    let exact = (seconds.log2() * PER_DOUBLING).ceil();
    exact.clamp(f64::from(FIRST), f64::from(LAST)) as i16
}

#[cfg(test)]
mod tests {
    use super::{Bucket, FIRST, FineCounts, LAST, ZERO_SECONDS};
    use std::time::Duration;

    fn upper(index: i16) -> f64 {
        2_f64.powf(f64::from(index) / 8.0)
    }

    fn of(times: &[Duration]) -> FineCounts {
        let mut counts = FineCounts::default();
        for time in times {
            counts.observe(*time);
        }
        counts
    }

    #[test]
    fn a_bucket_holds_what_is_above_the_one_below_up_to_its_own_bound() {
        for ms in (1..200_000).step_by(7).chain([86_400_000, 86_400_000 * 200]) {
            let time = Duration::from_millis(ms);
            let counts = of(&[time]);
            let seconds = time.as_secs_f64();
            match *counts.buckets() {
                [] => assert!(seconds <= ZERO_SECONDS && counts.zero() == 1, "{ms}"),
                [Bucket { index, count: 1 }] => {
                    assert!(upper(index - 1) < seconds && seconds <= upper(index), "{ms} in {index}");
                }
                ref others => panic!("{ms}: {others:?}"),
            }
        }
        let powers: Vec<i16> =
            [1, 2, 64].iter().map(|s| of(&[Duration::from_secs(*s)]).buckets()[0].index).collect();
        assert_eq!(powers, [0, 8, 48], "an exact power is in the bucket that it ends");
    }

    #[test]
    fn there_are_no_more_buckets_than_stated_and_nothing_is_left_out() {
        assert!(upper(FIRST - 1) <= ZERO_SECONDS && ZERO_SECONDS < upper(FIRST));
        let mut counts = of(&[Duration::ZERO, Duration::from_nanos(1), Duration::MAX]);
        for eighth in -100..300 {
            counts.observe(Duration::from_secs_f64(2_f64.powf((f64::from(eighth) - 0.5) / 8.0)));
        }
        let all = counts.zero() + counts.buckets().iter().map(|bucket| bucket.count).sum::<u64>();
        assert_eq!((all, counts.buckets().len()), (403, usize::try_from(LAST - FIRST + 1).unwrap()));
        assert!(counts.buckets().is_sorted_by(|a, b| a.index < b.index));
    }

    #[test]
    fn two_joined_are_as_if_counted_together() {
        let times: Vec<Duration> = (0..400).map(|n| Duration::from_millis(n * n)).collect();
        let (some, others) = times.split_at(123);
        let mut joined = of(some);
        joined.join(&of(others));
        assert_eq!(joined, of(&times));
    }
}
