//! The verdict in one sentence: what dominates, its share, and whether it is much.

use monitor_common::peer::Role;

use super::{CauseEvidence, Subject};
use crate::advice::numbers::count;
use crate::cause::Cause;
use crate::event::{Direction, role_name};
use crate::snapshot::Scope;
use crate::verdict::Confidence;

/// The verdict on a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// What was found, in a word.
    pub finding: Finding,
    /// And in a sentence.
    pub sentence: String,
    /// The dominating cause.
    pub cause: Option<Cause>,
    /// Who sent its resets.
    pub direction: Option<Direction>,
    /// How many of them.
    pub count: u64,
    /// Of how many in this direction.
    pub of: u64,
    /// How sure most of them are; `None` when no event of it is kept.
    pub confidence: Option<Confidence>,
    /// Reset connections by closed ones; `None` before the first close.
    pub connection_ratio: Option<f64>,
    /// Reset connections by exchanges; `None` before the first one.
    pub exchange_ratio: Option<f64>,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Resets that somebody suffered.
    Resets,
    /// Our accept queue was full; no resets.
    OverflowsOnly,
    /// Connections were refused; no resets.
    RefusedOnly,
    /// Every reset was meant.
    AbortedOnly,
    /// Nothing.
    NoResets,
}

impl Finding {
    /// Every one.
    pub const ALL: [Self; 5] =
        [Self::Resets, Self::OverflowsOnly, Self::RefusedOnly, Self::AbortedOnly, Self::NoResets];

    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "resets",
            Self::OverflowsOnly => "overflows_only",
            Self::RefusedOnly => "refused_only",
            Self::AbortedOnly => "aborted_only",
            Self::NoResets => "no_resets",
        }
    }
}

/// Judges.
pub(super) fn verdict(subject: &Subject<'_>, causes: &[CauseEvidence]) -> Verdict {
    let first = causes.first();
    let (finding, of) = first.map_or((Finding::NoResets, 0), |first| found(subject, first));
    let sentence = match first {
        None => nothing(subject),
        Some(first) => sentence(subject, first, finding, of),
    };
    let counts = &subject.counts;
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
    let exchange_ratio =
        (counts.exchanges > 0).then(|| (counts.reset as f64 / counts.exchanges as f64).min(1.0));
    Verdict {
        finding,
        sentence,
        cause: first.map(|first| first.cause),
        direction: first.map(|first| first.direction),
        count: first.map_or(0, |first| first.count),
        of,
        confidence: first.and_then(|first| first.confidence.first()).map(|(confidence, _)| *confidence),
        connection_ratio: counts.reset_ratio(),
        exchange_ratio,
    }
}

fn found(subject: &Subject<'_>, first: &CauseEvidence) -> (Finding, u64) {
    let resets = match first.direction {
        Direction::Sent => subject.counts.resets_sent,
        Direction::Received => subject.counts.resets_received,
    };
    let reset = subject.counts.resets_sent + subject.counts.resets_received > 0;
    match first.cause {
        Cause::Refused if !reset => (Finding::RefusedOnly, first.count),
        Cause::LingerAbort | Cause::AdminAbort => (Finding::AbortedOnly, resets),
        Cause::ListenOverflow if !reset => (Finding::OverflowsOnly, first.count),
        // Beside resets, how often these came is of themselves.
        Cause::Refused | Cause::ListenOverflow => (Finding::Resets, first.count),
        Cause::NetfilterReject
        | Cause::ProcessExit
        | Cause::KeepaliveTimeout
        | Cause::MemoryPressure
        | Cause::ListenerClosed
        | Cause::IdleReuse
        | Cause::UnreadData
        | Cause::LateData
        | Cause::Middlebox
        | Cause::IdleAbort
        | Cause::StaleIdle
        | Cause::PeerOverflow
        | Cause::Protocol
        | Cause::PeerAbort
        | Cause::Other
        | Cause::Unclassified => (Finding::Resets, resets.max(first.count)),
    }
}

fn nothing(subject: &Subject<'_>) -> String {
    format!(
        "No resets and no refusals with {} among {}.",
        name(subject),
        count(subject.counts.closed, "closed connection")
    )
}

fn sentence(subject: &Subject<'_>, first: &CauseEvidence, finding: Finding, of: u64) -> String {
    let name = name(subject);
    let means = means(first.cause);
    let resets = subject.counts.resets_sent + subject.counts.resets_received;
    let beside = format!(", beside {}", count(resets, "reset"));
    match (first.cause, finding) {
        (Cause::Refused, _) => {
            let were = if first.count == 1 { "was" } else { "were" };
            let whom = match first.direction {
                Direction::Received => format!("to {name} {were} refused"),
                Direction::Sent => format!("to {name} {were} refused by this host"),
            };
            let attempts = count(first.count, "connection attempt");
            if finding == Finding::RefusedOnly {
                format!("Refused only: {attempts} {whom}, and none was reset: {means}.")
            } else {
                format!("{attempts} {whom}{beside}: {means}.")
            }
        }
        (Cause::ListenOverflow, _) => {
            let beside = if finding == Finding::OverflowsOnly { "" } else { &beside };
            format!("The accept queue of {name} was full {}{beside}: {means}.", count(first.count, "time"))
        }
        (_, Finding::AbortedOnly) => {
            let counted = if subject.counts.reset == 0 {
                ", and none counts as a reset"
            } else {
                ", which this end cannot tell from others when it counts"
            };
            format!(
                "{} {name} {} {}{counted}: {means}.",
                share(first, of),
                if of == 1 { "is" } else { "are" },
                first.cause.name()
            )
        }
        (_, Finding::Resets | Finding::NoResets | Finding::OverflowsOnly | Finding::RefusedOnly) => {
            let sure = first.confidence.first().map_or("", |(confidence, _)| confidence.name());
            let sure = if sure.is_empty() { String::new() } else { format!(", {sure}") };
            let verb = if first.count == 1 && of == 1 { "is" } else { "are" };
            format!("{} {name} {verb} {}{sure}: {means}.", share(first, of), first.cause.name())
        }
    }
}

/// How many of how many, and which way they went.
fn share(first: &CauseEvidence, of: u64) -> String {
    let way = match first.direction {
        Direction::Received => "received from",
        Direction::Sent => "sent to",
    };
    match (first.count, of) {
        (1, 1) => format!("The only reset {way}"),
        (all, same) if all == same => format!("All {all} resets {way}"),
        (some, all) => format!("{some} of {all} resets {way}"),
    }
}

/// Whom it is about.
pub(super) fn name(subject: &Subject<'_>) -> String {
    let role = role_name(subject.role);
    match (subject.peer, subject.port) {
        (None, Some(port)) => {
            let peers =
                if subject.peers == 1 { "1 peer".to_owned() } else { format!("{} peers", subject.peers) };
            format!("port {port} ({role}, {peers})")
        }
        (Some(scope @ (Scope::Address(_) | Scope::Network(..))), Some(port)) => match subject.role {
            Role::Client => format!("{}:{port} ({role})", bracketed(scope)),
            Role::Server => format!("{scope} at our port {port} ({role})"),
        },
        (Some(scope), None | Some(_)) => format!("{scope} ({role})"),
        (None, None) => format!("all peers ({role})"),
    }
}

/// An address as it stands before a port.
fn bracketed(scope: Scope) -> String {
    let text = scope.to_string();
    if text.contains(':') { format!("[{text}]") } else { text }
}

/// A cause in a clause.
const fn means(cause: Cause) -> &'static str {
    match cause {
        Cause::Refused => "nothing listens there, or a firewall rejects it",
        Cause::ListenOverflow => "the program accepts more slowly than clients connect",
        Cause::NetfilterReject => "a REJECT rule answered, and no program saw the segment",
        Cause::ProcessExit => "a process died with connections open",
        Cause::AdminAbort => "somebody ended them by `ss -K` or SOCK_DESTROY",
        Cause::KeepaliveTimeout => "TCP keep-alive probes went unanswered",
        Cause::MemoryPressure => "a limit on orphans or on TCP's memory was reached",
        Cause::ListenerClosed => "a listener was closed with connections that nobody had accepted",
        Cause::IdleReuse => "a request met a connection that had just been closed for idleness",
        Cause::UnreadData => "a connection was closed with data unread",
        Cause::LingerAbort => "the application closed with SO_LINGER 0, on purpose",
        Cause::LateData => "data came after a close that was not for idleness",
        Cause::Middlebox => "a device on the way probably built them in the peer's name",
        Cause::IdleAbort => "a reset out of the blue ended quiet connections",
        Cause::StaleIdle => "the first use after long quiet found the connection forgotten, without a FIN",
        Cause::PeerOverflow => "the peer's accept queue was probably full",
        Cause::Protocol => "a segment broke the protocol",
        Cause::PeerAbort => "the peer aborted in the middle of a transfer",
        Cause::Other => "they fit no cause that is known here",
        Cause::Unclassified => "their stories were lost, and only the count is known",
    }
}
