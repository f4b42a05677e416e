//! Alerts as the API, the command and the metrics show them, from counts to text.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use monitor::alerts::report::Report;
use monitor::alerts::rules::Rules;
use monitor::alerts::{Engine, PairReading, PeerReading, Reading};
use monitor::clock::WallClock;
use monitor::command::alerts::{message, print, print_rules};
use monitor::http::convert::alerts::alerts_view;
use monitor::http::filter::alerts::AlertFilter;
use monitor::http::server::serve;
use monitor::snapshot::listening::{ConntrackRow, Listening};
use monitor::snapshot::{PeerLabel, Scope, Snapshot};
use monitor::terminal::{Medium, Output};
use monitor::timeouts::Service;
use monitor::view::ErrorView;
use monitor::view::alerts::AlertsView;
use monitor_common::peer::Role;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{Daemon, hooked_snapshot, signals};

/// When the daemon of these tests started, on its own clock and on the wall.
const STARTED: Duration = Duration::from_secs(500);

fn wall() -> WallClock {
    let started: Timestamp = "2026-11-20T02:00:00Z".parse().unwrap();
    WallClock::from_pair(started, STARTED)
}

fn label(address: &str, port: u16, role: Role) -> PeerLabel {
    PeerLabel { scope: Scope::Address(address.parse().unwrap()), port: Some(port), role }
}

/// Evaluates what a host showed at each of these seconds after the start, and how many resets a peer had by then.
fn evaluate(rules: Rules, moments: &[(u64, u64)]) -> Report {
    let snapshot = Snapshot { listening: listening(), ..hooked_snapshot() };
    let pairs = vec![PairReading {
        service: Service {
            netns: 1,
            peer: Some("10.0.0.1".parse().unwrap()),
            port: 8080,
            role: Role::Client,
        },
        margin_ms: -28,
    }];
    let mut engine = Engine::new(rules, STARTED);
    for (seconds, reset) in moments {
        let peer = PeerReading {
            slot: 0,
            netns: Some(1),
            label: label("2001:db8::7", 443, Role::Server),
            reset: *reset,
            closed: 40,
            exchanges: 20_000,
            idle_reuse: reset / 10,
            middlebox: 0,
        };
        let reading = Reading {
            peers: [peer].into_iter(),
            pairs: pairs.clone(),
            listening: &snapshot.listening,
            stories: &snapshot.stories,
            signals: &signals(),
        };
        engine.evaluate(reading, STARTED + Duration::from_secs(*seconds));
    }
    engine.report(wall())
}

/// A table that is not nearly full, and the listeners of a host with hooks.
fn listening() -> Listening {
    let conntrack = Some(ConntrackRow { entries: Some(90), limit: Some(1_024), drops: None });
    Listening { conntrack, ..hooked_snapshot().listening }
}

/// A burst of resets that is over since, and a few more.
pub(crate) fn report() -> Report {
    let mut moments: Vec<(u64, u64)> = (1..=4).map(|tick| (tick * 15, 60)).collect();
    moments.extend((5..=39).map(|tick| (tick * 15, 61)));
    evaluate(Rules::default(), &moments)
}

fn daemon(report: Report) -> Daemon {
    let daemon = Daemon::new();
    daemon.publisher.alerts(Arc::new(report));
    daemon
}

async fn names(daemon: &Daemon, query: &str) -> Vec<(String, String)> {
    let answer = daemon.get(&format!("/api/v1/alerts?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    let view: AlertsView = answer.json();
    view.alerts.into_iter().map(|row| (row.state, row.alert)).collect()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(state, name)| ((*state).to_owned(), (*name).to_owned())).collect()
}

#[tokio::test]
async fn the_most_urgent_come_first_and_filters_select() {
    let daemon = daemon(report());
    let all = pairs(&[
        ("firing", "ListenOverflow"),
        ("firing", "KeepAliveMisaligned"),
        ("firing", "IdleReuseResets"),
        ("firing", "EventsLost"),
        ("firing", "SignalMissing"),
        ("pending", "ResetRatioHigh"),
        ("resolved", "ResetBurst"),
    ]);
    assert_eq!(names(&daemon, "").await, all);
    assert_eq!(names(&daemon, "state=pending").await, pairs(&[("pending", "ResetRatioHigh")]));
    assert_eq!(names(&daemon, "alert=EventsLost").await, pairs(&[("firing", "EventsLost")]));
    assert_eq!(names(&daemon, "peer=10.0.0.0/8").await, pairs(&[("firing", "KeepAliveMisaligned")]));
    assert_eq!(
        names(&daemon, "port=443&state=firing").await,
        pairs(&[("firing", "ListenOverflow"), ("firing", "IdleReuseResets"),])
    );
    let page: AlertsView = daemon.get("/api/v1/alerts?limit=1").await.json();
    assert_eq!((page.alerts.len(), page.matching), (1, 7));
}

#[tokio::test]
async fn an_alert_has_its_labels_its_numbers_beside_them_and_what_to_do() {
    let answer: Value = daemon(report()).get("/api/v1/alerts?alert=ResetRatioHigh").await.json();
    let alert = &answer["alerts"][0];
    assert_eq!(
        alert["labels"],
        json!({"peer": "2001:db8::7", "port": "443", "role": "server", "netns": "1"})
    );
    assert_eq!((&alert["value"], &alert["threshold"]), (&json!(0.00305), &json!(0.001)));
    assert_eq!((&alert["state"], &alert["severity"]), (&json!("pending"), &json!("critical")));
    assert_eq!((&alert["since"], &alert["fired"]), (&json!("2026-11-20T02:00:15Z"), &Value::Null));
    let description =
        "61 resets among 20000 exchanges with [2001:db8::7]:443 (server) within 10m: 0.30%, above 0.10%.";
    assert_eq!(alert["annotations"]["description"], description);
    assert!(alert["annotations"]["runbook"].as_str().unwrap().contains("reset-monitor explain"));
    assert_eq!(
        (&answer["evaluated"], &answer["every_seconds"]),
        (&json!("2026-11-20T02:09:45Z"), &json!(15.0))
    );
    assert_eq!(answer["rules"].as_array().unwrap().len(), 10);
    let answer: Value = daemon(report()).get("/api/v1/alerts?alert=ResetBurst").await.json();
    let burst = &answer["alerts"][0];
    assert_eq!(
        burst["annotations"]["description"],
        "60 connections reset with [2001:db8::7]:443 (server) within 1m."
    );
    assert_eq!(
        ["since", "fired", "resolved"].map(|field| burst[field].clone()),
        ["2026-11-20T02:00:15Z", "2026-11-20T02:00:15Z", "2026-11-20T02:06:15Z"].map(Value::from)
    );
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name() {
    let daemon = Daemon::new();
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=5501", "limit"),
        ("state=open", "state"),
        ("alert=Burst", "alert"),
        ("peer=x", "peer"),
        ("sort=peer", "sort"),
    ] {
        let answer = daemon.get(&format!("/api/v1/alerts?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let ErrorView { error } = answer.json();
        assert!(error.contains(&format!("`{named}`")), "{query}: {error}");
    }
}

fn view(report: &Report) -> AlertsView {
    let rows: Vec<_> = report.rows.iter().collect();
    alerts_view(report, &rows, 100)
}

#[test]
fn the_table_says_what_is_wrong_and_below_it_what_to_do_once_for_each_name() {
    let view = view(&report());
    let mut out = Vec::new();
    print(&view, Output::Table, Medium::PLAIN, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let table = text.split("\n\n").next().unwrap();
    let expected = "\
STATE     SEVERITY  ALERT                OF                 SINCE                 WHAT
firing    critical  ListenOverflow       [::]:443           2026-11-20T02:00:15Z  34 times the accept queue was full: listener [::]:443 within 5m.
firing    warning   KeepAliveMisaligned  10.0.0.1:8080      2026-11-20T02:00:15Z  Of quiet connections with 10.0.0.1:8080 (client), the server closes 28 ms before the client does.
firing    warning   IdleReuseResets      [2001:db8::7]:443  2026-11-20T02:00:15Z  6 resets by idle_reuse with [2001:db8::7]:443 (server) within 10m.
firing    warning   EventsLost           -                  2026-11-20T02:00:15Z  40 stories lost on this host within 10m.
firing    warning   SignalMissing        reset_received     2026-11-20T02:00:15Z  The signal reset_received is missing.
pending   critical  ResetRatioHigh       [2001:db8::7]:443  2026-11-20T02:00:15Z  61 resets among 20000 exchanges with [2001:db8::7]:443 (server) within 10m: 0.30%, above 0.10%.
resolved  critical  ResetBurst           [2001:db8::7]:443  2026-11-20T02:00:15Z  60 connections reset with [2001:db8::7]:443 (server) within 1m.";
    assert_eq!(table, expected);
    assert_eq!(text.matches("\nKeepAliveMisaligned: ").count(), 1);
    assert!(!text.contains("\nResetRatioHigh: "), "what is not firing needs nothing yet");
    let mut json = Vec::new();
    print(&view, Output::Json, Medium::PLAIN, &mut json).unwrap();
    assert_eq!(serde_json::from_slice::<AlertsView>(&json).unwrap(), view);
}

#[test]
fn an_empty_answer_says_what_is_watched() {
    let all = AlertFilter::default();
    let before = message(&view(&Report::default()), &all).unwrap();
    assert_eq!(before, "alerts were not evaluated yet: the first time is 15s after the start");
    let mut quiet = evaluate(Rules::default(), &[(15, 0)]);
    quiet.rows.clear();
    let message_of = |filter| message(&view(&quiet), &filter).unwrap();
    let watched = "nothing is firing, pending or just over: 10 alerts are evaluated every 15s; --rules shows what they go by";
    assert_eq!(message_of(all), watched);
    let filter = AlertFilter { port: Some(1), ..all };
    assert_eq!(message_of(filter), "no such alert; without filters all of them are shown");
    assert_eq!(message(&view(&report()), &all), None);
}

#[test]
fn rules_are_shown_as_they_are_set() {
    let mut rules = Rules::default();
    rules.of_mut(monitor::alerts::catalog::Alert::EventsLost).enabled = false;
    let mut out = Vec::new();
    print_rules(&view(&evaluate(rules, &[])).rules, Medium::PLAIN, &mut out).unwrap();
    let expected = "\
ALERT                     SEVERITY  CONDITION                                                                   FOR  HOLD
ResetRatioHigh            critical  reset / exchanges > 0.001 in 10m, with 3 resets and 100 exchanges at least  10m    5m
ConnectionResetRatioHigh  warning   reset / closed > 0.001 in 10m, with 3 resets and 100 closed at least        10m    5m
KeepAliveMisaligned       warning   margin < 0 s                                                                 5m    5m
IdleReuseResets           warning   resets by idle_reuse >= 3 in 10m                                             0s    5m
MiddleboxResets           warning   resets by middlebox >= 3 in 10m                                              0s    5m
ResetBurst                critical  reset >= 50 in 1m                                                            0s    5m
ListenOverflow            critical  overflows >= 10 in 5m                                                        0s    5m
ConntrackNearlyFull       critical  entries / limit > 0.9                                                        5m    5m
EventsLost                warning   off                                                                          0s    5m
SignalMissing             warning   status is missing                                                            5m    5m
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[tokio::test]
async fn metrics_tell_how_many_are_pending_and_firing() {
    let text = daemon(report()).get("/metrics").await.text;
    for line in [
        "reset_monitor_alerts{alert=\"ListenOverflow\",state=\"firing\"} 1",
        "reset_monitor_alerts{alert=\"ResetRatioHigh\",state=\"pending\"} 1",
        "reset_monitor_alerts{alert=\"ResetRatioHigh\",state=\"firing\"} 0",
        "reset_monitor_alerts_not_kept_total 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in {text}");
    }
}

/// What the program itself prints, asked with these words: exit code, data, messages.
async fn command(report: Report, words: &'static [&'static str]) -> (Option<i32>, String, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let daemon = daemon(report);
    let (_stop, stopping) = watch::channel(false);
    let mut server = JoinSet::new();
    server.spawn(serve(listener, daemon.router.clone(), stopping));
    let mut program = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    program.arg("alerts").args(words).args(["--server", &url]);
    let output = tokio::task::spawn_blocking(move || program.output().unwrap()).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn the_command_asks_the_daemon_and_firing_alerts_are_no_failure_of_it() {
    let (code, table, messages) = command(report(), &[]).await;
    assert_eq!((code, &*messages), (Some(0), ""));
    assert!(
        table.starts_with("STATE     SEVERITY  ALERT ") && table.contains("\nListenOverflow: "),
        "{table}"
    );
    let (code, table, _) = command(report(), &["--state", "pending", "--port", "443"]).await;
    assert_eq!((code, table.lines().count()), (Some(0), 2), "{table}");
    let (_, json, _) = command(report(), &["-o", "json", "--alert", "EventsLost"]).await;
    assert_eq!(serde_json::from_str::<AlertsView>(&json).unwrap().alerts.len(), 1);
    let (_, rules, _) = command(report(), &["--rules"]).await;
    assert_eq!(rules.lines().count(), 11, "{rules}");
    let (code, table, messages) = command(Report::default(), &[]).await;
    assert_eq!((code, &*table), (Some(0), ""));
    assert!(messages.contains("not evaluated yet"), "{messages}");
}
