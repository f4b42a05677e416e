//! All routes, in one list: what the router answers and what the document of the API describes are the same.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, get};
use schemars::SchemaGenerator;

use super::openapi::{Answer, COUNTED, ITSELF, JUDGED, Operation, TOLD};
use super::query::{self, Known, Params};
use super::{
    AppState, alerts, api, events, explain, health, history, listeners, openapi, overview, page, scrape,
    stream, timeouts,
};
use crate::view;

/// What is made of the routes: the router or the document of the API.
///
/// A trait, because what the router does not call is not in the daemon: with a list of values that hold both, schemas of all views were.
pub(super) trait List {
    /// Takes a path as router and document spell it, what answers there, and what the document says of it: nothing of the page, which
    /// is for people.
    fn route(
        &mut self,
        path: &'static str,
        handler: MethodRouter<AppState>,
        operation: impl FnOnce() -> Option<Operation>,
    );
}

impl List for Router<AppState> {
    fn route(
        &mut self,
        path: &'static str,
        handler: MethodRouter<AppState>,
        _: impl FnOnce() -> Option<Operation>,
    ) {
        *self = std::mem::take(self).route(path, handler);
    }
}

/// Whatever is asked for: a body, a failure of our own.
const OPEN: &[StatusCode] = &[StatusCode::PAYLOAD_TOO_LARGE, StatusCode::INTERNAL_SERVER_ERROR];
/// Besides, what may be busy or not ready.
const OPEN_BUSY: &[StatusCode] =
    &[StatusCode::PAYLOAD_TOO_LARGE, StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE];
/// Below `/api`: names of hosts, other sites and parameters.
const API: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::INTERNAL_SERVER_ERROR,
];
/// Besides, answers that take up memory.
const API_BUSY: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];
/// Besides, a peer of whom nothing is known.
const API_NAMED: &[StatusCode] = &[
    StatusCode::BAD_REQUEST,
    StatusCode::FORBIDDEN,
    StatusCode::NOT_FOUND,
    StatusCode::PAYLOAD_TOO_LARGE,
    StatusCode::MISDIRECTED_REQUEST,
    StatusCode::INTERNAL_SERVER_ERROR,
    StatusCode::SERVICE_UNAVAILABLE,
];
/// Formats of `/metrics`. Protobuf is a matter of the build.
const METRICS: &[&str] = &["text/plain", "application/openmetrics-text"];

/// Every route.
pub(super) fn routes(list: &mut impl List) {
    page_routes(list);
    diagnosis_routes(list);
    count_routes(list);
    event_routes(list);
    daemon_routes(list);
}

fn page_routes(list: &mut impl List) {
    list.route("/", get(page::page), || None);
    list.route("/assets/{*path}", get(page::asset), || None);
}

fn diagnosis_routes(list: &mut impl List) {
    list.route("/api/v1/overview", get(overview::overview), || {
        Some(Operation {
            id: "getOverview",
            tag: JUDGED,
            summary: "Whether anything is wrong now, with whom, why, and what to change",
            parameters: no_parameters,
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::overview::OverviewView>),
            refusals: API_BUSY,
        })
    });
    list.route("/api/v1/explain", get(explain::explain), || {
        Some(Operation {
            id: "explain",
            tag: JUDGED,
            summary: "What is wrong with a peer, or with all peers of a port, the evidence, and the fix; \
`peer`, `port` or both must be given",
            parameters: || Params::known(explain::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::explain::ExplainView>),
            refusals: API_NAMED,
        })
    });
    list.route("/api/v1/timeouts", get(timeouts::timeouts), || {
        Some(Operation {
            id: "listTimeouts",
            tag: JUDGED,
            summary: "Idle timeouts of both sides, inferred from what they closed, \
and whether they are aligned",
            parameters: || Params::known(timeouts::Wanted::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::timeouts::TimeoutsView>),
            refusals: API_BUSY,
        })
    });
    list.route("/api/v1/alerts", get(alerts::alerts), || {
        Some(Operation {
            id: "listAlerts",
            tag: JUDGED,
            summary: "What is firing or about to, what is over, and what alerts go by",
            parameters: || Params::known(alerts::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::alerts::AlertsView>),
            refusals: API_BUSY,
        })
    });
}

fn count_routes(list: &mut impl List) {
    list.route("/api/v1/peers", get(api::peers), || {
        Some(Operation {
            id: "listPeers",
            tag: COUNTED,
            summary: "Peers with their connections, resets and causes, a window of them at a time",
            parameters: || Params::known(api::Wanted::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::PeersView>),
            refusals: API_BUSY,
        })
    });
    list.route("/api/v1/listeners", get(listeners::listeners), || {
        Some(Operation {
            id: "listListeners",
            tag: COUNTED,
            summary: "Listening sockets with their accept queues, \
and what the kernel dropped when they were full",
            parameters: || Params::known(listeners::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::listeners::ListenersView>),
            refusals: API_BUSY,
        })
    });
    list.route("/api/v1/history", get(history::history), || {
        Some(Operation {
            id: "getHistory",
            tag: COUNTED,
            summary: "What was counted in each interval of the last half hour, 6 hours or day, \
of all peers and of those with the most resets",
            parameters: || Params::known(history::Wanted::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::history::HistoryView>),
            refusals: API_BUSY,
        })
    });
    list.route("/metrics", get(scrape::metrics), || {
        Some(Operation {
            id: "scrape",
            tag: COUNTED,
            summary: "Metrics for Prometheus: text 0.0.4, or OpenMetrics 1.0.0 if `Accept` prefers it",
            parameters: Vec::new,
            answer: Answer::Text(METRICS),
            refusals: OPEN_BUSY,
        })
    });
}

fn event_routes(list: &mut impl List) {
    list.route("/api/v1/events", get(events::events), || {
        Some(Operation {
            id: "listEvents",
            tag: TOLD,
            summary: "Events that are kept, the last ones or a page at a time in either direction",
            parameters: || Params::known(events::Wanted::read),
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::EventsView>),
            refusals: API_BUSY,
        })
    });
    list.route("/api/v1/events/stream", get(stream::stream), || {
        Some(Operation {
            id: "streamEvents",
            tag: TOLD,
            summary: "Events as they happen, as server-sent events",
            parameters: || Params::known(stream::read),
            answer: Answer::Stream,
            refusals: API_BUSY,
        })
    });
}

fn daemon_routes(list: &mut impl List) {
    list.route("/api/v1/status", get(api::status), || {
        Some(Operation {
            id: "getStatus",
            tag: ITSELF,
            summary: "Everything counted but the peers, beside what the kernel counted",
            parameters: no_parameters,
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::StatusView>),
            refusals: API,
        })
    });
    list.route("/api/v1/signals", get(api::signals), || {
        Some(Operation {
            id: "listSignals",
            tag: ITSELF,
            summary: "What each signal is served by on this kernel, and how well",
            parameters: no_parameters,
            answer: Answer::Json(SchemaGenerator::subschema_for::<view::SignalsView>),
            refusals: API,
        })
    });
    list.route("/api/v1/openapi.json", get(openapi::openapi), || {
        Some(Operation {
            id: "getDocument",
            tag: ITSELF,
            summary: "This document",
            parameters: no_parameters,
            answer: Answer::Json(|_| schemars::json_schema!({ "type": "object" })),
            refusals: API,
        })
    });
    list.route("/healthz", get(health::alive), || {
        Some(Operation {
            id: "isAlive",
            tag: ITSELF,
            summary: "200 while the process answers",
            parameters: Vec::new,
            answer: Answer::Text(&["text/plain"]),
            refusals: OPEN,
        })
    });
    list.route("/readyz", get(health::ready), || {
        Some(Operation {
            id: "isReady",
            tag: ITSELF,
            summary: "200 while the counters are read, else 503 and why",
            parameters: Vec::new,
            answer: Answer::Text(&["text/plain"]),
            refusals: OPEN_BUSY,
        })
    });
}

fn no_parameters() -> Vec<Known> {
    Params::known(query::none)
}
