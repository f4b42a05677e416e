//! Families of listeners, and of the tables that connections fill up. What is unknown has no series.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Counter, Gauge};
use crate::snapshot::listening::{ConntrackRow, Listening, Queue};

/// The label of an overflow whose listener, or stage of the handshake, no counter tells.
const UNKNOWN: &str = "unknown";

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, listening: &Listening) -> fmt::Result {
    if let Some(overflows) = listening.listen_overflows {
        Counter::new(
            encoder,
            "listen_overflows",
            "Handshakes dropped because an accept queue was full, over all network namespaces that could be read.",
        )?
        .line(&[("listener", UNKNOWN), ("stage", UNKNOWN)], overflows)?;
    }
    listeners(encoder, listening)?;
    conntrack(encoder, listening.conntrack.unwrap_or_default())?;
    gauge(
        encoder,
        "orphan_sockets",
        "TCP sockets of the host that no process owns any more and that are not closed yet.",
        listening.orphans,
    )?;
    gauge(
        encoder,
        "time_wait_sockets",
        "Connections in TIME_WAIT, over all network namespaces that could be read.",
        listening.time_wait,
    )
}

fn listeners(encoder: &mut DescriptorEncoder<'_>, listening: &Listening) -> fmt::Result {
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
        encoder,
        "listener_drops",
        "Segments and handshakes dropped by a listening socket, for whatever reason, by address and port.",
    )?;
    for (series, listener) in &rows {
        if let Some(count) = series.drops {
            drops.line(&[("listener", listener)], count)?;
        }
    }
    for (name, help, value) in QUEUES {
        let mut family = Gauge::new(encoder, name, help)?;
        for (series, listener) in &rows {
            if let Some(queue) = &series.queue {
                family.line(&[("listener", listener)], value(queue).into())?;
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

fn conntrack(encoder: &mut DescriptorEncoder<'_>, row: ConntrackRow) -> fmt::Result {
    let ConntrackRow { entries, limit, drops } = row;
    gauge(encoder, "conntrack_entries", "Connections tracked in the daemon's network namespace.", entries)?;
    gauge(encoder, "conntrack_limit", "Connections that may be tracked.", limit)?;
    match drops {
        Some(drops) => Counter::single(
            encoder,
            "conntrack_drops",
            "Packets dropped because their connection could not be tracked, usually since the table was full.",
            drops,
        ),
        None => Ok(()),
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: Option<u64>) -> fmt::Result {
    match value {
        // The format of gauges is a signed number.
        Some(value) => Gauge::single(encoder, name, None, help, i64::try_from(value).unwrap_or(i64::MAX)),
        None => Ok(()),
    }
}
