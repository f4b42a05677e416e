//! What one side closed, moment by moment.

use std::collections::VecDeque;
use std::time::Duration;

use super::SideFacts;
use super::estimate::{Estimate, LEAST, Moment, clusters, tolerance};
use super::held::Held;

/// Moments kept, and as many in which quiet was let pass: the last ones, since settings change.
const KEPT: usize = 32;
/// What closes within so much time closes in one moment.
const MOMENT: Duration = Duration::from_secs(1);
/// Closes of one moment that are looked at; more of them say no more.
const MOST: usize = 64;
/// So many closes in one moment that lie apart are no timer: a process ends, a pool is emptied, a server is reloaded.
const CROWD: usize = 3;
/// So many later connections, quiet for longer and not closed, make a timeout untrue.
const CONTRADICTIONS: usize = 3;
/// So many later moments at least, none of them its own, make it untrue, if that is as unlikely as [`UNLIKELY`].
const SILENT: usize = 5;
/// One in a hundred.
const UNLIKELY: f64 = 0.01;

/// The memory of one side: 64 moments of 8 bytes each at most, a moment under way, and 48 bytes of
/// what is open.
#[derive(Debug, Default)]
pub(super) struct Samples {
    kept: VecDeque<Moment>,
    passed: VecDeque<Moment>,
    /// The moment under way.
    now: Vec<Moment>,
    /// The quiet of its open connections.
    held: Held,
}

impl Samples {
    /// It closed a connection after so much quiet.
    pub(super) fn closed(&mut self, at: Duration, idle: Duration) {
        self.end_moment(at);
        if self.now.len() < MOST {
            self.now.push(Moment::new(at, idle));
        }
    }

    /// It let so much quiet pass: the other side closed first.
    pub(super) fn let_pass(&mut self, at: Duration, idle: Duration) {
        // Of one moment the longest.
        if let Some(last) = self.passed.back_mut()
            && at.saturating_sub(last.at()) < MOMENT
        {
            if idle > last.idle() {
                *last = Moment::new(last.at(), idle);
            }
            return;
        }
        if self.passed.len() == KEPT {
            self.passed.pop_front();
        }
        self.passed.push_back(Moment::new(at, idle));
    }

    /// Its open connections are quiet: [`CONTRADICTIONS`] of them for so long at least, and the longest.
    pub(super) fn hold(&mut self, at: Duration, several: Duration, longest: Duration) {
        self.held.saw(at, several, longest);
    }

    /// Whether it has closed often enough for a timeout to be known: cheaper than to see whether one is.
    pub(super) fn may_have_estimates(&self) -> bool {
        self.kept.len() + self.now.len() >= LEAST
    }

    /// What follows from it.
    pub(super) fn facts(&mut self, now: Duration) -> SideFacts {
        self.end_moment(now);
        let mut estimates = clusters(self.kept.make_contiguous());
        estimates.retain(|estimate| {
            !self.is_contradicted(estimate) && !self.is_given_up(estimate) && !self.held.outlived(estimate)
        });
        self.held.forget(&estimates, now);
        // A longer quiet that passed before a shorter timeout was seen belongs to an older setting.
        let is_true = |moment: &&Moment| {
            estimates.iter().all(|estimate| {
                moment.idle() <= estimate.latest + tolerance(estimate.latest) || moment.at() > estimate.last
            })
        };
        let passed = self.passed.iter().filter(is_true).map(|moment| moment.idle());
        let at_least = passed.chain(self.held.bounds(&estimates)).max();
        SideFacts { estimates, at_least, moments: self.kept.iter().map(|moment| moment.at()).collect() }
    }

    /// Connections were quiet for longer since, and it did not close them.
    fn is_contradicted(&self, estimate: &Estimate) -> bool {
        let later = self.kept.iter().chain(&self.passed).filter(|moment| moment.at() > estimate.last);
        let beyond = estimate.latest + tolerance(estimate.latest);
        later.filter(|moment| moment.idle() > beyond).count() >= CONTRADICTIONS
    }

    /// It closed others since, and none like these, though these had been frequent.
    fn is_given_up(&self, estimate: &Estimate) -> bool {
        let between = |from: Duration, to: Duration| {
            self.kept.iter().filter(|moment| moment.at() >= from && moment.at() <= to).count()
        };
        let since = self.kept.iter().filter(|moment| moment.at() > estimate.last).count();
        let [samples, all] = [estimate.samples, between(estimate.first, estimate.last).max(1)]
            .map(|count| f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        let others = (1.0 - samples / all).max(0.0);
        let in_a_row = i32::try_from(since).unwrap_or(i32::MAX);
        since >= SILENT && others.powi(in_a_row) < UNLIKELY
    }

    /// Of what closed in one moment, what a timer can have closed: one sample for each quiet.
    fn end_moment(&mut self, now: Duration) {
        if self.now.first().is_none_or(|first| now.saturating_sub(first.at()) < MOMENT) {
            return;
        }
        let mut closes = std::mem::take(&mut self.now);
        closes.sort_unstable_by_key(|close| close.idle());
        let crowd = closes.len();
        let mut rest = closes.as_slice();
        while let Some(first) = rest.first() {
            let alike = rest.partition_point(|close| close.idle() <= first.idle() + tolerance(first.idle()));
            let (together, later) = rest.split_at(alike);
            rest = later;
            // Of a crowd only what a fifth of it agrees on.
            if (crowd < CROWD || (together.len() > 1 && together.len() * 5 >= crowd))
                && let Some(middle) = together.get(together.len() / 2)
            {
                if self.kept.len() == KEPT {
                    self.kept.pop_front();
                }
                self.kept.push_back(*middle);
            }
        }
    }
}
