//! JSON of `/api/v1/listeners`. Counters are since the daemon started; unknown is `null`, never 0.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::owners::CgroupView;

/// A listening TCP socket of the daemon's network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Listener")]
pub struct ListenerView {
    /// IP address; IPv4 also when the socket is IPv6 and bound to a v4-mapped one.
    pub addr: String,
    /// TCP port.
    pub port: u16,
    /// Index of the interface it is bound to; `null` when it is not.
    pub interface: Option<u32>,
    /// IPv6 only; `null` for IPv4 sockets.
    pub only_v6: Option<bool>,
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// How many may wait; the kernel admits one more.
    pub limit: u32,
    /// Segments and handshakes that it dropped.
    pub drops: Option<u64>,
    /// How often a SYN met a full queue at this address and port, over all sockets it had; `null` where no function hook counts
    /// that.
    pub overflows_syn: Option<u64>,
    /// The same for the last ACK of a handshake.
    pub overflows_ack: Option<u64>,
    /// Inode number, as in `/proc/PID/fd`.
    pub inode: u32,
    /// User who made it.
    pub uid: u32,
}

/// A listener, in whichever namespace, whose accept queue was ever full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Overflow")]
pub struct OverflowView {
    /// Inode number of its network namespace.
    pub netns: u32,
    /// What that belongs to; `null` for the daemon's own, and where nobody is known in it.
    pub cgroup: Option<CgroupView>,
    /// IP address.
    pub addr: String,
    /// TCP port.
    pub port: u16,
    /// How often a SYN met a full queue there.
    pub overflows_syn: u64,
    /// How often the last ACK of a handshake did.
    pub overflows_ack: u64,
    /// Whether a socket listens there now; `null` for other namespaces than the daemon's, whose sockets are not listed.
    pub open: Option<bool>,
}

/// What a network namespace counts of its listeners, whichever they are. On hosts with more than a few namespaces those besides the
/// daemon's own are read in turn, some at each reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListenNamespace")]
pub struct ListenNamespaceView {
    /// Inode number; `null` for namespaces that ended long ago.
    pub netns: Option<u32>,
    /// What it belongs to; `null` for the daemon's own, and where nobody is known in it.
    pub cgroup: Option<CgroupView>,
    /// Handshakes dropped because an accept queue was full (`ListenOverflows`).
    pub listen_overflows: Option<u64>,
    /// Handshakes dropped for whatever reason (`ListenDrops`).
    pub listen_drops: Option<u64>,
    /// Challenge ACKs sent other than for a SYN, at least (`TCPChallengeACK` less `TCPSYNChallenge`).
    pub challenge_acks: Option<u64>,
    /// Connections in `TIME_WAIT` now; `null` when the namespace has no process any more.
    pub time_wait_sockets: Option<u64>,
}

/// Sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListenTotal")]
pub struct ListenTotalView {
    /// `ListenOverflows`, over all namespaces.
    pub listen_overflows: Option<u64>,
    /// `ListenDrops`, over all namespaces.
    pub listen_drops: Option<u64>,
    /// Overflows at the SYN as function hooks count them, over all namespaces; `null` where there are none.
    pub overflows_syn: Option<u64>,
    /// Overflows at the last ACK, likewise.
    pub overflows_ack: Option<u64>,
    /// Overflows of listeners in no list, because there are too many, likewise.
    pub overflows_not_listed: Option<u64>,
}

/// Connection tracking of the daemon's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Conntrack")]
pub struct ConntrackView {
    /// Connections tracked now.
    pub entries: Option<u64>,
    /// How many may be.
    pub limit: Option<u64>,
    /// Packets dropped because their connection could not be tracked.
    pub drops: Option<u64>,
    /// Connections that the table had no room for, over all network namespaces; `null` where no function hook counts them.
    pub full: Option<u64>,
}

/// `/api/v1/listeners`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Listeners")]
pub struct ListenersView {
    /// When the counters were read.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// When the daemon started to count.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Sockets, the fullest first, then those that dropped most; `null` when the kernel does not list them.
    pub listeners: Option<Vec<ListenerView>>,
    /// How many match.
    pub matching: Option<usize>,
    /// Sockets that are in no list, because there are too many.
    pub not_listed: Option<usize>,
    /// Drops of all listening sockets there ever were, matching or not.
    pub listener_drops: Option<u64>,
    /// Those of them that are closed now.
    pub closed_drops: Option<u64>,
    /// Listeners of all namespaces whose queue was ever full, the most often first; `null` where no function hook counts that.
    pub overflows: Option<Vec<OverflowView>>,
    /// Per network namespace.
    pub namespaces: Vec<ListenNamespaceView>,
    /// Sums over network namespaces.
    pub total: ListenTotalView,
    /// Connection tracking; `null` where it is not in use.
    pub conntrack: Option<ConntrackView>,
    /// TCP sockets of the host that no process owns any more.
    pub orphan_sockets: Option<u64>,
    /// Connections in `TIME_WAIT`, over all namespaces.
    pub time_wait_sockets: Option<u64>,
}
