//! `/api/v1/timeouts`: idle timeouts inferred from what both sides closed, and whether they are aligned.

use axum::extract::{Query, State};
use axum::response::Response;

use super::api::Pairs;
use super::convert::timeouts::timeouts_view;
use super::error::ApiError;
use super::filter::PeerFilter;
use super::query::Params;
use super::{AppState, held};
use crate::timeouts::MOST_ROWS;
use crate::timeouts::alignment::Verdict;
use crate::timeouts::chain::{MOST_HOPS, chains};

/// Rows in an answer, when not asked otherwise.
const ROWS: usize = 1_000;

/// What of `/api/v1/timeouts` is wanted.
pub(super) struct Wanted {
    limit: usize,
    known: bool,
    filter: PeerFilter,
}

impl Wanted {
    pub(super) fn read(params: &mut Params) -> Result<Self, ApiError> {
        let limit =
            params.number_or("limit", "At most so many pairs, and so many chains.", [1, MOST_ROWS], ROWS)?;
        let known = params.flag("known", "Leaves out pairs of which not enough was seen.")?;
        Ok(Self { limit, known, filter: PeerFilter::one_from_params(params)? })
    }
}

/// `/api/v1/timeouts`.
pub(super) async fn timeouts(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let Wanted { limit, known, filter } = Params::read(pairs, Wanted::read)?;

    let snapshot = state.fresh_with_peers().await;
    let rows = snapshot.timeouts.as_ref().ok_or(ApiError::Busy { what: "requests for fresh counts" })?;
    let mut chosen = filter.select_timeouts(rows);
    chosen.retain(|row| !known || row.alignment.verdict != Verdict::Unknown);
    let mut chains = chains(rows);
    chains.retain(|chain| chain.hops().any(|hop| filter.matches_timeout(hop)));
    let hops = chains.iter().take(limit).map(|chain| chain.hops().take(1 + MOST_HOPS).count()).sum::<usize>();
    let places = held::places(&state.rows, chosen.len().min(limit) + hops, "long lists")?;
    held::json(&timeouts_view(&snapshot, &chosen, &chains, limit, state.published.known()), places)
}
