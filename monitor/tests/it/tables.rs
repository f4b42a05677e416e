//! Every table as a person sees it: the program in a terminal of 80 columns and in one of 200, kept as files in `golden/tables`.

use std::process::Command;
use std::time::Duration;

use monitor::cli::CheckOutput;
use monitor::command::check;
use monitor::command::probe::outcome::{Answer, Outcome, Report};
use monitor::command::probe::{summary::Summary, text};
use monitor::http::server::serve;
use monitor::snapshot::Snapshot;
use monitor::terminal::Medium;
use monitor::terminal::table::{Column, Table};
use monitor::view::SignalsView;
use monitor::view::check::{CheckView, MissingCapabilityView};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::alerts::report;
use crate::explain::race_as_client;
use crate::metrics_page::golden;
use crate::probe::{ANSWER, QUIET, Server};
use crate::support::{
    Daemon, hooked_snapshot, overflow, provisional, refusal, rejection, signals, snapshot, told,
};
use crate::terminal::Terminal;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];

/// What stands on a terminal of this width, however long it is: text without its colours, broken where the terminal breaks it.
fn shown(written: &str, columns: u16) -> String {
    let lines = u16::try_from(written.lines().count() * 4 + 10).unwrap();
    let mut parser = vt100::Parser::new(lines, columns, 0);
    parser.process(written.replace('\n', "\r\n").as_bytes());
    let rows: Vec<String> = parser.screen().rows(0, columns).map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n").trim_end().to_owned() + "\n"
}

/// Compares with the file; no line is broken by the terminal, for then columns no longer stand below each other.
#[track_caller]
fn compare(name: &str, (columns, rows): (u16, u16), written: &str) {
    let text = shown(written, columns);
    let wide = |line: &&str| shown(line, 1_000).trim_end().chars().count() > columns.into();
    // Settings are pasted, so they stay in one line.
    let broken: Vec<_> =
        written.lines().filter(wide).filter(|line| name != "explain" || !line.starts_with("    ")).collect();
    assert!(broken.is_empty(), "{name}: wider than {columns}: {broken:#?}");
    golden(&format!("monitor/tests/it/golden/tables/{name}-{columns}x{rows}.txt"), &text);
}

/// What the program writes into a terminal when it asks this daemon.
async fn ask(daemon: Daemon, cases: &[(&str, &[&str])]) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(serve(listener, daemon.router, daemon.shutdown.subscribe()));
    for (name, words) in cases {
        for size in SIZES {
            let (_, written) = run(&[words, &["--server", &url][..]].concat(), size).await;
            compare(name, size, &written);
        }
    }
}

async fn run(words: &[&str], size: (u16, u16)) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    command.args(words).env("TERM", "xterm-256color").env_remove("NO_COLOR").env("TZ", "UTC");
    let (status, written) = Terminal::start(&mut command, size).written().await;
    (status.code(), written)
}

/// A daemon with something to say to each command.
pub(crate) fn busy() -> Daemon {
    let daemon = Daemon::with(hooked_snapshot(), signals());
    for event in [told(1), refusal(2), provisional(3), overflow(4), rejection(5)] {
        daemon.publisher.event(event.into());
    }
    daemon.publisher.alerts(report().into());
    daemon
}

#[tokio::test]
async fn what_the_daemon_is_asked_for_fits_its_terminal() {
    ask(
        busy(),
        &[
            ("peers", &["peers"]),
            ("timeouts", &["timeouts"]),
            ("listeners", &["listeners"]),
            ("alerts", &["alerts"]),
            ("rules", &["alerts", "--rules"]),
            ("events", &["events"]),
            ("compact", &["events", "-o", "compact"]),
        ],
    )
    .await;
    ask(race_as_client(), &[("explain", &["explain", "10.0.0.5"])]).await;
}

#[tokio::test]
async fn an_empty_answer_says_how_much_is_watched() {
    let nothing = Snapshot { peers: Some(Vec::new()), timeouts: Some(Vec::new()), ..snapshot() };
    let cases: &[(&str, &[&str])] = &[
        ("no-peers", &["peers"]),
        ("no-such-peer", &["peers", "--port", "1"]),
        ("no-events", &["events"]),
        ("no-timeouts", &["timeouts"]),
    ];
    ask(Daemon::with(nothing, signals()), cases).await;
}

#[tokio::test]
async fn a_recording_fits_its_terminal() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/golden/resets.recording");
    for size in SIZES {
        let (code, written) = run(&["replay", file], size).await;
        assert_eq!(code, Some(0), "{written}");
        compare("replay", size, &written);
    }
}

#[test]
fn what_kernels_say_of_themselves_fits_its_terminal() {
    let kernels: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/kernels.json")).unwrap();
    let missing = MissingCapabilityView {
        capability: "CAP_SYS_PTRACE".to_owned(),
        lost: "what it is good for, in a sentence that goes over more than one line of a small terminal"
            .to_owned(),
        advice: "give it, and nothing else, to whoever starts the daemon".to_owned(),
    };
    let cases =
        [(0, "check-5.10", None), (5, "check-locked-down", None), (4, "check-lacking", Some(missing))];
    for (kernel, name, missing) in cases {
        let served: SignalsView = serde_json::from_value(kernels["kernels"][kernel].clone()).unwrap();
        let view =
            CheckView { served, programs: Vec::new(), missing_capabilities: missing.into_iter().collect() };
        for size in SIZES {
            let medium = Medium { colour: false, width: Some(size.0.into()) };
            let mut out = Vec::new();
            let form = check::Form { output: CheckOutput::Table, programs: false, medium };
            check::print(&view, form, &mut out).unwrap();
            compare(name, size, &String::from_utf8(out).unwrap());
        }
    }
}

/// A connection that was held until this.
fn probed(number: u32, outcome: Outcome) -> Report {
    let local = format!("10.0.0.9:{}", 40_000 + number).parse().ok();
    Report { number, local, wanted: None, answer: Some(Answer::Bytes(512)), unasked: 0, outcome }
}

#[test]
fn what_a_probe_learns_fits_its_terminal() {
    let reports = [(1, 75_012), (2, 75_034)]
        .map(|(number, after)| probed(number, Outcome::Open { after: Duration::from_millis(after) }));
    for size in SIZES {
        let medium = Medium { colour: false, width: Some(size.0.into()) };
        let columns: &[Column] = &text::HELD;
        let mut table = Table::new(columns, medium);
        let mut out = Vec::new();
        for cells in reports.iter().filter_map(|report| text::row(report, false)) {
            table.row(&mut out, &cells).unwrap();
        }
        let lines = text::lines(&Summary::of(&reports), "http://10.0.0.5:8080/");
        let lines = text::fitting(lines, medium);
        let written = String::from_utf8(out).unwrap() + "\n" + &lines.join("\n") + "\n";
        compare("probe", size, &written);
    }
}

/// With its progress, which is written over, and times that are other ones each time.
#[tokio::test]
async fn a_running_probe_fits_its_terminal() {
    let server = Server::answering(ANSWER, QUIET, drop);
    for size in SIZES {
        let (code, written) = run(&["probe", &server.url(), "-n", "2"], size).await;
        // As wide as it likes: what the terminal would have broken is one line here.
        let left = shown(&written, 1_000);
        assert_eq!(code, Some(0), "{left}");
        assert!(left.lines().filter(|line| line.contains("FIN")).count() >= 2, "{left}");
        let wide: Vec<_> = left.lines().filter(|line| line.chars().count() > size.0.into()).collect();
        assert!(wide.is_empty(), "wider than {size:?}: {wide:#?}");
    }
}
