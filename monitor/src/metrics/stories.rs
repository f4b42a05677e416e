//! Families about stories: reasons the kernel gave, and the account of what was told, lost and held back.

use std::fmt;

use super::text::Unit;
use monitor_common::counters::Kind;

use super::family::{Counter, Gauge, Histogram, Output};
use crate::counts::StoryCounts;
use crate::snapshot::Snapshot;

/// A counter of [`StoryCounts`].
struct StoryFamily {
    name: &'static str,
    help: &'static str,
    value: fn(&StoryCounts) -> u64,
}

const FAMILIES: [StoryFamily; 5] = [
    StoryFamily {
        name: "events_seen",
        help: "Events that should have a story: submitted, lost and suppressed ones together.",
        value: |counts| counts.seen,
    },
    StoryFamily {
        name: "events_submitted",
        help: "Events whose story the kernel programs handed to the daemon.",
        value: |counts| counts.submitted,
    },
    StoryFamily {
        name: "events_lost",
        help: "Events whose story was lost because the ring buffer was full; their resets are counted all the same.",
        value: |counts| counts.lost,
    },
    StoryFamily {
        name: "events_suppressed",
        help: "Events whose story the rate limit for refusals and strays held back; their resets are counted all the same.",
        value: |counts| counts.suppressed,
    },
    StoryFamily {
        name: "events_decoded",
        help: "Events whose story the daemon read and understood.",
        value: |counts| counts.decoded,
    },
];

pub(super) fn encode(out: &mut Output<'_>, snapshot: &Snapshot) -> fmt::Result {
    let mut reasons = Counter::new(
        out,
        "reset_reasons",
        "Resets by direction and by the kernel's own name for the reason.",
    )?;
    for (direction, reason, count) in &snapshot.reasons {
        reasons.line(&[("direction", direction.name()), ("reason", reason)], *count)?;
    }
    let mut idle = Histogram::new(
        out,
        "idle_before_reset",
        Unit::Seconds,
        "How long connections had been quiet before the exchange that hit a reset, by cause.",
    )?;
    for (cause, times) in &snapshot.idle {
        idle.times(&[("cause", cause.name())], times)?;
    }
    if let Some(seconds) = snapshot.closed_memory_seconds {
        Gauge::single(
            out,
            "closed_memory_coverage",
            Some(Unit::Seconds),
            "How far back closed connections are remembered for late requests; absent while none was forgotten for want of room.",
            seconds,
        )?;
    }
    for StoryFamily { name, help, value } in &FAMILIES {
        let mut family = Counter::new(out, name, help)?;
        for kind in Kind::ALL {
            family.line(&[("kind", kind.name())], value(snapshot.stories.of(kind)))?;
        }
    }
    Counter::new(
        out,
        "events_undecodable",
        "Records from the kernel programs that the daemon did not understand.",
    )?
    .line(&[("kind", "unknown")], snapshot.stories.undecodable)
}
