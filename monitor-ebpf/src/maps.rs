//! Maps and globals. Sizes marked "set by the daemon" are replaced at load time.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, RingBuf};
use monitor_common::counters::{
    CpuTotals, KINDS, LISTENERS as LISTENER_COUNT, ListenerKey, ListenerTotals,
    NAMESPACES as NAMESPACE_COUNT, NamespaceTotals, PORT_COUNTERS, PORTS as PORT_COUNT,
};
use monitor_common::layout::{Field, Layout};
use monitor_common::peer::{ClosedEntry, HeldKey, PEER_FINS as PEER_FIN_COUNT, PeerFin, PeerKey, Slot};
use monitor_common::places::Places;
use monitor_common::record::Record;
use monitor_common::settings::{NO_REASON, Settings};

use crate::baseline::{HOST_TTL_PAIRS, HostTtl, SOCKET_TTL_PAIRS, SocketTtl};

/// `BPF_F_MMAPABLE` (5.5): the daemon maps the array and reads it without system calls.
const MMAPABLE: u32 = 1 << 10;
/// Replaced at load time.
const SET_BY_DAEMON: u32 = 1;

const ABSENT: Field = Field { offset: 0, size: 0, shift: 0, bits: 0, reserved: 0 };

/// Where the running kernel keeps each field.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Layout = Layout::from_fields([ABSENT; monitor_common::layout::FIELD_COUNT]);

/// Where fields are that are read together.
#[unsafe(no_mangle)]
pub(crate) static PLACES: Places = Places::NONE;

/// Limits and the running kernel's enum values.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    story_burst: 0,
    story_interval_ns: 0,
    reason_keepalive: NO_REASON,
    reason_close: NO_REASON,
    has_reason: 0,
    other_slot: 0,
    hz: 0,
    closed_mask: 0,
    wake_quiet_ns: 0,
    wake_bytes: 0,
    jiffy_ns: 0,
};

#[map]
pub(crate) static EVENTS: RingBuf = RingBuf::with_byte_size(4096, 0);

#[map]
pub(crate) static PEERS: HashMap<PeerKey, u32> = HashMap::with_max_entries(SET_BY_DAEMON, 0);

#[map]
pub(crate) static SLOTS: Array<Slot> = Array::with_max_entries(SET_BY_DAEMON, MMAPABLE);

#[map]
pub(crate) static FREE_CLIENT: Queue<u32> = Queue::with_max_entries(SET_BY_DAEMON, 0);

#[map]
pub(crate) static FREE_SERVER: Queue<u32> = Queue::with_max_entries(SET_BY_DAEMON, 0);

#[map]
pub(crate) static FREE_REFUSED: Queue<u32> = Queue::with_max_entries(SET_BY_DAEMON, 0);

#[map]
pub(crate) static FREE_NETWORK: Queue<u32> = Queue::with_max_entries(SET_BY_DAEMON, 0);

#[map]
pub(crate) static PORTS: Array<[u64; PORT_COUNTERS]> = Array::with_max_entries(PORT_COUNT, MMAPABLE);

#[map]
pub(crate) static NAMESPACES: HashMap<u32, u32> = HashMap::with_max_entries(NAMESPACE_COUNT, 0);

#[map]
pub(crate) static FREE_NS: Queue<u32> = Queue::with_max_entries(NAMESPACE_COUNT, 0);

#[map]
pub(crate) static NS_TOTALS: Array<NamespaceTotals> = Array::with_max_entries(NAMESPACE_COUNT, MMAPABLE);

#[map]
pub(crate) static LISTENERS: HashMap<ListenerKey, u32> = HashMap::with_max_entries(LISTENER_COUNT, 0);

#[map]
pub(crate) static FREE_LISTENER: Queue<u32> = Queue::with_max_entries(LISTENER_COUNT, 0);

#[map]
pub(crate) static LISTENER_TOTALS: Array<ListenerTotals> = Array::with_max_entries(LISTENER_COUNT, MMAPABLE);

#[map]
pub(crate) static CPU_TOTALS: Array<CpuTotals> = Array::with_max_entries(SET_BY_DAEMON, MMAPABLE);

/// See `memory.rs`.
#[map]
pub(crate) static CLOSED: Array<ClosedEntry> = Array::with_max_entries(SET_BY_DAEMON, 0);

/// Addresses of protocols that are TCP, in places given by the address. There are a handful.
#[map]
pub(crate) static PROTOCOLS: Array<u64> = Array::with_max_entries(PROTOCOL_PLACES, 0);

/// A power of two.
pub(crate) const PROTOCOL_PLACES: u32 = 16;

/// See `peer_fin.rs`.
#[map]
pub(crate) static PEER_FINS: Array<PeerFin> = Array::with_max_entries(PEER_FIN_COUNT, 0);

/// See `baseline.rs`.
#[map]
pub(crate) static SOCKET_TTLS: Array<[SocketTtl; 2]> = Array::with_max_entries(SOCKET_TTL_PAIRS, 0);

/// See `baseline.rs`.
#[map]
pub(crate) static HOST_TTLS: Array<[HostTtl; 2]> = Array::with_max_entries(HOST_TTL_PAIRS, 0);

/// Received resets that may turn out to be data on an orphan: see `receive_reset.rs`.
#[map]
pub(crate) static HELD: HashMap<HeldKey, Record> =
    HashMap::with_max_entries(monitor_common::counters::HELD, 0);

/// Role of the few connections whose socket does not tell it (see `socket.rs`). Key: the socket's address.
#[map]
pub(crate) static ROLES: LruHashMap<u64, u8> = LruHashMap::with_max_entries(4096, 0);

/// Whether rare things ever happened, indexed by [`Rare`]: while they have not, nothing needs to be looked up for them.
#[map]
pub(crate) static EVER: Array<u64> = Array::with_max_entries(2, 0);

/// An index of `EVER`.
#[derive(Clone, Copy)]
#[repr(u32)]
pub(crate) enum Rare {
    /// `ROLES` had an entry.
    RoleNoted = 0,
    /// A connection was closed for sending only, so that data could still come in after our FIN.
    HalfClosed = 1,
}

/// Notes that it happened.
#[inline(always)]
pub(crate) fn note_ever(rare: Rare) {
    if let Some(ever) = EVER.get_ptr_mut(rare as u32) {
        // SAFETY: `ever` is a map value.
        unsafe { ever.write_volatile(1) };
    }
}

/// Whether it ever happened.
#[inline(always)]
pub(crate) fn ever(rare: Rare) -> bool {
    match EVER.get_ptr_mut(rare as u32) {
        // SAFETY: a map value; volatile because another CPU may set it.
        Some(ever) => unsafe { ever.read_volatile() != 0 },
        None => false,
    }
}

/// A reset that came in, and the socket it came for.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Judged {
    pub(crate) skb: u64,
    /// The segment's address and the socket's, by exclusive or: an address that does not belong to the other does not fit.
    pub(crate) both: u64,
}

/// Places of [`JUDGED`], a power of two: more than resets are under way anywhere within the few nanoseconds between a function's
/// entry and its first statement.
pub(crate) const JUDGED_PLACES: u32 = 1024;

/// Segments that are being judged: see `judged.rs`.
#[map]
pub(crate) static JUDGED: Array<Judged> = Array::with_max_entries(JUDGED_PLACES, 0);

/// Places of [`LAST_CLOSES`], a power of two: more than sockets close anywhere within the microseconds between a move to CLOSE and
/// the reset that goes with it. Half of them for each of a socket's two.
pub(crate) const LAST_CLOSE_PLACES: u32 = 2048;

/// Sockets that moved to CLOSE, and from which state: see `last_close.rs`.
#[map]
pub(crate) static LAST_CLOSES: Array<u64> = Array::with_max_entries(LAST_CLOSE_PLACES, 0);

/// Limits of a CPU.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Limits {
    /// Per kind, the time by which the stories told so far are paid.
    pub(crate) paid: [u64; KINDS],
    /// The time from which on a story wakes the daemon.
    pub(crate) wake: u64,
}

#[map]
pub(crate) static LIMITS: PerCpuArray<Limits> = PerCpuArray::with_max_entries(1, 0);
