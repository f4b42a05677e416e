//! Requests of strangers: query strings, peer patterns, percent-encoding and headers, through the daemon's own router.
//!
//! The first byte chooses what to do with the others. No request is answered with a failure of ours, a filter that is written
//! as a query selects what it selects here, and it does not matter which characters of a query are escaped.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Request, StatusCode, header};
use jiff::Timestamp;
use monitor::cause::Cause;
use monitor::decode::address;
use monitor::event::Direction;
use monitor::http::filter::order::Order;
use monitor::http::filter::pattern::PeerPattern;
use monitor::http::filter::{EventFilter, PeerFilter, PeerSort};
use monitor::view::{ErrorView, EventsView};
use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use crate::choices::{Choices, words};
use crate::daemon::{ADDRESSES, Answer, Daemon, PORTS};

const ENDPOINTS: [&str; 12] = [
    "/api/v1/events",
    "/api/v1/peers",
    "/api/v1/events/stream",
    "/api/v1/status",
    "/api/v1/signals",
    "/api/v1/explain",
    "/api/v1/listeners",
    "/api/v1/alerts",
    "/api/v1/timeouts",
    "/api/v1/history",
    "/api/v1/overview",
    "/api/v1/openapi.json",
];
const HEADERS: [HeaderName; 5] = [
    header::HOST,
    header::ORIGIN,
    header::ACCEPT,
    HeaderName::from_static("last-event-id"),
    header::CONTENT_LENGTH,
];

/// The target.
pub fn check(input: &[u8]) {
    let [how, rest @ ..] = input else { return };
    let endpoint = ENDPOINTS[usize::from(how / 8) % ENDPOINTS.len()];
    match how % 8 {
        0 => drop(written(endpoint, rest)),
        1 => pairs(endpoint, &mut Choices(rest)),
        2 => drop(escaped(endpoint, rest)),
        3 => either(endpoint, rest),
        4 => events(&mut Choices(rest)),
        5 => peers(&mut Choices(rest)),
        6 => pattern(rest),
        _ => headers(endpoint, rest),
    }
}

/// The query as it came.
fn written(endpoint: &str, query: &[u8]) -> Option<Answer> {
    let target = [endpoint.as_bytes(), b"?", query].concat();
    let target = PathAndQuery::try_from(target.as_slice()).ok()?;
    Some(ask(Request::get(target.as_str()).header(header::HOST, "localhost")))
}

/// Parameters that there are, with values that may be theirs.
fn pairs(endpoint: &str, choices: &mut Choices<'_>) {
    let names = refusal(endpoint, "unknown");
    let mut query = Vec::new();
    while !choices.is_empty() {
        let name = choices.one_of(&names);
        let value = match choices.byte() % 4 {
            0 => choices.number().to_string(),
            1 => choices.one_of(&refusal(endpoint, &format!("{name}=?"))).clone(),
            2 => peer(choices).map(|peer| peer.to_string()).unwrap_or_default(),
            _ => choices.text(),
        };
        if !query.is_empty() {
            query.push(b'&');
        }
        query.extend(format!("{name}={value}").bytes());
    }
    drop(escaped(endpoint, &query));
}

/// The words of a refusal, which names what is possible.
fn refusal(endpoint: &str, query: &str) -> Vec<String> {
    words(&written(endpoint, query.as_bytes()).expect("a query").text)
}

/// The query with everything escaped that has to be, and more.
fn escaped(endpoint: &str, query: &[u8]) -> Option<Answer> {
    let mut text = String::new();
    for &byte in query {
        if matches!(byte, b'&' | b'=') {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").unwrap();
        }
    }
    written(endpoint, text.as_bytes())
}

/// Both, for a query in which no character means another one. A fragment is no part of a query.
fn either(endpoint: &str, query: &[u8]) {
    let literal = query.iter().all(|byte| byte.is_ascii_graphic() && !b"+%#".contains(byte));
    if literal && let Some(plain) = written(endpoint, query) {
        assert_eq!(Some(plain), escaped(endpoint, query));
    }
}

/// One header with any value, on the page of metrics too: its format follows from one.
fn headers(endpoint: &str, input: &[u8]) {
    let [which, value @ ..] = input else { return };
    let name = &HEADERS[usize::from(*which) % HEADERS.len()];
    let Ok(value) = HeaderValue::from_bytes(value) else { return };
    for path in [endpoint, "/metrics", "/"] {
        let mut request = Request::get(path).header(name, &value);
        if *name != header::HOST {
            request = request.header(header::HOST, "localhost");
        }
        ask(request);
    }
}

/// What holds for every answer.
fn ask(request: axum::http::request::Builder) -> Answer {
    let answer = Daemon::get().ask(request.body(Body::empty()).unwrap());
    assert!(!answer.status.is_server_error(), "{answer:?}");
    if answer.status != StatusCode::OK {
        let ErrorView { error } = serde_json::from_str(&answer.text).expect("a refusal says why");
        assert!(!error.is_empty(), "{answer:?}");
    }
    answer
}

/// Seconds since the epoch, around those of the events.
const TIMES: [i64; 4] = [0, 400_000_000, 1_700_000_000, 4_000_000_000];

fn time(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap()
}

/// A filter of events, asked for as the command line does.
fn events(choices: &mut Choices<'_>) {
    let filter = EventFilter {
        peer: peer(choices),
        port: port(choices),
        direction: choices.maybe(&[Direction::Sent, Direction::Received]),
        cause: choices.maybe(&Cause::ALL),
        kind: choices.maybe(&Kind::ALL),
        idle_closes: choices.maybe(&[true, false]).unwrap_or_default(),
        since: choices.maybe(&TIMES.map(time)),
        until: choices.maybe(&TIMES.map(time)),
    };
    let wanted: Vec<u64> =
        Daemon::get().events.iter().filter(|told| filter.matches(told)).map(|told| told.id).collect();
    let query = filter.to_query();
    let answer = written("/api/v1/events", format!("limit=100{query}").as_bytes()).expect(&query);
    assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
    let EventsView { events, .. } = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(events.iter().map(|event| event.id).collect::<Vec<_>>(), wanted, "{query}");
    assert!(events.iter().all(|event| filter.matches_view(event)), "{query}");

    let stream = written("/api/v1/events/stream", format!("after=0{query}").as_bytes()).expect(&query);
    let ids = stream.text.lines().filter_map(|line| line.strip_prefix("id: ")?.parse().ok());
    assert_eq!(ids.collect::<Vec<u64>>(), wanted, "{query}");
}

/// A filter of peers, likewise.
fn peers(choices: &mut Choices<'_>) {
    let filter = PeerFilter {
        peer: peer(choices),
        port: port(choices),
        role: choices.maybe(&Role::ALL),
        netns: choices.maybe(&[0, 4_026_531_840, 4_026_531_841, u32::MAX]),
        text: choices.maybe(&["10.", "443", "client", "_", "other"]).map(|text| text.parse().unwrap()),
        sort: choices.maybe(&PeerSort::ALL).unwrap_or_default(),
        order: choices.maybe(&Order::ALL),
    };
    let wanted: Vec<String> =
        filter.select(&Daemon::get().rows).into_iter().map(|row| row.label.scope.to_string()).collect();
    let query = filter.to_query();
    let answer = written("/api/v1/peers", format!("limit=100{query}").as_bytes()).expect(&query);
    assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
    let view: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    let shown = view["peers"].as_array().unwrap().iter().map(|peer| peer["peer"].as_str().unwrap());
    assert!(shown.eq(wanted.iter().map(String::as_str)), "{query}: {view} instead of {wanted:?}");
}

/// What is shown of a pattern is that pattern.
fn pattern(text: &[u8]) {
    let Ok(text) = std::str::from_utf8(text) else { return };
    if let Ok(pattern) = text.parse::<PeerPattern>() {
        let shown = pattern.to_string();
        assert_eq!(shown.parse::<PeerPattern>().expect(&shown), pattern, "{text} is shown as {shown}");
        let query = format!("peer={shown}");
        let answer = written("/api/v1/peers", query.as_bytes()).expect(&query);
        assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
    }
}

/// Nothing, or one of the ports that there are, or any.
fn port(choices: &mut Choices<'_>) -> Option<u16> {
    let any = u16::try_from(choices.number()).unwrap_or(0);
    choices.maybe(&[PORTS[0], PORTS[1], PORTS[2], PORTS[3], any])
}

/// Nothing, or a pattern with one of the addresses that there are.
fn peer(choices: &mut Choices<'_>) -> Option<PeerPattern> {
    let address = address(choices.maybe(&ADDRESSES)?);
    let bits = choices.byte();
    let width = if address.is_ipv4() { 32 } else { 128 };
    let text = match bits {
        0..=128 => format!("{address}/{}", bits.min(width)),
        129..=240 => address.to_string(),
        241..=248 => "other".to_owned(),
        249..=255 => "retired".to_owned(),
    };
    Some(text.parse().expect(&text))
}
