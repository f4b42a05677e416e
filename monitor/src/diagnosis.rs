//! What is wrong with a peer: counts, kept events and the host's own facts to a verdict, its evidence and the fix. Pure.
//!
//! Shares come from counts, which are complete; everything else from the events that are still kept. What this host cannot see is
//! said, too.

mod evidence;
mod subject;
mod unseen;
mod verdict;

use jiff::Timestamp;
use monitor_common::peer::Role;

pub use self::evidence::{CauseEvidence, OwnerSeen, Split, TtlSeen};
pub use self::subject::{Subject, select};
pub use self::unseen::Unseen;
pub use self::verdict::{Finding, Verdict};
use crate::advice::numbers::Spread;
use crate::advice::{Advice, Case, advise};
use crate::cause::Cause;
use crate::counts::{PeerCounts, PortCounts};
use crate::event::Direction;
use crate::snapshot::listening::{Listening, Queue};
use crate::snapshot::{PeerRow, Scope, SignalRow, Snapshot};
use crate::timeouts::estimate::Estimate;
use crate::timeouts::{SideFacts, TimeoutRow};

/// Causes that get a fix. More than these are seldom right at once.
const FIXES: usize = 3;

/// What is known of the host at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Every peer.
    pub rows: &'a [PeerRow],
    /// Local ports with refusals.
    pub ports: &'a [(u16, PortCounts)],
    /// Listeners, and tables that fill up.
    pub listening: &'a Listening,
    /// How each signal is served.
    pub signals: &'a [SignalRow],
    /// Inferred idle timeouts.
    pub timeouts: &'a [TimeoutRow],
    /// When counting began.
    pub since: Timestamp,
}

impl<'a> Host<'a> {
    /// From a snapshot with the rows of its peers; `None` without them.
    pub fn new(snapshot: &'a Snapshot, signals: &'a [SignalRow]) -> Option<Self> {
        Some(Self {
            rows: snapshot.peers.as_deref()?,
            ports: &snapshot.port_rows,
            listening: &snapshot.listening,
            signals,
            timeouts: snapshot.timeouts.as_deref()?,
            since: snapshot.started,
        })
    }
}

/// The result.
#[derive(Clone, Debug, PartialEq)]
pub struct Diagnosis {
    /// Who; `None` for all peers of a port.
    pub peer: Option<Scope>,
    /// Service port.
    pub port: Option<u16>,
    /// Our role.
    pub role: Role,
    /// Namespace.
    pub netns: Option<u32>,
    /// How many peers are in it.
    pub peers: usize,
    /// When counting began.
    pub since: Timestamp,
    /// Counts.
    pub counts: PeerCounts,
    /// In one sentence.
    pub verdict: Verdict,
    /// By cause, the most important first.
    pub causes: Vec<CauseEvidence>,
    /// After which quiet the peer closes connections without a reset, as by a timer.
    pub peer_closes: Option<Spread>,
    /// After which quiet we do.
    pub own_closes: Option<Spread>,
    /// Our listener; `None` as client.
    pub listener: Option<ListenerFacts>,
    /// What to do, the most important first.
    pub fixes: Vec<Fix>,
    /// What this host cannot see that matters here.
    pub unseen: Vec<Unseen>,
}

/// A cause, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// Why.
    pub cause: Cause,
    /// Who sent these resets.
    pub direction: Direction,
    /// What to do.
    pub advice: Advice,
}

/// Our listener of a port. `None` is unknown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListenerFacts {
    /// How often its queue was full.
    pub overflows: Option<u64>,
    /// Its fullest queue, now or at an overflow.
    pub queue: Option<Queue>,
    /// Handshakes and segments that it dropped.
    pub drops: Option<u64>,
}

/// What is wrong with a peer, as far as is known.
pub fn diagnose(subject: &Subject<'_>, host: &Host<'_>) -> Diagnosis {
    let listener = (subject.role == Role::Server).then(|| listener(subject, host.listening));
    let causes = evidence::by_cause(subject, listener.as_ref());
    let (peer_closes, own_closes) =
        (timer(subject, host, |row| &row.peer), timer(subject, host, |row| &row.local));
    let fix = |seen: &CauseEvidence| {
        let case = case(subject, host.listening, seen, listener.as_ref(), (peer_closes, own_closes));
        Fix { cause: seen.cause, direction: seen.direction, advice: advise(seen.cause, &case) }
    };
    Diagnosis {
        peer: subject.peer,
        port: subject.port,
        role: subject.role,
        netns: subject.netns,
        peers: subject.peers,
        since: host.since,
        counts: subject.counts,
        verdict: verdict::verdict(subject, &causes),
        fixes: distinct(causes.iter().map(fix)),
        unseen: unseen::unseen(subject, &causes, host),
        causes,
        peer_closes,
        own_closes,
        listener,
    }
}

/// The timer of one side, of several the shortest: that is the one `timeouts` goes by.
fn timer(subject: &Subject<'_>, host: &Host<'_>, side: impl Fn(&TimeoutRow) -> &SideFacts) -> Option<Spread> {
    let rows = host.timeouts.iter().filter(|row| subject.has_service(&row.service));
    let estimate = rows.flat_map(|row| &side(row).estimates).min_by_key(|estimate| estimate.earliest)?;
    let Estimate { timeout, earliest, latest, samples, first: _, last: _ } = *estimate;
    Some(Spread { count: samples, min: earliest, median: timeout, max: latest })
}

/// The first ones, and each setting once: where it comes first. Of one cause in both directions the first is enough.
fn distinct(fixes: impl Iterator<Item = Fix>) -> Vec<Fix> {
    let mut kept: Vec<Fix> = Vec::new();
    for mut fix in fixes {
        if kept.len() == FIXES {
            break;
        }
        if kept.iter().any(|earlier| earlier.cause == fix.cause) {
            continue;
        }
        let known = |setting: &crate::advice::settings::Setting| {
            kept.iter().flat_map(|earlier| &earlier.advice.settings).any(|earlier| {
                (earlier.software, earlier.side, &earlier.setting)
                    == (setting.software, setting.side, &setting.setting)
            })
        };
        fix.advice.settings.retain(|setting| !known(setting));
        kept.push(fix);
    }
    kept
}

fn case(
    subject: &Subject<'_>,
    listening: &Listening,
    seen: &CauseEvidence,
    listener: Option<&ListenerFacts>,
    (peer_closes, own_closes): (Option<Spread>, Option<Spread>),
) -> Case {
    Case {
        role: subject.role,
        direction: seen.direction,
        peer: subject.peer.and_then(subject::typed),
        port: subject.port,
        idle: seen.idle,
        peer_closes,
        own_closes,
        exchanges: seen.exchanges,
        unread: seen.unread,
        backlog: listener.and_then(|facts| facts.queue).map(|queue| (queue.backlog, queue.limit)),
        overflows: listener.and_then(|facts| facts.overflows).filter(|times| *times > 0),
        conntrack: listening.conntrack.and_then(|row| row.entries.zip(row.limit)),
        orphans: listening.orphans,
        owner: seen.owners.first().map(|owner| owner.comm.clone()),
        exit_signal: seen.exit_signals.first().map(|(signal, _)| *signal),
        oom_killed: (!seen.exit_signals.is_empty()).then_some(seen.oom_kills > 0),
        ttl: seen.ttl.and_then(|ttl| ttl.example),
        burst: seen.bursts.last().copied(),
    }
}

/// What is known of the listener behind a port. Sockets are listed for our own namespace only.
fn listener(subject: &Subject<'_>, listening: &Listening) -> ListenerFacts {
    let Some(port) = subject.port else { return ListenerFacts::default() };
    // Rows of no namespace are of all of them.
    let here = subject.netns.is_none_or(|netns| listening.own == Some(netns));
    let sockets = || {
        listening.sockets.iter().flat_map(|rows| rows.iter()).filter(|row| here && row.address.port() == port)
    };
    let at_events = subject.events.iter().filter_map(|told| told.event.backlog);
    let queues = sockets().map(|row| row.queue);
    ListenerFacts {
        overflows: listening.overflows.as_ref().map(|all| {
            let ours = all.rows.iter().filter(|row| {
                row.address.port() == port && subject.netns.is_none_or(|netns| netns == row.netns)
            });
            ours.map(|row| row.counts.sum()).sum()
        }),
        queue: queues.chain(at_events.map(|(backlog, limit)| Queue { backlog, limit })).reduce(Queue::fuller),
        drops: sockets().map(|row| row.drops).reduce(|sum, more| Some(sum? + more?)).flatten(),
    }
}

#[cfg(test)]
mod tests;
