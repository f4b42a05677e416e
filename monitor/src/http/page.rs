//! `/` and `/assets/*`: the page for people, embedded as it is in the repository. It asks the API for everything that it shows.
//!
//! Nothing of it is made here, so nothing from outside can get into it on the way: see `assets/js/dom.js` for what becomes of names.

use std::hash::{DefaultHasher, Hash, Hasher};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::error::{ApiError, quote};

/// A file of the page: its path below `/assets/`, its type, its bytes.
type Asset = (&'static str, &'static str, &'static [u8]);

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PAGE: Asset = ("", "text/html; charset=utf-8", include_bytes!("../../assets/index.html"));

/// A file that lies where it is served.
macro_rules! asset {
    ($path:literal, $kind:expr) => {
        ($path, $kind, include_bytes!(concat!("../../assets/", $path)))
    };
}

const ASSETS: [Asset; 26] = [
    asset!("icon.svg", "image/svg+xml"),
    asset!("page.css", STYLE),
    asset!("vendor/uPlot.iife.min.js", SCRIPT),
    asset!("vendor/uPlot.min.css", STYLE),
    asset!("js/api.js", SCRIPT),
    asset!("js/app.js", SCRIPT),
    asset!("js/dom.js", SCRIPT),
    asset!("js/format.js", SCRIPT),
    asset!("js/idle.js", SCRIPT),
    asset!("js/margin.js", SCRIPT),
    asset!("js/parts.js", SCRIPT),
    asset!("js/past.js", SCRIPT),
    asset!("js/plot.js", SCRIPT),
    asset!("js/poll.js", SCRIPT),
    asset!("js/route.js", SCRIPT),
    asset!("js/stream.js", SCRIPT),
    asset!("js/table.js", SCRIPT),
    asset!("js/theme.js", SCRIPT),
    asset!("js/words.js", SCRIPT),
    asset!("js/views/events.js", SCRIPT),
    asset!("js/views/listeners.js", SCRIPT),
    asset!("js/views/overview.js", SCRIPT),
    asset!("js/views/peer.js", SCRIPT),
    asset!("js/views/peers.js", SCRIPT),
    asset!("js/views/signals.js", SCRIPT),
    asset!("js/views/timeouts.js", SCRIPT),
];

/// `/`.
pub(super) async fn page(headers: HeaderMap) -> Response {
    answer(&PAGE, &headers)
}

/// `/assets/{path}`.
pub(super) async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    match ASSETS.iter().find(|(known, _, _)| *known == path) {
        Some(asset) => answer(asset, &headers),
        None => ApiError::UnknownPath { path: quote(&format!("/assets/{path}")) }.into_response(),
    }
}

/// The file, or that it is still the one which the browser has. It may be kept as long as it is asked about each time: it changes with
/// the version.
fn answer((path, kind, bytes): &Asset, headers: &HeaderMap) -> Response {
    let mut hasher = DefaultHasher::new();
    (path, bytes).hash(&mut hasher);
    let tag = format!("\"{:016x}\"", hasher.finish());
    let known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let is_known =
        known.flat_map(|tags| tags.split(',')).any(|one| one.trim().trim_start_matches("W/") == tag);
    let caching = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::ETAG, HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))),
    ];
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(header::CONTENT_TYPE, HeaderValue::from_static(kind))], *bytes).into_response()
}
