//! The story of one event, as the kernel side writes it into the ring.
//!
//! A [`Record`] holds what the hook knew; `known` tells which groups of fields mean something, so that unknown is
//! never mistaken for zero. The daemon decodes it by checked reads, in the order of the fields.

/// Version of this layout. The first field of every record; a reader refuses any other.
pub const RECORD_VERSION: u32 = 3;

/// Value of [`Record::slot`] when the event belongs to a local port and not to a peer.
pub const NO_SLOT: u32 = u32::MAX;

/// A side's last data before its FIN of at most this size is taken for a TLS `close_notify`: 24 bytes in TLS 1.3, 31 to 57 in
/// TLS 1.2 with the usual ciphers.
pub const CLOSE_NOTIFY_BYTES: u32 = 64;

/// Data segments that both sides of a TLS connection have sent when one says goodbye: handshake and request, at least. A slow
/// answer to a first request, with the close right behind it, looks the same otherwise.
pub const CLOSE_NOTIFY_SEGMENTS: u32 = 2;

/// Bits of [`Record::known`]: which groups of fields the hook could fill.
pub mod known {
    /// Fields of a full socket: segments, ages, `shutdown`, `linger_zero`, `probes`, `unread_bytes`, `unacked_bytes`.
    pub const SOCKET: u32 = 1 << 0;
    /// `role`.
    pub const ROLE: u32 = 1 << 1;
    /// `state_before`.
    pub const STATE_BEFORE: u32 = 1 << 2;
    /// `reason`.
    pub const REASON: u32 = 1 << 3;
    /// Fields of the segment: `segment_flags`, `segment_bytes`, `segment_ttl`, `ifindex`. It is the one that provoked a sent
    /// reset or met a full queue, and of a received reset the reset itself.
    pub const SEGMENT: u32 = 1 << 4;
    /// Segments, bytes and ages come from the closed memory, as does `ended`, and `close_age` counts from its writing.
    pub const MEMORY: u32 = 1 << 5;
    /// `pid`, `tgid`, `comm`, `task_flags` and `exit_code` are the owner's: the hook ran in its context, or the closed
    /// memory noted it then.
    pub const OWNER: u32 = 1 << 6;
    /// `baseline_ttl`.
    pub const BASELINE: u32 = 1 << 7;
    /// `cgroup_id`.
    pub const CGROUP: u32 = 1 << 8;
    /// `backlog` and `backlog_limit`.
    pub const BACKLOG: u32 = 1 << 9;
    /// `bytes_in` and `bytes_out`.
    pub const BYTES: u32 = 1 << 10;
    /// `srtt_us`.
    pub const SRTT: u32 = 1 << 11;
    /// `socket_inode`.
    pub const INODE: u32 = 1 << 12;
    /// `fin_age`, `fin_sent_age`, `fin_received_age` and `fin_last_bytes`: how quiet the connection was at the first FIN.
    pub const FIN: u32 = 1 << 13;
    /// `sequence_distance`.
    pub const DISTANCE: u32 = 1 << 14;
}

/// Bits of [`Record::verdicts`]: what the kernel side decided when it counted.
pub mod verdict {
    /// The connection was added to the reset count by this event.
    pub const COUNTED_RESET: u8 = 1 << 0;
    /// The connection was added to the aborted count by this event.
    pub const COUNTED_ABORTED: u8 = 1 << 1;
    /// The connection had carried data, either way.
    pub const CARRIED_DATA: u8 = 1 << 2;
    /// Active reset of a live socket by `SOCK_DESTROY`.
    pub const DESTROYED: u8 = 1 << 3;
    /// The socket had no owner any more (`SOCK_DEAD`).
    pub const ORPHAN: u8 = 1 << 4;
    /// No `struct socket` was attached: an orphan, or a connection that nobody had accepted yet.
    pub const NO_FILE: u8 = 1 << 5;
    /// Since its FIN the peer has acknowledged data of ours: that was a half close.
    pub const ANSWERED_AFTER_FIN: u8 = 1 << 6;
}

/// Bit of [`Record::task_flags`]: the owner was dying. `PF_EXITING` of `include/linux/sched.h`, unchanged from 5.10 to 7.2.
pub const PF_EXITING: u32 = 0x4;

/// Bit of [`Record::exit_code`]: the OOM killer had chosen the owner, which was exiting. The kernel's own code takes the low 16 bits.
pub const EXIT_OOM: u32 = 1 << 31;

/// Where in its handshake a connection met a full accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Stage {
    /// Its SYN was dropped.
    Syn = 1,
    /// The last ACK of its handshake was dropped, or answered by a reset (`tcp_abort_on_overflow`).
    Ack = 2,
}

impl Stage {
    /// What a record carries, `None` for a code this version does not know.
    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Syn),
            2 => Some(Self::Ack),
            _ => None,
        }
    }

    /// The value of the label `stage`, and of the field `stage` in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Syn => "syn",
            Self::Ack => "ack",
        }
    }
}

/// One event. Multi-byte numbers in the machine's (little-endian) order unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Record {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// Bits of [`known`].
    pub known: u32,
    /// `bpf_ktime_get_ns`: nanoseconds of `CLOCK_MONOTONIC`.
    pub time_ns: u64,
    /// Payload bytes received in order.
    pub bytes_in: u64,
    /// Payload bytes the peer acknowledged.
    pub bytes_out: u64,
    /// Id of the socket's cgroup (its inode number in cgroupfs).
    pub cgroup_id: u64,
    /// Inode number of the socket in sockfs, as `/proc/PID/fd` and `ss -e` show it.
    pub socket_inode: u64,
    /// Inode number of the network namespace.
    pub netns: u32,
    /// Low 32 bits of jiffies at the event; the ages below are differences to it.
    pub jiffies: u32,
    /// Jiffies since we last sent data.
    pub sent_age: u32,
    /// Jiffies since the peer's last data was accepted.
    pub received_age: u32,
    /// Jiffies since an ACK was last processed.
    pub ack_age: u32,
    /// Data segments received.
    pub data_segs_in: u32,
    /// Data segments sent.
    pub data_segs_out: u32,
    /// Smoothed round-trip time, eighths of a microsecond.
    pub srtt_us: u32,
    /// Bytes received that the application had not read.
    pub unread_bytes: u32,
    /// Sequence numbers sent that the peer has not acknowledged; a FIN of ours counts as one.
    pub unacked_bytes: u32,
    /// Jiffies since the closed memory of the connection was written.
    pub close_age: u32,
    /// Jiffies since the first FIN of either side.
    pub fin_age: u32,
    /// Jiffies since the last data we had sent when that FIN came or went.
    pub fin_sent_age: u32,
    /// Jiffies since the last data we had received then.
    pub fin_received_age: u32,
    /// Bytes of that FIN's side which nobody had taken yet at the FIN: unacknowledged for ours, unread for the peer's.
    pub fin_last_bytes: u32,
    /// First sequence number of the segment less the one expected, as a signed number.
    pub sequence_distance: u32,
    /// Raw value of the kernel's `enum sk_rst_reason`.
    pub reason: u32,
    /// Thread group id of the owner.
    pub tgid: u32,
    /// Thread id of the owner.
    pub pid: u32,
    /// `task_struct.flags` of the owner.
    pub task_flags: u32,
    /// `task_struct.exit_code` of the owner, with [`EXIT_OOM`].
    pub exit_code: u32,
    /// Payload bytes of the segment.
    pub segment_bytes: u32,
    /// Interface the segment came in by.
    pub ifindex: u32,
    /// Connections waiting in the listener's accept queue.
    pub backlog: u32,
    /// The listener's limit.
    pub backlog_limit: u32,
    /// Number of the slot the event was counted in, [`NO_SLOT`] for counts by port.
    pub slot: u32,
    /// The CPU the hook ran on.
    pub cpu: u32,
    /// Our port, host order.
    pub local_port: u16,
    /// The other port, host order.
    pub remote_port: u16,
    /// Our address, network order, IPv4 as `::ffff:a.b.c.d`.
    pub local_addr: [u8; 16],
    /// The other address, likewise.
    pub remote_addr: [u8; 16],
    /// Name of the owner, up to the first NUL.
    pub comm: [u8; 16],
    /// A [`crate::counters::Kind`] code.
    pub kind: u8,
    /// A [`crate::peer::Role`] code.
    pub role: u8,
    /// TCP state of the socket when the hook ran, as the kernel numbers them; 0 without a socket.
    pub state: u8,
    /// State before the move to CLOSE that came with the reset.
    pub state_before: u8,
    /// `sk_shutdown`: 1 receive, 2 send.
    pub shutdown: u8,
    /// 1 when `SO_LINGER` was on with time 0.
    pub linger_zero: u8,
    /// Probes without an answer.
    pub probes: u8,
    /// Flag byte of the segment's TCP header.
    pub segment_flags: u8,
    /// TTL or hop limit of the segment.
    pub segment_ttl: u8,
    /// TTL or hop limit of the peer's handshake.
    pub baseline_ttl: u8,
    /// Bits of [`verdict`].
    pub verdicts: u8,
    /// 1 when the reset was sent without a provoking segment.
    pub active: u8,
    /// A [`crate::peer::Side`] code: whose FIN was first, 0 when there was none or it is not known.
    pub fin_by: u8,
    /// A [`crate::peer::Ended`] code, 0 without memory.
    pub ended: u8,
    /// A [`Stage`] code for overflows, else 0.
    pub stage: u8,
    /// Fills the record to a multiple of 8; always zero.
    pub reserved: [u8; 1],
}

/// Size of a record on the ring.
pub const RECORD_BYTES: usize = size_of::<Record>();

const _: () = assert!(RECORD_BYTES == 224);
const _: () = assert!(align_of::<Record>() == 8);
