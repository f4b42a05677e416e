//! Who a count belongs to: the peer and its slot.
//!
//! The truth lives in an array of [`Slot`]s that the daemon maps into its memory; a hash from [`PeerKey`] to
//! slot number finds the slot. A count costs one lookup and one atomic add, a read costs no system call.

/// Our role in a connection: which side of it this host was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// We connected; a peer's `port` is the peer's service port.
    Client = 1,
    /// We accepted; a peer's `port` is our own service port.
    Server = 2,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Client, Self::Server];

    /// The role a record or key carries, `None` for a code this version does not know.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Client),
            2 => Some(Self::Server),
            _ => None,
        }
    }
}

/// Prefix length of a key that stands for one address.
pub const SCOPE_ADDRESS: u8 = 128;
/// Prefix length of a key that stands for a whole IPv6 /64.
pub const SCOPE_V6_NETWORK: u8 = 64;
/// Prefix length of a key that stands for a whole IPv4 /24, counted in the v4-mapped form (96 + 24).
pub const SCOPE_V4_NETWORK: u8 = 120;
/// Prefix length of the two keys that stand for every peer beyond all budgets, one for each role.
pub const SCOPE_OTHER: u8 = 0;

/// The other end of connections, as counts are kept. The ephemeral port is never part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, align(8))]
pub struct PeerKey {
    /// Network byte order; IPv4 and v4-mapped addresses both as `::ffff:a.b.c.d`. Host bits beyond `scope` are zero.
    pub addr: [u8; 16],
    /// Inode number of the network namespace (`net.ns.inum`, what `/proc/PID/ns/net` shows). Host byte order.
    pub netns: u32,
    /// The service port, host byte order: the peer's as client, ours as server.
    pub port: u16,
    /// A [`Role`] code.
    pub role: u8,
    /// How many leading bits of `addr` count: one of the `SCOPE_` constants.
    pub scope: u8,
}

/// Slot states, in [`Slot::state`].
pub mod slot_state {
    /// Not in use; its number is in a free queue, or waits to be put there.
    pub const FREE: u32 = 0;
    /// In use: the key is complete and the counters count.
    pub const LIVE: u32 = 1;
}

/// One peer's counters. The kernel side only ever adds; only the daemon, after it has unlinked the key, clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Slot {
    /// Whose counters these are. Written before `state` becomes [`slot_state::LIVE`].
    pub key: PeerKey,
    /// One of [`slot_state`].
    pub state: u32,
    /// Keeps the counters aligned; always zero.
    pub reserved: u32,
    /// The counters, indexed by [`crate::counters::PeerCounter`].
    pub counters: [u64; crate::counters::PEER_COUNTERS],
}

/// A connection's four-tuple in its namespace, seen from this host. Key of the closed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C, align(8))]
pub struct Tuple {
    /// Network byte order, IPv4 in v4-mapped form.
    pub local_addr: [u8; 16],
    /// Network byte order, IPv4 in v4-mapped form.
    pub remote_addr: [u8; 16],
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Host byte order.
    pub local_port: u16,
    /// Host byte order.
    pub remote_port: u16,
}

/// A socket that met what looked like a reset. Its address alone would not do: memory is used again within the second that a
/// reset is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct HeldKey {
    /// The socket's kernel address.
    pub socket: u64,
    /// `tcp_sock.rcv_nxt`: begins at a random number for each connection, and stays from the event to the reset that tells.
    pub rcv_nxt: u32,
    /// Our port, host order.
    pub local_port: u16,
    /// The other port, host order.
    pub remote_port: u16,
}

/// What ended a connection, in [`ClosedMemory::ended`] and in records that come from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Ended {
    /// Our FIN was first.
    OurFin = 1,
    /// A reset of ours, sent because data was unread.
    Unread = 2,
    /// A reset of ours, chosen: `SO_LINGER` 0, or `connect()` to `AF_UNSPEC`.
    Chosen = 3,
    /// A reset of ours by `SOCK_DESTROY`.
    Destroyed = 4,
    /// Any other reset of ours.
    Reset = 5,
    /// A reset of the peer's.
    PeerReset = 6,
}

impl Ended {
    /// What a memory or record carries, `None` for a code this version does not know.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::OurFin),
            2 => Some(Self::Unread),
            3 => Some(Self::Chosen),
            4 => Some(Self::Destroyed),
            5 => Some(Self::Reset),
            6 => Some(Self::PeerReset),
            _ => None,
        }
    }
}

/// Which side's FIN was first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Side {
    /// Ours.
    Local = 1,
    /// The peer's.
    Peer = 2,
}

impl Side {
    /// What a record carries, `None` for unknown.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Local),
            2 => Some(Self::Peer),
            _ => None,
        }
    }
}

/// What is remembered of a connection after its socket is gone, so that a late request still finds its peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ClosedMemory {
    /// Payload bytes received, at that time.
    pub bytes_in: u64,
    /// Payload bytes the peer acknowledged, at that time.
    pub bytes_out: u64,
    /// Low 32 bits of jiffies at our FIN, or at the reset that ended the connection.
    pub jiffies: u32,
    /// `tcp_sock.lsndtime`: jiffies of our last data.
    pub lsndtime: u32,
    /// `icsk_ack.lrcvtime`: jiffies of the peer's last data.
    pub lrcvtime: u32,
    /// Data segments received, at that time.
    pub data_segs_in: u32,
    /// Data segments sent, at that time.
    pub data_segs_out: u32,
    /// `tcp_sock.srtt_us` (eighths of a microsecond, as the kernel keeps it).
    pub srtt_us: u32,
    /// Thread group of the task that closed, 0 when no task did.
    pub tgid: u32,
    /// Thread of the task that closed.
    pub pid: u32,
    /// `task_struct.flags` of that task (`PF_EXITING` tells a dying owner).
    pub task_flags: u32,
    /// `task_struct.exit_code` of that task, with [`crate::record::EXIT_OOM`]; meaningful when it is exiting.
    pub exit_code: u32,
    /// Sequence numbers on their way, unacknowledged, when our FIN followed them: few for a TLS `close_notify`.
    pub last_bytes: u32,
    /// Name of that task.
    pub comm: [u8; 16],
    /// A [`Role`] code.
    pub role: u8,
    /// State the connection was in before.
    pub state: u8,
    /// 1 once a reset of this connection is in the reset or aborted count: one connection counts once.
    pub counted: u8,
    /// An [`Ended`] code.
    pub ended: u8,
}

/// A place of the closed memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct ClosedEntry {
    /// The tuple's hash; 0 while the place is empty or being written.
    pub check: u64,
    /// Whose memory it is.
    pub tuple: Tuple,
    /// The memory.
    pub memory: ClosedMemory,
}

/// What is remembered of a connection that the peer closed first: how quiet it was at the peer's FIN. An entry of an array in
/// which a socket's address gives the place, so that the next socket with the same place writes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct PeerFin {
    /// The socket's kernel address.
    pub socket: u64,
    /// `tcp_sock.rcv_nxt`, FIN included: it does not move any more, and tells this connection from others at the address.
    pub rcv_nxt: u32,
    /// Low 32 bits of jiffies at the FIN.
    pub jiffies: u32,
    /// `tcp_sock.lsndtime` then.
    pub lsndtime: u32,
    /// `icsk_ack.lrcvtime` then.
    pub lrcvtime: u32,
    /// Bytes that the application had not read then: few for a TLS `close_notify` of the peer.
    pub last_bytes: u32,
    /// `tcp_sock.snd_una` then: it moves when the peer acknowledges data of ours, and not when its FIN comes again.
    pub snd_una: u32,
}

/// Entries of the array of [`PeerFin`]s, a power of two: 512 KiB. Overwritten by chance only: a connection rarely stays
/// long between the peer's FIN and its own.
pub const PEER_FINS: u32 = 16_384;

const _: () = assert!(size_of::<PeerKey>() == 24);
const _: () = assert!(size_of::<Slot>() == 128);
const _: () = assert!(size_of::<Tuple>() == 40);
const _: () = assert!(size_of::<HeldKey>() == 16);
const _: () = assert!(size_of::<ClosedMemory>() == 80 && align_of::<ClosedMemory>() == 8);
const _: () = assert!(size_of::<ClosedEntry>() == 128);
const _: () = assert!(size_of::<PeerFin>() == 32 && PEER_FINS.is_power_of_two());
