//! Maps and globals. Sizes marked "set by the daemon" are replaced at load time.

use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, HashMap, LruHashMap, PerCpuArray, Queue, RingBuf};
use monitor_common::counters::{
    CpuTotals, KINDS, NAMESPACES as NAMESPACE_COUNT, NamespaceTotals, PORT_COUNTERS, PORTS as PORT_COUNT,
};
use monitor_common::layout::{Field, Layout};
use monitor_common::peer::{ClosedMemory, HeldKey, PeerKey, Slot, Tuple};
use monitor_common::record::Record;
use monitor_common::settings::{NO_REASON, Settings};

/// `BPF_F_MMAPABLE` (5.5): the daemon maps the array and reads it without system calls.
const MMAPABLE: u32 = 1 << 10;
/// Replaced at load time.
const SET_BY_DAEMON: u32 = 1;

/// Where the running kernel keeps each field.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Layout = Layout::from_fields(
    [Field { offset: 0, size: 0, shift: 0, bits: 0, reserved: 0 }; monitor_common::layout::FIELD_COUNT],
);

/// Limits and the running kernel's enum values.
#[unsafe(no_mangle)]
pub(crate) static SETTINGS: Settings = Settings {
    story_burst: 0,
    story_interval_ns: 0,
    reason_keepalive: NO_REASON,
    has_reason: 0,
    other_slot: 0,
    reserved: 0,
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
pub(crate) static CPU_TOTALS: Array<CpuTotals> = Array::with_max_entries(SET_BY_DAEMON, MMAPABLE);

#[map]
pub(crate) static CLOSED: LruHashMap<Tuple, ClosedMemory> = LruHashMap::with_max_entries(SET_BY_DAEMON, 0);

/// Received resets that may turn out to be data on an orphan: see `receive_reset.rs`.
#[map]
pub(crate) static HELD: HashMap<HeldKey, Record> =
    HashMap::with_max_entries(monitor_common::counters::HELD, 0);

/// Role of the few connections whose socket does not tell it (see `socket.rs`). Key: the socket's address.
#[map]
pub(crate) static ROLES: LruHashMap<u64, u8> = LruHashMap::with_max_entries(4096, 0);

/// How many entries `ROLES` ever had: while 0, which is nearly always, no lookup is needed.
#[map]
pub(crate) static ROLES_EVER: Array<u64> = Array::with_max_entries(1, 0);

/// The last socket of this CPU that moved to CLOSE, and from which state.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct LastClose {
    pub(crate) sk: u64,
    pub(crate) state_before: u64,
}

#[map]
pub(crate) static LAST_CLOSE: PerCpuArray<LastClose> = PerCpuArray::with_max_entries(1, 0);

/// Per kind, the time from which the next story is within the rate.
#[map]
pub(crate) static LIMITS: PerCpuArray<[u64; KINDS]> = PerCpuArray::with_max_entries(1, 0);
