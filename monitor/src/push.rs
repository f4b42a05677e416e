//! Alerts to Alertmanager, version 2 of its API: a task for each instance, which knows nothing of the others.
//!
//! Nothing is queued. An instance is told the state of alerts, and the newest state is always at hand: what it has not been told yet, or not
//! for a minute, is the difference to what it was told last (`outbox`). So one that is down for a day costs what one costs that is there.

pub mod settings;

pub(crate) mod client;
mod outbox;
pub(crate) mod pace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::HeaderMap;
use tokio::sync::watch;

use self::client::{Client, Failure, Post};
use self::outbox::Outbox;
use self::pace::Pace;
use self::settings::{Address, PushSettings};
use crate::alerts::report::Report;
use crate::clock;
use crate::view::push::PostedAlertView;

/// The API's path.
const PATH: &str = "/api/v2/alerts";

/// What was sent to one receiver.
#[derive(Debug)]
pub struct Account {
    /// Host, port and path.
    pub name: String,
    /// What it took: alerts an Alertmanager, states of all metrics a receiver of OTLP.
    sent: AtomicU64,
    /// Requests that it did not answer or did not take.
    failures: AtomicU64,
}

impl Account {
    /// Of somebody who was told nothing yet.
    pub fn of(address: &Address) -> Self {
        Self { name: address.name(), sent: AtomicU64::new(0), failures: AtomicU64::new(0) }
    }

    /// It took so many.
    pub(crate) fn took(&self, count: u64) {
        self.sent.fetch_add(count, Ordering::Relaxed);
    }

    /// It did not take a request.
    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// What it took; alerts that were sent again count again.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Requests that failed.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

/// What one instance is told, and how it is reached.
#[derive(Debug)]
pub struct Pusher {
    client: Client,
    account: Arc<Account>,
    labels: BTreeMap<String, String>,
    outbox: Outbox,
    pace: Pace,
    /// Whether the last request worked; `None` before the first one.
    works: Option<bool>,
}

/// One for each instance, with its account. `host` is the label `instance` where none is set.
pub fn pushers(settings: &PushSettings, host: &str) -> Vec<(Pusher, Arc<Account>)> {
    let mut labels = settings.labels.clone();
    labels.entry("instance".to_owned()).or_insert_with(|| host.to_owned());
    let of = |address: &Address| {
        let account = Arc::new(Account::of(address));
        let pusher = Pusher {
            client: Client::new(address.clone(), settings.timeout),
            account: Arc::clone(&account),
            labels: labels.clone(),
            outbox: Outbox::new(settings.resend),
            pace: Pace::new(settings.retry),
            works: None,
        };
        (pusher, account)
    };
    settings.alertmanagers.iter().map(of).collect()
}

impl Pusher {
    /// Tells the instance what there is to tell, until `shutdown` becomes true or its sender is gone.
    pub async fn run(
        mut self,
        mut reports: watch::Receiver<Arc<Report>>,
        mut shutdown: watch::Receiver<bool>,
    ) {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            () = self.tell(&mut reports) => {}
        }
    }

    async fn tell(&mut self, reports: &mut watch::Receiver<Arc<Report>>) {
        loop {
            let report = Arc::clone(&reports.borrow_and_update());
            let now = clock::monotonic();
            if self.pace.may_try(now) {
                self.send(&report, now).await;
            }
            tokio::select! {
                changed = reports.changed() => if changed.is_err() { return },
                () = until(self.next(&report)) => {}
            }
        }
    }

    /// When there is something to do without another report; `None` when there is nothing.
    fn next(&self, report: &Report) -> Option<Duration> {
        let due = self.outbox.next_due(report)?;
        Some(due.max(self.pace.next().unwrap_or_default()))
    }

    /// All that is due, in requests of bounded size, until one fails.
    async fn send(&mut self, report: &Report, now: Duration) {
        loop {
            let due = self.outbox.due(report, now);
            if due.is_empty() {
                return;
            }
            let body = due.iter().map(|letter| letter.view(&self.labels)).collect::<Vec<_>>();
            let answer = self.post(&body).await;
            let now = clock::monotonic();
            match &answer {
                Ok(()) => {
                    self.account.took(due.len() as u64);
                    self.outbox.told(&due, now);
                    self.pace.worked();
                }
                Err(failure) => {
                    self.account.failed();
                    if matches!(failure, Failure::Refused { .. }) {
                        // It would refuse the same again; with the next turn it may be another state.
                        self.outbox.told(&due, now);
                    } else {
                        self.pace.failed(now, pace::random());
                    }
                }
            }
            self.note(answer.as_ref().err());
            if !self.pace.may_try(now) {
                return;
            }
        }
    }

    async fn post(&mut self, alerts: &[PostedAlertView]) -> Result<(), Failure> {
        let body = serde_json::to_vec(alerts).map_err(client::reach)?.into();
        let content_type = "application/json";
        self.client.post(Post { path: PATH, content_type, body, headers: HeaderMap::new() }).await.map(drop)
    }

    /// Logs when it changes whether the instance can be told anything.
    fn note(&mut self, failure: Option<&Failure>) {
        let works = failure.is_none();
        if self.works.replace(works) == Some(works) {
            return;
        }
        let alertmanager = &*self.account.name;
        match failure {
            None => tracing::info!(alertmanager, "alerts are told to Alertmanager"),
            Some(failure) => {
                tracing::warn!(alertmanager, %failure, "alerts cannot be told to Alertmanager; it is tried again");
            }
        }
    }
}

/// Never, without a time.
async fn until(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time.saturating_sub(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::{PushSettings, Report, pushers};
    use crate::push::settings::PushFile;
    use std::time::Duration;

    #[test]
    fn with_nothing_to_tell_it_sleeps_also_after_a_failure() {
        let settings: PushSettings =
            PushFile::default().settings(&["http://127.0.0.1:1".to_owned()]).unwrap();
        let (mut pusher, account) = pushers(&settings, "node-7").pop().unwrap();
        assert_eq!((pusher.next(&Report::default()), &*account.name), (None, "127.0.0.1:1"));
        pusher.pace.failed(Duration::from_secs(1), 0);
        assert_eq!(pusher.next(&Report::default()), None);
    }
}
