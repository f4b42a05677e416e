//! Metrics to a receiver of OpenTelemetry, over OTLP/HTTP: one task, which knows nothing of the rest.
//!
//! Nothing is queued. All counts are since the start, so the newest state says all that one before it would have said, and that is what is
//! sent: every interval, and after a failure as soon as the receiver may be asked again (`push::pace`).

pub mod mapping;
pub mod settings;

mod headers;
mod message;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::http::HeaderMap;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message as _;
use tokio::sync::watch;

use self::settings::OtlpSettings;
use crate::clock;
use crate::publish::Published;
use crate::push::Account;
use crate::push::client::{Client, Failure, Post, read_secret};
use crate::push::pace::{self, Pace};
use crate::terminal::printable;

/// Of a receiver that asks for more: so long it is left alone, and no longer, since it may have been a mistake.
const LONGEST_WAIT: Duration = Duration::from_hours(1);
/// Of what a receiver says of a part that it did not take, what is logged.
const LONGEST_QUOTE: usize = 200;

/// Who sends, what of this host goes with it, and how the receiver is reached.
#[derive(Debug)]
pub struct Exporter {
    client: Client,
    headers_file: Option<PathBuf>,
    interval: Duration,
    account: Arc<Account>,
    host: String,
    pace: Pace,
    /// Whether the last request worked; `None` before the first one.
    works: Option<bool>,
}

/// Why the receiver does not have all of it.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Failed(#[from] Failure),
    #[error("it did not take {points} data points: {said}")]
    Rejected { points: i64, said: String },
}

impl Exporter {
    /// With its account. `host` is the resource's `host.name`.
    pub fn new(settings: &OtlpSettings, host: &str) -> (Self, Arc<Account>) {
        let account = Arc::new(Account::of(&settings.endpoint));
        let exporter = Self {
            client: Client::new(settings.endpoint.clone(), settings.timeout),
            headers_file: settings.headers_file.clone(),
            interval: settings.interval,
            account: Arc::clone(&account),
            host: host.to_owned(),
            pace: Pace::new(settings.retry),
            works: None,
        };
        (exporter, account)
    }

    /// Sends what is published, until `shutdown` becomes true or its sender is gone.
    pub async fn run(mut self, published: Published, mut shutdown: watch::Receiver<bool>) {
        tokio::select! {
            biased;
            _ = shutdown.wait_for(|stop| *stop) => {}
            never = self.export(&published) => never,
        }
    }

    async fn export(&mut self, published: &Published) -> ! {
        loop {
            let began = clock::monotonic();
            let outcome = self.send(published).await;
            self.note(outcome.as_ref().err());
            let next = self.next(outcome, began);
            tokio::time::sleep(next.saturating_sub(clock::monotonic())).await;
        }
    }

    async fn send(&mut self, published: &Published) -> Result<(), Trouble> {
        let headers = match &self.headers_file {
            None => HeaderMap::new(),
            Some(path) => headers::parse(&read_secret(path).await?)
                .map_err(|why| Failure::File { path: path.clone(), why })?,
        };
        let snapshot = published.fresh(false).await;
        let body = mapping::request(&snapshot, &self.host).encode_to_vec().into();
        let content_type = "application/x-protobuf";
        let said = self.client.post(Post { path: settings::PATH, content_type, body, headers }).await?;
        // What is no such message is no complaint, either.
        match ExportMetricsServiceResponse::decode(said).unwrap_or_default().partial_success {
            Some(ExportMetricsPartialSuccess { rejected_data_points: points @ 1.., error_message }) => {
                let said: String = error_message.chars().take(LONGEST_QUOTE).collect();
                Err(Trouble::Rejected { points, said: printable(said.trim()).into_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Counts, and tells when to send again.
    fn next(&mut self, outcome: Result<(), Trouble>, began: Duration) -> Duration {
        let regular = began + self.interval;
        match outcome {
            Ok(()) => {
                self.account.took(1);
                self.pace.worked();
                regular
            }
            // It would refuse the same again; with the next turn it may be another state.
            Err(Trouble::Rejected { .. } | Trouble::Failed(Failure::Refused { .. })) => {
                self.account.failed();
                self.pace.worked();
                regular
            }
            Err(Trouble::Failed(failure)) => {
                self.account.failed();
                let now = clock::monotonic();
                self.pace.failed(now, pace::random());
                let asked = match failure {
                    Failure::Unable { wait, .. } => wait.unwrap_or_default().min(LONGEST_WAIT),
                    Failure::Refused { .. }
                    | Failure::Silent { .. }
                    | Failure::Reach(_)
                    | Failure::File { .. } => Duration::ZERO,
                };
                self.pace.next().unwrap_or(regular).max(now + asked)
            }
        }
    }

    /// Logs when it changes whether the receiver takes anything.
    fn note(&mut self, trouble: Option<&Trouble>) {
        let works = trouble.is_none();
        if self.works.replace(works) == Some(works) {
            return;
        }
        let endpoint = &*self.account.name;
        match trouble {
            None => tracing::info!(endpoint, "metrics are sent over OTLP"),
            Some(trouble) => {
                tracing::warn!(endpoint, %trouble, "metrics cannot be sent over OTLP; it is tried again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::StatusCode;

    use super::settings::OtlpFile;
    use super::{Exporter, Failure, LONGEST_WAIT, Trouble};
    use crate::clock;

    fn unable(wait: Option<u64>) -> Result<(), Trouble> {
        let (status, said) = (StatusCode::SERVICE_UNAVAILABLE, String::new());
        Err(Failure::Unable { status, said, wait: wait.map(Duration::from_secs) }.into())
    }

    #[test]
    fn who_asks_to_be_left_alone_is_but_not_for_ever() {
        let settings = OtlpFile::default().settings(Some("http://127.0.0.1:1")).unwrap().unwrap();
        let (mut exporter, account) = Exporter::new(&settings, "node-7");
        let before = clock::monotonic();
        for (wait, least) in
            [(None, Duration::ZERO), (Some(300), Duration::from_mins(5)), (Some(u64::MAX), LONGEST_WAIT)]
        {
            let next = exporter.next(unable(wait), before);
            assert!(next >= before + least, "{wait:?}");
            assert!(next <= clock::monotonic() + least.max(settings.retry[1]), "{wait:?}");
        }
        assert_eq!((account.sent(), account.failures()), (0, 3));
        assert_eq!(exporter.next(Ok(()), before), before + settings.interval);
        // What would be refused again waits for another state.
        let refused = Failure::Refused { status: StatusCode::BAD_REQUEST, said: String::new() };
        assert_eq!(exporter.next(Err(refused.into()), before), before + settings.interval);
        let rejected = Trouble::Rejected { points: 3, said: String::new() };
        assert_eq!(exporter.next(Err(rejected), before), before + settings.interval);
        assert_eq!((account.sent(), account.failures()), (1, 5));
    }
}
