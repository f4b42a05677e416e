//! Closed memory: what is kept of a connection that ends on our side, for the late request that finds no socket.
//!
//! Written at our FIN, in the context of the process that closed, and at resets. Never for connections the peer closed
//! first and completely, and never for ones that were not established. A connection with the same tuple writes over it.
//!
//! An array in which the tuple's hash gives a pair of places; the older of the two makes room. An LRU hash would keep the last
//! ones more exactly, and was measured to cost ten times as much for each connection: it takes a lock and moves lists.

use aya_ebpf::helpers::bpf_get_current_pid_tgid;
use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_jiffies64};
use monitor_common::peer::{ClosedEntry, ClosedMemory, Ended, Role, Tuple};
use monitor_common::spread;

use crate::fields::{add, cpu_totals, settings};
use crate::maps::CLOSED;
use crate::socket::{CLOSING, FIN_WAIT1, FIN_WAIT2, current_task};
use crate::tcp::TcpFacts;

/// Words of a tuple.
const WORDS: usize = size_of::<Tuple>() / 8;

/// One word of a tuple, which is integers without padding, aligned to 8.
#[inline(always)]
fn word(tuple: *const Tuple, number: usize) -> u64 {
    // SAFETY: callers pass a valid tuple and a number below WORDS.
    unsafe { tuple.cast::<u64>().add(number).read_volatile() }
}

/// Never 0, which stands for an empty place.
#[inline(always)]
fn hash(tuple: *const Tuple) -> u64 {
    let mut hash = 0u64;
    let mut next = 0;
    while next < WORDS {
        hash = spread::mix(hash, word(tuple, next));
        next += 1;
    }
    hash | 1
}

/// A pair of neighbours.
#[inline(always)]
fn places(check: u64) -> (Option<*mut ClosedEntry>, Option<*mut ClosedEntry>) {
    let first = spread::pair(check, settings().closed_mask);
    (CLOSED.get_ptr_mut(first), CLOSED.get_ptr_mut(first | 1))
}

#[inline(always)]
fn is_of(entry: *mut ClosedEntry, check: u64, tuple: &Tuple) -> bool {
    // SAFETY: `entry` is a map value.
    if unsafe { (&raw const (*entry).check).read_volatile() } != check {
        return false;
    }
    // SAFETY: as above.
    let known = unsafe { &raw const (*entry).tuple };
    let mut next = 0;
    while next < WORDS {
        if word(known, next) != word(tuple, next) {
            return false;
        }
        next += 1;
    }
    true
}

/// In a frame of its own, for the sake of the stack. Null when there is none.
#[inline(never)]
fn find(tuple: &Tuple) -> *mut ClosedEntry {
    let check = hash(tuple);
    let (one, two) = places(check);
    if let Some(entry) = one
        && is_of(entry, check, tuple)
    {
        return entry;
    }
    match two {
        Some(entry) if is_of(entry, check, tuple) => entry,
        _ => core::ptr::null_mut(),
    }
}

/// The memory of a tuple.
#[inline(always)]
pub(crate) fn recall(tuple: &Tuple) -> Option<*mut ClosedMemory> {
    let entry = find(tuple);
    // SAFETY: only an address inside the map value is taken.
    if entry.is_null() { None } else { Some(unsafe { &raw mut (*entry).memory }) }
}

/// Whether a connection's reset had not been counted yet; it is from now on.
#[inline(always)]
pub(crate) fn count_once(memory: *mut ClosedMemory) -> bool {
    // SAFETY: `memory` is a map value. Volatile and not atomic: segments of one connection are handled one at a time.
    let first = unsafe { (&raw const (*memory).counted).read_volatile() } == 0;
    // SAFETY: as above.
    unsafe { (&raw mut (*memory).counted).write_volatile(1) };
    first
}

/// Notes that a connection's reset is counted now, in the memory its FIN left or in a new one. Whether it was the first.
///
/// A connection that has not sent its FIN has no memory yet; what is found then is of an earlier one with the same tuple.
#[inline(always)]
pub(crate) fn count_ending(tuple: &Tuple, ending: &Ending, facts: &TcpFacts) -> bool {
    if matches!(ending.state, FIN_WAIT1 | FIN_WAIT2 | CLOSING)
        && let Some(memory) = recall(tuple)
    {
        return count_once(memory);
    }
    write(tuple, ending, facts);
    true
}

/// Whether the current task is the owner of the socket.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Context {
    /// In `close()`, `shutdown()` or exit of the owner.
    Owner,
    /// In softirq, a timer, or another program's context.
    Elsewhere,
}

/// How a connection ends, for its memory.
#[derive(Clone, Copy)]
pub(crate) struct Ending {
    pub(crate) role: Role,
    /// The state it was in.
    pub(crate) state: u8,
    /// Its reset is in the counts already.
    pub(crate) counted: bool,
    pub(crate) ended: Ended,
    /// The peer's FIN had come.
    pub(crate) fin_received: bool,
    pub(crate) context: Context,
}

/// Writes what is known of a connection that is about to have no socket.
#[inline(never)]
pub(crate) fn write(tuple: &Tuple, ending: &Ending, facts: &TcpFacts) {
    let check = hash(tuple);
    // SAFETY: the helper has no preconditions.
    let jiffies = unsafe { bpf_jiffies64() } as u32;
    let Some(entry) = place_for(tuple, check, jiffies) else { return };
    // Whoever looks meanwhile finds an empty place.
    // SAFETY: `entry` is a map value.
    unsafe { (&raw mut (*entry).check).write_volatile(0) };
    // SAFETY: as above.
    let to = unsafe { &raw mut (*entry).tuple };
    let mut next = 0;
    while next < WORDS {
        // SAFETY: `next` is below the tuple's length in words.
        unsafe { to.cast::<u64>().add(next).write_volatile(word(tuple, next)) };
        next += 1;
    }
    // SAFETY: only an address inside the map value is taken.
    fill(unsafe { &raw mut (*entry).memory }, ending, facts, jiffies);
    // SAFETY: as above.
    unsafe { (&raw mut (*entry).check).write_volatile(check) };
    if let Some(totals) = cpu_totals() {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).memories, 1) };
    }
}

/// The tuple's own place, else an empty one, else the older of two.
#[inline(always)]
fn place_for(tuple: &Tuple, check: u64, jiffies: u32) -> Option<*mut ClosedEntry> {
    let (one, two) = places(check);
    let (one, two) = (one?, two?);
    if is_of(one, check, tuple) {
        return Some(one);
    }
    if is_of(two, check, tuple) {
        return Some(two);
    }
    Some(if age(one, jiffies) >= age(two, jiffies) { one } else { two })
}

/// An empty place is older than any other.
#[inline(always)]
fn age(entry: *mut ClosedEntry, jiffies: u32) -> u32 {
    // SAFETY: `entry` is a map value.
    if unsafe { (&raw const (*entry).check).read_volatile() } == 0 {
        return u32::MAX;
    }
    // SAFETY: as above.
    jiffies.wrapping_sub(unsafe { (&raw const (*entry).memory.jiffies).read_volatile() })
}

#[inline(always)]
fn fill(memory: *mut ClosedMemory, ending: &Ending, facts: &TcpFacts, jiffies: u32) {
    let Ending { role, state, counted, ended, fin_received, context } = *ending;
    // SAFETY: callers pass a map value whose place is marked as empty.
    let memory = unsafe { &mut *memory };
    memory.bytes_in = facts.payload_in(fin_received);
    memory.bytes_out = facts.payload_out(role as u8, state);
    memory.jiffies = jiffies;
    memory.lsndtime = facts.lsndtime;
    memory.lrcvtime = facts.lrcvtime;
    memory.data_segs_in = facts.data_segs_in;
    memory.data_segs_out = facts.data_segs_out;
    memory.srtt_us = facts.srtt_us;
    memory.last_bytes = facts.unacked_bytes();
    memory.role = role as u8;
    memory.state = state;
    memory.counted = counted as u8;
    memory.ended = ended as u8;
    if context == Context::Owner {
        let id = bpf_get_current_pid_tgid();
        memory.tgid = (id >> 32) as u32;
        memory.pid = id as u32;
        let (flags, exit_code) = current_task();
        memory.task_flags = flags;
        memory.exit_code = exit_code;
        // SAFETY: the helper writes at most as many bytes as it is told.
        unsafe { bpf_get_current_comm((&raw mut memory.comm).cast(), 16) };
    } else {
        memory.tgid = 0;
    }
}

/// Brings the memory of a connection that was closed for sending only up to date: data came in after our FIN.
#[inline(always)]
pub(crate) fn refresh(tuple: &Tuple, facts: &TcpFacts, fin_received: bool, state: u8) {
    let Some(memory) = recall(tuple) else { return };
    // SAFETY: `memory` is a map value; a program that reads it meanwhile sees each number old or new.
    let memory = unsafe { &mut *memory };
    memory.lrcvtime = facts.lrcvtime;
    memory.data_segs_in = facts.data_segs_in;
    memory.bytes_in = facts.payload_in(fin_received);
    memory.bytes_out = facts.payload_out(memory.role, state);
}
