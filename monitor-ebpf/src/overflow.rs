//! Signal: a connection met a listener whose accept queue was full, with its SYN or with the last ACK of its handshake.
//!
//! kernel: `net/ipv4/tcp_input.c` `tcp_conn_request(struct request_sock_ops *, const struct tcp_request_sock_ops *, struct sock *sk,
//! struct sk_buff *skb)`, the same from 5.10 to 7.2; `tcp_v4_syn_recv_sock(const struct sock *sk, struct sk_buff *skb, ...)` and
//! `tcp_v6_syn_recv_sock`, whose later arguments differ. Each begins with the test that is repeated here: `sk_ack_backlog >
//! sk_max_ack_backlog`, so a backlog of N admits N + 1. Nothing but two reads happens while the queue has room.

use monitor_common::counters::{Kind, ListenerKey, ListenerTotals};
use monitor_common::record::{NO_SLOT, Stage, known};

use crate::entry::on_entry;
use crate::fields::{add, cpu_totals, field, number, room};
use crate::maps::{FREE_LISTENER, LISTENER_TOTALS, LISTENERS};
use crate::peers::{Counted, count_namespace};
use crate::segment::{Segment, is_ipv4};
use crate::socket::{LISTEN, Socket};
use crate::story;

/// `BPF_NOEXIST`: an insertion that another CPU was first with fails.
const NO_EXIST: u64 = 1;

on_entry!(f_syn, k_syn, |[_ops, _family_ops, sk, skb]| {
    if let Some(queue) = full_queue(sk)
        && !drops_before(sk, queue)
    {
        on_overflow(sk, skb, Stage::Syn, queue);
    }
});

on_entry!(f_ack_v4, k_ack_v4, |[sk, skb]| {
    if let Some(queue) = full_queue(sk) {
        on_overflow(sk, skb, Stage::Ack, queue);
    }
});

on_entry!(f_ack_v6, k_ack_v6, |[sk, skb]| {
    // An IPv4 segment for an IPv6 listener goes on to the function above.
    if let Some(queue) = full_queue(sk)
        && !is_ipv4(skb)
    {
        on_overflow(sk, skb, Stage::Ack, queue);
    }
});

/// An accept queue: how many wait, and the limit.
#[derive(Clone, Copy)]
struct Queue {
    waiting: u32,
    limit: u32,
}

#[inline(always)]
fn full_queue(sk: u64) -> Option<Queue> {
    let waiting = number(sk, field!(sk_ack_backlog)) as u32;
    let limit = number(sk, field!(sk_max_ack_backlog)) as u32;
    (waiting > limit).then_some(Queue { waiting, limit })
}

/// Without SYN cookies a full request queue drops the SYN before the accept queue is looked at, and counts no overflow.
#[inline(always)]
fn drops_before(sk: u64, queue: Queue) -> bool {
    let net = number(sk, field!(net));
    number(net, field!(tcp_syncookies)) == 0 && number(sk, field!(request_queue)) as u32 > queue.limit
}

#[inline(never)]
fn on_overflow(sk: u64, skb: u64, stage: Stage, queue: Queue) {
    let mut room_for_identity = room();
    let identity = Socket(sk).identify(&mut room_for_identity);
    let listener = &identity.tuple;
    let key = ListenerKey {
        addr: listener.local_addr,
        netns: listener.netns,
        port: listener.local_port,
        reserved: 0,
    };
    count(&key, stage);
    count_namespace(
        key.netns,
        match stage {
            Stage::Syn => Counted::OverflowSyn,
            Stage::Ack => Counted::OverflowAck,
        },
    );
    if story::is_wanted(Kind::ListenOverflow) {
        tell(skb, key.netns, stage, queue);
    }
}

/// In a frame of its own, for the sake of the stack.
#[inline(never)]
fn tell(skb: u64, netns: u32, stage: Stage, queue: Queue) {
    let mut room_for_segment = room();
    let segment = Segment::of(skb, &mut room_for_segment);
    let mut room_for_tuple = room();
    let tuple = segment.tuple(netns, &mut room_for_tuple);
    story::tell(Kind::ListenOverflow, NO_SLOT, tuple, |record| {
        record.state = LISTEN;
        record.stage = stage as u8;
        record.known |= known::BACKLOG;
        record.backlog = queue.waiting;
        record.backlog_limit = queue.limit;
        story::segment(record, segment);
    });
}

#[inline(never)]
fn count(key: &ListenerKey, stage: Stage) {
    // SAFETY: the number is copied out of the map value at once.
    let known = unsafe { LISTENERS.get(key).copied() };
    let place = match known {
        Some(place) => Some(place),
        None => admit(key),
    };
    if let Some(totals) = place.and_then(|place| LISTENER_TOTALS.get_ptr_mut(place)) {
        // SAFETY: only an address inside the map value is taken.
        let counter = unsafe {
            match stage {
                Stage::Syn => &raw mut (*totals).overflows_syn,
                Stage::Ack => &raw mut (*totals).overflows_ack,
            }
        };
        // SAFETY: `counter` points into a map value.
        unsafe { add(counter, 1) };
    } else if let Some(totals) = cpu_totals() {
        // SAFETY: `totals` is a map value.
        unsafe { add(&raw mut (*totals).listeners_over, 1) };
    }
}

/// Two CPUs may try at once: the first insertion wins, the other hands its place back.
#[inline(always)]
fn admit(key: &ListenerKey) -> Option<u32> {
    let Ok(Some(place)) = FREE_LISTENER.pop() else { return None };
    let entry: *mut ListenerTotals = LISTENER_TOTALS.get_ptr_mut(place)?;
    if LISTENERS.insert(key, place, NO_EXIST).is_ok() {
        // SAFETY: `entry` is a map value that nobody else names.
        unsafe { (&raw mut (*entry).key).write_volatile(*key) };
        // SAFETY: as above.
        unsafe { (&raw mut (*entry).used).write_volatile(1) };
        return Some(place);
    }
    // The queue has room for every place that was ever taken from it.
    let _cannot_fail = FREE_LISTENER.push(place, 0);
    // SAFETY: the number is copied out of the map value at once.
    unsafe { LISTENERS.get(key).copied() }
}
