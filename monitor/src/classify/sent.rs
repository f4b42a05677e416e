//! Why we sent a reset.

use monitor_common::peer::{Ended, Side};

use super::{breaks_protocol, lost_the_race, says, was_idle};
use crate::cause::Cause;
use crate::event::{Event, Reason, TcpState};
use crate::idle::is_crossed;
use crate::verdict::{AppSaw, Confidence, Fact, Verdict};

pub(super) fn verdict(event: &Event) -> Verdict {
    if event.owner.as_ref().is_some_and(|owner| owner.exiting) {
        let evidence = &[Fact::OwnerExiting];
        return Verdict::of(Cause::ProcessExit, Confidence::Certain, evidence, Some(AppSaw::Nothing));
    }
    if event.active { active(event) } else { passive(event) }
}

/// Without a segment that asked for it.
fn active(event: &Event) -> Verdict {
    let nothing = Some(AppSaw::Nothing);
    let socket = event.socket.as_ref();
    let probing = socket.and_then(|socket| socket.probes).is_some_and(|probes| probes > 0);
    let unread = socket.and_then(|socket| socket.unread_bytes).is_some_and(|unread| unread > 0);
    if event.destroyed {
        let evidence = &[Fact::Destroyed, Fact::State];
        Verdict::of(Cause::AdminAbort, Confidence::Certain, evidence, Some(AppSaw::ConnectionAborted))
    } else if says(event, Reason::KEEPALIVE_TIMEOUT) {
        let evidence = &[Fact::Reason, Fact::Probes];
        Verdict::of(Cause::KeepaliveTimeout, Confidence::Certain, evidence, Some(AppSaw::TimedOut))
    } else if event.reason.is_none() && probing && !event.orphan {
        let evidence = &[Fact::Probes, Fact::State];
        Verdict::of(Cause::KeepaliveTimeout, Confidence::Likely, evidence, Some(AppSaw::TimedOut))
    } else if says(event, "TCP_ABORT_ON_MEMORY") {
        Verdict::of(Cause::MemoryPressure, Confidence::Certain, &[Fact::Reason], nothing)
    } else if event.reason.is_none() && event.orphan && event.state_before != Some(TcpState::FIN_WAIT2) {
        // The timer of an orphan in FIN_WAIT2 resets, too, and is no matter of memory.
        Verdict::of(Cause::MemoryPressure, Confidence::Possible, &[Fact::Orphan, Fact::StateBefore], nothing)
    } else if is_listener_closed(event) {
        let evidence = &[Fact::Fileless, Fact::Orphan, Fact::State];
        Verdict::of(Cause::ListenerClosed, Confidence::Certain, evidence, nothing)
    } else if is_crossed(event) && was_idle(event) == Some(true) {
        let evidence = &[Fact::UnreadBytes, Fact::ReceivedAgo, Fact::IdleSeconds];
        Verdict::of(Cause::IdleReuse, Confidence::Likely, evidence, nothing)
    } else if unread {
        Verdict::of(Cause::UnreadData, Confidence::Certain, &[Fact::UnreadBytes], nothing)
    } else if socket.and_then(|socket| socket.linger_zero) == Some(true) {
        Verdict::of(Cause::LingerAbort, Confidence::Certain, &[Fact::LingerZero], nothing)
    } else if says(event, Reason::ABORT_ON_CLOSE) {
        // MPTCP keeps what is unread above its subflows.
        Verdict::of(Cause::UnreadData, Confidence::Certain, &[Fact::Reason], nothing)
    } else {
        Verdict::of(Cause::Other, Confidence::Possible, &[Fact::State, Fact::Active], None)
    }
}

/// kernel: `inet_child_forget`: closed before anybody accepted it, so it never had a file, and is no orphan either.
fn is_listener_closed(event: &Event) -> bool {
    let open = event.socket.as_ref().and_then(|socket| socket.shutdown) == Some(0);
    event.state == Some(TcpState::CLOSE) && event.fileless && !event.orphan && open
}

/// In answer to a segment.
fn passive(event: &Event) -> Verdict {
    let nothing = Some(AppSaw::Nothing);
    if let Some(verdict) = aftermath(event) {
        return verdict;
    }
    let asked = event.segment.as_ref().is_some_and(|segment| segment.bytes > 0);
    let ours_was_first = event.fin.as_ref().is_some_and(|fin| fin.by == Side::Local);
    if asked && (ours_was_first || event.orphan || event.since_close.is_some()) {
        let noted = event.fin.as_ref().is_some_and(|fin| fin.quiet.is_some());
        let confidence = if noted { Confidence::Certain } else { Confidence::Likely };
        let evidence = &[Fact::FinBy, Fact::SegmentBytes, Fact::IdleSeconds];
        return match lost_the_race(event) {
            Some(true) => Verdict::of(Cause::IdleReuse, confidence, evidence, nothing),
            Some(false) => Verdict::of(Cause::LateData, confidence, evidence, nothing),
            None => Verdict::of(Cause::LateData, Confidence::Possible, evidence, nothing),
        };
    }
    // To a listener every late segment breaks the protocol.
    if breaks_protocol(event) && event.state != Some(TcpState::LISTEN) {
        let evidence = &[Fact::Reason, Fact::SegmentFlags];
        return Verdict::of(Cause::Protocol, Confidence::Certain, evidence, None);
    }
    // A late FIN or ACK: nobody's request.
    Verdict::of(Cause::Other, Confidence::Possible, &[Fact::State, Fact::SegmentFlags], nothing)
}

/// A segment that was under way when a reset of ours ended its connection: the reset's cause is this one's, too.
fn aftermath(event: &Event) -> Option<Verdict> {
    let cause = match event.ended? {
        Ended::Unread => Cause::UnreadData,
        Ended::Chosen => Cause::LingerAbort,
        Ended::Destroyed => Cause::AdminAbort,
        Ended::OurFin | Ended::Reset | Ended::PeerReset => return None,
    };
    Some(Verdict::of(cause, Confidence::Likely, &[Fact::Ended], Some(AppSaw::Nothing)))
}
