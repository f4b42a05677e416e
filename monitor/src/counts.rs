//! The truth as user space holds it: plain numbers copied out of the kernel's maps at one moment.

use monitor_common::counters::{KINDS, Kind, PEER_COUNTERS, PeerCounter};

/// One peer's counters, or a sum of several peers'.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PeerCounts {
    /// Connections that became established.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Those that ended by a reset or whose late request met one.
    pub reset: u64,
    /// Those reset on purpose or without data.
    pub aborted: u64,
    /// Request/response turns, estimated.
    pub exchanges: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// Resets received.
    pub resets_received: u64,
    /// Refusals received.
    pub refused_received: u64,
    /// Sent resets whose story was lost or suppressed.
    pub untold_sent: u64,
    /// Received resets whose story was lost or suppressed.
    pub untold_received: u64,
}

impl PeerCounts {
    /// From the counters of a slot.
    pub fn from_counters(counters: &[u64; PEER_COUNTERS]) -> Self {
        let value = |counter: PeerCounter| counters[counter as usize];
        Self {
            opened: value(PeerCounter::Opened),
            closed: value(PeerCounter::Closed),
            reset: value(PeerCounter::Reset),
            aborted: value(PeerCounter::Aborted),
            exchanges: value(PeerCounter::Exchanges),
            resets_sent: value(PeerCounter::ResetsSent),
            resets_received: value(PeerCounter::ResetsReceived),
            refused_received: value(PeerCounter::RefusedReceived),
            untold_sent: value(PeerCounter::UntoldSent),
            untold_received: value(PeerCounter::UntoldReceived),
        }
    }

    /// Field by field.
    fn zip(self, other: Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            opened: combine(self.opened, other.opened),
            closed: combine(self.closed, other.closed),
            reset: combine(self.reset, other.reset),
            aborted: combine(self.aborted, other.aborted),
            exchanges: combine(self.exchanges, other.exchanges),
            resets_sent: combine(self.resets_sent, other.resets_sent),
            resets_received: combine(self.resets_received, other.resets_received),
            refused_received: combine(self.refused_received, other.refused_received),
            untold_sent: combine(self.untold_sent, other.untold_sent),
            untold_received: combine(self.untold_received, other.untold_received),
        }
    }

    /// Sum with another peer's.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        self.zip(other, u64::wrapping_add)
    }

    /// What was added since `earlier`, which must be an earlier reading of the same counters.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        self.zip(earlier, u64::saturating_sub)
    }

    /// A number that grows whenever any of the counts does.
    pub const fn activity(&self) -> u64 {
        self.opened
            .wrapping_add(self.closed)
            .wrapping_add(self.reset)
            .wrapping_add(self.aborted)
            .wrapping_add(self.resets_sent)
            .wrapping_add(self.resets_received)
            .wrapping_add(self.refused_received)
    }

    /// Connections open now, as far as we saw them open. Those from before our start are not among them.
    pub const fn open(&self) -> u64 {
        self.opened.saturating_sub(self.closed)
    }

    /// The connection reset ratio, `None` when nothing has closed yet.
    pub fn reset_ratio(&self) -> Option<f64> {
        #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
        (self.closed > 0).then(|| (self.reset as f64 / self.closed as f64).min(1.0))
    }
}

impl std::iter::Sum for PeerCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::plus)
    }
}

/// A local port's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortCounts {
    /// Resets sent that answered a SYN.
    pub refused_sent: u64,
    /// Resets sent for segments of no remembered connection.
    pub stray_sent: u64,
    /// Resets received for no remembered connection.
    pub stray_received: u64,
    /// Resets that netfilter sent for a REJECT rule.
    pub reject_sent: u64,
}

impl PortCounts {
    /// Whether nothing was ever counted.
    pub const fn is_zero(&self) -> bool {
        self.refused_sent == 0 && self.stray_sent == 0 && self.stray_received == 0 && self.reject_sent == 0
    }

    /// Sum with another port's.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            refused_sent: self.refused_sent.wrapping_add(other.refused_sent),
            stray_sent: self.stray_sent.wrapping_add(other.stray_sent),
            stray_received: self.stray_received.wrapping_add(other.stray_received),
            reject_sent: self.reject_sent.wrapping_add(other.reject_sent),
        }
    }

    /// What was added since an earlier reading of the same counters.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            refused_sent: self.refused_sent.saturating_sub(earlier.refused_sent),
            stray_sent: self.stray_sent.saturating_sub(earlier.stray_sent),
            stray_received: self.stray_received.saturating_sub(earlier.stray_received),
            reject_sent: self.reject_sent.saturating_sub(earlier.reject_sent),
        }
    }
}

impl std::iter::Sum for PortCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::plus)
    }
}

/// The account of one kind of story: `seen = submitted + lost + suppressed`, `submitted = decoded + undecodable`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoryCounts {
    /// Should have a story.
    pub seen: u64,
    /// Handed to the ring.
    pub submitted: u64,
    /// The ring was full.
    pub lost: u64,
    /// Held back by the rate limit.
    pub suppressed: u64,
    /// Decoded by us.
    pub decoded: u64,
}

/// Stories per kind, with what could not be decoded (its kind is then unknown).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stories {
    /// Indexed by [`Kind`] code.
    pub kinds: [StoryCounts; KINDS],
    /// Records that were not understood.
    pub undecodable: u64,
}

impl Stories {
    /// The account of one kind.
    pub const fn of(&self, kind: Kind) -> &StoryCounts {
        &self.kinds[kind as usize]
    }
}
