//! The event log: what is written, in which order, and what becomes of it while nothing can be written.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use monitor::cause::Cause;
use monitor::event_log::settings::EventLogSettings;
use monitor::event_log::{Account, EventLog};
use monitor::publish::history::HISTORY;
use monitor::publish::{Publisher, channel};
use monitor::view::{EventView, LaggedView};
use tokio::task::JoinSet;

use crate::support::{finally, provisional, signals, snapshot, told};
use crate::wait::until;

/// A log with nothing before it, and a directory that goes with the test.
struct Logged {
    directory: PathBuf,
    publisher: Publisher,
    log: Option<EventLog>,
    account: Arc<Account>,
}

impl Logged {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("reset-monitor-event-log-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir_all(&directory).unwrap();
        let (publisher, published, _) = channel(Arc::new(snapshot()), signals().into());
        let path = directory.join("events.jsonl");
        let settings = EventLogSettings::File { path, bytes: 64 << 20, files: 1 };
        let sink = EventLog::open(&settings).unwrap();
        let (log, account) = EventLog::new(sink, published);
        Self { directory, publisher, log: Some(log), account }
    }

    fn start(&mut self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.log.take().unwrap().run());
        tasks
    }

    fn publish(&self, ids: impl IntoIterator<Item = u64>) {
        ids.into_iter().for_each(|id| self.publisher.event(Arc::new(told(id))));
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.directory.join("events.jsonl")).unwrap_or_default();
        assert!(text.is_empty() || text.ends_with('\n'), "a torn line: {text}");
        text.lines().map(str::to_owned).collect()
    }

    fn ids(&self) -> Vec<u64> {
        self.lines().iter().map(|line| serde_json::from_str::<EventView>(line).unwrap().id).collect()
    }
}

impl Drop for Logged {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

#[tokio::test]
async fn what_is_provisional_is_waited_for_and_nothing_overtakes_it() {
    let mut logged = Logged::new();
    let _task = logged.start();
    logged.publish(1..=3);
    logged.publisher.event(Arc::new(provisional(4)));
    logged.publish(5..=6);
    until(|| logged.account.written() == 3).await;
    assert_eq!(logged.ids(), [1, 2, 3]);
    logged.publisher.revise(Arc::new(finally(4, Cause::Middlebox)));
    until(|| logged.account.written() == 6).await;
    assert_eq!(logged.ids(), [1, 2, 3, 4, 5, 6]);
    let fourth: EventView = serde_json::from_str(&logged.lines()[3]).unwrap();
    assert_eq!((fourth.is_final, fourth.cause.as_deref()), (true, Some("middlebox")));
}

#[tokio::test]
async fn what_was_forgotten_is_told_and_counted() {
    let mut logged = Logged::new();
    let beyond = 50;
    logged.publish(1..=HISTORY as u64 + beyond);
    let _task = logged.start();
    until(|| logged.account.written() == HISTORY as u64).await;
    let lines = logged.lines();
    let LaggedView { missed } = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!((missed, logged.account.lost(), lines.len()), (beyond, beyond, HISTORY + 1));
}

#[tokio::test]
async fn while_nothing_can_be_written_the_history_keeps_it() {
    let mut logged = Logged::new();
    let away = logged.directory.with_extension("away");
    fs::rename(&logged.directory, &away).unwrap();
    let _task = logged.start();
    logged.publish(1..=3);
    until(|| logged.account.failures() > 0).await;
    assert_eq!(logged.account.written(), 0);
    fs::rename(&away, &logged.directory).unwrap();
    until(|| logged.account.written() == 3).await;
    assert_eq!((logged.ids(), logged.account.lost()), (vec![1, 2, 3], 0));
}

#[tokio::test]
async fn what_the_pipeline_told_last_is_written_before_the_end() {
    let mut logged = Logged::new();
    logged.publish(1..=300);
    let mut task = logged.start();
    let (publisher, _, _) = channel(Arc::new(snapshot()), signals().into());
    drop(std::mem::replace(&mut logged.publisher, publisher));
    task.join_next().await.unwrap().unwrap();
    assert_eq!(logged.ids(), (1..=300).collect::<Vec<_>>());
}
