//! Families per peer. The sum over the series of each equals the snapshot's total: `other` and `retired` are among them.

use std::fmt;

use super::text::Unit;

use super::family::{Counter, Histogram, Output};
use super::labels::PeerLabels;
use crate::cause::{CAUSES, Cause};
use crate::counts::PeerCounts;
use crate::snapshot::{PeerSeries, ResetDetails};

/// A counter of [`PeerCounts`] without a label for the cause.
struct PeerFamily {
    name: &'static str,
    help: &'static str,
    value: fn(&PeerCounts) -> u64,
}

const FAMILIES: [PeerFamily; 6] = [
    PeerFamily {
        name: "connections_opened",
        help: "Connections with the peer that became established.",
        value: |counts| counts.opened,
    },
    PeerFamily {
        name: "connections_closed",
        help: "Established connections with the peer that ended, in whatever way.",
        value: |counts| counts.closed,
    },
    PeerFamily {
        name: "connections_reset",
        help: "Established connections with the peer that ended by a reset, or whose late request met one, once each.",
        value: |counts| counts.reset,
    },
    PeerFamily {
        name: "connections_aborted",
        help: "Established connections with the peer that were reset on purpose or without ever carrying data.",
        value: |counts| counts.aborted,
    },
    PeerFamily {
        name: "exchanges",
        help: "Request and response turns with the peer, estimated from data segments when a connection ends, and of open ones at each walk.",
        value: |counts| counts.exchanges,
    },
    PeerFamily {
        name: "refused_received",
        help: "Resets received from the peer in answer to our SYN.",
        value: |counts| counts.refused_received,
    },
];

/// Which of the two counts per cause a family shows.
struct CauseFamily {
    name: &'static str,
    help: &'static str,
    counts: fn(&PeerSeries) -> &[u64; CAUSES],
    last: fn(&ResetDetails) -> &[u64; CAUSES],
}

const BY_CAUSE: [CauseFamily; 2] = [
    CauseFamily {
        name: "resets_received",
        help: "Resets received on established connections with the peer, by cause.",
        counts: |series| &series.causes.received,
        last: |details| &details.last_received,
    },
    CauseFamily {
        name: "resets_sent",
        help: "Resets sent on connections with the peer, by cause.",
        counts: |series| &series.causes.sent,
        last: |details| &details.last_sent,
    },
];

/// `exemplars` names the event that counted last.
pub(super) fn encode(out: &mut Output<'_>, series: &[PeerSeries], exemplars: bool) -> fmt::Result {
    let labels = |series: &PeerSeries| PeerLabels::new(&series.label, series.netns);
    let rows: Vec<_> = series.iter().map(|series| (series, labels(series))).collect();
    for CauseFamily { name, help, counts, last } in &BY_CAUSE {
        let mut family = Counter::new(out, name, help)?;
        for (series, labels) in &rows {
            // A cause appears with its first reset: most peers see two or three of them in their life.
            let last = series.details.as_deref().filter(|_| exemplars).map(last);
            for (cause, count) in Cause::ALL.iter().zip(counts(series)).filter(|(_, count)| **count > 0) {
                let labels = (labels, [("cause", cause.name())]);
                match last.map_or(0, |last| last[*cause as usize]) {
                    0 => family.line(&labels, *count)?,
                    event => family.line_of_event(&labels, *count, event)?,
                }
            }
        }
    }
    for PeerFamily { name, help, value } in &FAMILIES {
        let mut family = Counter::new(out, name, help)?;
        for (series, labels) in &rows {
            family.line(&labels, value(&series.counts))?;
        }
    }
    let mut idle = Histogram::new(
        out,
        "peer_idle_before_reset",
        Unit::Seconds,
        "How long connections with the peer had been quiet before the exchange that hit a reset, since the peer has had series of its own.",
    )?;
    for (series, labels) in &rows {
        if let Some(details) = series.details.as_deref().filter(|details| details.idle.count() > 0) {
            idle.times(&labels, &details.idle)?;
        }
    }
    Ok(())
}
