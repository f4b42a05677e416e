//! `/api/v1/events`: the events kept, filtered, a page at a time in either direction.
//!
//! A page is gathered in stretches: a filter may have to look at every event that is kept, and the history is held only
//! while a stretch of it is copied.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::response::Response;

use super::api::Pairs;
use super::convert::owners::resolved_view;
use super::error::ApiError;
use super::filter::EventFilter;
use super::query::Params;
use super::{AppState, convert, held};
use crate::event::Told;
use crate::publish::Published;
use crate::publish::history::{HISTORY, STRETCH};
use crate::view::EventsView;

/// Events in an answer, when not asked otherwise.
const EVENTS: usize = 100;

/// What of `/api/v1/events` is wanted.
pub(super) struct Wanted {
    limit: usize,
    after: Option<u64>,
    before: Option<u64>,
    filter: EventFilter,
}

impl Wanted {
    pub(super) fn read(params: &mut Params) -> Result<Self, ApiError> {
        let limit = params.number_or("limit", "At most so many events.", [1, HISTORY], EVENTS)?;
        let after = "The first ones after the event with this id; 0 begins with the oldest that is kept.";
        let after = params.number("after", after, 0, u64::MAX)?;
        let before = "Up to the event before this id: the last ones, or with `after` those in between.";
        let before = params.number("before", before, 1, u64::MAX)?;
        Ok(Self { limit, after, before, filter: EventFilter::from_params(params)? })
    }
}

/// `/api/v1/events`: the last ones, or those before `before`; with `after` the first ones after it.
pub(super) async fn events(State(state): State<AppState>, Query(pairs): Pairs) -> Result<Response, ApiError> {
    let Wanted { limit, after, before, filter } = Params::read(pairs, Wanted::read)?;

    let page = match after {
        Some(after) => forwards(&state.published, &filter, after, before, limit),
        None => backwards(&state.published, &filter, before, limit),
    };
    let places = held::places(&state.rows, page.events.len(), "long lists")?;
    let kept = state.published.kept();
    let view = EventsView {
        events: page.events.iter().map(|told| resolved_view(told, state.published.known())).collect(),
        missed: page.missed,
        next: page.next,
        previous: page.previous.filter(|previous| kept.is_some_and(|kept| *previous > kept.oldest)),
        oldest: kept.map(|kept| kept.oldest),
        oldest_time: kept.map(|kept| convert::event_time(kept.oldest_time)),
        newest: kept.map(|kept| kept.newest),
        started: convert::event_time(state.published.latest().started),
    };
    held::json(&view, places)
}

/// What was found, oldest first, and where to go on.
struct Page {
    events: Vec<Arc<Told>>,
    missed: u64,
    next: u64,
    previous: Option<u64>,
}

/// The first events after an id that match, at most up to another one.
fn forwards(
    published: &Published,
    filter: &EventFilter,
    after: u64,
    before: Option<u64>,
    limit: usize,
) -> Page {
    let newest = published.kept().map_or(0, |kept| kept.newest);
    // An id from the future is from before a restart, which begins at 1: everything is new.
    let after = if after > newest { 0 } else { after };
    let end = newest.min(before.map_or(u64::MAX, |before| before - 1));
    let mut page = Page { events: Vec::new(), missed: 0, next: after, previous: Some(after + 1) };
    loop {
        let stretch = published.history_after(page.next, STRETCH);
        let Some(first) = stretch.first() else { return page };
        let forgotten = first.id - page.next - 1;
        // Forgotten while we looked: the answer ends before the gap, so that the next one tells it.
        if forgotten > 0 && page.next > after {
            return page;
        }
        // Who asks for everything has missed nothing of what is there.
        if after > 0 {
            page.missed = page.missed.max(forgotten);
        }
        for told in stretch {
            if told.id > end || page.events.len() == limit {
                return page;
            }
            page.next = told.id;
            if filter.matches(&told) {
                page.events.push(told);
            }
        }
    }
}

/// The last events before an id that match.
fn backwards(published: &Published, filter: &EventFilter, before: Option<u64>, limit: usize) -> Page {
    let mut at = before.unwrap_or(u64::MAX);
    let mut stretch = published.history_before(at, STRETCH);
    let next = stretch.first().map_or(before.map_or(0, |before| before - 1), |newest| newest.id);
    let mut page = Page { events: Vec::new(), missed: 0, next, previous: None };
    'gather: while !stretch.is_empty() {
        for told in stretch {
            if page.events.len() == limit {
                break 'gather;
            }
            at = told.id;
            if filter.matches(&told) {
                page.events.push(told);
            }
        }
        stretch = published.history_before(at, STRETCH);
    }
    page.previous = Some(at);
    page.events.reverse();
    page
}
