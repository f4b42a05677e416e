//! What alerts see of slots.

use super::*;
use crate::alerts::rules::Rules;
use crate::alerts::{Engine, Reading};
use crate::clock::WallClock;

fn watched(aggregator: &Aggregator, slots: &[SlotReading]) -> Vec<PeerReading> {
    aggregator.watched(slots.iter().copied()).collect()
}

#[test]
fn alerts_see_slots_with_their_causes_and_nothing_that_only_moved_to_retired() {
    let mut aggregator = aggregator(2);
    let mut bad = slot(0, 1, 7, 50);
    bad.counts.resets_sent = 3;
    bad.counts.reset = 2;
    let slots = [bad, slot(1, 2, 7, 5), other(4)];
    drop(read(&mut aggregator, &slots, 0));
    for cause in [Cause::IdleReuse, Cause::IdleReuse, Cause::Middlebox] {
        aggregator.judge(&told(0, cause));
    }
    let [first, second, rest] = watched(&aggregator, &slots).try_into().unwrap();
    assert_eq!((first.label, first.netns, first.reset, first.closed), (label(1), Some(7), 2, 50));
    assert_eq!((first.idle_reuse, first.middlebox), (2, 1));
    assert_eq!((second.idle_reuse, second.middlebox), (0, 0));
    assert_eq!((rest.label, rest.netns, rest.closed), (OTHER, None, 4));
    aggregator.retire(0, bad.counts);
    assert_eq!(watched(&aggregator, &slots[1..]).len(), 2);
}

/// Ten minutes of health probes, `SO_LINGER` 0 closes, `ss -K` and refused connects, beside a good deal of work.
#[test]
fn deliberate_closes_and_refusals_raise_no_alert() {
    let mut aggregator = aggregator(2);
    let mut engine = Engine::new(Rules::default(), Duration::ZERO);
    let mut busy = slot(0, 1, 7, 0);
    for tick in 1..=60 {
        let counts = &mut busy.counts;
        counts.opened += 100;
        counts.closed += 100;
        counts.exchanges += 1_000;
        counts.aborted += 90;
        counts.resets_sent += 60;
        counts.resets_received += 30;
        counts.refused_received += 50;
        for cause in [Cause::LingerAbort, Cause::AdminAbort, Cause::Refused] {
            aggregator.judge(&told(0, cause));
        }
        let (slots, now) = ([busy, other(9 * tick)], Duration::from_secs(15 * tick));
        let Snapshot { listening, stories, .. } = read(&mut aggregator, &slots, 15 * tick);
        let pairs = aggregator.pairs(now);
        let peers = aggregator.watched(slots.into_iter());
        engine
            .evaluate(Reading { peers, pairs, listening: &listening, stories: &stories, signals: &[] }, now);
    }
    let report = engine.report(WallClock::from_pair(jiff::Timestamp::UNIX_EPOCH, Duration::ZERO));
    assert_eq!(report.rows, []);
}
