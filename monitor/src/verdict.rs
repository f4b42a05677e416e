//! A verdict: the cause of a reset, how sure we are, what led to it, and what the application saw.

use crate::cause::Cause;

/// Why a reset happened, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// Which fields of the event led to it.
    pub evidence: Evidence,
    /// What the application on this host saw of it; `None` when that depends on what is not known.
    pub app_saw: Option<AppSaw>,
    /// The event of the other end, when that is on this host, too: its cause is the stronger evidence.
    pub other_end: Option<u64>,
    /// It will not change any more, and is counted. Until then it is provisional.
    pub settled: bool,
}

/// How sure a verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Fits, as other causes may.
    Possible,
    /// Fits better than any other.
    Likely,
    /// The kernel's own facts leave nothing else.
    Certain,
}

impl Confidence {
    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

/// What the application on this host got to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppSaw {
    /// `connect()` failed.
    ConnectionRefused,
    /// Reading and writing fail.
    ConnectionReset,
    /// Reading gives the end of the stream, as after a regular close; writing fails with EPIPE.
    EndOfFile,
    /// Reading and writing fail.
    TimedOut,
    /// Reading and writing fail.
    ConnectionAborted,
    /// It had closed the connection, or never had it.
    Nothing,
}

impl AppSaw {
    /// As JSON spells it: the error's usual name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionRefused => "ECONNREFUSED",
            Self::ConnectionReset => "ECONNRESET",
            Self::EndOfFile => "EOF",
            Self::TimedOut => "ETIMEDOUT",
            Self::ConnectionAborted => "ECONNABORTED",
            Self::Nothing => "nothing",
        }
    }
}

/// A set of [`Fact`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence(u32);

impl Evidence {
    /// Of these.
    pub fn of(facts: &[Fact]) -> Self {
        facts.iter().fold(Self::default(), |set, fact| set.with(*fact))
    }

    /// And this one.
    #[must_use]
    pub const fn with(self, fact: Fact) -> Self {
        Self(self.0 | 1 << fact as u32)
    }

    /// Whether it is among them.
    pub const fn has(self, fact: Fact) -> bool {
        self.0 & 1 << fact as u32 != 0
    }

    /// Those in it, in their order.
    pub fn facts(self) -> impl Iterator<Item = Fact> {
        Fact::ALL.into_iter().filter(move |fact| self.has(*fact))
    }
}

/// A field of the event that a verdict can rest on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[expect(missing_docs, reason = "each is the field of the same name")]
pub enum Fact {
    State = 0,
    StateBefore,
    Reason,
    Active,
    Orphan,
    Fileless,
    Destroyed,
    FinBy,
    FinAge,
    IdleSeconds,
    SentAgo,
    ReceivedAgo,
    UnackedBytes,
    UnreadBytes,
    LingerZero,
    Probes,
    DataSegmentsIn,
    BytesOut,
    SegmentFlags,
    SegmentBytes,
    Backlog,
    Ended,
    OwnerExiting,
    OtherEnd,
    Kind,
    Stage,
    SegmentTtl,
    BaselineTtl,
    SequenceDistance,
    PeersIdleCloses,
}

impl Fact {
    /// Every one.
    pub const ALL: [Self; 30] = [
        Self::State,
        Self::StateBefore,
        Self::Reason,
        Self::Active,
        Self::Orphan,
        Self::Fileless,
        Self::Destroyed,
        Self::FinBy,
        Self::FinAge,
        Self::IdleSeconds,
        Self::SentAgo,
        Self::ReceivedAgo,
        Self::UnackedBytes,
        Self::UnreadBytes,
        Self::LingerZero,
        Self::Probes,
        Self::DataSegmentsIn,
        Self::BytesOut,
        Self::SegmentFlags,
        Self::SegmentBytes,
        Self::Backlog,
        Self::Ended,
        Self::OwnerExiting,
        Self::OtherEnd,
        Self::Kind,
        Self::Stage,
        Self::SegmentTtl,
        Self::BaselineTtl,
        Self::SequenceDistance,
        Self::PeersIdleCloses,
    ];

    /// Where it stands in the JSON of the event.
    pub const fn path(self) -> &'static str {
        match self {
            Self::State => "state",
            Self::StateBefore => "state_before",
            Self::Reason => "reason.name",
            Self::Active => "active",
            Self::Orphan => "orphan",
            Self::Fileless => "fileless",
            Self::Destroyed => "destroyed",
            Self::FinBy => "fin.by",
            Self::FinAge => "fin.seconds_ago",
            Self::IdleSeconds => "idle.seconds",
            Self::SentAgo => "socket.sent_seconds_ago",
            Self::ReceivedAgo => "socket.received_seconds_ago",
            Self::UnackedBytes => "socket.unacked_bytes",
            Self::UnreadBytes => "socket.unread_bytes",
            Self::LingerZero => "socket.linger_zero",
            Self::Probes => "socket.probes",
            Self::DataSegmentsIn => "socket.data_segments_in",
            Self::BytesOut => "socket.bytes_out",
            Self::SegmentFlags => "segment.flags",
            Self::SegmentBytes => "segment.bytes",
            Self::Backlog => "backlog",
            Self::Ended => "ended_by",
            Self::OwnerExiting => "owner.exiting",
            Self::OtherEnd => "other_end",
            Self::Kind => "kind",
            Self::Stage => "stage",
            Self::SegmentTtl => "segment.ttl",
            Self::BaselineTtl => "baseline_ttl",
            Self::SequenceDistance => "segment.sequence_distance",
            Self::PeersIdleCloses => "peers_idle_closes",
        }
    }
}

impl Verdict {
    /// A verdict that nothing else will change.
    pub fn of(cause: Cause, confidence: Confidence, evidence: &[Fact], app_saw: Option<AppSaw>) -> Self {
        let evidence = Evidence::of(evidence);
        Self { cause, confidence, evidence, app_saw, other_end: None, settled: true }
    }

    /// The same until more is known.
    #[must_use]
    pub const fn provisional(self) -> Self {
        Self { settled: false, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_holds_what_was_put_in_and_every_fact_has_a_place_of_its_own() {
        for (number, fact) in Fact::ALL.into_iter().enumerate() {
            assert_eq!(fact as usize, number);
            let alone = Evidence::of(&[fact]);
            assert_eq!(alone.facts().collect::<Vec<_>>(), [fact]);
        }
        let both = Evidence::of(&[Fact::OtherEnd]).with(Fact::State);
        assert_eq!(both.facts().collect::<Vec<_>>(), [Fact::State, Fact::OtherEnd]);
    }
}
