//! What every request passes before its handler, and every answer after it.
//!
//! A page of another site must not read this daemon through a browser on this host. DNS rebinding makes such a page
//! "same origin" under a name of the attacker's choice, so the name is checked: IP addresses, `localhost` and configured
//! names are answered. Metrics and health stay open to any name, as scrapers and probes use what they like.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;

use super::Settings;
use super::error::{ApiError, quote};

/// Paths answered under any host name.
const ANY_HOST: [&str; 3] = ["/metrics", "/healthz", "/readyz"];

/// On every answer. Only our own scripts run, and they cannot make elements of text (trusted types); nothing is loaded from or sent
/// elsewhere; no other page frames this one.
const ALWAYS: [(HeaderName, HeaderValue); 3] = [
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'self'; img-src 'self'; base-uri 'none'; \
             form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        ),
    ),
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
];

/// Refuses foreign hosts, foreign pages and bodies; turns a panic into a 500; adds the headers.
pub(super) async fn guard(State(settings): State<Arc<Settings>>, request: Request, next: Next) -> Response {
    let mut response = match refusal(&settings.allowed_hosts, request.uri(), request.headers()) {
        Some(error) => error.into_response(),
        None => caught(request, next).await,
    };
    let headers = response.headers_mut();
    headers.extend(ALWAYS);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Runs the handler. A bug in one answer must not end the daemon, nor the connection's other answers.
async fn caught(request: Request, next: Next) -> Response {
    let path = quote(request.uri().path());
    match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let why = panic
                .downcast_ref::<&str>()
                .copied()
                .or_else(|| panic.downcast_ref::<String>().map(|text| &**text));
            tracing::error!(?path, why, "a request handler panicked");
            ApiError::Internal.into_response()
        }
    }
}

fn refusal(allowed: &[String], uri: &Uri, headers: &HeaderMap) -> Option<ApiError> {
    let empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    if !empty || headers.contains_key(header::TRANSFER_ENCODING) {
        return Some(ApiError::Body);
    }
    if ANY_HOST.contains(&uri.path()) {
        return None;
    }
    let mut hosts = headers.get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or_default());
    let host = hosts.next().unwrap_or_default();
    // A request may name the host twice: in an absolute URI and in the header. Both have to be ours.
    let named = std::iter::once(host).chain(hosts).chain(uri.authority().map(Authority::as_str));
    if let Some(foreign) = named.into_iter().find(|name| !is_ours(name, allowed)) {
        return Some(ApiError::ForeignHost { host: quote(foreign) });
    }
    // Browsers send no Origin with a GET of the page's own site.
    let foreign = |origin: &HeaderValue| {
        origin.to_str().ok().and_then(|text| text.split_once("://")).is_none_or(|(_, from)| from != host)
    };
    headers.get(header::ORIGIN).filter(|origin| foreign(origin)).map(|_| ApiError::ForeignOrigin)
}

/// Whether `authority` (host, optional port) is a name to answer to.
fn is_ours(authority: &str, allowed: &[String]) -> bool {
    let Ok(authority) = authority.parse::<Authority>() else {
        return false;
    };
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    let name = host.strip_suffix('.').unwrap_or(host);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::Router;
    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use tower::ServiceExt;

    use super::{guard, is_ours};
    use crate::http::Settings;

    async fn broken() {
        panic!("of a test");
    }

    #[tokio::test]
    async fn a_handler_that_panics_costs_its_own_answer_only() {
        let settings = Settings {
            allowed_hosts: Vec::new(),
            kernel: String::new(),
            version: String::new(),
            node: String::new(),
        };
        let router = Router::new()
            .route("/", get(broken))
            .route("/healthz", get(|| async {}))
            .layer(axum::middleware::from_fn_with_state(Arc::new(settings), guard));
        let ask = |path| {
            router
                .clone()
                .oneshot(Request::get(path).header("host", "localhost").body(Body::empty()).unwrap())
        };
        assert_eq!(ask("/").await.unwrap().status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(ask("/healthz").await.unwrap().status(), StatusCode::OK);
    }

    #[test]
    fn addresses_localhost_and_configured_names_are_ours() {
        let allowed = ["Node-7.example".to_owned()];
        for name in
            ["127.0.0.1", "127.0.0.1:9777", "[::1]:9777", "10.1.2.3:80", "localhost:9777", "LOCALHOST."]
        {
            assert!(is_ours(name, &[]), "{name}");
        }
        assert!(is_ours("node-7.EXAMPLE:9777", &allowed));
        assert!(!is_ours("node-7.example", &[]));
    }

    #[test]
    fn names_that_only_look_like_ours_are_not() {
        for name in [
            "",
            ":9777",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "localhost@evil.example",
            "[::1",
            "a b",
        ] {
            assert!(!is_ours(name, &[]), "{name}");
        }
    }
}
