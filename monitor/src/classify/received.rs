//! Why we received a reset: from this end alone, so never for certain.

use std::time::Duration;

use monitor_common::peer::{Role, Side};

use super::{lost_the_race, was_idle};
use crate::cause::Cause;
use crate::event::{Event, TcpState};
use crate::idle::{is_drawn_by_probe, is_provoked, was_closed_idle};
use crate::verdict::{AppSaw, Confidence, Fact, Verdict};

/// A peer with a full accept queue forgets the handshake and answers data with a reset when it has given up on its
/// SYN-ACK: after 63 s with the usual five repetitions, after 15 s with three.
const GIVES_UP: Duration = Duration::from_secs(15);

/// A FIN and a reset this close were one decision. The next that resets after a FIN is the timer of an orphan, a minute later.
const IN_ONE_GO: Duration = Duration::from_secs(1);

/// TTLs of one path differ by at most so much: paths change, and some routers do not count.
const SAME_PATH: u8 = 2;
/// What hosts begin with: Linux, macOS and the BSDs; Windows; routers and Solaris.
const INITIAL_TTLS: [u8; 3] = [64, 128, 255];

/// `own_ttl` is that of the peer's own resets, where one was seen.
pub(super) fn verdict(event: &Event, own_ttl: Option<u8>) -> Verdict {
    let app_saw = app_saw(event);
    let provoked = is_provoked(event);
    let idle = was_idle(event);
    let established = event.state == Some(TcpState::ESTABLISHED);
    let peers_fin = event.fin.as_ref().filter(|fin| fin.by == Side::Peer);
    // A probe after the peer's FIN asks for nothing, so nothing was lost.
    if peers_fin.is_some() && provoked && !is_drawn_by_probe(event) {
        // A process that dies with a quiet connection sends the same FIN as a timer that ran out.
        let evidence = &[Fact::FinBy, Fact::SentAgo, Fact::UnackedBytes, Fact::IdleSeconds];
        let cause = if lost_the_race(event) == Some(true) { Cause::IdleReuse } else { Cause::LateData };
        return Verdict::of(cause, Confidence::Likely, evidence, app_saw);
    }
    if let Some(verdict) = middlebox(event, own_ttl, peers_fin.is_some(), app_saw) {
        return verdict;
    }
    if event.state == Some(TcpState::CLOSE_WAIT) && ended_idle_flow(event) {
        let evidence = &[Fact::FinBy, Fact::FinAge, Fact::IdleSeconds, Fact::UnackedBytes];
        return Verdict::of(Cause::IdleAbort, Confidence::Likely, evidence, app_saw);
    }
    let at_least = event.idle.is_some_and(|idle| idle.at_least);
    match (established, provoked, idle) {
        // Not idle but held up by us: the peer waited for our application to read, and gave up.
        (true, false, Some(true)) if has_unread(event) => {
            let evidence = &[Fact::State, Fact::UnreadBytes, Fact::IdleSeconds];
            Verdict::of(Cause::PeerAbort, Confidence::Possible, evidence, app_saw)
        }
        (true, false, Some(true)) => {
            let evidence = &[Fact::State, Fact::IdleSeconds, Fact::UnackedBytes];
            Verdict::of(Cause::IdleAbort, Confidence::Likely, evidence, app_saw)
        }
        (true, true, Some(true)) if is_peer_overflow(event) => {
            let evidence = &[Fact::DataSegmentsIn, Fact::BytesOut, Fact::ReceivedAgo];
            Verdict::of(Cause::PeerOverflow, Confidence::Possible, evidence, app_saw)
        }
        (true, true, Some(true)) => {
            let evidence: &[Fact] = if is_drawn_by_probe(event) {
                &[Fact::State, Fact::Probes, Fact::IdleSeconds]
            } else {
                &[Fact::State, Fact::SentAgo, Fact::UnackedBytes, Fact::IdleSeconds]
            };
            let confidence = if at_least { Confidence::Possible } else { Confidence::Likely };
            Verdict::of(Cause::StaleIdle, confidence, evidence, app_saw)
        }
        (true, _, Some(false)) => {
            let verdict = |confidence, facts: &[Fact]| {
                Verdict::of(
                    Cause::PeerAbort,
                    confidence,
                    &[&[Fact::State, Fact::IdleSeconds], facts].concat(),
                    app_saw,
                )
            };
            // Without its TTL, a reset that was built on the way looks the same.
            match ttls(event) {
                Some(_) => verdict(Confidence::Likely, &[Fact::SegmentTtl, Fact::BaselineTtl]),
                None => verdict(Confidence::Possible, &[]),
            }
        }
        (true, _, None) | (false, ..) => {
            Verdict::of(Cause::Other, Confidence::Possible, &[Fact::State], app_saw)
        }
    }
}

/// The peer closed for idleness and reset in one go, unprovoked: `HAProxy` with `option nolinger` ends idle flows so.
fn ended_idle_flow(event: &Event) -> bool {
    let quiet = event.fin.as_ref().filter(|fin| fin.by == Side::Peer).and_then(|fin| fin.quiet);
    quiet.is_some_and(|quiet| quiet.age < IN_ONE_GO) && was_closed_idle(event) == Some(true)
}

fn has_unread(event: &Event) -> bool {
    event.socket.as_ref().and_then(|socket| socket.unread_bytes).is_some_and(|unread| unread > 0)
}

/// The reset comes from another distance than the handshake came from: somebody on the way built it. Never certain: a SYN proxy that
/// shook hands in the peer's place looks the same.
fn middlebox(
    event: &Event,
    own_ttl: Option<u8>,
    has_peers_fin: bool,
    app_saw: Option<AppSaw>,
) -> Option<Verdict> {
    let (reset, handshake) = ttls(event)?;
    let is_like = |ttl: u8| reset.abs_diff(ttl) <= SAME_PATH;
    if has_peers_fin || is_like(handshake) || own_ttl.is_some_and(is_like) {
        return None;
    }
    // One host may send with two initial TTLs: its kernel resets with the default, whatever the application had set (RFC 5082).
    let as_far = hops(reset).abs_diff(hops(handshake)) <= SAME_PATH;
    let confidence = if as_far { Confidence::Possible } else { Confidence::Likely };
    let evidence = &[Fact::SegmentTtl, Fact::BaselineTtl, Fact::SegmentFlags, Fact::SequenceDistance];
    Some(Verdict::of(Cause::Middlebox, confidence, evidence, app_saw))
}

/// TTLs of the reset and of the peer's handshake, where both were seen.
fn ttls(event: &Event) -> Option<(u8, u8)> {
    Some((event.segment.as_ref()?.ttl, event.baseline_ttl?))
}

/// Routers passed, if the sender began with the next of the usual initial TTLs.
fn hops(ttl: u8) -> u8 {
    INITIAL_TTLS.into_iter().find(|initial| *initial >= ttl).map_or(0, |initial| initial - ttl)
}

/// The handshake was done for us and never for the peer: not one byte of ours was acknowledged, not even repeated.
fn is_peer_overflow(event: &Event) -> bool {
    event.role == Some(Role::Client)
        && event.socket.as_ref().is_some_and(|socket| {
            socket.data_segments_in == 0
                && socket.data_segments_out > 1
                && socket.bytes_out == Some(0)
                && socket.received_age >= GIVES_UP
        })
}

/// kernel: `tcp_reset()` sets the error by the state, and `tcp_recvmsg()` looks for the peer's FIN before it looks for an error.
fn app_saw(event: &Event) -> Option<AppSaw> {
    // A connection that had ended before has no socket to see it with.
    if event.orphan || event.fileless || event.ended.is_some() {
        return Some(AppSaw::Nothing);
    }
    let state = event.state?;
    let has_ended = [TcpState::CLOSE_WAIT, TcpState::LAST_ACK, TcpState::CLOSING].contains(&state);
    Some(if has_ended { AppSaw::EndOfFile } else { AppSaw::ConnectionReset })
}
