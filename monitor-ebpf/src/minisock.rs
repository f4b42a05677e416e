//! Signals: a reset met a request socket or a TIME_WAIT socket. No tracepoint tells of either.
//!
//! kernel: `net/ipv4/tcp_minisocks.c` `tcp_check_req(struct sock *sk, struct sk_buff *skb, struct request_sock *req, bool fastopen,
//! ...)` and `tcp_timewait_state_process(struct inet_timewait_sock *tw, struct sk_buff *skb, const struct tcphdr *th, ...)`; what
//! follows these arguments differs from 5.10 to 7.2. Once per passive handshake, and for segments that meet a TIME_WAIT socket.
//! Only resets that the kernel takes count: those within the window, and in true TIME_WAIT the exact one.

use monitor_common::counters::{Kind, PeerCounter, PortCounter};
use monitor_common::peer::Role;
use monitor_common::record::{NO_SLOT, verdict};

use crate::entry::on_entry;
use crate::fields::{field, number, room};
use crate::memory;
use crate::peers::{Occasion, Tally, count_port, slot_of};
use crate::segment::{RST, Segment, flags_of};
use crate::socket::{FIN_WAIT2, Socket, TIME_WAIT};
use crate::story;

on_entry!(f_request, k_request, |[_listener, skb, request, fastopen]| {
    // A Fast Open child takes its resets in tcp_reset().
    if flags_of(skb) & RST != 0 && fastopen as u8 == 0 {
        on_request(request, skb);
    }
});

on_entry!(f_time_wait, k_time_wait, |[tw, skb]| {
    if flags_of(skb) & RST != 0 {
        on_time_wait(tw, skb);
    }
});

/// A handshake was taken back, or a stranger answers a SYN-ACK that went to a forged address: not a peer yet.
#[inline(never)]
fn on_request(request: u64, skb: u64) {
    let mut room_for_segment = room();
    let segment = Segment::of(skb, &mut room_for_segment);
    let expected = number(request, field!(request_rcv_nxt)) as u32;
    if segment.sequence().wrapping_sub(expected) > number(request, field!(request_rcv_wnd)) as u32 {
        return;
    }
    let socket = Socket(request);
    let mut room_for_tuple = room();
    let tuple = segment.tuple(socket.netns(), &mut room_for_tuple);
    count_port(tuple.local_port, PortCounter::StrayReceived);
    if story::is_wanted(Kind::StrayReceived) {
        story::tell(Kind::StrayReceived, NO_SLOT, tuple, |record| {
            record.state = socket.state();
            story::segment_expected(record, segment, expected);
        });
    }
}

/// Whether the peer's FIN is still to come.
///
/// Asked where the answer is used, and not kept: up to 6.1 the verifier takes a constant that lives across calls of functions of ours
/// for the same on every path, and leaves out the branch for the other (seen on 5.10 and 6.1: every reset in TIME_WAIT counted).
#[inline(always)]
fn has_open_peer(tw: u64) -> bool {
    number(tw, field!(tw_substate)) as u8 == FIN_WAIT2
}

/// Our side had closed. While the peer has not, a reset tells that what it still had to say, or read, is lost.
#[inline(never)]
fn on_time_wait(tw: u64, skb: u64) {
    let mut room_for_segment = room();
    let segment = Segment::of(skb, &mut room_for_segment);
    let socket = Socket(tw);
    let Some(expected) = socket.time_wait_rcv_nxt() else { return };
    let window = if has_open_peer(tw) { number(tw, field!(tw_rcv_wnd)) as u32 } else { 0 };
    if segment.sequence().wrapping_sub(expected) > window {
        return;
    }
    let mut room_for_tuple = room();
    let tuple = segment.tuple(socket.netns(), &mut room_for_tuple);
    let remembered = memory::recall(tuple);
    // SAFETY: a map value; one byte is copied.
    let role = remembered.and_then(|memory| Role::from_code(unsafe { (*memory).role }));
    let (Some(memory), Some(role)) = (remembered, role) else {
        count_port(tuple.local_port, PortCounter::StrayReceived);
        if story::is_wanted(Kind::StrayReceived) {
            story::tell(Kind::StrayReceived, NO_SLOT, tuple, |record| {
                record.state = TIME_WAIT;
                story::segment_expected(record, segment, expected);
            });
        }
        return;
    };
    let slot = slot_of(tuple, role, Occasion::Connection);
    let tally = Tally::of(slot);
    tally.add(PeerCounter::ResetsReceived, 1);
    let counted = has_open_peer(tw) && memory::count_once(memory);
    // SAFETY: as above, of two numbers.
    let carried_data = unsafe { (*memory).data_segs_in | (*memory).data_segs_out } != 0;
    if counted {
        tally.add(if carried_data { PeerCounter::Reset } else { PeerCounter::Aborted }, 1);
    }
    if !story::is_wanted(Kind::ResetReceived) {
        return;
    }
    story::tell(Kind::ResetReceived, slot, tuple, |record| {
        record.state = TIME_WAIT;
        if carried_data {
            record.verdicts |= verdict::CARRIED_DATA;
        }
        if counted {
            record.verdicts |= if carried_data { verdict::COUNTED_RESET } else { verdict::COUNTED_ABORTED };
        }
        story::segment_expected(record, segment, expected);
        // SAFETY: a map value that is valid while the program runs; a concurrent update only mixes two stories.
        story::memory(record, unsafe { &*memory });
    });
}
