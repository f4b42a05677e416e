//! The API over the router: shapes, filters, refusals, and who may ask.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use monitor::http::filter::PeerSort;
use monitor::snapshot::Snapshot;
use monitor::snapshot::listening::Listening;
use monitor::view::listeners::ListenersView;
use monitor::view::{ErrorView, EventsView, PeerView, PeersView, SignalsView, StatusView};
use serde_json::Value;
use tower::ServiceExt;

use crate::support::{
    Daemon, hooked_snapshot, long_ago, overflow, refusal, rejection, request, signals, snapshot,
};

/// Peers of an answer, by name.
async fn peers(daemon: &Daemon, query: &str) -> Vec<String> {
    let answer = daemon.get(&format!("/api/v1/peers?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json::<PeersView>().peers.into_iter().map(|peer| peer.peer).collect()
}

#[tokio::test]
async fn status_tells_the_totals_and_the_account_of_stories() {
    let status: StatusView = Daemon::new().get("/api/v1/status").await.json();
    assert_eq!((status.version.as_str(), status.kernel.as_str()), ("0.1.0", "6.18.1-test"));
    assert_eq!(status.started, "2026-11-20T02:00:00Z");
    assert_eq!(status.total.resets_sent, 21 + 5);
    assert_eq!(status.total, status.kernel_total);
    assert_eq!(status.stories["stray_sent"].lost, 4);
    assert_eq!(status.fills["closed_memory"].used, None);
    assert_eq!(status.missed_runs["set_state"], None);
    assert_eq!(status.namespaces[0].unattributed, Some(1));
}

#[tokio::test]
async fn a_peer_has_its_counts_beside_its_name_and_unknown_is_null() {
    let answer: Value = Daemon::new().get("/api/v1/peers?peer=10.0.0.1").await.json();
    let peer = &answer["peers"][0];
    assert_eq!(peer["peer"], "10.0.0.1");
    assert_eq!((&peer["port"], &peer["role"], &peer["netns"]), (&8080.into(), &"client".into(), &1.into()));
    assert_eq!((&peer["resets_sent"], &peer["resets_received"]), (&11.into(), &20.into()));
    assert_eq!(peer["causes_sent"], serde_json::json!({"linger_abort": 10, "unclassified": 1}));
    let other: Value = Daemon::new().get("/api/v1/peers?peer=other").await.json();
    assert_eq!(other["peers"][0]["port"], Value::Null);
}

#[tokio::test]
async fn peers_come_with_the_most_resets_first_unless_asked_otherwise() {
    let daemon = Daemon::new();
    let by_resets = ["10.0.0.1", "192.0.2.0/24", "2001:db8::7", "retired", "other"];
    assert_eq!(peers(&daemon, "").await, by_resets);
    assert_eq!(peers(&daemon, "sort=closed").await, by_resets);
    assert_eq!(
        peers(&daemon, "sort=peer").await,
        ["10.0.0.1", "2001:db8::7", "192.0.2.0/24", "other", "retired"]
    );
    let mut reversed = by_resets;
    reversed.reverse();
    assert_eq!(peers(&daemon, "sort=closed&order=asc").await, reversed);
    assert_eq!(
        peers(&daemon, "sort=open&limit=1").await,
        ["10.0.0.1"],
        "the only one whose connections are known"
    );
    for sort in PeerSort::ALL {
        assert_eq!(peers(&daemon, &format!("sort={}&order=desc", sort.name())).await.len(), 5, "{sort:?}");
    }
}

#[tokio::test]
async fn peers_are_found_by_a_part_of_what_is_shown_of_them() {
    let daemon = Daemon::new();
    for (text, found) in [
        ("10.0.", vec!["10.0.0.1"]),
        (":db8:", vec!["2001:db8::7"]),
        ("43", vec!["192.0.2.0/24", "2001:db8::7"]),
        ("clien", vec!["10.0.0.1", "retired"]),
        ("linger", vec![]),
    ] {
        assert_eq!(peers(&daemon, &format!("text={text}")).await, found, "{text}");
    }
}

#[tokio::test]
async fn peers_are_filtered_and_paged() {
    let daemon = Daemon::new();
    assert_eq!(peers(&daemon, "limit=2&offset=1").await, ["192.0.2.0/24", "2001:db8::7"]);
    assert_eq!(peers(&daemon, "role=client").await, ["10.0.0.1", "retired"]);
    assert_eq!(peers(&daemon, "port=443&netns=2").await, ["192.0.2.0/24"]);
    assert_eq!(peers(&daemon, "peer=192.0.2.0%2F24").await, ["192.0.2.0/24"]);
    assert_eq!(peers(&daemon, "peer=10.0.0.0/8").await, ["10.0.0.1"]);
    assert_eq!(peers(&daemon, "peer=10.0.0.2").await, [""; 0]);
    let page: PeersView = daemon.get("/api/v1/peers?limit=1&port=443").await.json();
    assert_eq!((page.peers.len(), page.matching), (1, 2));
    assert_eq!(page.total.opened, 21_000, "the total is over all peers, whatever is shown");
    assert_eq!(page.ports.len(), 2);
    assert_eq!(page.open, Some(3), "likewise");
}

#[tokio::test]
async fn ports_beyond_the_limit_are_summed_up() {
    let all: PeersView = Daemon::new().get("/api/v1/peers").await.json();
    assert_eq!(all.ports.iter().map(|row| row.port).collect::<Vec<_>>(), [Some(8080), Some(1)]);
    let page: PeersView = Daemon::new().get("/api/v1/peers?limit=1").await.json();
    let ports: Vec<_> = page.ports.iter().map(|row| (row.port, row.refused_sent, row.stray_sent)).collect();
    assert_eq!(ports, [(Some(8080), 1, 2), (None, 4, 0)]);
}

#[tokio::test]
async fn lists_on_their_way_to_readers_are_bounded_in_sum() {
    let mut busy = snapshot();
    busy.peers = busy.peers.map(|peers| peers.iter().cycle().take(60_000).cloned().collect());
    let daemon = Daemon::with(busy, signals());
    let list = || async {
        let request = request(Method::GET, "/api/v1/peers?limit=200000").body(Body::empty()).unwrap();
        daemon.router.clone().oneshot(request).await.unwrap()
    };
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(list().await);
    }
    assert!(unread.iter().all(|answer| answer.status() == StatusCode::OK));
    let refused = list().await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(daemon.get("/api/v1/peers?limit=20").await.status, StatusCode::OK);
    unread.pop();
    assert_eq!(list().await.status(), StatusCode::OK);
}

#[tokio::test]
async fn peers_and_total_of_an_answer_agree() {
    let page: PeersView = Daemon::new().get("/api/v1/peers").await.json();
    let sum = |value: fn(&PeerView) -> u64| page.peers.iter().map(value).sum::<u64>();
    assert_eq!(sum(|peer| peer.counts.resets_sent), page.total.resets_sent);
    assert_eq!(sum(|peer| peer.causes_sent.values().sum()), page.total.resets_sent);
    assert_eq!(sum(|peer| peer.causes_received.values().sum()), page.total.resets_received);
}

#[tokio::test]
async fn an_event_tells_all_that_is_known_and_null_for_the_rest() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    daemon.publisher.event(refusal(2).into());
    let answer: Value = daemon.get("/api/v1/events").await.json();
    let mut expected = serde_json::json!({
        "id": 1, "time": "2026-11-20T03:00:00.123456Z", "kind": "reset_sent", "direction": "sent",
        "family": "ipv4", "netns": 4_026_531_840_u32,
        "local": {"addr": "10.0.0.9", "port": 443}, "remote": {"addr": "10.0.0.1", "port": 51000},
        "peer": {"peer": "10.0.0.1", "port": 443, "role": "server"},
        "state": "CLOSE", "state_before": "ESTABLISHED",
        "reason": {"name": "TCP_ABORT_ON_CLOSE", "code": 11}, "cause": "unread_data", "counted": "reset",
        "confidence": "certain", "evidence": ["socket.unread_bytes"], "app_saw": "nothing",
        "other_end": null, "final": true, "burst": null,
        "idle": {"seconds": 0.25, "basis": "before_reset", "at_least": false}, "peers_idle_closes": null, "fin": null, "ended_by": null,
        "socket": {"bytes_in": 120, "bytes_out": 4096, "data_segments_in": 1, "data_segments_out": 2,
                   "srtt_seconds": 0.00025, "sent_seconds_ago": 0.5, "received_seconds_ago": 0.25,
                   "ack_seconds_ago": null, "connection_seconds": null, "unread_bytes": 7, "unacked_bytes": 0,
                   "probes": 0, "linger_zero": false, "shutdown": "none"},
        "segment": {"flags": "P.", "bytes": 10, "ttl": 63, "ifindex": 2, "sequence_distance": -3},
        "baseline_ttl": null, "active": true, "orphan": false, "fileless": false, "destroyed": false,
        "carried_data": true, "backlog": null, "stage": null, "socket_inode": null, "cgroup_id": null,
        "owner": {"pid": 42, "tid": 43, "comm": "nginx", "exiting": false, "exit_signal": null,
                  "oom_killed": false},
        "since_close_seconds": 1.5,
    });
    // The macro takes no more keys than these. Nothing is looked up here.
    expected["process"] = Value::Null;
    expected["remote_name"] = Value::Null;
    expected["cgroup"] = Value::Null;
    assert_eq!(answer["events"][0], expected);
    for unknown in ["peer", "reason", "socket", "segment", "owner", "counted", "state", "since_close_seconds"]
    {
        assert_eq!(answer["events"][1][unknown], Value::Null, "{unknown}");
    }
}

#[tokio::test]
async fn signals_say_what_is_missing_and_what_to_do() {
    let signals: SignalsView = Daemon::new().get("/api/v1/signals").await.json();
    assert_eq!(signals.kernel, "6.18.1-test");
    assert_eq!((signals.signals[0].status.as_str(), &signals.signals[0].why), ("works", &None));
    assert_eq!(signals.signals[1].advice.as_deref(), Some("use 6.1 or newer"));
}

/// Inode numbers of an answer's listening sockets.
async fn listeners(daemon: &Daemon, query: &str) -> Vec<u32> {
    let answer = daemon.get(&format!("/api/v1/listeners?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    let view: ListenersView = answer.json();
    view.listeners.unwrap().into_iter().map(|listener| listener.inode).collect()
}

#[tokio::test]
async fn listeners_come_with_the_fullest_first_and_then_those_that_dropped_most() {
    let daemon = Daemon::new();
    assert_eq!(listeners(&daemon, "").await, [503, 505, 501, 502, 504]);
    assert_eq!(listeners(&daemon, "port=80").await, [501, 502]);
    assert_eq!(listeners(&daemon, "port=81").await, [0; 0]);
    let page: ListenersView = daemon.get("/api/v1/listeners?limit=1&port=80").await.json();
    assert_eq!((page.listeners.map(|rows| rows.len()), page.matching), (Some(1), Some(2)));
    assert_eq!(page.listener_drops, Some(55), "the total is over all, whatever is shown");
    assert_eq!(page.closed_drops, Some(55 - 42));
}

#[tokio::test]
async fn a_listener_tells_its_queue_and_unknown_is_null() {
    let answer: Value = Daemon::new().get("/api/v1/listeners?port=443").await.json();
    let expected = serde_json::json!({
        "addr": "::", "port": 443, "interface": 4, "only_v6": true, "backlog": 129, "limit": 128,
        "drops": 40, "overflows_syn": null, "overflows_ack": null, "inode": 503, "uid": 33,
    });
    assert_eq!(answer["listeners"], Value::Array(vec![expected]));
    assert_eq!(answer["since"], "2026-11-20T02:00:00Z");
    assert_eq!(
        answer["namespaces"][1],
        serde_json::json!(
            {"netns": 2, "cgroup": null, "listen_overflows": 4, "listen_drops": 4, "challenge_acks": 2, "time_wait_sockets": null}
        )
    );
    assert_eq!(
        answer["conntrack"],
        serde_json::json!({"entries": 900, "limit": 1024, "drops": 3, "full": null})
    );
    assert_eq!((&answer["orphan_sockets"], &answer["time_wait_sockets"]), (&1.into(), &12.into()));

    let unknown = Snapshot { listening: Listening::default(), ..snapshot() };
    let answer: Value = Daemon::with(unknown, signals()).get("/api/v1/listeners").await.json();
    for field in [
        "listeners",
        "matching",
        "not_listed",
        "closed_drops",
        "conntrack",
        "orphan_sockets",
        "time_wait_sockets",
    ] {
        assert_eq!(answer[field], Value::Null, "{field}");
    }
    assert_eq!(answer["total"]["listen_overflows"], Value::Null);
}

#[tokio::test]
async fn overflows_by_listener_and_stage_are_told_where_functions_are_hooked_and_null_elsewhere() {
    let daemon = Daemon::with(hooked_snapshot(), signals());
    let view: ListenersView = daemon.get("/api/v1/listeners").await.json();
    let shown: Vec<_> =
        view.listeners.iter().flatten().map(|row| (row.overflows_syn, row.overflows_ack)).collect();
    let none = (Some(0), Some(0));
    assert_eq!(shown, [(Some(30), Some(4)), none, none, none, none], "that of namespace 2 is another's");
    let overflows: Vec<_> =
        view.overflows.iter().flatten().map(|row| (row.netns, row.port, row.open)).collect();
    assert_eq!(overflows, [(1, 443, Some(true)), (2, 80, None), (1, 25, Some(false))]);
    assert_eq!(view.total.overflows_syn.zip(view.total.overflows_ack), Some((36, 5)));
    assert_eq!((view.total.overflows_not_listed, view.conntrack.unwrap().full), (Some(2), Some(7)));
    let one: ListenersView = daemon.get("/api/v1/listeners?port=25").await.json();
    assert_eq!(one.overflows.map(|rows| rows.len()), Some(1));

    let status: StatusView = daemon.get("/api/v1/status").await.json();
    assert_eq!((status.overflows_syn, status.overflows_ack), (Some(38), Some(5)));
    assert_eq!((status.unattributed_overflows, status.conntrack_full), (Some(1), Some(7)));
    let here = &status.namespaces[0];
    assert_eq!((here.overflows_syn, here.overflows_ack, here.reject_sent), (Some(34), Some(5), Some(4)));
    assert_eq!((here.unattributed_overflows, status.ports_total.reject_sent), (Some(1), Some(4)));

    let unhooked = Daemon::new();
    let status: Value = unhooked.get("/api/v1/status").await.json();
    for field in ["overflows_syn", "overflows_ack", "unattributed_overflows", "conntrack_full"] {
        assert_eq!(status[field], Value::Null, "{field}");
    }
    for field in ["overflows_syn", "overflows_ack", "unattributed_overflows", "reject_sent"] {
        assert_eq!(status["namespaces"][0][field], Value::Null, "{field}");
    }
    assert_eq!(
        (&status["challenge_acks"], &status["ports_total"]["reject_sent"]),
        (&21.into(), &Value::Null)
    );
    let listeners: Value = unhooked.get("/api/v1/listeners").await.json();
    assert_eq!((&listeners["overflows"], &listeners["total"]["overflows_syn"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn overflows_and_rejections_are_found_by_what_they_are() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    daemon.publisher.event(overflow(2).into());
    daemon.publisher.event(rejection(3).into());
    let found = async |query: &str| -> Vec<u64> {
        let answer: EventsView = daemon.get(&format!("/api/v1/events?{query}")).await.json();
        answer.events.iter().map(|event| event.id).collect()
    };
    for (query, ids) in [
        ("", vec![1, 2, 3]),
        ("cause=listen_overflow", vec![2]),
        ("kind=listen_overflow", vec![2]),
        ("cause=netfilter_reject", vec![3]),
        ("kind=reject_sent", vec![3]),
        ("direction=received", vec![2]),
        ("direction=sent", vec![1, 3]),
        ("port=8080", vec![2, 3]),
        ("port=41234&peer=10.0.0.9", vec![2]),
    ] {
        assert_eq!(found(query).await, ids, "{query}");
    }
    let answer: Value = daemon.get("/api/v1/events?kind=listen_overflow").await.json();
    let event = &answer["events"][0];
    assert_eq!((&event["stage"], &event["peer"]), (&"syn".into(), &Value::Null));
    assert_eq!(event["backlog"], serde_json::json!({"waiting": 129, "limit": 128}));
}

#[tokio::test]
async fn a_query_that_cannot_be_meant_is_refused_by_name() {
    let daemon = Daemon::new();
    for (path, named) in [
        ("/api/v1/peers?limt=5", "limt"),
        ("/api/v1/peers?limit=0", "limit"),
        ("/api/v1/peers?limit=200001", "limit"),
        ("/api/v1/peers?limit=%2B5", "limit"),
        ("/api/v1/peers?offset=-1", "offset"),
        ("/api/v1/peers?role=proxy", "role"),
        ("/api/v1/peers?peer=10.0.0", "peer"),
        ("/api/v1/peers?port=65536", "port"),
        ("/api/v1/peers?netns=x", "netns"),
        ("/api/v1/peers?sort=size", "sort"),
        ("/api/v1/peers?order=down", "order"),
        ("/api/v1/peers?text=a%20b", "text"),
        ("/api/v1/peers?text=", "text"),
        ("/api/v1/explain?port=1&text=a", "text"),
        ("/api/v1/peers?port=1&port=2", "port"),
        ("/api/v1/status?x", "x"),
        ("/api/v1/signals?x=1", "x"),
        ("/api/v1/listeners?port=http", "port"),
        ("/api/v1/listeners?limit=16385", "limit"),
        ("/api/v1/listeners?netns=1", "netns"),
        ("/api/v1/events?limit=10001", "limit"),
        ("/api/v1/events?after=yesterday", "after"),
        ("/api/v1/events?direction=up", "direction"),
        ("/api/v1/events?cause=magic", "cause"),
        ("/api/v1/events?kind=kind", "kind"),
        ("/api/v1/events?before=0", "before"),
        ("/api/v1/events?since=10m", "since"),
        ("/api/v1/events?until=2026-01-31", "until"),
        ("/api/v1/events/stream?limit=1", "limit"),
        ("/api/v1/events/stream?after=x", "after"),
    ] {
        let answer = daemon.get(path).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}");
        let ErrorView { error } = answer.json();
        assert!(error.contains(&format!("`{named}`")), "{path}: {error}");
    }
}

#[tokio::test]
async fn an_error_text_repeats_only_the_beginning_of_a_long_request() {
    let answer = Daemon::new().get(&format!("/api/v1/peers?{}=1", "x".repeat(5000))).await;
    assert!(answer.text.len() < 400, "{}", answer.text);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_as_json() {
    let daemon = Daemon::new();
    let missing = daemon.get("/api/v2/peers").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert!(missing.json::<ErrorView>().error.contains("/api/v2/peers"));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        let refused = daemon.ask(request(method, "/api/v1/peers")).await;
        assert_eq!(refused.status, StatusCode::METHOD_NOT_ALLOWED);
        refused.json::<ErrorView>();
        assert!(refused.header("allow").contains("GET"));
        assert!(!refused.headers.contains_key("access-control-allow-origin"));
    }
    assert_eq!(daemon.ask(request(Method::HEAD, "/api/v1/peers")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_with_a_body_is_refused() {
    let daemon = Daemon::new();
    let request = request(Method::GET, "/api/v1/status").header(header::CONTENT_LENGTH, "5");
    assert_eq!(daemon.ask(request).await.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn pages_and_api_answer_to_known_hosts_only() {
    let daemon = Daemon::new();
    for path in ["/", "/assets/page.css", "/api/v1/status", "/api/v1/events/stream", "/nothing"] {
        for host in ["evil.example", "127.0.0.1.evil.example:9777", "localhost@evil.example", ""] {
            let answer = daemon.ask(Request::get(path).header(header::HOST, host)).await;
            assert_eq!(answer.status, StatusCode::MISDIRECTED_REQUEST, "{path} {host}");
            answer.json::<ErrorView>();
        }
    }
    assert_eq!(daemon.ask(Request::get("/api/v1/status")).await.status, StatusCode::MISDIRECTED_REQUEST);
    for host in ["localhost", "127.0.0.1:9777", "[::1]:9777", "192.0.2.1", "NODE-7.example:80"] {
        let answer = daemon.ask(Request::get("/api/v1/status").header(header::HOST, host)).await;
        assert_eq!(answer.status, StatusCode::OK, "{host}");
    }
}

#[tokio::test]
async fn a_second_host_cannot_hide_behind_a_good_one() {
    let daemon = Daemon::new();
    let twice = Request::get("/").header(header::HOST, "localhost").header(header::HOST, "evil.example");
    assert_eq!(daemon.ask(twice).await.status, StatusCode::MISDIRECTED_REQUEST);
    let absolute = Request::get("http://evil.example/").header(header::HOST, "localhost");
    assert_eq!(daemon.ask(absolute).await.status, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn scrapers_and_probes_may_use_any_host() {
    let daemon = Daemon::new();
    for path in ["/metrics", "/healthz", "/readyz"] {
        let answer = daemon.ask(Request::get(path).header(header::HOST, "pod-7.svc")).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_is_refused() {
    let daemon = Daemon::new();
    for (origin, status) in [
        ("http://evil.example", StatusCode::FORBIDDEN),
        ("null", StatusCode::FORBIDDEN),
        ("http://localhost:9777", StatusCode::OK),
    ] {
        let answer = daemon.ask(request(Method::GET, "/api/v1/status").header(header::ORIGIN, origin)).await;
        assert_eq!(answer.status, status, "{origin}");
    }
}

#[tokio::test]
async fn every_answer_has_the_safety_headers() {
    let daemon = Daemon::new();
    let paths =
        ["/", "/assets/page.css", "/metrics", "/healthz", "/api/v1/status", "/api/v1/status?x=1", "/nothing"];
    for path in paths {
        let answer = daemon.get(path).await;
        assert!(answer.header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert!(!answer.headers.contains_key("access-control-allow-origin"), "{path}");
        let expected = if path == "/" || path.starts_with("/assets/") { "no-cache" } else { "no-store" };
        assert_eq!(answer.header("cache-control"), expected, "{path}");
    }
}

#[tokio::test]
async fn ready_means_that_the_counters_are_read_regularly() {
    assert_eq!(Daemon::new().get("/readyz").await.status, StatusCode::OK);
    let mut old = snapshot();
    old.taken = long_ago();
    let stuck = Daemon::with(old, signals());
    let answer = stuck.get("/readyz").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.json::<ErrorView>().error.contains("counters"));
    assert_eq!(stuck.get("/healthz").await.text, "ok\n");
}
