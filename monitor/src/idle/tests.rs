//! The table of idle times, a case for each line and each trap.

use monitor_common::peer::Role;

use super::*;
use crate::event::Fin;

const MS: Duration = Duration::from_millis(1);
const S: Duration = Duration::from_secs(1);

fn socket(sent_age: Duration, received_age: Duration) -> SocketFacts {
    SocketFacts {
        data_segments_in: 3,
        data_segments_out: 4,
        bytes_in: Some(300),
        bytes_out: Some(300),
        srtt_us: Some(100),
        sent_age,
        received_age,
        ack_age: Some(received_age),
        unread_bytes: Some(0),
        unacked_bytes: Some(0),
        probes: Some(0),
        linger_zero: Some(false),
        shutdown: Some(0),
    }
}

/// Our request is on its way.
fn provoking(socket: SocketFacts) -> SocketFacts {
    SocketFacts { unacked_bytes: Some(80), ..socket }
}

fn received(state: TcpState, socket: SocketFacts, fin: impl Into<Option<Fin>>) -> Event {
    Event {
        role: Some(Role::Client),
        state: Some(state),
        socket: Some(socket),
        fin: fin.into(),
        ..Event::of_kind(Kind::ResetReceived)
    }
}

fn sent(socket: SocketFacts, fin: impl Into<Option<Fin>>) -> Event {
    Event { socket: Some(socket), fin: fin.into(), ..Event::of_kind(Kind::ResetSent) }
}

fn fin(by: Side, age: Duration, sent_age: Duration, received_age: Duration, last_bytes: u32) -> Fin {
    Fin { by, quiet: Some(Quiet { age, sent_age, received_age, last_bytes, answered: false }) }
}

const fn answered(quiet: Quiet) -> Quiet {
    Quiet { answered: true, ..quiet }
}

fn time(event: &Event) -> Duration {
    idle(event).unwrap().time
}

#[test]
fn a_request_after_the_peers_fin_was_preceded_by_the_quiet_that_the_fin_ended_or_outlasted() {
    // Last response 61 s ago, FIN after 60 s of quiet, our request a second later.
    let fin = fin(Side::Peer, S, 61 * S + MS, 61 * S, 0);
    let event = received(TcpState::CLOSE_WAIT, provoking(socket(Duration::ZERO, 61 * S)), fin);
    assert_eq!(time(&event), 61 * S);
    assert_eq!(idle(&event).unwrap().basis, Basis::BeforeOurData);
    let forgotten = Some(Fin { by: Side::Peer, quiet: None });
    assert_eq!(time(&Event { fin: forgotten, ..event }), 61 * S);
}

#[test]
fn a_probe_is_no_activity() {
    // Two hours without a word; then a keep-alive probe, which carries nothing, met a reset.
    let probed = SocketFacts { probes: Some(1), ..socket(7200 * S, 7201 * S) };
    let event = received(TcpState::ESTABLISHED, probed, None);
    assert!(is_provoked(&event) && is_drawn_by_probe(&event));
    assert_eq!((time(&event), idle(&event).unwrap().basis), (7200 * S, Basis::BeforeReset));
    // With data out, it was the data: a probe of a closed window, say.
    let with_data = received(TcpState::ESTABLISHED, provoking(probed), None);
    assert!(is_provoked(&with_data) && !is_drawn_by_probe(&with_data));
}

#[test]
fn an_upload_that_the_peer_cut_short_was_never_quiet() {
    // Five seconds of sending without any answer; the peer's FIN came 4 ms ago, and data went out before and after it.
    let upload = SocketFacts { data_segments_in: 0, data_segments_out: 900, ..socket(Duration::ZERO, 5 * S) };
    let cut = fin(Side::Peer, 4 * MS, 4 * MS, 5 * S, 0);
    assert_eq!(time(&received(TcpState::CLOSE_WAIT, provoking(upload), cut)), 4 * MS);
    let before = SocketFacts { sent_age: 8 * MS, ..upload };
    assert_eq!(time(&received(TcpState::CLOSE_WAIT, provoking(before), cut)), Duration::ZERO);
}

#[test]
fn a_request_that_crossed_the_peers_fin_was_preceded_by_the_quiet_before_itself() {
    let crossed = fin(Side::Peer, 4 * MS, 4 * MS, 60 * S, 0);
    let event = received(TcpState::CLOSE_WAIT, provoking(socket(4 * MS, 60 * S)), crossed);
    assert_eq!(time(&event), 59_996 * MS);
}

#[test]
fn without_a_fin_an_acknowledged_upload_is_busy_and_a_keep_alive_ack_only_a_lower_bound() {
    let stale = received(TcpState::ESTABLISHED, provoking(socket(4 * MS, 90 * S)), None);
    assert_eq!(idle(&stale), Some(Idle { time: 89_996 * MS, basis: Basis::BeforeOurData, at_least: false }));
    let uploading = SocketFacts { ack_age: Some(8 * MS), ..socket(4 * MS, 90 * S) };
    let uploading = received(TcpState::ESTABLISHED, provoking(uploading), None);
    assert_eq!(idle(&uploading), Some(Idle { time: 4 * MS, basis: Basis::BeforeOurData, at_least: true }));
}

#[test]
fn a_reset_that_nothing_of_ours_drew_ends_the_quiet_itself() {
    let unprovoked = received(TcpState::ESTABLISHED, socket(350 * S, 349 * S), None);
    assert_eq!(idle(&unprovoked), Some(plain(349 * S, Basis::BeforeReset)));
    // Sent a moment ago, but the peer had acknowledged it: it was not what drew the reset.
    let answered = received(TcpState::ESTABLISHED, socket(4 * MS, 350 * S), None);
    assert_eq!(time(&answered), 4 * MS);
}

#[test]
fn a_request_that_crossed_our_close_and_stayed_unread_was_preceded_by_quiet() {
    let crossed = SocketFacts { unread_bytes: Some(80), ..socket(60 * S, 4 * MS) };
    let event = Event { active: true, ..sent(crossed, None) };
    assert_eq!(idle(&event), Some(plain(59_996 * MS, Basis::BeforePeersData)));
    // Unread for long is no crossing.
    let stalled = SocketFacts { unread_bytes: Some(80), ..socket(60 * S, 2 * S) };
    assert_eq!(time(&Event { active: true, ..sent(stalled, None) }), 2 * S);
}

#[test]
fn data_for_an_orphan_does_not_count_the_ack_it_brought() {
    let orphan = SocketFacts { ack_age: Some(Duration::ZERO), ..socket(30 * S, 31 * S) };
    let event = Event { orphan: true, ..sent(orphan, fin(Side::Local, 29 * S, 30 * S, 31 * S, 500)) };
    assert_eq!(idle(&event), Some(plain(30 * S, Basis::BeforePeersData)));
}

#[test]
fn a_close_notify_before_our_fin_is_no_activity_and_a_response_before_it_is() {
    // Request and response 60 s before; close_notify of 24 bytes and FIN together; the late request 2 s later.
    let late = socket(2 * S, 62 * S);
    assert_eq!(time(&sent(late, fin(Side::Local, 2 * S, 2 * S, 62 * S, 24))), 62 * S);
    assert_eq!(time(&sent(late, fin(Side::Local, 2 * S, 2 * S, 62 * S, 1_400))), 2 * S);
}

#[test]
fn a_first_answer_before_our_fin_is_no_close_notify_however_fast_it_was_acknowledged() {
    let slow = SocketFacts { data_segments_in: 1, data_segments_out: 2, ..socket(2 * S, 62 * S) };
    let event = sent(slow, fin(Side::Local, 2 * S, 2 * S, 62 * S, 0));
    assert_eq!(time(&event), 2 * S);
    assert_eq!(was_closed_idle(&event), Some(false));
}

#[test]
fn what_was_said_after_a_half_close_is_no_quiet_of_it() {
    // Our FIN after a minute of quiet; then the peer's data, and a second later its late data.
    let fin_of = |side| fin(side, 3 * S, 63 * S, 63 * S, 0);
    let ours = Event {
        idle: Some(plain(S, Basis::BeforePeersData)),
        ..sent(socket(63 * S, S), fin_of(Side::Local))
    };
    assert_eq!((time(&ours), was_closed_idle(&ours)), (S, Some(true)));
    let busy = Event { idle: Some(plain(S / 2, Basis::BeforePeersData)), ..ours };
    assert_eq!(was_closed_idle(&busy), Some(false));
    // The peer's FIN; it took data of ours a second ago.
    let taken = SocketFacts { ack_age: Some(S), ..provoking(socket(Duration::ZERO, 63 * S)) };
    let answered = Fin { quiet: fin_of(Side::Peer).quiet.map(answered), ..fin_of(Side::Peer) };
    assert_eq!(time(&received(TcpState::CLOSE_WAIT, taken, answered)), S);
    // Or it sent its FIN again a second ago.
    assert_eq!(time(&received(TcpState::CLOSE_WAIT, taken, fin_of(Side::Peer))), 63 * S);
}

#[test]
fn an_idle_close_is_as_long_as_the_quiet_before_the_fin() {
    for (kind, side, sent_age, received_age) in [
        (Kind::IdleCloseSent, Side::Local, 5 * S, 6 * S),
        (Kind::IdleCloseReceived, Side::Peer, 6 * S, 5 * S),
        // With a close_notify of the closer's.
        (Kind::IdleCloseSent, Side::Local, 4 * MS, 5 * S),
        (Kind::IdleCloseReceived, Side::Peer, 5 * S, 4 * MS),
    ] {
        let event = Event {
            fin: Some(fin(side, Duration::ZERO, sent_age, received_age, 31)),
            socket: Some(socket(sent_age, received_age)),
            ..Event::of_kind(kind)
        };
        assert_eq!(
            idle(&event),
            Some(plain(5 * S, Basis::BeforeFin)),
            "{kind:?} {sent_age:?} {received_age:?}"
        );
    }
}

#[test]
fn what_is_not_known_has_no_idle_time() {
    for kind in Kind::ALL {
        assert_eq!(idle(&Event::of_kind(kind)), None, "{kind:?}");
    }
}

#[test]
fn our_own_fin_is_no_request() {
    let closing = SocketFacts { unacked_bytes: Some(1), ..socket(4 * MS, 9 * S) };
    assert!(!is_provoked(&received(TcpState::LAST_ACK, closing, None)));
    assert!(is_provoked(&received(TcpState::ESTABLISHED, closing, None)));
}
