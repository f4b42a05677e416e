//! JSON of `/api/v1/history`: the last day in numbers. Unknown is `null`: nobody looked in that interval.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::schema;

/// `/api/v1/history`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "History")]
pub struct HistoryView {
    /// When this was read.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// When counting began.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Length of an interval in seconds: 10, 60 or 300.
    pub step_seconds: u64,
    /// When the first interval began. The last one is not over as a rule.
    #[schemars(extend("format" = "date-time"))]
    pub start: String,
    /// How many intervals there are.
    pub intervals: usize,
    /// All peers together.
    pub total: PastView,
    /// Those that match, with the most resets first.
    pub peers: Vec<PeerPastView>,
    /// How many match.
    pub matching: usize,
    /// Of how many peers at most the past is kept.
    pub most_peers: usize,
}

/// The past of a peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PeerPast")]
pub struct PeerPastView {
    /// Address, network or `other`. Namespaces are merged.
    pub peer: String,
    /// Service port; `null` for `other`.
    pub port: Option<u16>,
    /// Our role.
    #[schemars(extend("enum" = schema::roles()))]
    pub role: String,
    /// Its numbers; `null` when they are not kept: it had no resets of late, or others had more.
    pub past: Option<PastView>,
    /// How long its connections had been quiet before their resets, since it has series of its own; `null` without any.
    pub idle_before_reset: Option<IdleHistogramView>,
}

/// Numbers by interval, oldest first. A list that is all zero may be left out of a map.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Past")]
pub struct PastView {
    /// Over all intervals.
    pub sums: PastSumsView,
    /// Connections that became established.
    pub opened: Vec<Option<u32>>,
    /// Connections that ended.
    pub closed: Vec<Option<u32>>,
    /// Request/response turns, estimated.
    pub exchanges: Vec<Option<u32>>,
    /// Connections that ended by a reset, or whose late request met one.
    pub reset: Vec<Option<u32>>,
    /// Connections reset on purpose or without data.
    pub aborted: Vec<Option<u32>>,
    /// Refusals received.
    pub refused_received: Vec<Option<u32>>,
    /// Connections that met a full accept queue; `null` for single peers.
    pub overflows: Option<Vec<Option<u32>>>,
    /// Resets sent, by cause.
    #[schemars(extend("propertyNames" = schema::keys(schema::counted_causes())))]
    pub resets_sent: BTreeMap<String, Vec<Option<u32>>>,
    /// Resets received, by cause.
    #[schemars(extend("propertyNames" = schema::keys(schema::counted_causes())))]
    pub resets_received: BTreeMap<String, Vec<Option<u32>>>,
}

/// Sums over intervals.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PastSums")]
pub struct PastSumsView {
    /// Connections that became established.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Request/response turns, estimated.
    pub exchanges: u64,
    /// Connections that ended by a reset, or whose late request met one.
    pub reset: u64,
    /// Connections reset on purpose or without data.
    pub aborted: u64,
    /// Refusals received.
    pub refused_received: u64,
    /// Connections that met a full accept queue; `null` for single peers.
    pub overflows: Option<u64>,
    /// Resets sent, by cause.
    #[schemars(extend("propertyNames" = schema::keys(schema::counted_causes())))]
    pub resets_sent: BTreeMap<String, u64>,
    /// Resets received, by cause.
    #[schemars(extend("propertyNames" = schema::keys(schema::counted_causes())))]
    pub resets_received: BTreeMap<String, u64>,
    /// The cause of most resets; `null` without any.
    #[schemars(extend("enum" = schema::or_null(schema::counted_causes())))]
    pub main_cause: Option<String>,
    /// `reset / closed`; `null` when none was closed.
    pub connection_ratio: Option<f64>,
    /// `reset / exchanges`; `null` without any exchange.
    pub exchange_ratio: Option<f64>,
}

/// How long connections had been quiet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdleHistogram")]
pub struct IdleHistogramView {
    /// Upper bounds of the buckets in seconds, the last bucket has none.
    pub bounds_seconds: Vec<u16>,
    /// How many per bucket, not added up; one more than there are bounds.
    pub counts: Vec<u64>,
    /// Sum in seconds.
    pub sum_seconds: f64,
}
