//! Reads of kernel memory: the only place that follows kernel pointers.
//!
//! A read that fails yields 0 and is counted; it cannot fault (`bpf_probe_read_kernel`).

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_probe_read_kernel};
use monitor_common::layout::{Field, Layout};

use crate::maps::{CPU_TOTALS, LAYOUT, SETTINGS};
use monitor_common::counters::CpuTotals;
use monitor_common::settings::Settings;

/// The layout, as constants the verifier sees.
#[inline(always)]
pub(crate) fn layout(pick: impl FnOnce(*const Layout) -> *const Field) -> Field {
    let field = pick(&raw const LAYOUT);
    // SAFETY: `field` points into LAYOUT; volatile because the daemon replaces the bytes before the load.
    unsafe { field.read_volatile() }
}

/// A field of [`LAYOUT`].
macro_rules! field {
    ($name:ident) => {
        // SAFETY: only the address of a field inside the static LAYOUT is taken.
        $crate::fields::layout(|layout| unsafe { &raw const (*layout).$name })
    };
}
pub(crate) use field;

/// The settings.
#[inline(always)]
pub(crate) fn settings() -> Settings {
    // SAFETY: the static is valid; volatile because the daemon replaces the bytes before the load.
    unsafe { (&raw const SETTINGS).read_volatile() }
}

/// Adds to a counter that other CPUs and the daemon also add to.
///
/// # Safety
/// `counter` points into a map value.
#[inline(always)]
pub(crate) unsafe fn add(counter: *mut u64, count: u64) {
    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    // SAFETY: the caller's promise; map values are 8-byte aligned.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(counter, count) };
}

/// This CPU's totals.
#[inline(always)]
pub(crate) fn cpu_totals() -> Option<*mut CpuTotals> {
    // SAFETY: the helper has no preconditions.
    CPU_TOTALS.get_ptr_mut(unsafe { bpf_get_smp_processor_id() })
}

#[inline(never)]
fn count_failed_read() {
    if let Some(totals) = cpu_totals() {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).failed_reads, 1) };
    }
}

/// Copies `size` bytes at `address` to `to`, which stays as it is when the read fails.
#[inline(always)]
fn copy<T>(to: &mut T, address: u64, size: u32) -> bool {
    // SAFETY: callers pass `size <= size_of::<T>()`; the helper checks the source.
    let result = unsafe { bpf_probe_read_kernel((&raw mut *to).cast(), size, address as *const _) };
    if result != 0 {
        count_failed_read();
    }
    result == 0
}

/// A number of at most 8 bytes, 0 when the kernel lacks the field or the read fails.
#[inline(always)]
pub(crate) fn number(base: u64, field: Field) -> u64 {
    let mut value = 0u64;
    let size = field.size as u32;
    if size == 0 || size > 8 {
        return 0;
    }
    copy(&mut value, base + field.offset as u64, size);
    if field.bits != 0 {
        value = (value >> (field.shift & 63)) & ((1 << (field.bits & 63)) - 1);
    }
    value
}

/// A part of a struct copied in one go, to pick fields from: one read costs what a small one does.
pub(crate) struct Copied<const N: usize> {
    bytes: [u8; N],
    /// Offset of the first byte in the struct.
    start: u16,
}

impl<const N: usize> Copied<N> {
    /// The first bytes of `part`, as many as fit. All zero when the read fails.
    #[inline(always)]
    pub(crate) fn read(base: u64, part: Field) -> Self {
        let mut bytes = [0u8; N];
        let size = if part.size as usize > N { N as u32 } else { part.size as u32 };
        copy(&mut bytes, base + part.offset as u64, size);
        Self { bytes, start: part.offset }
    }

    /// The bytes of a field of the part, zero when they are not among those copied.
    #[inline(always)]
    pub(crate) fn pick<const M: usize>(&self, field: Field) -> [u8; M] {
        let at = field.offset.wrapping_sub(self.start) as usize;
        if field.size as usize != M || at > N - M {
            return [0; M];
        }
        // SAFETY: `at` leaves room for M bytes; no alignment is asked for.
        unsafe { self.bytes.as_ptr().add(at).cast::<[u8; M]>().read_unaligned() }
    }
}

/// One byte at an address.
#[inline(always)]
pub(crate) fn byte(address: u64) -> u8 {
    let mut value = 0u8;
    copy(&mut value, address, 1);
    value
}

/// Sixteen bytes at an address.
#[inline(always)]
pub(crate) fn sixteen_bytes_at(address: u64) -> [u8; 16] {
    let mut bytes = [0u8; 16];
    copy(&mut bytes, address, 16);
    bytes
}

/// Four bytes at an address, in network order as they stand.
#[inline(always)]
pub(crate) fn four_bytes_at(address: u64) -> [u8; 4] {
    let mut bytes = [0u8; 4];
    copy(&mut bytes, address, 4);
    bytes
}

/// An IPv4 address in v4-mapped form.
#[inline(always)]
pub(crate) const fn mapped(v4: [u8; 4]) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, v4[0], v4[1], v4[2], v4[3]]
}

/// Whether an address is in v4-mapped form.
#[inline(always)]
pub(crate) const fn is_mapped(address: &[u8; 16]) -> bool {
    let high = u64::from_ne_bytes([
        address[0], address[1], address[2], address[3], address[4], address[5], address[6], address[7],
    ]);
    high == 0 && address[8] == 0 && address[9] == 0 && address[10] == 0xff && address[11] == 0xff
}
