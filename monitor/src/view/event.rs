//! Parts of an event's JSON: what an event is made of beside its ends and its socket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::schema;

/// Many connections of one peer that ended by resets within a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Burst")]
pub struct BurstView {
    /// Number in the daemon's life, from 1.
    pub id: u64,
    /// When it began: RFC 3339 in UTC, to the microsecond.
    #[schemars(extend("format" = "date-time"))]
    pub first: String,
    /// When its last event was.
    #[schemars(extend("format" = "date-time"))]
    pub last: String,
    /// Connections that ended in it.
    pub connections: u32,
    /// A process that died or was replaced is suspected behind it: the peer's as `client`, ours as `server`.
    pub restart: bool,
}

/// Idle closes by the peer after just as much quiet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdleCloses")]
pub struct IdleClosesView {
    /// How many of its last ones.
    pub count: u32,
    /// The shortest quiet before them, in seconds.
    pub least_seconds: f64,
    /// The longest.
    pub most_seconds: f64,
}

/// The first FIN of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Fin")]
pub struct FinView {
    /// Who closed first: `local` or `peer`.
    #[schemars(extend("enum" = schema::sides()))]
    pub by: String,
    /// Seconds since; `null` when it was not noted or is forgotten.
    pub seconds_ago: Option<f64>,
}

/// An accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Backlog")]
pub struct BacklogView {
    /// Connections that wait to be accepted.
    pub waiting: u32,
    /// How many may wait.
    pub limit: u32,
}

/// A segment: what provoked a sent reset or met a full accept queue, or a received reset itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Segment")]
pub struct SegmentView {
    /// Flags as tcpdump writes them, for example `P.`.
    pub flags: String,
    /// Payload bytes.
    pub bytes: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Index of the interface it came in by.
    pub ifindex: u32,
    /// Its first sequence number less the one expected; `null` where no socket expected one.
    pub sequence_distance: Option<i32>,
}
