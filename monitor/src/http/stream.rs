//! `/api/v1/events/stream`: events as they happen, to any number of readers up to a bound, each at its own pace.
//!
//! Nothing is queued per reader. It is woken when there are news and takes the next few from the history; ids are gapless,
//! so its place is one number, and one that falls behind the history is told how many it missed. What a reader that has
//! stopped reading can hold on to is therefore a constant (ARCHITECTURE.md has the sum). No reader makes another one, or
//! the pipeline, wait.

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
use monitor_common::counters::Kind;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::api::Pairs;
use super::convert::owners::resolved_view;
use super::error::{ApiError, quote};
use super::filter::EventFilter;
use super::query::Params;
use super::server::{BUFFER_BYTES, SEND_BUFFER_BYTES};
use super::{AppState, held, stopped};
use crate::event::Told;
use crate::publish::Published;
use crate::publish::history::{News, STRETCH};
use crate::view::{EventView, LaggedView};

/// Quiet time after which a comment is sent, so that a dead connection is noticed and no proxy ends an idle one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What a reader that has stopped reading may hold on to, in bytes: events and revisions that the history has let go of, a message, the
/// HTTP library's two buffers, and the kernel's, of which it makes twice as much.
pub(super) const MOST_HELD: usize =
    2 * STRETCH * (size_of::<Told>() + TEXT_BYTES) + MESSAGE_BYTES + 2 * BUFFER_BYTES + 2 * SEND_BUFFER_BYTES;
/// What an event has beside itself: names, and the fields that led to its verdict.
const TEXT_BYTES: usize = 128;
/// An event as JSON, with long names.
const MESSAGE_BYTES: usize = 4 * 1024;
/// Names of the messages that are an event.
pub(super) const OF_EVENTS: [&str; 5] = [RESET, OVERFLOW, IDLE_CLOSE, VERDICT, BURST];
const RESET: &str = "reset";
const OVERFLOW: &str = "listen_overflow";
const IDLE_CLOSE: &str = "idle_close";
const VERDICT: &str = "verdict";
const BURST: &str = "burst";
/// Name of the message that tells of a gap.
pub(super) const LAGGED: &str = "lagged";
/// Does nothing in a reader.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// From where on events are wanted, and which.
pub(super) fn read(params: &mut Params) -> Result<(Option<u64>, EventFilter), ApiError> {
    let after = "Begins after the event with this id; 0 with the oldest that is kept. Without it, with what happens next.";
    Ok((params.number("after", after, 0, u64::MAX)?, EventFilter::from_params(params)?))
}

/// `/api/v1/events/stream`.
pub(super) async fn stream(
    State(state): State<AppState>,
    headers: HeaderMap,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    let (after, filter) = Params::read(pairs, read)?;
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
    news: watch::Receiver<()>,
    shutdown: watch::Receiver<bool>,
    filter: EventFilter,
    /// The reader may have been given events from this id on, by this stream or an earlier one.
    first: u64,
    /// Id of the last event that was sent or left out on purpose.
    last: u64,
    /// Number of the last revision that was looked at.
    revision: u64,
    pending: VecDeque<Arc<Told>>,
    /// Events that were sent, with what is new about them: `verdict` or `burst`.
    revised: VecDeque<(&'static str, Arc<Told>)>,
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
        // Before the history is read: what happens in between wakes once too often and is not missed.
        let news = published.watch_news();
        let (oldest, newest) = published.kept().map_or((1, 0), |kept| (kept.oldest, kept.newest));
        let (first, last) = match after {
            None => (newest + 1, newest),
            // Everything that is left. So for an id from the future: it is from before a restart, which begins at 1.
            Some(after) if after == 0 || after > newest => (oldest, oldest - 1),
            Some(after) => (1, after),
        };
        let revision = published.revisions_known_at(last);
        Self {
            published,
            news,
            shutdown,
            filter,
            first,
            last,
            revision,
            pending: VecDeque::new(),
            revised: VecDeque::new(),
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
            // Before what is left to send: a reader far behind must not make the daemon's end wait.
            if *self.shutdown.borrow() {
                return None;
            }
            if let Some(piece) = self.next_known() {
                return Some((Ok(piece), self));
            }
            tokio::select! {
                biased;
                () = stopped(&mut self.shutdown) => return None,
                changed = self.news.changed() => changed.ok()?,
                () = self.published.owner_known_or_late(self.pending.front()) => {}
                () = &mut quiet => return Some((Ok(COMMENT), self)),
            }
        }
    }

    /// The next piece that does not have to be waited for.
    fn next_known(&mut self) -> Option<Bytes> {
        loop {
            if let Some((news, told)) = self.revised.pop_front() {
                // No id: a reader's place is that of the last event.
                return Some(message(None, news, &self.view(&told)));
            }
            let Some(told) = self.pending.pop_front() else {
                if self.refill() {
                    continue;
                }
                return None;
            };
            let missed = told.id - self.last - 1;
            if missed > 0 {
                self.last += missed;
                self.pending.push_front(told);
                return Some(message(None, LAGGED, &LaggedView { missed }));
            }
            let matches = self.filter.matches(&told);
            if matches && self.published.is_early(&told) {
                self.pending.push_front(told);
                return None;
            }
            self.last = told.id;
            if matches {
                return Some(message(Some(told.id), name(told.event.kind), &self.view(&told)));
            }
        }
    }

    fn view(&self, told: &Told) -> EventView {
        resolved_view(told, self.published.known())
    }

    /// Takes what has come since; false if nothing has.
    fn refill(&mut self) -> bool {
        let before = (self.last, self.revision);
        let News { events, revised, revision } = self.published.news(self.last, self.revision);
        self.revision = revision;
        for (revision, told) in revised {
            // An event that was not sent yet is sent as it is now. One that does not match any more was sent when it did.
            let sent = self.first <= told.id && told.id <= self.last;
            if sent && (self.filter.matches(&told) || self.filter.matches_as(&told, revision.was)) {
                self.revised.push_back((if revision.in_burst { BURST } else { VERDICT }, told));
            }
        }
        self.pending.extend(events);
        !self.pending.is_empty() || before != (self.last, self.revision)
    }
}

/// What is no reset has a name of its own.
const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::IdleCloseSent | Kind::IdleCloseReceived => IDLE_CLOSE,
        Kind::ListenOverflow => OVERFLOW,
        Kind::ResetSent
        | Kind::ResetReceived
        | Kind::RefusedSent
        | Kind::RefusedReceived
        | Kind::StraySent
        | Kind::StrayReceived
        | Kind::RejectSent => RESET,
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
