//! Event to verdict, as far as one record decides it. Pure.
//!
//! The rules are tried in the order of the list of causes; the first that holds wins. What would need the other end or the
//! history of the peer is said less surely here, and never falsely.

mod evidence;
mod received;
mod sent;

use monitor_common::counters::Kind;

use crate::cause::Cause;
use crate::event::{Event, TcpState};
use crate::idle::{IDLE, was_closed_idle};
use crate::past::Hints;
use crate::verdict::{AppSaw, Confidence, Fact, Verdict};

/// TCP flag bits of the provoking segment.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;

/// The kernel's reasons that say that a segment broke the protocol.
const PROTOCOL_REASONS: [&str; 7] = [
    "TCP_INVALID_ACK_SEQUENCE",
    "TCP_RFC7323_PAWS",
    "TCP_TOO_OLD_ACK",
    "TCP_ACK_UNSENT_DATA",
    "TCP_FLAGS",
    "TCP_OLD_ACK",
    "INVALID_SYN",
];

/// The verdict on an event; `None` for idle closes, which are no resets. Provisional where the other end may know better.
pub fn classify(event: &Event) -> Option<Verdict> {
    let verdict = by_kind(event)?;
    Some(Verdict { evidence: evidence::known_in(event, verdict.evidence), ..verdict })
}

/// The final verdict on a received reset of which no sender is known, with what the peer has done before.
pub fn reconsider(event: &mut Event, hints: Hints) -> Verdict {
    let Hints { own_ttl, idle_closes } = hints;
    let verdict = received::verdict(event, own_ttl);
    let verdict = match idle_closes {
        Some(_) if verdict.cause == Cause::StaleIdle => {
            event.peers_idle_closes = idle_closes;
            let evidence = verdict.evidence.with(Fact::PeersIdleCloses);
            Verdict { cause: Cause::IdleReuse, confidence: Confidence::Likely, evidence, ..verdict }
        }
        Some(_) | None => verdict,
    };
    Verdict { evidence: evidence::known_in(event, verdict.evidence), ..verdict }
}

fn by_kind(event: &Event) -> Option<Verdict> {
    let refused = |evidence: &[Fact], app_saw| {
        Some(Verdict::of(Cause::Refused, Confidence::Certain, evidence, Some(app_saw)))
    };
    match event.kind {
        Kind::IdleCloseSent | Kind::IdleCloseReceived => None,
        Kind::RefusedSent => refused(&[Fact::State, Fact::SegmentFlags], AppSaw::Nothing),
        Kind::RefusedReceived => refused(&[Fact::State], AppSaw::ConnectionRefused),
        Kind::StraySent => Some(stray(event)),
        Kind::StrayReceived => {
            Some(Verdict::of(Cause::Other, Confidence::Possible, &[Fact::State], Some(AppSaw::Nothing)))
        }
        Kind::RejectSent => Some(Verdict::of(
            Cause::NetfilterReject,
            Confidence::Certain,
            &[Fact::Kind, Fact::SegmentFlags],
            Some(AppSaw::Nothing),
        )),
        Kind::ListenOverflow => Some(Verdict::of(
            Cause::ListenOverflow,
            Confidence::Certain,
            &[Fact::Kind, Fact::Backlog, Fact::Stage],
            Some(AppSaw::Nothing),
        )),
        Kind::ResetReceived => Some(received::verdict(event, None).provisional()),
        Kind::ResetSent => Some(sent::verdict(event)),
    }
}

/// A reset for a segment of no connection we remember.
fn stray(event: &Event) -> Verdict {
    let nothing = Some(AppSaw::Nothing);
    if is_listen_overflow(event) {
        // kernel: `tcp_check_req` names its resets so. Another reason, and without reasons perhaps, is that of a segment for no
        // handshake at all, which only came while the queue was full.
        let confidence = match event.reason.as_ref().map(|reason| reason.name.as_deref()) {
            Some(Some("INVALID_SYN")) => Confidence::Certain,
            Some(_) => Confidence::Possible,
            None => Confidence::Likely,
        };
        let evidence = &[Fact::State, Fact::SegmentFlags, Fact::Backlog, Fact::Reason];
        Verdict::of(Cause::ListenOverflow, confidence, evidence, nothing)
    } else if event.state == Some(TcpState::SYN_SENT) && breaks_protocol(event) {
        Verdict::of(Cause::Protocol, Confidence::Certain, &[Fact::State, Fact::Reason], nothing)
    } else if event.state == Some(TcpState::SYN_SENT) && event.reason.is_none() && acks(event) {
        // kernel: `tcp_rcv_synsent_state_process` answers none but a wrong ACK, or a wrong echo of our timestamp, by a reset.
        Verdict::of(Cause::Protocol, Confidence::Likely, &[Fact::State, Fact::SegmentFlags], nothing)
    } else {
        Verdict::of(Cause::Other, Confidence::Possible, &[Fact::State], nothing)
    }
}

/// `tcp_abort_on_overflow`: a listener answers the handshake's last ACK with a reset because its queue is full.
fn is_listen_overflow(event: &Event) -> bool {
    let opens = event.segment.as_ref().is_some_and(|segment| segment.flags & SYN != 0);
    let full = event.backlog.is_some_and(|(waiting, limit)| waiting > limit);
    event.state == Some(TcpState::LISTEN) && acks(event) && !opens && full
}

fn acks(event: &Event) -> bool {
    event.segment.as_ref().is_some_and(|segment| segment.flags & ACK != 0)
}

fn says(event: &Event, name: &str) -> bool {
    event.reason.as_ref().and_then(|reason| reason.name.as_deref()) == Some(name)
}

fn breaks_protocol(event: &Event) -> bool {
    let reason = event.reason.as_ref().and_then(|reason| reason.name.as_deref());
    reason.is_some_and(|name| PROTOCOL_REASONS.contains(&name))
}

/// Whether the connection had been quiet for as long as keep-alive timers run; `None` when it is not known.
fn was_idle(event: &Event) -> Option<bool> {
    event.idle.map(|idle| idle.time >= IDLE)
}

/// Whether a request that came after a FIN lost the race with a keep-alive timer. Without knowledge of the FIN, the quiet
/// before the request decides.
fn lost_the_race(event: &Event) -> Option<bool> {
    was_closed_idle(event).or_else(|| was_idle(event))
}

#[cfg(test)]
mod tests;
