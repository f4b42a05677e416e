//! Slots of quiet peers back to the kernel: unlinked first, and taken once no program can add to them any more.

use std::time::Duration;

use super::Pipeline;
use crate::clock;

/// How long an unlinked slot is left alone before its last counts are taken: programs run for microseconds.
const UNLINKED: Duration = Duration::from_secs(2);

impl Pipeline {
    /// Takes the last counts of slots unlinked a while ago, and unlinks those that may go now.
    pub(super) fn retire(&mut self) {
        let now = clock::monotonic();
        let (over, waiting): (Vec<_>, Vec<_>) =
            self.unlinked.drain(..).partition(|(_, since)| now.saturating_sub(*since) >= UNLINKED);
        self.unlinked = waiting;
        for (slot, _) in over {
            self.aggregator.retire(slot, self.truth.slot_counts(slot));
            self.alerts.forget(slot);
            if let Err(error) = self.truth.recycle(slot) {
                tracing::warn!(slot, %error, "a peer's slot could not be put back; one peer less has its own counts");
            }
        }
        for (slot, key) in self.aggregator.retirable(now) {
            match self.truth.unlink(&key) {
                Ok(()) => self.unlinked.push((slot, now)),
                Err(error) => tracing::warn!(slot, %error, "a quiet peer's slot could not be freed"),
            }
        }
    }
}
