//! The HTTP side: reads what the pipeline published, and changes nothing.
//!
//! | route | answers |
//! |---|---|
//! | `/` | page for people: its view is in its query, all its numbers are from the API |
//! | `/assets/*` | what the page needs |
//! | `/metrics` | Prometheus text 0.0.4 or `OpenMetrics` 1.0.0, by `Accept` |
//! | `/healthz` | 200 while the process answers |
//! | `/readyz` | 200 while the pipeline ticks, else 503 and why |
//! | `/api/v1/status` | [`crate::view::StatusView`] |
//! | `/api/v1/peers` | [`crate::view::PeersView`]; `limit`, `offset`, `role`, `peer`, `port`, `netns`, `text`, `sort`, `order` |
//! | `/api/v1/listeners` | [`crate::view::listeners::ListenersView`]; `limit`, `port` |
//! | `/api/v1/timeouts` | [`crate::view::timeouts::TimeoutsView`]; `limit`, `known`, `peer`, `port`, `role`, `netns` |
//! | `/api/v1/alerts` | [`crate::view::alerts::AlertsView`]; `limit`, `state`, `alert`, `peer`, `port` |
//! | `/api/v1/explain` | [`crate::view::explain::ExplainView`]; `peer`, `port` (one of them or both), `role`, `netns`, `limit` |
//! | `/api/v1/overview` | [`crate::view::overview::OverviewView`] |
//! | `/api/v1/history` | [`crate::view::history::HistoryView`]; `step`, `peer`, `port`, `role`, `limit` |
//! | `/api/v1/signals` | [`crate::view::SignalsView`] |
//! | `/api/v1/events` | [`crate::view::EventsView`]; `limit`, `after`, `before`, `since`, `until`, `peer`, `port`, `direction`, `cause`, `kind`, `idle_closes` |
//! | `/api/v1/events/stream` | the same as server-sent events, from `after` or `Last-Event-ID` on |
//! | `/api/v1/openapi.json` | all of this as `OpenAPI` 3.1, made by what answers |
//!
//! Every refusal is a [`crate::view::ErrorView`]. Names of processes and hosts are hostile input: they leave as JSON
//! strings or escaped text. There is no route that changes anything, and no CORS.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use monitor_common::counters::PORTS;
use tokio::sync::{Semaphore, watch};

use self::scrape::LastText;
use crate::metrics::process::ProcessStart;
use crate::publish::Published;
use crate::snapshot::Snapshot;

pub mod convert;
pub mod filter;
pub mod openapi;
pub mod schema;
pub mod server;

mod alerts;
mod api;
mod error;
mod events;
mod explain;
mod guard;
mod health;
mod held;
mod history;
mod listeners;
mod overview;
mod page;
mod query;
mod routes;
mod rows;
mod scrape;
mod stall;
mod stream;
mod timeouts;

/// Scrapes answered at a time; `node_exporter`'s default. One with 10,000 series holds about 1 MB.
const PARALLEL_SCRAPES: usize = 40;
/// Rows of all lists on their way to readers: one answer with every peer and port there can be, or 200 usual ones.
/// A row is about 1 kB while its answer is written, and a third of it while it is sent.
const ROWS_ON_THE_WAY: usize = api::MOST_PEERS + PORTS as usize;
/// Open event streams. Half the limit of connections, so that streams cannot shut out scrapes.
const PARALLEL_STREAMS: usize = 128;
/// What all streams together may hold on to, in bytes, should every reader have stopped reading.
const MOST_HELD_BY_STREAMS: usize = 64 << 20;
const _: () = assert!(PARALLEL_STREAMS * stream::MOST_HELD <= MOST_HELD_BY_STREAMS, "too many streams");
const _: () = assert!(2 * PARALLEL_STREAMS <= server::CONNECTIONS, "streams can shut out scrapes");
/// How long a request waits for a snapshot of now before it takes the latest one.
const FRESH_WAIT: Duration = Duration::from_secs(2);

/// What does not change while the daemon runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Host names answered to, besides `localhost` and every IP address. Without port.
    pub allowed_hosts: Vec<String>,
    /// Release of the running kernel.
    pub kernel: String,
    /// Version of the daemon.
    pub version: String,
    /// Name of this host.
    pub node: String,
}

/// What handlers see. Cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    published: Published,
    settings: Arc<Settings>,
    shutdown: watch::Receiver<bool>,
    scrapes: Arc<Semaphore>,
    last_text: LastText,
    streams: Arc<Semaphore>,
    rows: Arc<Semaphore>,
    process: ProcessStart,
}

impl AppState {
    /// `shutdown` turns true (or its sender goes away) when event streams have to end.
    pub fn new(published: Published, settings: Settings, shutdown: watch::Receiver<bool>) -> Self {
        Self {
            published,
            settings: Arc::new(settings),
            shutdown,
            scrapes: Arc::new(Semaphore::new(PARALLEL_SCRAPES)),
            last_text: LastText::default(),
            streams: Arc::new(Semaphore::new(PARALLEL_STREAMS)),
            rows: Arc::new(Semaphore::new(ROWS_ON_THE_WAY)),
            process: ProcessStart::read(),
        }
    }

    /// A snapshot of now. A stuck pipeline costs freshness, not the answer.
    async fn fresh(&self) -> Arc<Snapshot> {
        self.snapshot(false).await
    }

    /// The same with the rows of all peers, unless the pipeline is stuck.
    async fn fresh_with_peers(&self) -> Arc<Snapshot> {
        self.snapshot(true).await
    }

    async fn snapshot(&self, with_peers: bool) -> Arc<Snapshot> {
        match tokio::time::timeout(FRESH_WAIT, self.published.fresh(with_peers)).await {
            Ok(snapshot) => snapshot,
            Err(tokio::time::error::Elapsed { .. }) => self.published.latest(),
        }
    }
}

/// All routes, with what guards them. Pure: no socket, no task.
pub fn router(state: AppState) -> Router {
    let settings = Arc::clone(&state.settings);
    let mut router = Router::new();
    routes::routes(&mut router);
    router
        .fallback(error::unknown_path)
        .method_not_allowed_fallback(error::wrong_method)
        .layer(axum::middleware::from_fn_with_state(settings, guard::guard))
        .with_state(state)
}

/// Returns once `shutdown` is true or nobody can make it so any more.
async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    drop(shutdown.wait_for(|stop| *stop).await);
}
