//! Signal: a reset was received by a socket.
//!
//! kernel: `include/trace/events/tcp.h` `tcp_receive_reset(struct sock *sk)`, the first statement of `net/ipv4/tcp_input.c`
//! `tcp_reset(struct sock *sk, struct sk_buff *skb)`. Neither says that a reset was received: data that arrives on a full orphan
//! passes through them too, and a reset is then *sent* (`tcp_rcv_state_process`, TCPABORTONDATA). The tracepoint has no segment, and
//! the function has it from 5.11 on; so it is noted at the function's entry, and before 5.11 at that of
//! `tcp_validate_incoming(struct sock *sk, struct sk_buff *skb, ...)`, which every segment off the fast path goes through: one byte
//! is read of it there, and a reset noted before, which was not accepted, is forgotten. With the segment in hand, its flag decides.
//!
//! Where it is not, because only tracepoints can be used or the kernel skipped the program that notes it: nothing on the socket
//! tells data from a reset for certain, so such an event is held. If the same socket sends a reset, it was data, and `send_reset.rs`
//! drops it; after a second, the daemon counts it. So no count depends on a hook of which the kernel may skip runs.
//!
//! Resets that meet a request socket, a TIME_WAIT socket or no socket never come here.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use monitor_common::counters::{Kind, PeerCounter, PortCounter, Tracepoint};
use monitor_common::peer::{Ended, Role};
use monitor_common::record::{NO_SLOT, Record, known, verdict};

use crate::baseline;
use crate::entry::on_entry;
use crate::fields::room;
use crate::judged;
use crate::log::debug_line;
use crate::maps::HELD;
use crate::memory::{self, Context, Ending};
use crate::peers::{Occasion, Tally, count_port, slot_of};
use crate::relief;
use crate::segment::{RST, flags_of};
use crate::socket::{FIN_WAIT1, FIN_WAIT2, Identity, RCV_SHUTDOWN, SYN_RECV, SYN_SENT, Socket, is_live};
use crate::story;
use crate::tcp::TcpFacts;

/// Instead of a segment.
const NONE: u64 = 0;

on_entry!(f_reset, k_reset, |[sk, skb]| judged::note(sk, skb));

on_entry!(f_validate, k_validate, |[sk, skb]| {
    if flags_of(skb) & RST != 0 {
        judged::note(sk, skb);
    } else {
        judged::forget(sk);
    }
});

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn receive_reset(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    relief::leave_token(Tracepoint::ReceiveReset, sk);
    debug_line!(&ctx, "receive_reset {:x}", sk);
    on_receive_reset(sk, judged::take(sk).unwrap_or(NONE));
    0
}

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn relief_receive(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    if relief::is_needed(Tracepoint::ReceiveReset, sk) {
        debug_line!(&ctx, "receive_reset {:x}, by the second program", sk);
        on_receive_reset(sk, judged::take(sk).unwrap_or(NONE));
    }
    0
}

/// The logic, for any kind of attachment. `skb` is [`NONE`] where the segment is not at hand.
///
/// Part of each program: as a function without a pointer into the stack among its arguments it would be where Linux 7.2 begins to
/// look for what is still read of the stack, and for what is called at several depths below it, as [`fill`] is, 7.2 then mixes up
/// the frames (kernel: `kernel/bpf/liveness.c`, `lookup_instance`; "slot poisoned by dead code elimination").
#[inline(always)]
fn on_receive_reset(sk: u64, skb: u64) {
    if skb != NONE && flags_of(skb) & RST == 0 {
        // Data on an orphan: the reset that it draws tells of it.
        return;
    }
    let socket = Socket(sk);
    let mut room_for_identity = room();
    let identity = socket.identify(&mut room_for_identity);
    let state = identity.state;
    if is_live(state) {
        established(socket, identity, skb);
    } else if state == SYN_SENT {
        refused(identity, skb);
    } else if state == SYN_RECV {
        unfinished(identity);
    }
    // In CLOSE, tcp_reset() does nothing.
}

/// A TCP Fast Open child before its handshake ended. Not a peer yet.
#[inline(never)]
fn unfinished(identity: &Identity) {
    count_port(identity.tuple.local_port, PortCounter::StrayReceived);
    if story::is_wanted(Kind::StrayReceived) {
        story::tell(Kind::StrayReceived, NO_SLOT, &identity.tuple, |record| record.state = identity.state);
    }
}

#[inline(never)]
fn refused(identity: &Identity, skb: u64) {
    let slot = slot_of(&identity.tuple, Role::Client, Occasion::Refusal);
    Tally::of(slot).add(PeerCounter::RefusedReceived, 1);
    if !story::is_wanted(Kind::RefusedReceived) {
        return;
    }
    story::tell(Kind::RefusedReceived, slot, &identity.tuple, |record| {
        record.state = identity.state;
        record.role = Role::Client as u8;
        record.known |= known::ROLE;
        story::baseline(record, baseline::of_host(&identity.tuple));
        if skb != NONE {
            story::refusing_segment(record, skb);
        }
    });
}

/// A received reset of an established connection, or what looks like one.
#[inline(always)]
fn established(socket: Socket, identity: &Identity, skb: u64) {
    let mut room_for_facts = room();
    let facts = TcpFacts::of(socket, &mut room_for_facts);
    let state = identity.state;
    let role = socket.role(identity);
    let slot = slot_of(&identity.tuple, role, Occasion::Connection);
    let ending = Ending {
        role,
        state,
        counted: true,
        ended: Ended::PeerReset,
        fin_received: identity.fin_received(),
        context: Context::Elsewhere,
    };
    memory::count_ending(&identity.tuple, &ending, facts);
    let may_be_data =
        skb == NONE && matches!(state, FIN_WAIT1 | FIN_WAIT2) && socket.shutdown() & RCV_SHUTDOWN != 0;
    if may_be_data && hold(socket, identity, facts, role, slot) {
        return;
    }
    let tally = Tally::of(slot);
    tally.add(PeerCounter::ResetsReceived, 1);
    tally.add(if facts.carried_data() { PeerCounter::Reset } else { PeerCounter::Aborted }, 1);
    if story::is_wanted(Kind::ResetReceived) {
        story::tell(Kind::ResetReceived, slot, &identity.tuple, |record| {
            fill(record, socket, identity, facts, role);
            if skb != NONE {
                story::segment_of(record, skb, facts.rcv_nxt);
            }
        });
    }
}

/// Holds a reset that may be none. `false` when there is no room: then it is taken for one.
#[inline(never)]
fn hold(socket: Socket, identity: &Identity, facts: &TcpFacts, role: Role, slot: u32) -> bool {
    let key = socket.held_key(&identity.tuple, facts.rcv_nxt);
    if HELD.insert(&key, &story::EMPTY, 0).is_err() {
        return false;
    }
    // In place, since a record does not fit into what is left of the stack. Without a time, the daemon leaves it alone.
    let Some(held) = HELD.get_ptr_mut(&key) else { return false };
    // SAFETY: a map value; nobody else takes it within the second that it is held.
    let record = unsafe { &mut *held };
    story::start(record, Kind::ResetReceived, slot, &identity.tuple);
    fill(record, socket, identity, facts, role);
    true
}

#[inline(never)]
fn fill(record: &mut Record, socket: Socket, identity: &Identity, facts: &TcpFacts, role: Role) {
    let state = identity.state;
    record.state = state;
    record.state_before = state;
    record.role = role as u8;
    record.known |= known::ROLE | known::STATE_BEFORE;
    record.verdicts |= if facts.carried_data() {
        verdict::CARRIED_DATA | verdict::COUNTED_RESET
    } else {
        verdict::COUNTED_ABORTED
    };
    story::socket(record, socket, identity, facts);
    story::first_fin(record, socket.0, facts, &identity.tuple, state);
}
