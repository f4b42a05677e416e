//! Where the pipeline hands its results over: the one place where a task boundary is crossed.
//!
//! Nothing here waits. Snapshots replace each other, the history is a bounded ring, and readers of events are only told
//! that there are news: each takes them from the history at its own pace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};

use self::history::{History, Kept, News};
use crate::alerts::report::Report;
use crate::clock;
use crate::event::Told;
use crate::event_log;
use crate::names::Names;
use crate::owners::Owners;
use crate::push::Account;
use crate::residents::Residents;
use crate::snapshot::{SignalRow, Snapshot};
use crate::trend::{Reading, Trend};

pub mod history;

/// Updates that a subscriber in this process may be behind before it is told of a gap.
const UPDATE_QUEUE: usize = 1_024;
/// Requests for a fresh snapshot that may wait; a request beyond them gets the latest one instead.
const REFRESH_QUEUE: usize = 64;

/// News for a subscriber in this process.
#[derive(Clone, Debug)]
pub enum Update {
    /// An event, in the order of ids.
    Event(Arc<Told>),
    /// An event that came with a provisional verdict has its final one.
    Revised(Arc<Told>),
    /// An event was part of a burst, which is over now.
    InBurst(Arc<Told>),
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
    history: Arc<Mutex<History>>,
    trend: Arc<Mutex<Trend>>,
    news: watch::Sender<()>,
    signals: watch::Sender<Arc<[SignalRow]>>,
    alerts: watch::Sender<Arc<Report>>,
    /// Asked about each event; `None` where nothing is looked up.
    owners: Option<Owners>,
}

/// The readers' end. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Published {
    snapshot: watch::Receiver<Arc<Snapshot>>,
    events: broadcast::Sender<Update>,
    history: Arc<Mutex<History>>,
    trend: Arc<Mutex<Trend>>,
    news: watch::Receiver<()>,
    refresh: mpsc::Sender<RefreshRequest>,
    pushed: Arc<[Arc<Account>]>,
    exported: Option<Arc<Account>>,
    logged: Option<Arc<event_log::Account>>,
    signals: watch::Receiver<Arc<[SignalRow]>>,
    alerts: watch::Receiver<Arc<Report>>,
    owners: Option<Owners>,
    names: Option<Names>,
    residents: Residents,
}

/// What is looked up beside the events' way, when something becomes JSON.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known<'a> {
    /// Who owns sockets; `None` where nothing is looked up.
    pub owners: Option<&'a Owners>,
    /// What a cluster calls addresses and pods; `None` where it is not asked.
    pub names: Option<&'a Names>,
    /// What network namespaces belong to; `None` where nothing is looked up.
    pub residents: Option<&'a Residents>,
}

/// Both ends, and the pipeline's queue of refresh requests.
pub fn channel(
    first: Arc<Snapshot>,
    signals: Arc<[SignalRow]>,
) -> (Publisher, Published, mpsc::Receiver<RefreshRequest>) {
    let (snapshot, snapshot_reader) = watch::channel(first);
    let (events, _) = broadcast::channel(UPDATE_QUEUE);
    let (refresh, requests) = mpsc::channel(REFRESH_QUEUE);
    let history = Arc::new(Mutex::new(History::default()));
    let trend = Arc::new(Mutex::new(Trend::default()));
    let (news, news_reader) = watch::channel(());
    let (signals, signals_reader) = watch::channel(signals);
    let (alerts, alerts_reader) = watch::channel(Arc::default());
    let published = Published {
        snapshot: snapshot_reader,
        events: events.clone(),
        history: Arc::clone(&history),
        trend: Arc::clone(&trend),
        news: news_reader,
        refresh,
        pushed: Arc::default(),
        exported: None,
        logged: None,
        signals: signals_reader,
        alerts: alerts_reader,
        owners: None,
        names: None,
        residents: Residents::default(),
    };
    (Publisher { snapshot, events, history, trend, news, signals, alerts, owners: None }, published, requests)
}

impl Publisher {
    /// Asks who owns the socket of each event from now on.
    #[must_use]
    pub fn with_owners(self, owners: Owners) -> Self {
        Self { owners: Some(owners), ..self }
    }

    /// Who is asked.
    pub const fn owners(&self) -> Option<&Owners> {
        self.owners.as_ref()
    }

    /// Hands an event to the history and to every stream.
    pub fn event(&self, told: Arc<Told>) {
        if let Some(owners) = &self.owners {
            owners.ask(&told);
        }
        lock(&self.history).push(Arc::clone(&told));
        self.announce(Update::Event(told));
    }

    /// Replaces an event that has its final verdict now.
    pub fn revise(&self, told: Arc<Told>) {
        lock(&self.history).revise(Arc::clone(&told));
        self.announce(Update::Revised(told));
    }

    /// Replaces an event that was part of a burst.
    pub fn in_burst(&self, told: Arc<Told>) {
        lock(&self.history).revise(Arc::clone(&told));
        self.announce(Update::InBurst(told));
    }

    fn announce(&self, update: Update) {
        self.news.send_replace(());
        // An error only says that nobody subscribed.
        drop(self.events.send(update));
    }

    /// Replaces how each signal is served: a module was loaded.
    pub fn signals(&self, signals: Arc<[SignalRow]>) {
        self.signals.send_replace(signals);
    }

    /// Replaces what is known of alerts.
    pub fn alerts(&self, alerts: Arc<Report>) {
        self.alerts.send_replace(alerts);
    }

    /// Takes a reading into the past; `at` is monotonic, since the daemon's start.
    pub fn remember(&self, at: Duration, reading: Reading<'_>) {
        lock(&self.trend).observe(at, reading);
    }

    /// Replaces the snapshot.
    pub fn snapshot(&self, snapshot: Arc<Snapshot>) {
        self.snapshot.send_replace(snapshot);
    }
}

impl Published {
    /// With the answers to what the other end asks.
    #[must_use]
    pub fn with_owners(self, owners: Owners) -> Self {
        Self { owners: Some(owners), ..self }
    }

    /// Who owns sockets; `None` where nothing is looked up.
    pub const fn owners(&self) -> Option<&Owners> {
        self.owners.as_ref()
    }

    /// With what a cluster calls addresses and pods, if it is asked.
    #[must_use]
    pub fn with_names(self, names: Option<Names>) -> Self {
        Self { names, ..self }
    }

    /// What a cluster calls addresses and pods; `None` where it is not asked.
    pub const fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// With what network namespaces belong to.
    #[must_use]
    pub fn with_residents(self, residents: Residents) -> Self {
        Self { residents, ..self }
    }

    /// What network namespaces belong to.
    pub const fn residents(&self) -> &Residents {
        &self.residents
    }

    /// All that is looked up when something becomes JSON.
    pub const fn known(&self) -> Known<'_> {
        Known { owners: self.owners(), names: self.names(), residents: Some(&self.residents) }
    }

    /// Whether who owned an event's socket is about to be known.
    pub fn is_early(&self, told: &Told) -> bool {
        self.owners().is_some_and(|owners| owners.patience(told, clock::monotonic()).is_some())
    }

    /// When that is known, or will not be; never, without an event that waits for it.
    pub async fn owner_known_or_late(&self, next: Option<&Arc<Told>>) {
        match self.owners().zip(next) {
            Some((owners, next)) => owners.known_or_late(next).await,
            None => std::future::pending().await,
        }
    }

    /// The latest snapshot, at most one tick old.
    pub fn latest(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot.borrow())
    }

    /// The same, and each one from now on.
    pub fn watch_snapshots(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshot.clone()
    }

    /// How each signal is served.
    pub fn signals(&self) -> Arc<[SignalRow]> {
        Arc::clone(&self.signals.borrow())
    }

    /// Alerts, as of the last evaluation.
    pub fn alerts(&self) -> Arc<Report> {
        Arc::clone(&self.alerts.borrow())
    }

    /// The same, and each one from now on.
    pub fn watch_alerts(&self) -> watch::Receiver<Arc<Report>> {
        self.alerts.clone()
    }

    /// With what is told to Alertmanagers.
    #[must_use]
    pub fn with_pushed(self, pushed: Arc<[Arc<Account>]>) -> Self {
        Self { pushed, ..self }
    }

    /// What was told to each Alertmanager.
    pub fn pushed(&self) -> Arc<[Arc<Account>]> {
        Arc::clone(&self.pushed)
    }

    /// With what is written to the event log.
    #[must_use]
    pub fn with_logged(self, logged: Option<Arc<event_log::Account>>) -> Self {
        Self { logged, ..self }
    }

    /// What was written to the event log, if there is one.
    pub fn logged(&self) -> Option<Arc<event_log::Account>> {
        self.logged.clone()
    }

    /// With what is sent to a receiver of OTLP.
    #[must_use]
    pub fn with_exported(self, exported: Option<Arc<Account>>) -> Self {
        Self { exported, ..self }
    }

    /// What was sent to a receiver of OTLP, if there is one.
    pub fn exported(&self) -> Option<Arc<Account>> {
        self.exported.clone()
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

    /// At most `limit` of the events kept with an id above `after`, oldest first.
    pub fn history_after(&self, after: u64, limit: usize) -> Vec<Arc<Told>> {
        lock(&self.history).after(after, limit)
    }

    /// At most `limit` of the events kept with an id below `before`, newest first.
    pub fn history_before(&self, before: u64, limit: usize) -> Vec<Arc<Told>> {
        lock(&self.history).before(before, limit)
    }

    /// What is kept.
    pub fn kept(&self) -> Option<Kept> {
        lock(&self.history).kept()
    }

    /// Number of the last revision that a reader knows for sure whose newest event is `last`.
    pub fn revisions_known_at(&self, last: u64) -> u64 {
        lock(&self.history).revisions_known_at(last)
    }

    /// What a reader does not have yet that has the events up to `last` and the revisions up to `revision`.
    pub fn news(&self, last: u64, revision: u64) -> News {
        lock(&self.history).news(last, revision)
    }

    /// What `look` makes of the past. It must be quick: the pipeline may wait.
    pub fn past<T>(&self, look: impl FnOnce(&Trend) -> T) -> T {
        look(&lock(&self.trend))
    }

    /// Tells that there are news, however many. What was there before counts as seen.
    pub fn watch_news(&self) -> watch::Receiver<()> {
        let mut news = self.news.clone();
        news.mark_unchanged();
        news
    }

    /// Each update from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Update> {
        self.events.subscribe()
    }
}

/// What is locked is valid after each statement that changes it, so a panic elsewhere does not spoil it.
fn lock<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}
