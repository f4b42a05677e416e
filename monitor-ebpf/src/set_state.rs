//! Signal: connections opened and closed, and the first FIN. Once per state change, never per packet.
//!
//! kernel: `include/trace/events/sock.h` `inet_sock_set_state(const struct sock *sk, const int oldstate, const int
//! newstate)`, the same from 5.10 to 7.2. It fires for MPTCP parents too, before the local port is known at
//! CLOSE -> `SYN_SENT`, and after it is gone at a move to CLOSE.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use monitor_common::counters::{PeerCounter, Tracepoint};
use monitor_common::peer::{Ended, Role};

use crate::idle_close;
use crate::maps::{LAST_CLOSE, LAST_CLOSES, LastClose, Rare, ever, note_ever};
use crate::memory::{self, Context, Ending};
use crate::peers::{Occasion, Tally, slot_of};
use crate::relief;
use crate::socket::{
    CLOSE, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, RCV_SHUTDOWN, SYN_RECV, SYN_SENT, Socket,
    is_live,
};

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn set_state(ctx: RawTracePointContext) -> i32 {
    let (sk, old, new) = arguments(&ctx);
    relief::leave_token(Tracepoint::SetState, token(sk, old, new));
    on_set_state(sk, old, new);
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn relief_state(ctx: RawTracePointContext) -> i32 {
    let (sk, old, new) = arguments(&ctx);
    if relief::is_needed(Tracepoint::SetState, token(sk, old, new)) {
        on_set_state(sk, old, new);
    }
    0
}

#[inline(always)]
fn arguments(ctx: &RawTracePointContext) -> (u64, u8, u8) {
    (ctx.arg(0), ctx.arg::<i32>(1) as u8, ctx.arg::<i32>(2) as u8)
}

/// Kernel addresses of sockets end in zeros, states are small.
#[inline(always)]
const fn token(sk: u64, old: u8, new: u8) -> u64 {
    sk.rotate_left(16) ^ ((old as u64) << 8 | new as u64)
}

/// The logic, for any kind of attachment.
#[inline(never)]
fn on_set_state(sk: u64, old: u8, new: u8) {
    let socket = Socket(sk);
    let opens = !is_live(old) && is_live(new);
    let our_fin = new == FIN_WAIT1;
    let peers_fin = new == CLOSE_WAIT;
    let crossing = old == SYN_SENT && new == SYN_RECV;
    if !(opens || our_fin || peers_fin || crossing || new == CLOSE) || !socket.is_tcp() {
        return;
    }
    if crossing {
        socket.note_crossing();
        return;
    }
    if opens {
        opened(socket, old);
    }
    if our_fin {
        closing(socket, old);
    }
    if peers_fin {
        idle_close::by_peer(socket, old);
    }
    if new == CLOSE {
        note_close(sk, old);
        if is_live(old) {
            // Its role stays noted: the reset that goes with this close comes after it. The next connection in the same
            // place of memory sets it right.
            closed(socket, old);
        } else {
            socket.forget_role();
        }
    }
}

/// Our FIN is the first.
#[inline(always)]
fn closing(socket: Socket, old: u8) {
    let tuple = socket.tuple();
    let role = socket.role(&tuple);
    let ending =
        Ending { role, state: ESTABLISHED, counted: false, ended: Ended::OurFin, context: Context::Owner };
    memory::write(socket.0, &tuple, &ending);
    if socket.shutdown() & RCV_SHUTDOWN == 0 {
        note_ever(Rare::HalfClosed);
    }
    if old == ESTABLISHED {
        idle_close::by_us(socket, &tuple, role);
    }
}

#[inline(always)]
fn opened(socket: Socket, old: u8) {
    let tuple = socket.tuple();
    let by_ttl = socket.role_by_ttl(&tuple);
    let role = if old == SYN_RECV && !socket.opened_crossing() { Role::Server } else { Role::Client };
    if role == by_ttl {
        socket.forget_role();
    } else {
        socket.note_role(role);
    }
    memory::forget(&tuple);
    Tally::of(slot_of(&tuple, role, Occasion::Connection)).add(PeerCounter::Opened, 1);
}

#[inline(always)]
fn closed(socket: Socket, old: u8) {
    let tuple = socket.tuple();
    if matches!(old, FIN_WAIT1 | FIN_WAIT2 | CLOSING) && ever(Rare::HalfClosed) {
        memory::refresh(socket.0, &tuple, old);
    }
    let tally = Tally::of(slot_of(&tuple, socket.role(&tuple), Occasion::Connection));
    tally.add(PeerCounter::Closed, 1);
    let (received, sent) = (socket.data_segs_in(), socket.data_segs_out());
    let exchanges = if received < sent { received } else { sent };
    if exchanges != 0 {
        tally.add(PeerCounter::Exchanges, exchanges as u64);
    }
}

/// The state before the move to CLOSE, for a reset that follows on the same CPU.
#[inline(always)]
fn note_close(sk: u64, old: u8) {
    let Some(last) = LAST_CLOSE.get_ptr_mut(0) else { return };
    // SAFETY: `last` is a map value of this CPU.
    let next = unsafe { (&raw const (*last).next).read_volatile() } & (LAST_CLOSES as u64 - 1);
    // SAFETY: as above; a softirq in between takes a turn of its own.
    unsafe { (&raw mut (*last).next).write_volatile(next + 1) };
    let close = LastClose { sk, state_before: old as u64 };
    // SAFETY: `next` is below LAST_CLOSES.
    unsafe { (&raw mut (*last).closes).cast::<LastClose>().add(next as usize).write_volatile(close) };
}
