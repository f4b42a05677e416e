//! `/metrics`: a snapshot of now in the format the scraper asks for, to a bounded number of scrapers at a time.
//!
//! Scrapers that ask at the same time get the same snapshot, and its text is made once: what makes it also reads the ring.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;

use super::error::ApiError;
use super::{AppState, held};
use crate::clock;
use crate::metrics::negotiate::Answer;
use crate::metrics::process::ProcessRow;
use crate::metrics::{self, Page};
use crate::names::Names;
use crate::snapshot::Snapshot;

/// How old a text may be that is given out again. With a pipeline that is stuck the snapshot stays the same, and what a page has
/// besides must not.
const TOGETHER: Duration = Duration::from_secs(1);

/// The last text that was made.
#[derive(Clone, Debug, Default)]
pub(super) struct LastText(Arc<Mutex<Option<Text>>>);

#[derive(Debug)]
struct Text {
    /// Of what. Weak, so that it holds no snapshot; while it lives no other one can be taken for it.
    snapshot: Weak<Snapshot>,
    answer: Answer,
    /// Monotonic.
    made: Duration,
    body: Bytes,
}

impl LastText {
    /// The text of this snapshot, if it is the last one that was made.
    fn of(&self, snapshot: &Arc<Snapshot>, answer: Answer) -> Option<Bytes> {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |text: &&Text| {
            text.answer == answer
                && clock::monotonic().saturating_sub(text.made) < TOGETHER
                && Weak::ptr_eq(&text.snapshot, &Arc::downgrade(snapshot))
        };
        last.as_ref().filter(same).map(|text| text.body.clone())
    }

    fn keep(&self, snapshot: Weak<Snapshot>, answer: Answer, body: Bytes) {
        let made = clock::monotonic();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Text { snapshot, answer, made, body });
    }
}

/// `/metrics`.
pub(super) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let place = held::places(&state.scrapes, 1, "scrapes")?;
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let wanted = Answer::from_accept(&accept.join(","));
    let snapshot = state.fresh().await;
    if let Some(text) = state.last_text.of(&snapshot, wanted) {
        return Ok(held::answer(wanted.content_type(), text, place));
    }
    let of = Arc::downgrade(&snapshot);
    let page = Page {
        snapshot,
        signals: state.published.signals(),
        alerts: state.published.alerts(),
        pushed: state.published.pushed(),
        exported: state.published.exported(),
        logged: state.published.logged(),
        names: state.published.names().map(Names::fullness),
        version: state.settings.version.clone(),
        kernel: state.settings.kernel.clone(),
        process: ProcessRow::read(state.process),
    };
    let bytes: Bytes = match wanted {
        Answer::Text(format) => metrics::encode(&page, format).or(Err(ApiError::Internal))?.into(),
        #[cfg(feature = "native-histograms")]
        Answer::Protobuf => metrics::encode_protobuf(page).or(Err(ApiError::Internal))?.into(),
    };
    state.last_text.keep(of, wanted, bytes.clone());
    Ok(held::answer(wanted.content_type(), bytes, place))
}
