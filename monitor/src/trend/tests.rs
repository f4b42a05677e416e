//! What is kept of readings, and how much of it.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use monitor_common::peer::Role;

use super::column::POINTS;
use super::{Key, MOST_COLUMNS, MOST_PEERS, Reading, Resolution, Trend};
use crate::cause::Cause;
use crate::counts::PeerCounts;
use crate::event::Direction;
use crate::snapshot::{CauseCounts, PeerLabel, PeerSeries, Scope};

const IDLE_REUSE: Key = Key::Resets(Direction::Received, Cause::IdleReuse);

fn label(number: u32) -> PeerLabel {
    let address = IpAddr::from(Ipv4Addr::from(0x0a00_0000 + number));
    PeerLabel { scope: Scope::Address(address), port: Some(8080), role: Role::Client }
}

/// A peer with so many closed connections and resets of one cause.
fn peer(label: PeerLabel, closed: u64, resets: u64, cause: Cause) -> PeerSeries {
    let counts = PeerCounts {
        opened: closed,
        closed,
        reset: resets,
        resets_received: resets,
        ..PeerCounts::default()
    };
    let mut causes = CauseCounts::default();
    causes.received[cause as usize] = resets;
    PeerSeries { netns: None, label, counts, causes, details: None }
}

fn observe(trend: &mut Trend, seconds: u64, series: &[PeerSeries]) {
    let total = series.iter().map(|series| series.counts).sum();
    trend.observe(Duration::from_secs(seconds), Reading { total, series, overflows: Some(0) });
}

/// What is kept of a key, from the oldest interval to the newest; `None` where nothing was read.
fn points(trend: &Trend, key: Key, resolution: Resolution) -> Vec<Option<u32>> {
    let point = |at| trend.is_known(resolution, at).then(|| trend.total().get(key, resolution, at));
    trend.intervals(resolution).map(point).collect()
}

#[test]
fn what_was_added_is_in_the_interval_it_was_added_in_at_every_resolution() {
    let mut trend = Trend::default();
    for (seconds, resets) in [(5, 1), (10, 1), (15, 4), (20, 4), (65, 5), (70, 9)] {
        observe(&mut trend, seconds, &[peer(label(1), 100 * seconds, resets, Cause::IdleReuse)]);
    }
    // From 20 s to 65 s nothing was read: its middle is where what came meanwhile is told, and the rest is unknown.
    let fine = points(&trend, IDLE_REUSE, Resolution::Fine);
    assert_eq!(fine, [Some(1), Some(3), None, None, Some(1), None, Some(4)]);
    assert_eq!(points(&trend, IDLE_REUSE, Resolution::Middle), [Some(5), Some(4)]);
    assert_eq!(points(&trend, IDLE_REUSE, Resolution::Coarse), [Some(9)]);
    assert_eq!(points(&trend, Key::Closed, Resolution::Coarse), [Some(7_000)]);
    let (_, series) = trend.peers().next().unwrap();
    assert_eq!(trend.sum(series, IDLE_REUSE, Resolution::Fine, 6), 8, "the last minute");
    assert_eq!(trend.sum(series, IDLE_REUSE, Resolution::Fine, 60), 9);
}

#[test]
fn what_is_older_than_a_ring_is_forgotten_there_and_kept_in_the_coarser_one() {
    let mut trend = Trend::default();
    let series = [peer(label(1), 10, 7, Cause::IdleReuse)];
    for seconds in (5..=2 * 3600).step_by(5) {
        observe(&mut trend, seconds, &series);
    }
    let sum = |resolution| points(&trend, IDLE_REUSE, resolution).into_iter().flatten().sum::<u32>();
    assert_eq!(Resolution::ALL.map(sum), [0, 7, 7]);
    assert_eq!(
        Resolution::ALL.map(|resolution| points(&trend, IDLE_REUSE, resolution).len()),
        [180, 120, 24]
    );
}

#[test]
fn a_jump_over_everything_that_is_kept_leaves_nothing_of_it() {
    let mut trend = Trend::default();
    observe(&mut trend, 5, &[peer(label(1), 10, 7, Cause::IdleReuse)]);
    observe(&mut trend, 10 * 86_400, &[peer(label(1), 10, 7, Cause::IdleReuse)]);
    for resolution in Resolution::ALL {
        let kept = points(&trend, IDLE_REUSE, resolution);
        assert_eq!(kept.len(), resolution.points());
        assert_eq!(kept.into_iter().flatten().sum::<u32>(), 0);
    }
}

#[test]
fn a_clock_that_goes_back_and_counts_that_begin_again_make_no_spike() {
    let mut trend = Trend::default();
    observe(&mut trend, 10, &[peer(label(1), 100, 50, Cause::IdleReuse)]);
    observe(&mut trend, 5, &[peer(label(1), 900, 800, Cause::IdleReuse)]);
    observe(&mut trend, 20, &[]);
    observe(&mut trend, 30, &[peer(label(1), 3, 2, Cause::IdleReuse)]);
    let (_, series) = trend.peers().next().unwrap();
    assert_eq!(trend.sum(series, IDLE_REUSE, Resolution::Fine, 180), 52);
}

#[test]
fn what_is_retired_only_moves() {
    let mut trend = Trend::default();
    let counts = peer(label(1), 100, 50, Cause::IdleReuse);
    observe(&mut trend, 5, std::slice::from_ref(&counts));
    let retired = PeerLabel { scope: Scope::Retired, port: None, role: Role::Client };
    observe(&mut trend, 15, &[PeerSeries { label: retired, ..counts }]);
    assert_eq!(points(&trend, IDLE_REUSE, Resolution::Coarse), [Some(50)]);
    assert!(trend.peers().all(|(label, _)| label.scope != Scope::Retired));
}

#[test]
fn peers_without_resets_have_no_past_and_those_with_the_most_have_the_places() {
    let mut trend = Trend::default();
    let most = u32::try_from(MOST_PEERS).unwrap();
    observe(&mut trend, 5, &[peer(label(1), 1_000, 0, Cause::Other)]);
    assert_eq!(trend.peers().count(), 0);
    // As many as there are places, each with more resets than the one before; then one with few, and one with many.
    let mut series: Vec<_> =
        (1..=most).map(|number| peer(label(number), 2_000, u64::from(number) + 1, Cause::Other)).collect();
    observe(&mut trend, 10, &series);
    series.push(peer(label(1_001), 10, 2, Cause::Other));
    series.push(peer(label(1_002), 10, 10, Cause::Other));
    observe(&mut trend, 15, &series);
    let kept: Vec<PeerLabel> = trend.peers().map(|(label, _)| label).collect();
    assert_eq!(kept.len(), MOST_PEERS);
    assert!(!kept.contains(&label(1)) && !kept.contains(&label(1_001)), "those with the fewest");
    assert!(kept.contains(&label(2)) && kept.contains(&label(1_002)));
}

#[test]
fn memory_is_bounded_whatever_happens() {
    let mut trend = Trend::default();
    // More peers than places, each with every cause in both directions, again and again.
    for round in 1..50u64 {
        let one = |number| {
            let base = peer(label(number), 1_000 * round, 0, Cause::Other);
            let all = [round * u64::from(number); 20];
            let counts = PeerCounts {
                exchanges: 5_000 * round,
                reset: round,
                aborted: round,
                refused_received: round,
                ..base.counts
            };
            PeerSeries { causes: CauseCounts { sent: all, received: all }, counts, ..base }
        };
        let series: Vec<_> = (1..=100).map(one).collect();
        observe(&mut trend, 400 * round, &series);
        assert!(
            trend.columns() <= MOST_COLUMNS && trend.peers().count() <= MOST_PEERS,
            "{}",
            trend.columns()
        );
        assert!(trend.total().columns() <= 7 + 2 * 20);
    }
    assert!(trend.columns() > MOST_COLUMNS - 50, "the bound was reached");
    // What the documentation says: 2.7 MB for peers, 0.16 MB for all together.
    assert_eq!(POINTS * size_of::<u32>(), 3_312);
    assert!(POINTS * size_of::<u32>() * (MOST_COLUMNS + 47) < 2_900_000);
}

#[test]
fn a_peer_with_series_in_several_namespaces_is_one() {
    let mut trend = Trend::default();
    let within = |netns, resets| PeerSeries {
        netns: Some(netns),
        ..peer(label(1), 100 * resets, resets, Cause::Other)
    };
    observe(&mut trend, 5, &[within(1, 100), within(2, 10)]);
    observe(&mut trend, 10, &[within(1, 101), within(2, 12)]);
    let peers: Vec<_> = trend.peers().collect();
    let [(found, series)] = peers[..] else { panic!("{} peers", peers.len()) };
    assert_eq!(found, label(1));
    assert_eq!(trend.sum(series, Key::Reset, Resolution::Fine, 10), 113);
}
