//! How quiet a connection was when the peer closed it, for the reset that our next request may draw.
//!
//! What the socket stores is not enough then: that request has overwritten when we last sent. No map that must be kept
//! in order: a place in an array, given by the socket's address, which the next socket with that place writes over.

use monitor_common::peer::{PEER_FINS as COUNT, PeerFin};

use crate::maps::PEER_FINS;
use crate::tcp::TcpFacts;

/// Multiplier of Fibonacci hashing: 2^64 over the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

#[inline(always)]
fn place_of(sk: u64) -> Option<*mut PeerFin> {
    PEER_FINS.get_ptr_mut((sk.wrapping_mul(GOLDEN) >> (64 - COUNT.trailing_zeros())) as u32)
}

/// Remembers how quiet it is at `jiffies`; `last_bytes` are those of the side that closes.
#[inline(always)]
pub(crate) fn note(sk: u64, facts: &TcpFacts, jiffies: u32, last_bytes: u32) {
    let Some(place) = place_of(sk) else { return };
    // SAFETY: a map value. Another CPU's socket may have the same place: then the address or the sequence number does not fit at
    // the next look.
    let fin = unsafe { &mut *place };
    fin.socket = sk;
    fin.rcv_nxt = facts.rcv_nxt;
    fin.jiffies = jiffies;
    fin.lsndtime = facts.lsndtime;
    fin.lrcvtime = facts.lrcvtime;
    fin.last_bytes = last_bytes;
}

/// What was remembered of this connection.
#[inline(always)]
pub(crate) fn recall(sk: u64, facts: &TcpFacts) -> Option<PeerFin> {
    let place = place_of(sk)?;
    // SAFETY: a map value; copied at once.
    let fin = unsafe { place.read_volatile() };
    (fin.socket == sk && fin.rcv_nxt == facts.rcv_nxt).then_some(fin)
}
