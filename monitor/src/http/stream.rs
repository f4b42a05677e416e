//! `/api/v1/events/stream`: events as they happen, to any number of readers up to a bound, each at its own pace.
//!
//! Ids are gapless, so a reader's place is one number. A reader that falls behind the live queue is served from the
//! history, and only one that falls behind that is told how many it missed. No reader makes another one, or the
//! pipeline, wait.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::api::Pairs;
use super::error::{ApiError, quote};
use super::filter::EventFilter;
use super::query::Params;
use super::{AppState, convert, held, stopped};
use crate::event::Told;
use crate::publish::{Published, Update};
use crate::view::LaggedView;

/// Quiet time after which a comment is sent, so that a dead connection is noticed and no proxy ends an idle one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events taken from the history at a time: what one slow reader can hold on to beyond the history itself.
const BATCH: usize = 256;
/// Does nothing in a reader.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// `/api/v1/events/stream`.
pub(super) async fn stream(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let mut params = Params::new(pairs)?;
    let after = params.number("after", 0, u64::MAX)?;
    let filter = EventFilter::from_params(&mut params)?;
    params.finish()?;
    // A browser that reconnects repeats the URL and adds the header, so the header is the newer of the two.
    let after = last_event_id(&headers)?.or(after);
    let place = held::places(&state.streams, 1, "event streams")?;

    let reader = Reader::new(state.published, state.shutdown, filter, after, place);
    let body = Body::from_stream(stream::unfold(reader, Reader::next));
    Ok(([(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))], body).into_response())
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, ApiError> {
    let Some(value) = headers.get("last-event-id") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    text.parse().map(Some).or(Err(ApiError::BadParameter {
        name: "Last-Event-ID",
        value: quote(text),
        expected: "an event id".to_owned(),
    }))
}

/// One reader's place in the stream.
struct Reader {
    published: Published,
    live: Receiver<Update>,
    shutdown: watch::Receiver<bool>,
    filter: EventFilter,
    /// Id of the last event that was sent or left out on purpose.
    last: u64,
    pending: VecDeque<Arc<Told>>,
    /// Final verdicts of events that were sent.
    revised: VecDeque<Arc<Told>>,
    /// The history has events that the live queue no longer gives, or never gave.
    behind: bool,
    greeted: bool,
    _place: OwnedSemaphorePermit,
}

impl Reader {
    fn new(
        published: Published,
        shutdown: watch::Receiver<bool>,
        filter: EventFilter,
        after: Option<u64>,
        place: OwnedSemaphorePermit,
    ) -> Self {
        // Subscribed before the history is read: what happens in between comes twice and is told apart by its id.
        let live = published.subscribe();
        let (oldest, newest) = published.history_range().unwrap_or((1, 0));
        let (last, behind) = match after {
            None => (newest, false),
            // Everything that is left. So for an id from the future: it is from before a restart, which begins at 1.
            Some(after) if after == 0 || after > newest => (oldest - 1, true),
            Some(after) => (after, true),
        };
        Self {
            published,
            live,
            shutdown,
            filter,
            last,
            pending: VecDeque::new(),
            revised: VecDeque::new(),
            behind,
            greeted: false,
            _place: place,
        }
    }

    /// The next piece of the body; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if !self.greeted {
            // Makes the headers go out now, not with the first event.
            self.greeted = true;
            return Some((Ok(COMMENT), self));
        }
        let quiet = tokio::time::sleep(KEEP_ALIVE);
        tokio::pin!(quiet);
        loop {
            if let Some(piece) = self.next_known() {
                return Some((Ok(piece), self));
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.shutdown) => return None,
                received = self.live.recv() => match received {
                    Ok(Update::Event(told)) => self.pending.push_back(told),
                    Ok(Update::Revised(told)) => self.revise(told),
                    Err(RecvError::Lagged(_)) => self.behind = true,
                    Err(RecvError::Closed) => return None,
                },
                () = &mut quiet => return Some((Ok(COMMENT), self)),
            }
        }
    }

    /// The next piece that does not have to be waited for.
    fn next_known(&mut self) -> Option<Bytes> {
        while let Some(told) = self.revised.pop_front() {
            if self.filter.matches(&told) {
                // No id: a reader's place is that of the last event.
                return Some(message(None, "verdict", &convert::event_view(&told)));
            }
        }
        loop {
            if self.behind && self.pending.is_empty() {
                self.refill();
            }
            let told = self.pending.pop_front()?;
            if told.id <= self.last {
                continue;
            }
            let missed = told.id - self.last - 1;
            if missed > 0 {
                self.last += missed;
                self.pending.push_front(told);
                return Some(message(None, "lagged", &LaggedView { missed }));
            }
            self.last = told.id;
            if self.filter.matches(&told) {
                let name = if told.event.kind.is_idle_close() { "idle_close" } else { "reset" };
                return Some(message(Some(told.id), name, &convert::event_view(&told)));
            }
        }
    }

    /// What has not been sent yet is sent as it is now.
    fn revise(&mut self, told: Arc<Told>) {
        if told.id <= self.last {
            self.revised.push_back(told);
        } else if let Some(waiting) = self.pending.iter_mut().find(|waiting| waiting.id == told.id) {
            *waiting = told;
        }
    }

    fn refill(&mut self) {
        self.pending.extend(self.published.history_after(self.last, BATCH));
        self.behind = self.pending.len() == BATCH;
    }
}

/// One message. JSON has no line breaks, so the data is one line.
fn message(id: Option<u64>, event: &str, data: &impl serde::Serialize) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    match serde_json::to_string(data) {
        Ok(data) => Bytes::from(format!("{id}event: {event}\ndata: {data}\n\n")),
        // Strings, numbers and options only: cannot fail.
        Err(error) => {
            tracing::error!(%error, "an event could not be written as JSON");
            COMMENT
        }
    }
}
