//! Signal: a segment met no connection, where the tracepoints are silent.
//!
//! kernel: `net/ipv4/tcp_ipv4.c` `tcp_v4_send_reset(const struct sock *sk, struct sk_buff *skb[, enum sk_rst_reason reason])` and
//! `net/ipv6/tcp_ipv6.c` `tcp_v6_send_reset`, likewise. They are entered for every segment that is to be answered by a reset,
//! and return at once for one that is a reset itself: that is the only place where a reset for no connection is seen. Before 6.10
//! the tracepoint `tcp_send_reset` in them is silent without a full socket, so TIME_WAIT sockets and closed ports are taken here; a
//! segment that is not for this host is not answered.

use monitor_common::counters::{Kind, PeerCounter, PortCounter};
use monitor_common::peer::{Role, Tuple};
use monitor_common::record::{NO_SLOT, verdict};
use monitor_common::settings::NO_REASON;

use crate::entry::on_entry;
use crate::fields::{field, number, room, settings};
use crate::memory;
use crate::peers::{Occasion, Tally, count_port, slot_of};
use crate::segment::{RST, Segment, flags_of};
use crate::send_reset::passive;
use crate::socket::{Socket, TIME_WAIT};
use crate::story;

/// kernel: `include/uapi/linux/rtnetlink.h` `RTN_LOCAL`.
const ROUTE_LOCAL: u64 = 2;
/// kernel: `include/uapi/linux/ipv6_route.h` `RTF_LOCAL`.
const ROUTE6_LOCAL: u64 = 0x8000_0000;

on_entry!(f_answer_v4, k_answer_v4, |[sk, skb]| on_unmatched(sk, skb, is_for_us_v4));
on_entry!(f_answer_v6, k_answer_v6, |[sk, skb]| on_unmatched(sk, skb, is_for_us_v6));

/// The logic, for any kind of attachment.
#[inline(always)]
fn on_unmatched(sk: u64, skb: u64, is_for_us: impl Fn(u64) -> bool) {
    if flags_of(skb) & RST != 0 {
        if sk == 0 {
            received(skb);
        }
    } else if settings().has_reason == 0 && is_silent(sk) && (sk != 0 || is_for_us(skb)) {
        passive(sk, skb, NO_REASON);
    }
}

/// Whether the tracepoint before 6.10 says nothing of it.
#[inline(always)]
fn is_silent(sk: u64) -> bool {
    sk == 0 || Socket(sk).state() == TIME_WAIT
}

/// kernel: `tcp_v4_send_reset`: "If sk not NULL, it means we did a successful lookup and incoming route had to be correct".
#[inline(always)]
fn is_for_us_v4(skb: u64) -> bool {
    number(route(skb), field!(route_type)) == ROUTE_LOCAL
}

/// kernel: `include/net/ip6_route.h` `ipv6_unicast_destination`.
#[inline(always)]
fn is_for_us_v6(skb: u64) -> bool {
    number(route(skb), field!(route6_flags)) & ROUTE6_LOCAL != 0
}

/// The lowest bit tells who counts references.
#[inline(always)]
fn route(skb: u64) -> u64 {
    number(skb, field!(skb_dst)) & !1
}

/// A reset that no socket takes: of a connection we remember, or of none.
#[inline(never)]
fn received(skb: u64) {
    let mut room_for_segment = room();
    let segment = Segment::of(skb, &mut room_for_segment);
    let mut room_for_tuple = room();
    let tuple = segment.tuple(segment.netns(), &mut room_for_tuple);
    if !belated(tuple, segment) {
        count_port(tuple.local_port, PortCounter::StrayReceived);
        if story::is_wanted(Kind::StrayReceived) {
            story::tell(Kind::StrayReceived, NO_SLOT, tuple, |record| story::segment(record, segment));
        }
    }
}

/// A reset for a connection that has ended already: it ends nothing, so it counts for the peer and in no ratio.
#[inline(always)]
fn belated(tuple: &Tuple, segment: &Segment) -> bool {
    let Some(memory) = memory::recall(tuple) else { return false };
    // SAFETY: `memory` is a map value; one byte is copied.
    let Some(role) = Role::from_code(unsafe { (*memory).role }) else { return false };
    let slot = slot_of(tuple, role, Occasion::Connection);
    Tally::of(slot).add(PeerCounter::ResetsReceived, 1);
    if story::is_wanted(Kind::ResetReceived) {
        story::tell(Kind::ResetReceived, slot, tuple, |record| {
            record.verdicts |= verdict::CARRIED_DATA;
            story::segment(record, segment);
            // SAFETY: a map value that is valid while the program runs; a concurrent update only mixes two stories.
            story::memory(record, unsafe { &*memory });
        });
    }
    true
}
