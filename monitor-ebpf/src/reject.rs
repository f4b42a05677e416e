//! Signal: netfilter answered a segment with a reset, for a rule with REJECT. TCP does not know of it, nor does `OutRsts`.
//!
//! kernel: `net/ipv4/netfilter/nf_reject_ipv4.c` `nf_send_reset(struct net *net, struct sock *sk, struct sk_buff *oldskb, int hook)`
//! and `net/ipv6/netfilter/nf_reject_ipv6.c` `nf_send_reset6`, the same from 5.10 to 7.2. Mostly modules, which come when a rule needs
//! them. Nothing is sent in answer to a reset.

use monitor_common::counters::{Kind, PortCounter};
use monitor_common::record::NO_SLOT;

use crate::entry::on_entry;
use crate::fields::{field, number, room};
use crate::peers::{Counted, count_namespace, count_port};
use crate::segment::{RST, Segment};
use crate::story;

on_entry!(f_reject_v4, k_reject_v4, |[net, _sk, skb]| on_reject(net, skb));
on_entry!(f_reject_v6, k_reject_v6, |[net, _sk, skb]| on_reject(net, skb));

/// The logic, for any kind of attachment. Our end is the one that the segment was for, in whose name netfilter answers.
#[inline(never)]
fn on_reject(net: u64, skb: u64) {
    let mut room_for_segment = room();
    let segment = Segment::of_packet(skb, &mut room_for_segment);
    if segment.flags() & RST != 0 {
        return;
    }
    let netns = number(net, field!(net_inum)) as u32;
    let mut room_for_tuple = room();
    let tuple = segment.tuple(netns, &mut room_for_tuple);
    count_port(tuple.local_port, PortCounter::RejectSent);
    count_namespace(netns, Counted::Reject);
    if story::is_wanted(Kind::RejectSent) {
        story::tell(Kind::RejectSent, NO_SLOT, tuple, |record| story::segment(record, segment));
    }
}
