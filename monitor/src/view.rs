//! The JSON contract: every type that leaves or enters the daemon as JSON, and nothing else.
//!
//! Internal types stay free to change; these do not. The command-line clients read what the API writes through the
//! same types. Unknown is `null`. Times are RFC 3339 in UTC, durations are seconds.

pub mod alerts;
pub mod check;
pub mod event;
pub mod explain;
pub mod history;
pub mod listeners;
pub mod names;
pub mod overview;
pub mod owners;
pub mod push;
pub mod timeouts;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::event::{BacklogView, BurstView, FinView, IdleClosesView, SegmentView};
use self::names::{NameView, NamesView};
use self::owners::{CgroupView, OwnerView, OwnersView, PeerNamespaceView, ProcessView};
use crate::http::schema;

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "End")]
pub struct EndView {
    /// IP address; IPv4 also when the socket was IPv6 (v4-mapped).
    pub addr: String,
    /// TCP port.
    pub port: u16,
}

/// The peer an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "EventPeer")]
pub struct EventPeerView {
    /// Address of the other end.
    pub peer: String,
    /// Service port: the peer's as client, ours as server.
    pub port: u16,
    /// Our role: `client` if we connected, `server` if we accepted.
    #[schemars(extend("enum" = schema::roles()))]
    pub role: String,
}

/// The kernel's own reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Reason")]
pub struct ReasonView {
    /// Name in the running kernel (`enum sk_rst_reason` without its prefix), `null` when its BTF does not name the value.
    pub name: Option<String>,
    /// Raw value; differs between kernels.
    pub code: u32,
}

/// The socket's numbers at the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Socket")]
pub struct SocketView {
    /// Payload bytes received in order; `null` when that was not kept.
    pub bytes_in: Option<u64>,
    /// Payload bytes acknowledged by the peer; `null` when that was not kept.
    pub bytes_out: Option<u64>,
    /// Data segments received.
    pub data_segments_in: u32,
    /// Data segments sent.
    pub data_segments_out: u32,
    /// Smoothed round-trip time in seconds; `null` before the first measurement.
    pub srtt_seconds: Option<f64>,
    /// Seconds since we last sent data, or since the handshake if we never did.
    pub sent_seconds_ago: f64,
    /// Seconds since the peer's last data, likewise.
    pub received_seconds_ago: f64,
    /// Seconds since an ACK was last processed; `null` when the socket was gone already.
    pub ack_seconds_ago: Option<f64>,
    /// Seconds since the handshake; `null` once both sides have sent data, since the kernel does not keep it.
    pub connection_seconds: Option<f64>,
    /// Bytes the application had not read; `null` when the socket was gone already.
    pub unread_bytes: Option<u32>,
    /// Sequence numbers sent and not acknowledged, a FIN included; `null` when the socket was gone already.
    pub unacked_bytes: Option<u32>,
    /// Keep-alive or zero-window probes without an answer; `null` when the socket was gone already.
    pub probes: Option<u8>,
    /// `SO_LINGER` 0 was set; `null` when the socket was gone already.
    pub linger_zero: Option<bool>,
    /// Directions that were shut down: `none`, `receive`, `send` or `both`; `null` when the socket was gone already.
    #[schemars(extend("enum" = schema::or_null(schema::shutdowns())))]
    pub shutdown: Option<String>,
}

/// How long the connection had been quiet before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Idle")]
pub struct IdleView {
    /// How long, in seconds, to one kernel tick (1 to 10 ms).
    pub seconds: f64,
    /// Up to when: `before_our_data` or `before_peers_data` that drew the reset, `before_reset`, or `before_fin`.
    #[schemars(extend("enum" = schema::bases()))]
    pub basis: String,
    /// ACKs came in meanwhile, so that without data it was quiet for longer.
    pub at_least: bool,
}

/// A reset that was sent or received, a connection that met a full accept queue, or an idle close: what the kernel told, and our
/// verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Event")]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as JSON has them")]
pub struct EventView {
    /// Number in the daemon's life, from 1, without gaps. Idle closes are numbered, too.
    pub id: u64,
    /// When it happened: RFC 3339 in UTC, to the microsecond.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// `reset_sent`, `reset_received`; `refused_sent`, `refused_received` (it answered a SYN); `stray_sent`, `stray_received` (of no
    /// connection that is remembered); `reject_sent` (by netfilter, for a REJECT rule); `listen_overflow` (a connection met a full
    /// accept queue, no reset); `idle_close_sent` or `idle_close_received` (a FIN after a second or more of quiet, no reset).
    #[schemars(extend("enum" = schema::kinds()))]
    pub kind: String,
    /// `sent` or `received`, from this host's point of view.
    #[schemars(extend("enum" = schema::directions()))]
    pub direction: String,
    /// `ipv4` or `ipv6`, on the wire.
    #[schemars(extend("enum" = schema::families()))]
    pub family: String,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Our end.
    pub local: EndView,
    /// The other end.
    pub remote: EndView,
    /// What the cluster calls it now, or called it last; `null` where names are not asked for, and for what has none.
    pub remote_name: Option<NameView>,
    /// The peer it is counted for; `null` for refusals, strays and rejections, which are counted by local port, and for overflows, which
    /// are counted by listener.
    pub peer: Option<EventPeerView>,
    /// TCP state in the hook; `null` without a socket.
    pub state: Option<String>,
    /// TCP state before the reset closed it; `null` when nothing was closed or it was not noted.
    pub state_before: Option<String>,
    /// The kernel's reason; `null` on kernels and for resets that have none.
    pub reason: Option<ReasonView>,
    /// Our verdict; `null` for idle closes, which are no resets.
    #[schemars(extend("enum" = schema::or_null(schema::causes())))]
    pub cause: Option<String>,
    /// `certain`, `likely` or `possible`; `null` without a verdict.
    #[schemars(extend("enum" = schema::or_null(schema::confidences())))]
    pub confidence: Option<String>,
    /// Which fields of this object led to the verdict.
    #[schemars(extend("items" = schema::evidence()), extend("uniqueItems" = true))]
    pub evidence: Vec<String>,
    /// What the application on this host saw: `ECONNREFUSED`, `ECONNRESET`, `EOF` (writing fails with EPIPE), `ETIMEDOUT`,
    /// `ECONNABORTED` or `nothing`; `null` when that depends on what is not known.
    #[schemars(extend("enum" = schema::or_null(schema::app_saws())))]
    pub app_saw: Option<String>,
    /// `id` of the event of the other end, when that is on this host, too; else `null`.
    pub other_end: Option<u64>,
    /// `false` while the verdict is provisional. It is final within a second, and only then counted.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// The burst it was part of; `null` when it was part of none, and until the burst is over.
    pub burst: Option<BurstView>,
    /// How long the connection had been quiet before; `null` where no connection is known.
    pub idle: Option<IdleView>,
    /// The peer has closed connections before that had been idle for as long as this one was: what makes `idle_reuse` of a reset
    /// without a FIN. `null` where that did not decide.
    pub peers_idle_closes: Option<IdleClosesView>,
    /// The first FIN of either side; `null` when there was none, or none is known.
    pub fin: Option<FinView>,
    /// What ended the connection before: `our_fin`, `unread_data`, `linger`, `destroy`, `reset` or `peers_reset`; `null` unless its
    /// socket was gone already.
    #[schemars(extend("enum" = schema::or_null(schema::endings())))]
    pub ended_by: Option<String>,
    /// How the connection was counted at this event: `reset`, `aborted`, or `null` when it was counted before or is none.
    #[schemars(extend("enum" = schema::or_null(schema::counted())))]
    pub counted: Option<String>,
    /// The socket's numbers; `null` when there was none and none is remembered.
    pub socket: Option<SocketView>,
    /// What provoked a sent reset or met a full accept queue; of a received reset, the reset itself. `null` when nothing did, or
    /// the hook in use does not have it.
    pub segment: Option<SegmentView>,
    /// TTL or hop limit of the peer's handshake; `null` when not known.
    pub baseline_ttl: Option<u8>,
    /// The reset was sent without a provoking segment.
    pub active: bool,
    /// The socket had no owner any more.
    pub orphan: bool,
    /// No file was attached: an orphan, or a connection that nobody had accepted.
    pub fileless: bool,
    /// Ended through `SOCK_DESTROY` (`ss -K`).
    pub destroyed: bool,
    /// The connection had carried data, either way.
    pub carried_data: bool,
    /// Accept queue of the listener that answered or had no room; `null` when none did.
    pub backlog: Option<BacklogView>,
    /// Where in its handshake a connection met the full accept queue: `syn` or `ack`; `null` when it met none.
    #[schemars(extend("enum" = schema::or_null(schema::stages())))]
    pub stage: Option<String>,
    /// Who closed the connection, when it was this host; `null` where no task of ours did, or it is not known.
    pub owner: Option<OwnerView>,
    /// The process that owned the socket; `null` where it is not known, or not yet: it is looked up when the event has happened.
    pub process: Option<ProcessView>,
    /// Inode number of the socket, as `/proc/PID/fd` shows it; `null` when it had none.
    pub socket_inode: Option<u64>,
    /// Id of the socket's cgroup: the inode number of its directory; `null` when not known.
    pub cgroup_id: Option<u64>,
    /// That cgroup, of what has no socket that of its network namespace; `null` where it is not known, or not yet.
    pub cgroup: Option<CgroupView>,
    /// Seconds since our FIN, or since the reset that ended the connection; `null` unless its socket was gone already.
    pub since_close_seconds: Option<f64>,
}

/// `/api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Events")]
pub struct EventsView {
    /// Oldest first.
    pub events: Vec<EventView>,
    /// Events right after the `after` that was asked for, of any kind, which are no longer kept.
    pub missed: u64,
    /// To be passed as `after` for what follows this answer. Less than the `after` of the request: the daemon was restarted.
    pub next: u64,
    /// To be passed as `before` for what precedes this answer; `null` when nothing older is kept.
    pub previous: Option<u64>,
    /// Id of the oldest event that is kept; `null` before the first one.
    pub oldest: Option<u64>,
    /// When that was.
    #[schemars(extend("format" = "date-time"))]
    pub oldest_time: Option<String>,
    /// Id of the newest event.
    pub newest: Option<u64>,
    /// When the daemon attached: nothing is known from before, and ids count from there.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
}

/// Counts of a peer or of a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Counts")]
pub struct CountsView {
    /// Connections that became established.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Ended by a reset, or with a late request that met one.
    pub reset: u64,
    /// Reset on purpose or without data.
    pub aborted: u64,
    /// Request/response turns, estimated; those of open connections as of the last walk.
    pub exchanges: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// Resets received.
    pub resets_received: u64,
    /// Refusals received.
    pub refused_received: u64,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Peer")]
pub struct PeerView {
    /// Address, network, `other` or `retired`.
    pub peer: String,
    /// What the cluster calls it; `null` where names are not asked for, and for what has none.
    pub name: Option<NameView>,
    /// Service port; `null` for `other` and `retired`.
    pub port: Option<u16>,
    /// `client` or `server`.
    #[schemars(extend("enum" = schema::roles()))]
    pub role: String,
    /// Namespace; `null` for `other` and `retired`.
    pub netns: Option<u32>,
    /// How many.
    #[serde(flatten)]
    pub counts: CountsView,
    /// `reset / closed`; `null` before the first close.
    pub reset_ratio: Option<f64>,
    /// Sent resets by cause; causes without any are left out.
    #[schemars(extend("propertyNames" = schema::keys(schema::counted_causes())))]
    pub causes_sent: BTreeMap<String, u64>,
    /// Received resets by cause.
    #[schemars(extend("propertyNames" = schema::keys(schema::counted_causes())))]
    pub causes_received: BTreeMap<String, u64>,
    /// Connections that are open now; `null` where that is not looked at, and for networks and `retired`, whose are with `other`.
    pub open: Option<u64>,
    /// Those of them that have been quiet for a second or longer.
    pub idle: Option<u64>,
}

/// Refusals, strays and rejections of a local port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Port")]
pub struct PortView {
    /// The port; `null` for the rest.
    pub port: Option<u16>,
    /// Resets sent that answered a SYN.
    pub refused_sent: u64,
    /// Resets sent for segments of no remembered connection.
    pub stray_sent: u64,
    /// Resets received for no remembered connection.
    pub stray_received: u64,
    /// Resets that netfilter sent for a REJECT rule; the port is the one that was asked for. `null` where no function hook counts
    /// them.
    pub reject_sent: Option<u64>,
}

/// `/api/v1/peers`.
// `P`: the server writes peers one by one instead of collecting them first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Peers")]
pub struct PeersView<P = Vec<PeerView>> {
    /// When the counters were read.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// Peers, most resets first; `other` and `retired` among them.
    pub peers: P,
    /// How many peers match, before paging.
    pub matching: usize,
    /// Sum over all peers, matching or not.
    pub total: CountsView,
    /// Connections of all peers that are open now, matching or not; `null` where that is not looked at.
    pub open: Option<u64>,
    /// Local ports with refusals or strays.
    pub ports: Vec<PortView>,
    /// Network namespaces of these peers, besides the daemon's own.
    pub namespaces: Vec<PeerNamespaceView>,
}

/// Ours against the kernel's `OutRsts` and `ListenOverflows`, per namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Namespace")]
pub struct NamespaceView {
    /// Inode number.
    pub netns: u32,
    /// What it belongs to; `null` for the daemon's own, and where nobody is known in it.
    pub cgroup: Option<CgroupView>,
    /// Resets sent on connections of peers.
    pub resets_sent: u64,
    /// Refusals sent.
    pub refused_sent: u64,
    /// Strays sent.
    pub stray_sent: u64,
    /// The kernel's `Tcp: OutRsts` since we attached.
    pub kernel_out_resets: Option<u64>,
    /// Ours minus the kernel's.
    pub unattributed: Option<i64>,
    /// Connections that met a full accept queue with their SYN; `null` where no function hook counts them.
    pub overflows_syn: Option<u64>,
    /// Connections that met one with the last ACK of their handshake; `null` likewise.
    pub overflows_ack: Option<u64>,
    /// Both minus the kernel's `TcpExt: ListenOverflows` since we attached; `null` likewise.
    pub unattributed_overflows: Option<i64>,
    /// Resets that netfilter sent, which `OutRsts` does not count; `null` where no function hook counts them.
    pub reject_sent: Option<u64>,
}

/// The account of one kind of story.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Story")]
pub struct StoryView {
    /// Should have a story.
    pub seen: u64,
    /// Handed to the ring.
    pub submitted: u64,
    /// The ring was full.
    pub lost: u64,
    /// Held back by the rate limit.
    pub suppressed: u64,
    /// Decoded.
    pub decoded: u64,
}

/// How full a bounded thing is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Fill")]
pub struct FillView {
    /// Used entries; `null` where the kernel does not tell.
    pub used: Option<u64>,
    /// Capacity.
    pub capacity: u64,
}

/// What every version's `/api/v1/status` has: for who understands nothing else of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct VersionView {
    /// Version of the daemon.
    pub version: String,
}

/// `/api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Status")]
pub struct StatusView {
    /// Version of the daemon.
    pub version: String,
    /// Name of the daemon's host, as `uname -n` says it.
    pub node: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// When it attached.
    #[schemars(extend("format" = "date-time"))]
    pub started: String,
    /// Seconds since.
    pub uptime_seconds: f64,
    /// Sum over all peers.
    pub total: CountsView,
    /// The kernel programs' independent sum; equal at rest.
    pub kernel_total: CountsView,
    /// Refusals and strays over all ports.
    pub ports_total: PortView,
    /// Sum of the absolute differences to `OutRsts`.
    pub unattributed: u64,
    /// Sum of the absolute differences to `ListenOverflows`; `null` where no function hook counts overflows.
    pub unattributed_overflows: Option<u64>,
    /// Connections that met a full accept queue with their SYN; `null` likewise.
    pub overflows_syn: Option<u64>,
    /// Connections that met one with the last ACK of their handshake; `null` likewise.
    pub overflows_ack: Option<u64>,
    /// Connections that the connection-tracking table had no room for; `null` where no function hook counts them.
    pub conntrack_full: Option<u64>,
    /// Challenge ACKs sent other than for a SYN, at least; `null` where the kernel's counters cannot be read.
    pub challenge_acks: Option<u64>,
    /// Per namespace.
    pub namespaces: Vec<NamespaceView>,
    /// Per kind.
    #[schemars(extend("propertyNames" = schema::keys(schema::kinds())))]
    pub stories: BTreeMap<String, StoryView>,
    /// Records not understood.
    pub undecodable: u64,
    /// Bounded things, by name.
    pub fills: BTreeMap<String, FillView>,
    /// What is known of owners of sockets.
    pub owners: OwnersView,
    /// What is known of the cluster; `null` where it is not asked.
    pub names: Option<NamesView>,
    /// Counts that went to a network or to `other` for want of a slot.
    pub over_budget: u64,
    /// Kernel reads that failed.
    pub failed_reads: u64,
    /// Runs the kernel skipped, by program; `null` when it does not count them.
    pub missed_runs: BTreeMap<String, Option<u64>>,
}

/// A signal, its hook, and how well it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Signal")]
pub struct SignalView {
    /// Name.
    pub signal: String,
    /// Hook, or `none`.
    pub hook: String,
    /// `works`, `degraded` or `missing`.
    #[schemars(extend("enum" = schema::statuses()))]
    pub status: String,
    /// Why it is not better.
    pub why: Option<String>,
    /// What to do.
    pub advice: Option<String>,
}

/// `/api/v1/signals`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Signals")]
pub struct SignalsView {
    /// Release of the running kernel.
    pub kernel: String,
    /// Every signal.
    pub signals: Vec<SignalView>,
}

/// Body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Error")]
pub struct ErrorView {
    /// What was wrong, and with what.
    pub error: String,
}

/// The event `lagged` of `/api/v1/events/stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Lagged")]
pub struct LaggedView {
    /// Events before the next one, of any kind, that this reader will not get.
    pub missed: u64,
}
