//! The rules of the published numbers, tried on histories of slots.

use std::collections::HashMap;
use std::time::Duration;

use monitor_common::peer::{Role, SCOPE_ADDRESS, SCOPE_OTHER};

use super::*;
use crate::cause::Cause;
use crate::event::Event;
use crate::idle::{Basis, Idle};
use crate::kernel::truth::Budgets;
use crate::snapshot::{PeerLabel, PeerSeries, ResetDetails, Scope};
use crate::verdict::{Confidence, Verdict};

mod history;
mod live;
mod selecting;
mod watched;

const BUDGETS: Budgets = Budgets { client: 8, server: 8, refused: 2, networks: 2 };

fn aggregator(published_peers: usize) -> Aggregator {
    selecting(published_peers, Selection::default())
}

fn selecting(published_peers: usize, selection: Selection) -> Aggregator {
    let limits = Limits {
        budgets: BUDGETS,
        published_peers,
        quiet: Duration::from_mins(10),
        closed_memory: 16,
        ring_bytes: 4096,
    };
    Aggregator::new(limits, selection)
}

fn rest() -> Rest {
    Rest {
        taken: jiff::Timestamp::UNIX_EPOCH,
        started: jiff::Timestamp::UNIX_EPOCH,
        uptime: Duration::ZERO,
        totals: TotalsReading::default(),
        namespaces: vec![],
        programs: vec![],
        listening: ListeningReading::default(),
        hooked: Hooked::default(),
    }
}

/// A client-role peer 10.0.0.`last`:80 in a namespace, with as many connections closed as opened.
fn slot(slot: u32, last: u8, netns: u32, closed: u64) -> SlotReading {
    let addr = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last];
    let key = PeerKey { addr, netns, port: 80, role: Role::Client as u8, scope: SCOPE_ADDRESS };
    SlotReading { slot, key, counts: PeerCounts { opened: closed, closed, ..PeerCounts::default() } }
}

/// A sent reset of the peer in a slot.
fn told(slot: u32, cause: Cause) -> Told {
    let event = Event { slot: Some(slot), ..Event::of_kind(Kind::ResetSent) };
    Told { id: 1, event, verdict: Some(Verdict::of(cause, Confidence::Likely, &[], None)), burst: None }
}

fn other(closed: u64) -> SlotReading {
    let key = PeerKey { addr: [0; 16], netns: 0, port: 0, role: Role::Client as u8, scope: SCOPE_OTHER };
    let counts = PeerCounts { opened: closed, closed, ..PeerCounts::default() };
    SlotReading { slot: BUDGETS.other_slot(), key, counts }
}

fn read(aggregator: &mut Aggregator, slots: &[SlotReading], seconds: u64) -> Snapshot {
    let slots = slots.iter().copied();
    aggregator.snapshot(slots, std::iter::empty(), Duration::from_secs(seconds), rest(), true)
}

fn closed(snapshot: &Snapshot) -> HashMap<PeerLabel, u64> {
    snapshot.series.iter().map(|PeerSeries { label, counts, .. }| (*label, counts.closed)).collect()
}

fn sum_of_series(snapshot: &Snapshot) -> u64 {
    snapshot.series.iter().map(|series| series.counts.closed).sum()
}

fn label(last: u8) -> PeerLabel {
    PeerLabel { scope: Scope::Address([10, 0, 0, last].into()), port: Some(80), role: Role::Client }
}

const OTHER: PeerLabel = PeerLabel { scope: Scope::Other, port: None, role: Role::Client };
const RETIRED: PeerLabel = PeerLabel { scope: Scope::Retired, port: None, role: Role::Client };

#[test]
fn the_busiest_newcomers_get_series_and_the_rest_is_other() {
    let mut aggregator = aggregator(2);
    let snapshot =
        read(&mut aggregator, &[slot(0, 1, 1, 5), slot(1, 2, 1, 50), slot(2, 3, 1, 20), other(7)], 0);
    let closed = closed(&snapshot);
    assert_eq!(
        (closed.get(&label(2)), closed.get(&label(3)), closed.get(&label(1))),
        (Some(&50), Some(&20), None)
    );
    assert_eq!(closed[&OTHER], 12);
    assert_eq!(sum_of_series(&snapshot), snapshot.total.closed);
}

#[test]
fn one_peer_in_two_namespaces_is_one_series_and_two_rows() {
    let mut aggregator = aggregator(2);
    let snapshot = read(&mut aggregator, &[slot(0, 1, 1, 5), slot(1, 1, 2, 6)], 0);
    assert_eq!(closed(&snapshot)[&label(1)], 11);
    assert_eq!(snapshot.peers.iter().flatten().filter(|row| row.label == label(1)).count(), 2);
}

#[test]
fn a_series_does_not_go_down_when_one_of_its_namespaces_is_retired() {
    let mut aggregator = aggregator(2);
    drop(read(&mut aggregator, &[slot(0, 1, 1, 5), slot(1, 1, 2, 6)], 0));
    aggregator.retire(0, slot(0, 1, 1, 5).counts);
    let snapshot = read(&mut aggregator, &[slot(1, 1, 2, 8)], 1);
    assert_eq!(closed(&snapshot)[&label(1)], 13);
    assert_eq!(sum_of_series(&snapshot), snapshot.total.closed);
}

#[test]
fn a_retired_peer_moves_what_it_published_to_retired_and_its_successor_starts_at_its_own() {
    let mut aggregator = aggregator(1);
    drop(read(&mut aggregator, &[slot(0, 1, 1, 5), slot(1, 2, 1, 3)], 0));
    aggregator.retire(0, slot(0, 1, 1, 6).counts);
    let snapshot = read(&mut aggregator, &[slot(1, 2, 1, 4)], 1);
    let closed = closed(&snapshot);
    assert_eq!(closed[&RETIRED], 6);
    assert_eq!(closed[&OTHER], 4, "the successor's first four were shown as other and stay there");
    assert_eq!(closed[&label(2)], 0);
    assert_eq!(snapshot.total.closed, 10);
    let snapshot = read(&mut aggregator, &[slot(1, 2, 1, 9)], 2);
    assert_eq!(self::closed(&snapshot)[&label(2)], 5);
}

#[test]
fn an_unpublished_peer_that_is_retired_stays_in_other() {
    let mut aggregator = aggregator(0);
    drop(read(&mut aggregator, &[slot(0, 1, 1, 5)], 0));
    aggregator.retire(0, slot(0, 1, 1, 5).counts);
    let snapshot = read(&mut aggregator, &[], 1);
    assert_eq!(closed(&snapshot)[&OTHER], 5);
    assert_eq!(snapshot.total.closed, 5, "the API shows it as retired");
}

#[test]
fn causes_follow_their_peer_and_untold_resets_are_unclassified() {
    let mut aggregator = aggregator(1);
    let mut reading = slot(3, 1, 1, 5);
    reading.counts.resets_sent = 3;
    reading.counts.untold_sent = 2;
    aggregator.observe(&Account { kind: Kind::ResetSent, reason: None });
    aggregator.judge(&told(3, Cause::LingerAbort));
    let snapshot = read(&mut aggregator, &[reading], 0);
    let causes = snapshot.series[0].causes;
    assert_eq!((causes.sent[Cause::LingerAbort as usize], causes.sent[Cause::Unclassified as usize]), (1, 2));
    assert_eq!(causes.sent.iter().sum::<u64>(), reading.counts.resets_sent);
    aggregator.retire(3, reading.counts);
    let snapshot = read(&mut aggregator, &[], 1);
    let retired = snapshot.series.iter().find(|series| series.label == RETIRED).unwrap();
    assert_eq!(retired.causes.sent.iter().sum::<u64>(), 3);
    assert_eq!(snapshot.stories.of(Kind::ResetSent).decoded, 1);
}

/// A received reset of the peer in a slot, after so many seconds of quiet.
fn told_after(slot: u32, id: u64, seconds: u64) -> Told {
    let idle = Idle { time: Duration::from_secs(seconds), basis: Basis::BeforeReset, at_least: false };
    let event = Event { slot: Some(slot), idle: Some(idle), ..Event::of_kind(Kind::ResetReceived) };
    let verdict = Some(Verdict::of(Cause::IdleReuse, Confidence::Likely, &[], None));
    Told { id, event, verdict, burst: None }
}

fn details_of(snapshot: &Snapshot, label: PeerLabel) -> Option<&ResetDetails> {
    let series = snapshot.series.iter().find(|series| series.label == label);
    series.and_then(|series| series.details.as_deref())
}

#[test]
fn a_series_has_the_idle_times_and_last_events_since_it_began() {
    let mut aggregator = aggregator(1);
    // Before its first reading; the other one gets no series then, and so no details.
    aggregator.judge(&told_after(0, 1, 60));
    aggregator.judge(&told_after(1, 2, 5));
    let mut slots = vec![slot(0, 1, 1, 50), slot(1, 2, 1, 5)];
    let snapshot = read(&mut aggregator, &slots, 0);
    assert_eq!(details_of(&snapshot, label(2)), None);
    let details = details_of(&snapshot, label(1)).unwrap();
    assert_eq!((details.idle.count(), details.last_received[Cause::IdleReuse as usize]), (1, 1));
    aggregator.judge(&told_after(0, 3, 61));
    aggregator.judge(&told_after(1, 4, 5));
    let snapshot = read(&mut aggregator, &slots, 1);
    let details = details_of(&snapshot, label(1)).unwrap();
    assert_eq!((details.idle.sum, details.last_received[Cause::IdleReuse as usize]), (121.0, 3));
    // Its place goes to the other one, which begins anew.
    aggregator.retire(0, slots.remove(0).counts);
    drop(read(&mut aggregator, &slots, 2));
    aggregator.judge(&told_after(1, 5, 5));
    let snapshot = read(&mut aggregator, &slots, 3);
    assert_eq!(details_of(&snapshot, label(2)).unwrap().idle.count(), 1);
}

#[test]
fn details_of_a_peer_in_two_namespaces_are_one_and_stay_with_the_last() {
    let mut aggregator = aggregator(1);
    for (id, slot) in [(1, 0), (2, 1)] {
        aggregator.judge(&told_after(slot, id, 60));
    }
    let slots = [slot(0, 1, 1, 5), slot(1, 1, 2, 6)];
    drop(read(&mut aggregator, &slots, 0));
    aggregator.retire(0, slots[0].counts);
    let snapshot = read(&mut aggregator, &slots[1..], 1);
    let details = details_of(&snapshot, label(1)).unwrap();
    assert_eq!((details.idle.count(), details.last_received[Cause::IdleReuse as usize]), (2, 2));
}

#[test]
fn only_quiet_peers_without_open_connections_are_retired_and_only_under_pressure() {
    let mut aggregator = aggregator(100);
    let mut slots: Vec<_> = (0..7).map(|number| slot(number, u8::try_from(number).unwrap(), 1, 1)).collect();
    drop(read(&mut aggregator, &slots, 0));
    assert!(
        aggregator.retirable(Duration::from_secs(10_000)).is_empty(),
        "seven of eight slots are no pressure"
    );
    slots.push(slot(7, 7, 1, 1));
    slots[0].counts.opened += 1;
    drop(read(&mut aggregator, &slots, 1));
    assert!(aggregator.retirable(Duration::from_secs(500)).is_empty(), "not quiet for long enough");
    let leaving = aggregator.retirable(Duration::from_secs(601));
    assert_eq!(
        leaving.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(),
        [1, 2],
        "down to six, the open one stays"
    );
    assert!(
        aggregator.retirable(Duration::from_mins(10)).iter().all(|(slot, _)| *slot > 2),
        "none leaves twice"
    );
}
