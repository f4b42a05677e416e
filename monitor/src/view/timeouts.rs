//! JSON of `/api/v1/timeouts`: how long each side keeps a quiet connection, and who gives up first. Unknown is `null`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::NameView;
use crate::http::schema;

/// `/api/v1/timeouts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Timeouts")]
pub struct TimeoutsView {
    /// When this was read.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Since when closes are watched.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// How many rows match.
    pub matching: usize,
    /// The worst first.
    pub timeouts: Vec<TimeoutView>,
    /// Where this host is in the middle: chains of which a hop matches, the worst first.
    pub chains: Vec<ChainView>,
}

/// A port of ours and the services that sockets of the same cgroup connect to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Chain")]
pub struct ChainView {
    /// Port of ours.
    pub port: u16,
    /// Network namespace.
    pub netns: u32,
    /// The worst of its hops.
    #[schemars(extend("enum" = schema::alignments()))]
    pub verdict: String,
    /// All are in the root cgroup, so nothing tells this host's services apart, and these may be behind another port.
    pub is_guess: bool,
    /// How many services are behind the port.
    pub services: usize,
    /// From the clients to us, then from us to the services, the worst first, at most 20.
    pub hops: Vec<HopView>,
}

/// One hop of a chain.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Hop")]
pub struct HopView {
    /// Address of the service behind us; `null` for the clients before us.
    pub peer: Option<String>,
    /// What the cluster calls it, as of the pair.
    pub name: Option<NameView>,
    /// Service port.
    pub port: u16,
    /// As of the pair.
    #[schemars(extend("enum" = schema::alignments()))]
    pub verdict: String,
    /// Likewise.
    pub margin_seconds: Option<f64>,
    /// After which quiet the side in front gives up, at the latest.
    pub client_seconds: Option<f64>,
    /// After which quiet the side behind closes, at the earliest.
    pub server_seconds: Option<f64>,
}

/// Both sides of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Timeout")]
pub struct TimeoutView {
    /// Address of the other end; `null` for all clients of a port of ours.
    pub peer: Option<String>,
    /// What the cluster calls it; `null` where names are not asked for, and for what has none.
    pub name: Option<NameView>,
    /// Service port.
    pub port: u16,
    /// `client` or `server`: ours.
    #[schemars(extend("enum" = schema::roles()))]
    pub role: String,
    /// Network namespace.
    pub netns: u32,
    /// `misaligned`, `tight`, `unknown` or `aligned`.
    #[schemars(extend("enum" = schema::alignments()))]
    pub verdict: String,
    /// The server's timeout less the client's; negative when the server closes first. `null` when one of them is not known.
    pub margin_seconds: Option<f64>,
    /// After which quiet the client gives up, at the latest.
    pub client_seconds: Option<f64>,
    /// After which quiet the server closes, at the earliest.
    pub server_seconds: Option<f64>,
    /// What was seen of this host.
    pub local: SideView,
    /// What was seen of the other end.
    pub remote: SideView,
    /// Connections that are open now; `null` where that is not looked at, as in other network namespaces without `--enter-namespaces`.
    pub open: Option<u64>,
    /// Those of them that have been quiet for a second or longer.
    pub idle: Option<u64>,
    /// How long one of them has been quiet, the longest; `null` while none is.
    pub held_seconds: Option<f64>,
    /// What to change; `null` where nothing is to be.
    pub change: Option<ChangeView>,
}

/// What was seen of one side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Side")]
pub struct SideView {
    /// Its timeouts, the one that was seen most often first.
    pub timeouts: Vec<InferredView>,
    /// It let so much quiet pass of late: the other side closed first, or the connection is still open.
    pub at_least_seconds: Option<f64>,
}

/// An inferred timeout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Inferred")]
pub struct InferredView {
    /// The middle of the closes.
    pub seconds: f64,
    /// The earliest of them.
    pub earliest_seconds: f64,
    /// The latest of them.
    pub latest_seconds: f64,
    /// In how many moments it was seen.
    pub samples: usize,
    /// How long ago it was seen last.
    pub age_seconds: f64,
}

/// What to change, one of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Change")]
pub struct ChangeView {
    /// The client's idle timeout, to so many seconds at most; `null` when nothing sane fits below the server's.
    pub client_at_most_seconds: Option<u64>,
    /// Or the server's, to so many seconds at least; `null` when the client's is not known.
    pub server_at_least_seconds: Option<u64>,
}
