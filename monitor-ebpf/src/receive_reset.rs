//! Signal: a reset was received.
//!
//! kernel: `include/trace/events/tcp.h` `tcp_receive_reset(struct sock *sk)`, the same from 5.10 to 7.2. First statement of
//! `tcp_reset()`, with the socket's state as it was. It does not say that a reset was received: data that arrives on a full
//! orphan passes through `tcp_reset()` too, and a reset is then *sent* (`net/ipv4/tcp_input.c` `tcp_rcv_state_process`,
//! TCPABORTONDATA). Nothing on the socket tells the two apart for certain, so such an event is held: if the same
//! socket sends a reset, it was data, and `send_reset.rs` drops it; after a second, the daemon counts it.
//!
//! Resets that meet a request socket, a TIME_WAIT socket or no socket never come here.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use monitor_common::counters::{Kind, PeerCounter, PortCounter, Tracepoint};
use monitor_common::peer::{Ended, Role, Tuple};
use monitor_common::record::{NO_SLOT, Record, known, verdict};

use crate::log::debug_line;
use crate::maps::HELD;
use crate::memory::{self, Context, Ending};
use crate::peers::{Occasion, Tally, count_port, slot_of};
use crate::relief;
use crate::socket::{FIN_WAIT1, FIN_WAIT2, RCV_SHUTDOWN, SYN_RECV, SYN_SENT, Socket, is_live};
use crate::story;

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn receive_reset(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    relief::leave_token(Tracepoint::ReceiveReset, sk);
    debug_line!(&ctx, "receive_reset {:x}", sk);
    on_receive_reset(sk);
    0
}

#[raw_tracepoint(tracepoint = "tcp_receive_reset")]
pub(crate) fn relief_receive(ctx: RawTracePointContext) -> i32 {
    let sk = ctx.arg(0);
    if relief::is_needed(Tracepoint::ReceiveReset, sk) {
        debug_line!(&ctx, "receive_reset {:x}, by the second program", sk);
        on_receive_reset(sk);
    }
    0
}

/// The logic, for any kind of attachment that does not have the segment in hand.
#[inline(never)]
fn on_receive_reset(sk: u64) {
    let socket = Socket(sk);
    let state = socket.state();
    if is_live(state) {
        let may_be_data = matches!(state, FIN_WAIT1 | FIN_WAIT2) && socket.shutdown() & RCV_SHUTDOWN != 0;
        established(socket, state, may_be_data);
    } else if state == SYN_SENT {
        refused(socket, state);
    } else if state == SYN_RECV {
        // A TCP Fast Open child before its handshake ended. Not a peer yet.
        let tuple = socket.tuple();
        count_port(tuple.local_port, PortCounter::StrayReceived);
        story::tell(Kind::StrayReceived, NO_SLOT, &tuple, |record| record.state = state);
    }
    // In CLOSE, tcp_reset() does nothing.
}

#[inline(always)]
fn refused(socket: Socket, state: u8) {
    let tuple = socket.tuple();
    let slot = slot_of(&tuple, Role::Client, Occasion::Refusal);
    Tally::of(slot).add(PeerCounter::RefusedReceived, 1);
    story::tell(Kind::RefusedReceived, slot, &tuple, |record| {
        record.state = state;
        record.role = Role::Client as u8;
        record.known |= known::ROLE;
    });
}

/// A received reset of an established connection, or what looks like one.
#[derive(Clone, Copy)]
struct Received {
    socket: Socket,
    state: u8,
    role: Role,
    slot: u32,
    carried_data: bool,
}

#[inline(always)]
fn established(socket: Socket, state: u8, may_be_data: bool) {
    let tuple = socket.tuple();
    let role = socket.role(&tuple);
    let slot = slot_of(&tuple, role, Occasion::Connection);
    let carried_data = socket.data_segs_in() | socket.data_segs_out() != 0;
    let received = Received { socket, state, role, slot, carried_data };
    let ending = Ending { role, state, counted: true, ended: Ended::PeerReset, context: Context::Elsewhere };
    memory::count_ending(socket.0, &tuple, &ending);
    if may_be_data && hold(&received, &tuple) {
        return;
    }
    let tally = Tally::of(slot);
    tally.add(PeerCounter::ResetsReceived, 1);
    tally.add(if carried_data { PeerCounter::Reset } else { PeerCounter::Aborted }, 1);
    story::tell(Kind::ResetReceived, slot, &tuple, |record| fill(record, &received, &tuple));
}

/// Holds a reset that may be none. `false` when there is no room: then it is taken for one.
#[inline(never)]
fn hold(received: &Received, tuple: &Tuple) -> bool {
    let key = received.socket.held_key(tuple);
    if HELD.insert(&key, &story::EMPTY, 0).is_err() {
        return false;
    }
    // In place, since a record does not fit into what is left of the stack. Without a time, the daemon leaves it alone.
    let Some(held) = HELD.get_ptr_mut(&key) else { return false };
    // SAFETY: a map value; nobody else takes it within the second that it is held.
    let record = unsafe { &mut *held };
    story::start(record, Kind::ResetReceived, received.slot, tuple);
    fill(record, received, tuple);
    true
}

#[inline(always)]
fn fill(record: &mut Record, received: &Received, tuple: &Tuple) {
    let Received { socket, state, role, slot: _, carried_data } = *received;
    record.state = state;
    record.state_before = state;
    record.role = role as u8;
    record.known |= known::ROLE | known::STATE_BEFORE;
    record.verdicts |=
        if carried_data { verdict::CARRIED_DATA | verdict::COUNTED_RESET } else { verdict::COUNTED_ABORTED };
    story::socket(record, socket);
    story::first_fin(record, socket, tuple, state);
    let ttl = socket.handshake_ttl(tuple);
    if ttl > 1 {
        record.known |= known::BASELINE;
        record.baseline_ttl = ttl;
    }
}
