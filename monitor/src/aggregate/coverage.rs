//! How far back the closed memory reaches: the time in which its last entries, as many as it holds, were written.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples kept: at a tick of five seconds, more than an hour.
const SAMPLES: usize = 1_024;

/// What was written by when.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    samples: VecDeque<(Duration, u64)>,
}

impl Coverage {
    /// Seconds that the memory reaches back at `now`, when `written` entries were written in all and `capacity` fit. `None`
    /// while nothing was ever pushed out.
    pub(super) fn read(&mut self, now: Duration, written: u64, capacity: u64) -> Option<f64> {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back((now, written));
        let pushed_out = written.checked_sub(capacity).filter(|pushed_out| *pushed_out > 0)?;
        // The last moment by which no more than the pushed-out ones were written; all that came later is still there.
        let place = self.samples.partition_point(|(_, count)| *count <= pushed_out);
        let (since, _) = self.samples.get(place.saturating_sub(1))?;
        Some(now.saturating_sub(*since).as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_is_the_time_in_which_as_many_were_written_as_fit() {
        let mut coverage = Coverage::default();
        let at = Duration::from_secs;
        assert_eq!(coverage.read(at(0), 0, 100), None);
        assert_eq!(coverage.read(at(10), 100, 100), None, "all of them are still there");
        assert_eq!(coverage.read(at(20), 200, 100), Some(10.0));
        assert_eq!(coverage.read(at(30), 300, 100), Some(10.0));
        assert_eq!(coverage.read(at(90), 310, 100), Some(70.0), "fewer came, so it reaches further back");
        assert_eq!(coverage.read(at(91), 10_000, 100), Some(1.0), "a burst pushes all before it out");
    }
}
