//! `/api/v1/history` and `/api/v1/overview`: the past as it was observed, and what is said of it.

use std::time::Duration;

use axum::http::StatusCode;
use jiff::Timestamp;
use jsonschema::Validator;
use monitor::counts::PeerCounts;
use monitor::http::schema::history_schema;
use monitor::snapshot::Snapshot;
use monitor::trend::Reading;
use monitor::view::ErrorView;
use monitor::view::history::HistoryView;
use monitor::view::overview::OverviewView;
use serde_json::Value;

use crate::support::{Daemon, signals, snapshot};

/// A daemon that has read its counts every five seconds for an hour. All were 0 until a minute ago.
pub(crate) fn watching(read: Snapshot) -> Daemon {
    // As old as the time that the past goes by.
    let read = Snapshot { uptime_seconds: 3_600.0, ..read };
    let before = Snapshot { series: Vec::new(), total: PeerCounts::default(), ..read.clone() };
    let daemon = Daemon::with(read.clone(), signals());
    for seconds in (5..=3_600).step_by(5) {
        let counts = if seconds < 3_545 { &before } else { &read };
        daemon.publisher.remember(Duration::from_secs(seconds), Reading::of(counts));
    }
    daemon
}

fn sum(points: &[Option<u32>]) -> u32 {
    points.iter().flatten().sum()
}

#[tokio::test]
async fn the_past_is_what_was_counted_in_each_interval() {
    let daemon = watching(snapshot());
    for (step, intervals) in [(10, 180), (60, 60), (300, 12)] {
        let view: HistoryView = daemon.get(&format!("/api/v1/history?step={step}&limit=200")).await.json();
        assert_eq!((view.step_seconds, view.intervals), (step, intervals));
        // Everything came within one interval, and nothing since.
        let total = &view.total;
        assert_eq!(total.closed.len(), intervals);
        assert_eq!(total.closed.iter().filter(|closed| **closed > Some(0)).count(), 1);
        let counted = snapshot().total;
        assert_eq!(u64::from(sum(&total.closed)), counted.closed);
        assert_eq!(u64::from(sum(&total.reset)), counted.reset);
        assert_eq!(total.sums.exchanges, counted.exchanges);
        let resets: u64 = total.sums.resets_sent.values().chain(total.sums.resets_received.values()).sum();
        let by_series: u64 = snapshot()
            .series
            .iter()
            .map(|series| series.causes.sent.iter().chain(&series.causes.received).sum::<u64>())
            .sum();
        assert_eq!(resets, by_series);
        // The newest interval holds the last reading, so the list ends at the moment that is answered for.
        let start: Timestamp = view.start.parse().unwrap();
        let end = start.as_second() + i64::try_from(step * u64::try_from(intervals).unwrap()).unwrap();
        let time: Timestamp = view.time.parse().unwrap();
        let step = i64::try_from(step).unwrap();
        assert!((end - time.as_second()).abs() <= step, "{start} {time}");
    }
}

#[tokio::test]
async fn peers_with_the_most_resets_come_first_and_can_be_asked_for() {
    let daemon = watching(snapshot());
    let all: HistoryView = daemon.get("/api/v1/history").await.json();
    let names: Vec<_> = all.peers.iter().map(|peer| (peer.peer.as_str(), peer.port)).collect();
    let expected =
        [("10.0.0.1", Some(8080)), ("192.0.2.0/24", Some(443)), ("2001:db8::7", Some(443)), ("other", None)];
    assert_eq!(names, expected, "retired peers have none");
    let one: HistoryView = daemon.get("/api/v1/history?peer=10.0.0.1&port=8080&role=client").await.json();
    let [peer] = one.peers.as_slice() else { panic!("{one:?}") };
    assert_eq!((one.matching, &one.total), (1, &all.total));
    let past = peer.past.as_ref().unwrap();
    assert_eq!(
        (past.sums.closed, past.sums.reset, past.sums.connection_ratio),
        (9_000, 10, Some(10.0 / 9_000.0))
    );
    assert_eq!(past.sums.main_cause.as_deref(), Some("other"));
    assert_eq!(sum(&past.resets_sent["linger_abort"]), 10);
    let idle = peer.idle_before_reset.as_ref().unwrap();
    assert_eq!(idle.counts.len(), idle.bounds_seconds.len() + 1);
    let series = &snapshot().series[0];
    assert_eq!(idle.counts, series.details.as_ref().unwrap().idle.buckets);
    let none: HistoryView = daemon.get("/api/v1/history?peer=10.9.9.9").await.json();
    assert_eq!((none.matching, none.peers.len()), (0, 0));
}

#[tokio::test]
async fn what_nobody_watched_is_null_and_nothing_is_kept_at_first() {
    let daemon = Daemon::new();
    let view: HistoryView = daemon.get("/api/v1/history").await.json();
    assert_eq!(view.total.closed, [None]);
    let read = snapshot();
    daemon.publisher.remember(Duration::from_secs(5), Reading::of(&read));
    daemon.publisher.remember(Duration::from_secs(65), Reading::of(&read));
    let view: HistoryView = daemon.get("/api/v1/history").await.json();
    let closed = u32::try_from(read.total.closed).unwrap();
    assert_eq!(view.total.closed, [Some(closed), None, None, Some(0)]);
}

#[tokio::test]
async fn the_answer_fits_its_schema_and_the_committed_one_is_of_the_source() {
    let committed: Value =
        serde_json::from_str(include_str!("../../../docs/schema/history.schema.json")).unwrap();
    assert_eq!(committed, history_schema(), "run `cargo xtask docs`");
    let validator: Validator =
        jsonschema::draft202012::options().should_validate_formats(true).build(&committed).unwrap();
    for daemon in [Daemon::new(), watching(snapshot())] {
        for step in [10, 60, 300] {
            let answer: Value = daemon.get(&format!("/api/v1/history?step={step}")).await.json();
            let errors: Vec<_> = validator.iter_errors(&answer).map(|error| error.to_string()).collect();
            assert_eq!(errors, [""; 0]);
        }
    }
}

#[tokio::test]
async fn a_step_or_parameter_that_is_not_there_is_refused() {
    let daemon = Daemon::new();
    for (query, part) in
        [("step=11", "10, 60 or 300"), ("netns=1", "unknown parameter"), ("limit=201", "0 to 200")]
    {
        let answer = daemon.get(&format!("/api/v1/history?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.json::<ErrorView>().error.contains(part), "{answer:?}");
    }
    assert_eq!(daemon.get("/api/v1/overview?x=1").await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_overview_says_what_is_wrong_with_whom_why_and_what_to_change() {
    let daemon = watching(snapshot());
    daemon.publish([1]);
    let view: OverviewView = daemon.get("/api/v1/overview").await.json();
    let total = snapshot().total;
    let expected = format!(
        "{} connections of {} that ended were reset in the last 10 minutes, 10 of them with 10.0.0.1:8080 (client).",
        total.reset, total.closed
    );
    assert_eq!((view.state.as_str(), view.headline), ("attention", expected));
    let subject = view.subject.unwrap();
    assert_eq!(
        (subject.peer.as_deref(), subject.port, subject.role.as_str()),
        (Some("10.0.0.1"), Some(8080), "client")
    );
    let diagnosis = view.diagnosis.unwrap();
    assert_eq!(view.why, Some(diagnosis.verdict.sentence));
    assert_eq!(view.change, Some(diagnosis.fixes[0].advice.clone()));
    assert_eq!((view.recent.reset, view.open), (total.reset, Some(10)));
    assert_eq!((view.health.works, view.health.missing, view.health.unattributed), (1, 1, 1));
}

#[tokio::test]
async fn a_quiet_host_says_what_it_watches() {
    let quiet = Snapshot { timeout_series: Vec::new(), ..snapshot() };
    let view: OverviewView = Daemon::with(quiet, signals()).get("/api/v1/overview").await.json();
    assert_eq!(view.state, "quiet");
    assert_eq!(view.headline, "No resets in the last 10 minutes; watching 10 open connections and 1 peer.");
    assert_eq!((view.subject, view.why, view.change), (None, None, None));
}
