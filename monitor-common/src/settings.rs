//! What the daemon tells the kernel programs at load time, besides the layout.

/// Value of a reason code the running kernel does not have.
pub const NO_REASON: u32 = u32::MAX;

/// The second read-only global. Numbers only; set once, before the programs are verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Settings {
    /// Stories of one suppressible kind that one CPU may tell in a row.
    pub story_burst: u32,
    /// Nanoseconds until one more such story may be told.
    pub story_interval_ns: u32,
    /// `TCP_KEEPALIVE_TIMEOUT` in the running kernel's `enum sk_rst_reason`, or [`NO_REASON`].
    pub reason_keepalive: u32,
    /// `TCP_ABORT_ON_CLOSE`, likewise.
    pub reason_close: u32,
    /// Whether `tcp_send_reset` has a third argument, the reason (6.10 and newer). 0 or 1.
    pub has_reason: u32,
    /// Slot number of the client-role `other`; the server-role one follows it.
    pub other_slot: u32,
    /// Jiffies per second.
    pub hz: u32,
    /// Places of the closed memory less one: a power of two, less one.
    pub closed_mask: u32,
    /// A CPU that told nothing for so many nanoseconds wakes the daemon with the next story. Shorter than it looks by itself again.
    pub wake_quiet_ns: u32,
    /// Bytes that wait in the ring from which on the daemon is woken all the same.
    pub wake_bytes: u32,
    /// Nanoseconds per jiffy.
    pub jiffy_ns: u32,
}

impl Settings {
    /// The bytes that the kernel side reads, in its (little-endian) order. The array is as long as the struct, so that none of
    /// the numbers can be left out.
    pub fn to_bytes(self) -> [u8; size_of::<Self>()] {
        let words: [u32; size_of::<Self>() / size_of::<u32>()] = [
            self.story_burst,
            self.story_interval_ns,
            self.reason_keepalive,
            self.reason_close,
            self.has_reason,
            self.other_slot,
            self.hz,
            self.closed_mask,
            self.wake_quiet_ns,
            self.wake_bytes,
            self.jiffy_ns,
        ];
        let mut bytes = [0; size_of::<Self>()];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}

const _: () = assert!(size_of::<Settings>() == 44);
