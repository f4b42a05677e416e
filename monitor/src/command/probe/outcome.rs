//! What one connection told. Pure.

use std::net::SocketAddr;
use std::time::Duration;

use super::failure::Failure;
use super::http::Head;

/// How a peer ended a connection that was held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a FIN.
    Fin,
    /// By a reset.
    Reset,
    /// It said so in TLS (`close_notify`), then by a FIN.
    NotifyFin,
    /// It said so in TLS, then by a reset.
    NotifyReset,
    /// It said so in TLS, and waits for this end.
    Notify,
}

impl How {
    /// All.
    pub const ALL: [Self; 5] = [Self::Fin, Self::Reset, Self::NotifyFin, Self::NotifyReset, Self::Notify];

    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fin => "fin",
            Self::Reset => "reset",
            Self::NotifyFin => "close_notify_fin",
            Self::NotifyReset => "close_notify_reset",
            Self::Notify => "close_notify",
        }
    }

    /// For people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Fin => "FIN",
            Self::Reset => "reset",
            Self::NotifyFin => "close_notify, FIN",
            Self::NotifyReset => "close_notify, reset",
            Self::Notify => "close_notify",
        }
    }

    /// Whether nothing can be sent any more.
    pub const fn is_reset(self) -> bool {
        match self {
            Self::Reset | Self::NotifyReset => true,
            Self::Fin | Self::NotifyFin | Self::Notify => false,
        }
    }
}

/// An end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// How.
    pub how: How,
    /// After which quiet: from the last byte on this connection, in either direction, to the first sign of the end.
    pub after: Duration,
}

/// What came of using a connection again after it was idle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// The peer answered.
    Answered,
    /// The request drew a reset, or met one: the race.
    Reset,
    /// The peer had closed or closed meanwhile, and answered by nothing.
    Closed,
    /// Nothing at all came.
    Nothing,
}

impl Reuse {
    /// All.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Reset, Self::Closed, Self::Nothing];

    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Reset => "reset",
            Self::Closed => "closed",
            Self::Nothing => "no_answer",
        }
    }
}

/// What the first use of a connection gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// An HTTP answer.
    Http(Head),
    /// So many bytes, 0 if nothing came in time or nothing was asked.
    Bytes(u64),
}

/// How it went.
#[derive(Debug)]
pub enum Outcome {
    /// The peer ended it while it was idle, and nothing else was wanted.
    Ended(End),
    /// Nobody ended it in this quiet time.
    Open {
        /// So long.
        after: Duration,
    },
    /// The peer spoke by itself so often that it was never quiet for long, which tells nothing of its timeout.
    NeverQuiet {
        /// The longest quiet.
        longest: Duration,
    },
    /// It was used again.
    Reused {
        /// After this quiet.
        idle: Duration,
        /// The peer had ended it before.
        before: Option<End>,
        /// And so it went.
        reuse: Reuse,
    },
    /// Ctrl-C came before it could be used again.
    Stopped,
    /// Something else was wrong.
    Failed(Failure),
}

/// A connection and what it told.
#[derive(Debug)]
pub struct Report {
    /// In the order of their beginning, from 1.
    pub number: u32,
    /// This end's address.
    pub local: Option<SocketAddr>,
    /// Quiet time that was asked for.
    pub wanted: Option<Duration>,
    /// To its first use.
    pub answer: Option<Answer>,
    /// Bytes that the peer sent by itself while it was held.
    pub unasked: u64,
    /// How it went.
    pub outcome: Outcome,
}
