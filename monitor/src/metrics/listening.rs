//! Families of listeners, and of the tables that connections fill up. What is unknown has no series.

use std::fmt;

use monitor_common::record::Stage;

use super::family::{Counter, Gauge, Output};
use crate::snapshot::listening::{ConntrackRow, ListenerOverflows, Listening, OverflowSeries, Queue};

/// The label of an overflow whose listener, or stage of the handshake, no counter tells.
const UNKNOWN: &str = "unknown";

pub(super) fn encode(out: &mut Output<'_>, listening: &Listening) -> fmt::Result {
    overflows(out, listening)?;
    listeners(out, listening)?;
    conntrack(out, listening.conntrack.unwrap_or_default())?;
    counter(
        out,
        "conntrack_full",
        "Connections that the connection-tracking table had no room for, over all network namespaces; their packets were dropped.",
        listening.conntrack_full,
    )?;
    counter(
        out,
        "challenge_acks",
        "Challenge ACKs (RFC 5961) sent other than for a SYN, over all network namespaces that could be read: in answer to resets \
         that are in the window but not exact, and to ACKs that are too old or of what was never sent. At least so many: the kernel limits their rate, and counts SYNs even beyond.",
        listening.challenge_acks,
    )?;
    gauge(
        out,
        "orphan_sockets",
        "TCP sockets of the host that no process owns any more and that are not closed yet.",
        listening.orphans,
    )?;
    gauge(
        out,
        "time_wait_sockets",
        "Connections in TIME_WAIT, over all network namespaces that could be read.",
        listening.time_wait,
    )
}

/// With function hooks by listener and stage. Otherwise the kernel's own count of the same, which knows neither.
fn overflows(out: &mut Output<'_>, listening: &Listening) -> fmt::Result {
    if listening.overflows.is_none() && listening.listen_overflows.is_none() {
        return Ok(());
    }
    let mut family = Counter::new(
        out,
        "listen_overflows",
        "Times that a handshake met a full accept queue, with its SYN or its last ACK; over all network namespaces that could be \
         read. Without function hooks listener and stage are unknown.",
    )?;
    let Some(ListenerOverflows { rows: _, series, beyond }) = &listening.overflows else {
        let sum = listening.listen_overflows.unwrap_or_default();
        return family.line(&[("listener", UNKNOWN), ("stage", UNKNOWN)], sum);
    };
    for OverflowSeries { address, counts } in series {
        let listener = address.map_or_else(|| "other".to_owned(), |address| address.to_string());
        for (stage, count) in [(Stage::Syn, counts.syn), (Stage::Ack, counts.ack)] {
            family.line(&[("listener", listener.as_str()), ("stage", stage.name())], count)?;
        }
    }
    // Listeners beyond those that the kernel side keeps apart.
    if *beyond > 0 { family.line(&[("listener", "other"), ("stage", UNKNOWN)], *beyond) } else { Ok(()) }
}

fn listeners(out: &mut Output<'_>, listening: &Listening) -> fmt::Result {
    if listening.series.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = listening
        .series
        .iter()
        .map(|series| {
            (series, series.address.map_or_else(|| "other".to_owned(), |address| address.to_string()))
        })
        .collect();
    let mut drops = Counter::new(
        out,
        "listener_drops",
        "Segments and handshakes dropped by a listening socket, for whatever reason, by address and port.",
    )?;
    for (series, listener) in &rows {
        if let Some(count) = series.drops {
            drops.line(&[("listener", listener)], count)?;
        }
    }
    for (name, help, value) in QUEUES {
        let mut family = Gauge::new(out, name, help)?;
        for (series, listener) in &rows {
            if let Some(queue) = &series.queue {
                family.line(&[("listener", listener)], u64::from(value(queue)))?;
            }
        }
    }
    Ok(())
}

/// Name, help and value of a gauge per accept queue.
type QueueFamily = (&'static str, &'static str, fn(&Queue) -> u32);

const QUEUES: [QueueFamily; 2] = [
    (
        "listener_backlog",
        "Connections that wait to be accepted, in the fullest queue of the address and port.",
        |queue| queue.backlog,
    ),
    (
        "listener_backlog_limit",
        "Connections that may wait in that queue; the kernel admits one more.",
        |queue| queue.limit,
    ),
];

fn conntrack(out: &mut Output<'_>, row: ConntrackRow) -> fmt::Result {
    let ConntrackRow { entries, limit, drops } = row;
    gauge(out, "conntrack_entries", "Connections tracked in the daemon's network namespace.", entries)?;
    gauge(out, "conntrack_limit", "Connections that may be tracked.", limit)?;
    counter(
        out,
        "conntrack_drops",
        "Packets dropped because their connection could not be tracked, usually since the table was full.",
        drops,
    )
}

fn counter(out: &mut Output<'_>, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
    value.map_or(Ok(()), |value| Counter::single(out, name, help, value))
}

fn gauge(out: &mut Output<'_>, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
    value.map_or(Ok(()), |value| Gauge::single(out, name, None, help, value))
}
