//! Where the pipeline hands its results over: the one place where a task boundary is crossed.
//!
//! Nothing here waits. Snapshots replace each other, the history is a bounded ring, and a stream reader that
//! falls behind is told how many events it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use crate::event::Told;
use crate::snapshot::{SignalRow, Snapshot};

/// Events kept for `events --last` and for streams that resume. About 600 bytes each.
pub const HISTORY: usize = 10_000;
/// Events a stream reader may be behind before it is told of a gap.
const STREAM_QUEUE: usize = 1_024;
/// Requests for a fresh snapshot that may wait; a request beyond them gets the latest one instead.
const REFRESH_QUEUE: usize = 64;

/// News for streams.
#[derive(Clone, Debug)]
pub enum Update {
    /// An event, in the order of ids.
    Event(Arc<Told>),
    /// An event that came with a provisional verdict has its final one.
    Revised(Arc<Told>),
}

/// What a reader asks the pipeline: a snapshot of now.
#[derive(Debug)]
pub struct RefreshRequest {
    /// With the rows of all peers.
    pub with_peers: bool,
    /// Where to.
    pub answer: oneshot::Sender<Arc<Snapshot>>,
}

/// The pipeline's end.
#[derive(Debug)]
pub struct Publisher {
    snapshot: watch::Sender<Arc<Snapshot>>,
    events: broadcast::Sender<Update>,
    history: Arc<Mutex<VecDeque<Arc<Told>>>>,
}

/// The readers' end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    events: broadcast::Sender<Update>,
    history: Arc<Mutex<VecDeque<Arc<Told>>>>,
    refresh: mpsc::Sender<RefreshRequest>,
    /// How each signal is served. Decided at start.
    pub signals: Arc<[SignalRow]>,
}

/// Both ends, and the pipeline's queue of refresh requests.
pub fn channel(
    first: Arc<Snapshot>,
    signals: Arc<[SignalRow]>,
) -> (Publisher, Published, mpsc::Receiver<RefreshRequest>) {
    let (snapshot, snapshot_reader) = watch::channel(first);
    let (events, _) = broadcast::channel(STREAM_QUEUE);
    let (refresh, requests) = mpsc::channel(REFRESH_QUEUE);
    let history = Arc::new(Mutex::new(VecDeque::with_capacity(HISTORY)));
    let published = Published {
        snapshot: snapshot_reader,
        events: events.clone(),
        history: Arc::clone(&history),
        refresh,
        signals,
    };
    (Publisher { snapshot, events, history }, published, requests)
}

impl Publisher {
    /// Hands an event to the history and to every stream.
    pub fn event(&self, told: Arc<Told>) {
        let mut history = lock(&self.history);
        if history.len() == HISTORY {
            history.pop_front();
        }
        history.push_back(Arc::clone(&told));
        drop(history);
        // An error only says that no stream is open.
        drop(self.events.send(Update::Event(told)));
    }

    /// Replaces an event that has its final verdict now.
    pub fn revise(&self, told: Arc<Told>) {
        let mut history = lock(&self.history);
        let place = history.partition_point(|kept| kept.id < told.id);
        if let Some(kept) = history.get_mut(place).filter(|kept| kept.id == told.id) {
            *kept = Arc::clone(&told);
        }
        drop(history);
        drop(self.events.send(Update::Revised(told)));
    }

    /// Replaces the snapshot.
    pub fn snapshot(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.send_replace(snapshot);
    }
}

impl Published {
    /// The latest snapshot, at most one tick old.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// A snapshot of now; the latest one, which has no rows of peers, when the pipeline is too busy or has ended.
    pub async fn fresh(&self, with_peers: bool) -> Arc<Snapshot> {
        let (answer, wait) = oneshot::channel();
        if self.refresh.try_send(RefreshRequest { with_peers, answer }).is_err() {
            return self.latest();
        }
        match wait.await {
            Ok(snapshot) => snapshot,
            Err(oneshot::error::RecvError { .. }) => self.latest(),
        }
    }

    /// The events kept, oldest first.
    pub fn history(&self) -> Vec<Arc<Told>> {
        lock(&self.history).iter().map(Arc::clone).collect()
    }

    /// At most `limit` of the events kept with an id above `after`, oldest first.
    pub fn history_after(&self, after: u64, limit: usize) -> Vec<Arc<Told>> {
        let history = lock(&self.history);
        let start = history.partition_point(|told| told.id <= after);
        history.range(start..).take(limit).map(Arc::clone).collect()
    }

    /// Ids of the oldest and the newest event kept.
    pub fn history_range(&self) -> Option<(u64, u64)> {
        let history = lock(&self.history);
        Some((history.front()?.id, history.back()?.id))
    }

    /// All news from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Update> {
        self.events.subscribe()
    }
}

/// The history is valid after each statement that changes it, so a panic elsewhere does not spoil it.
fn lock(history: &Mutex<VecDeque<Arc<Told>>>) -> MutexGuard<'_, VecDeque<Arc<Told>>> {
    history.lock().unwrap_or_else(PoisonError::into_inner)
}
