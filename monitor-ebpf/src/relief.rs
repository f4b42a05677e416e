//! Relief: no event is missed because a program interrupted itself.
//!
//! The kernel skips a program that is already running on the CPU (`kernel/trace/bpf_trace.c` `__bpf_trace_run`, since 5.12
//! with a count). TCP changes state in system calls with softirqs enabled, so a segment that arrives then interrupts the
//! program and makes it miss an event; a few in a million were seen under load. So each tracepoint has a second program,
//! attached after the first and running right after it, with the same work. The first one leaves a token for each event; the
//! second one finds it and is done, or finds none, which says that the first was skipped, and does the work.
//!
//! Events nest two deep on a CPU (system call, softirq). Tokens that are left over, because the second program was
//! skipped while the first ran, are overwritten in turn.

use aya_ebpf::macros::map;
use aya_ebpf::maps::PerCpuArray;

use monitor_common::counters::{TRACEPOINTS, Tracepoint};

use crate::fields::{add, cpu_totals};

/// Tokens kept per CPU and tracepoint, a power of two. Losing one that is still wanted takes as many events in one softirq that
/// interrupts within the few nanoseconds between the second program's start and its look here.
const TOKENS: usize = 64;

#[derive(Clone, Copy)]
#[repr(C)]
struct Tokens {
    next: u64,
    left: [u64; TOKENS],
}

#[map]
static RELIEF: PerCpuArray<Tokens> = PerCpuArray::with_max_entries(TRACEPOINTS as u32, 0);

/// By the first program: this event is taken care of.
#[inline(always)]
pub(crate) fn leave_token(at: Tracepoint, token: u64) {
    let Some(tokens) = RELIEF.get_ptr_mut(at as u32) else { return };
    // SAFETY: `tokens` is a map value of this CPU.
    let next = unsafe { (&raw const (*tokens).next).read_volatile() } & (TOKENS as u64 - 1);
    // SAFETY: as above; a softirq in between has its own turn and leaves ours to be overwritten by us.
    unsafe { (&raw mut (*tokens).next).write_volatile(next + 1) };
    // SAFETY: `next` is below TOKENS.
    unsafe { (&raw mut (*tokens).left).cast::<u64>().add(next as usize).write_volatile(token) };
}

/// By the second program: whether the first was skipped for this event.
#[inline(always)]
pub(crate) fn is_needed(at: Tracepoint, token: u64) -> bool {
    let Some(tokens) = RELIEF.get_ptr_mut(at as u32) else { return false };
    // SAFETY: `tokens` is a map value of this CPU.
    let next = unsafe { (&raw const (*tokens).next).read_volatile() };
    // Latest first: that is the one, unless the first program was skipped or a softirq came in between.
    let mut back = 1;
    while back <= TOKENS as u64 {
        let place = (next.wrapping_sub(back) & (TOKENS as u64 - 1)) as usize;
        // SAFETY: `place` is below TOKENS; `tokens` is a map value of this CPU.
        let left = unsafe { (&raw mut (*tokens).left).cast::<u64>().add(place) };
        // SAFETY: as above.
        if unsafe { left.read_volatile() } == token {
            // SAFETY: as above.
            unsafe { left.write_volatile(0) };
            return false;
        }
        back += 1;
    }
    if let Some(totals) = cpu_totals() {
        // SAFETY: a tracepoint's number is below the array's length; `totals` is a map value.
        unsafe { add((&raw mut (*totals).relieved).cast::<u64>().add(at as usize), 1) };
    }
    true
}
