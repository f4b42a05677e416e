//! What holds for every record there can be, from records of random bytes: a fixed linear congruence, no clock and no luck.

use std::collections::BTreeMap;

use monitor_common::record::RECORD_BYTES;

use super::*;
use crate::clock::{Timebase, WallClock};
use crate::decode::decode;
use crate::enrich::Enricher;
use crate::http::convert::event_view;
use crate::settle::{HOLD, Settled};
use crate::story::Stages;

/// Records tried.
const TRIES: usize = 60_000;

/// Numbers without a pattern.
struct Random(u64);

impl Random {
    fn below(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn timebase() -> Timebase {
    Timebase { wall: WallClock::from_pair(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO), hz: 250 }
}

fn enricher() -> Enricher {
    let names =
        ["NOT_SPECIFIED", "NO_SOCKET", "TCP_KEEPALIVE_TIMEOUT", "TCP_ABORT_ON_MEMORY", "TCP_ABORT_ON_CLOSE"];
    let names: Vec<_> = names.into_iter().chain(PROTOCOL_REASONS).collect();
    Enricher::new(&(0..).zip(names).map(|(value, name)| (value, name.to_owned())).collect::<Vec<_>>())
}

/// A record whose fields have the values that rules look at, each as likely as others.
fn record(random: &mut Random) -> [u8; RECORD_BYTES] {
    let mut bytes = [0; RECORD_BYTES];
    for word in bytes.chunks_exact_mut(4) {
        let value = match random.below(4) {
            0 => 0,
            1 => random.below(8),
            2 => random.below(2_000),
            _ => random.below(1 << 32),
        };
        word.copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
    }
    bytes[..4].copy_from_slice(&monitor_common::record::RECORD_VERSION.to_le_bytes());
    // What is known is as likely as what is not, and so is every bit and every small code.
    bytes[4..8].copy_from_slice(&u32::try_from(random.below(1 << 15)).unwrap().to_le_bytes());
    let codes = std::mem::offset_of!(monitor_common::record::Record, kind);
    for byte in &mut bytes[codes..] {
        let below = if random.below(2) == 0 { 13 } else { 256 };
        *byte = u8::try_from(random.below(below)).unwrap();
    }
    bytes
}

/// The event without what a verdict rested on.
fn without(mut event: Event, fact: Fact) -> Event {
    let socket = |event: &mut Event, forget: fn(&mut SocketFacts)| {
        if let Some(socket) = &mut event.socket {
            forget(socket);
        }
    };
    match fact {
        Fact::State => event.state = None,
        Fact::StateBefore => event.state_before = None,
        Fact::Reason => event.reason = None,
        Fact::Active => event.active = false,
        Fact::Orphan => event.orphan = false,
        Fact::Fileless => event.fileless = false,
        Fact::Destroyed => event.destroyed = false,
        Fact::FinBy | Fact::FinAge => event.fin = None,
        Fact::IdleSeconds => event.idle = None,
        Fact::UnackedBytes => socket(&mut event, |socket| socket.unacked_bytes = None),
        Fact::UnreadBytes => socket(&mut event, |socket| socket.unread_bytes = None),
        Fact::LingerZero => socket(&mut event, |socket| socket.linger_zero = None),
        Fact::Probes => socket(&mut event, |socket| socket.probes = None),
        Fact::BytesOut => socket(&mut event, |socket| socket.bytes_out = None),
        Fact::SentAgo | Fact::ReceivedAgo | Fact::DataSegmentsIn => event.socket = None,
        Fact::SegmentFlags | Fact::SegmentBytes | Fact::SegmentTtl | Fact::SequenceDistance => {
            event.segment = None;
        }
        Fact::PeersIdleCloses => event.peers_idle_closes = None,
        Fact::BaselineTtl => event.baseline_ttl = None,
        Fact::Backlog => event.backlog = None,
        Fact::Ended => event.ended = None,
        Fact::OwnerExiting => event.owner = None,
        // Always known, or not of this event.
        Fact::Kind | Fact::Stage | Fact::OtherEnd => {}
    }
    event
}

#[test]
fn every_record_has_a_verdict_whose_evidence_is_there_and_every_cause_has_its_records() {
    let (mut random, enricher) = (Random(1), enricher());
    let mut seen = BTreeMap::<Cause, usize>::new();
    for _ in 0..TRIES {
        let Ok(event) = decode(&record(&mut random), &timebase()) else { continue };
        let event = enricher.enrich(event);
        let verdict = classify(&event);
        assert_eq!(verdict.is_none(), event.kind.is_idle_close());
        let Some(verdict) = verdict else { continue };
        *seen.entry(verdict.cause).or_default() += 1;
        assert!(verdict.evidence.facts().next().is_some(), "{verdict:?}");
        let told = crate::event::Told { id: 1, event, verdict: Some(verdict), burst: None };
        let view = serde_json::to_value(event_view(&told)).unwrap();
        // Without a socket there is no state, and that is evidence, too.
        for fact in verdict.evidence.facts().filter(|fact| !matches!(fact, Fact::State)) {
            let pointer = format!("/{}", fact.path().replace('.', "/"));
            let value = view.pointer(&pointer);
            assert!(value.is_some_and(|value| !value.is_null()), "{fact:?} of {verdict:?}: {view}");
        }
    }
    // Two want too many things at once for a random record; tables of cases have them.
    let never = [Cause::Unclassified, Cause::ListenerClosed, Cause::PeerOverflow];
    let unseen: Vec<_> =
        Cause::ALL.into_iter().filter(|cause| !seen.contains_key(cause) && !never.contains(cause)).collect();
    assert_eq!(unseen, [], "{seen:?}");
}

#[test]
fn nothing_is_certain_without_its_evidence() {
    let (mut random, enricher) = (Random(2), enricher());
    let mut certain = BTreeMap::<Cause, usize>::new();
    for _ in 0..TRIES {
        let Ok(event) = decode(&record(&mut random), &timebase()) else { continue };
        let event = enricher.enrich(event);
        let Some(verdict) = classify(&event) else { continue };
        // What these are is what they are about: the hook itself is the evidence.
        let by_hook = [Kind::RefusedSent, Kind::RefusedReceived, Kind::RejectSent, Kind::ListenOverflow];
        if verdict.confidence != Confidence::Certain || by_hook.contains(&event.kind) {
            continue;
        }
        *certain.entry(verdict.cause).or_default() += 1;
        let bare = verdict.evidence.facts().fold(event.clone(), without);
        let again = classify(&bare).unwrap();
        assert!(
            again.confidence != Confidence::Certain || again.cause != verdict.cause,
            "{verdict:?} of {event:?}\nstays {again:?} of {bare:?}"
        );
    }
    assert!(certain.len() >= 7, "{certain:?}");
}

/// Both ends of some connections, and what happens beside them, with ports of their own.
fn together(random: &mut Random) -> Vec<[u8; RECORD_BYTES]> {
    use std::mem::offset_of;

    use monitor_common::record::Record;
    let mut records = Vec::new();
    for connection in 0..8_u16 {
        let [local, remote] = [1_000 + connection, 2_000 + connection].map(u16::to_le_bytes);
        for (kind, ports) in [(Kind::ResetSent, [local, remote]), (Kind::ResetReceived, [remote, local])] {
            // Some ends are not on this host.
            if random.below(4) == 0 {
                continue;
            }
            let mut bytes = record(random);
            let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
            put(offset_of!(Record, kind), &[kind as u8]);
            put(offset_of!(Record, netns), &1_u32.to_le_bytes());
            put(offset_of!(Record, local_addr), &[7; 16]);
            put(offset_of!(Record, remote_addr), &[7; 16]);
            put(offset_of!(Record, local_port), &ports[0]);
            put(offset_of!(Record, remote_port), &ports[1]);
            put(offset_of!(Record, time_ns), &u64::try_from(records.len()).unwrap().to_le_bytes());
            records.push(bytes);
        }
    }
    records
}

/// The final cause and confidence of each, by the time of its hook.
fn finals(records: &[[u8; RECORD_BYTES]], apart: Duration) -> BTreeMap<u64, (Cause, Confidence)> {
    let (mut stages, mut finals) = (Stages::new(timebase(), enricher()), BTreeMap::new());
    let mut out = |settled| {
        if let Settled::Final(told) = settled {
            let verdict = told.verdict.unwrap();
            let before = finals.insert(told.event.monotonic_ns, (verdict.cause, verdict.confidence));
            assert_eq!(before, None, "final twice");
        }
    };
    let mut now = S;
    for bytes in records {
        stages.take(bytes, now, &mut out).unwrap();
        now += apart;
    }
    stages.finish(now + 9 * S, &mut out);
    finals
}

#[test]
fn the_order_of_arrival_within_the_hold_does_not_change_a_verdict() {
    let mut random = Random(3);
    for _ in 0..300 {
        let mut records = together(&mut random);
        let apart = HOLD / 20;
        let expected = finals(&records, apart);
        assert_eq!(expected.len(), records.len());
        for _ in 0..6 {
            for place in (1..records.len()).rev() {
                records.swap(place, usize::try_from(random.below(place as u64 + 1)).unwrap());
            }
            assert_eq!(finals(&records, apart), expected);
        }
    }
}
