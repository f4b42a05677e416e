//! JSON of `/api/v1/listeners`. Counters are since the daemon started; unknown is `null`, never 0.

use serde::{Deserialize, Serialize};

/// A listening TCP socket of the daemon's network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Inode number, as in `/proc/PID/fd`.
    pub inode: u32,
    /// User who made it.
    pub uid: u32,
}

/// What a network namespace counts of its listeners, whichever they are. On hosts with more than a few namespaces those besides the
/// daemon's own are read in turn, some at each reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenNamespaceView {
    /// Inode number; `null` for namespaces that ended long ago.
    pub netns: Option<u32>,
    /// Handshakes dropped because an accept queue was full (`ListenOverflows`).
    pub listen_overflows: Option<u64>,
    /// Handshakes dropped for whatever reason (`ListenDrops`).
    pub listen_drops: Option<u64>,
    /// Connections in `TIME_WAIT` now; `null` when the namespace has no process any more.
    pub time_wait_sockets: Option<u64>,
}

/// Sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenTotalView {
    /// `ListenOverflows`, over all namespaces.
    pub listen_overflows: Option<u64>,
    /// `ListenDrops`, over all namespaces.
    pub listen_drops: Option<u64>,
}

/// Connection tracking of the daemon's network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConntrackView {
    /// Connections tracked now.
    pub entries: Option<u64>,
    /// How many may be.
    pub limit: Option<u64>,
    /// Packets dropped because their connection could not be tracked.
    pub drops: Option<u64>,
}

/// `/api/v1/listeners`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenersView {
    /// When the counters were read.
    pub time: String,
    /// When the daemon started to count.
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
