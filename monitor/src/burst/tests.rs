//! Bursts: what is one, what is a drip, and that memory is bounded.

use super::*;
use crate::verdict::{Confidence, Verdict};

const MS: Duration = Duration::from_millis(1);

/// A reset of a connection to the service, `at` its hook.
fn reset(id: u64, at: Duration, cause: Cause) -> Told {
    let event = Event {
        role: Some(Role::Client),
        remote: "10.0.0.2:80".parse().unwrap(),
        time: Timestamp::UNIX_EPOCH + at,
        monotonic_ns: at.as_nanos().try_into().unwrap(),
        counted: Some(Counted::Reset),
        ..Event::of_kind(Kind::ResetReceived)
    };
    Told { id, event, verdict: Some(Verdict::of(cause, Confidence::Likely, &[], None)), burst: None }
}

/// What is told again of events that become final one by one.
fn told(events: impl IntoIterator<Item = Told>) -> Vec<(u64, Burst)> {
    let (mut bursts, mut told) = (Bursts::default(), Vec::new());
    let mut out = |settled| {
        let Settled::InBurst(member) = settled else { panic!("not of a burst") };
        told.push((member.id, member.burst.unwrap()));
    };
    for event in events {
        let now = Duration::from_nanos(event.event.monotonic_ns);
        bursts.advance(now, &mut out);
        bursts.observe(&Settled::Final(event.into()), now);
        assert!(bursts.remembered <= ROOM && bursts.clusters.len() <= SERVICES);
        assert_eq!(bursts.ends.len(), bursts.clusters.len());
    }
    bursts.finish(&mut out);
    assert_eq!((bursts.remembered, bursts.clusters.len()), (0, 0));
    told
}

/// So many, so far apart, from a second on.
fn every(apart: Duration, count: u32) -> Vec<Told> {
    (0..count).map(|n| reset(u64::from(n) + 1, GAP + n * apart, Cause::PeerAbort)).collect()
}

#[test]
fn many_connections_within_a_second_are_a_burst_with_its_ends_and_its_number() {
    let burst = told(every(100 * MS, 7));
    assert_eq!(burst.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    let (first, last) = (Timestamp::UNIX_EPOCH + GAP, Timestamp::UNIX_EPOCH + GAP + 600 * MS);
    let expected = Burst { id: 1, first, last, connections: 7, restart: false };
    assert!(burst.iter().all(|(_, burst)| *burst == expected), "{burst:?}");
}

#[test]
fn a_few_a_slow_drip_and_a_steady_rate_are_none() {
    assert_eq!(told(every(100 * MS, 4)), []);
    assert_eq!(told(every(300 * MS, 30)), []);
    assert_eq!(told(every(2 * GAP, 30)), []);
    assert_eq!(told(every(50 * MS, 400)), [], "20 s of the same rate");
}

#[test]
fn resets_with_a_gap_between_them_are_two_bursts_and_another_service_has_its_own() {
    let mut events = every(10 * MS, 5);
    events.extend(every(10 * MS, 5).into_iter().map(|mut event| {
        event.id += 5;
        event.event.monotonic_ns += 3_000_000_000;
        event
    }));
    let ids: Vec<_> = told(events).iter().map(|(id, burst)| (*id, burst.id)).collect();
    let wanted: Vec<_> = (1..=10).map(|id| (id, if id <= 5 { 1 } else { 2 })).collect();
    assert_eq!(ids, wanted);
    let mixed = every(10 * MS, 8).into_iter().map(|mut event| {
        event.event.remote.set_port(if event.id % 2 == 0 { 80 } else { 81 });
        event
    });
    assert_eq!(told(mixed), [], "four of each");
}

#[test]
fn a_dead_process_or_a_refusal_beside_it_suggests_a_restart() {
    let mut events = every(10 * MS, 5);
    events[3].verdict = events[3].verdict.map(|verdict| Verdict { cause: Cause::ProcessExit, ..verdict });
    assert!(told(events).iter().all(|(_, burst)| burst.restart));
    let mut refused = reset(6, GAP + 500 * MS, Cause::Refused);
    (refused.event.kind, refused.event.counted) = (Kind::RefusedReceived, None);
    let mut events = every(10 * MS, 5);
    events.push(refused.clone());
    let burst = told(events);
    assert_eq!(burst.len(), 5, "the refusal is no member");
    assert!(burst.iter().all(|(_, burst)| burst.restart && burst.connections == 5));
    refused.event.remote.set_port(81);
    let mut events = every(10 * MS, 5);
    events.push(refused);
    assert!(told(events).iter().all(|(_, burst)| !burst.restart), "of another service");
}

#[test]
fn our_own_service_is_one_whoever_its_clients_are() {
    let server = |mut event: Told| {
        event.event.role = Some(Role::Server);
        event.event.remote.set_ip([10, 0, 0, u8::try_from(event.id).unwrap()].into());
        event.event.local.set_port(80);
        event
    };
    assert_eq!(told(every(10 * MS, 5).into_iter().map(server)).len(), 5);
}

#[test]
fn what_was_aborted_on_purpose_or_counted_before_is_no_part() {
    for counted in [None, Some(Counted::Aborted)] {
        let events = every(10 * MS, 9).into_iter().map(|mut event| {
            event.event.counted = counted;
            event
        });
        assert_eq!(told(events), []);
    }
}

#[test]
fn a_flood_of_services_and_of_events_has_its_limits() {
    let services = (0..2 * SERVICES as u64).map(|id| {
        let mut event = reset(id + 1, GAP, Cause::PeerAbort);
        event.event.remote.set_port(u16::try_from(id).unwrap());
        event
    });
    assert_eq!(told(services), []);
    let burst = told(every(Duration::from_micros(100), 2 * u32::try_from(ROOM).unwrap()));
    assert_eq!(burst.len(), ROOM);
    assert!(burst.iter().all(|(_, burst)| burst.connections as usize == 2 * ROOM));
}
