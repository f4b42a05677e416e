//! When alerts are evaluated, and with what.

use std::sync::Arc;
use std::time::Duration;

use super::BEAT;
use crate::aggregate::Aggregator;
use crate::alerts::report::Report;
use crate::alerts::rules::Rules;
use crate::alerts::{Engine, Reading};
use crate::clock::WallClock;
use crate::kernel::truth::Truth;
use crate::snapshot::{SignalRow, Snapshot};

/// Alerts, and the beats since they were evaluated.
#[derive(Debug)]
pub(super) struct Alerting {
    engine: Engine,
    beats: u64,
}

impl Alerting {
    pub(super) fn new(rules: Rules, started: Duration) -> Self {
        Self { engine: Engine::new(rules, started), beats: 0 }
    }

    /// Another beat; whether alerts are due at it.
    pub(super) fn is_due(&mut self) -> bool {
        self.beats += 1;
        self.beats * BEAT.as_secs() >= self.engine.every().as_secs()
    }

    /// Evaluates them with what was just read.
    pub(super) fn evaluate(
        &mut self,
        snapshot: &Snapshot,
        aggregator: &mut Aggregator,
        truth: &Truth,
        signals: &[SignalRow],
        now: Duration,
    ) {
        self.beats = 0;
        let pairs = aggregator.pairs(now);
        let reading = Reading {
            peers: aggregator.watched(truth.slots()),
            pairs,
            listening: &snapshot.listening,
            stories: &snapshot.stories,
            signals,
        };
        self.engine.evaluate(reading, now);
    }

    /// A slot was given back.
    pub(super) fn forget(&mut self, slot: u32) {
        self.engine.forget(slot);
    }

    pub(super) fn report(&self, wall: WallClock) -> Arc<Report> {
        Arc::new(self.engine.report(wall))
    }
}
