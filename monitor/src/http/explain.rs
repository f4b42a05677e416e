//! `/api/v1/explain`: what is wrong with a peer, why, and what to change.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;

use super::api::Pairs;
use super::convert::explain::explain_view;
use super::convert::owners::whose;
use super::error::ApiError;
use super::filter::PeerFilter;
use super::filter::target::Target;
use super::query::Params;
use super::{AppState, held};
use crate::diagnosis::{Host, diagnose, select};
use crate::event::Told;
use crate::publish::history::HISTORY;

/// Diagnoses in an answer, when not asked otherwise.
const DIAGNOSES: usize = 10;
/// Most diagnoses in an answer: each is some 30 kB and looks at every event that is kept.
const MOST_DIAGNOSES: usize = 100;
/// A diagnosis in rows of lists, by its size.
const ROWS_EACH: usize = 30;

/// How many diagnoses are wanted, and of whom.
pub(super) fn read(params: &mut Params) -> Result<(usize, PeerFilter), ApiError> {
    let limit = params.number_or("limit", "At most so many diagnoses.", [1, MOST_DIAGNOSES], DIAGNOSES)?;
    Ok((limit, PeerFilter::one_from_params(params)?))
}

/// `/api/v1/explain`.
pub(super) async fn explain(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let (limit, filter) = Params::read(pairs, read)?;
    if filter.peer.is_none() && filter.port.is_none() {
        return Err(ApiError::NoTarget);
    }

    let snapshot = state.fresh_with_peers().await;
    let signals = state.published.signals();
    let host = Host::new(&snapshot, &signals).ok_or(ApiError::Busy { what: "requests for fresh counts" })?;
    let places = held::places(&state.rows, limit * ROWS_EACH, "explanations")?;
    let mut kept: Vec<Arc<Told>> = state.published.history_before(u64::MAX, HISTORY);
    kept.reverse();
    let (subjects, matching) = select(&filter, &host, &kept, limit);
    if subjects.is_empty() {
        let target = Target { peer: filter.peer, port: filter.port };
        return Err(ApiError::UnknownPeer { target: target.to_string() });
    }
    let diagnoses: Vec<_> = subjects.iter().map(|subject| diagnose(subject, &host)).collect();
    let events_since = state.published.kept().map(|kept| kept.oldest_time);
    let mut view = explain_view(
        snapshot.taken,
        snapshot.started,
        events_since,
        matching,
        &diagnoses,
        state.published.known(),
    );
    for cause in view.diagnoses.iter_mut().flat_map(|diagnosis| &mut diagnosis.evidence) {
        cause.here = whose(&kept, &cause.examples, state.published.known());
    }
    held::json(&view, places)
}
