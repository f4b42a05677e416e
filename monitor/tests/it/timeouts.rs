//! Inferred timeouts as the API, the command and the metrics show them.

use std::time::Duration;

use axum::http::StatusCode;
use monitor::command::timeouts::print;
use monitor::http::convert::timeouts::timeouts_view;
use monitor::live::{Connection, LastWord, Listeners, Live, Open};
use monitor::publish::Known;
use monitor::snapshot::{PeerLabel, Scope, Snapshot};
use monitor::terminal::{Medium, Output};
use monitor::timeouts::alignment::{Alignment, Verdict};
use monitor::timeouts::chain::chains;
use monitor::timeouts::estimate::Estimate;
use monitor::timeouts::{Service, SideFacts, TimeoutRow, TimeoutSeries};
use monitor::view::ErrorView;
use monitor::view::timeouts::TimeoutsView;
use monitor_common::peer::Role;
use serde_json::{Value, json};

use crate::support::{Daemon, signals, snapshot};

async fn peers(daemon: &Daemon, query: &str) -> Vec<Option<String>> {
    let answer = daemon.get(&format!("/api/v1/timeouts?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    let view: TimeoutsView = answer.json();
    view.timeouts.into_iter().map(|row| row.peer).collect()
}

#[tokio::test]
async fn the_worst_come_first_and_filters_are_those_of_peers() {
    let daemon = Daemon::new();
    let [client, server] = ["10.0.0.1", "2001:db8::7"].map(|peer| Some(peer.to_owned()));
    assert_eq!(peers(&daemon, "").await, [client.clone(), None, server.clone()]);
    assert_eq!(peers(&daemon, "role=server").await, [None, server.clone()]);
    assert_eq!(peers(&daemon, "peer=2001:db8::/32").await, [server]);
    assert_eq!(peers(&daemon, "port=8080&netns=1").await, std::slice::from_ref(&client));
    assert_eq!(peers(&daemon, "netns=2").await, []);
    assert_eq!(
        peers(&daemon, "known=true").await,
        [Some("10.0.0.1".to_owned()), Some("2001:db8::7".to_owned())]
    );
    let page: TimeoutsView = daemon.get("/api/v1/timeouts?limit=1").await.json();
    assert_eq!((page.timeouts.len(), page.matching), (1, 3));
    assert_eq!(page.timeouts[0].peer, client);
}

#[tokio::test]
async fn a_row_has_both_numbers_the_margin_and_what_to_change_and_unknown_is_null() {
    let answer: Value = Daemon::new().get("/api/v1/timeouts").await.json();
    let expected = json!({
        "peer": "10.0.0.1", "port": 8080, "role": "client", "netns": 1, "name": null, "verdict": "misaligned",
        "margin_seconds": -0.028, "client_seconds": 60.02, "server_seconds": 59.992,
        "local": {"timeouts": [], "at_least_seconds": 60.02},
        "remote": {
            "timeouts": [{
                "seconds": 60.012, "earliest_seconds": 59.992, "latest_seconds": 60.032, "samples": 7,
                "age_seconds": 60.0,
            }],
            "at_least_seconds": null,
        },
        // The client never gave up by itself: it would hold on to whatever the server allows.
        "open": 3, "idle": 2, "held_seconds": 61.0,
        "change": {"client_at_most_seconds": 55, "server_at_least_seconds": null},
    });
    assert_eq!(answer["timeouts"][0], expected);
    assert_eq!(answer["timeouts"][1]["margin_seconds"], Value::Null);
    assert_eq!(answer["timeouts"][1]["change"], Value::Null);
    let open =
        |row: usize| ["open", "idle", "held_seconds"].map(|field| answer["timeouts"][row][field].clone());
    assert_eq!(open(1), [Value::from(0), Value::from(0), Value::Null], "nothing is open");
    assert_eq!(open(2), [Value::Null, Value::Null, Value::Null], "it was not looked at");
    assert_eq!(answer["since"], "2026-11-20T02:00:00Z");
}

#[tokio::test]
async fn a_busy_daemon_says_so() {
    let busy = Snapshot { peers: None, timeouts: None, ..snapshot() };
    let answer = Daemon::with(busy, signals()).get("/api/v1/timeouts").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name() {
    let daemon = Daemon::new();
    for (query, named) in [
        ("limit=0", "limit"),
        ("limit=4353", "limit"),
        ("sort=peer", "sort"),
        ("peer=x", "peer"),
        ("role=a", "role"),
    ] {
        let answer = daemon.get(&format!("/api/v1/timeouts?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let ErrorView { error } = answer.json();
        assert!(error.contains(&format!("`{named}`")), "{query}: {error}");
    }
}

#[test]
fn the_audit_stands_in_aligned_columns() {
    let rows = rows();
    let rows: Vec<&TimeoutRow> = [2, 1, 0].into_iter().map(|place: usize| &rows[place]).collect();
    let view = timeouts_view(&snapshot(), &rows, &[], 10, Known::default());
    let mut out = Vec::new();
    print(&view, Output::Table, Medium::PLAIN, &mut out).unwrap();
    let expected = "\
PEER         PORT  ROLE    VERDICT     MARGIN  OURS        THEIRS            HELD        SEEN  CHANGE
10.0.0.1     8080  client  misaligned  -28 ms  >= 60.0 s   60.0 s (7)  61.0 s (2)  60.0 s ago  client <= 55 s
all clients   443  server  unknown          -  >= 30.0 s   30.0 s (3)           -  60.0 s ago  -
2001:db8::7   443  server  aligned      7.0 s  65.0 s (4)  58.0 s (9)           -  60.0 s ago  -
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
    let mut json = Vec::new();
    print(&view, Output::Json, Medium::PLAIN, &mut json).unwrap();
    assert_eq!(serde_json::from_slice::<TimeoutsView>(&json).unwrap(), view);
}

#[tokio::test]
async fn a_host_in_the_middle_shows_its_hops_and_is_as_safe_as_the_worst() {
    let daemon = Daemon::new();
    let answer: Value = daemon.get("/api/v1/timeouts").await.json();
    let expected = json!([{
        "port": 443, "netns": 1, "verdict": "misaligned", "is_guess": false, "services": 1,
        "hops": [
            {
                "peer": null, "name": null, "port": 443, "verdict": "unknown", "margin_seconds": null,
                "client_seconds": 30.25, "server_seconds": null,
            },
            {
                "peer": "10.0.0.1", "name": null, "port": 8080, "verdict": "misaligned", "margin_seconds": -0.028,
                "client_seconds": 60.02, "server_seconds": 59.992,
            },
        ],
    }]);
    assert_eq!(answer["chains"], expected);
    // Whole, when one of its hops is asked for.
    let filtered: Value = daemon.get("/api/v1/timeouts?peer=10.0.0.1").await.json();
    assert_eq!((&filtered["chains"], &filtered["matching"]), (&expected, &json!(1)));
    let other: Value = daemon.get("/api/v1/timeouts?port=80").await.json();
    assert_eq!(other["chains"], json!([]));
}

#[test]
fn chains_stand_below_the_audit() {
    let rows = rows();
    let view = timeouts_view(&snapshot(), &[], &chains(&rows), 10, Known::default());
    let mut out = Vec::new();
    print(&view, Output::Table, Medium::PLAIN, &mut out).unwrap();
    let expected = "
In the middle: in each hop the client must give up first, so clients < us, and us < what is behind us.
CHAIN  HOP                  GIVES UP  CLOSES  MARGIN  VERDICT
:443   clients to us          30.2 s       -       -  unknown
       us to 10.0.0.1:8080    60.0 s  60.0 s  -28 ms  misaligned
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

fn series_of(peer: &str, port: u16, role: Role) -> PeerLabel {
    PeerLabel { scope: Scope::Address(peer.parse().unwrap()), port: Some(port), role }
}

/// A service's connections, quiet for so many milliseconds each.
pub(crate) fn open(quiets: &[u32]) -> Open {
    let mut live = Live::default();
    for &quiet_ms in quiets {
        let connection = Connection {
            local: "10.0.0.9:40000".parse().unwrap(),
            remote: "10.0.0.1:8080".parse().unwrap(),
            established: true,
            quiet_ms,
            exchanges: 1,
            last_word: LastWord::Both,
            caller: None,
        };
        live.add(1, &Listeners::default(), &connection);
    }
    live.services().next().map(|(_, open)| *open).unwrap()
}

/// Series of two peers.
pub(crate) fn series() -> Vec<TimeoutSeries> {
    let seconds = Duration::from_secs_f64;
    vec![
        TimeoutSeries {
            netns: None,
            label: series_of("10.0.0.1", 8080, Role::Client),
            local: None,
            peer: Some(seconds(60.012)),
            margin_ms: Some(-28),
        },
        TimeoutSeries {
            netns: None,
            label: series_of("2001:db8::7", 443, Role::Server),
            local: Some(seconds(65.0)),
            peer: Some(seconds(58.0)),
            margin_ms: Some(7_000),
        },
    ]
}

/// One of each verdict but `tight`, in no order, read 1,000 s after the start.
pub(crate) fn rows() -> Vec<TimeoutRow> {
    let seconds = Duration::from_secs_f64;
    let side = |timeout: f64, spread: f64, samples: usize, at_least: Option<f64>| SideFacts {
        estimates: vec![Estimate {
            timeout: seconds(timeout),
            earliest: seconds(timeout - spread),
            latest: seconds(timeout + spread),
            samples,
            first: seconds(100.0),
            last: seconds(940.0),
        }],
        at_least: at_least.map(seconds),
        moments: vec![seconds(940.0)],
    };
    let row = |peer: Option<&str>, port, role, local, peers, alignment, open| TimeoutRow {
        service: Service { netns: 1, peer: peer.map(|peer| peer.parse().unwrap()), port, role },
        cgroup: Some(7),
        local,
        peer: peers,
        alignment,
        open,
        read: seconds(1_000.0),
    };
    let alignment = |verdict, client: Option<f64>, server: Option<f64>, margin_ms| Alignment {
        verdict,
        client: client.map(seconds),
        server: server.map(seconds),
        margin_ms,
    };
    vec![
        row(
            Some("2001:db8::7"),
            443,
            Role::Server,
            side(65.0, 0.0, 4, None),
            side(58.0, 0.0, 9, None),
            alignment(Verdict::Aligned, Some(58.0), Some(65.0), Some(7_000)),
            None,
        ),
        row(
            None,
            443,
            Role::Server,
            SideFacts { at_least: Some(seconds(30.0)), ..SideFacts::default() },
            side(30.0, 0.25, 3, None),
            alignment(Verdict::Unknown, Some(30.25), None, None),
            Some(Open::default()),
        ),
        row(
            Some("10.0.0.1"),
            8080,
            Role::Client,
            SideFacts { at_least: Some(seconds(60.02)), ..SideFacts::default() },
            side(60.012, 0.02, 7, None),
            alignment(Verdict::Misaligned, Some(60.02), Some(59.992), Some(-28)),
            Some(open(&[500, 61_000, 3_000])),
        ),
    ]
}
