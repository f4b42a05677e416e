//! `docs/diagnosis.md` names nothing that does not exist.

use std::collections::BTreeSet;
use std::path::Path;

use axum::http::StatusCode;
use clap::CommandFactory as _;
use monitor::advice::settings::Software;
use monitor::cause::Cause;
use monitor::cli::Cli;
use monitor::http::schema::event_schema;

use crate::support::{Daemon, hooked_snapshot, signals};

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join("docs/diagnosis.md")).unwrap()
}

/// What stands between backticks, on one line.
fn quoted(page: &str) -> Vec<&str> {
    let lines = page.lines().filter(|line| !line.starts_with("```"));
    lines.flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

/// Keys of the schema at any depth.
fn keys(schema: &serde_json::Value, found: &mut BTreeSet<String>) {
    if let Some(properties) = schema.get("properties").and_then(serde_json::Value::as_object) {
        found.extend(properties.keys().cloned());
    }
    for definition in schema.get("$defs").and_then(serde_json::Value::as_object).into_iter().flatten() {
        keys(definition.1, found);
    }
}

#[test]
fn every_command_and_option_exists() {
    let cli = Cli::command();
    let page = page();
    let shown = page.lines().filter_map(|line| line.strip_prefix("$ ")?.split('#').next());
    let all = quoted(&page).into_iter().chain(shown);
    let commands: Vec<&str> = all.filter_map(|text| text.strip_prefix("reset-monitor ")).collect();
    assert!(commands.len() > 10, "{commands:?}");
    for command in commands {
        let mut words = command.split_whitespace();
        let name = words.next().unwrap();
        let known = cli.find_subcommand(name).unwrap_or_else(|| panic!("`{name}` of `{command}`"));
        for option in words.filter_map(|word| word.strip_prefix("--")) {
            let has = known.get_arguments().any(|argument| argument.get_long() == Some(option));
            assert!(has, "--{option} of `{command}`");
        }
    }
}

#[tokio::test]
async fn every_metric_and_route_exists() {
    let daemon = Daemon::with(hooked_snapshot(), signals());
    let metrics = daemon.get("/metrics").await.text;
    let page = page();
    let words =
        || page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != '/');
    for name in words().filter(|word| word.starts_with("reset_monitor_")) {
        assert!(metrics.contains(&format!("# TYPE {name} ")), "{name}");
    }
    for route in words().filter(|word| word.starts_with("/api/")) {
        if route.ends_with("/stream") {
            // It does not end.
            continue;
        }
        let status = daemon.get(route).await.status;
        // What to explain is missing, which is not the route.
        assert!([StatusCode::OK, StatusCode::BAD_REQUEST].contains(&status), "{route}: {status}");
    }
}

#[test]
fn every_cause_is_there_and_what_looks_like_a_cause_or_field_is_one() {
    let page = page();
    let quoted = quoted(&page);
    for cause in Cause::ALL {
        assert!(quoted.contains(&cause.name()), "{}", cause.name());
    }
    let mut known: BTreeSet<String> = Cause::ALL.map(|cause| cause.name().to_owned()).into();
    known.extend(Software::ALL.map(|software| software.name().to_owned()));
    keys(&event_schema(), &mut known);
    let is_word =
        |text: &&&str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.');
    for word in quoted.iter().filter(is_word).filter(|word| !word.starts_with("reset_monitor_")) {
        assert!(word.split('.').all(|part| known.contains(part)), "`{word}` is no cause and no field");
    }
}
