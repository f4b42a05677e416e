//! Signal: the SYN-ACK that answered our SYN, for the TTL that the peer's segments usually have.
//!
//! kernel: `net/ipv4/tcp_input.c` `tcp_finish_connect(struct sock *sk, struct sk_buff *skb)`, the same from 5.10 to 7.2; `skb` is
//! null in repair mode. Once per `connect()`. Accepted sockets need none of this: the kernel keeps the TTL of the handshake.
//!
//! Two arrays in which a hash gives the place, and the next one with that place writes over it: by socket, for a reset of the
//! connection, and by host, for a reset that refuses the next one.

use monitor_common::peer::Tuple;

use crate::entry::on_entry;
use crate::fields::room;
use crate::maps::{HOST_TTLS, SOCKET_TTLS};
use crate::segment::Segment;
use crate::socket::Socket;
use crate::spread::{self, GOLDEN};

/// Client connections whose TTL is known, a power of two: 512 KiB.
pub(crate) const SOCKET_TTL_PLACES: u32 = 65_536;
/// Hosts we connected to whose TTL is known, a power of two: 96 KiB.
pub(crate) const HOST_TTL_PLACES: u32 = 4_096;

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
    let mut room_for_segment = room();
    let ttl = Segment::of(skb, &mut room_for_segment).ttl();
    if ttl == 0 {
        return;
    }
    if let Some(place) = socket_place(sk) {
        // SAFETY: a map value; one word, so whole. Another socket's may be overwritten, which then has none.
        unsafe { place.write_volatile(SocketTtl(sk << 8 | ttl as u64)) };
    }
    let mut room_for_identity = room();
    let identity = Socket(sk).identify(&mut room_for_identity);
    let (addr, netns) = host(&identity.tuple);
    let Some(place) = host_place(addr, netns) else { return };
    // SAFETY: a map value. Usually it is there already, and nothing is written.
    let known = unsafe { place.read_volatile() };
    if known.addr != addr || known.netns != netns || known.ttl != ttl as u32 {
        // SAFETY: a map value; one that reads meanwhile finds another host, or this one with the last TTL.
        unsafe { place.write_volatile(HostTtl { addr, netns, ttl: ttl as u32 }) };
    }
}

/// TTL of the SYN-ACK that opened this connection of ours, if it is still known.
#[inline(always)]
pub(crate) fn of_connection(sk: u64) -> Option<u8> {
    let place = socket_place(sk)?;
    // SAFETY: a map value; one word, so whole.
    let SocketTtl(word) = unsafe { place.read_volatile() };
    (word >> 8 == sk << 8 >> 8 && word != 0).then_some(word as u8)
}

/// TTL of the last SYN-ACK from this tuple's remote host, if it is still known.
#[inline(always)]
pub(crate) fn of_host(tuple: &Tuple) -> Option<u8> {
    let (addr, netns) = host(tuple);
    let place = host_place(addr, netns)?;
    // SAFETY: a map value; copied at once.
    let known = unsafe { place.read_volatile() };
    (known.addr == addr && known.netns == netns && known.ttl != 0).then_some(known.ttl as u8)
}

#[inline(always)]
fn host(tuple: &Tuple) -> ([u64; 2], u32) {
    // SAFETY: the address is aligned to 8 in a tuple.
    (unsafe { (&raw const tuple.remote_addr).cast::<[u64; 2]>().read() }, tuple.netns)
}

#[inline(always)]
fn socket_place(sk: u64) -> Option<*mut SocketTtl> {
    SOCKET_TTLS.get_ptr_mut(spread::place(sk, SOCKET_TTL_PLACES))
}

#[inline(always)]
fn host_place(addr: [u64; 2], netns: u32) -> Option<*mut HostTtl> {
    let mixed = addr[0].wrapping_mul(GOLDEN) ^ addr[1] ^ (netns as u64) << 32;
    HOST_TTLS.get_ptr_mut(spread::place(mixed, HOST_TTL_PLACES))
}
