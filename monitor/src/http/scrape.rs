//! `/metrics`: a snapshot of now in the format the scraper asks for, to a bounded number of scrapers at a time.

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use bytes::Bytes;

use super::error::ApiError;
use super::{AppState, held};
use crate::metrics::negotiate::Answer;
use crate::metrics::process::ProcessRow;
use crate::metrics::{self, Page};

/// `/metrics`.
pub(super) async fn metrics(State(state): State<AppState>, headers: HeaderMap) -> Result<Response, ApiError> {
    let place = held::places(&state.scrapes, 1, "scrapes")?;
    let accept: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    let wanted = Answer::from_accept(&accept.join(","));
    let page = Page {
        snapshot: state.fresh().await,
        signals: state.published.signals(),
        alerts: state.published.alerts(),
        pushed: state.published.pushed(),
        exported: state.published.exported(),
        version: state.settings.version.clone(),
        kernel: state.settings.kernel.clone(),
        process: ProcessRow::read(state.process),
    };
    let bytes: Bytes = match wanted {
        Answer::Text(format) => metrics::encode(page, format).or(Err(ApiError::Internal))?.into(),
        #[cfg(feature = "native-histograms")]
        Answer::Protobuf => metrics::encode_protobuf(page).or(Err(ApiError::Internal))?.into(),
    };
    Ok(held::answer(wanted.content_type(), bytes, place))
}
