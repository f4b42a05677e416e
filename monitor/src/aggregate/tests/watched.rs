//! What alerts see of slots.

use super::*;

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
