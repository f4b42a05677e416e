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

/// How many sockets are wanted, and which.
pub(super) fn read(params: &mut Params) -> Result<(usize, ListenerFilter), ApiError> {
    let limit = params.number_or("limit", "At most so many sockets.", [1, MOST_SOCKETS], SOCKETS)?;
    Ok((limit, ListenerFilter::from_params(params)?))
}

/// `/api/v1/listeners`.
pub(super) async fn listeners(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let (limit, filter) = Params::read(pairs, read)?;

    let snapshot = state.fresh().await;
    let view = listeners_view(&snapshot, &filter, limit, state.published.known());
    let rows = view.listeners.as_ref().map_or(0, Vec::len) + view.namespaces.len();
    let places = held::places(&state.rows, rows, "long lists")?;
    held::json(&view, places)
}
