//! The state a socket was in before it moved to CLOSE, for a reset that goes out after the move.
//!
//! By the socket and not by the CPU: between the two a process may be moved to another one (seen on 7.2, in a machine that was
//! busy).

use crate::maps::{LAST_CLOSE_PLACES, LAST_CLOSES};
use crate::spread;

#[inline(always)]
fn place(sk: u64) -> Option<*mut u64> {
    LAST_CLOSES.get_ptr_mut(spread::place(sk, LAST_CLOSE_PLACES))
}

/// Socket and state in one word, so that neither is read without the other. The highest byte is the same in all kernel addresses.
#[inline(always)]
const fn word(sk: u64, state: u8) -> u64 {
    sk << 8 | state as u64
}

#[inline(always)]
pub(crate) fn note(sk: u64, state_before: u8) {
    if let Some(place) = place(sk) {
        // SAFETY: a map value; one word, so whole.
        unsafe { place.write_volatile(word(sk, state_before)) };
    }
}

/// `None` when another socket has taken its place since.
#[inline(never)]
pub(crate) fn state_before(sk: u64) -> Option<u8> {
    // SAFETY: as above.
    let noted = unsafe { place(sk)?.read_volatile() };
    let state = noted as u8;
    (noted == word(sk, state)).then_some(state)
}
