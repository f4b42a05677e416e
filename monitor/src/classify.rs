//! Event to cause: our verdict.
//!
//! For now only what one record says directly. What needs a second event, or the history of the peer, stays
//! `other` here, and says so less, never something false.

use monitor_common::counters::Kind;

use crate::event::Event;

/// Our verdict, a closed list. The value of the label `cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Cause {
    /// Nothing listens there.
    Refused = 0,
    /// Accept queue full with `tcp_abort_on_overflow`.
    ListenOverflow,
    /// The owner died with the connection open.
    ProcessExit,
    /// `ss -K` or another user of `SOCK_DESTROY`.
    AdminAbort,
    /// Keep-alive probes went unanswered.
    KeepaliveTimeout,
    /// Local `close()` with data unread.
    UnreadData,
    /// Closed with `SO_LINGER` 0.
    LingerAbort,
    /// None of these.
    Other,
    /// The story was lost or suppressed; only the count is known.
    Unclassified,
}

/// Number of [`Cause`]s.
pub const CAUSES: usize = 9;

impl Cause {
    /// Every cause, in the order of its number.
    pub const ALL: [Self; CAUSES] = [
        Self::Refused,
        Self::ListenOverflow,
        Self::ProcessExit,
        Self::AdminAbort,
        Self::KeepaliveTimeout,
        Self::UnreadData,
        Self::LingerAbort,
        Self::Other,
        Self::Unclassified,
    ];

    /// As labels and JSON spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ListenOverflow => "listen_overflow",
            Self::ProcessExit => "process_exit",
            Self::AdminAbort => "admin_abort",
            Self::KeepaliveTimeout => "keepalive_timeout",
            Self::UnreadData => "unread_data",
            Self::LingerAbort => "linger_abort",
            Self::Other => "other",
            Self::Unclassified => "unclassified",
        }
    }

    /// The cause with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }
}

/// TCP flag bits of the provoking segment.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
const LISTEN: u8 = 10;

/// The cause that one record says directly. Tried in the order of the list; the first that holds wins.
pub fn classify(event: &Event) -> Cause {
    match event.kind {
        Kind::RefusedSent | Kind::RefusedReceived => Cause::Refused,
        Kind::StraySent => {
            if is_listen_overflow(event) {
                Cause::ListenOverflow
            } else {
                Cause::Other
            }
        }
        Kind::ResetReceived | Kind::StrayReceived => Cause::Other,
        Kind::ResetSent => sent(event),
    }
}

/// `tcp_abort_on_overflow`: a listener answers the handshake's last ACK with a reset because its queue is full.
fn is_listen_overflow(event: &Event) -> bool {
    let on_listener = event.state.is_some_and(|state| state.0 == LISTEN);
    let acks = event.segment.as_ref().is_some_and(|segment| segment.flags & (SYN | ACK) == ACK);
    let full = event.backlog.is_some_and(|(waiting, limit)| waiting > limit);
    on_listener && acks && full
}

fn sent(event: &Event) -> Cause {
    if !event.active {
        // A late request needs the idle time to be told from late data.
        return Cause::Other;
    }
    let socket = event.socket.as_ref();
    let probing = socket.and_then(|socket| socket.probes).is_some_and(|probes| probes > 0);
    let says = |name| event.reason.as_ref().and_then(|reason| reason.name.as_deref()) == Some(name);
    if event.owner.as_ref().is_some_and(|owner| owner.exiting) {
        Cause::ProcessExit
    } else if event.destroyed {
        Cause::AdminAbort
    } else if says("KEEPALIVE_TIMEOUT") || (event.reason.is_none() && probing && !event.orphan) {
        Cause::KeepaliveTimeout
    } else if socket.and_then(|socket| socket.unread_bytes).is_some_and(|unread| unread > 0) {
        Cause::UnreadData
    } else if socket.and_then(|socket| socket.linger_zero) == Some(true) {
        Cause::LingerAbort
    } else {
        Cause::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Owner, Reason, Segment, SocketFacts, TcpState};

    fn socket() -> SocketFacts {
        SocketFacts {
            data_segments_in: 1,
            data_segments_out: 1,
            bytes_in: Some(1),
            bytes_out: Some(1),
            srtt_us: None,
            sent_age_jiffies: 0,
            received_age_jiffies: 0,
            ack_age_jiffies: Some(0),
            unread_bytes: Some(0),
            probes: Some(0),
            linger_zero: Some(false),
            shutdown: Some(3),
        }
    }

    fn active(socket: SocketFacts) -> Event {
        Event { active: true, socket: Some(socket), ..Event::of_kind(Kind::ResetSent) }
    }

    #[test]
    fn every_cause_has_a_name_of_its_own_that_leads_back_to_it() {
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number);
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
    }

    #[test]
    fn unread_data_wins_over_linger_as_it_does_in_the_kernel() {
        let both = SocketFacts { unread_bytes: Some(9), linger_zero: Some(true), ..socket() };
        assert_eq!(classify(&active(both)), Cause::UnreadData);
        assert_eq!(
            classify(&active(SocketFacts { linger_zero: Some(true), ..socket() })),
            Cause::LingerAbort
        );
        assert_eq!(classify(&active(socket())), Cause::Other);
    }

    #[test]
    fn a_dying_owner_wins_over_what_it_left_behind() {
        let owner = Owner { pid: 1, tid: 1, comm: "server".into(), exiting: true, exit_signal: Some(9) };
        let event = Event { owner: Some(owner), ..active(SocketFacts { unread_bytes: Some(9), ..socket() }) };
        assert_eq!(classify(&event), Cause::ProcessExit);
    }

    #[test]
    fn a_keepalive_death_is_told_by_the_kernel_or_by_its_probes() {
        let by_name = Reason { code: 15, name: Some("KEEPALIVE_TIMEOUT".into()) };
        assert_eq!(classify(&Event { reason: Some(by_name), ..active(socket()) }), Cause::KeepaliveTimeout);
        let by_probes = active(SocketFacts { probes: Some(9), ..socket() });
        assert_eq!(classify(&by_probes), Cause::KeepaliveTimeout);
        assert_eq!(classify(&Event { destroyed: true, ..by_probes }), Cause::AdminAbort);
    }

    #[test]
    fn a_listener_resets_for_overflow_only_when_its_queue_is_full() {
        let ack = Segment { flags: ACK, bytes: 0, ttl: 64, ifindex: 1 };
        let event = Event {
            state: Some(TcpState(LISTEN)),
            segment: Some(ack),
            backlog: Some((2, 1)),
            ..Event::of_kind(Kind::StraySent)
        };
        assert_eq!(classify(&event), Cause::ListenOverflow);
        assert_eq!(classify(&Event { backlog: Some((1, 1)), ..event.clone() }), Cause::Other);
        assert_eq!(classify(&Event { state: None, ..event }), Cause::Other);
    }

    #[test]
    fn an_answer_to_a_syn_is_a_refusal_both_ways() {
        assert_eq!(classify(&Event::of_kind(Kind::RefusedSent)), Cause::Refused);
        assert_eq!(classify(&Event::of_kind(Kind::RefusedReceived)), Cause::Refused);
    }
}
