//! JSON of `/api/v1/overview`: is anything wrong, with whom, why, and what to change.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::explain::DiagnosisView;
use super::history::PastSumsView;
use crate::http::schema;

/// `/api/v1/overview`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Overview")]
pub struct OverviewView {
    /// When this was read.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// When counting began.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Version of the daemon.
    pub version: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// Seconds since counting began.
    pub uptime_seconds: f64,
    /// `quiet`, `attention` (resets, or what will lead to some) or `wrong` (a critical alert is firing).
    #[schemars(extend("enum" = schema::overview_states()))]
    pub state: String,
    /// In one sentence.
    pub headline: String,
    /// Whom it is about; `null` when about no peer or port.
    pub subject: Option<SubjectView>,
    /// Why, in one sentence.
    pub why: Option<String>,
    /// What to change, in a paragraph.
    pub change: Option<String>,
    /// Everything that is known of that peer; `null` when nothing is.
    pub diagnosis: Option<DiagnosisView>,
    /// How many seconds `recent` sums up.
    pub window_seconds: u64,
    /// All peers in this time.
    pub recent: PastSumsView,
    /// Peers that are known.
    pub peers: Option<u64>,
    /// Connections that are open; `null` where that is not looked at.
    pub open: Option<u64>,
    /// Alerts that are firing.
    pub firing: usize,
    /// Alerts that will fire if what they are about goes on.
    pub pending: usize,
    /// Pairs of timeouts of which the server's ends first.
    pub misaligned: usize,
    /// How well this kernel serves us.
    pub health: HealthView,
}

/// A peer, or a port with all its clients.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Subject")]
pub struct SubjectView {
    /// Address, network or `other`; `null` for all clients of the port.
    pub peer: Option<String>,
    /// Service port.
    pub port: Option<u16>,
    /// `client` or `server`: ours.
    #[schemars(extend("enum" = schema::roles()))]
    pub role: String,
}

/// Signals by status, and whether the account of resets is even.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Health")]
pub struct HealthView {
    /// Signals that work.
    pub works: usize,
    /// Signals served in part.
    pub degraded: usize,
    /// Signals not served.
    pub missing: usize,
    /// Stories lost by our own overload.
    pub lost: u64,
    /// Resets and overflows that the kernel counted differently.
    pub unattributed: u64,
}
