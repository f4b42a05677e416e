//! Every refusal of the HTTP side: its status, and one sentence that names what was wrong.

use axum::Json;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};

use crate::view::ErrorView;

/// Longest piece of a request that is repeated in an answer, in characters.
const LONGEST_QUOTE: usize = 100;

/// Every status of a refusal, its name in the document of the API, and when it is given.
pub(super) const REFUSALS: [(StatusCode, &str, &str); 8] = [
    (
        StatusCode::BAD_REQUEST,
        "BadRequest",
        "A parameter is unknown, given twice or has a value that is not possible.",
    ),
    (StatusCode::FORBIDDEN, "ForeignOrigin", "A browser asks for a page of another site."),
    (StatusCode::NOT_FOUND, "NotFound", "Nothing is there, or nothing is known of the peer."),
    (StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "Another method than GET and HEAD."),
    (StatusCode::PAYLOAD_TOO_LARGE, "Body", "The request has a body."),
    (
        StatusCode::MISDIRECTED_REQUEST,
        "ForeignHost",
        "The host that is asked for is not one of `--allowed-host`, nor localhost, nor an IP address.",
    ),
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalError",
        "A failure of the daemon's own; its log has the details.",
    ),
    (StatusCode::SERVICE_UNAVAILABLE, "Unavailable", "Too many requests of this kind at once, or not ready."),
];

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ApiError {
    #[error("unknown parameter `{name}`; known here: {known}")]
    UnknownParameter { name: String, known: String },
    #[error("parameter `{name}` is given twice")]
    RepeatedParameter { name: String },
    #[error("parameter `{name}`: `{value}` is not {expected}")]
    BadParameter { name: &'static str, value: String, expected: String },
    #[error("nothing at `{path}`; the page at / links to what there is")]
    UnknownPath { path: String },
    #[error("what to explain is missing: give `peer`, `port` or both")]
    NoTarget,
    #[error(
        "nothing is known of `{target}`; `reset-monitor peers` and /api/v1/peers list the peers that are known: one appears with its first connection, and a port without peers once something listens or refuses there"
    )]
    UnknownPeer { target: String },
    #[error("only GET and HEAD are answered here")]
    WrongMethod,
    #[error(
        "host `{host}` is not one this daemon answers to; add it to the allowed hosts, or use an IP address"
    )]
    ForeignHost { host: String },
    #[error("requests from pages of other sites are refused")]
    ForeignOrigin,
    #[error("a request with a body is refused: nothing here takes one")]
    Body,
    #[error("too many {what} at once; try again")]
    Busy { what: &'static str },
    #[error("not ready: {why}")]
    NotReady { why: String },
    #[error("internal error; the daemon's log has the details")]
    Internal,
}

impl ApiError {
    const fn status(&self) -> StatusCode {
        match self {
            Self::UnknownParameter { .. }
            | Self::RepeatedParameter { .. }
            | Self::BadParameter { .. }
            | Self::NoTarget => StatusCode::BAD_REQUEST,
            Self::UnknownPath { .. } | Self::UnknownPeer { .. } => StatusCode::NOT_FOUND,
            Self::WrongMethod => StatusCode::METHOD_NOT_ALLOWED,
            Self::ForeignHost { .. } => StatusCode::MISDIRECTED_REQUEST,
            Self::ForeignOrigin => StatusCode::FORBIDDEN,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Busy { .. } | Self::NotReady { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.status();
        let mut response = (status, Json(ErrorView { error: self.to_string() })).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            // Seconds.
            response.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        }
        response
    }
}

/// Answer for a path without a route.
pub(super) async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::UnknownPath { path: quote(uri.path()) }
}

/// Answer for a method other than GET and HEAD.
pub(super) async fn wrong_method() -> ApiError {
    ApiError::WrongMethod
}

/// A piece of the request for an error text, cut to a length that fits one line.
pub(super) fn quote(text: &str) -> String {
    text.chars().take(LONGEST_QUOTE).collect()
}
