//! Peers as alerts look at them: counts as they are published, and the causes that have alerts of their own.

use monitor_common::peer::SCOPE_OTHER;

use super::Peers;
use crate::alerts::PeerReading;
use crate::cause::Cause;
use crate::kernel::truth::SlotReading;
use crate::selection::label;

impl Peers {
    /// One slot. What is retired is not among them: it only moves there, so it would look like resets of now.
    pub(in crate::aggregate) fn watched(&self, reading: &SlotReading) -> PeerReading {
        let SlotReading { slot, key, counts } = *reading;
        // Most peers never had any.
        let has_resets = counts.resets_sent + counts.resets_received > 0;
        let cause = |cause| if has_resets { self.stories.count(slot, cause) } else { 0 };
        let published = self.tenant(slot).map_or(0, |tenant| tenant.exchanges);
        PeerReading {
            slot,
            netns: (key.scope != SCOPE_OTHER).then_some(key.netns),
            label: label(&key),
            reset: counts.reset,
            closed: counts.closed,
            exchanges: counts.exchanges.max(published),
            idle_reuse: cause(Cause::IdleReuse),
            middlebox: cause(Cause::Middlebox),
        }
    }
}
