//! What commands print as JSON, as it is described: answers of the daemon by its document, events by their schema.

use std::process::Command;

use axum::http::StatusCode;
use monitor::snapshot::Snapshot;
use serde_json::Value;

use crate::document;
use crate::explain::race_as_client;
use crate::help::serve;
use crate::support::{Daemon, signals, snapshot};
use crate::tables::busy;

/// The route that each asks.
const ASKING: [(&str, &[&str]); 4] = [
    ("/api/v1/peers", &["peers"]),
    ("/api/v1/timeouts", &["timeouts"]),
    ("/api/v1/listeners", &["listeners"]),
    ("/api/v1/alerts", &["alerts"]),
];

/// Exit code and standard output. On another thread, since the server that is asked is on this one.
async fn printed(words: &[&str], server: &str) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    command.args(words).args(["-o", "json", "--server", server]);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

#[tokio::test]
async fn an_answer_is_printed_as_the_document_describes_it() {
    let nothing = Snapshot { peers: Some(Vec::new()), timeouts: Some(Vec::new()), ..snapshot() };
    let explain: &[(&str, &[&str])] = &[("/api/v1/explain", &["explain", "10.0.0.5"])];
    for (daemon, cases) in
        [(busy(), &ASKING[..]), (Daemon::with(nothing, signals()), &ASKING), (race_as_client(), explain)]
    {
        let (url, _shutdown, _task) = serve(daemon.router).await;
        for (path, words) in cases {
            let (_, printed) = printed(words, &url).await;
            document::check(path, StatusCode::OK, "application/json", &printed);
        }
    }
}

#[tokio::test]
async fn an_event_is_printed_in_a_line_as_its_schema_describes_it() {
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/event.schema.json")).unwrap();
    let (url, _shutdown, _task) = serve(busy().router).await;
    let (code, printed) = printed(&["events"], &url).await;
    assert_eq!((code, printed.lines().count()), (Some(0), 5), "{printed}");
    for line in printed.lines() {
        let event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        jsonschema::draft202012::validate(&schema, &event).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}
