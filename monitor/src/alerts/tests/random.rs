//! Long random histories: whatever happens, a share is no more than 1 and no alert lacks its minimum.

use std::collections::{BTreeMap, VecDeque};

use super::*;

/// A fixed linear congruence: no clock, no luck.
fn generator(mut state: u64) -> impl FnMut(u64) -> u64 {
    move |below| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    }
}

/// Resets and volume of a slot in the last evaluations, as a test adds them up: the newest first.
type Added = VecDeque<(u64, u64, u64)>;

#[test]
fn no_share_is_above_one_and_no_alert_lacks_its_volume() {
    for seed in 1..=20 {
        let mut random = generator(seed);
        let mut run = Run::new(Host::default());
        let mut added: BTreeMap<u32, Added> = BTreeMap::new();
        let mut seen = 0;
        for _ in 0..400 {
            step(&mut run.host, &mut run.engine, &mut added, &mut random);
            run.ticks(1);
            for row in run.rows() {
                let Subject::Peer { label, .. } = row.identity.subject else { panic!("{row:?}") };
                let value = row.measure.value();
                assert!(value.is_finite() && value >= 0.0, "{row:?}");
                let Measure::Share { part, whole } = row.measure else { continue };
                assert!(value <= 1.0 && value > 0.001, "{row:?}");
                assert!(part >= 3 && whole >= 100, "{row:?}");
                seen += 1;
                // What holds now was really added, in this window.
                let slot = (0..8).find(|slot| super::label(*slot) == label).unwrap();
                let sums = added.get(&slot).map(|added| {
                    added.iter().fold((0, 0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
                });
                if row.state() == State::Pending {
                    let (resets, ..) = sums.unwrap();
                    assert_eq!(part, resets, "seed {seed}: {row:?}");
                }
            }
        }
        assert!(seen > 0, "the history of seed {seed} reached no alert");
    }
}

/// Peers come, go, have traffic, resets, late resets, and nothing at all.
fn step(
    host: &mut Host,
    engine: &mut Engine,
    added: &mut BTreeMap<u32, Added>,
    random: &mut impl FnMut(u64) -> u64,
) {
    if random(10) == 0 && !host.peers.is_empty() {
        let place = usize::try_from(random(host.peers.len() as u64)).unwrap();
        let slot = host.peers.remove(place).slot;
        added.remove(&slot);
        // It may be given back without a word; its successor's counts tell then.
        if random(2) == 0 {
            engine.forget(slot);
        }
    } else if random(4) == 0 {
        let slot = u32::try_from(random(8)).unwrap();
        if host.peers.iter().all(|peer| peer.slot != slot) && !added.contains_key(&slot) {
            engine.forget(slot);
            host.peers.push(peer(slot));
            added.insert(slot, Added::new());
        }
    }
    for peer in &mut host.peers {
        let closed = if random(3) == 0 { random(200) } else { 0 };
        let exchanges = if random(2) == 0 { random(3_000) } else { 0 };
        let reset = if random(4) == 0 { random(4) } else { 0 };
        peer.closed += closed;
        peer.exchanges += exchanges;
        peer.reset += reset;
        peer.idle_reuse += reset.min(1);
        let of = added.entry(peer.slot).or_default();
        of.push_front((reset, closed, exchanges));
        of.truncate(40);
    }
}

/// Without any time to hold an alert fires on a window that is not exact: then on nothing but what is sure.
#[test]
fn what_fires_at_once_has_its_volume_and_its_share_whatever_was_before() {
    let (mut fired, mut rules) = (0, Rules::default());
    for rule in &mut rules.all {
        rule.lasting = Duration::ZERO;
    }
    for seed in 1..=200 {
        let mut random = generator(seed);
        let mut run = Run::with(rules.clone(), host(peer(0)));
        // Bursts of traffic, and resets after hours without any.
        let mut added: VecDeque<(u64, u64)> = VecDeque::new();
        for step in 0..300 {
            let exchanges = if random(12) == 0 { random(4_000) } else { 0 };
            let reset = if step > 250 && random(4) == 0 { random(4) } else { 0 };
            run.ticks_while(1, |host| {
                host.peers[0].exchanges += exchanges;
                host.peers[0].reset += reset;
            });
            added.push_front((reset, exchanges));
            added.truncate(40);
            let (resets, volume) = added.iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
            let Some(row) = run.row(Alert::ResetRatioHigh) else { continue };
            // Not while it is held.
            if row.fired == Some(run.now) {
                assert!(
                    resets >= 3 && volume >= 100 && resets * 1_000 > volume,
                    "seed {seed}: {resets} of {volume}"
                );
                fired += 1;
            }
        }
    }
    assert!(fired > 20, "{fired} histories reached an alert");
}
