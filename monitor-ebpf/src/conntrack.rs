//! Signal: the connection-tracking table was full and a connection had no place in it; its packet was dropped.
//!
//! kernel: `net/netfilter/nf_conntrack_core.c` `early_drop(struct net *net, unsigned int hash)`, `static noinline` from 5.10 to 7.2:
//! called only over the limit, it returns whether an entry could be dropped instead. Mostly a module.

use aya_ebpf::macros::{fexit, kretprobe};
use aya_ebpf::programs::{FExitContext, RetProbeContext};

use crate::fields::{add, cpu_totals};

#[fexit]
pub(crate) fn x_early_drop(ctx: FExitContext) -> i32 {
    // After the two arguments.
    let dropped: u64 = ctx.arg(2);
    on_early_drop(dropped);
    0
}

#[kretprobe]
pub(crate) fn k_early_drop(ctx: RetProbeContext) -> u32 {
    on_early_drop(ctx.ret());
    0
}

/// A C `bool` is one byte; the others may hold anything.
#[inline(always)]
fn on_early_drop(dropped: u64) {
    if dropped as u8 == 0
        && let Some(totals) = cpu_totals()
    {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).conntrack_full, 1) };
    }
}
