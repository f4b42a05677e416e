//! The segment that is being judged, from the entry of the function that has it until the tracepoint within that function, which has
//! not.
//!
//! By the socket and not by the CPU, as in `last_close.rs`: in between, a softirq may judge another connection's reset on the same
//! CPU, and where kernels may be preempted (7.2) another process may, or this one is moved to another CPU.

use crate::maps::{JUDGED, JUDGED_PLACES, Judged};
use monitor_common::spread;

#[inline(always)]
fn place(sk: u64) -> Option<*mut Judged> {
    JUDGED.get_ptr_mut(spread::place(sk, JUDGED_PLACES))
}

#[inline(always)]
pub(crate) fn note(sk: u64, skb: u64) {
    if let Some(place) = place(sk) {
        // SAFETY: a map value. Two words that two CPUs write at once may get mixed, which `take` finds out.
        unsafe { place.write_volatile(Judged { skb, both: skb ^ sk }) };
    }
}

/// What was noted of a socket in this place is not of what it is judging now: a reset that was found to be none, such as one with a
/// wrong sequence number, never came to the tracepoint, and its segment's memory is another's.
#[inline(always)]
pub(crate) fn forget(sk: u64) {
    take(sk);
}

/// `None` when it was not noted, or another socket has taken its place since. Taken once: a later reset of a socket at the same
/// address has its own.
#[inline(always)]
pub(crate) fn take(sk: u64) -> Option<u64> {
    let place = place(sk)?;
    // SAFETY: as above.
    let noted = unsafe { place.read_volatile() };
    if noted.skb ^ noted.both != sk {
        return None;
    }
    // SAFETY: as above.
    unsafe { place.write_volatile(Judged { skb: 0, both: 0 }) };
    Some(noted.skb)
}
