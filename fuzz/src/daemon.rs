//! A daemon's HTTP side with a few peers and events, without a kernel and without a socket.

use std::mem::offset_of;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use monitor::aggregate::{Aggregator, Limits, Rest};
use monitor::classify::classify;
use monitor::counts::PeerCounts;
use monitor::decode::decode;
use monitor::event::Told;
use monitor::http::{AppState, Settings, router};
use monitor::kernel::listening::ListeningReading;
use monitor::kernel::truth::{Budgets, SlotReading, TotalsReading};
use monitor::publish::{self, Publisher};
use monitor::selection::Selection;
use monitor::snapshot::hooked::Hooked;
use monitor::snapshot::{PeerRow, Snapshot};
use monitor_common::counters::KINDS;
use monitor_common::peer::{PeerKey, Role, SCOPE_ADDRESS, SCOPE_OTHER, SCOPE_V4_NETWORK, SCOPE_V6_NETWORK};
use monitor_common::record::{RECORD_BYTES, Record, known};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::record::{bent, timebase};

/// Addresses that peers and events have, in the kernel's form.
pub(crate) const ADDRESSES: [[u8; 16]; 4] = [
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3],
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 0],
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
    [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
];
/// Ports that they have.
pub(crate) const PORTS: [u16; 4] = [0, 443, 8080, 51000];
/// Events in the history. Fewer than an answer has when not asked otherwise.
const EVENTS: u8 = 48;

/// What is asked, and what the answers are about.
pub(crate) struct Daemon {
    router: Router,
    /// Oldest first.
    pub(crate) events: Vec<Arc<Told>>,
    pub(crate) rows: Vec<PeerRow>,
    // Streams need a clock, and end without the ends that the daemon holds.
    runtime: tokio::runtime::Runtime,
    _publisher: Publisher,
    _shutdown: watch::Sender<bool>,
}

/// An answer, whole or up to where a stream would wait.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
}

impl Daemon {
    /// The only one: it does not change.
    pub(crate) fn get() -> &'static Self {
        static DAEMON: OnceLock<Daemon> = OnceLock::new();
        DAEMON.get_or_init(Self::new)
    }

    fn new() -> Self {
        let events: Vec<_> = (0..EVENTS).map(told).collect();
        let snapshot = snapshot(&events);
        let rows = snapshot.peers.clone().unwrap();
        // Nobody takes requests for a fresh snapshot, so this one answers them.
        let (publisher, published, _) = publish::channel(Arc::new(snapshot), Arc::from([]));
        for event in &events {
            publisher.event(Arc::clone(event));
        }
        let (shutdown, stopping) = watch::channel(false);
        let settings = Settings {
            allowed_hosts: vec!["node-7.example".to_owned()],
            kernel: "6.18.0".to_owned(),
            version: "0.0.0".to_owned(),
            node: "node-7".to_owned(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let router = router(AppState::new(published, settings, stopping));
        Self { router, events, rows, runtime, _publisher: publisher, _shutdown: shutdown }
    }

    /// Nothing in an answer waits for anything but a stream for its next event, so nothing has to be driven.
    pub(crate) fn ask(&self, request: Request<Body>) -> Answer {
        let _entered = self.runtime.enter();
        let answered = self.router.clone().oneshot(request).now_or_never().expect("the answer does not wait");
        let response: Response<Body> = answered.unwrap();
        let status = response.status();
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(Some(frame)) = body.frame().now_or_never() {
            text.extend_from_slice(frame.unwrap().data_ref().expect("no trailers"));
        }
        Answer { status, text: String::from_utf8(text).unwrap() }
    }
}

/// One of several different events.
fn told(number: u8) -> Arc<Told> {
    let mut bytes = [number; RECORD_BYTES];
    let place = usize::from(number);
    let mut put = |at: usize, value: &[u8]| bytes[at..][..value.len()].copy_from_slice(value);
    put(offset_of!(Record, kind), &[number % u8::try_from(KINDS).unwrap()]);
    put(offset_of!(Record, known), &(known::ROLE | known::OWNER | u32::from(number)).to_le_bytes());
    put(offset_of!(Record, role), &[1 + number % 2]);
    put(offset_of!(Record, slot), &u32::from(number % 4).to_le_bytes());
    put(offset_of!(Record, local_addr), &ADDRESSES[place % 2]);
    put(offset_of!(Record, remote_addr), &ADDRESSES[place / 2 % 4]);
    put(offset_of!(Record, local_port), &PORTS[place / 3 % 4].to_le_bytes());
    put(offset_of!(Record, remote_port), &PORTS[place / 5 % 4].to_le_bytes());
    put(offset_of!(Record, comm), b"<b>\"&'\0");
    let event = decode(&bent(&bytes), &timebase()).unwrap();
    Arc::new(Told { id: u64::from(number) + 1, verdict: classify(&event), event, burst: None })
}

fn snapshot(events: &[Arc<Told>]) -> Snapshot {
    let limits = Limits {
        budgets: Budgets { client: 8, server: 8, refused: 8, networks: 8 },
        published_peers: 4,
        quiet: Duration::from_mins(10),
        closed_memory: 256,
        ring_bytes: 4096,
    };
    let mut aggregator = Aggregator::new(limits, Selection::default());
    for told in events {
        aggregator.judge(told);
    }
    let rest = Rest {
        taken: Timestamp::UNIX_EPOCH,
        started: Timestamp::UNIX_EPOCH,
        uptime: Duration::from_secs(1),
        totals: TotalsReading::default(),
        namespaces: vec![],
        programs: vec![],
        listening: ListeningReading::default(),
        hooked: Hooked::default(),
    };
    let ports = PORTS.into_iter().map(|port| (port, monitor::counts::PortCounts::default()));
    aggregator.snapshot(slots().into_iter(), ports, Duration::from_secs(1), rest, true)
}

/// A peer of each scope, in both roles.
fn slots() -> Vec<SlotReading> {
    let scopes = [SCOPE_ADDRESS, SCOPE_V4_NETWORK, SCOPE_ADDRESS, SCOPE_V6_NETWORK];
    let mut slots = Vec::new();
    for (place, (addr, scope)) in ADDRESSES.into_iter().zip(scopes).enumerate() {
        for role in Role::ALL {
            let slot = u32::try_from(slots.len()).unwrap();
            let key = PeerKey {
                addr,
                netns: 4_026_531_840 + slot % 2,
                port: PORTS[place],
                role: role as u8,
                scope,
            };
            let counts =
                PeerCounts { closed: u64::from(slot * 7 % 5), resets_sent: 3, ..PeerCounts::default() };
            slots.push(SlotReading { slot, key, counts });
        }
    }
    let other = PeerKey { addr: [0; 16], netns: 0, port: 0, role: Role::Client as u8, scope: SCOPE_OTHER };
    slots.push(SlotReading { slot: 32, key: other, counts: PeerCounts::default() });
    slots
}
