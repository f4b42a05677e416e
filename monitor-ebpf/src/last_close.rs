//! The state a socket was in before it moved to CLOSE, for a reset that goes out after the move.
//!
//! By the socket and not by the CPU: between the two a process may be moved to another one (seen on 7.2, in a machine that was
//! busy).
//!
//! In two places, by two hashes: the tracepoint comes after the transmission, and on one host the other end may have closed
//! by then. Where their addresses shared a place it was lost, for one pair of sockets in 1,024 (seen on 6.1).

use crate::maps::{LAST_CLOSE_PLACES, LAST_CLOSES};
use monitor_common::spread;

#[inline(always)]
fn places(sk: u64) -> [Option<*mut u64>; 2] {
    let half = LAST_CLOSE_PLACES / 2;
    [
        LAST_CLOSES.get_ptr_mut(spread::place(sk, half)),
        LAST_CLOSES.get_ptr_mut(half + spread::other_place(sk, half)),
    ]
}

/// Socket and state in one word, so that neither is read without the other. The highest byte is the same in all kernel addresses.
#[inline(always)]
const fn word(sk: u64, state: u8) -> u64 {
    sk << 8 | state as u64
}

#[inline(always)]
pub(crate) fn note(sk: u64, state_before: u8) {
    for place in places(sk).into_iter().flatten() {
        // SAFETY: a map value; one word, so whole.
        unsafe { place.write_volatile(word(sk, state_before)) };
    }
}

/// `None` when other sockets have taken both of its places since.
#[inline(never)]
pub(crate) fn state_before(sk: u64) -> Option<u8> {
    places(sk).into_iter().flatten().find_map(|place| {
        // SAFETY: as above.
        let noted = unsafe { place.read_volatile() };
        let state = noted as u8;
        (noted == word(sk, state)).then_some(state)
    })
}
