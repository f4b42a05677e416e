//! Long random histories of slots. The generator is a fixed linear congruence: no clock, no luck.

use super::*;
use crate::selection::{Namespace, Together};

#[test]
fn whatever_happens_sums_are_exact_and_no_published_number_goes_down() {
    let reached = histories(&Selection::default());
    assert!(reached[&RETIRED] > 0 && reached[&OTHER] > 0, "the history reached every rule");
}

#[test]
fn the_same_holds_for_every_selection() {
    let network = |text: &str| text.parse().unwrap();
    let pairs = Together { within: network("10.0.0.0/8"), bits: 31 };
    for selection in [
        Selection { namespace_label: true, ..Selection::default() },
        Selection { networks: vec![pairs], ..Selection::default() },
        Selection { networks: vec![pairs], namespace_label: true, ..Selection::default() },
        Selection { except_peers: vec![network("10.0.0.2/31")], ..Selection::default() },
        Selection { namespaces: vec![Namespace::Number(2)], ..Selection::default() },
        Selection { ports: vec![81..=90], ..Selection::default() },
    ] {
        let reached = histories(&selection);
        // Three networks fit into three places: there, nobody is left for `other`.
        assert!(reached[&OTHER] + reached[&RETIRED] > 0, "{selection:?}");
    }
}

/// Closes as published at the end.
fn histories(selection: &Selection) -> HashMap<PeerLabel, u64> {
    let mut aggregator = selecting(3, selection.clone());
    let mut state = 1u64;
    let mut random = move |below: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    let mut live: HashMap<u32, SlotReading> = HashMap::new();
    let mut before: HashMap<(Option<u32>, PeerLabel), u64> = HashMap::new();
    let mut gone = 0;
    for step in 0..5_000 {
        let number = u32::try_from(random(8)).unwrap();
        if let Some(reading) = live.get_mut(&number) {
            if random(6) == 0 {
                let last = reading.counts;
                live.remove(&number);
                aggregator.retire(number, last);
                gone += last.closed;
            } else {
                let more = random(9);
                reading.counts.opened += more;
                reading.counts.closed += more;
                for _ in 0..random(3) {
                    // Told or not, every reset has a cause.
                    reading.counts.resets_sent += 1;
                    if random(4) == 0 {
                        reading.counts.untold_sent += 1;
                    } else {
                        let cause = if random(2) == 0 { Cause::UnreadData } else { Cause::Other };
                        aggregator.judge(&told(number, cause));
                    }
                }
            }
        } else {
            let peer = u8::try_from(random(5)).unwrap();
            let netns = u32::try_from(random(2)).unwrap() + 1;
            let taken = live.values().any(|other| other.key == slot(0, peer, netns, 0).key);
            if !taken {
                live.insert(number, slot(number, peer, netns, random(5)));
            }
        }
        let mut slots: Vec<_> = live.values().copied().collect();
        slots.sort_by_key(|reading| reading.slot);
        let snapshot = read(&mut aggregator, &slots, step);
        let expected = slots.iter().map(|reading| reading.counts.closed).sum::<u64>() + gone;
        assert_eq!(snapshot.total.closed, expected, "rows at step {step}");
        assert_eq!(sum_of_series(&snapshot), expected, "series at step {step}");
        for PeerSeries { netns: _, label, counts, causes, details: _ } in &snapshot.series {
            let by_cause = causes.sent.iter().sum::<u64>();
            assert_eq!(by_cause, counts.resets_sent, "resets of {label:?} by cause at step {step}");
        }
        for row in snapshot.peers.iter().flatten() {
            let by_cause = row.causes.as_ref().map_or(0, |causes| causes.sent.iter().sum::<u64>());
            assert_eq!(
                by_cause, row.counts.resets_sent,
                "resets of row {:?} by cause at step {step}",
                row.label
            );
        }
        let rows: PeerCounts = snapshot.peers.iter().flatten().map(|row| row.counts).sum();
        assert_eq!(rows, snapshot.total, "sum of rows at step {step}");
        let series = snapshot.series.iter();
        let now: HashMap<_, _> =
            series.map(|series| ((series.netns, series.label), series.counts.closed)).collect();
        let retired = |published: &HashMap<_, u64>| published.get(&(None, RETIRED)).copied().unwrap_or(0);
        for ((netns, label), count) in &now {
            // A label that was retired starts again; its series had ended.
            let was = before.get(&(*netns, *label)).copied().unwrap_or(0);
            let ended = matches!(label.scope, Scope::Address(_) | Scope::Network(..))
                && retired(&now) > retired(&before);
            assert!(*count >= was || ended, "{label:?} fell from {was} to {count} at step {step}");
        }
        before = now;
    }
    before.into_iter().map(|((_, label), count)| (label, count)).collect()
}
