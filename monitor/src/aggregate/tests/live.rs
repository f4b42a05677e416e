//! What walks over open connections do to the published numbers.

use super::*;
use crate::live::{Connection, LastWord, Listeners};
use crate::snapshot::OpenSeries;

/// A walk that found connections of 10.0.0.`last`:80 in namespace 1: so many of ten exchanges each, quiet for a minute.
fn walk(found: &[(u8, u32)]) -> Walk {
    let mut walk = Walk::default();
    walk.live.walk(1);
    for (last, count) in found {
        let connection = Connection {
            local: "10.0.0.100:40000".parse().unwrap(),
            remote: ([10, 0, 0, *last], 80).into(),
            established: true,
            quiet_ms: 60_000,
            exchanges: 10,
            last_word: LastWord::Both,
            caller: None,
        };
        (0..*count).for_each(|_| walk.live.add(1, &Listeners::default(), &connection));
    }
    walk
}

fn with_exchanges(mut reading: SlotReading, exchanges: u64) -> SlotReading {
    reading.counts.exchanges = exchanges;
    reading
}

/// Of the peer, of all series, of all peers, and as the kernel's sum would be.
fn exchanges(snapshot: &Snapshot, last: u8) -> [u64; 4] {
    let series = |series: &&PeerSeries| series.label == label(last);
    [
        snapshot.series.iter().find(series).map_or(0, |series| series.counts.exchanges),
        snapshot.series.iter().map(|series| series.counts.exchanges).sum(),
        snapshot.total.exchanges,
        snapshot.kernel_total.exchanges,
    ]
}

#[test]
fn exchanges_of_open_connections_count_once_and_before_they_close() {
    let mut aggregator = aggregator(4);
    // The kernel's independent sum is 0 in these histories: what is ahead of it shows.
    let closed = |exchanges| [with_exchanges(slot(0, 1, 1, 5), exchanges)];
    assert_eq!(exchanges(&read(&mut aggregator, &closed(50), 1), 1), [50, 50, 50, 0]);
    aggregator.before_walk(closed(50).into_iter());
    aggregator.after_walk(walk(&[(1, 3)]));
    assert_eq!(exchanges(&read(&mut aggregator, &closed(50), 2), 1), [80, 80, 80, 30]);
    // Two of the three close, then the third: they are the ones that counted already.
    assert_eq!(exchanges(&read(&mut aggregator, &closed(70), 3), 1), [80, 80, 80, 10]);
    assert_eq!(exchanges(&read(&mut aggregator, &closed(80), 4), 1), [80, 80, 80, 0]);
    assert_eq!(exchanges(&read(&mut aggregator, &closed(95), 5), 1), [95, 95, 95, 0]);
}

#[test]
fn what_closes_while_a_walk_is_under_way_is_never_counted_twice() {
    let mut aggregator = aggregator(4);
    let closed = |exchanges| [with_exchanges(slot(0, 1, 1, 5), exchanges)];
    read(&mut aggregator, &closed(0), 1);
    aggregator.before_walk(closed(0).into_iter());
    // The walk has seen three; one of them closes, and counts are read, before its end is known here. A new peer comes, too.
    let during = [with_exchanges(slot(0, 1, 1, 5), 10), with_exchanges(slot(1, 2, 1, 5), 10)];
    read(&mut aggregator, &during, 2);
    aggregator.after_walk(walk(&[(1, 3), (2, 1)]));
    let snapshot = read(&mut aggregator, &during, 3);
    assert_eq!(exchanges(&snapshot, 1)[0], 30);
    assert_eq!(exchanges(&snapshot, 2)[0], 10);
}

#[test]
fn exchanges_never_go_down_whatever_walks_find_and_sums_hold() {
    let mut aggregator = aggregator(2);
    let mut random = 0x9e37_79b9_u32;
    let mut next = |most: u32| {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        random % most
    };
    let mut counted = [0u64; 5];
    let (mut before, mut retired) = (HashMap::<PeerLabel, u64>::new(), 0);
    for second in 1..400 {
        for exchanges in &mut counted {
            *exchanges += u64::from(next(30));
        }
        let slots: Vec<_> = (0..5u8)
            .map(|number| {
                with_exchanges(slot(number.into(), number, 1, second), counted[usize::from(number)])
            })
            .collect();
        let snapshot = read(&mut aggregator, &slots, second);
        let [_, series, total, ahead] = exchanges(&snapshot, 1);
        assert_eq!(series, total);
        assert_eq!(total, counted.iter().sum::<u64>() + ahead + retired);
        for PeerSeries { label, counts, .. } in &snapshot.series {
            let known = before.insert(*label, counts.exchanges).unwrap_or(0);
            assert!(counts.exchanges >= known, "{label:?} fell from {known} to {}", counts.exchanges);
        }
        match next(4) {
            0 => aggregator.before_walk(slots.iter().copied()),
            1 => aggregator.after_walk(walk(&[(1, next(9)), (2, next(9)), (4, next(9))])),
            2 if second % 50 == 0 => {
                // The slot's next peer begins anew.
                let place = next(5) as usize;
                aggregator.retire(u32::try_from(place).unwrap(), slots[place].counts);
                retired += std::mem::take(&mut counted[place]);
            }
            _ => {}
        }
    }
}

#[test]
fn open_connections_are_told_by_peer_and_the_rest_is_other() {
    let mut aggregator = aggregator(3);
    let snapshot = read(&mut aggregator, &[slot(0, 1, 1, 5)], 1);
    assert!(snapshot.open_series.is_empty() && snapshot.walk.is_none());
    // Beside the peer with counts, others whose connections are older than we are: one with room for series, and the rest.
    aggregator.after_walk(walk(&[(1, 2), (2, 9), (3, 4), (4, 3)]));
    let slots = [slot(0, 1, 1, 5), slot(1, 5, 2, 5), other(0)];
    let snapshot = read(&mut aggregator, &slots, 2);
    let client = |series: &&OpenSeries| series.label.role == Role::Client;
    let told = snapshot.open_series.iter().filter(client);
    let told: Vec<_> = told.map(|series| (series.label, series.open, series.idle)).collect();
    assert_eq!(told, [(label(1), 2, 2), (label(2), 9, 9), (OTHER, 7, 7)]);
    // What is known to be none is 0.
    aggregator.after_walk(walk(&[]));
    let none = read(&mut aggregator, &slots, 3).open_series;
    assert_eq!(none.iter().map(|series| (series.label, series.open)).next(), Some((label(1), 0)));
    // The walker has ended.
    aggregator.end_walks();
    let unknown = read(&mut aggregator, &slots, 4);
    assert!(unknown.open_series.is_empty() && unknown.walk.is_none());
    assert!(unknown.peers.unwrap().iter().all(|row| row.open.is_none()));
    // Of the peers in the API, the one in a namespace that was not walked is unknown.
    let peers = snapshot.peers.unwrap();
    let open = |label: PeerLabel| {
        peers.iter().find(|row| row.label == label).unwrap().open.map(|open| (open.open, open.idle))
    };
    assert_eq!((open(label(1)), open(label(5)), open(OTHER)), (Some((2, 2)), None, Some((16, 16))));
}

#[test]
fn a_peer_with_open_connections_keeps_its_place_though_the_kernel_saw_none_open() {
    let mut aggregator = aggregator(4);
    let slots: Vec<_> = (0..8u8).map(|number| slot(number.into(), number, 1, 5)).collect();
    read(&mut aggregator, &slots, 1);
    aggregator.after_walk(walk(&[(0, 1)]));
    let late = Duration::from_mins(20);
    read(&mut aggregator, &slots, late.as_secs());
    let leaving: Vec<_> =
        aggregator.retirable(late + Duration::from_mins(20)).into_iter().map(|(slot, _)| slot).collect();
    assert!(!leaving.is_empty() && !leaving.contains(&0), "{leaving:?}");
}

#[test]
fn what_was_not_walked_is_unknown_and_not_none() {
    let mut aggregator = aggregator(3);
    read(&mut aggregator, &[slot(0, 1, 1, 5), other(0)], 1);
    aggregator.after_walk(Walk { left_out: 1, ..Walk::default() });
    let snapshot = read(&mut aggregator, &[slot(0, 1, 1, 5), other(0)], 2);
    assert!(snapshot.open_series.is_empty(), "{:?}", snapshot.open_series);
    assert!(snapshot.peers.unwrap().iter().all(|row| row.open.is_none()));
    assert_eq!(snapshot.walk.map(|walk| (walk.walked, walk.left_out, walk.age.as_secs())), Some((0, 1, 2)));
}

/// Labels with open connections of their own, of our role as client.
fn open_labels(snapshot: &Snapshot) -> Vec<(PeerLabel, u64)> {
    let client = |series: &&OpenSeries| series.label.role == Role::Client;
    snapshot.open_series.iter().filter(client).map(|series| (series.label, series.open)).collect()
}

#[test]
fn a_peer_that_was_given_a_gauge_keeps_it_until_it_has_no_connections() {
    let mut aggregator = aggregator(1);
    let told = |aggregator: &mut Aggregator, found: &[(u8, u32)], slots: &[SlotReading]| {
        aggregator.after_walk(walk(found));
        open_labels(&read(aggregator, slots, 1))
    };
    assert_eq!(told(&mut aggregator, &[(1, 5), (2, 4)], &[]), [(label(1), 5), (OTHER, 4)]);
    // Another one is busier now, and then a third has counts and takes the last series.
    assert_eq!(told(&mut aggregator, &[(1, 1), (2, 4)], &[]), [(label(1), 1), (OTHER, 4)]);
    // A walk that failed says nothing of it.
    aggregator.after_walk(Walk::default());
    assert_eq!(open_labels(&read(&mut aggregator, &[], 1)), []);
    assert_eq!(told(&mut aggregator, &[(1, 1), (2, 4)], &[]), [(label(1), 1), (OTHER, 4)]);
    let slots = [slot(0, 3, 1, 5)];
    read(&mut aggregator, &slots, 1);
    let three = told(&mut aggregator, &[(1, 1), (2, 4), (3, 7)], &slots);
    assert_eq!(three, [(label(3), 7), (label(1), 1), (OTHER, 4)]);
    assert_eq!(told(&mut aggregator, &[(2, 4), (3, 7)], &slots), [(label(3), 7), (OTHER, 4)]);
    assert_eq!(told(&mut aggregator, &[(1, 9), (3, 7)], &slots), [(label(3), 7), (OTHER, 9)]);
}

#[test]
fn a_published_peer_beyond_the_sums_is_unknown_and_not_without_connections() {
    let mut aggregator = aggregator(2);
    let slots = [slot(0, 1, 1, 5)];
    read(&mut aggregator, &slots, 1);
    let mut found = Walk::default();
    for number in 0..=u32::try_from(MOST_SERVICES).unwrap() {
        // The published one comes last.
        let remote = if number == u32::try_from(MOST_SERVICES).unwrap() {
            ([10, 0, 0, 1], 80).into()
        } else {
            (std::net::Ipv4Addr::from(0x0b00_0000 + number), 80).into()
        };
        let connection = Connection {
            local: "10.0.0.100:40000".parse().unwrap(),
            remote,
            established: true,
            quiet_ms: 0,
            exchanges: 1,
            last_word: LastWord::Both,
            caller: None,
        };
        found.live.add(1, &Listeners::default(), &connection);
    }
    aggregator.after_walk(found);
    let snapshot = read(&mut aggregator, &slots, 2);
    let told = open_labels(&snapshot);
    assert!(!told.iter().any(|(told, _)| *told == label(1)), "{told:?}");
    let sum: u64 = told.iter().map(|(_, open)| open).sum();
    assert_eq!(sum, MOST_SERVICES as u64 + 1, "it is with the others");
    assert!(snapshot.peers.unwrap().iter().filter(|row| row.label == label(1)).all(|row| row.open.is_none()));
}

#[test]
fn gauges_are_made_once_for_each_walk() {
    let mut aggregator = aggregator(2);
    aggregator.after_walk(walk(&[(1, 1)]));
    let [first, second] = [1, 2].map(|second| read(&mut aggregator, &[], second).open_series);
    assert!(Arc::ptr_eq(&first, &second));
    aggregator.after_walk(walk(&[(1, 2)]));
    assert!(!Arc::ptr_eq(&first, &read(&mut aggregator, &[], 3).open_series));
}

#[test]
fn what_only_waits_for_our_close_keeps_its_peer_and_so_does_what_is_unknown() {
    let mut aggregator = aggregator(4);
    let slots: Vec<_> = (0..8u8).map(|number| slot(number.into(), number, 1, 5)).collect();
    read(&mut aggregator, &slots, 1);
    let half = Connection {
        local: "10.0.0.100:40000".parse().unwrap(),
        remote: ([10, 0, 0, 0], 80).into(),
        established: false,
        quiet_ms: 60_000,
        exchanges: 10,
        last_word: LastWord::Both,
        caller: None,
    };
    let mut found = walk(&[]);
    found.live.add(1, &Listeners::default(), &half);
    aggregator.after_walk(found);
    // This one could not read the namespace.
    aggregator.after_walk(Walk { left_out: 1, ..Walk::default() });
    let late = Duration::from_mins(40);
    let leaving = aggregator.retirable(late);
    assert!(!leaving.is_empty() && leaving.iter().all(|(slot, _)| *slot != 0), "{leaving:?}");
    // After a while it is gone, or as good as that.
    aggregator.after_walk(Walk { began: late, left_out: 1, ..Walk::default() });
    read(&mut aggregator, &slots, 1);
    assert!(aggregator.retirable(late).iter().any(|(slot, _)| *slot == 0));
}

#[test]
fn exchanges_of_a_walk_that_is_repeated_do_not_count_again() {
    let mut aggregator = aggregator(4);
    let closed = |exchanges| [with_exchanges(slot(0, 1, 1, 5), exchanges)];
    read(&mut aggregator, &closed(0), 1);
    aggregator.before_walk(closed(0).into_iter());
    aggregator.after_walk(walk(&[(1, 3)]));
    // All three close, and are counted, before a reader has another namespace walked.
    aggregator.before_walk(closed(30).into_iter());
    aggregator.after_walk(Walk { repeated: [1].into(), ..walk(&[(1, 3)]) });
    assert_eq!(exchanges(&read(&mut aggregator, &closed(30), 2), 1), [30, 30, 30, 0]);
}
