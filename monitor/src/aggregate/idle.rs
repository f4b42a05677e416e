//! How long connections had been quiet before their resets, as histograms by cause.

use std::collections::BTreeMap;

use monitor_common::counters::Kind;

use crate::cause::Cause;
use crate::event::Event;
use crate::snapshot::IdleHistogram;

/// One histogram per cause that ever had an idle time.
#[derive(Debug, Default)]
pub(super) struct IdleTimes(BTreeMap<Cause, IdleHistogram>);

impl IdleTimes {
    /// Takes in a reset with its final cause. Idle closes are no resets.
    pub(super) fn observe(&mut self, event: &Event, cause: Cause) {
        match event.kind {
            Kind::ResetSent | Kind::ResetReceived => {
                if let Some(idle) = event.idle {
                    self.0.entry(cause).or_default().observe(idle.time);
                }
            }
            Kind::RefusedSent
            | Kind::RefusedReceived
            | Kind::StraySent
            | Kind::StrayReceived
            | Kind::IdleCloseSent
            | Kind::IdleCloseReceived
            | Kind::RejectSent
            | Kind::ListenOverflow => {}
        }
    }

    pub(super) fn rows(&self) -> Vec<(Cause, IdleHistogram)> {
        self.0.iter().map(|(cause, histogram)| (*cause, histogram.clone())).collect()
    }
}
