//! `explain`: from counts and events over the API to the text that a person reads.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use clap::Parser as _;
use jiff::Timestamp;
use monitor::advice::settings::Software;
use monitor::burst::Burst;
use monitor::cause::Cause;
use monitor::cli::{Cli, Command};
use monitor::command::explain::path;
use monitor::command::explain::text::{Look, print};
use monitor::counts::{PeerCounts, PortCounts};
use monitor::event::{Direction, Event, Owner, Reason, Segment, SocketFacts, Told};
use monitor::idle::{Basis, Idle};
use monitor::snapshot::hooked::Hooked;
use monitor::snapshot::listening::{ListenerOverflows, Listening, OverflowRow, StageCounts};
use monitor::snapshot::{CauseCounts, PeerRow, Scope, SignalRow, SignalStatus, Snapshot};
use monitor::timeouts::Timeouts;
use monitor::verdict::{AppSaw, Confidence, Fact, Verdict};
use monitor::view::ErrorView;
use monitor::view::explain::ExplainView;
use monitor_common::counters::Kind;
use monitor_common::peer::Role;
use serde_json::Value;

use crate::support::{Daemon, label, overflow, owner, rejection, snapshot};

const NETNS: u32 = 4_026_531_840;
const EVERYTHING: Look<'static> = Look { width: 100, colour: false, software: &[] };

/// A peer's row: resets sent and received by cause, of 12,000 connections.
fn row(peer: &str, port: u16, role: Role, causes: &[(Direction, Cause, u64)]) -> PeerRow {
    let mut all = CauseCounts::default();
    let mut counts =
        PeerCounts { opened: 12_010, closed: 12_000, exchanges: 31_000, ..PeerCounts::default() };
    for (direction, cause, count) in causes {
        if *cause == Cause::Refused {
            counts.refused_received += count;
            continue;
        }
        if *cause == Cause::LingerAbort && *direction == Direction::Sent {
            counts.aborted += count;
        } else {
            counts.reset += count;
        }
        match direction {
            Direction::Sent => {
                all.sent[*cause as usize] += count;
                counts.resets_sent += count;
            }
            Direction::Received => {
                all.received[*cause as usize] += count;
                counts.resets_received += count;
            }
        }
    }
    let scope = Scope::Address(peer.parse().unwrap());
    let causes = (!causes.is_empty()).then(|| Box::new(all));
    PeerRow { label: label(scope, Some(port), role), netns: Some(NETNS), counts, causes, open: None }
}

fn time(seconds: u64) -> Timestamp {
    "2026-11-20T03:00:00Z".parse::<Timestamp>().unwrap() + Duration::from_secs(seconds)
}

/// An event between us and a peer's row.
fn event(id: u64, row: &PeerRow, kind: Kind, idle: f64) -> Event {
    let Scope::Address(address) = row.label.scope else { panic!("a single peer") };
    let port = row.label.port.unwrap();
    let (local, remote) = match row.label.role {
        Role::Client => (40_000, port),
        Role::Server => (port, 50_000),
    };
    let basis = Basis::BeforeOurData;
    Event {
        time: time(id),
        monotonic_ns: id * 1_000_000_000,
        netns: NETNS,
        local: ("10.0.0.9".parse::<std::net::IpAddr>().unwrap(), local).into(),
        remote: (address, remote).into(),
        role: Some(row.label.role),
        slot: Some(3),
        idle: Some(Idle { time: Duration::from_secs_f64(idle), basis, at_least: false }),
        ..Event::of_kind(kind)
    }
}

fn told(id: u64, event: Event, cause: Cause, confidence: Confidence, app_saw: AppSaw) -> Told {
    let verdict = Verdict::of(cause, confidence, &[Fact::IdleSeconds], Some(app_saw));
    Told { id, event, verdict: Some(verdict), burst: None }
}

fn closed(id: u64, row: &PeerRow, kind: Kind, idle: f64) -> Told {
    Told { id, event: event(id, row, kind, idle), verdict: None, burst: None }
}

fn carried(segments: u32) -> SocketFacts {
    SocketFacts {
        data_segments_in: segments,
        data_segments_out: segments + 1,
        bytes_in: None,
        bytes_out: None,
        srtt_us: None,
        sent_age: Duration::ZERO,
        received_age: Duration::ZERO,
        ack_age: None,
        unread_bytes: None,
        unacked_bytes: None,
        probes: None,
        linger_zero: None,
        shutdown: None,
    }
}

fn signals() -> Vec<SignalRow> {
    let row = |signal, status, why: &str, advice: &str| SignalRow {
        signal,
        hook: "none".to_owned(),
        status,
        why: why.to_owned(),
        advice: advice.to_owned(),
    };
    vec![
        row("reset_received", SignalStatus::Works, "", ""),
        row(
            "ttl_baseline_client",
            SignalStatus::Missing,
            "a server's usual TTL is unknown, so a forged reset is not told from its own",
            "capture packets if you suspect a middlebox",
        ),
        row("accept_overflow_syn", SignalStatus::Degraded, "overflows are known as sums only", ""),
    ]
}

fn daemon(rows: Vec<PeerRow>, events: Vec<Told>) -> Daemon {
    daemon_with(snapshot(), rows, events)
}

fn daemon_with(base: Snapshot, rows: Vec<PeerRow>, events: Vec<Told>) -> Daemon {
    let listening = Listening { conntrack: None, ..base.listening };
    let mut timeouts = Timeouts::default();
    for told in &events {
        timeouts.observe(told);
    }
    let timeouts = Some(timeouts.rows(Duration::from_secs(1_000)));
    let daemon = Daemon::with(Snapshot { peers: Some(rows), timeouts, listening, ..base }, signals());
    for told in events {
        daemon.publisher.event(Arc::new(told));
    }
    daemon
}

async fn explain(daemon: &Daemon, query: &str) -> ExplainView {
    let answer = daemon.get(&format!("/api/v1/explain?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json()
}

fn text(view: &ExplainView, look: Look<'_>) -> String {
    let mut out = Vec::new();
    print(view, look, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// Compares with what is committed; writes it when asked to by the environment.
#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/explain").join(format!("{name}.txt"));
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, committed, "{name}: WRITE_GOLDEN=1 writes it anew");
}

async fn compare(name: &str, daemon: &Daemon, query: &str) -> ExplainView {
    let view = explain(daemon, query).await;
    let all = text(&view, Look { software: &[Software::Nginx, Software::Kernel], ..EVERYTHING });
    golden(name, &all);
    view
}

pub(crate) fn race_as_client() -> Daemon {
    let row = row(
        "10.0.0.5",
        8080,
        Role::Client,
        &[(Direction::Received, Cause::IdleReuse, 31), (Direction::Received, Cause::PeerAbort, 2)],
    );
    let mut events: Vec<Told> = (1..=7)
        .map(|id| {
            closed(id, &row, Kind::IdleCloseReceived, 60.0 + f64::from(u32::try_from(id).unwrap()) / 100.0)
        })
        .collect();
    for (id, idle) in [(11, 60.01), (12, 60.25), (13, 61.2)] {
        let event = Event {
            socket: Some(carried(40 + u32::try_from(id).unwrap())),
            ..event(id, &row, Kind::ResetReceived, idle)
        };
        events.push(told(id, event, Cause::IdleReuse, Confidence::Certain, AppSaw::EndOfFile));
    }
    let event = event(14, &row, Kind::ResetReceived, 0.2);
    events.push(told(14, event, Cause::PeerAbort, Confidence::Likely, AppSaw::ConnectionReset));
    daemon(vec![row], events)
}

#[tokio::test]
async fn a_race_as_client_leads_to_the_pools_timeout_below_the_peers() {
    let view = compare("idle_reuse_client", &race_as_client(), "peer=10.0.0.5&port=8080").await;
    let diagnosis = &view.diagnoses[0];
    assert_eq!((diagnosis.verdict.count, diagnosis.verdict.of), (31, 33));
    assert_eq!(diagnosis.verdict.confidence.as_deref(), Some("certain"));
    assert!(diagnosis.verdict.sentence.starts_with("31 of 33 resets received from 10.0.0.5:8080 (client)"));
    let go = diagnosis.fixes[0].settings.iter().find(|setting| setting.software == "go").unwrap();
    assert_eq!(
        (go.setting.as_str(), go.value.as_deref()),
        ("IdleConnTimeout: 55 * time.Second,", Some("55"))
    );
}

#[tokio::test]
async fn a_race_as_server_leads_to_both_sides_timeouts() {
    let row = row("10.0.0.77", 8080, Role::Server, &[(Direction::Sent, Cause::IdleReuse, 4)]);
    let mut events =
        vec![closed(1, &row, Kind::IdleCloseSent, 5.0), closed(2, &row, Kind::IdleCloseSent, 5.01)];
    for id in 3..=6 {
        let reason = Reason { code: 8, name: Some("TCP_ABORT_ON_DATA".into()) };
        let event = Event {
            owner: Some(owner("node")),
            reason: Some(reason),
            ..event(id, &row, Kind::ResetSent, 5.0 + f64::from(u32::try_from(id).unwrap()))
        };
        events.push(told(id, event, Cause::IdleReuse, Confidence::Certain, AppSaw::Nothing));
    }
    events.push(closed(7, &row, Kind::IdleCloseSent, 5.02));
    let view = compare("idle_reuse_server", &daemon(vec![row], events), "peer=10.0.0.77").await;
    let server = |part: &str| {
        view.diagnoses[0].fixes[0]
            .settings
            .iter()
            .any(|set| set.side == "server" && set.setting.contains(part))
    };
    assert!(server("server.keepAliveTimeout = 16000;"), "above the longest quiet, 11 s, by 5");
}

#[tokio::test]
async fn a_process_that_was_killed_is_named_with_its_signal_and_its_burst() {
    let row = row("10.0.0.77", 8080, Role::Server, &[(Direction::Sent, Cause::ProcessExit, 3)]);
    let events = (1..=3).map(|id| {
        let owner = Owner { exiting: true, exit_signal: Some(9), ..owner("java") };
        let event = Event { owner: Some(owner), ..event(id, &row, Kind::ResetSent, 0.1) };
        let first = time(1);
        let burst =
            Burst { id: 4, first, last: first + Duration::from_millis(250), connections: 3, restart: true };
        let told = told(id, event, Cause::ProcessExit, Confidence::Certain, AppSaw::Nothing);
        Told { burst: Some(burst), ..told }
    });
    compare("process_exit", &daemon(vec![row.clone()], events.collect()), "peer=10.0.0.77").await;
}

#[tokio::test]
async fn a_full_accept_queue_is_told_for_the_port() {
    let overflows = ListenerOverflows {
        rows: vec![OverflowRow {
            netns: NETNS,
            address: "10.0.0.5:8080".parse().unwrap(),
            counts: StageCounts { syn: 30, ack: 4 },
        }],
        ..ListenerOverflows::default()
    };
    let base = snapshot();
    let listening = Listening { own: Some(NETNS), overflows: Some(overflows), ..base.listening };
    let base = Snapshot {
        hooked: Hooked { overflows: true, ..Hooked::default() },
        port_rows: Vec::new(),
        listening,
        ..base
    };
    let daemon =
        daemon_with(base, vec![row("10.0.0.77", 8080, Role::Server, &[])], vec![overflow(1), rejection(2)]);
    let view = compare("listen_overflow", &daemon, "port=8080").await;
    let verdict = &view.diagnoses[0].verdict;
    assert_eq!((verdict.finding.as_str(), verdict.count), ("overflows_only", 34));
    assert_eq!(view.diagnoses[0].peer, None);
}

#[tokio::test]
async fn a_reset_with_another_ttl_is_not_the_peers() {
    let row = row("10.0.0.5", 443, Role::Client, &[(Direction::Received, Cause::Middlebox, 2)]);
    let events = [1, 2].map(|id| {
        let segment = Segment { flags: 0x14, bytes: 0, ttl: 55, ifindex: 2, sequence_distance: Some(0) };
        let event = Event {
            segment: Some(segment),
            baseline_ttl: Some(64),
            ..event(id, &row, Kind::ResetReceived, 300.0)
        };
        told(id, event, Cause::Middlebox, Confidence::Likely, AppSaw::ConnectionReset)
    });
    compare("middlebox", &daemon(vec![row.clone()], events.into()), "peer=10.0.0.5&port=443").await;
}

#[tokio::test]
async fn refusals_are_another_bug() {
    let row = row("10.0.0.5", 5432, Role::Client, &[(Direction::Received, Cause::Refused, 3)]);
    let event = Event { idle: None, ..event(1, &row, Kind::RefusedReceived, 0.0) };
    let event = told(1, event, Cause::Refused, Confidence::Certain, AppSaw::ConnectionRefused);
    let view = compare("refused", &daemon(vec![row], vec![event]), "peer=10.0.0.5").await;
    assert_eq!(view.diagnoses[0].verdict.finding, "refused_only");
}

#[tokio::test]
async fn deliberate_closes_are_no_alarm() {
    let row = row("10.0.0.77", 8080, Role::Server, &[(Direction::Sent, Cause::LingerAbort, 40)]);
    let event = Event { owner: Some(owner("haproxy")), ..event(1, &row, Kind::ResetSent, 0.0) };
    let event = told(1, event, Cause::LingerAbort, Confidence::Certain, AppSaw::Nothing);
    let view = compare("linger_abort", &daemon(vec![row], vec![event]), "peer=10.0.0.77&port=8080").await;
    assert_eq!(view.diagnoses[0].verdict.finding, "aborted_only");
}

#[tokio::test]
async fn a_peer_without_resets_is_told_to_have_none() {
    let row = row("2001:db8::7", 443, Role::Client, &[]);
    let events = vec![closed(1, &row, Kind::IdleCloseReceived, 75.0)];
    let view = compare("no_resets", &daemon(vec![row], events), "peer=2001:db8::7").await;
    assert_eq!(view.diagnoses[0].verdict.finding, "no_resets");
    assert!(view.diagnoses[0].fixes.is_empty() && view.diagnoses[0].evidence.is_empty());
}

#[tokio::test]
async fn no_line_but_a_setting_is_wider_than_the_terminal_and_no_colour_comes_unasked() {
    let view = explain(&race_as_client(), "peer=10.0.0.5").await;
    for width in [40, 72, 100] {
        let text = text(&view, Look { width, ..EVERYTHING });
        for line in text.lines().filter(|line| !line.starts_with("      ")) {
            let one_word = line.split_whitespace().count() <= 2;
            assert!(line.chars().count() <= width || one_word, "{width}: {line}");
        }
        assert!(!text.contains('\x1b'));
    }
    assert!(text(&view, Look { colour: true, ..EVERYTHING }).starts_with("\x1b[31m31 of 33"));
}

#[tokio::test]
async fn settings_are_those_of_the_software_that_was_asked_for() {
    let view = explain(&race_as_client(), "peer=10.0.0.5").await;
    let go = text(&view, Look { software: &[Software::Go], ..EVERYTHING });
    assert!(go.contains("IdleConnTimeout") && !go.contains("proxy_http_version"), "{go}");
    let all = text(&view, EVERYTHING);
    for part in ["keepalive_timeout 55s;", "pool-purge-delay 55s", "upstream-keepalive-timeout: \"55\""] {
        assert!(all.lines().any(|line| line.trim_start().contains(part)), "{part} is not in {all}");
    }
}

#[tokio::test]
async fn a_hostile_name_does_nothing_to_the_terminal() {
    let row = row("10.0.0.77", 8080, Role::Server, &[(Direction::Sent, Cause::ProcessExit, 1)]);
    let owner = Owner { exiting: true, ..owner("\u{1b}[2J\u{202e}\nx") };
    let event = Event { owner: Some(owner), ..event(1, &row, Kind::ResetSent, 0.1) };
    let event = told(1, event, Cause::ProcessExit, Confidence::Certain, AppSaw::Nothing);
    let view = explain(&daemon(vec![row], vec![event]), "peer=10.0.0.77").await;
    let text = text(&view, EVERYTHING);
    assert!(text.contains("?[2J??x[42]") && !text.contains(['\u{1b}', '\u{202e}']), "{text}");
}

#[tokio::test]
async fn several_peers_are_a_list_with_the_worst_first_and_a_bound() {
    let few = row("10.0.0.1", 80, Role::Client, &[(Direction::Received, Cause::PeerAbort, 1)]);
    let many = row("10.0.0.2", 80, Role::Client, &[(Direction::Received, Cause::PeerAbort, 9)]);
    let server = row("10.0.0.2", 443, Role::Server, &[]);
    let daemon = daemon(vec![few, many, server], Vec::new());
    let view = explain(&daemon, "peer=10.0.0.0%2F24&limit=2").await;
    let shown: Vec<_> =
        view.diagnoses.iter().map(|one| (one.peer.as_deref().unwrap(), one.port.unwrap())).collect();
    assert_eq!((shown, view.matching), (vec![("10.0.0.2", 80), ("10.0.0.1", 80)], 3));
    assert_eq!(explain(&daemon, "peer=10.0.0.2&role=server").await.matching, 1);
    assert_eq!(explain(&daemon, "peer=10.0.0.2&netns=4026531840").await.matching, 2);
    let all = explain(&daemon, "port=80&role=client").await;
    assert_eq!((all.diagnoses[0].peers, all.diagnoses[0].verdict.count, all.matching), (2, 10, 1));
}

#[tokio::test]
async fn a_port_that_only_refuses_is_explained_by_itself() {
    let refused = PortCounts { refused_sent: 5, ..PortCounts::default() };
    let daemon =
        daemon_with(Snapshot { port_rows: vec![(81, refused)], ..snapshot() }, Vec::new(), Vec::new());
    let view = explain(&daemon, "port=81").await;
    let verdict = &view.diagnoses[0].verdict;
    assert_eq!((verdict.finding.as_str(), verdict.count), ("refused_only", 5));
    assert_eq!(verdict.direction.as_deref(), Some("sent"));
}

#[tokio::test]
async fn unknown_is_null() {
    let row = row("10.0.0.5", 80, Role::Client, &[(Direction::Received, Cause::PeerAbort, 1)]);
    let answer = daemon(vec![row], Vec::new()).get("/api/v1/explain?peer=10.0.0.5").await;
    let value: Value = answer.json();
    assert_eq!(value["events_since"], Value::Null);
    let diagnosis = &value["diagnoses"][0];
    for pointer in
        ["/listener", "/idle_closes/peer", "/verdict/confidence", "/evidence/0/idle", "/evidence/0/ttl"]
    {
        assert_eq!(diagnosis.pointer(pointer), Some(&Value::Null), "{pointer}");
    }
    assert_eq!(diagnosis["evidence"][0]["count"], 1);
    assert!(diagnosis["fixes"][0]["settings"][0]["where"].is_string());
}

#[tokio::test]
async fn what_is_not_known_is_404_and_says_how_to_see_what_is() {
    let daemon = daemon(vec![row("10.0.0.5", 80, Role::Client, &[])], Vec::new());
    for (query, target) in [
        ("peer=10.0.0.6", "`10.0.0.6`"),
        ("peer=10.0.0.5&port=81", "`10.0.0.5:81`"),
        ("peer=::1&port=80", "`[::1]:80`"),
        ("port=82", "`:82`"),
        ("peer=10.0.0.5&role=server", "`10.0.0.5`"),
    ] {
        let answer = daemon.get(&format!("/api/v1/explain?{query}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{query}");
        let ErrorView { error } = answer.json();
        assert!(error.contains(target) && error.contains("reset-monitor peers"), "{error}");
    }
}

#[tokio::test]
async fn a_question_that_cannot_be_meant_is_refused_by_name() {
    let daemon = Daemon::new();
    for (query, named) in [
        ("", "`peer`"),
        ("role=client", "`peer`"),
        ("peer=web.example", "`peer`"),
        ("peer=10.0.0.1:80", "`peer`"),
        ("port=http", "`port`"),
        ("peer=::1&role=proxy", "`role`"),
        ("peer=::1&netns=x", "`netns`"),
        ("peer=::1&limit=0", "`limit`"),
        ("peer=::1&limit=101", "`limit`"),
        ("peer=::1&sort=peer", "`sort`"),
        ("peer=::1&peer=::2", "`peer`"),
    ] {
        let answer = daemon.get(&format!("/api/v1/explain?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert!(answer.json::<ErrorView>().error.contains(named), "{query}: {}", answer.text);
    }
}

#[test]
fn without_a_daemon_it_fails_with_one_line_that_says_what_to_do() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_reset-monitor"))
        .args(["explain", "10.0.0.5", "--server", "http://127.0.0.1:1"])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{message}");
    assert!(message.contains("is it running?") && message.trim_end().lines().count() == 1, "{message}");
}

#[test]
fn what_is_typed_becomes_the_question() {
    let asked = |arguments: &[&str]| {
        let cli = Cli::try_parse_from(["reset-monitor", "explain"].iter().chain(arguments)).ok()?;
        let Command::Explain(args) = cli.command else { panic!("another command") };
        Some(path(&args))
    };
    for (arguments, question) in [
        (&["10.0.0.5:8080"][..], "limit=3&peer=10.0.0.5&port=8080"),
        (&["[::1]:80", "--limit", "7"], "limit=7&peer=::1&port=80"),
        (&["10.0.0.0/24", "--role", "client"], "limit=3&peer=10.0.0.0/24&role=client"),
        (&[":8080", "--netns", "5"], "limit=3&port=8080&netns=5"),
        (&["::1", "--software", "nginx,java", "--software", "k8s"], "limit=3&peer=::1"),
    ] {
        assert_eq!(asked(arguments), Some(format!("/api/v1/explain?{question}")), "{arguments:?}");
    }
    for wrong in
        [&[][..], &["web.example"], &["10.0.0.5:x"], &["::1", "--software", "iis"], &["::1", "--limit", "0"]]
    {
        assert_eq!(asked(wrong), None, "{wrong:?}");
    }
}
