//! Records of the ring: any bytes are an event or a reason why not, and any event can be told.
//!
//! Every input is tried twice: as it is, and bent into a record of the right size and version. The first finds what the
//! checks let through, the second what is behind them.

use std::mem::offset_of;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use monitor::aggregate::{Aggregator, Limits};
use monitor::cause::Cause;
use monitor::classify::classify;
use monitor::clock::{Timebase, WallClock};
use monitor::command::events::{EventOutput, EventPrinter};
use monitor::config::DEFAULT_SIZES;
use monitor::decode::{DecodeError, decode, peek_time_ns};
use monitor::enrich::Enricher;
use monitor::event::{Event, Owner, Told};
use monitor::http::convert::event_view;
use monitor::http::filter::EventFilter;
use monitor::selection::Selection;
use monitor::settle::{Settled, Settler};
use monitor::terminal::is_hostile;
use monitor::view::EventView;
use monitor_common::counters::{KINDS, Kind};
use monitor_common::record::{NO_SLOT, RECORD_BYTES, RECORD_VERSION, Record};
use serde_json::Value;

/// Reasons below have a name, all others have none.
const NAMED_REASONS: u32 = 16;

/// The target.
pub fn check(input: &[u8]) {
    let timebase = timebase();
    let record = bent(input);
    let event = decode(&record, &timebase).expect("size, version and kind are right");
    match decode(input, &timebase) {
        Ok(same) => assert_eq!(same, event, "nothing had to be bent"),
        Err(DecodeError::Length { length }) => {
            assert!(length == input.len() && length != RECORD_BYTES, "refused for its length");
        }
        Err(DecodeError::Version { version }) => assert_ne!(version, RECORD_VERSION),
        Err(DecodeError::Kind { code }) => assert_eq!(Kind::from_code(code), None),
    }
    assert_eq!(event.monotonic_ns, peek_time_ns(&record), "both read the same time");
    told(event);
}

/// Of a kernel that began at the epoch.
pub(crate) fn timebase() -> Timebase {
    Timebase { wall: WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO), hz: 250 }
}

/// A record of the right size and version and of a known kind, with everything else as in `bytes`.
pub(crate) fn bent(bytes: &[u8]) -> [u8; RECORD_BYTES] {
    let mut record = [0; RECORD_BYTES];
    let length = bytes.len().min(RECORD_BYTES);
    record[..length].copy_from_slice(&bytes[..length]);
    record[offset_of!(Record, version)..][..4].copy_from_slice(&RECORD_VERSION.to_le_bytes());
    let kinds = u8::try_from(KINDS).unwrap();
    record[offset_of!(Record, kind)] %= kinds;
    record
}

/// The rest of an event's way, to the bytes that people and programs read.
fn told(event: Event) {
    well_formed(&event);
    let event = enricher().enrich(event);
    let verdict = classify(&event);
    assert_eq!(verdict.is_none(), event.kind.is_idle_close(), "every reset has a verdict");
    assert!(verdict.is_none_or(|verdict| verdict.cause != Cause::Unclassified), "a told event is classified");
    let told = settled(Told { id: 1, event, verdict, burst: None });
    let limits = Limits {
        budgets: DEFAULT_SIZES.budgets,
        published_peers: 1,
        quiet: Duration::ZERO,
        closed_memory: 1,
        ring_bytes: 1,
    };
    Aggregator::new(limits, Selection::default()).judge(&told);
    as_json(&event_view(&told));
    for output in [EventOutput::Table, EventOutput::Compact, EventOutput::Json] {
        printed(output, &told);
    }
}

/// Shown once and final once, whatever it is.
fn settled(told: Told) -> Arc<Told> {
    let mut settler = Settler::default();
    let (mut shown, mut finals) = (Vec::new(), Vec::new());
    let mut out = |settled| match settled {
        Settled::Shown(told) => shown.push(told),
        Settled::Revised(_) | Settled::InBurst(_) => unreachable!("no time passes"),
        Settled::Final(told) => finals.push(told),
    };
    settler.push(told, Duration::ZERO, &mut out);
    settler.finish(&mut out);
    assert_eq!((shown.len(), finals.len()), (1, 1));
    finals.pop().filter(|told| told.is_final()).expect("it is final")
}

fn enricher() -> &'static Enricher {
    static ENRICHER: OnceLock<Enricher> = OnceLock::new();
    let reasons = || (0..NAMED_REASONS).map(|code| (code, format!("REASON_{code}")));
    ENRICHER.get_or_init(|| Enricher::new(&reasons().collect::<Vec<_>>()))
}

/// What no later stage checks again.
fn well_formed(event: &Event) {
    assert_ne!(event.slot, Some(NO_SLOT), "no slot is no slot");
    for end in [event.local, event.remote] {
        assert_eq!(end, SocketAddr::new(end.ip().to_canonical(), end.port()), "v4-mapped addresses are IPv4");
    }
    assert!(event.state.is_none_or(|state| state.0 != 0), "no state is no state");
    if let Some(Owner { comm, exiting, exit_signal, oom_killed, pid: _, tid: _ }) = &event.owner {
        assert!(!comm.chars().any(char::is_control), "names have no control characters");
        assert!(comm.chars().count() <= 16, "names are no longer than the kernel's");
        assert!(exit_signal.is_none_or(|signal| *exiting && (1..0x80).contains(&signal)), "of a dying task");
        assert!(!oom_killed || *exit_signal == Some(9), "the OOM killer kills by SIGKILL");
    }
}

/// What programs read is what we wrote.
fn as_json(view: &EventView) {
    let text = serde_json::to_string(view).unwrap();
    assert!(!text.contains('\n'), "server-sent events need one line");
    let back: EventView = serde_json::from_str(&text).unwrap();
    let (written, read) = (serde_json::to_value(view).unwrap(), serde_json::to_value(&back).unwrap());
    assert!(is_same(&written, &read), "{written} is read as {read}");
}

/// Fractions are read back only nearly as they were written, which is `serde_json`'s choice of speed.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().zip(right).all(|(left, right)| left.0 == right.0 && is_same(left.1, right.1))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Number(left), Value::Number(right)) if left.is_f64() && right.is_f64() => {
            let (left, right) = (left.as_f64().unwrap(), right.as_f64().unwrap());
            (left - right).abs() <= left.abs() * 1e-12
        }
        _ => left == right,
    }
}

/// A terminal shows it as one line, and nothing in it acts on the terminal.
fn printed(output: EventOutput, told: &Told) {
    let mut text = Vec::new();
    let filter = EventFilter { idle_closes: true, ..EventFilter::default() };
    EventPrinter::new(output, filter, &mut text).print_told(told).unwrap();
    let text = String::from_utf8(text).unwrap();
    // A table begins with its head.
    for line in text.lines() {
        assert!(!line.contains(is_hostile), "{line:?}");
    }
    let lines = if output == EventOutput::Table { 2 } else { 1 };
    assert!(text.ends_with('\n') && text.lines().count() == lines, "{text:?}");
}
