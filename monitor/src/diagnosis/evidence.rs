//! What was seen of each cause.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::Kind;

use super::{ListenerFacts, Subject};
use crate::advice::numbers::{Range, Spread};
use crate::burst::Burst;
use crate::cause::Cause;
use crate::event::{Direction, Told};
use crate::verdict::{AppSaw, Confidence};

/// Examples, owners, reasons and bursts told of a cause.
const MOST: usize = 5;
/// From here on a TTL differs: a route that changes moves it by one or two.
const TTL_APART: u8 = 2;

/// One cause in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CauseEvidence {
    /// Why.
    pub cause: Cause,
    /// Who sent these resets.
    pub direction: Direction,
    /// How many were counted.
    pub count: u64,
    /// Of how many the event is still kept: what follows is from these.
    pub events: usize,
    /// How sure.
    pub confidence: Split<Confidence>,
    /// Quiet before.
    pub idle: Option<Spread>,
    /// What the application on this host saw, where that is known.
    pub app_saw: Split<AppSaw>,
    /// Time of the first event kept.
    pub first: Option<Timestamp>,
    /// Time of the last one.
    pub last: Option<Timestamp>,
    /// Programs that closed the connections, the most frequent first.
    pub owners: Vec<OwnerSeen>,
    /// Signals that they died of.
    pub exit_signals: Split<u8>,
    /// How many of those were the OOM killer's.
    pub oom_kills: usize,
    /// TTL of received resets beside that of the handshake.
    pub ttl: Option<TtlSeen>,
    /// Names of the kernel's reasons.
    pub reasons: Split<String>,
    /// Bursts, by time.
    pub bursts: Vec<Burst>,
    /// Events whose other end is on this host.
    pub other_ends: usize,
    /// Exchanges that the connections had carried.
    pub exchanges: Option<Range>,
    /// Bytes that nobody had read.
    pub unread: Option<Range>,
    /// The newest events, by number.
    pub examples: Vec<u64>,
}

/// Values with how often each was seen, the most frequent first.
pub type Split<T> = Vec<(T, usize)>;

/// A program that closed connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSeen {
    /// Task name; hostile input.
    pub comm: String,
    /// Its last process id.
    pub pid: u32,
    /// How often.
    pub count: usize,
}

/// TTLs of resets and of handshakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TtlSeen {
    /// Resets of which both are known.
    pub compared: usize,
    /// Those that are apart by more than two.
    pub apart: usize,
    /// Of the resets.
    pub reset: Range,
    /// Of the handshakes.
    pub baseline: Range,
    /// A reset's and its handshake's, apart.
    pub example: Option<(u8, u8)>,
}

/// Every cause that was counted, the most important first.
pub(super) fn by_cause(subject: &Subject<'_>, listener: Option<&ListenerFacts>) -> Vec<CauseEvidence> {
    let mut told: BTreeMap<(Cause, Direction), Vec<&Told>> = BTreeMap::new();
    for event in &subject.events {
        if let Some(verdict) = event.verdict {
            let direction = direction(verdict.cause, Direction::of(event.event.kind));
            told.entry((verdict.cause, direction)).or_default().push(event);
        }
    }
    let counted = counted(subject, listener, &told);
    let seen = |((cause, direction), count)| {
        let events = told.get(&(cause, direction)).map(Vec::as_slice).unwrap_or_default();
        of(cause, direction, count, events)
    };
    let mut all: Vec<CauseEvidence> = counted.into_iter().map(seen).collect();
    all.sort_by_key(|seen| (rank(seen.cause), Reverse(seen.count)));
    all
}

/// An overflow is met by what comes in, also where the kernel answers it with a reset.
fn direction(cause: Cause, direction: Direction) -> Direction {
    if cause == Cause::ListenOverflow { Direction::Received } else { direction }
}

/// First what hurts, then refusals, which are another bug, then what was meant.
const fn rank(cause: Cause) -> u8 {
    match cause {
        Cause::Refused => 1,
        Cause::LingerAbort | Cause::AdminAbort => 2,
        Cause::ListenOverflow
        | Cause::NetfilterReject
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
        | Cause::Unclassified => 0,
    }
}

/// How many of each: what the kernel counted, where it did.
fn counted(
    subject: &Subject<'_>,
    listener: Option<&ListenerFacts>,
    told: &BTreeMap<(Cause, Direction), Vec<&Told>>,
) -> BTreeMap<(Cause, Direction), u64> {
    let mut counted = BTreeMap::new();
    for cause in Cause::ALL {
        counted.insert((cause, Direction::Sent), subject.causes.sent[cause as usize]);
        counted.insert((cause, Direction::Received), subject.causes.received[cause as usize]);
    }
    let mut more = |cause, direction, count| *counted.entry((cause, direction)).or_insert(0) += count;
    more(Cause::Refused, Direction::Received, subject.counts.refused_received);
    more(Cause::Refused, Direction::Sent, subject.refused_sent);
    // Without a peer they are counted by listener and by port; of one peer only events tell.
    let overflows = listener.and_then(|facts| facts.overflows).filter(|_| subject.peer.is_none());
    let overflows = overflows.unwrap_or_else(|| {
        let events = told.get(&(Cause::ListenOverflow, Direction::Received)).map(Vec::as_slice);
        let events = events.unwrap_or_default();
        // With tcp_abort_on_overflow each is told twice: as itself, and as the reset that it draws.
        let itself = events.iter().filter(|told| told.event.kind == Kind::ListenOverflow).count() as u64;
        if itself > 0 { itself } else { events.len() as u64 }
    });
    more(Cause::ListenOverflow, Direction::Received, overflows);
    let rejected = told
        .get(&(Cause::NetfilterReject, Direction::Sent))
        .map_or(0, |events| events.iter().filter(|told| told.event.kind == Kind::RejectSent).count() as u64);
    more(Cause::NetfilterReject, Direction::Sent, rejected);
    counted.retain(|_, count| *count > 0);
    counted
}

fn of(cause: Cause, direction: Direction, count: u64, events: &[&Told]) -> CauseEvidence {
    let verdicts = || events.iter().filter_map(|told| told.verdict);
    let owners = || events.iter().filter_map(|told| told.event.owner.as_ref());
    let sockets = || events.iter().filter_map(|told| told.event.socket.as_ref());
    let idle: Vec<Duration> =
        events.iter().filter_map(|told| told.event.idle.map(|idle| idle.time)).collect();
    let mut bursts: Vec<Burst> = Vec::new();
    for burst in events.iter().filter_map(|told| told.burst) {
        if !bursts.iter().any(|known| known.id == burst.id) {
            bursts.push(burst);
        }
    }
    bursts.drain(..bursts.len().saturating_sub(MOST));
    let by_name = split(owners().map(|owner| owner.comm.clone()));
    let last_pid = |comm: &str| owners().rfind(|owner| owner.comm == comm).map_or(0, |owner| owner.pid);
    CauseEvidence {
        cause,
        direction,
        count,
        events: events.len(),
        confidence: split(verdicts().map(|verdict| verdict.confidence)),
        idle: Spread::of(idle),
        app_saw: split(verdicts().filter_map(|verdict| verdict.app_saw)),
        first: events.first().map(|told| told.event.time),
        last: events.last().map(|told| told.event.time),
        owners: by_name
            .into_iter()
            .take(MOST)
            .map(|(comm, count)| OwnerSeen { pid: last_pid(&comm), comm, count })
            .collect(),
        exit_signals: split(owners().filter_map(|owner| owner.exit_signal)),
        oom_kills: owners().filter(|owner| owner.oom_killed).count(),
        ttl: ttl(events),
        reasons: {
            let mut reasons = split(
                events
                    .iter()
                    .filter_map(|told| Some(told.event.reason.as_ref()?.name.as_deref()?.to_owned())),
            );
            reasons.truncate(MOST);
            reasons
        },
        bursts,
        other_ends: verdicts().filter(|verdict| verdict.other_end.is_some()).count(),
        exchanges: Range::of(
            sockets().map(|socket| u64::from(socket.data_segments_in.min(socket.data_segments_out))),
        ),
        // At the end that received it, what lay unread has not drawn the reset.
        unread: Range::of(sockets().filter_map(|socket| socket.unread_bytes).map(u64::from))
            .filter(|range| range.max > 0 && direction == Direction::Sent),
        examples: events.iter().rev().take(MOST).map(|told| told.id).collect(),
    }
}

fn split<T: PartialEq>(values: impl Iterator<Item = T>) -> Split<T> {
    let mut split: Split<T> = Vec::new();
    for value in values {
        match split.iter_mut().find(|(known, _)| *known == value) {
            Some((_, count)) => *count += 1,
            None => split.push((value, 1)),
        }
    }
    // Stable: of equally frequent ones the first that came.
    split.sort_by_key(|(_, count)| Reverse(*count));
    split
}

fn ttl(events: &[&Told]) -> Option<TtlSeen> {
    let received = events.iter().filter(|told| told.event.kind == Kind::ResetReceived);
    let pairs: Vec<(u8, u8)> = received
        .filter_map(|told| Some((told.event.segment.as_ref()?.ttl, told.event.baseline_ttl?)))
        .collect();
    let apart = |(reset, baseline): &&(u8, u8)| reset.abs_diff(*baseline) > TTL_APART;
    Some(TtlSeen {
        compared: pairs.len(),
        apart: pairs.iter().filter(apart).count(),
        reset: Range::of(pairs.iter().map(|(reset, _)| u64::from(*reset)))?,
        baseline: Range::of(pairs.iter().map(|(_, baseline)| u64::from(*baseline)))?,
        example: pairs.iter().find(apart).copied(),
    })
}
