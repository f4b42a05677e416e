//! An answer whose memory is bounded: it holds a place among its kind until its last byte is handed to the kernel.
//!
//! A reader may take its answer as slowly as it likes within the server's limits, and while it does the text is in
//! memory. So the place is given back with the text, not when the handler returns.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::ApiError;

/// `count` places at once, or the refusal that names `what` there are too many of.
pub(super) fn places(
    among: &Arc<Semaphore>,
    count: usize,
    what: &'static str,
) -> Result<OwnedSemaphorePermit, ApiError> {
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Arc::clone(among).try_acquire_many_owned(count).or(Err(ApiError::Busy { what }))
}

/// The answer `text`, and the places it holds.
pub(super) fn answer(kind: &'static str, text: impl Into<Bytes>, places: OwnedSemaphorePermit) -> Response {
    let text = text.into();
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_LENGTH, HeaderValue::from(text.len())),
    ];
    let body = Full::new(text).map_frame(move |frame| {
        let _held = &places;
        frame
    });
    (headers, Body::new(body)).into_response()
}

/// The same for `view` as JSON.
pub(super) fn json(view: &impl serde::Serialize, places: OwnedSemaphorePermit) -> Result<Response, ApiError> {
    let text = serde_json::to_vec(view).or(Err(ApiError::Internal))?;
    Ok(answer("application/json", text, places))
}
