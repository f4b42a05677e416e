//! Entry points at kernel functions: the same few lines for each way to attach, around one function of ours.

use aya_ebpf::EbpfContext as _;
use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use aya_ebpf::programs::{FEntryContext, ProbeContext};

/// The first arguments of a function, where a trampoline put them.
///
/// Copied instead of loaded: a loaded one has the type of the kernel's argument, and new verifiers allow no arithmetic on it.
#[inline(always)]
pub(crate) fn of_trampoline<const N: usize>(ctx: &FEntryContext) -> [u64; N] {
    let mut arguments = [0u64; N];
    // SAFETY: the destination is as large as said; the helper checks the source. It clears the bytes when it fails.
    unsafe {
        bpf_probe_read_kernel(arguments.as_mut_ptr().cast(), (N * 8) as u32, ctx.as_ptr().cast_const())
    };
    arguments
}

/// The same at a probe: they are in registers.
#[inline(always)]
pub(crate) fn of_probe<const N: usize>(ctx: &ProbeContext) -> [u64; N] {
    let mut arguments = [0u64; N];
    let mut next = 0;
    while next < N {
        arguments[next] = ctx.arg(next).unwrap_or(0);
        next += 1;
    }
    arguments
}

/// Both programs at the entry of a function: by a trampoline and by a probe. Their names are in `monitor_common::names::function`.
macro_rules! on_entry {
    ($trampoline:ident, $probe:ident, |$arguments:pat_param| $logic:expr) => {
        #[aya_ebpf::macros::fentry]
        pub(crate) fn $trampoline(ctx: aya_ebpf::programs::FEntryContext) -> i32 {
            let $arguments = $crate::entry::of_trampoline(&ctx);
            $logic;
            0
        }

        #[aya_ebpf::macros::kprobe]
        pub(crate) fn $probe(ctx: aya_ebpf::programs::ProbeContext) -> u32 {
            let $arguments = $crate::entry::of_probe(&ctx);
            $logic;
            0
        }
    };
}
pub(crate) use on_entry;
