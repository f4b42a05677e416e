//! The document of the API: committed and served as it is made, sound by somebody else's judgement, and true of every route,
//! parameter and answer.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use monitor::cause::Cause;
use monitor::http::openapi::document;
use monitor::owners::By;
use monitor::snapshot::Snapshot;
use monitor::snapshot::listening::Listening;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::alerts;
use crate::document::{DOCUMENT, check_message, operations};
use crate::history::watching;
use crate::player::cached;
use crate::support::{
    Daemon, answer, finally, hooked_snapshot, overflow, provisional, refusal, rejection, request, signals,
    snapshot, told,
};

const STREAM: &str = "/api/v1/events/stream";
const EXPLAIN: &str = "/api/v1/explain";

/// A daemon that has something to say at every route.
pub(crate) fn full() -> Daemon {
    let daemon = watching(hooked_snapshot());
    daemon.publisher.alerts(Arc::new(alerts::report()));
    for event in
        [told(1), refusal(2), provisional(3), finally(4, Cause::IdleReuse), overflow(5), rejection(6)]
    {
        daemon.publisher.event(event.into());
    }
    daemon
}

/// One that has just started, on a host where nothing happens.
fn empty() -> Daemon {
    let nothing = Snapshot {
        series: Vec::new(),
        ports: Vec::new(),
        port_rows: Vec::new(),
        peers: Some(Vec::new()),
        timeout_series: Vec::new(),
        timeouts: Some(Vec::new()),
        open_series: [].into(),
        walk: None,
        namespaces: Vec::new(),
        reasons: Vec::new(),
        idle: Vec::new(),
        closed_memory_seconds: None,
        fills: Vec::new(),
        programs: Vec::new(),
        listening: Listening::default(),
        ..snapshot()
    };
    Daemon::with(nothing, Vec::new())
}

#[test]
fn the_committed_document_is_the_one_of_the_source() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let made = document();
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    assert_eq!(committed, made, "WRITE_GOLDEN=1 writes it anew, and so does `cargo xtask docs`");
}

#[tokio::test]
async fn the_server_serves_what_is_committed() {
    let served: Value = Daemon::new().get("/api/v1/openapi.json").await.json();
    assert_eq!(served, *DOCUMENT);
}

/// What is wrong with each of these documents, by a validator that is not ours.
fn judge(documents: &[Value]) -> Vec<Option<String>> {
    let tools = cached("openapi").expect(
        "not run: the validator is not here; `cargo xtask setup --tests` fetches it, `cargo xtask test` uses it",
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi/judge.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(tools).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = node.spawn().expect("node is not here; on Debian: apt-get install nodejs");
    child.stdin.take().unwrap().write_all(serde_json::to_string(documents).unwrap().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_validator_that_is_not_ours_takes_the_document_and_none_that_is_broken() {
    let mut documents = vec![DOCUMENT.clone()];
    let responses = "/paths/~1api~1v1~1peers/get/responses";
    for (pointer, value) in [
        ("/info/title", Value::Null),
        ("/paths/~1api~1v1~1peers/get/parameters/0/in", json!("somewhere")),
        (responses, json!("none")),
        (&format!("{responses}/400/$ref"), json!("#/components/responses/Nowhere")),
        (
            &format!("{responses}/200/content/application~1json/schema/$ref"),
            json!("#/components/schemas/Nothing"),
        ),
    ] {
        let mut broken = DOCUMENT.clone();
        *broken.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        documents.push(broken);
    }
    let mut verdicts = judge(&documents).into_iter();
    assert_eq!(verdicts.next(), Some(None));
    for (number, verdict) in verdicts.enumerate() {
        assert!(verdict.is_some(), "broken document {number} is taken");
    }
}

#[test]
fn every_schema_is_one_by_the_draft_that_openapi_names() {
    for (name, schema) in DOCUMENT["components"]["schemas"].as_object().unwrap() {
        assert!(jsonschema::draft202012::meta::is_valid(schema), "{name}");
        let broken = json!({ "allOf": [schema], "type": "thing" });
        assert!(!jsonschema::draft202012::meta::is_valid(&broken), "{name}");
    }
}

#[test]
fn every_route_is_in_the_document_and_in_the_list_for_readers_and_nothing_else_is() {
    let documented: BTreeSet<&str> = operations().map(|(path, _)| path).collect();
    let source = include_str!("../../src/http/routes.rs");
    let routes = source.split("list.route(").skip(1).filter_map(|call| call.split('"').nth(1));
    let mut routes: BTreeSet<&str> = routes.collect();
    assert!(routes.remove("/") && routes.remove("/assets/{*path}"), "the page is for people");
    assert_eq!(routes, documented);
    let overview = include_str!("../../src/http.rs");
    let rows = overview.lines().filter_map(|line| line.strip_prefix("//! | `")?.split('`').next());
    let mut listed: BTreeSet<&str> = rows.collect();
    assert!(listed.remove("/") && listed.remove("/assets/*"));
    assert_eq!(listed, documented);
    // Nor is there another list of routes.
    let others = overview.matches(".route(").count();
    assert_eq!(others, 0, "routes are made of the list in http/routes.rs");
}

#[tokio::test]
async fn every_route_answers_as_described_with_content_and_with_nothing() {
    let (asking, owners, _questions) = Daemon::asking();
    asking.publish([1]);
    owners.answer([(1, answer("nginx", By::File))]);
    let daemons = [full(), empty(), Daemon::with(snapshot(), signals()), watching(snapshot()), asking];
    for daemon in &daemons {
        for (path, _) in operations().filter(|(path, _)| *path != STREAM && *path != EXPLAIN) {
            // Whether it fits the document is looked at by whoever asks.
            assert_eq!(daemon.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
    for (daemon, query) in [(0, "port=8080"), (0, "peer=10.0.0.1"), (2, "port=443"), (4, "peer=10.0.0.1")] {
        let answer = daemons[daemon].get(&format!("{EXPLAIN}?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}");
    }
    assert_eq!(daemons[1].get(&format!("{EXPLAIN}?peer=10.0.0.1")).await.status, StatusCode::NOT_FOUND);
}

/// Does to a route what is refused with this status; `None` if a test cannot.
async fn provoke(daemon: &Daemon, path: &str, status: u16) -> Option<StatusCode> {
    let get = |target: &str| request(Method::GET, target);
    let request = match status {
        400 => get(&format!("{path}?no_such_parameter=1")),
        403 => get(path).header(header::ORIGIN, "http://other.example"),
        404 => get(&format!("{path}?peer=203.0.113.9")),
        405 => request(Method::POST, path),
        413 => get(path).header(header::CONTENT_LENGTH, "1"),
        421 => Request::get(path).header(header::HOST, "other.example"),
        _ => return None,
    };
    let answer = daemon.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    Some(answer.status())
}

#[tokio::test]
async fn every_refusal_is_in_the_document_where_it_happens_and_nowhere_else() {
    let daemon = full();
    for (path, operation) in operations() {
        for status in [400, 403, 404, 413, 421] {
            let is_documented = !operation["responses"][status.to_string()].is_null();
            let found = provoke(&daemon, path, status).await.unwrap();
            assert_eq!(found.as_u16() == status, is_documented, "{path}: {status}, {found}");
            assert!(!operation["responses"][found.as_str()].is_null(), "{path}: {found}");
        }
        let wrong = daemon.ask(request(Method::POST, path)).await;
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}

#[tokio::test]
async fn a_refusal_has_the_body_that_is_described() {
    let daemon = full();
    // Each of them is compared with the document by whoever asks.
    for (target, status) in [
        ("/api/v1/peers?limit=0", 400),
        ("/api/v1/peers?limit=1&limit=2", 400),
        ("/api/v1/events?cause=unknown", 400),
        ("/api/v1/explain", 400),
        ("/api/v1/explain?peer=203.0.113.9", 404),
        ("/api/v1/none", 404),
        ("/none", 404),
        ("/api/v1/events/stream?after=x", 400),
    ] {
        assert_eq!(daemon.get(target).await.status.as_u16(), status, "{target}");
    }
    for (status, builder) in [
        (403, request(Method::GET, "/api/v1/peers").header(header::ORIGIN, "http://other.example")),
        (405, request(Method::DELETE, "/api/v1/peers")),
        (413, request(Method::GET, "/api/v1/peers").header(header::CONTENT_LENGTH, "1")),
        (421, Request::get("/api/v1/peers").header(header::HOST, "other.example")),
    ] {
        assert_eq!(daemon.ask(builder).await.status.as_u16(), status);
    }
    let stuck =
        Daemon::with(Snapshot { taken: crate::support::long_ago(), peers: None, ..snapshot() }, signals());
    for path in ["/readyz", "/api/v1/peers"] {
        let answer = stuck.get(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(answer.header("retry-after"), "1");
    }
}

/// Values that a parameter takes, by its schema, and some that it does not.
fn values(schema: &Value) -> (Vec<String>, Vec<String>) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let all = |list: &Value| list.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let mut bad = vec![String::new(), "no such thing".to_owned()];
    let mut good = [all(&schema["enum"]), all(&schema["examples"])].concat();
    good.extend(schema.get("default").map(text));
    match schema["type"].as_str() {
        Some("integer") => {
            bad.extend(["-1", "+1", "1.5", "18446744073709551616"].map(str::to_owned));
            let bounds = [(&schema["minimum"], -1), (&schema["maximum"], 1)];
            for (bound, beyond) in bounds.map(|(bound, beyond)| (bound.as_i64(), beyond)) {
                good.extend(bound.map(|bound| bound.to_string()));
                bad.extend(bound.map(|bound| (bound + beyond).to_string()));
            }
        }
        Some("boolean") => {
            good.extend(["true", "false"].map(str::to_owned));
            bad.extend(["1", "yes"].map(str::to_owned));
        }
        Some("string") if schema["format"] == "date-time" => good.push("2026-01-31T12:00:00Z".to_owned()),
        Some("string") => {}
        other => panic!("no values for {other:?}"),
    }
    assert!(!good.is_empty(), "{schema}");
    (good, bad)
}

#[tokio::test]
async fn every_parameter_in_the_document_is_taken_with_its_values_and_no_others() {
    let daemon = full();
    let status = async |target: String| {
        let request = request(Method::GET, &target).body(Body::empty()).unwrap();
        daemon.router.clone().oneshot(request).await.unwrap().status()
    };
    let escaped = |value: &str| value.replace('+', "%2B").replace(' ', "+").replace('/', "%2F");
    for (path, operation) in operations() {
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            assert!(
                !parameter["description"].as_str().unwrap().is_empty(),
                "{path}: {name} is not described"
            );
            if parameter["in"] == "header" {
                continue;
            }
            // What to explain must be named, too.
            let target = if path == EXPLAIN && name != "port" { "&port=8080" } else { "" };
            let (good, bad) = values(&parameter["schema"]);
            for value in good {
                let found = status(format!("{path}?{name}={}{target}", escaped(&value))).await;
                let nobody = path == EXPLAIN && found == StatusCode::NOT_FOUND;
                assert!(found == StatusCode::OK || nobody, "{path}: {name}={value}: {found}");
            }
            for value in bad {
                let found = status(format!("{path}?{name}={}{target}", escaped(&value))).await;
                assert_eq!(found, StatusCode::BAD_REQUEST, "{path}: {name}={value}");
            }
        }
        // The server names what it knows; that is what is described.
        let refusal = daemon.get(&format!("{path}?no_such_parameter=1")).await;
        if path.starts_with("/api/") {
            let error: Value = refusal.json();
            let known = error["error"].as_str().unwrap().split_once("known here: ").unwrap().1;
            let described = operation["parameters"].as_array().unwrap().iter();
            let described = described.filter(|parameter| parameter["in"] == "query");
            let names: Vec<_> = described.map(|parameter| parameter["name"].as_str().unwrap()).collect();
            assert_eq!(names.join(", "), known, "{path}");
        } else {
            assert_eq!(refusal.status, StatusCode::OK, "{path}: scrapers and probes may add what they like");
            assert_eq!(operation["parameters"], json!([]), "{path}");
        }
    }
}

#[test]
fn a_message_that_is_not_in_the_document_does_not_pass_for_one() {
    for text in
        ["event: news\ndata: {}\n\n", "event: lagged\ndata: {}\n\n", "event: reset\ndata: {\"id\": 1}\n\n"]
    {
        assert!(std::panic::catch_unwind(|| check_message(text)).is_err(), "{text}");
    }
    check_message("event: lagged\ndata: {\"missed\": 3}\n\n");
}
