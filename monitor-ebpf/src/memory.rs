//! Closed memory: what is kept of a connection that ends on our side, for the late request that finds no socket.
//!
//! Written at our FIN, in the context of the process that closed, and at resets. Never for connections the peer closed
//! first and completely, and never for ones that were not established; dropped when the tuple is used again.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};
use aya_ebpf::helpers::{bpf_get_current_comm, bpf_get_current_pid_tgid};
use monitor_common::peer::{ClosedMemory, Ended, Role, Tuple};

use crate::fields::{add, cpu_totals, field, number};
use crate::maps::CLOSED;
use crate::socket::{Socket, current_task};

/// The memory of a tuple.
#[inline(always)]
pub(crate) fn recall(tuple: &Tuple) -> Option<*mut ClosedMemory> {
    CLOSED.get_ptr_mut(tuple)
}

/// Drops the memory of an earlier connection with the same tuple.
#[inline(always)]
pub(crate) fn forget(tuple: &Tuple) {
    // Absent is the usual case, and looking takes no lock.
    if recall(tuple).is_some() {
        let _gone = CLOSED.remove(tuple);
    }
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
#[inline(always)]
pub(crate) fn count_ending(sk: u64, tuple: &Tuple, ending: &Ending) -> bool {
    match recall(tuple) {
        Some(memory) => count_once(memory),
        None => {
            write(sk, tuple, ending);
            true
        }
    }
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
    pub(crate) context: Context,
}

/// Writes what is known of a connection that is about to have no socket.
#[inline(never)]
pub(crate) fn write(sk: u64, tuple: &Tuple, ending: &Ending) {
    let Ending { role, state, counted, ended, context } = *ending;
    let socket = Socket(sk);
    let mut memory = ClosedMemory {
        // SAFETY: the helper has no preconditions.
        written_ns: unsafe { bpf_ktime_get_ns() },
        bytes_in: socket.bytes_in(),
        bytes_out: socket.bytes_out(role as u8, state),
        // SAFETY: as above.
        jiffies: unsafe { bpf_jiffies64() } as u32,
        lsndtime: number(sk, field!(lsndtime)) as u32,
        lrcvtime: number(sk, field!(lrcvtime)) as u32,
        data_segs_in: socket.data_segs_in(),
        data_segs_out: socket.data_segs_out(),
        srtt_us: number(sk, field!(srtt_us)) as u32,
        tgid: 0,
        pid: 0,
        task_flags: 0,
        exit_code: 0,
        last_bytes: socket.unacked_bytes(),
        comm: [0; 16],
        role: role as u8,
        state,
        counted: counted as u8,
        ended: ended as u8,
    };
    if context == Context::Owner {
        let id = bpf_get_current_pid_tgid();
        memory.tgid = (id >> 32) as u32;
        memory.pid = id as u32;
        let (flags, exit_code) = current_task();
        memory.task_flags = flags;
        memory.exit_code = exit_code;
        if let Ok(comm) = bpf_get_current_comm() {
            memory.comm = comm;
        }
    }
    // A failure leaves a later request without its story; the LRU makes room by itself, so it is as good as none.
    let _no_memory = CLOSED.insert(tuple, memory, 0);
    if let Some(totals) = cpu_totals() {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).memories, 1) };
    }
}

/// Brings the memory of a connection that was closed for sending only up to date: data came in after our FIN.
#[inline(never)]
pub(crate) fn refresh(sk: u64, tuple: &Tuple, state: u8) {
    let Some(memory) = recall(tuple) else { return };
    let lrcvtime = number(sk, field!(lrcvtime)) as u32;
    let data_segs_in = Socket(sk).data_segs_in();
    let bytes_in = Socket(sk).bytes_in();
    // SAFETY: `memory` is a map value; one byte is copied.
    let bytes_out = Socket(sk).bytes_out(unsafe { (*memory).role }, state);
    // SAFETY: `memory` is a map value; a program that reads it meanwhile sees each number old or new.
    unsafe { (&raw mut (*memory).lrcvtime).write_volatile(lrcvtime) };
    // SAFETY: as above.
    unsafe { (&raw mut (*memory).data_segs_in).write_volatile(data_segs_in) };
    // SAFETY: as above.
    unsafe { (&raw mut (*memory).bytes_in).write_volatile(bytes_in) };
    // SAFETY: as above.
    unsafe { (&raw mut (*memory).bytes_out).write_volatile(bytes_out) };
}
