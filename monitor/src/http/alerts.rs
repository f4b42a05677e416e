//! `/api/v1/alerts`: what is firing or about to, what is over, and what alerts go by.

use axum::extract::{Query, State};
use axum::response::Response;

use super::api::Pairs;
use super::convert::alerts::alerts_view;
use super::error::ApiError;
use super::filter::alerts::AlertFilter;
use super::query::Params;
use super::{AppState, held};
use crate::alerts::book::MOST_ROWS;

/// Alerts in an answer, when not asked otherwise.
const ROWS: usize = 1_000;

/// How many alerts are wanted, and which.
pub(super) fn read(params: &mut Params) -> Result<(usize, AlertFilter), ApiError> {
    let limit = params.number_or("limit", "At most so many alerts.", [1, MOST_ROWS], ROWS)?;
    Ok((limit, AlertFilter::from_params(params)?))
}

/// `/api/v1/alerts`.
pub(super) async fn alerts(State(state): State<AppState>, Query(pairs): Pairs) -> Result<Response, ApiError> {
    let (limit, filter) = Params::read(pairs, read)?;

    let report = state.published.alerts();
    let chosen = filter.select(&report.rows);
    let places = held::places(&state.rows, chosen.len().min(limit), "long lists")?;
    held::json(&alerts_view(&report, &chosen, limit), places)
}
