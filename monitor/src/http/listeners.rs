//! `/api/v1/listeners`: listening sockets with their queues, and what the kernel counts of full ones.

use axum::extract::{Query, State};
use axum::response::Response;

use super::api::Pairs;
use super::convert::listeners::listeners_view;
use super::error::ApiError;
use super::filter::listeners::ListenerFilter;
use super::query::Params;
use super::{AppState, held};
use crate::kernel::sock_diag::MOST_SOCKETS;

/// Sockets in an answer, when not asked otherwise.
const SOCKETS: usize = 1_000;

/// `/api/v1/listeners`.
pub(super) async fn listeners(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let mut params = Params::new(pairs)?;
    let limit = params.number("limit", 1, MOST_SOCKETS)?.unwrap_or(SOCKETS);
    let filter = ListenerFilter::from_params(&mut params)?;
    params.finish()?;

    let snapshot = state.fresh().await;
    let view = listeners_view(&snapshot, &filter, limit);
    let rows = view.listeners.as_ref().map_or(0, Vec::len) + view.namespaces.len();
    let places = held::places(&state.rows, rows, "long lists")?;
    held::json(&view, places)
}
