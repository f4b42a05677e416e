//! What a window holds: of peers that come and go, after quiet, and of very many.

use super::*;

/// A peer's ratio in the window, as the alert has it.
fn share(run: &Run) -> Option<(u64, u64)> {
    match run.row(Alert::ResetRatioHigh)?.measure {
        Measure::Share { part, whole } => Some((part, whole)),
        Measure::Count(_) | Measure::Margin { .. } | Measure::Missing => None,
    }
}

#[test]
fn the_first_evaluation_has_everything_since_the_start() {
    let mut run = Run::new(host(PeerReading { reset: 4, exchanges: 1_000, ..peer(0) }));
    assert_eq!(share(run.ticks(1)), Some((4, 1_000)));
}

#[test]
fn a_window_holds_what_was_added_in_it() {
    let mut run = Run::new(host(peer(0)));
    run.ticks_while(minutes(60), |host| {
        host.peers[0].reset += 1;
        host.peers[0].exchanges += 100;
    });
    assert_eq!(share(&run), Some((40, 4_000)));
    // What is older than ten minutes has left it.
    run.ticks_while(minutes(10) - 1, |host| host.peers[0].exchanges += 100);
    let row = run.row(Alert::ResetRatioHigh).unwrap();
    assert_eq!((row.state(), share(&run)), (State::Firing, Some((5, 4_000))), "held, as it was last");
    run.ticks_while(minutes(6), |host| host.peers[0].exchanges += 100);
    assert_eq!(run.state(Alert::ResetRatioHigh), Some(State::Resolved));
}

#[test]
fn exchanges_of_a_peer_that_never_had_a_reset_are_known_at_its_first_ones() {
    let mut run = Run::new(host(peer(0)));
    // A million exchanges a day long, and no reset: no history is kept.
    run.ticks_while(minutes(120), |host| host.peers[0].exchanges += 50);
    assert_eq!(run.engine.peers.sizes(), (0, 0, 1));
    run.ticks_while(1, |host| {
        host.peers[0].exchanges += 50;
        host.peers[0].reset += 10;
    });
    // Ten minutes at 50 every 15 s: 2,000, not 24,050.
    assert_eq!(share(&run), Some((10, 2_000)));
    run.ticks_while(minutes(9), |host| host.peers[0].exchanges += 50);
    assert_eq!(share(&run), Some((10, 2_000)));
    run.ticks_while(minutes(2), |host| host.peers[0].exchanges += 50);
    assert_eq!(run.engine.peers.sizes().0, 0, "quiet for a window, its history is let go");
    run.ticks_while(1, |host| host.peers[0].reset += 3);
    let row = run.row(Alert::ResetRatioHigh).unwrap();
    assert_eq!(row.measure, Measure::Share { part: 3, whole: 1_950 }, "the first ten are long over");
}

#[test]
fn a_late_reset_counts_in_the_window_it_comes_in_and_no_share_is_above_one() {
    let mut run = Run::new(host(PeerReading { closed: 100, exchanges: 100, ..peer(0) }));
    run.ticks(minutes(20));
    // A hundred late requests met a reset each; their connections were closed long before.
    run.ticks_while(1, |host| host.peers[0].reset += 100);
    assert_eq!(
        run.state(Alert::ConnectionResetRatioHigh),
        None,
        "of no connection that closed in the window"
    );
    run.ticks_while(1, |host| host.peers[0].closed += 100);
    run.ticks_while(1, |host| host.peers[0].reset += 100);
    let row = run.row(Alert::ConnectionResetRatioHigh).unwrap();
    assert_eq!(row.measure, Measure::Share { part: 200, whole: 100 });
    assert!((row.measure.value() - 1.0).abs() < f64::EPSILON);
}

#[test]
fn a_peer_that_is_retired_is_no_alert_and_its_successor_begins_anew() {
    let bad = PeerReading { reset: 60, exchanges: 1_000, ..peer(0) };
    let mut run = Run::new(host(bad));
    run.ticks(minutes(9));
    assert_eq!(run.state(Alert::ResetRatioHigh), Some(State::Pending));
    run.engine.forget(0);
    run.ticks_while(1, |host| host.peers.clear());
    assert_eq!(run.state(Alert::ResetRatioHigh), None);
    // The same name again, in the same slot, with more than before and few of them in this window.
    run.ticks_while(1, |host| host.peers = vec![PeerReading { reset: 2, exchanges: 2_000, ..peer(0) }]);
    assert_eq!(run.state(Alert::ResetRatioHigh), None);
    run.ticks_while(1, |host| host.peers[0].reset += 1);
    assert_eq!(share(&run), Some((3, 2_000)));
}

#[test]
fn counts_that_go_back_are_a_new_peer_and_never_a_negative_increase() {
    let mut run = Run::new(host(PeerReading { reset: 60, exchanges: 100_000, closed: 900, ..peer(0) }));
    run.ticks(minutes(21));
    run.ticks_while(1, |host| host.peers[0] = PeerReading { reset: 1, exchanges: 10, closed: 1, ..peer(0) });
    assert_eq!(run.rows().iter().filter(|row| row.state() != State::Resolved).count(), 0);
    run.ticks_while(1, |host| host.peers[0] = PeerReading { reset: 4, exchanges: 200, closed: 4, ..peer(0) });
    assert_eq!(share(&run), Some((4, 200)));
}

#[test]
fn when_the_daemon_stood_still_nothing_is_said_of_a_window_it_did_not_see() {
    let mut run = Run::new(host(PeerReading { exchanges: 10_000, ..peer(0) }));
    run.ticks(minutes(5));
    run.now += Duration::from_hours(3);
    run.ticks_while(1, |host| host.peers[0].reset += 60);
    assert_eq!(run.rows(), [], "sixty in three hours are no burst");
    run.ticks_while(2, |host| host.peers[0].reset += 60);
    assert_eq!(run.state(Alert::ResetBurst), None, "nor is what is not a window long");
    run.ticks_while(minutes(1), |host| host.peers[0].reset += 60);
    assert_eq!(run.state(Alert::ResetBurst), Some(State::Firing));
}

#[test]
fn of_a_hundred_thousand_peers_those_with_the_most_resets_are_watched_in_bounded_memory() {
    let peers: Vec<PeerReading> = (0..100_000)
        .map(|slot| PeerReading { closed: 10_000, exchanges: 10_000, reset: 1, ..peer(slot) })
        .collect();
    let mut run = Run::new(Host { peers, ..Host::default() });
    run.ticks(3);
    let (histories, values, _) = run.engine.peers.sizes();
    assert_eq!((histories, values), (4_096, 4_096));
    assert_eq!(run.engine.peers.left_out(), 100_000 - 4_096);
    assert_eq!(run.rows(), [], "one reset is no alert");
    // The last of them is in trouble, and one with a single reset makes room.
    run.ticks_while(1, |host| host.peers[99_999].reset += 60);
    assert_eq!(run.row(Alert::ResetBurst).unwrap().measure, Measure::Count(61));
    assert_eq!(run.engine.peers.sizes().0, 4_096);
    // All of them are: alerts are bounded, too, and what has no place is counted.
    run.ticks_while(3, |host| host.peers.iter_mut().for_each(|peer| peer.reset += 60));
    assert!(run.engine.report(WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO)).not_kept > 0);
    // Some of them are for long: with every value that a window can hold.
    run.host.peers.truncate(4_500);
    run.ticks_while(minutes(12), |host| host.peers.iter_mut().for_each(|peer| peer.reset += 60));
    let (histories, values, marks) = run.engine.peers.sizes();
    assert_eq!((histories, marks), (4_096, 4_500));
    assert!(values <= 4_096 * 42, "{values}");
    let rows = run.rows().len();
    assert!(rows <= 500 * Alert::ALL.len() + 500, "{rows}");
    // And it ends.
    run.ticks(minutes(40));
    assert_eq!((run.rows(), run.engine.peers.sizes().0), (Vec::new(), 0));
}
