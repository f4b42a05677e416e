//! Reads of kernel memory: the only place that follows kernel pointers.
//!
//! A read that fails yields 0 and is counted; it cannot fault (`bpf_probe_read_kernel`).

use core::mem::MaybeUninit;

use aya_ebpf::helpers::generated::{bpf_get_smp_processor_id, bpf_probe_read_kernel};
use monitor_common::layout::{Field, Layout};

use crate::maps::{CPU_TOTALS, LAYOUT, SETTINGS};
use monitor_common::counters::CpuTotals;
use monitor_common::places::{Part, ZEROS};
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
    add_failed_read();
}

#[inline(always)]
fn add_failed_read() {
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

/// Room for a part of a struct that is copied in one go, to pick fields from: one read costs what a small one does. `N` is
/// [`ZEROS`] and the most bytes of the part.
///
/// Not cleared before, and never moved: the BPF target clears and moves what is this large byte by byte, which was measured to
/// cost more than the reading.
#[repr(C, align(8))]
pub(crate) struct Copied<const N: usize> {
    bytes: MaybeUninit<[u8; N]>,
}

/// A number of [`crate::maps::PLACES`], as a constant the verifier sees.
///
/// # Safety
/// `number` points into the static.
#[inline(always)]
unsafe fn place(number: *const u64) -> u64 {
    // SAFETY: the caller's promise; volatile because the daemon replaces the bytes before the load.
    unsafe { number.read_volatile() }
}

impl<const N: usize> Copied<N> {
    #[inline(always)]
    pub(crate) const fn room() -> Self {
        Self { bytes: MaybeUninit::uninit() }
    }

    /// Copies a part of the struct at `base`. `false` when the part is not used. The kernel clears the bytes when the read
    /// fails.
    ///
    /// # Safety
    /// `part` points into `PLACES`.
    #[inline(always)]
    pub(crate) unsafe fn fill<const F: usize>(&mut self, base: u64, part: *const Part<F>) -> bool {
        // SAFETY: the caller's promise.
        let size = unsafe { place(&raw const (*part).bytes) };
        if size == 0 || size > (N - ZEROS) as u64 {
            return false;
        }
        // SAFETY: as above.
        let offset = unsafe { place(&raw const (*part).offset) };
        let bytes = self.bytes.as_mut_ptr().cast::<u8>();
        // Volatile, or it would be a call that clears byte by byte.
        // SAFETY: the buffer has ZEROS bytes before the part, which are two words, and is aligned to 8.
        unsafe { bytes.cast::<u64>().write_volatile(0) };
        // SAFETY: as above.
        unsafe { bytes.cast::<u64>().add(1).write_volatile(0) };
        // SAFETY: as above.
        let room = unsafe { bytes.add(ZEROS) };
        // SAFETY: `size` fits into what is left; the helper checks the source.
        let result = unsafe { bpf_probe_read_kernel(room.cast(), size as u32, (base + offset) as *const _) };
        if result != 0 {
            // Not by a call, which would take stack where there is least.
            add_failed_read();
        }
        true
    }

    /// A field, zero when it is not in the part.
    ///
    /// # Safety
    /// The part was copied, and `T` is of the size that the daemon places for this field: integers and bytes.
    #[inline(always)]
    pub(crate) unsafe fn pick<T, const F: usize>(&self, part: *const Part<F>, field: usize) -> T {
        // SAFETY: a field's number is below F.
        let at = unsafe { place((&raw const (*part).at).cast::<u64>().add(field)) } as usize;
        // SAFETY: the daemon places fields within the bytes that are copied, aligned as they are in the kernel, and the
        // verifier knows the place.
        unsafe { self.bytes.as_ptr().cast::<u8>().add(at).cast::<T>().read() }
    }
}

/// Room on the stack for what a function of ours writes. Values of this size are not returned: each return would be a copy, and the
/// stack has 512 bytes for all functions under way.
#[inline(always)]
pub(crate) const fn room<T>() -> MaybeUninit<T> {
    MaybeUninit::uninit()
}

/// Clears it word by word: the BPF target would do it in a loop over bytes.
///
/// # Safety
/// All bits zero is a valid `T`, whose size and alignment are multiples of 8.
#[inline(always)]
pub(crate) unsafe fn clear<T>(room: &mut MaybeUninit<T>) -> &mut T {
    let words = room.as_mut_ptr().cast::<u64>();
    let mut next = 0;
    while next < size_of::<T>() / 8 {
        // SAFETY: `next` is below the value's length in words.
        unsafe { words.add(next).write_volatile(0) };
        next += 1;
    }
    // SAFETY: written above; the caller's promise.
    unsafe { room.assume_init_mut() }
}

/// One byte at an address.
#[inline(always)]
pub(crate) fn byte(address: u64) -> u8 {
    let mut value = 0u8;
    copy(&mut value, address, 1);
    value
}

/// Copies sixteen bytes to where they are wanted. They are cleared when the read fails.
///
/// # Safety
/// `to` has room for them.
#[inline(always)]
pub(crate) unsafe fn copy_sixteen(to: *mut [u8; 16], address: u64) {
    // SAFETY: the caller's promise; the helper checks the source.
    let result = unsafe { bpf_probe_read_kernel(to.cast(), 16, address as *const _) };
    if result != 0 {
        count_failed_read();
    }
}

/// Four bytes at an address, in network order as they stand.
#[inline(always)]
pub(crate) fn four_bytes_at(address: u64) -> [u8; 4] {
    let mut bytes = [0u8; 4];
    copy(&mut bytes, address, 4);
    bytes
}

/// A number of two bytes in network order.
#[inline(always)]
pub(crate) fn two_bytes_at(address: u64) -> u16 {
    let mut bytes = [0u8; 2];
    copy(&mut bytes, address, 2);
    u16::from_be_bytes(bytes)
}

/// Two IPv4 addresses, one after the other, in network order as they stand.
#[inline(always)]
pub(crate) fn two_addresses_at(address: u64) -> [u32; 2] {
    let mut both = 0u64;
    copy(&mut both, address, 8);
    [both as u32, (both >> 32) as u32]
}

/// The low half of a v4-mapped address but for the IPv4 address in its last four bytes.
const MAPPED_LOW: u64 = u64::from_le_bytes([0, 0, 0xff, 0xff, 0, 0, 0, 0]);

/// The words of an IPv4 address in v4-mapped form.
#[inline(always)]
pub(crate) const fn mapped_words(v4: u32) -> [u64; 2] {
    [0, MAPPED_LOW | (v4 as u64) << 32]
}

/// Whether an address, by its words, is in v4-mapped form.
#[inline(always)]
pub(crate) const fn is_mapped(words: [u64; 2]) -> bool {
    words[0] == 0 && words[1] as u32 == MAPPED_LOW as u32
}
