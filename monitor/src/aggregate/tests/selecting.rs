//! Who has series of their own, and what becomes of the others.

use super::*;
use crate::selection::Together;

/// The same as one that connects to us.
fn as_server(mut reading: SlotReading) -> SlotReading {
    reading.key.role = Role::Server as u8;
    reading
}

fn own(snapshot: &Snapshot) -> Vec<(Option<u32>, String, Role, u64)> {
    let own = snapshot.series.iter().filter(|series| series.label.port.is_some());
    let mut own: Vec<_> = own
        .map(|series| (series.netns, series.label.scope.to_string(), series.label.role, series.counts.closed))
        .collect();
    own.sort_unstable();
    own
}

#[test]
fn peers_of_a_network_share_series_and_who_is_not_wanted_is_other() {
    let selection = Selection {
        networks: vec![Together { within: "10.0.0.0/30".parse().unwrap(), bits: 30 }],
        except_peers: vec!["10.0.0.9/32".parse().unwrap()],
        ..Selection::default()
    };
    let mut aggregator = selecting(8, selection);
    let slots = [slot(0, 1, 1, 5), slot(1, 2, 1, 7), slot(2, 8, 1, 20), slot(3, 9, 1, 100)];
    let snapshot = read(&mut aggregator, &slots, 0);
    let wanted =
        [(None, "10.0.0.0/30".to_owned(), Role::Client, 12), (None, "10.0.0.8".to_owned(), Role::Client, 20)];
    assert_eq!(own(&snapshot), wanted);
    assert_eq!(closed(&snapshot)[&OTHER], 100);
    assert_eq!(sum_of_series(&snapshot), snapshot.total.closed);
    assert_eq!(
        snapshot.peers.iter().flatten().filter(|row| row.netns.is_some()).count(),
        4,
        "the API has all"
    );
    // A later peer of the network joins the others.
    aggregator.retire(0, slots[0].counts);
    let later = [slot(0, 3, 2, 1), slots[1], slots[2], slots[3]];
    assert_eq!(own(&read(&mut aggregator, &later, 1))[0].3, 13);
}

#[test]
fn namespaces_are_told_apart_where_that_is_asked_for() {
    let mut aggregator = selecting(8, Selection { namespace_label: true, ..Selection::default() });
    let snapshot = read(&mut aggregator, &[slot(0, 1, 1, 5), slot(1, 1, 2, 7)], 0);
    let told = |netns, closed| (Some(netns), "10.0.0.1".to_owned(), Role::Client, closed);
    assert_eq!(own(&snapshot), [told(1, 5), told(2, 7)]);
}

#[test]
fn half_of_the_series_are_kept_for_peers_that_we_connect_to() {
    let mut aggregator = aggregator(4);
    let busy: Vec<_> =
        (0..4).map(|number| as_server(slot(8 + u32::from(number), number, 1, 1_000))).collect();
    let snapshot = read(&mut aggregator, &busy, 0);
    assert_eq!(own(&snapshot).len(), 2, "only half of them for the busiest strangers");
    let calm = [slot(0, 1, 1, 1), slot(1, 2, 1, 1), slot(2, 3, 1, 1)];
    let all: Vec<_> = calm.iter().chain(&busy).copied().collect();
    let snapshot = read(&mut aggregator, &all, 1);
    assert_eq!(own(&snapshot).iter().filter(|(.., role, _)| *role == Role::Client).count(), 2);
    assert_eq!(sum_of_series(&snapshot), snapshot.total.closed);
    // A stranger's series make room for the next one's only; here they are full on both sides, so a client may have either.
    let late = Duration::from_mins(20);
    let grown: Vec<_> = all.iter().map(|reading| reading.key.role).collect();
    assert_eq!(grown.len(), 7);
    let leaving = aggregator.retirable(late);
    assert_eq!(leaving.len(), 4, "{leaving:?}");
}

#[test]
fn without_upstreams_waiting_only_a_stranger_makes_room_for_a_stranger() {
    let mut aggregator = aggregator(4);
    let slots: Vec<_> = (0..2u8)
        .map(|number| slot(number.into(), number, 1, 1))
        .chain((0..3).map(|number| as_server(slot(8 + u32::from(number), number, 1, 1))))
        .collect();
    read(&mut aggregator, &slots, 0);
    let leaving = aggregator.retirable(Duration::from_mins(20));
    let leaving: Vec<_> = leaving.iter().map(|(slot, _)| *slot).collect();
    assert_eq!(leaving, [8, 9]);
}

#[test]
fn who_never_has_series_makes_nobody_leave() {
    let selection = Selection { except_peers: vec!["10.0.0.9/32".parse().unwrap()], ..Selection::default() };
    let mut aggregator = selecting(1, selection);
    read(&mut aggregator, &[slot(0, 1, 1, 5), slot(1, 9, 1, 7)], 0);
    assert_eq!(aggregator.retirable(Duration::from_mins(20)), []);
}
