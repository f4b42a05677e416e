//! The decoded story of one reset: what decode makes, enrich and classify complete, and everyone else reads.
//!
//! Meaning, not bytes: what the hook could not know is `None`, never zero. Built once per record, then shared
//! behind an `Arc` and never changed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::Kind;
use monitor_common::peer::{Ended, Role, Side};
use monitor_common::record::Stage;

use crate::burst::Burst;
use crate::idle::Idle;
use crate::verdict::Verdict;

/// From this host's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// We sent the reset.
    Sent,
    /// We received it.
    Received,
}

impl Direction {
    /// The direction a kind of story has.
    pub const fn of(kind: Kind) -> Self {
        match kind {
            Kind::ResetSent
            | Kind::RefusedSent
            | Kind::StraySent
            | Kind::IdleCloseSent
            | Kind::RejectSent => Self::Sent,
            Kind::ResetReceived
            | Kind::RefusedReceived
            | Kind::StrayReceived
            | Kind::IdleCloseReceived
            | Kind::ListenOverflow => Self::Received,
        }
    }

    /// As labels and JSON spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Received => "received",
        }
    }
}

/// As labels and JSON spell a role.
pub const fn role_name(role: Role) -> &'static str {
    match role {
        Role::Client => "client",
        Role::Server => "server",
    }
}

/// TCP states by the kernel's numbers (`include/net/tcp_states.h`, unchanged from 5.10 to 7.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpState(pub u8);

impl TcpState {
    /// The field's usual name for the state, `None` for a number no kernel of ours uses.
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            1 => "ESTABLISHED",
            2 => "SYN_SENT",
            3 => "SYN_RECV",
            4 => "FIN_WAIT1",
            5 => "FIN_WAIT2",
            6 => "TIME_WAIT",
            7 => "CLOSE",
            8 => "CLOSE_WAIT",
            9 => "LAST_ACK",
            10 => "LISTEN",
            11 => "CLOSING",
            12 => "NEW_SYN_RECV",
            _ => return None,
        })
    }
}

impl TcpState {
    /// Open for both directions.
    pub const ESTABLISHED: Self = Self(1);
    /// Our SYN is on its way.
    pub const SYN_SENT: Self = Self(2);
    /// Our FIN went first, and was not acknowledged yet.
    pub const FIN_WAIT1: Self = Self(4);
    /// Our FIN went first, and was acknowledged.
    pub const FIN_WAIT2: Self = Self(5);
    /// Over.
    pub const CLOSE: Self = Self(7);
    /// The peer's FIN came first, and ours has not gone yet.
    pub const CLOSE_WAIT: Self = Self(8);
    /// The peer's FIN came first, and ours is on its way.
    pub const LAST_ACK: Self = Self(9);
    /// A listener.
    pub const LISTEN: Self = Self(10);
    /// Both FINs crossed.
    pub const CLOSING: Self = Self(11);
}

/// What the kernel said, by the running kernel's own name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Raw value of `enum sk_rst_reason`.
    pub code: u32,
    /// Its name without the common prefix; `None` when the running kernel's BTF does not name the value.
    pub name: Option<std::sync::Arc<str>>,
}

impl Reason {
    /// Keep-alive probes went unanswered (6.12 and newer).
    pub const KEEPALIVE_TIMEOUT: &'static str = "TCP_KEEPALIVE_TIMEOUT";
    /// `close()` with data unread; of MPTCP also with `SO_LINGER` 0 (6.12 and newer).
    pub const ABORT_ON_CLOSE: &'static str = "TCP_ABORT_ON_CLOSE";
}

/// The task an event belongs to, only ever set when the kernel side knew that it is the owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Process id (thread group).
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Task name with control characters replaced; chosen by the process, so hostile until shown as text.
    pub comm: String,
    /// The task was dying when it closed the connection.
    pub exiting: bool,
    /// The signal it was dying of, if any.
    pub exit_signal: Option<u8>,
    /// That signal came from the OOM killer.
    pub oom_killed: bool,
}

/// What a full socket, or the closed memory of one, told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketFacts {
    /// Data segments received.
    pub data_segments_in: u32,
    /// Data segments sent.
    pub data_segments_out: u32,
    /// Payload bytes received in order.
    pub bytes_in: Option<u64>,
    /// Payload bytes acknowledged by the peer.
    pub bytes_out: Option<u64>,
    /// Smoothed round-trip time in microseconds.
    pub srtt_us: Option<u32>,
    /// Since we last sent data, in whole jiffies; since the connection's beginning when we never did.
    pub sent_age: Duration,
    /// Since the peer's last data, likewise.
    pub received_age: Duration,
    /// Since an ACK was last processed; not kept in the closed memory.
    pub ack_age: Option<Duration>,
    /// Bytes the application had not read; not kept in the closed memory.
    pub unread_bytes: Option<u32>,
    /// Sequence numbers sent and not acknowledged, a FIN included; not kept in the closed memory.
    pub unacked_bytes: Option<u32>,
    /// Zero-window or keep-alive probes without an answer; not kept in the closed memory.
    pub probes: Option<u8>,
    /// `SO_LINGER` with time 0 was set; not kept in the closed memory.
    pub linger_zero: Option<bool>,
    /// `sk_shutdown` bits: 1 receive, 2 send; not kept in the closed memory.
    pub shutdown: Option<u8>,
}

impl SocketFacts {
    /// Since the handshake. The kernel does not keep it, but for a side that never sent data, "last sent" is the beginning.
    pub const fn connection_age(&self) -> Option<Duration> {
        if self.data_segments_in == 0 {
            Some(self.received_age)
        } else if self.data_segments_out == 0 {
            Some(self.sent_age)
        } else {
            None
        }
    }
}

/// The first FIN of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fin {
    /// Whose.
    pub by: Side,
    /// How quiet the connection was then; `None` when it was not noted or is forgotten.
    pub quiet: Option<Quiet>,
}

/// How quiet a connection was at its first FIN. Times until the event, in whole jiffies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    /// Since the FIN.
    pub age: Duration,
    /// Since the last data we had sent by then.
    pub sent_age: Duration,
    /// Since the last data we had received by then.
    pub received_age: Duration,
    /// Bytes of the FIN's side which nobody had taken yet: few for a TLS `close_notify`.
    pub last_bytes: u32,
    /// After its own FIN the peer has acknowledged data of ours.
    pub answered: bool,
}

/// How long connections had been idle when the peer closed them, as long as this one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdleCloses {
    /// How many are remembered.
    pub count: u32,
    /// The shortest time.
    pub least: Duration,
    /// The longest.
    pub most: Duration,
}

/// The segment that provoked a sent reset or met a full queue; of a received reset, the reset itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Flag byte of the TCP header.
    pub flags: u8,
    /// Payload bytes.
    pub bytes: u32,
    /// TTL or hop limit.
    pub ttl: u8,
    /// Interface it came in by.
    pub ifindex: u32,
    /// Its first sequence number less the one expected, where a socket expected one.
    pub sequence_distance: Option<i32>,
}

/// How the kernel side counted the connection at this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// In the reset count, the ratio's numerator.
    Reset,
    /// In the aborted count.
    Aborted,
}

impl Counted {
    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Aborted => "aborted",
        }
    }
}

/// One event, decoded and enriched, without a verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "five independent facts about one socket")]
pub struct Event {
    /// What it is about.
    pub kind: Kind,
    /// Wall-clock time of the hook.
    pub time: Timestamp,
    /// Monotonic nanoseconds of the hook.
    pub monotonic_ns: u64,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Our end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Our role, when the socket or its memory told it.
    pub role: Option<Role>,
    /// The slot it was counted in; `None` when it was counted by local port.
    pub slot: Option<u32>,
    /// State of the socket in the hook; `None` without a socket.
    pub state: Option<TcpState>,
    /// State before the reset closed it.
    pub state_before: Option<TcpState>,
    /// The kernel's own reason, on kernels that give one.
    pub reason: Option<Reason>,
    /// The reset was sent without a provoking segment: by `close()`, a timer or an administrator.
    pub active: bool,
    /// The connection had carried data, either way.
    pub carried_data: bool,
    /// Ended through `SOCK_DESTROY` (`ss -K`).
    pub destroyed: bool,
    /// The socket had no owner any more.
    pub orphan: bool,
    /// No file was attached to the socket: an orphan, or a connection that nobody had accepted.
    pub fileless: bool,
    /// How the connection was counted at this event; `None` when it was not, or had been before.
    pub counted: Option<Counted>,
    /// The socket's own numbers.
    pub socket: Option<SocketFacts>,
    /// Time since our FIN, or since the reset that ended the connection, for resets that met no socket any more.
    pub since_close: Option<Duration>,
    /// What ended the connection, for the same.
    pub ended: Option<Ended>,
    /// The first FIN of either side.
    pub fin: Option<Fin>,
    /// How long the connection had been quiet before.
    pub idle: Option<Idle>,
    /// Idle closes by the peer after just as much quiet, where they decided the verdict.
    pub peers_idle_closes: Option<IdleCloses>,
    /// What provoked a sent reset or met a full queue; of a received reset, the reset itself.
    pub segment: Option<Segment>,
    /// TTL of the peer's handshake.
    pub baseline_ttl: Option<u8>,
    /// Accept queue of the listener: waiting, limit.
    pub backlog: Option<(u32, u32)>,
    /// Where in its handshake a connection met a full queue.
    pub stage: Option<Stage>,
    /// Cgroup id of the socket.
    pub cgroup_id: Option<u64>,
    /// Inode number of the socket.
    pub socket_inode: Option<u64>,
    /// The owner.
    pub owner: Option<Owner>,
}

impl Event {
    /// An event of which only the kind is known, at the epoch, between unspecified addresses.
    pub const fn of_kind(kind: Kind) -> Self {
        let nowhere = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
        Self {
            kind,
            time: Timestamp::UNIX_EPOCH,
            monotonic_ns: 0,
            netns: 0,
            local: nowhere,
            remote: nowhere,
            role: None,
            slot: None,
            state: None,
            state_before: None,
            reason: None,
            active: false,
            carried_data: false,
            destroyed: false,
            orphan: false,
            fileless: false,
            counted: None,
            socket: None,
            since_close: None,
            ended: None,
            fin: None,
            idle: None,
            peers_idle_closes: None,
            segment: None,
            baseline_ttl: None,
            backlog: None,
            stage: None,
            cgroup_id: None,
            socket_inode: None,
            owner: None,
        }
    }

    /// The peer's address as labels show it, when the event belongs to a peer.
    pub fn peer_address(&self) -> Option<IpAddr> {
        self.slot.map(|_| self.remote.ip())
    }

    /// The peer's service port: the remote one as client, our own as server.
    pub fn service_port(&self) -> u16 {
        match self.role {
            Some(Role::Client) => self.remote.port(),
            Some(Role::Server) | None => self.local.port(),
        }
    }
}

/// An event with its verdict and its place in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Number in this daemon's life, from 1, without gaps.
    pub id: u64,
    /// The event.
    pub event: Event,
    /// Why; `None` for idle closes, which are no resets.
    pub verdict: Option<Verdict>,
    /// The burst it was part of, once that is over.
    pub burst: Option<Burst>,
}

impl Told {
    /// Whether the verdict will not change any more.
    pub fn is_final(&self) -> bool {
        self.verdict.as_ref().is_none_or(|verdict| verdict.settled)
    }
}
