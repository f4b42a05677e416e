//! Verdicts of single records: a table of situations, and what must hold for every record.

use std::time::Duration;

use monitor_common::peer::{Ended, Role, Side};

mod properties;

use super::*;
use crate::event::{Fin, Owner, Quiet, Reason, Segment, SocketFacts};
use crate::idle::idle;

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

fn socket() -> SocketFacts {
    SocketFacts {
        data_segments_in: 1,
        data_segments_out: 1,
        bytes_in: Some(1),
        bytes_out: Some(1),
        srtt_us: None,
        sent_age: 40 * MS,
        received_age: 40 * MS,
        ack_age: Some(40 * MS),
        unread_bytes: Some(0),
        unacked_bytes: Some(0),
        probes: Some(0),
        linger_zero: Some(false),
        shutdown: Some(3),
    }
}

fn active(socket: SocketFacts) -> Event {
    Event {
        active: true,
        state: Some(TcpState::CLOSE),
        reason: Some(reason("TCP_STATE")),
        socket: Some(socket),
        ..Event::of_kind(Kind::ResetSent)
    }
}

fn reason(name: &str) -> Reason {
    Reason { code: 1, name: Some(name.into()) }
}

fn owner(exiting: bool) -> Owner {
    let exit_signal = exiting.then_some(9);
    Owner { pid: 1, tid: 1, comm: "server".into(), exiting, exit_signal, oom_killed: false }
}

/// A request that came `after` our FIN, which came after `quiet`.
fn late(after: Duration, quiet: Duration) -> Event {
    let socket = SocketFacts { sent_age: after + quiet, received_age: after + quiet + MS, ..socket() };
    let noted = Quiet {
        age: after,
        sent_age: after + quiet,
        received_age: after + quiet + MS,
        last_bytes: 0,
        answered: false,
    };
    Event {
        state: Some(TcpState(6)),
        segment: Some(Segment { flags: 0x18, bytes: 80, ttl: 64, ifindex: 1, sequence_distance: None }),
        socket: Some(socket),
        since_close: Some(after),
        ended: Some(Ended::OurFin),
        fin: Some(Fin { by: Side::Local, quiet: Some(noted) }),
        ..Event::of_kind(Kind::ResetSent)
    }
}

fn received(state: TcpState, socket: SocketFacts) -> Event {
    Event {
        role: Some(Role::Client),
        state: Some(state),
        socket: Some(socket),
        ..Event::of_kind(Kind::ResetReceived)
    }
}

fn verdict(event: Event) -> Verdict {
    let idle = idle(&event);
    classify(&Event { idle, ..event }).unwrap()
}

fn cause(event: Event) -> Cause {
    verdict(event).cause
}

#[test]
fn unread_data_wins_over_linger_as_it_does_in_the_kernel() {
    let both = SocketFacts { unread_bytes: Some(9), linger_zero: Some(true), received_age: S, ..socket() };
    assert_eq!(cause(active(both)), Cause::UnreadData);
    let linger = SocketFacts { linger_zero: Some(true), ..socket() };
    assert_eq!(cause(active(linger)), Cause::LingerAbort);
    assert_eq!(cause(active(socket())), Cause::Other);
}

#[test]
fn unread_data_that_crossed_an_idle_close_is_the_keep_alive_race() {
    let crossed = SocketFacts { unread_bytes: Some(9), sent_age: 60 * S, received_age: 4 * MS, ..socket() };
    assert_eq!(cause(active(crossed)), Cause::IdleReuse);
    assert_eq!(cause(active(SocketFacts { sent_age: 300 * MS, ..crossed })), Cause::UnreadData);
}

#[test]
fn an_upload_that_was_partly_read_when_we_closed_is_no_race() {
    // All its data is unread: one request. A part of it was read since the handshake: an upload of five seconds.
    let unread = SocketFacts {
        unread_bytes: Some(9),
        bytes_in: Some(9),
        sent_age: 5 * S,
        received_age: MS,
        ..socket()
    };
    let first = SocketFacts { data_segments_out: 0, data_segments_in: 1, ..unread };
    assert_eq!(cause(active(first)), Cause::IdleReuse);
    let upload = SocketFacts { bytes_in: Some(500), ..first };
    assert_eq!(cause(active(upload)), Cause::UnreadData);
    assert!(idle(&active(upload)).unwrap().time <= MS);
    let answered_once = SocketFacts { data_segments_out: 1, data_segments_in: 40, ..upload };
    assert_eq!(cause(active(answered_once)), Cause::UnreadData);
}

#[test]
fn a_dying_owner_wins_over_what_it_left_behind_also_for_the_request_that_came_late() {
    let unread = SocketFacts { unread_bytes: Some(9), ..socket() };
    assert_eq!(cause(Event { owner: Some(owner(true)), ..active(unread) }), Cause::ProcessExit);
    assert_eq!(cause(Event { owner: Some(owner(false)), ..active(unread) }), Cause::UnreadData);
    assert_eq!(cause(Event { owner: Some(owner(true)), ..late(S, 60 * S) }), Cause::ProcessExit);
}

#[test]
fn a_late_request_is_the_race_after_an_idle_close_and_late_data_after_a_busy_one() {
    assert_eq!(cause(late(S, 60 * S)), Cause::IdleReuse);
    assert_eq!(verdict(late(S, 60 * S)).confidence, Confidence::Certain);
    assert_eq!(cause(late(200 * MS, 4 * MS)), Cause::LateData);
    assert_eq!(cause(late(30 * S, 4 * MS)), Cause::LateData, "however late the request");
    let fin = Segment { flags: 0x11, bytes: 0, ttl: 64, ifindex: 1, sequence_distance: None };
    assert_eq!(cause(Event { segment: Some(fin), ..late(S, 60 * S) }), Cause::Other);
}

#[test]
fn segments_under_way_when_our_reset_went_out_share_its_cause() {
    for (ended, expected) in [
        (Ended::Unread, Cause::UnreadData),
        (Ended::Chosen, Cause::LingerAbort),
        (Ended::Destroyed, Cause::AdminAbort),
    ] {
        assert_eq!(cause(Event { ended: Some(ended), fin: None, ..late(MS, 60 * S) }), expected);
    }
}

#[test]
fn resets_of_the_kernels_own_accord_are_told_apart() {
    let orphan = || Event { orphan: true, fileless: true, ..active(socket()) };
    let with = |event, name| Event { reason: Some(reason(name)), ..event };
    assert_eq!(cause(with(orphan(), "TCP_ABORT_ON_MEMORY")), Cause::MemoryPressure);
    assert_eq!(cause(with(active(socket()), "TCP_KEEPALIVE_TIMEOUT")), Cause::KeepaliveTimeout);
    let unnamed = |event| Event { reason: None, ..event };
    let probing = SocketFacts { probes: Some(3), ..socket() };
    assert_eq!(cause(unnamed(active(probing))), Cause::KeepaliveTimeout);
    assert_eq!(cause(unnamed(orphan())), Cause::MemoryPressure);
    let timer = Event { state_before: Some(TcpState::FIN_WAIT2), ..unnamed(orphan()) };
    assert_eq!(cause(timer), Cause::Other);
    assert_eq!(cause(Event { destroyed: true, ..active(socket()) }), Cause::AdminAbort);
    let unaccepted = SocketFacts { shutdown: Some(0), ..socket() };
    assert_eq!(cause(Event { fileless: true, ..active(unaccepted) }), Cause::ListenerClosed);
}

#[test]
fn a_peer_that_closes_for_idleness_and_resets_in_one_go_ends_an_idle_flow() {
    let flow = |quiet: Duration, age: Duration| {
        let since = quiet + age;
        let socket = SocketFacts { sent_age: since, received_age: since, ack_age: Some(age), ..socket() };
        let noted = Quiet { age, sent_age: since, received_age: since, last_bytes: 0, answered: true };
        let fin = Some(Fin { by: Side::Peer, quiet: Some(noted) });
        verdict(Event { fin, ..received(TcpState::CLOSE_WAIT, socket) })
    };
    let ended = flow(60 * S, Duration::ZERO);
    assert_eq!((ended.cause, ended.confidence), (Cause::IdleAbort, Confidence::Likely));
    assert!(ended.evidence.has(Fact::FinAge));
    assert_eq!(flow(60 * S, 10 * S).cause, Cause::Other, "not in one go");
    assert_eq!(flow(100 * MS, Duration::ZERO).cause, Cause::Other, "not idle");
}

#[test]
fn a_peer_that_gives_up_because_we_do_not_read_ends_no_idle_flow() {
    let stalled = SocketFacts { sent_age: S, received_age: S, unread_bytes: Some(14_480), ..socket() };
    let gave_up = verdict(received(TcpState::ESTABLISHED, SocketFacts { sent_age: 60 * S, ..stalled }));
    assert_eq!((gave_up.cause, gave_up.confidence), (Cause::PeerAbort, Confidence::Possible));
    assert!(gave_up.evidence.has(Fact::UnreadBytes));
}

#[test]
fn received_resets_are_told_apart_by_state_quiet_and_what_drew_them() {
    let quiet = SocketFacts { sent_age: 60 * S, received_age: 60 * S, ack_age: Some(60 * S), ..socket() };
    let request = SocketFacts { sent_age: 4 * MS, unacked_bytes: Some(80), ..quiet };
    let peers_fin = |event| Event { fin: Some(Fin { by: Side::Peer, quiet: None }), ..event };
    let established = |socket| received(TcpState::ESTABLISHED, socket);
    assert_eq!(verdict(established(quiet)).app_saw, Some(AppSaw::ConnectionReset));
    assert_eq!(cause(established(quiet)), Cause::IdleAbort);
    assert_eq!(cause(established(request)), Cause::StaleIdle);
    assert_eq!(cause(established(socket())), Cause::PeerAbort);
    let raced = peers_fin(received(TcpState::CLOSE_WAIT, request));
    for state in [TcpState::CLOSE_WAIT, TcpState::LAST_ACK, TcpState::CLOSING] {
        assert_eq!(verdict(received(state, request)).app_saw, Some(AppSaw::EndOfFile), "{state:?}");
    }
    let race = verdict(raced);
    assert_eq!((race.cause, race.confidence), (Cause::IdleReuse, Confidence::Likely));
    let probed = SocketFacts { probes: Some(1), ..quiet };
    assert_eq!(cause(established(probed)), Cause::StaleIdle);
    let leaked = peers_fin(received(TcpState::CLOSE_WAIT, probed));
    assert_eq!(cause(leaked), Cause::Other, "nobody asked for anything, so nothing was lost");
    let ended = Event { ended: Some(Ended::OurFin), ..received(TcpState(6), quiet) };
    assert_eq!(verdict(ended).app_saw, Some(AppSaw::Nothing), "nobody has the socket any more");
    let busy = SocketFacts { sent_age: 4 * MS, unacked_bytes: Some(80), ..socket() };
    assert_eq!(cause(peers_fin(received(TcpState::CLOSE_WAIT, busy))), Cause::LateData);
    let unheard = SocketFacts { data_segments_in: 0, data_segments_out: 6, bytes_out: Some(0), ..request };
    assert_eq!(cause(established(unheard)), Cause::PeerOverflow);
}

#[test]
fn a_full_listener_is_named_only_when_it_is_full() {
    let segment = Segment { flags: 0x10, bytes: 0, ttl: 64, ifindex: 1, sequence_distance: None };
    let stray = |backlog| Event {
        state: Some(TcpState::LISTEN),
        segment: Some(segment),
        backlog: Some(backlog),
        ..Event::of_kind(Kind::StraySent)
    };
    assert_eq!(cause(stray((2, 1))), Cause::ListenOverflow);
    let because = |reason: Option<Reason>| verdict(Event { reason, ..stray((2, 1)) }).confidence;
    assert_eq!(because(Some(reason("INVALID_SYN"))), Confidence::Certain);
    assert_eq!(because(Some(reason("NOT_SPECIFIED"))), Confidence::Possible, "it met no handshake");
    assert_eq!(because(None), Confidence::Likely);
    assert_eq!(cause(stray((1, 1))), Cause::Other);
}

#[test]
fn a_wrong_answer_to_a_syn_is_named_without_the_kernels_reason_too() {
    let segment = Segment { flags: 0x12, bytes: 0, ttl: 64, ifindex: 1, sequence_distance: None };
    let answered =
        Event { state: Some(TcpState::SYN_SENT), segment: Some(segment), ..Event::of_kind(Kind::StraySent) };
    let likely = verdict(answered.clone());
    assert_eq!((likely.cause, likely.confidence), (Cause::Protocol, Confidence::Likely));
    let reason = Reason { code: 0, name: Some("NOT_SPECIFIED".into()) };
    let told_nothing = Event { reason: Some(reason), ..answered };
    assert_eq!(cause(told_nothing), Cause::Other, "a kernel with reasons gives one for a wrong ACK");
}

#[test]
fn only_received_resets_wait_for_their_other_end_and_idle_closes_have_no_cause() {
    for kind in Kind::ALL {
        let verdict = classify(&Event::of_kind(kind));
        assert_eq!(verdict.is_none(), kind.is_idle_close(), "{kind:?}");
        assert_eq!(verdict.is_some_and(|verdict| !verdict.settled), kind == Kind::ResetReceived, "{kind:?}");
    }
}

/// A received reset with this TTL on a connection whose handshake had that one.
fn from_afar(reset: u8, handshake: u8) -> Event {
    let segment = Segment { flags: 0x04, bytes: 0, ttl: reset, ifindex: 1, sequence_distance: Some(0) };
    Event {
        segment: Some(segment),
        baseline_ttl: Some(handshake),
        ..received(TcpState::ESTABLISHED, socket())
    }
}

#[test]
fn a_reset_from_another_distance_than_the_handshake_was_built_on_the_way() {
    let verdict_of = |reset, handshake| {
        let verdict = verdict(from_afar(reset, handshake));
        (verdict.cause, verdict.confidence)
    };
    for (reset, handshake) in [(63, 57), (40, 63), (255, 57), (62, 118), (128, 64 - 9)] {
        assert_eq!(
            verdict_of(reset, handshake),
            (Cause::Middlebox, Confidence::Likely),
            "{reset} {handshake}"
        );
    }
    for (reset, handshake) in [(57, 57), (55, 57), (59, 57), (64, 64)] {
        assert_eq!(
            verdict_of(reset, handshake),
            (Cause::PeerAbort, Confidence::Likely),
            "{reset} {handshake}"
        );
    }
    // As many routers away: a host that began with 255, by GTSM, and whose kernel resets with 64.
    assert_eq!(verdict_of(63, 254), (Cause::Middlebox, Confidence::Possible));
}

#[test]
fn a_peer_that_said_goodbye_first_is_no_middlebox_and_without_ttl_nobody_can_tell() {
    let fin = Fin { by: Side::Peer, quiet: None };
    let request = SocketFacts { sent_age: 4 * MS, unacked_bytes: Some(80), ..socket() };
    let late = Event {
        fin: Some(fin),
        state: Some(TcpState::CLOSE_WAIT),
        socket: Some(request),
        ..from_afar(40, 64)
    };
    assert_eq!(cause(late), Cause::LateData);
    for unseen in
        [Event { segment: None, ..from_afar(40, 64) }, Event { baseline_ttl: None, ..from_afar(40, 64) }]
    {
        let verdict = verdict(unseen);
        assert_eq!((verdict.cause, verdict.confidence), (Cause::PeerAbort, Confidence::Possible));
    }
}

#[test]
fn a_peer_that_closes_after_just_so_long_lost_a_request_to_its_timer_and_not_on_the_way() {
    use crate::event::IdleCloses;
    let quiet = SocketFacts { sent_age: 60 * S, received_age: 60 * S, ack_age: Some(60 * S), ..socket() };
    let request = SocketFacts { sent_age: 4 * MS, unacked_bytes: Some(80), ..quiet };
    let mut event = received(TcpState::ESTABLISHED, request);
    event.idle = idle(&event);
    let known = IdleCloses { count: 3, least: 60 * S, most: 60 * S };
    let verdict = reconsider(&mut event, Hints { own_ttl: None, idle_closes: Some(known) });
    assert_eq!((verdict.cause, verdict.confidence), (Cause::IdleReuse, Confidence::Likely));
    assert!(verdict.evidence.has(Fact::PeersIdleCloses) && event.peers_idle_closes == Some(known));
    let mut unprovoked = received(TcpState::ESTABLISHED, quiet);
    unprovoked.idle = idle(&unprovoked);
    let verdict = reconsider(&mut unprovoked, Hints { own_ttl: None, idle_closes: Some(known) });
    assert_eq!(verdict.cause, Cause::IdleAbort, "nothing of ours was lost");
    assert_eq!(unprovoked.peers_idle_closes, None);
}

#[test]
fn a_peer_whose_own_resets_have_that_ttl_is_believed() {
    let mut event = from_afar(40, 64);
    event.idle = idle(&event);
    let of = |event: &mut Event, own_ttl| reconsider(event, Hints { own_ttl, idle_closes: None }).cause;
    assert_eq!(of(&mut event, Some(41)), Cause::PeerAbort);
    assert_eq!(of(&mut event, Some(64)), Cause::Middlebox);
    assert_eq!(of(&mut event, None), Cause::Middlebox);
}
