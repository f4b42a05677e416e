//! `/api/v1/history`: what was counted in each interval of the last hours.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::response::Response;
use monitor_common::peer::Role;

use super::api::Pairs;
use super::convert::history::{Past, history_view};
use super::error::ApiError;
use super::filter::pattern::PeerPattern;
use super::query::Params;
use super::query::form::Form;
use super::{AppState, filter, held};
use crate::snapshot::{IdleHistogram, PeerLabel, Scope, Snapshot};
use crate::trend::{Key, Resolution, Trend};

/// Peers in an answer, when not asked otherwise.
const PEERS: usize = 10;
/// Most peers in an answer: as many as have series of their own by default.
const MOST: usize = 200;
/// A peer in rows of lists, by its size: some nine lists of up to 360 numbers.
const ROWS_EACH: usize = 20;

/// What of `/api/v1/history` is wanted.
pub(super) struct Wanted {
    limit: usize,
    resolution: Resolution,
    peer: Option<PeerPattern>,
    port: Option<u16>,
    role: Option<Role>,
}

impl Wanted {
    pub(super) fn read(params: &mut Params) -> Result<Self, ApiError> {
        let limit = params.number_or("limit", "At most so many peers.", [0, MOST], PEERS)?;
        let steps = Resolution::ALL.map(|resolution| resolution.step().as_secs());
        let step = "Length of an interval: 10 s over half an hour, 60 s over 6 hours, 300 s over a day.";
        let given = params.take("step", step, Form::Seconds(steps.to_vec()), resolution)?;
        params.by_default(Resolution::default().step().as_secs());
        let peer = params.take("peer", filter::WHO, PeerPattern::FORM, |text| text.parse().ok())?;
        let port = params.number("port", filter::SERVICE_PORT, 0, u16::MAX)?;
        let role = params.take("role", filter::ROLE, filter::role_form(), filter::role_from_name)?;
        Ok(Self { limit, resolution: given.unwrap_or_default(), peer, port, role })
    }
}

/// `/api/v1/history`.
pub(super) async fn history(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let Wanted { limit, resolution, peer, port, role } = Params::read(pairs, Wanted::read)?;

    let places = held::places(&state.rows, (1 + limit) * ROWS_EACH, "histories")?;
    let snapshot = state.fresh().await;
    let is_wanted = |label: PeerLabel| {
        peer.is_none_or(|peer| peer.has_scope(label.scope))
            && port.is_none_or(|port| label.port == Some(port))
            && role.is_none_or(|role| label.role == role)
    };
    let view = state.published.past(|trend| {
        let mut peers = known(trend, &snapshot);
        peers.retain(|past| is_wanted(past.label));
        peers.sort_by_cached_key(|past| (Reverse(resets(trend, past, resolution)), past.label));
        let matching = peers.len();
        peers.truncate(limit);
        history_view(trend, &snapshot, resolution, &peers, matching)
    });
    held::json(&view, places)
}

fn resolution(step: &str) -> Option<Resolution> {
    Resolution::ALL.into_iter().find(|resolution| resolution.step().as_secs().to_string() == step)
}

/// Every peer whose past is kept, or whose idle times are.
fn known<'a>(trend: &'a Trend, snapshot: &'a Snapshot) -> Vec<Past<'a>> {
    let mut known: BTreeMap<PeerLabel, Past<'a>> = trend
        .peers()
        .map(|(label, series)| (label, Past { label, series: Some(series), idle: None }))
        .collect();
    for series in snapshot.series.iter().filter(|series| series.label.scope != Scope::Retired) {
        let idle = series.details.as_deref().map(|details| &details.idle);
        if let Some(idle) = idle.filter(|idle| IdleHistogram::count(idle) > 0) {
            let label = series.label;
            known.entry(label).or_insert(Past { label, series: None, idle: None }).idle = Some(idle);
        }
    }
    known.into_values().collect()
}

/// Resets within what is shown.
fn resets(trend: &Trend, past: &Past<'_>, resolution: Resolution) -> u64 {
    let Some(series) = past.series else { return 0 };
    let resets = series.keys().filter(|key| matches!(key, Key::Resets(..)));
    resets.map(|key| trend.sum(series, key, resolution, u64::MAX)).sum()
}
