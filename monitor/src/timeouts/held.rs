//! How long open connections are quiet: what both sides have let pass though nobody has closed yet.
//!
//! One connection says little: it may be one that has no timer, such as a subscription or a WebSocket. Three say it.

use std::time::Duration;

use super::estimate::{Estimate, Moment, tolerance};

/// What walks found is believed for so long: addresses get other owners, and servers other settings.
const BELIEVED: Duration = Duration::from_hours(1);

/// The quiet that walks found, kept apart from what closes tell: a walk finds the same connections again and again.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Held {
    /// At the last walk that found several.
    last: Option<Quiet>,
    /// The longest of late.
    most: Option<Quiet>,
}

/// Of several open connections at a walk.
#[derive(Clone, Copy, Debug)]
struct Quiet {
    /// All of them were quiet for so long.
    several: Moment,
    /// One for so long.
    longest: Duration,
}

impl Held {
    /// A walk found it.
    pub(super) fn saw(&mut self, at: Duration, several: Duration, longest: Duration) {
        let quiet = Quiet { several: Moment::new(at, several), longest };
        self.last = Some(quiet);
        if self.most.is_none_or(|most| quiet.several.idle() >= most.several.idle()) {
            self.most = Some(quiet);
        }
    }

    /// What it says beside these timeouts: of the two, those that are no older than them.
    pub(super) fn bounds(&self, estimates: &[Estimate]) -> impl Iterator<Item = Duration> {
        let is_news = |quiet: &Quiet| {
            let fits = |estimate| quiet.several.idle() <= limit(estimate) || quiet.has_passed_since(estimate);
            estimates.iter().all(fits)
        };
        self.both().filter(is_news).map(|quiet| quiet.several.idle())
    }

    /// Whether they were quiet for longer than a timeout allows, and all of them reached that after the timeout was seen last. One that had
    /// been quiet for long before belongs to somebody who does not have this timeout.
    pub(super) fn outlived(&self, estimate: &Estimate) -> bool {
        self.both().any(|quiet| quiet.several.idle() > limit(estimate) && quiet.has_passed_since(estimate))
    }

    /// Lets go of what is old, or was allowed by an older setting.
    pub(super) fn forget(&mut self, estimates: &[Estimate], now: Duration) {
        let is_old = |quiet: &Quiet| now.saturating_sub(quiet.several.at()) > BELIEVED;
        self.last = self.last.filter(|last| !is_old(last));
        let longest = self.bounds(estimates).max();
        if self.most.is_some_and(|most| is_old(&most) || Some(most.several.idle()) != longest) {
            self.most = self.last;
        }
    }

    fn both(&self) -> impl Iterator<Item = Quiet> {
        self.last.into_iter().chain(self.most)
    }
}

impl Quiet {
    fn has_passed_since(&self, estimate: &Estimate) -> bool {
        self.several.at().saturating_sub(self.longest) + limit(estimate) > estimate.last
    }
}

/// Beyond it, a connection was not closed by this timeout.
fn limit(estimate: &Estimate) -> Duration {
    estimate.latest + tolerance(estimate.latest)
}
