//! A daemon's published state without a kernel, and requests to its router without a socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use jiff::Timestamp;
use monitor::cause::{CAUSES, Cause};
use monitor::classify::classify;
use monitor::counts::{PeerCounts, PortCounts, Stories, StoryCounts};
use monitor::enrich::Enricher;
use monitor::event::{Counted, Direction, Event, Owner, Reason, Segment, SocketFacts, TcpState, Told};
use monitor::http::{AppState, Settings, router};
use monitor::idle::{Basis, Idle};
use monitor::owners::cgroup::Cgroup;
use monitor::owners::{self, By, Fullness, Owners, Process, Question};
use monitor::publish::{self, Published, Publisher};
use monitor::snapshot::hooked::Hooked;
use monitor::snapshot::listening::{
    ConntrackRow, ListenNamespaceRow, ListenerOverflows, ListenerRow, ListenerSeries, Listening, OverflowRow,
    OverflowSeries, Queue, StageCounts,
};
use monitor::snapshot::{
    CauseCounts, Fill, IdleHistogram, NamespaceRow, OpenSeries, PeerLabel, PeerRow, PeerSeries, PortSeries,
    ProgramRow, Scope, SignalRow, SignalStatus, Snapshot, WalkRow,
};
use monitor::verdict::{Confidence, Fact, Verdict};
use monitor_common::counters::{KINDS, Kind};
use monitor_common::peer::Role;
use monitor_common::record::Stage;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, watch};

use crate::{document, exposition, timeouts};
use tower::ServiceExt;

/// A router, and the ends that the daemon would hold.
pub(crate) struct Daemon {
    pub(crate) router: Router,
    pub(crate) publisher: Publisher,
    pub(crate) shutdown: watch::Sender<bool>,
}

impl Daemon {
    pub(crate) fn new() -> Self {
        Self::with(snapshot(), signals())
    }

    pub(crate) fn with(snapshot: Snapshot, signals: Vec<SignalRow>) -> Self {
        // Nobody takes requests for a fresh snapshot, so the latest one answers them.
        let (publisher, published, _) = publish::channel(Arc::new(snapshot), signals.into());
        Self::of(publisher, published)
    }

    /// One that asks who owns sockets; the test finds the answers.
    pub(crate) fn asking() -> (Self, Owners, mpsc::Receiver<Question>) {
        let (publisher, published, _) = publish::channel(Arc::new(snapshot()), signals().into());
        let (owners, questions) = Owners::new();
        let daemon = Self::of(publisher.with_owners(owners.clone()), published.with_owners(owners.clone()));
        (daemon, owners, questions)
    }

    pub(crate) fn of(publisher: Publisher, published: Published) -> Self {
        let (shutdown, stop) = watch::channel(false);
        let settings = Settings {
            allowed_hosts: vec!["node-7.example".to_owned()],
            kernel: "6.18.1-test".to_owned(),
            version: "0.1.0".to_owned(),
            node: "node-7".to_owned(),
        };
        let router = router(AppState::new(published, settings, stop));
        Self { router, publisher, shutdown }
    }

    pub(crate) fn publish(&self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            self.publisher.event(Arc::new(told(id)));
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(Request::get(path).header(header::HOST, "localhost:9777")).await
    }

    pub(crate) async fn ask(&self, request: axum::http::request::Builder) -> Answer {
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let target = request.uri().to_string();
        let is_head = request.method() == Method::HEAD;
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        if !is_head {
            let kind = parts.headers.get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
            document::check(&target, parts.status, kind, &text);
        }
        Answer { status: parts.status, headers: parts.headers, text }
    }
}

/// A complete answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_str().unwrap()
    }
}

/// Any method on any path.
pub(crate) fn request(method: Method, path: &str) -> axum::http::request::Builder {
    Request::builder().method(method).uri(path).header(header::HOST, "localhost:9777")
}

/// An event of a server-role connection that `nginx` cut off.
pub(crate) fn told(id: u64) -> Told {
    let socket = SocketFacts {
        data_segments_in: 1,
        data_segments_out: 2,
        bytes_in: Some(120),
        bytes_out: Some(4096),
        srtt_us: Some(250),
        sent_age: Duration::from_millis(500),
        received_age: Duration::from_millis(250),
        ack_age: None,
        unread_bytes: Some(7),
        unacked_bytes: Some(0),
        probes: Some(0),
        linger_zero: Some(false),
        shutdown: Some(0),
    };
    let event = Event {
        time: "2026-11-20T03:00:00.123456789Z".parse().unwrap(),
        netns: 4_026_531_840,
        local: address("10.0.0.9:443"),
        remote: address("10.0.0.1:51000"),
        role: Some(Role::Server),
        slot: Some(3),
        state: Some(TcpState(7)),
        state_before: Some(TcpState(1)),
        reason: Some(Reason { code: 11, name: Some("TCP_ABORT_ON_CLOSE".into()) }),
        active: true,
        carried_data: true,
        counted: Some(Counted::Reset),
        socket: Some(socket),
        segment: Some(Segment { flags: 0x18, bytes: 10, ttl: 63, ifindex: 2, sequence_distance: Some(-3) }),
        owner: Some(owner("nginx")),
        since_close: Some(Duration::from_millis(1500)),
        ..Event::of_kind(Kind::ResetSent)
    };
    let event = Enricher::new(&[(11, "TCP_ABORT_ON_CLOSE".into())]).enrich(event);
    Told { id, verdict: classify(&event), event, burst: None }
}

/// A refusal we sent: no peer, no socket, no owner.
pub(crate) fn refusal(id: u64) -> Told {
    let event = Event {
        local: address("127.0.0.1:1"),
        remote: address("127.0.0.1:40000"),
        ..Event::of_kind(Kind::RefusedSent)
    };
    Told { id, verdict: classify(&event), event, burst: None }
}

/// A reset we received on a connection that had been idle, while its verdict is provisional.
pub(crate) fn provisional(id: u64) -> Told {
    let event = Event {
        local: address("[2001:db8::9]:40000"),
        remote: address("[2001:db8::7]:8443"),
        role: Some(Role::Client),
        slot: Some(4),
        idle: Some(Idle { time: Duration::from_mins(1), basis: Basis::BeforeOurData, at_least: true }),
        ..Event::of_kind(Kind::ResetReceived)
    };
    let verdict = Verdict::of(Cause::IdleReuse, Confidence::Likely, &[Fact::FinBy], None);
    Told { id, event, verdict: Some(verdict.provisional()), burst: None }
}

/// The same when its verdict is final.
pub(crate) fn finally(id: u64, cause: Cause) -> Told {
    let Told { id, event, verdict, burst: _ } = provisional(id);
    let verdict = verdict.map(|verdict| Verdict { cause, settled: true, ..verdict });
    Told { id, event, verdict, burst: None }
}

/// A pod's process, known by this.
pub(crate) fn answer(comm: &str, by: By) -> owners::Answer {
    let started = "2026-11-20T02:59:30.25Z".parse().unwrap();
    let process = Process { pid: 4711, comm: comm.to_owned(), started };
    let id = "0123456789abcdef".repeat(4);
    let pod = "kubepods-pod1b2c3d4e_0000_4111_8222_333344445555.slice";
    let cgroup = Cgroup::of_path(&format!("/kubepods.slice/{pod}/crio-{id}.scope/system.slice/web.service"));
    owners::Answer {
        process: Some((Arc::new(process), by)),
        cgroup: Some(Arc::new(cgroup)),
        searching: false,
    }
}

pub(crate) fn owner(comm: &str) -> Owner {
    Owner { pid: 42, tid: 43, comm: comm.to_owned(), exiting: false, exit_signal: None, oom_killed: false }
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub(crate) fn label(scope: Scope, port: Option<u16>, role: Role) -> PeerLabel {
    PeerLabel { scope, port, role }
}

/// A few peers of each kind, with counts that add up.
pub(crate) fn snapshot() -> Snapshot {
    let peers = vec![
        row(Scope::Address("10.0.0.1".parse().unwrap()), Some(8080), Role::Client, Some(1), 10),
        row(Scope::Address("2001:db8::7".parse().unwrap()), Some(443), Role::Server, Some(1), 3),
        row(Scope::Network("192.0.2.0".parse().unwrap(), 24), Some(443), Role::Server, Some(2), 5),
        row(Scope::Other, None, Role::Server, None, 1),
        row(Scope::Retired, None, Role::Client, None, 2),
    ];
    let series = peers
        .iter()
        .map(|row| PeerSeries {
            netns: None,
            label: row.label,
            counts: row.counts,
            causes: row.causes.as_deref().copied().unwrap_or_default(),
            details: matches!(row.label.scope, Scope::Address(_)).then(|| Box::new(exposition::details())),
        })
        .collect();
    let ports = vec![
        PortSeries { port: Some(1), counts: PortCounts { refused_sent: 4, ..PortCounts::default() } },
        PortSeries {
            port: None,
            counts: PortCounts { refused_sent: 1, stray_sent: 2, stray_received: 3, reject_sent: 4 },
        },
    ];
    let mut peers = peers;
    peers[0].open = Some(timeouts::open(&[500, 61_000, 3_000]));
    let total = peers.iter().map(|row| row.counts).sum();
    let story = StoryCounts { seen: 40, submitted: 30, lost: 4, suppressed: 6, decoded: 30 };
    Snapshot {
        taken: monitor::clock::now(),
        started: "2026-11-20T02:00:00Z".parse().unwrap(),
        uptime_seconds: 3600.5,
        read_seconds: 0.000_25,
        series,
        total,
        kernel_total: total,
        ports_total: ports.iter().map(|row| row.counts).sum(),
        port_rows: vec![
            (1, PortCounts { refused_sent: 4, ..PortCounts::default() }),
            (8080, PortCounts { refused_sent: 1, stray_sent: 2, stray_received: 3, reject_sent: 4 }),
        ],
        ports,
        peers: Some(peers),
        timeout_series: timeouts::series(),
        timeouts: Some(timeouts::rows()),
        open_series: vec![
            OpenSeries {
                netns: None,
                label: label(Scope::Address("10.0.0.1".parse().unwrap()), Some(8080), Role::Client),
                open: 3,
                idle: 2,
            },
            OpenSeries { netns: None, label: label(Scope::Other, None, Role::Client), open: 0, idle: 0 },
            OpenSeries { netns: None, label: label(Scope::Other, None, Role::Server), open: 7, idle: 1 },
        ]
        .into(),
        walk: Some(WalkRow {
            took: Duration::from_millis(5),
            cpu: Duration::from_millis(4),
            walked: 1,
            left_out: 2,
            age: Duration::from_secs(7),
        }),
        namespaces: vec![NamespaceRow {
            netns: 1,
            resets_sent: 20,
            refused_sent: 5,
            stray_sent: 2,
            kernel_out_resets: Some(26),
            unattributed: Some(1),
            ..NamespaceRow::of(1)
        }],
        unattributed: 1,
        unattributed_overflows: None,
        hooked: Hooked::default(),
        stories: Stories { kinds: [story; KINDS], undecodable: 9 },
        reasons: vec![
            (Direction::Received, "TCP_RFC5961".into(), 2),
            (Direction::Sent, "NO_SOCKET".into(), 7),
        ],
        idle: vec![(Cause::IdleReuse, idle_times())],
        closed_memory_seconds: Some(321.5),
        fills: vec![
            Fill { name: "client_peers", used: Some(1), capacity: 1000 },
            Fill { name: "closed_memory", used: None, capacity: 65_536 },
        ],
        owners: Fullness { answers: 7, capacity: 10_000, not_asked: 3 },
        over_budget: 5,
        failed_reads: 0,
        programs: vec![
            ProgramRow { name: "send_reset", missed_runs: Some(0) },
            ProgramRow { name: "set_state", missed_runs: None },
        ],
        listening: listening(),
    }
}

/// A full listener, one with several sockets, and some that are closed or beyond the limit of series.
pub(crate) fn listening() -> Listening {
    let row = |address: &str, backlog, limit, drops, inode| ListenerRow {
        address: self::address(address),
        interface: None,
        only_v6: None,
        queue: Queue { backlog, limit },
        drops: Some(drops),
        inode,
        uid: 33,
    };
    let series = |address: Option<&str>, queue: Option<(u32, u32)>, drops| ListenerSeries {
        address: address.map(self::address),
        queue: queue.map(|(backlog, limit)| Queue { backlog, limit }),
        drops: Some(drops),
    };
    let namespace = |netns, overflows, drops, time_wait| ListenNamespaceRow {
        netns,
        listen_overflows: Some(overflows),
        listen_drops: Some(drops),
        challenge_acks: Some(overflows / 2),
        time_wait,
    };
    Listening {
        own: Some(1),
        sockets: Some(Arc::new([
            row("0.0.0.0:80", 0, 511, 2, 501),
            row("0.0.0.0:80", 3, 511, 0, 502),
            ListenerRow { only_v6: Some(true), interface: Some(4), ..row("[::]:443", 129, 128, 40, 503) },
            row("10.0.0.9:22", 0, 128, 0, 504),
            row("10.0.0.9:8443", 3, 4, 0, 505),
        ])),
        beyond: 0,
        series: vec![
            series(Some("0.0.0.0:80"), Some((3, 511)), 9),
            series(Some("10.0.0.9:22"), Some((0, 128)), 0),
            series(Some("10.0.0.9:25"), None, 5),
            series(Some("[::]:443"), Some((129, 128)), 40),
            series(None, Some((3, 4)), 1),
        ],
        namespaces: vec![
            namespace(Some(1), 38, 41, Some(12)),
            namespace(Some(2), 4, 4, None),
            namespace(None, 1, 2, None),
        ],
        overflows: None,
        listen_overflows: Some(43),
        listen_drops: Some(47),
        challenge_acks: Some(21),
        time_wait: Some(12),
        orphans: Some(1),
        conntrack: Some(ConntrackRow { entries: Some(900), limit: Some(1024), drops: Some(3) }),
        conntrack_full: None,
    }
}

/// The same on a kernel whose functions are hooked: listeners with overflows here, closed ones, and one in another namespace.
pub(crate) fn hooked_snapshot() -> Snapshot {
    let base = snapshot();
    let counts = |(syn, ack)| StageCounts { syn, ack };
    let row = |netns, address: &str, stages| OverflowRow {
        netns,
        address: self::address(address),
        counts: counts(stages),
    };
    let series = |address: Option<&str>, stages| OverflowSeries {
        address: address.map(self::address),
        counts: counts(stages),
    };
    let overflows = ListenerOverflows {
        rows: vec![row(1, "[::]:443", (30, 4)), row(2, "0.0.0.0:80", (4, 0)), row(1, "10.0.0.9:25", (2, 1))],
        series: vec![
            series(Some("0.0.0.0:80"), (4, 0)),
            series(Some("10.0.0.9:25"), (2, 1)),
            series(Some("[::]:443"), (29, 4)),
            series(None, (1, 0)),
        ],
        beyond: 2,
    };
    let here = NamespaceRow {
        overflows_syn: 34,
        overflows_ack: 5,
        unattributed_overflows: Some(1),
        reject_sent: 4,
        ..base.namespaces[0]
    };
    let there = NamespaceRow { overflows_syn: 4, unattributed_overflows: Some(0), ..NamespaceRow::of(2) };
    Snapshot {
        namespaces: vec![here, there],
        unattributed_overflows: Some(1),
        hooked: Hooked { overflows: true, conntrack_full: true, rejections: true },
        listening: Listening { overflows: Some(overflows), conntrack_full: Some(7), ..base.listening },
        ..base
    }
}

/// A SYN that met a full accept queue.
pub(crate) fn overflow(id: u64) -> Told {
    let event = Event {
        time: "2026-11-20T03:00:00Z".parse().unwrap(),
        netns: 4_026_531_840,
        local: address("10.0.0.5:8080"),
        remote: address("10.0.0.9:41234"),
        state: Some(TcpState::LISTEN),
        segment: Some(Segment { flags: 0x02, bytes: 0, ttl: 64, ifindex: 2, sequence_distance: None }),
        backlog: Some((129, 128)),
        stage: Some(Stage::Syn),
        ..Event::of_kind(Kind::ListenOverflow)
    };
    Told { id, verdict: classify(&event), event, burst: None }
}

/// A SYN that a rule of netfilter rejected.
pub(crate) fn rejection(id: u64) -> Told {
    let event = Event {
        local: address("[2001:db8::5]:8080"),
        remote: address("[2001:db8::9]:41234"),
        segment: Some(Segment { flags: 0x02, bytes: 0, ttl: 64, ifindex: 2, sequence_distance: None }),
        ..Event::of_kind(Kind::RejectSent)
    };
    Told { id, verdict: classify(&event), event, burst: None }
}

fn idle_times() -> IdleHistogram {
    let mut histogram = IdleHistogram::default();
    for milliseconds in [1_000, 59_996, 60_004, 7_200_000] {
        histogram.observe(Duration::from_millis(milliseconds));
    }
    histogram
}

/// A peer with `size` as the measure of its counts.
fn row(scope: Scope, port: Option<u16>, role: Role, netns: Option<u32>, size: u64) -> PeerRow {
    let mut causes = CauseCounts { sent: [0; CAUSES], received: [0; CAUSES] };
    causes.sent[Cause::LingerAbort as usize] = size;
    causes.sent[Cause::Unclassified as usize] = 1;
    causes.received[Cause::Other as usize] = 2 * size;
    let counts = PeerCounts {
        opened: 1000 * size,
        closed: 900 * size,
        reset: size,
        aborted: size,
        exchanges: 5000 * size,
        resets_sent: size + 1,
        resets_received: 2 * size,
        refused_received: u64::from(role == Role::Client),
        untold_sent: 1,
        untold_received: 0,
    };
    PeerRow { label: label(scope, port, role), netns, counts, causes: Some(Box::new(causes)), open: None }
}

pub(crate) fn signals() -> Vec<SignalRow> {
    let row = |signal, hook: &str, status, why: &str, advice: &str| SignalRow {
        signal,
        hook: hook.to_owned(),
        status,
        why: why.to_owned(),
        advice: advice.to_owned(),
    };
    let missing = ("no such \"hook\" here", "use 6.1 or newer");
    vec![
        row("reset_sent", "tcp_send_reset", SignalStatus::Works, "", ""),
        row("reset_received", "none", SignalStatus::Missing, missing.0, missing.1),
    ]
}

/// A time long before any test runs.
pub(crate) fn long_ago() -> Timestamp {
    "2020-01-01T00:00:00Z".parse().unwrap()
}
