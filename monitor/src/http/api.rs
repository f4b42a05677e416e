//! `/api/v1/*` except events: the latest snapshot, filtered, as JSON.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Serialize;

use super::convert::names::{name_text, peer_name};
use super::convert::owners::{namespace_cgroup, resident_text};
use super::error::ApiError;
use super::filter::PeerFilter;
use super::query::{self, Params};
use super::{AppState, convert, held, rows};
use crate::counts::PortCounts;
use crate::names::index::Index;
use crate::publish::Known;
use crate::snapshot::PeerRow;
use crate::snapshot::hooked::Hooked;
use crate::view::owners::PeerNamespaceView;
use crate::view::{PeersView, PortView, SignalsView, StatusView};

/// Peers in an answer, when not asked otherwise.
const PEERS: usize = 1_000;
/// What stands for the rows until they are written.
const NO_ROWS: &str = "\"peers\":null";
/// Most peers in an answer: more than any budget of slots.
pub(super) const MOST_PEERS: usize = 200_000;

/// A request's query, before it is checked.
pub(super) type Pairs = Query<Vec<(String, String)>>;

/// `/api/v1/status`.
pub(super) async fn status(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<StatusView>, ApiError> {
    Params::read(pairs, query::none)?;
    Ok(Json(convert::status_view(&*state.fresh().await, &state.settings, state.published.known())))
}

/// `/api/v1/signals`.
pub(super) async fn signals(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Json<SignalsView>, ApiError> {
    Params::read(pairs, query::none)?;
    Ok(Json(convert::signals_view(&state.published.signals(), &state.settings.kernel)))
}

/// What of `/api/v1/peers` is wanted.
pub(super) struct Wanted {
    limit: usize,
    offset: usize,
    filter: PeerFilter,
}

impl Wanted {
    pub(super) fn read(params: &mut Params) -> Result<Self, ApiError> {
        let limit = params.number_or(
            "limit",
            "At most so many peers, and so many ports besides the sum of the rest.",
            [1, MOST_PEERS],
            PEERS,
        )?;
        let offset =
            params.number_or("offset", "So many matching peers are left out first.", [0, usize::MAX], 0)?;
        Ok(Self { limit, offset, filter: PeerFilter::from_params(params)? })
    }
}

/// `/api/v1/peers`.
pub(super) async fn peers(State(state): State<AppState>, Query(pairs): Pairs) -> Result<Response, ApiError> {
    let Wanted { limit, offset, filter } = Params::read(pairs, Wanted::read)?;

    let snapshot = state.fresh_with_peers().await;
    let rows = snapshot.peers.as_ref().ok_or(ApiError::Busy { what: "requests for fresh counts" })?;
    let known = state.published.known();
    let chosen = filter.select_named(rows, |row| names_text(row, known));
    let page = chosen.get(offset..).unwrap_or_default();
    let page = page.get(..limit).unwrap_or(page);
    let ports = ports(&snapshot.port_rows, limit, snapshot.hooked);
    let places = held::places(&state.rows, page.len() + ports.len(), "long lists")?;
    let rest = PeersView {
        time: snapshot.taken.to_string(),
        peers: (),
        matching: chosen.len(),
        total: convert::counts_view(&snapshot.total),
        open: open(rows),
        ports,
        namespaces: namespaces(page, snapshot.listening.own, known),
    };
    let text = match state.published.names() {
        Some(names) => names.read(|index| with_rows(&rest, page, Some(index))),
        None => with_rows(&rest, page, None),
    };
    let text = text.ok_or(ApiError::Internal)?;
    Ok(held::answer("application/json", text, places))
}

/// An answer of which all but the rows is there. They are written one by one, so that a long list is in memory once: as text.
fn with_rows(rest: &impl Serialize, page: &[&PeerRow], names: Option<&Index>) -> Option<String> {
    let rest = serde_json::to_string(rest).ok()?;
    let (before, after) = rest.split_once(NO_ROWS)?;
    let mut text = String::with_capacity(rest.len() + page.len() * rows::ROW_BYTES);
    text.extend([before, "\"peers\":["]);
    for (index, row) in page.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        let name = names.and_then(|index| peer_name(index, &row.label));
        rows::push(&mut text, row, name.as_ref());
    }
    text.extend(["]", after]);
    Some(text)
}

/// What a peer is called besides its address, and whose it is.
fn names_text(row: &PeerRow, known: Known<'_>) -> String {
    let name = known.names.and_then(|names| names.read(|index| peer_name(index, &row.label)));
    let cgroup = row.netns.and_then(|netns| namespace_cgroup(netns, known));
    let whose = cgroup.as_ref().and_then(resident_text);
    [name.as_ref().map(name_text), whose].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// The network namespaces of these rows, besides our own.
fn namespaces(page: &[&PeerRow], own: Option<u32>, known: Known<'_>) -> Vec<PeerNamespaceView> {
    let others: BTreeSet<u32> =
        page.iter().filter_map(|row| row.netns).filter(|netns| Some(*netns) != own).collect();
    let view = |netns| PeerNamespaceView { netns, cgroup: namespace_cgroup(netns, known) };
    others.into_iter().map(view).collect()
}

/// How many connections are open; `None` while no walk has looked.
fn open(rows: &[PeerRow]) -> Option<u64> {
    rows.iter().filter_map(|row| row.open).map(|open| open.open).reduce(u64::saturating_add)
}

/// The busiest `limit` ports, then the sum of the rest.
fn ports(rows: &[(u16, PortCounts)], limit: usize, hooked: Hooked) -> Vec<PortView> {
    let mut rows: Vec<&(u16, PortCounts)> = rows.iter().collect();
    rows.sort_by_key(|(_, counts)| Reverse(convert::port_sum(counts)));
    let (shown, rest) = rows.split_at(limit.min(rows.len()));
    let mut views: Vec<PortView> =
        shown.iter().map(|(port, counts)| convert::port_view(Some(*port), counts, hooked)).collect();
    if !rest.is_empty() {
        views.push(convert::port_view(None, &rest.iter().map(|(_, counts)| *counts).sum(), hooked));
    }
    views
}
