//! Causes: the closed list of verdicts on a reset.

/// Our verdict, a closed list. The value of the label `cause`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum Cause {
    /// Nothing listens there.
    Refused = 0,
    /// Accept queue full: the segment was dropped, or answered by a reset with `tcp_abort_on_overflow`.
    ListenOverflow,
    /// A local REJECT rule of netfilter.
    NetfilterReject,
    /// The owner was killed or died with connections open.
    ProcessExit,
    /// `ss -K` or another user of `SOCK_DESTROY`.
    AdminAbort,
    /// Keep-alive probes went unanswered.
    KeepaliveTimeout,
    /// Limits on orphans or on memory.
    MemoryPressure,
    /// A listener was closed with connections that nobody had accepted.
    ListenerClosed,
    /// Keep-alive race: a request met a connection that the other side closed for idleness.
    IdleReuse,
    /// Local `close()` with data unread.
    UnreadData,
    /// Closed with `SO_LINGER` 0.
    LingerAbort,
    /// The other side kept sending after a close that was not for idleness.
    LateData,
    /// A device on the way probably built the reset, in the peer's name.
    Middlebox,
    /// A reset after long quiet that we did not provoke.
    IdleAbort,
    /// The first use after long quiet met a reset, and no FIN was ever seen.
    StaleIdle,
    /// The peer's accept queue was probably full.
    PeerOverflow,
    /// Bad ACK, bad flags, PAWS.
    Protocol,
    /// The peer aborted in the middle of a transfer.
    PeerAbort,
    /// None of these.
    Other,
    /// The story was lost or suppressed; only the count is known.
    Unclassified,
}

/// Number of [`Cause`]s.
pub const CAUSES: usize = 20;

impl Cause {
    /// Every cause, in the order of its number.
    pub const ALL: [Self; CAUSES] = [
        Self::Refused,
        Self::ListenOverflow,
        Self::NetfilterReject,
        Self::ProcessExit,
        Self::AdminAbort,
        Self::KeepaliveTimeout,
        Self::MemoryPressure,
        Self::ListenerClosed,
        Self::IdleReuse,
        Self::UnreadData,
        Self::LingerAbort,
        Self::LateData,
        Self::Middlebox,
        Self::IdleAbort,
        Self::StaleIdle,
        Self::PeerOverflow,
        Self::Protocol,
        Self::PeerAbort,
        Self::Other,
        Self::Unclassified,
    ];

    /// As labels and JSON spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::ListenOverflow => "listen_overflow",
            Self::NetfilterReject => "netfilter_reject",
            Self::ProcessExit => "process_exit",
            Self::AdminAbort => "admin_abort",
            Self::KeepaliveTimeout => "keepalive_timeout",
            Self::MemoryPressure => "memory_pressure",
            Self::ListenerClosed => "listener_closed",
            Self::IdleReuse => "idle_reuse",
            Self::UnreadData => "unread_data",
            Self::LingerAbort => "linger_abort",
            Self::LateData => "late_data",
            Self::Middlebox => "middlebox",
            Self::IdleAbort => "idle_abort",
            Self::StaleIdle => "stale_idle",
            Self::PeerOverflow => "peer_overflow",
            Self::Protocol => "protocol",
            Self::PeerAbort => "peer_abort",
            Self::Other => "other",
            Self::Unclassified => "unclassified",
        }
    }

    /// The cause with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.name() == name)
    }

    /// Whether it says anything about why.
    pub const fn is_specific(self) -> bool {
        !matches!(self, Self::Other | Self::Unclassified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_name_of_its_own_that_leads_back_to_it() {
        for (number, cause) in Cause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, number);
            assert_eq!(Cause::from_name(cause.name()), Some(cause));
        }
    }
}
