//! How quiet a connection was when the peer closed it, for the reset that our next request may draw.
//!
//! What the socket stores is not enough then: that request has overwritten when we last sent. No map that must be kept
//! in order: a pair of places in an array, given by the socket's address, of which the next sockets with that pair take the older.

use monitor_common::peer::{PEER_FINS as COUNT, PeerFin};

use crate::maps::PEER_FINS;
use crate::tcp::TcpFacts;
use monitor_common::spread;

/// A pair of neighbours, so that it takes two other sockets to push one out.
#[inline(always)]
fn places(sk: u64) -> (Option<*mut PeerFin>, Option<*mut PeerFin>) {
    let first = spread::place(sk, COUNT) & !1;
    (PEER_FINS.get_ptr_mut(first), PEER_FINS.get_ptr_mut(first | 1))
}

/// One number of an entry.
macro_rules! read {
    ($place:expr, $field:ident) => {
        // SAFETY: callers pass a map value.
        unsafe { (&raw const (*$place).$field).read_volatile() }
    };
}

/// Its own place, else the older of two.
#[inline(always)]
fn place_for(sk: u64, jiffies: u32) -> Option<*mut PeerFin> {
    let (one, two) = places(sk);
    let (one, two) = (one?, two?);
    if read!(one, socket) == sk {
        return Some(one);
    }
    if read!(two, socket) == sk {
        return Some(two);
    }
    let age = |jiffies_then: u32| jiffies.wrapping_sub(jiffies_then);
    Some(if age(read!(one, jiffies)) >= age(read!(two, jiffies)) { one } else { two })
}

/// Remembers how quiet it is at `jiffies`; `last_bytes` are those of the side that closes.
#[inline(always)]
pub(crate) fn note(sk: u64, facts: &TcpFacts, jiffies: u32, last_bytes: u32) {
    let Some(place) = place_for(sk, jiffies) else { return };
    // SAFETY: a map value. Another CPU's socket may take the same place: then the address or the sequence number does not fit at
    // the next look.
    let fin = unsafe { &mut *place };
    fin.socket = sk;
    fin.rcv_nxt = facts.rcv_nxt;
    fin.jiffies = jiffies;
    fin.lsndtime = facts.lsndtime;
    fin.lrcvtime = facts.lrcvtime;
    fin.last_bytes = last_bytes;
    fin.snd_una = facts.snd_una;
}

/// What was remembered of this connection.
#[inline(always)]
pub(crate) fn recall(sk: u64, facts: &TcpFacts) -> Option<PeerFin> {
    let (one, two) = places(sk);
    let (one, two) = (one?, two?);
    let place = if read!(one, socket) == sk { one } else { two };
    // SAFETY: a map value; copied at once.
    let fin = unsafe { place.read_volatile() };
    (fin.socket == sk && fin.rcv_nxt == facts.rcv_nxt).then_some(fin)
}
