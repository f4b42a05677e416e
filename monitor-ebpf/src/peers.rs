//! The truth: which slot a count belongs to, and adding to it.

use monitor_common::counters::{NamespaceTotals, PeerCounter, PortCounter};
use monitor_common::peer::{
    PeerKey, Role, SCOPE_ADDRESS, SCOPE_V4_NETWORK, SCOPE_V6_NETWORK, Slot, Tuple, slot_state,
};

use aya_ebpf::maps::Queue;

use crate::fields::{add, cpu_totals, is_mapped, settings};
use crate::maps::{
    FREE_CLIENT, FREE_NETWORK, FREE_NS, FREE_REFUSED, FREE_SERVER, NAMESPACES, NS_TOTALS, PEERS, PORTS, SLOTS,
};

/// `BPF_NOEXIST`: an insertion that another CPU was first with fails.
const NO_EXIST: u64 = 1;

/// What brings a peer into being.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Occasion {
    /// A completed handshake.
    Connection,
    /// Our SYN was refused. Such peers have a small budget of their own, so that scanning from this host does not
    /// push out peers that work.
    Refusal,
}

/// The slot of a connection's peer, made if need be.
#[inline(never)]
pub(crate) fn slot_of(tuple: &Tuple, role: Role, occasion: Occasion) -> u32 {
    let port = match role {
        Role::Client => tuple.remote_port,
        Role::Server => tuple.local_port,
    };
    let key =
        PeerKey { addr: tuple.remote_addr, netns: tuple.netns, port, role: role as u8, scope: SCOPE_ADDRESS };
    match find(&key) {
        Some(slot) => slot,
        None => admit(key, role, occasion),
    }
}

#[inline(always)]
fn find(key: &PeerKey) -> Option<u32> {
    // SAFETY: the number is copied out of the map value at once.
    unsafe { PEERS.get(key).copied() }
}

/// A newcomer: a slot of its own within the budget, else its network's, else `other`.
#[inline(never)]
fn admit(key: PeerKey, role: Role, occasion: Occasion) -> u32 {
    let own = match (occasion, role) {
        (Occasion::Refusal, _) => take(&FREE_REFUSED, &key),
        (Occasion::Connection, Role::Client) => take(&FREE_CLIENT, &key),
        (Occasion::Connection, Role::Server) => take(&FREE_SERVER, &key),
    };
    if let Some(slot) = own {
        return slot;
    }
    if let Some(totals) = cpu_totals() {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).over_budget, 1) };
    }
    match role {
        Role::Client => settings().other_slot,
        Role::Server => network_slot(key),
    }
}

/// The slot of a server-role newcomer's network: the /24 or /64 it comes from.
#[inline(always)]
fn network_slot(mut key: PeerKey) -> u32 {
    // SAFETY: the address is aligned to 8 in a key.
    if is_mapped(unsafe { (&raw const key.addr).cast::<[u64; 2]>().read() }) {
        key.addr[15] = 0;
        key.scope = SCOPE_V4_NETWORK;
    } else {
        key.addr = [
            key.addr[0],
            key.addr[1],
            key.addr[2],
            key.addr[3],
            key.addr[4],
            key.addr[5],
            key.addr[6],
            key.addr[7],
            0,
            0,
            0,
            0,
            0,
            0,
            0,
            0,
        ];
        key.scope = SCOPE_V6_NETWORK;
    }
    match find(&key) {
        Some(slot) => slot,
        None => match take(&FREE_NETWORK, &key) {
            Some(slot) => slot,
            None => settings().other_slot + 1,
        },
    }
}

/// Gives a key a free slot. Two CPUs may try at once: the first insertion wins, the other hands its slot back.
#[inline(always)]
fn take(free: &Queue<u32>, key: &PeerKey) -> Option<u32> {
    let Ok(Some(slot)) = free.pop() else { return None };
    let entry = SLOTS.get_ptr_mut(slot)?;
    // SAFETY: `entry` is a map value that nobody else has: its number was in the queue once.
    unsafe { (&raw mut (*entry).key).write(*key) };
    if PEERS.insert(key, slot, NO_EXIST).is_ok() {
        // SAFETY: as above. After the insertion, whose bucket lock orders it after the key for every reader.
        unsafe { (&raw mut (*entry).state).write_volatile(slot_state::LIVE) };
        return Some(slot);
    }
    // The queue has room for every slot that was ever taken from it.
    let _cannot_fail = free.push(slot, 0);
    find(key)
}

/// Adds to counters of one peer: in its slot, and in this CPU's independent total.
pub(crate) struct Tally {
    slot: Option<*mut Slot>,
}

impl Tally {
    #[inline(always)]
    pub(crate) fn of(slot: u32) -> Self {
        Self { slot: SLOTS.get_ptr_mut(slot) }
    }

    #[inline(always)]
    pub(crate) fn add(&self, counter: PeerCounter, count: u64) {
        let Some(slot) = self.slot else { return };
        // SAFETY: a counter's number is below PEER_COUNTERS; `slot` is a map value.
        unsafe { add((&raw mut (*slot).counters).cast::<u64>().add(counter as usize), count) };
        if let Some(totals) = cpu_totals() {
            // SAFETY: as above, of this CPU's totals.
            unsafe { add((&raw mut (*totals).peers).cast::<u64>().add(counter as usize), count) };
        }
    }
}

/// Adds to a local port's counter: what belongs to no peer.
#[inline(always)]
pub(crate) fn count_port(port: u16, counter: PortCounter) {
    if let Some(counters) = PORTS.get_ptr_mut(port as u32) {
        // SAFETY: a counter's number is below PORT_COUNTERS; `counters` is a map value.
        unsafe { add(counters.cast::<u64>().add(counter as usize), 1) };
    }
}

/// Which of a namespace's totals grows.
#[derive(Clone, Copy)]
pub(crate) enum Counted {
    Reset,
    Refused,
    Stray,
    /// By netfilter, which is not in `OutRsts`.
    Reject,
    /// Not sent at all: a connection met a full accept queue with its SYN.
    OverflowSyn,
    /// Likewise, with the last ACK of its handshake.
    OverflowAck,
}

/// Adds to a namespace's total, for the comparison with `OutRsts` and `ListenOverflows`.
#[inline(never)]
pub(crate) fn count_namespace(netns: u32, sent: Counted) {
    // SAFETY: the number is copied out of the map value at once.
    let known = unsafe { NAMESPACES.get(netns).copied() };
    let place = match known {
        Some(place) => Some(place),
        None => admit_namespace(netns),
    };
    if let Some(totals) = place.and_then(|place| NS_TOTALS.get_ptr_mut(place)) {
        count_in(totals, sent);
    } else if let Some(totals) = cpu_totals() {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).namespaces_over, 1) };
    }
}

#[inline(always)]
fn count_in(totals: *mut NamespaceTotals, sent: Counted) {
    // SAFETY: only an address inside the map value is taken.
    let counter = unsafe {
        match sent {
            Counted::Reset => &raw mut (*totals).resets_sent,
            Counted::Refused => &raw mut (*totals).refused_sent,
            Counted::Stray => &raw mut (*totals).stray_sent,
            Counted::Reject => &raw mut (*totals).reject_sent,
            Counted::OverflowSyn => &raw mut (*totals).overflows_syn,
            Counted::OverflowAck => &raw mut (*totals).overflows_ack,
        }
    };
    // SAFETY: `counter` points into a map value.
    unsafe { add(counter, 1) };
}

#[inline(never)]
fn admit_namespace(netns: u32) -> Option<u32> {
    let Ok(Some(place)) = FREE_NS.pop() else { return None };
    let entry = NS_TOTALS.get_ptr_mut(place)?;
    if NAMESPACES.insert(netns, place, NO_EXIST).is_ok() {
        // SAFETY: `entry` is a map value that nobody else names.
        unsafe { (&raw mut (*entry).netns).write_volatile(netns) };
        return Some(place);
    }
    // The queue has room for every place that was ever taken from it.
    let _cannot_fail = FREE_NS.push(place, 0);
    // SAFETY: the number is copied out of the map value at once.
    unsafe { NAMESPACES.get(netns).copied() }
}
