//! Signal: connections opened and closed, and the first FIN. Once per state change, never per packet.
//!
//! kernel: `include/trace/events/sock.h` `inet_sock_set_state(const struct sock *sk, const int oldstate, const int
//! newstate)`, the same from 5.10 to 7.2. It fires for MPTCP parents too, before the local port is known at
//! CLOSE -> `SYN_SENT`, and after it is gone at a move to CLOSE.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use monitor_common::counters::{PeerCounter, Tracepoint};
use monitor_common::peer::{Ended, Role, Side};

use crate::fields::room;
use crate::idle_close;
use crate::last_close;
use crate::log::debug_line;
use crate::maps::{Rare, ever, note_ever};
use crate::memory::{self, Context, Ending};
use crate::peers::{Occasion, Tally, slot_of};
use crate::relief;
use crate::socket::{
    CLOSE, CLOSE_WAIT, CLOSING, ESTABLISHED, FIN_WAIT1, FIN_WAIT2, Identity, RCV_SHUTDOWN, SYN_RECV,
    SYN_SENT, Socket, is_live,
};
use crate::tcp::TcpFacts;

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn set_state(ctx: RawTracePointContext) -> i32 {
    let (sk, old, new) = arguments(&ctx);
    // For each event, or the account of skipped runs would have misses that are none.
    relief::leave_token(Tracepoint::SetState, token(sk, old, new));
    if is_news(old, new) {
        debug_line!(&ctx, "set_state {:x}: {} -> {}", sk, old, new);
        on_news(sk, old, new);
    }
    0
}

#[raw_tracepoint(tracepoint = "inet_sock_set_state")]
pub(crate) fn relief_state(ctx: RawTracePointContext) -> i32 {
    let (sk, old, new) = arguments(&ctx);
    if relief::is_needed(Tracepoint::SetState, token(sk, old, new)) && is_news(old, new) {
        debug_line!(&ctx, "set_state {:x}: {} -> {}, by the second program", sk, old, new);
        on_news(sk, old, new);
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

/// What a state change means for us.
#[inline(always)]
const fn is_news(old: u8, new: u8) -> bool {
    new == CLOSE
        || new == FIN_WAIT1
        || new == CLOSE_WAIT
        || (old == SYN_SENT && new == SYN_RECV)
        || (!is_live(old) && is_live(new))
}

/// The logic, for any kind of attachment. Both ways are functions of the kernel's, so that they have a stack frame each.
#[inline(always)]
fn on_news(sk: u64, old: u8, new: u8) {
    // The usual end of a connection that the peer closes goes without a look at whose it is.
    if (new != CLOSE_WAIT || !is_live(old)) && on_set_state(sk, old, new) {
        idle_close::tell(Socket(sk), Side::Local);
    }
    if new == CLOSE_WAIT && idle_close::on_peers_fin(sk, old) {
        idle_close::tell(Socket(sk), Side::Peer);
    }
}

/// Whether it ended a quiet connection by our FIN, which is told elsewhere.
#[inline(never)]
fn on_set_state(sk: u64, old: u8, new: u8) -> bool {
    let socket = Socket(sk);
    let mut room_for_identity = room();
    let identity = socket.identify(&mut room_for_identity);
    if !identity.tcp {
        return false;
    }
    if old == SYN_SENT && new == SYN_RECV {
        socket.note_crossing();
        return false;
    }
    if !is_live(old) && is_live(new) {
        opened(socket, identity, old);
    }
    if new == FIN_WAIT1 {
        return closing(socket, identity, old);
    }
    if new == CLOSE {
        last_close::note(sk, old);
        if is_live(old) {
            // Its role stays noted: the reset that goes with this close comes after it. The next connection in the same
            // place of memory sets it right.
            closed(socket, identity, old);
        } else {
            socket.forget_role();
        }
    }
    false
}

#[inline(never)]
fn opened(socket: Socket, identity: &Identity, old: u8) {
    let role = if old == SYN_RECV && !socket.opened_crossing() { Role::Server } else { Role::Client };
    if role == identity.role_by_ttl() {
        socket.forget_role();
    } else {
        socket.note_role(role);
    }
    Tally::of(slot_of(&identity.tuple, role, Occasion::Connection)).add(PeerCounter::Opened, 1);
}

/// Our FIN is the first. Whether it ends a quiet connection.
#[inline(always)]
fn closing(socket: Socket, identity: &Identity, old: u8) -> bool {
    let mut room_for_facts = room();
    let facts = TcpFacts::of(socket, &mut room_for_facts);
    let ending = Ending {
        role: socket.role(identity),
        state: ESTABLISHED,
        counted: false,
        ended: Ended::OurFin,
        fin_received: false,
        context: Context::Owner,
    };
    memory::write(&identity.tuple, &ending, facts);
    if socket.shutdown() & RCV_SHUTDOWN == 0 {
        note_ever(Rare::HalfClosed);
    }
    old == ESTABLISHED && idle_close::by_us(facts)
}

#[inline(always)]
fn closed(socket: Socket, identity: &Identity, old: u8) {
    let (received, sent) = if matches!(old, FIN_WAIT1 | FIN_WAIT2 | CLOSING) && ever(Rare::HalfClosed) {
        let mut room_for_facts = room();
        let facts = TcpFacts::of(socket, &mut room_for_facts);
        memory::refresh(&identity.tuple, facts, identity.fin_received(), old);
        (facts.data_segs_in, facts.data_segs_out)
    } else {
        (socket.data_segs_in(), socket.data_segs_out())
    };
    let tally = Tally::of(slot_of(&identity.tuple, socket.role(identity), Occasion::Connection));
    tally.add(PeerCounter::Closed, 1);
    let exchanges = if received < sent { received } else { sent };
    if exchanges != 0 {
        tally.add(PeerCounter::Exchanges, exchanges as u64);
    }
}
