//! The last events, and which of them were revised since: what streams and the API read, a stretch at a time.
//!
//! Whoever reads holds the lock for as long as it takes to copy a stretch of pointers, so that no reader, and no filter
//! of one, makes the pipeline wait.

use std::collections::VecDeque;
use std::sync::Arc;

use jiff::Timestamp;

use crate::cause::Cause;
use crate::event::Told;

/// Events kept for `events --last` and for streams that resume. About 600 bytes each.
pub const HISTORY: usize = 10_000;
/// Events, or revisions, given at a time: what a slow reader can hold on to beyond the history itself.
pub const STRETCH: usize = 64;

/// An event that came with a provisional verdict got its final one, or its burst is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Number in the daemon's life, from 1, without gaps.
    pub number: u64,
    /// Which event.
    pub id: u64,
    /// The cause it was shown with.
    pub was: Option<Cause>,
    /// Its burst is what is new, and not its verdict.
    pub in_burst: bool,
    /// The newest event then: a reader that has it may not know of the revision, one with an older event cannot.
    newest: u64,
}

/// What a reader does not have yet, in one consistent piece.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// Events as they were when `revision` was the newest one, oldest first. None while there are more revisions.
    pub events: Vec<Arc<Told>>,
    /// Revisions, with the events as they are now.
    pub revised: Vec<(Revision, Arc<Told>)>,
    /// Number of the last revision that is in here.
    pub revision: u64,
}

/// What is kept, by its ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Id of the oldest event.
    pub oldest: u64,
    /// When that was.
    pub oldest_time: Timestamp,
    /// Id of the newest event.
    pub newest: u64,
}

/// Both lists, each bounded by [`HISTORY`].
#[derive(Debug, Default)]
pub(super) struct History {
    /// By ascending id, without gaps.
    events: VecDeque<Arc<Told>>,
    revisions: VecDeque<Revision>,
    /// Number of the next revision, less one.
    revised: u64,
}

impl History {
    pub(super) fn push(&mut self, told: Arc<Told>) {
        if self.events.len() == HISTORY {
            self.events.pop_front();
        }
        self.events.push_back(told);
    }

    /// Replaces an event by what it is now. One that is not kept any more has no reader who could miss it.
    pub(super) fn revise(&mut self, told: Arc<Told>) {
        let Some(place) = self.place(told.id) else { return };
        let Some(kept) = self.events.get_mut(place) else { return };
        let was = kept.verdict.map(|verdict| verdict.cause);
        let (id, in_burst) = (told.id, told.burst.is_some());
        *kept = told;
        if self.revisions.len() == HISTORY {
            self.revisions.pop_front();
        }
        self.revised += 1;
        let newest = self.events.back().map_or(id, |newest| newest.id);
        self.revisions.push_back(Revision { number: self.revised, id, was, in_burst, newest });
    }

    pub(super) fn kept(&self) -> Option<Kept> {
        let (oldest, newest) = (self.events.front()?, self.events.back()?);
        Some(Kept { oldest: oldest.id, oldest_time: oldest.event.time, newest: newest.id })
    }

    pub(super) fn after(&self, id: u64, limit: usize) -> Vec<Arc<Told>> {
        let start = self.events.partition_point(|told| told.id <= id);
        self.events.range(start..).take(limit).map(Arc::clone).collect()
    }

    pub(super) fn before(&self, id: u64, limit: usize) -> Vec<Arc<Told>> {
        let end = self.events.partition_point(|told| told.id < id);
        self.events.range(..end).rev().take(limit).map(Arc::clone).collect()
    }

    /// Number of the last revision that a reader has seen whose newest event is `last`.
    pub(super) fn revisions_known_at(&self, last: u64) -> u64 {
        let unknown = self.revisions.partition_point(|revision| revision.newest < last);
        self.revisions.get(unknown).map_or(self.revised, |first| first.number - 1)
    }

    /// What a reader does not have that has the events up to `last` and the revisions up to `revision`.
    pub(super) fn news(&self, last: u64, revision: u64) -> News {
        let start = self.revisions.partition_point(|known| known.number <= revision);
        let unknown = self.revisions.range(start..).take(STRETCH);
        let mut news = News { revision, ..News::default() };
        for known in unknown {
            news.revision = known.number;
            // An event that is not kept any more was told long ago, or is among those missed.
            news.revised.extend(self.get(known.id).map(|told| (*known, Arc::clone(told))));
        }
        if news.revision == self.revised {
            news.events = self.after(last, STRETCH);
        }
        news
    }

    fn get(&self, id: u64) -> Option<&Arc<Told>> {
        self.events.get(self.place(id)?)
    }

    fn place(&self, id: u64) -> Option<usize> {
        let place = self.events.partition_point(|told| told.id < id);
        self.events.get(place).filter(|told| told.id == id).map(|_| place)
    }
}
