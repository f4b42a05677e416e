//! Listeners: how full their queues are, and what they dropped.

use std::net::SocketAddr;

use monitor_common::record::Stage;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::super::message::{About, COUNTER, Point, Span, UP_AND_DOWN, port, text};
use crate::snapshot::listening::{ListenerOverflows, Listening, Queue};

const OVERFLOWS: About = About(
    "system.network.tcp.listener.overflows",
    "{overflow}",
    "Times that a handshake met a full accept queue, with its SYN or its last ACK.",
);
const DROPS: About = About(
    "system.network.tcp.listener.drops",
    "{packet}",
    "Segments and handshakes dropped by a listening socket, for whatever reason.",
);

/// A number of the fullest queue of a listener.
type QueueMetric = (About, fn(&Queue) -> u32);

const QUEUES: [QueueMetric; 2] = [
    (
        About("system.network.tcp.listener.backlog", "{connection}", "Connections that wait to be accepted."),
        |queue| queue.backlog,
    ),
    (
        About(
            "system.network.tcp.listener.backlog.limit",
            "{connection}",
            "Connections that may wait to be accepted.",
        ),
        |queue| queue.limit,
    ),
];

/// Where neither listener nor stage is counted.
const UNKNOWN: &str = "unknown";

pub(super) fn metrics(span: Span, listening: &Listening) -> impl Iterator<Item = Metric> {
    let series = &listening.series;
    let drops = series.iter().filter_map(|of| Some((listener(of.address), of.drops?)));
    let queues = QUEUES.into_iter().filter_map(move |(about, value)| {
        let points =
            series.iter().filter_map(|of| Some((listener(of.address), u64::from(value(of.queue.as_ref()?)))));
        span.sum(about, UP_AND_DOWN, points)
    });
    let counts =
        [span.sum(OVERFLOWS, COUNTER, overflows(listening).into_iter()), span.sum(DROPS, COUNTER, drops)];
    counts.into_iter().flatten().chain(queues)
}

fn overflows(listening: &Listening) -> Vec<Point<u64>> {
    let at = |mut listener: Vec<KeyValue>, stage: &str| {
        listener.push(text("reset_monitor.stage", stage));
        listener
    };
    let whole = |name: &str| vec![text("reset_monitor.listener", name)];
    let Some(ListenerOverflows { rows: _, series, beyond }) = &listening.overflows else {
        return listening
            .listen_overflows
            .map(|sum| (at(whole(UNKNOWN), UNKNOWN), sum))
            .into_iter()
            .collect();
    };
    let by_stage = series.iter().flat_map(|of| {
        [(Stage::Syn, of.counts.syn), (Stage::Ack, of.counts.ack)]
            .map(|(stage, count)| (at(listener(of.address), stage.name()), count))
    });
    let beyond = (*beyond > 0).then(|| (at(whole("other"), UNKNOWN), *beyond));
    by_stage.chain(beyond).collect()
}

fn listener(address: Option<SocketAddr>) -> Vec<KeyValue> {
    match address {
        Some(address) => {
            vec![
                text("network.local.address", &address.ip().to_string()),
                port("network.local.port", address.port()),
            ]
        }
        None => vec![text("reset_monitor.listener", "other")],
    }
}
