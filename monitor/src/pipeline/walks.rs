//! When open connections are walked, and who waits for it.

use std::time::Duration;

use crate::kernel::walker::{Question, Walker};
use crate::live::Walk;
use crate::publish::RefreshRequest;
use crate::snapshot::SignalRow;

/// Readers that may wait for a walk. Those beyond get what was published last, as from a pipeline that is too busy.
const MOST_WAITING: usize = 64;

/// The walker and its walk. Without one, as for commands that only show events, nothing is ever under way.
#[derive(Debug, Default)]
pub(super) struct Walks {
    walker: Option<Walker>,
    /// It was asked and has not answered.
    under_way: bool,
    /// When it was asked last, monotonic.
    asked: Option<Duration>,
    /// Readers that want to know what is open; [`MOST_WAITING`] at most.
    waiting: Vec<RefreshRequest>,
}

impl Walks {
    /// By this one.
    pub(super) fn by(walker: Walker) -> Self {
        Self { walker: Some(walker), ..Self::default() }
    }

    /// How well it works.
    pub(super) fn signal(&self) -> Option<&SignalRow> {
        self.walker.as_ref().map(Walker::signal)
    }

    /// Whether one could begin now.
    pub(super) const fn can_begin(&self) -> bool {
        self.walker.is_some() && !self.under_way
    }

    /// Begins one, if it can.
    pub(super) fn begin(&mut self, question: Question, now: Duration) {
        self.under_way = self.walker.as_ref().is_some_and(|walker| walker.ask(question));
        self.asked = Some(now);
    }

    /// Whether one has begun and not ended.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way
    }

    /// Whether the last one began longer ago, if any did.
    pub(super) fn is_older_than(&self, age: Duration, now: Duration) -> bool {
        self.asked.is_none_or(|asked| now.saturating_sub(asked) >= age)
    }

    /// Keeps readers until the walk has ended.
    pub(super) fn wait(&mut self, readers: Vec<RefreshRequest>) {
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        self.waiting.extend(readers.into_iter().take(room));
    }

    /// Those that waited for it.
    pub(super) fn take_waiting(&mut self) -> Vec<RefreshRequest> {
        std::mem::take(&mut self.waiting)
    }

    /// The walk, when it has ended; `None` when the walker is gone, and there is none any more.
    pub(super) async fn finished(&mut self) -> Option<Walk> {
        let Some(walker) = &mut self.walker else { return std::future::pending().await };
        let walk = walker.finished().await;
        self.under_way = false;
        if walk.is_none() {
            self.walker = None;
        }
        walk
    }
}
