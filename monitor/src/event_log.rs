//! Every reset and overflow with its final verdict, to a file, to standard output or to the journal: as they happen, in the order of ids.
//!
//! Nothing is queued here. The task's place is one number, as that of a reader of the stream: it takes the next few events from the history as
//! soon as they are final. A disk that is full for a while so loses nothing, and what the history has forgotten meanwhile is told and counted.
//! Writing is done on a thread of its own: neither a slow disk nor a stuck reader makes the pipeline wait.

pub mod settings;

mod file;
mod journal;
mod sink;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use self::settings::EventLogSettings;
pub use self::sink::{OpenError, Sink};
use crate::http::convert::owners::resolved_view;
use crate::http::filter::EventFilter;
use crate::publish::Published;
use crate::view::{EventView, LaggedView};

/// Events that are written at once.
const BATCH: usize = 256;
/// The first wait after a failure, and the longest.
const RETRY: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// How long the daemon's end waits for the last events to be written: a reader of standard output may be stuck.
const GOODBYE: Duration = Duration::from_secs(5);

/// What became of the events.
#[derive(Debug, Default)]
pub struct Account {
    written: AtomicU64,
    lost: AtomicU64,
    failures: AtomicU64,
}

impl Account {
    /// Events written.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Events that were forgotten before they could be written, of any kind.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Writes that failed; they are tried again.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// One entry of the log.
#[derive(Debug)]
pub enum Entry {
    /// An event.
    Event(Box<EventView>),
    /// Here are some missing.
    Missed(LaggedView),
}

/// The task's state.
#[derive(Debug)]
pub struct EventLog {
    published: Published,
    news: watch::Receiver<()>,
    account: Arc<Account>,
    /// `None` while a thread writes to it.
    sink: Option<Sink>,
    /// Id of the last event that was written, or left out on purpose.
    last: u64,
    /// Wait after the next failure.
    patience: Duration,
}

/// What to write next.
struct Batch {
    entries: Vec<Entry>,
    /// Id of the last event that is written or left out with it.
    last: u64,
}

impl EventLog {
    /// Opens what is written to, as long as the process may. Begins with the next event.
    pub fn open(settings: &EventLogSettings) -> Result<Sink, OpenError> {
        Sink::open(settings)
    }

    /// From then on.
    pub fn new(sink: Sink, published: Published) -> (Self, Arc<Account>) {
        let account = Arc::<Account>::default();
        // Before the history is read: what happens in between wakes once too often and is not missed.
        let news = published.watch_news();
        let last = published.kept().map_or(0, |kept| kept.newest);
        let log = Self {
            published,
            news,
            account: Arc::clone(&account),
            sink: Some(sink),
            last,
            patience: RETRY[0],
        };
        (log, account)
    }

    /// Writes until the pipeline has ended, and what it told last.
    pub async fn run(mut self) {
        let mut ended = false;
        loop {
            let batch = self.next(ended);
            let Some(batch) = batch else {
                if ended {
                    return;
                }
                ended = self.wait().await;
                continue;
            };
            // Idle closes, which are no resets: a busy host has many.
            if batch.entries.is_empty() {
                self.last = batch.last;
                continue;
            }
            let wrote = if ended {
                timeout(GOODBYE, self.write(batch)).await.unwrap_or(false)
            } else {
                self.write(batch).await
            };
            if !wrote {
                if ended {
                    return;
                }
                // Told of the end meanwhile, it tries once more.
                tokio::select! {
                    () = sleep(self.patience) => {}
                    () = closed(&mut self.news) => ended = true,
                }
                self.patience = (self.patience * 2).min(RETRY[1]);
            }
        }
    }

    /// Waits for news. Whether there will be none any more.
    async fn wait(&mut self) -> bool {
        let next = self.published.history_after(self.last, 1).pop().filter(|told| told.is_final());
        tokio::select! {
            changed = self.news.changed() => changed.is_err(),
            () = self.published.owner_known_or_late(next.as_ref()) => false,
        }
    }

    /// The next events that are as they will stay. At the end nobody finds owners any more.
    fn next(&self, ended: bool) -> Option<Batch> {
        let filter = EventFilter::default();
        let mut batch = Batch { entries: Vec::new(), last: self.last };
        for told in self.published.history_after(self.last, BATCH) {
            if !ended && (!told.is_final() || self.published.is_early(&told)) {
                break;
            }
            let missed = told.id - batch.last - 1;
            if missed > 0 {
                batch.entries.push(Entry::Missed(LaggedView { missed }));
            }
            batch.last = told.id;
            if filter.matches(&told) {
                let view = resolved_view(&told, self.published.known());
                batch.entries.push(Entry::Event(Box::new(view)));
            }
        }
        (batch.last > self.last).then_some(batch)
    }

    /// Whether that worked. What did not is tried again.
    async fn write(&mut self, batch: Batch) -> bool {
        let Batch { entries, last } = batch;
        let Some(mut sink) = self.sink.take() else { return false };
        let written = tokio::task::spawn_blocking(move || {
            let (written, result) = sink.write(&entries);
            (sink, entries, written, result)
        });
        let Ok((sink, entries, written, result)) = written.await else { return false };
        let name = sink.name();
        self.sink = Some(sink);
        for entry in entries.into_iter().take(written) {
            match entry {
                Entry::Event(event) => {
                    self.last = event.id;
                    self.account.written.fetch_add(1, Ordering::Relaxed);
                }
                Entry::Missed(LaggedView { missed }) => {
                    self.last += missed;
                    self.account.lost.fetch_add(missed, Ordering::Relaxed);
                }
            }
        }
        match result {
            Ok(()) => {
                if self.patience > RETRY[0] {
                    tracing::info!("events are written to {name} again");
                }
                self.patience = RETRY[0];
                self.last = last;
                true
            }
            Err(error) => {
                if self.patience == RETRY[0] {
                    tracing::warn!(
                        "cannot write events to {name}: {error}; trying again, the last 10,000 events are kept meanwhile"
                    );
                }
                self.account.failures.fetch_add(1, Ordering::Relaxed);
                false
            }
        }
    }
}

/// When there will be no news any more.
async fn closed(news: &mut watch::Receiver<()>) {
    while news.changed().await.is_ok() {}
}
