//! The JSON contract: every type that leaves or enters the daemon as JSON, and nothing else.
//!
//! Internal types stay free to change; these do not. The command-line clients read what the API writes through the
//! same types. Unknown is `null`. Times are RFC 3339 in UTC, durations are seconds.

pub mod listeners;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One end of a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndView {
    /// IP address; IPv4 also when the socket was IPv6 (v4-mapped).
    pub addr: String,
    /// TCP port.
    pub port: u16,
}

/// The peer an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPeerView {
    /// Address of the other end.
    pub peer: String,
    /// Service port: the peer's as client, ours as server.
    pub port: u16,
    /// `client` or `server`: our role.
    pub role: String,
}

/// The kernel's own reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonView {
    /// Name in the running kernel, `null` when its BTF does not name the value.
    pub name: Option<String>,
    /// Raw value.
    pub code: u32,
}

/// The socket's numbers at the event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SocketView {
    /// Payload bytes received.
    pub bytes_in: Option<u64>,
    /// Payload bytes acknowledged by the peer.
    pub bytes_out: Option<u64>,
    /// Data segments received.
    pub data_segments_in: u32,
    /// Data segments sent.
    pub data_segments_out: u32,
    /// Smoothed round-trip time in seconds.
    pub srtt_seconds: Option<f64>,
    /// Seconds since we last sent data, or since the handshake if we never did.
    pub sent_seconds_ago: f64,
    /// Seconds since the peer's last data, likewise.
    pub received_seconds_ago: f64,
    /// Seconds since an ACK was last processed.
    pub ack_seconds_ago: Option<f64>,
    /// Seconds since the handshake; known only while one side had sent no data.
    pub connection_seconds: Option<f64>,
    /// Bytes the application had not read.
    pub unread_bytes: Option<u32>,
    /// Sequence numbers sent and not acknowledged, a FIN included.
    pub unacked_bytes: Option<u32>,
    /// Probes without an answer.
    pub probes: Option<u8>,
    /// `SO_LINGER` 0 was set.
    pub linger_zero: Option<bool>,
    /// `none`, `receive`, `send` or `both`: directions that were shut down.
    pub shutdown: Option<String>,
}

/// The first FIN of a connection.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FinView {
    /// `local` or `peer`: who closed first.
    pub by: String,
    /// Seconds since.
    pub seconds_ago: Option<f64>,
}

/// How long the connection had been quiet before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdleView {
    /// How long.
    pub seconds: f64,
    /// Up to when: `before_our_data` or `before_peers_data` that drew the reset, `before_reset`, or `before_fin`.
    pub basis: String,
    /// ACKs came in meanwhile, so that without data it was quiet for longer.
    pub at_least: bool,
}

/// An accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogView {
    /// Connections that wait.
    pub waiting: u32,
    /// The limit.
    pub limit: u32,
}

/// The segment that provoked a sent reset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentView {
    /// Flags as tcpdump writes them, for example `P.`.
    pub flags: String,
    /// Payload bytes.
    pub bytes: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Index of the interface it came in by.
    pub ifindex: u32,
    /// Its first sequence number less the one expected, where a socket expected one.
    pub sequence_distance: Option<i32>,
}

/// The task an event belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnerView {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Task name; hostile input, to be shown as text.
    pub comm: String,
    /// The task was dying.
    pub exiting: bool,
    /// Of this signal.
    pub exit_signal: Option<u8>,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, as JSON has them")]
pub struct EventView {
    /// Number in the daemon's life, from 1.
    pub id: u64,
    /// When it happened.
    pub time: String,
    /// `reset_sent`, `reset_received`, `refused_sent`, `refused_received`, `stray_sent`, `stray_received`, `idle_close_sent` or
    /// `idle_close_received`.
    pub kind: String,
    /// `sent` or `received`.
    pub direction: String,
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Our end.
    pub local: EndView,
    /// The other end.
    pub remote: EndView,
    /// The peer; `null` for refusals and strays counted by local port.
    pub peer: Option<EventPeerView>,
    /// TCP state in the hook.
    pub state: Option<String>,
    /// TCP state before the reset closed it.
    pub state_before: Option<String>,
    /// The kernel's reason.
    pub reason: Option<ReasonView>,
    /// Our verdict; `null` for idle closes, which are no resets.
    pub cause: Option<String>,
    /// `certain`, `likely` or `possible`.
    pub confidence: Option<String>,
    /// Which fields of this object led to the verdict.
    pub evidence: Vec<String>,
    /// What the application on this host saw: `ECONNREFUSED`, `ECONNRESET`, `EOF` (writing fails with EPIPE), `ETIMEDOUT`,
    /// `ECONNABORTED` or `nothing`.
    pub app_saw: Option<String>,
    /// The event of the other end, when that is on this host, too.
    pub other_end: Option<u64>,
    /// `false` while the verdict is provisional. It is final within a second, and only then counted.
    #[serde(rename = "final")]
    pub is_final: bool,
    /// How long the connection had been quiet before.
    pub idle: Option<IdleView>,
    /// The first FIN of either side.
    pub fin: Option<FinView>,
    /// What ended the connection before: `our_fin`, `unread_data`, `linger`, `destroy`, `reset` or `peers_reset`; only when its
    /// socket was gone already.
    pub ended_by: Option<String>,
    /// `reset`, `aborted`, or `null` when the connection was counted before or is none.
    pub counted: Option<String>,
    /// The socket's numbers.
    pub socket: Option<SocketView>,
    /// What provoked a sent reset.
    pub segment: Option<SegmentView>,
    /// TTL or hop limit of the peer's handshake.
    pub baseline_ttl: Option<u8>,
    /// The reset was sent without a provoking segment.
    pub active: bool,
    /// The socket had no owner any more.
    pub orphan: bool,
    /// No file was attached: an orphan, or a connection that nobody had accepted.
    pub fileless: bool,
    /// Ended through `SOCK_DESTROY`.
    pub destroyed: bool,
    /// The connection had carried data, either way.
    pub carried_data: bool,
    /// Accept queue of the listener that answered.
    pub backlog: Option<BacklogView>,
    /// Who closed; `null` where the current task was not the owner.
    pub owner: Option<OwnerView>,
    /// Inode number of the socket, as `/proc/PID/fd` shows it.
    pub socket_inode: Option<u64>,
    /// Id of the socket's cgroup: the inode number of its directory.
    pub cgroup_id: Option<u64>,
    /// Seconds since our FIN, or since the reset that ended the connection, when its socket was gone already.
    pub since_close_seconds: Option<f64>,
}

/// `/api/v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventsView {
    /// Oldest first.
    pub events: Vec<EventView>,
}

/// Counts of a peer or of a sum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountsView {
    /// Connections that became established.
    pub opened: u64,
    /// Connections that ended.
    pub closed: u64,
    /// Ended by a reset, or with a late request that met one.
    pub reset: u64,
    /// Reset on purpose or without data.
    pub aborted: u64,
    /// Request/response turns, estimated.
    pub exchanges: u64,
    /// Resets sent.
    pub resets_sent: u64,
    /// Resets received.
    pub resets_received: u64,
    /// Refusals received.
    pub refused_received: u64,
}

/// One peer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerView {
    /// Address, network, `other` or `retired`.
    pub peer: String,
    /// Service port; `null` for `other` and `retired`.
    pub port: Option<u16>,
    /// `client` or `server`.
    pub role: String,
    /// Namespace; `null` for `other` and `retired`.
    pub netns: Option<u32>,
    /// How many.
    #[serde(flatten)]
    pub counts: CountsView,
    /// `reset / closed`; `null` before the first close.
    pub reset_ratio: Option<f64>,
    /// Sent resets by cause; causes without any are left out.
    pub causes_sent: BTreeMap<String, u64>,
    /// Received resets by cause.
    pub causes_received: BTreeMap<String, u64>,
}

/// Refusals and strays of a local port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortView {
    /// The port; `null` for the rest.
    pub port: Option<u16>,
    /// Resets sent that answered a SYN.
    pub refused_sent: u64,
    /// Resets sent for segments of no remembered connection.
    pub stray_sent: u64,
    /// Resets received for no remembered connection.
    pub stray_received: u64,
}

/// `/api/v1/peers`. The server writes peers one by one instead of collecting them first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeersView<P = Vec<PeerView>> {
    /// When the counters were read.
    pub time: String,
    /// Peers, most resets first; `other` and `retired` among them.
    pub peers: P,
    /// How many peers match, before paging.
    pub matching: usize,
    /// Sum over all peers, matching or not.
    pub total: CountsView,
    /// Local ports with refusals or strays.
    pub ports: Vec<PortView>,
}

/// Ours against the kernel's `OutRsts`, per namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceView {
    /// Inode number.
    pub netns: u32,
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
}

/// The account of one kind of story.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FillView {
    /// Used entries; `null` where the kernel does not tell.
    pub used: Option<u64>,
    /// Capacity.
    pub capacity: u64,
}

/// `/api/v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StatusView {
    /// Version of the daemon.
    pub version: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// When it attached.
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
    /// Per namespace.
    pub namespaces: Vec<NamespaceView>,
    /// Per kind.
    pub stories: BTreeMap<String, StoryView>,
    /// Records not understood.
    pub undecodable: u64,
    /// Bounded things, by name.
    pub fills: BTreeMap<String, FillView>,
    /// Counts that went to a network or to `other` for want of a slot.
    pub over_budget: u64,
    /// Kernel reads that failed.
    pub failed_reads: u64,
    /// Runs the kernel skipped, by program; `null` when it does not count them.
    pub missed_runs: BTreeMap<String, Option<u64>>,
}

/// A signal, its hook, and how well it is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalView {
    /// Name.
    pub signal: String,
    /// Hook, or `none`.
    pub hook: String,
    /// `works`, `degraded` or `missing`.
    pub status: String,
    /// Why it is not better.
    pub why: Option<String>,
    /// What to do.
    pub advice: Option<String>,
}

/// `/api/v1/signals`, and `check -o json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignalsView {
    /// Release of the running kernel.
    pub kernel: String,
    /// Every signal.
    pub signals: Vec<SignalView>,
}

/// Body of every error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorView {
    /// What was wrong, and with what.
    pub error: String,
}

/// The event `lagged` of `/api/v1/events/stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaggedView {
    /// Events before the next one, of any kind, that this reader will not get.
    pub missed: u64,
}
