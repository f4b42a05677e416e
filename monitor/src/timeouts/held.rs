//! How long open connections are quiet: what both sides have let pass though nobody has closed yet.

use std::time::Duration;

use super::estimate::{Estimate, Moment, tolerance};

/// The quiet that walks found, kept apart from what closes tell: a walk finds the same connections again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// At the last walk that found any.
    last: Option<Moment>,
    /// The longest of all.
    most: Option<Moment>,
}

impl Held {
    /// A walk found it.
    pub(super) fn saw(&mut self, at: Duration, quiet: Duration) {
        let moment = Moment::new(at, quiet);
        self.last = Some(moment);
        if self.most.is_none_or(|most| moment.idle() >= most.idle()) {
            self.most = Some(moment);
        }
    }

    /// What it says beside these timeouts: of the two, those that are no older than them.
    pub(super) fn not_older_than(&self, estimates: &[Estimate]) -> impl Iterator<Item = Duration> {
        let Self { last, most } = *self;
        let is_news = |moment: &Moment| {
            estimates
                .iter()
                .all(|estimate| moment.idle() <= limit(estimate) || passed_since(*moment, estimate))
        };
        last.into_iter().chain(most).filter(is_news).map(Moment::idle)
    }

    /// Whether it was quiet for longer than a timeout allows, and reached that after the timeout was seen last. One that had been quiet
    /// for long before belongs to somebody who does not have this timeout.
    pub(super) fn outlived(&self, estimate: &Estimate) -> bool {
        let Self { last, most } = *self;
        last.into_iter()
            .chain(most)
            .any(|moment| moment.idle() > limit(estimate) && passed_since(moment, estimate))
    }

    /// Lets go of what an older setting allowed.
    pub(super) fn forget_older_than(&mut self, estimates: &[Estimate]) {
        let longest = self.not_older_than(estimates).max();
        if self.most.is_some_and(|most| Some(most.idle()) != longest) {
            self.most = self.last;
        }
    }
}

/// Beyond it, a connection was not closed by this timeout.
fn limit(estimate: &Estimate) -> Duration {
    estimate.latest + tolerance(estimate.latest)
}

fn passed_since(moment: Moment, estimate: &Estimate) -> bool {
    moment.at().saturating_sub(moment.idle()) + limit(estimate) > estimate.last
}
