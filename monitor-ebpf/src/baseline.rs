//! Signal: the SYN-ACK that answered our SYN, for the TTL that the peer's segments usually have.
//!
//! kernel: `net/ipv4/tcp_input.c` `tcp_finish_connect(struct sock *sk, struct sk_buff *skb)`, the same from 5.10 to 7.2; `skb` is
//! null in repair mode. Once per `connect()`. Accepted sockets need none of this: the kernel keeps the TTL of the handshake.
//!
//! Two arrays in which a hash gives a pair of places: by socket, for a reset of the connection, and by host, for a reset that refuses
//! the next one. What comes new takes the first place of its pair and moves what was there to the second.

use monitor_common::peer::Tuple;

use crate::entry::on_entry;
use crate::fields::{is_mapped, room};
use crate::maps::{HOST_TTLS, SOCKET_TTLS};
use crate::segment::ttl_of;
use crate::socket::Socket;
use monitor_common::spread::{self, GOLDEN};

/// Pairs of client connections whose TTL is known, a power of two: 512 KiB.
pub(crate) const SOCKET_TTL_PAIRS: u32 = 32_768;
/// Pairs of hosts we connected to whose TTL is known, a power of two: 96 KiB.
pub(crate) const HOST_TTL_PAIRS: u32 = 2_048;

/// A socket's address without its upper byte, which is the same for all, and a TTL. One word, so whole.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct SocketTtl(u64);

/// A host in a namespace, and a TTL.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct HostTtl {
    addr: [u64; 2],
    netns: u32,
    ttl: u32,
}

on_entry!(f_syn_ack, k_syn_ack, |[sk, skb]| on_syn_ack(sk, skb));

/// The logic, for any kind of attachment.
#[inline(never)]
fn on_syn_ack(sk: u64, skb: u64) {
    if skb == 0 {
        return;
    }
    let mut room_for_identity = room();
    let identity = Socket(sk).identify(&mut room_for_identity);
    let (addr, netns) = host(&identity.tuple);
    let ttl = ttl_of(skb, is_mapped(addr));
    if ttl == 0 {
        return;
    }
    let new = SocketTtl(sk << 8 | ttl as u64);
    if let Some([first, second]) = socket_places(sk) {
        // SAFETY: a map value; one word, so whole. Of two that come at once one may be lost, and then has none.
        let before = unsafe { first.read_volatile() };
        if !before.is_of(sk) && before.0 != 0 {
            // SAFETY: as above.
            unsafe { second.write_volatile(before) };
        }
        // SAFETY: as above.
        unsafe { first.write_volatile(new) };
    }
    let Some([first, second]) = host_places(addr, netns) else { return };
    // SAFETY: a map value. Usually it is there already, and nothing is written.
    let known = unsafe { first.read_volatile() };
    if !known.is_of(addr, netns) && known.ttl != 0 {
        // SAFETY: a map value; one that reads meanwhile finds the same host twice.
        unsafe { second.write_volatile(known) };
    }
    if !known.is_of(addr, netns) || known.ttl != ttl as u32 {
        // SAFETY: a map value; one that reads meanwhile finds another host, or this one with the last TTL.
        unsafe { first.write_volatile(HostTtl { addr, netns, ttl: ttl as u32 }) };
    }
}

impl SocketTtl {
    #[inline(always)]
    const fn is_of(self, sk: u64) -> bool {
        self.0 >> 8 == sk << 8 >> 8
    }
}

impl HostTtl {
    #[inline(always)]
    fn is_of(&self, addr: [u64; 2], netns: u32) -> bool {
        self.addr == addr && self.netns == netns
    }
}

/// TTL of the SYN-ACK that opened this connection of ours, if it is still known.
#[inline(always)]
pub(crate) fn of_connection(sk: u64) -> Option<u8> {
    let [first, second] = socket_places(sk)?;
    // SAFETY: a map value; one word, so whole.
    let (one, other) = unsafe { (first.read_volatile(), second.read_volatile()) };
    let word = if one.is_of(sk) { one } else { other };
    (word.is_of(sk) && word.0 != 0).then_some(word.0 as u8)
}

/// TTL of the last SYN-ACK from this tuple's remote host, if it is still known.
#[inline(always)]
pub(crate) fn of_host(tuple: &Tuple) -> Option<u8> {
    let (addr, netns) = host(tuple);
    let [first, second] = host_places(addr, netns)?;
    // SAFETY: a map value; copied at once.
    let one = unsafe { first.read_volatile() };
    if one.is_of(addr, netns) {
        return (one.ttl != 0).then_some(one.ttl as u8);
    }
    // SAFETY: as above.
    let other = unsafe { second.read_volatile() };
    (other.is_of(addr, netns) && other.ttl != 0).then_some(other.ttl as u8)
}

#[inline(always)]
fn host(tuple: &Tuple) -> ([u64; 2], u32) {
    // SAFETY: the address is aligned to 8 in a tuple.
    (unsafe { (&raw const tuple.remote_addr).cast::<[u64; 2]>().read() }, tuple.netns)
}

#[inline(always)]
fn socket_places(sk: u64) -> Option<[*mut SocketTtl; 2]> {
    let pair = SOCKET_TTLS.get_ptr_mut(spread::place(sk, SOCKET_TTL_PAIRS))?;
    Some(both(pair))
}

#[inline(always)]
fn host_places(addr: [u64; 2], netns: u32) -> Option<[*mut HostTtl; 2]> {
    let mixed = addr[0].wrapping_mul(GOLDEN) ^ addr[1] ^ (netns as u64) << 32;
    let pair = HOST_TTLS.get_ptr_mut(spread::place(mixed, HOST_TTL_PAIRS))?;
    Some(both(pair))
}

#[inline(always)]
fn both<T>(pair: *mut [T; 2]) -> [*mut T; 2] {
    // SAFETY: `pair` is a map value with two of them.
    unsafe { [(&raw mut (*pair)[0]), (&raw mut (*pair)[1])] }
}
