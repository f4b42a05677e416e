//! A BPF array mapped into our memory: reading the truth costs no system call and needs no privilege.
//!
//! The only file of the daemon with `unsafe` in it: `mmap` has no safe form.
#![expect(unsafe_code, reason = "mmap has no safe form; each block says why it holds")]

use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// An `Array` map created with `BPF_F_MMAPABLE`, as shared 64-bit words.
///
/// The kernel programs add to these words at any time, on any CPU. Every access is an atomic one, so that is no data race.
#[derive(Debug)]
pub struct Mapping {
    words: NonNull<AtomicU64>,
    count: usize,
    bytes: usize,
}

// SAFETY: the mapping is owned, stays where it is, and is only accessed through atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `count` words of an array map. The caller knows the map's size: it created it.
    pub fn new(map: BorrowedFd<'_>, count: usize) -> std::io::Result<Self> {
        let bytes = (count * size_of::<u64>()).next_multiple_of(rustix::param::page_size());
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a fresh mapping at an address of the kernel's choice overlaps nothing of ours; the kernel refuses a
        // length beyond the map.
        let address = unsafe { mmap(std::ptr::null_mut(), bytes, protection, MapFlags::SHARED, map, 0) }?;
        let words = NonNull::new(address.cast()).ok_or(std::io::ErrorKind::AddrNotAvailable)?;
        Ok(Self { words, count, bytes })
    }

    /// The words.
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: page-aligned, `count` words long, readable and writable for as long as `self`, and `AtomicU64` allows
        // any bit pattern and concurrent change.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr(), self.count) }
    }

    /// One word. Relaxed: counters are independent of each other.
    pub fn word(&self, index: usize) -> u64 {
        self.words()[index].load(Ordering::Relaxed)
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping that `new` made, and no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.words.as_ptr().cast(), self.bytes) };
        // It can only fail for arguments that `new` did not make.
        debug_assert!(unmapped.is_ok());
    }
}
