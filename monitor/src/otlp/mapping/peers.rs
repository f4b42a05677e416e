//! What is counted by peer, and resets by local port.

use monitor_common::peer::Role;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::Metric;

use super::super::message::{About, COUNTER, Point, Span, UP_AND_DOWN, port, text};
use crate::cause::{CAUSES, Cause};
use crate::counts::PeerCounts;
use crate::event::role_name;
use crate::http::convert::seconds_of_ms;
use crate::snapshot::{OpenSeries, PeerLabel, PeerSeries, PortSeries, Scope, Snapshot};

const RESETS: About = About(
    "system.network.tcp.resets",
    "{reset}",
    "TCP resets that were sent and received, refusals and resets for no known connection among them.",
);
const REJECTIONS: About = About(
    "system.network.tcp.rejections",
    "{reset}",
    "Resets that netfilter sent for a REJECT rule, which TCP itself does not count.",
);
const IDLE: About = About(
    "system.network.tcp.reset.idle.duration",
    "s",
    "How long connections had been quiet before the exchange that hit a reset, by cause.",
);
const PEER_IDLE: About = About(
    "system.network.tcp.reset.peer.idle.duration",
    "s",
    "How long connections with the peer had been quiet before the exchange that hit a reset.",
);
const TIMEOUT: About = About(
    "system.network.tcp.idle_timeout",
    "s",
    "After which quiet a side closes connections, inferred from closes.",
);
const MARGIN: About = About(
    "system.network.tcp.keepalive.margin",
    "s",
    "How much longer the server keeps a quiet connection than the client.",
);

/// A count of connections or exchanges.
type PeerMetric = (About, fn(&PeerCounts) -> u64);

const COUNTS: [PeerMetric; 5] = [
    (
        About(
            "system.network.tcp.connection.successes",
            "{connection}",
            "Connections that became established.",
        ),
        |counts| counts.opened,
    ),
    (
        About(
            "system.network.tcp.connection.closes",
            "{connection}",
            "Established connections that ended, in whatever way.",
        ),
        |counts| counts.closed,
    ),
    (
        About(
            "system.network.tcp.connection.resets",
            "{connection}",
            "Established connections that ended by a reset, or whose late request met one, once each.",
        ),
        |counts| counts.reset,
    ),
    (
        About(
            "system.network.tcp.connection.aborts",
            "{connection}",
            "Established connections that were reset on purpose or without ever carrying data.",
        ),
        |counts| counts.aborted,
    ),
    (
        About(
            "system.network.tcp.exchanges",
            "{exchange}",
            "Request and response turns, estimated from data segments.",
        ),
        |counts| counts.exchanges,
    ),
];

/// A count of open connections.
type OpenMetric = (About, fn(&OpenSeries) -> u64);

const OPEN: [OpenMetric; 2] = [
    (About("system.network.tcp.connection.open", "{connection}", "Connections that are open now."), |open| {
        open.open
    }),
    (
        About(
            "system.network.tcp.connection.idle",
            "{connection}",
            "Open connections that have been quiet for a second or longer.",
        ),
        |open| open.idle,
    ),
];

pub(super) fn metrics(span: Span, snapshot: &Snapshot) -> impl Iterator<Item = Metric> {
    let series = &snapshot.series;
    let resets = series.iter().flat_map(of_peer).chain(snapshot.ports.iter().flat_map(of_port));
    let rejections = snapshot.ports.iter().map(|of| (vec![local_port(of)], of.counts.reject_sent));
    let rejections = rejections.filter(|_| snapshot.hooked.rejections);
    let counts = COUNTS.into_iter().filter_map(move |(about, value)| {
        span.sum(about, COUNTER, series.iter().map(|of| (peer(&of.label), value(&of.counts))))
    });
    let open = OPEN.into_iter().filter_map(move |(about, value)| {
        span.sum(about, UP_AND_DOWN, snapshot.open_series.iter().map(|of| (peer(&of.label), value(of))))
    });
    let by_cause = snapshot.idle.iter().map(|(cause, times)| (vec![text(CAUSE, cause.name())], times));
    let by_peer = series.iter().filter_map(|of| {
        let times = &of.details.as_deref()?.idle;
        (times.count() > 0).then(|| (peer(&of.label), times))
    });
    let timeouts = snapshot.timeout_series.iter().flat_map(|of| {
        [("local", of.local), ("peer", of.peer)].into_iter().filter_map(|(side, timeout)| {
            let side = text("reset_monitor.side", side);
            Some((with(peer(&of.label), [side]), timeout?.as_secs_f64()))
        })
    });
    let margins =
        snapshot.timeout_series.iter().filter_map(|of| Some((peer(&of.label), seconds_of_ms(of.margin_ms?))));
    let rest = [
        span.histogram(IDLE, by_cause),
        span.histogram(PEER_IDLE, by_peer),
        span.gauge(TIMEOUT, timeouts),
        span.gauge(MARGIN, margins),
    ];
    let resets = [span.sum(RESETS, COUNTER, resets), span.sum(REJECTIONS, COUNTER, rejections)];
    resets.into_iter().flatten().chain(counts).chain(open).chain(rest.into_iter().flatten())
}

const CAUSE: &str = "reset_monitor.cause";
const DIRECTION: &str = "network.io.direction";
/// Its values by the conventions.
const RECEIVED: &str = "receive";
const SENT: &str = "transmit";

/// Resets by direction and cause. A cause appears with its first reset.
fn of_peer(of: &PeerSeries) -> impl Iterator<Item = Point<u64>> {
    let points = |direction, counts: &[u64; CAUSES], refused: u64| {
        let mut counts = *counts;
        counts[Cause::Refused as usize] += refused;
        let known = Cause::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
        known
            .map(|(cause, count)| {
                let reset = [text(DIRECTION, direction), text(CAUSE, cause.name())];
                let proposed = proposed(cause).map(|cause| text("network.tcp.reset.cause", cause));
                (with(peer(&of.label), reset.into_iter().chain(proposed)), count)
            })
            .collect::<Vec<_>>()
    };
    let received = points(RECEIVED, &of.causes.received, of.counts.refused_received);
    received.into_iter().chain(points(SENT, &of.causes.sent, 0))
}

/// Refusals that were sent, and resets of no remembered connection.
fn of_port(of: &PortSeries) -> impl Iterator<Item = Point<u64>> {
    let PortSeries { port: _, counts } = of;
    let refused = proposed(Cause::Refused);
    let kinds = [
        (SENT, Cause::Refused.name(), refused, counts.refused_sent),
        (SENT, "stray", None, counts.stray_sent),
        (RECEIVED, "stray", None, counts.stray_received),
    ];
    kinds.into_iter().filter(|(.., count)| *count > 0).map(move |(direction, cause, proposed, count)| {
        let proposed = proposed.map(|cause| text("network.tcp.reset.cause", cause));
        let reset = [text(DIRECTION, direction), text(CAUSE, cause)];
        (with(vec![local_port(of)], reset.into_iter().chain(proposed)), count)
    })
}

fn local_port(of: &PortSeries) -> KeyValue {
    of.port.map_or_else(|| text("reset_monitor.port", "other"), |local| port("network.local.port", local))
}

/// The other end, and our role. Whoever accepts has the port. What is no single address is none of the conventions' attributes.
fn peer(label: &PeerLabel) -> Vec<KeyValue> {
    let PeerLabel { scope, port: service, role } = label;
    let key = match scope {
        Scope::Address(_) => "network.peer.address",
        Scope::Network(..) | Scope::Other | Scope::Retired => "reset_monitor.peer",
    };
    let port_key = match role {
        Role::Client => "network.peer.port",
        Role::Server => "network.local.port",
    };
    let role = text("network.tcp.handshake.role", role_name(*role));
    with(vec![text(key, &scope.to_string()), role], service.map(|service| port(port_key, service)))
}

fn with(mut attributes: Vec<KeyValue>, more: impl IntoIterator<Item = KeyValue>) -> Vec<KeyValue> {
    attributes.extend(more);
    attributes
}

/// In the four words that are proposed, where one of them is surely meant.
const fn proposed(cause: Cause) -> Option<&'static str> {
    match cause {
        Cause::Refused => Some("refused"),
        Cause::KeepaliveTimeout => Some("timeout"),
        Cause::ProcessExit | Cause::UnreadData | Cause::LingerAbort | Cause::LateData | Cause::PeerAbort => {
            Some("application")
        }
        Cause::ListenOverflow
        | Cause::NetfilterReject
        | Cause::AdminAbort
        | Cause::MemoryPressure
        | Cause::ListenerClosed
        | Cause::IdleReuse
        | Cause::Middlebox
        | Cause::IdleAbort
        | Cause::StaleIdle
        | Cause::PeerOverflow
        | Cause::Protocol
        | Cause::Other
        | Cause::Unclassified => None,
    }
}
