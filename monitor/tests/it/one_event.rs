//! The walk of ARCHITECTURE.md as a test: one record from the ring's bytes to the metrics page, with the value at each
//! boundary.

use std::mem::offset_of;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use monitor::aggregate::{Aggregator, Limits, Rest};
use monitor::cause::Cause;
use monitor::classify::classify;
use monitor::clock::{Timebase, WallClock};
use monitor::counts::PeerCounts;
use monitor::decode::decode;
use monitor::enrich::Enricher;
use monitor::event::{Counted, Direction, TcpState, Told};
use monitor::kernel::listening::ListeningReading;
use monitor::kernel::truth::{Budgets, SlotReading, TotalsReading};
use monitor::metrics::negotiate::Format;
use monitor::metrics::{Page, encode};
use monitor::selection::Selection;
use monitor::settle::Settled;
use monitor::snapshot::hooked::Hooked;
use monitor::story::Stages;
use monitor::verdict::{Confidence, Fact};
use monitor_common::counters::Kind;
use monitor_common::peer::{PeerKey, Role, SCOPE_ADDRESS};
use monitor_common::record::{RECORD_BYTES, RECORD_VERSION, Record, known, verdict};

const SLOT: u32 = 3;
const PEER: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3];

/// A client of ours closes with `SO_LINGER` 0, as the kernel programs would write it.
fn record() -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(offset_of!(Record, version), &RECORD_VERSION.to_le_bytes());
    let groups = known::SOCKET | known::ROLE | known::STATE_BEFORE | known::REASON | known::OWNER;
    put(offset_of!(Record, known), &groups.to_le_bytes());
    put(offset_of!(Record, time_ns), &2_000_000_000u64.to_le_bytes());
    put(offset_of!(Record, slot), &SLOT.to_le_bytes());
    put(offset_of!(Record, sent_age), &15_000u32.to_le_bytes());
    put(offset_of!(Record, received_age), &20_000u32.to_le_bytes());
    put(offset_of!(Record, remote_addr), &PEER);
    put(offset_of!(Record, remote_port), &5432u16.to_le_bytes());
    put(offset_of!(Record, reason), &14u32.to_le_bytes());
    put(offset_of!(Record, tgid), &42u32.to_le_bytes());
    put(offset_of!(Record, comm), b"impatient");
    put(offset_of!(Record, kind), &[Kind::ResetSent as u8]);
    put(offset_of!(Record, role), &[Role::Client as u8]);
    put(offset_of!(Record, state), &[7]);
    put(offset_of!(Record, state_before), &[1]);
    put(offset_of!(Record, linger_zero), &[1]);
    put(offset_of!(Record, verdicts), &[verdict::COUNTED_ABORTED | verdict::CARRIED_DATA]);
    put(offset_of!(Record, active), &[1]);
    bytes
}

/// What the mapped slot holds after it.
fn slot() -> SlotReading {
    let key = PeerKey { addr: PEER, netns: 1, port: 5432, role: Role::Client as u8, scope: SCOPE_ADDRESS };
    let counts = PeerCounts {
        opened: 1,
        closed: 1,
        aborted: 1,
        exchanges: 2,
        resets_sent: 1,
        ..PeerCounts::default()
    };
    SlotReading { slot: SLOT, key, counts }
}

#[test]
fn one_event_from_the_ring_to_the_metrics_page() {
    // bytes -> Event: meaning, and nothing that was not known.
    let wall = WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO);
    let timebase = Timebase { wall, hz: 250 };
    let event = decode(&record(), &timebase).unwrap();
    assert_eq!((event.kind, event.slot), (Kind::ResetSent, Some(SLOT)));
    assert_eq!(event.remote.to_string(), "10.1.2.3:5432");
    assert_eq!(event.state_before.and_then(TcpState::name), Some("ESTABLISHED"));
    assert_eq!(event.counted, Some(Counted::Aborted));
    assert!(event.segment.is_none() && event.since_close.is_none());

    // Event -> Event: the running kernel's own name for its reason, and how long it had been quiet.
    let event = Enricher::new(&[(14, "TCP_STATE".into())]).enrich(event);
    assert_eq!(event.reason.as_ref().unwrap().name.as_deref(), Some("TCP_STATE"));

    assert_eq!(event.idle.unwrap().time, Duration::from_mins(1));

    // Event -> Verdict.
    let verdict = classify(&event).unwrap();
    assert_eq!((verdict.cause, verdict.confidence), (Cause::LingerAbort, Confidence::Certain));
    assert_eq!(verdict.evidence.facts().collect::<Vec<_>>(), [Fact::LingerZero]);

    // The same stages in a row, as the pipeline and a replay run them: shown and final at once, with a number.
    let mut stages = Stages::new(timebase, Enricher::new(&[(14, "TCP_STATE".into())]));
    let mut out = Vec::new();
    let account = stages.take(&record(), Duration::from_secs(2), &mut |settled| out.push(settled)).unwrap();
    let told = Arc::new(Told { id: 1, event, verdict: Some(verdict), burst: None });
    assert_eq!(out, [Settled::Final(Arc::clone(&told)), Settled::Shown(Arc::clone(&told))]);

    // Event and counts -> Snapshot: the story is added to the slot in which the kernel counted.
    let limits = Limits {
        budgets: Budgets { client: 8, server: 8, refused: 8, networks: 8 },
        published_peers: 8,
        quiet: Duration::from_mins(10),
        closed_memory: 256,
        ring_bytes: 4096,
    };
    let mut aggregator = Aggregator::new(limits, Selection::default());
    aggregator.observe(&account);
    aggregator.judge(&told);
    let rest = Rest {
        taken: Timestamp::UNIX_EPOCH,
        started: Timestamp::UNIX_EPOCH,
        uptime: Duration::ZERO,
        totals: TotalsReading { peers: slot().counts, ..TotalsReading::default() },
        namespaces: vec![],
        programs: vec![],
        listening: ListeningReading::default(),
        hooked: Hooked::default(),
    };
    let snapshot = aggregator.snapshot([slot()].into_iter(), std::iter::empty(), Duration::ZERO, rest, true);
    assert_eq!(snapshot.total, snapshot.kernel_total);
    assert_eq!(
        snapshot.peers.as_ref().unwrap()[0].causes.as_ref().unwrap().sent[Cause::LingerAbort as usize],
        1
    );
    assert_eq!(snapshot.reasons, [(Direction::Sent, Arc::from("TCP_STATE"), 1)]);

    // Snapshot -> text.
    let page = Page {
        names: None,
        snapshot: Arc::new(snapshot),
        signals: Arc::from([]),
        alerts: Arc::default(),
        pushed: Arc::default(),
        exported: None,
        logged: None,
        version: "0".into(),
        kernel: "test".into(),
        process: None,
    };
    let text = encode(&page, Format::Classic).unwrap();
    for line in [
        r#"reset_monitor_resets_sent_total{peer="10.1.2.3",port="5432",role="client",cause="linger_abort"} 1"#,
        r#"reset_monitor_connections_aborted_total{peer="10.1.2.3",port="5432",role="client"} 1"#,
        r#"reset_monitor_connections_reset_total{peer="10.1.2.3",port="5432",role="client"} 0"#,
        r#"reset_monitor_reset_reasons_total{direction="sent",reason="TCP_STATE"} 1"#,
        r#"reset_monitor_idle_before_reset_seconds_bucket{le="60.0",cause="linger_abort"} 1"#,
        r#"reset_monitor_idle_before_reset_seconds_bucket{le="55.0",cause="linger_abort"} 0"#,
        r#"reset_monitor_events_decoded_total{kind="reset_sent"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in {text}");
    }
}
