//! What a request says, as protoc reads it, and what it must say by the metrics page.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::Value;

use crate::exposition::Sample;
use crate::protoc::decode;

const REQUEST: &str = "opentelemetry.proto.collector.metrics.v1.ExportMetricsServiceRequest";

pub(crate) fn list<'a>(tree: &'a Value, field: &str) -> &'a [Value] {
    tree[field].as_array().map_or(&[], Vec::as_slice)
}

pub(crate) fn number(tree: &Value, field: &str) -> f64 {
    list(tree, field).first().map_or(0.0, |value| value.as_str().unwrap().parse().unwrap())
}

pub(crate) fn word<'a>(tree: &'a Value, field: &str) -> &'a str {
    list(tree, field).first().map_or("", |value| value.as_str().unwrap())
}

pub(crate) type Attributes = BTreeMap<String, String>;

pub(crate) fn attributes(tree: &Value) -> Attributes {
    let of = |attribute: &Value| {
        let value = &attribute["value"][0];
        let key = word(attribute, "key").to_owned();
        // Ports are numbers, and nothing else is.
        assert_eq!(
            !list(value, "int_value").is_empty(),
            ["network.peer.port", "network.local.port"].contains(&&*key),
            "{key}"
        );
        (key, [word(value, "string_value"), word(value, "int_value")].concat())
    };
    let all: Attributes = list(tree, "attributes").iter().map(of).collect();
    assert_eq!(all.len(), list(tree, "attributes").len(), "each once: {tree}");
    all
}

/// Every point by metric and attributes, as `/metrics` would say it. Of a histogram its count and its sum.
pub(crate) fn points(metrics: &[Value]) -> BTreeMap<(String, Attributes), f64> {
    let mut points = BTreeMap::new();
    let mut add = |name: String, attributes: Attributes, value: f64| {
        assert_eq!(
            points.insert((name.clone(), attributes.clone()), value),
            None,
            "{name} {attributes:?} twice"
        );
    };
    for metric in metrics {
        let name = word(metric, "name");
        for point in ["sum", "gauge"]
            .iter()
            .flat_map(|kind| list(metric, kind))
            .flat_map(|data| list(data, "data_points"))
        {
            let value = number(point, "as_int") + number(point, "as_double");
            let mut attributes = attributes(point);
            let proposed = attributes.remove("network.tcp.reset.cause");
            let cause = attributes.get("reset_monitor.cause").map(String::as_str);
            match proposed.as_deref() {
                Some("refused") => assert_eq!(cause, Some("refused")),
                Some("timeout") => assert_eq!(cause, Some("keepalive_timeout")),
                Some("application") => assert!(
                    ["process_exit", "linger_abort", "unread_data", "late_data", "peer_abort"]
                        .contains(&cause.unwrap())
                ),
                None => assert_ne!(cause, Some("refused")),
                Some(other) => panic!("{other} is not proposed"),
            }
            add(name.to_owned(), attributes, value);
        }
        for point in list(metric, "exponential_histogram").iter().flat_map(|data| list(data, "data_points")) {
            let buckets = list(&point["positive"][0], "bucket_counts");
            let counted: f64 =
                buckets.iter().map(|count| count.as_str().unwrap().parse::<f64>().unwrap()).sum();
            assert!((counted + number(point, "zero_count") - number(point, "count")).abs() < 0.5, "{point}");
            add(format!("{name}_count"), attributes(point), number(point, "count"));
            add(format!("{name}_sum"), attributes(point), number(point, "sum"));
        }
    }
    points
}

type Name = (&'static str, &'static str, &'static [(&'static str, &'static str)]);

/// Name in the metrics page, name over OTLP, what is said besides.
const NAMES: [Name; 28] = [
    ("resets_received_total", "tcp.resets", &[("network.io.direction", "receive")]),
    ("resets_sent_total", "tcp.resets", &[("network.io.direction", "transmit")]),
    (
        "refused_received_total",
        "tcp.resets",
        &[("network.io.direction", "receive"), ("reset_monitor.cause", "refused")],
    ),
    (
        "refused_sent_total",
        "tcp.resets",
        &[("network.io.direction", "transmit"), ("reset_monitor.cause", "refused")],
    ),
    (
        "stray_sent_total",
        "tcp.resets",
        &[("network.io.direction", "transmit"), ("reset_monitor.cause", "stray")],
    ),
    (
        "stray_received_total",
        "tcp.resets",
        &[("network.io.direction", "receive"), ("reset_monitor.cause", "stray")],
    ),
    ("reject_sent_total", "tcp.rejections", &[]),
    ("connections_opened_total", "tcp.connection.successes", &[]),
    ("connections_closed_total", "tcp.connection.closes", &[]),
    ("connections_reset_total", "tcp.connection.resets", &[]),
    ("connections_aborted_total", "tcp.connection.aborts", &[]),
    ("exchanges_total", "tcp.exchanges", &[]),
    ("open_connections", "tcp.connection.open", &[]),
    ("idle_connections", "tcp.connection.idle", &[]),
    ("idle_before_reset_seconds_count", "tcp.reset.idle.duration_count", &[]),
    ("idle_before_reset_seconds_sum", "tcp.reset.idle.duration_sum", &[]),
    ("peer_idle_before_reset_seconds_count", "tcp.reset.peer.idle.duration_count", &[]),
    ("peer_idle_before_reset_seconds_sum", "tcp.reset.peer.idle.duration_sum", &[]),
    ("peer_idle_timeout_seconds", "tcp.idle_timeout", &[]),
    ("keepalive_margin_seconds", "tcp.keepalive.margin", &[]),
    ("listen_overflows_total", "tcp.listener.overflows", &[]),
    ("listener_drops_total", "tcp.listener.drops", &[]),
    ("listener_backlog", "tcp.listener.backlog", &[]),
    ("listener_backlog_limit", "tcp.listener.backlog.limit", &[]),
    ("events_seen_total", "events.seen", &[]),
    ("events_lost_total", "events.lost", &[]),
    ("events_suppressed_total", "events.suppressed", &[]),
    ("unattributed", "unattributed", &[]),
];

/// What a sample of the page must be over OTLP.
pub(crate) fn translated(sample: &Sample) -> Option<(String, Attributes)> {
    let short = sample.name.strip_prefix("reset_monitor_")?;
    let (_, name, more) = NAMES.iter().find(|(text, ..)| *text == short)?;
    let prefix = if name.starts_with("tcp.") { "system.network" } else { "reset_monitor" };
    let mut attributes: Attributes =
        more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let labels = &sample.labels;
    let is_number = |text: &str| text.parse::<u16>().is_ok();
    for (label, value) in labels {
        let key = match &**label {
            "peer" if value.parse::<std::net::IpAddr>().is_ok() => "network.peer.address",
            "peer" => "reset_monitor.peer",
            "role" => "network.tcp.handshake.role",
            "port" if is_number(value) && labels.get("role").is_some_and(|role| role == "client") => {
                "network.peer.port"
            }
            "port" if is_number(value) => "network.local.port",
            // What is no port of a peer says what its peer says.
            "port" if labels.contains_key("peer") => continue,
            "port" => "reset_monitor.port",
            "listener" => {
                if let Ok(address) = value.parse::<SocketAddr>() {
                    attributes.insert("network.local.address".to_owned(), address.ip().to_string());
                    attributes.insert("network.local.port".to_owned(), address.port().to_string());
                    continue;
                }
                "reset_monitor.listener"
            }
            "cause" => "reset_monitor.cause",
            "stage" => "reset_monitor.stage",
            "side" => "reset_monitor.side",
            "kind" => "reset_monitor.kind",
            "counter" => "reset_monitor.counter",
            other => panic!("{other} of {sample:?}"),
        };
        attributes.insert(key.to_owned(), value.clone());
    }
    Some((format!("{prefix}.{name}"), attributes))
}

/// The metrics of a request, and the resource they are of.
pub(crate) fn metrics(body: &[u8]) -> (Attributes, Vec<Value>) {
    let tree = decode(REQUEST, body);
    let [of] = list(&tree, "resource_metrics") else { panic!("{tree}") };
    let [scope] = list(of, "scope_metrics") else { panic!("{tree}") };
    assert_eq!(
        (word(&scope["scope"][0], "name"), word(&scope["scope"][0], "version")),
        ("reset-monitor", "0.1.0")
    );
    (attributes(&of["resource"][0]), list(scope, "metrics").to_vec())
}
