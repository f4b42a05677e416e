//! The rules of overflows by listener, tried on histories of listeners.

use super::*;
use crate::snapshot::listening::Queue;

/// A listener at 0.0.0.0:`port`.
fn listener(netns: u32, port: u16, syn: u64, ack: u64) -> ListenerReading {
    ListenerReading { netns, addr: [0, 0, 0, 0].into(), port, overflows_syn: syn, overflows_ack: ack }
}

fn address(port: u16) -> SocketAddr {
    ([0, 0, 0, 0], port).into()
}

fn open(port: u16) -> ListenerSeries {
    ListenerSeries {
        address: Some(address(port)),
        queue: Some(Queue { backlog: 0, limit: 1 }),
        drops: Some(0),
    }
}

fn read(stages: &mut Stages, listeners: &[ListenerReading]) -> ListenerOverflows {
    let reading = OverflowReading { listeners: listeners.to_vec(), beyond: 0 };
    stages.read(&reading, &[])
}

fn of(overflows: &ListenerOverflows, port: u16) -> Option<(u64, u64)> {
    let series = overflows.series.iter().find(|series| series.address == Some(address(port)))?;
    Some((series.counts.syn, series.counts.ack))
}

fn other(overflows: &ListenerOverflows) -> StageCounts {
    overflows.series.iter().find(|series| series.address.is_none()).unwrap().counts
}

fn sum(overflows: &ListenerOverflows) -> StageCounts {
    overflows.series.iter().map(|series| series.counts).sum()
}

#[test]
fn namespaces_are_apart_in_rows_and_together_in_series() {
    let all = read(&mut Stages::default(), &[listener(2, 80, 1, 0), listener(1, 80, 4, 2)]);
    let rows: Vec<_> = all.rows.iter().map(|row| (row.netns, row.counts.syn, row.counts.ack)).collect();
    assert_eq!(rows, [(1, 4, 2), (2, 1, 0)], "the most often first");
    assert_eq!(of(&all, 80), Some((5, 2)));
    assert_eq!((all.total(), sum(&all)), (StageCounts { syn: 5, ack: 2 }, all.total()));
}

#[test]
fn a_listener_that_is_open_shows_0_until_its_queue_is_full_and_one_that_closed_stays() {
    let mut stages = Stages::default();
    let reading =
        |listeners: &[ListenerReading]| OverflowReading { listeners: listeners.to_vec(), beyond: 3 };
    let closed = ListenerSeries { queue: None, ..open(22) };
    let before = stages.read(&reading(&[]), &[open(80), closed]);
    assert_eq!((of(&before, 80), of(&before, 22)), (Some((0, 0)), None));
    assert_eq!((other(&before), before.beyond), (StageCounts::default(), 3));
    let full = stages.read(&reading(&[listener(1, 80, 1, 0)]), &[open(80)]);
    assert_eq!(of(&full, 80), Some((1, 0)));
    let gone = stages.read(&reading(&[listener(1, 80, 1, 0)]), &[]);
    assert_eq!(of(&gone, 80), Some((1, 0)));
}

#[test]
fn a_program_whose_every_port_is_full_leaves_room_for_a_listener_in_trouble() {
    let mut stages = Stages::default();
    let mut all: Vec<_> = (1..=200).map(|port| listener(1, port, 1, 1)).collect();
    let first = read(&mut stages, &all);
    assert_eq!(first.series.len(), EASY + 1);
    all[149].overflows_syn = BUSY;
    let second = read(&mut stages, &all);
    assert_eq!(of(&second, 150), Some((0, 0)), "what other was shown with stays there");
    assert_eq!(sum(&second), StageCounts { syn: 199 + BUSY, ack: 200 });
    all[149].overflows_ack += 4;
    assert_eq!(of(&read(&mut stages, &all), 150), Some((0, 4)));
    // In `other` and open is not a listener that never overflowed.
    let reading = OverflowReading { listeners: all, beyond: 0 };
    assert_eq!(of(&stages.read(&reading, &[open(200)]), 200), None);
}

#[test]
fn whatever_overflows_series_are_bounded_sums_are_exact_and_nothing_goes_down() {
    let mut stages = Stages::default();
    let mut state = 0x2545_f491_u32;
    let mut random = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let mut all: Vec<ListenerReading> = Vec::new();
    let mut before: Vec<OverflowSeries> = Vec::new();
    for round in 0..300 {
        if all.len() < 600 {
            let port = u16::try_from(random(400)).unwrap() + 1;
            let netns = random(3);
            if !all.iter().any(|known| (known.netns, known.port) == (netns, port)) {
                all.push(listener(netns, port, 0, 0));
            }
        }
        for listener in &mut all {
            if random(4) == 0 {
                listener.overflows_syn += u64::from(random(40));
                listener.overflows_ack += u64::from(random(3));
            }
        }
        let open: Vec<_> = (0..random(30)).map(|port| open(u16::try_from(port).unwrap() + 350)).collect();
        let reading = OverflowReading { listeners: all.clone(), beyond: 0 };
        let now = stages.read(&reading, &open);
        let counted: StageCounts = all.iter().map(|listener| row(listener).counts).sum();
        assert_eq!((sum(&now), now.total()), (counted, counted), "round {round}");
        assert!(now.series.len() <= MOST + open.len() + 1 && stages.own.len() <= MOST);
        for earlier in &before {
            let later = now.series.iter().find(|series| series.address == earlier.address);
            let fell = |later: &OverflowSeries| {
                later.counts.syn < earlier.counts.syn || later.counts.ack < earlier.counts.ack
            };
            assert!(!later.is_some_and(fell), "{earlier:?} became {later:?}");
            assert!(later.is_some() || earlier.counts.sum() == 0, "{earlier:?} is gone");
        }
        before = now.series;
    }
}
