//! What is counted in the kernel: per peer, per local port, per namespace and per kind of story.
//!
//! Every enum here is both an index into an array of `u64` in a map and the list of names for users, so the two
//! sides cannot disagree. The counters only ever grow.

/// Number of `u64` counters in a [`crate::peer::Slot`].
pub const PEER_COUNTERS: usize = 12;

/// A counter in a peer's slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum PeerCounter {
    /// Connections that became established, in either role.
    Opened = 0,
    /// Connections that moved to CLOSE from an established or closing state.
    Closed = 1,
    /// Established connections that ended by a reset, or whose late request met one; once each. The ratio's numerator.
    Reset = 2,
    /// Connections ended by a reset on purpose, or without ever carrying data; never in the ratio.
    Aborted = 3,
    /// Request/response turns, estimated at close as min(data segments in, out).
    Exchanges = 4,
    /// Resets sent on this peer's connections. One connection can draw several.
    ResetsSent = 5,
    /// Resets received on this peer's established connections.
    ResetsReceived = 6,
    /// Resets that answered our SYN.
    RefusedReceived = 7,
    /// Sent resets whose story was lost or suppressed.
    UntoldSent = 8,
    /// Received resets (refusals not among them) whose story was lost or suppressed.
    UntoldReceived = 9,
}

/// Number of `u64` counters per local port.
pub const PORT_COUNTERS: usize = 4;

/// A counter of a local port: what strangers can cause, so it is bounded by the number of ports, not of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum PortCounter {
    /// Resets sent that answered a SYN.
    RefusedSent = 0,
    /// Resets sent for a segment of no remembered connection.
    StraySent = 1,
    /// Resets received for no remembered connection.
    StrayReceived = 2,
    /// Resets that netfilter sent for a REJECT rule. Not among the kernel's `OutRsts`.
    RejectSent = 3,
}

/// Number of local ports, and of entries in the port map.
pub const PORTS: u32 = 65_536;

/// A network namespace's own totals, for the comparison with the kernel's `OutRsts` and `ListenOverflows` of that namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct NamespaceTotals {
    /// Inode number of the namespace; 0 while the entry is unused.
    pub netns: u32,
    /// Always zero.
    pub reserved: u32,
    /// Resets sent on connections of peers.
    pub resets_sent: u64,
    /// Resets sent that answered a SYN.
    pub refused_sent: u64,
    /// Resets sent for a segment of no remembered connection.
    pub stray_sent: u64,
    /// Connections that met a full accept queue with their SYN.
    pub overflows_syn: u64,
    /// Connections that met one with the last ACK of their handshake.
    pub overflows_ack: u64,
    /// Resets that netfilter sent for a REJECT rule.
    pub reject_sent: u64,
    /// Fills the entry to a cache line; always zero.
    pub reserved_line: u64,
}

/// A listener: its own address and port, in its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, align(8))]
pub struct ListenerKey {
    /// Network byte order; IPv4 in v4-mapped form, all zero for any IPv6 address, `::ffff:0.0.0.0` for any IPv4 address.
    pub addr: [u8; 16],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Host byte order.
    pub port: u16,
    /// Always zero.
    pub reserved: u16,
}

/// How often a listener's accept queue was full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ListenerTotals {
    /// Which listener.
    pub key: ListenerKey,
    /// 1 when the key is written, 0 while the entry is unused.
    pub used: u64,
    /// Connections that met the full queue with their SYN; each SYN counts, repeated ones too, as `ListenOverflows` does.
    pub overflows_syn: u64,
    /// Connections that met it with the last ACK of their handshake, likewise.
    pub overflows_ack: u64,
    /// Fills the entry to a cache line; always zero.
    pub reserved: [u64; 2],
}

/// How many listeners have overflows of their own, for the daemon's life. Those beyond are counted for their namespaces.
pub const LISTENERS: u32 = 1024;

/// How many namespaces have totals of their own. Those beyond are counted for their peers but not reconciled.
pub const NAMESPACES: u32 = 4096;

/// How many received resets may be held for a decision at a time. They wait at most a second, and arise only where
/// a full orphan meets a reset or late data.
pub const HELD: u32 = 1024;

/// What a story is about. The label `kind` of the event counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A reset sent on a connection we know.
    ResetSent = 0,
    /// A reset received on an established connection.
    ResetReceived = 1,
    /// A reset sent that answered a SYN.
    RefusedSent = 2,
    /// A reset received that answered our SYN.
    RefusedReceived = 3,
    /// A reset sent for a segment of no remembered connection.
    StraySent = 4,
    /// A reset received for no remembered connection.
    StrayReceived = 5,
    /// We closed a connection that had been quiet for a second or more.
    IdleCloseSent = 6,
    /// The peer closed one.
    IdleCloseReceived = 7,
    /// A reset that netfilter sent for a REJECT rule.
    RejectSent = 8,
    /// A connection met a listener whose accept queue was full.
    ListenOverflow = 9,
}

/// Number of [`Kind`]s.
pub const KINDS: usize = 10;

impl Kind {
    /// Every kind, in the order of its code.
    pub const ALL: [Self; KINDS] = [
        Self::ResetSent,
        Self::ResetReceived,
        Self::RefusedSent,
        Self::RefusedReceived,
        Self::StraySent,
        Self::StrayReceived,
        Self::IdleCloseSent,
        Self::IdleCloseReceived,
        Self::RejectSent,
        Self::ListenOverflow,
    ];

    /// The kind a record carries, `None` for a code this version does not know.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::ResetSent),
            1 => Some(Self::ResetReceived),
            2 => Some(Self::RefusedSent),
            3 => Some(Self::RefusedReceived),
            4 => Some(Self::StraySent),
            5 => Some(Self::StrayReceived),
            6 => Some(Self::IdleCloseSent),
            7 => Some(Self::IdleCloseReceived),
            8 => Some(Self::RejectSent),
            9 => Some(Self::ListenOverflow),
            _ => None,
        }
    }

    /// Whether its stories are rate-limited before the ring. Strangers can cause refusals and strays at will, idle closes are
    /// as many as connections; they must not push out the story of an established connection's reset.
    pub const fn is_suppressible(self) -> bool {
        match self {
            Self::ResetSent | Self::ResetReceived => false,
            Self::RefusedSent
            | Self::RefusedReceived
            | Self::StraySent
            | Self::StrayReceived
            | Self::IdleCloseSent
            | Self::IdleCloseReceived
            | Self::RejectSent
            | Self::ListenOverflow => true,
        }
    }

    /// Whether it is no reset but the end of a quiet connection.
    pub const fn is_idle_close(self) -> bool {
        match self {
            Self::IdleCloseSent | Self::IdleCloseReceived => true,
            Self::ResetSent
            | Self::ResetReceived
            | Self::RefusedSent
            | Self::RefusedReceived
            | Self::StraySent
            | Self::StrayReceived
            | Self::RejectSent
            | Self::ListenOverflow => false,
        }
    }

    /// The value of the label `kind`, and of the field `kind` in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResetSent => "reset_sent",
            Self::ResetReceived => "reset_received",
            Self::RefusedSent => "refused_sent",
            Self::RefusedReceived => "refused_received",
            Self::StraySent => "stray_sent",
            Self::StrayReceived => "stray_received",
            Self::IdleCloseSent => "idle_close_sent",
            Self::IdleCloseReceived => "idle_close_received",
            Self::RejectSent => "reject_sent",
            Self::ListenOverflow => "listen_overflow",
        }
    }
}

/// The tracepoints that two programs share, as an index into [`CpuTotals::relieved`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Tracepoint {
    /// `sock:inet_sock_set_state`
    SetState = 0,
    /// `tcp:tcp_send_reset`
    SendReset = 1,
    /// `tcp:tcp_receive_reset`
    ReceiveReset = 2,
}

/// Number of [`Tracepoint`]s.
pub const TRACEPOINTS: usize = 3;

/// One CPU's totals: an account of stories per kind and an independent sum of what the peers' slots hold.
///
/// Kept apart for each CPU so that connections on different CPUs never share a cache line for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct CpuTotals {
    /// What should have a story, per [`Kind`].
    pub seen: [u64; KINDS],
    /// Records handed to the ring, per [`Kind`].
    pub submitted: [u64; KINDS],
    /// Stories for which the ring had no room, per [`Kind`].
    pub lost: [u64; KINDS],
    /// Stories held back by the rate limit, per [`Kind`].
    pub suppressed: [u64; KINDS],
    /// The same counters as a slot's, over all peers, indexed by [`PeerCounter`].
    pub peers: [u64; PEER_COUNTERS],
    /// Counts that went to a network's slot, to `other`, or nowhere to be named, for want of a free slot.
    pub over_budget: u64,
    /// Kernel reads that failed. Anything but 0 means offsets that do not fit this kernel.
    pub failed_reads: u64,
    /// Sockets of namespaces beyond [`NAMESPACES`].
    pub namespaces_over: u64,
    /// Events that the second program took because the kernel had skipped the first, per [`Tracepoint`].
    pub relieved: [u64; TRACEPOINTS],
    /// Entries written to the closed memory; tells how far back it can reach.
    pub memories: u64,
    /// Connections that the connection-tracking table had no room for.
    pub conntrack_full: u64,
    /// Overflows of listeners beyond [`LISTENERS`]; their namespaces have them.
    pub listeners_over: u64,
    /// Fills the entry to a whole number of cache lines; always zero.
    pub reserved: [u64; 3],
}

const _: () = assert!(size_of::<NamespaceTotals>() == 64);
const _: () = assert!(size_of::<ListenerTotals>() == 64);
const _: () = assert!(size_of::<CpuTotals>() == 512);
const _: () = assert!(size_of::<CpuTotals>().is_multiple_of(64));
