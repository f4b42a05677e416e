//! Signal: a reset was sent, in answer to a segment (passive) or of our own accord (active).
//!
//! kernel: `include/trace/events/tcp.h` `tcp_send_reset(const struct sock *sk, const struct sk_buff *skb[, const enum sk_rst_reason
//! reason])`, the reason from 6.10 on. Passive: just before the transmission, with the provoking segment; `sk` may be null, a
//! TIME_WAIT socket or a listener (both null and TIME_WAIT only from 6.10 on). Active: after the transmission, `skb` null, and `sk`
//! mostly in CLOSE already. The four-tuple comes from the segment where there is one: a listener has none.

use aya_ebpf::macros::raw_tracepoint;
use aya_ebpf::programs::RawTracePointContext;
use monitor_common::counters::{Kind, PeerCounter, PortCounter, Tracepoint};
use monitor_common::peer::{Ended, Role, Tuple};
use monitor_common::record::{NO_SLOT, Record, known, verdict};
use monitor_common::settings::NO_REASON;

use crate::fields::{field, number, room, settings};
use crate::last_close;
use crate::log::debug_line;
use crate::maps::HELD;
use crate::memory::{self, Context, Ending};
use crate::peers::{Counted, Occasion, Tally, count_namespace, count_port, slot_of};
use crate::relief;
use crate::segment::{Segment, flags_of, opens};
use crate::socket::{CLOSE, ESTABLISHED, Identity, LISTEN, Socket, TIME_WAIT, is_live};
use crate::story;
use crate::tcp::TcpFacts;

const SHUTDOWN_MASK: u8 = 3;

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn send_reset(ctx: RawTracePointContext) -> i32 {
    let (sk, skb, reason) = arguments(&ctx);
    relief::leave_token(Tracepoint::SendReset, token(sk, skb));
    debug_line!(&ctx, "send_reset {:x}: segment {:x}, reason {}", sk, skb, reason);
    on_send_reset(sk, skb, reason);
    0
}

#[raw_tracepoint(tracepoint = "tcp_send_reset")]
pub(crate) fn relief_send(ctx: RawTracePointContext) -> i32 {
    let (sk, skb, reason) = arguments(&ctx);
    if relief::is_needed(Tracepoint::SendReset, token(sk, skb)) {
        debug_line!(&ctx, "send_reset {:x}: segment {:x}, reason {}, by the second program", sk, skb, reason);
        on_send_reset(sk, skb, reason);
    }
    0
}

#[inline(always)]
fn arguments(ctx: &RawTracePointContext) -> (u64, u64, u32) {
    let reason = if settings().has_reason != 0 { ctx.arg::<i32>(2) as u32 } else { NO_REASON };
    (ctx.arg(0), ctx.arg(1), reason)
}

/// One of the two may be null.
#[inline(always)]
const fn token(sk: u64, skb: u64) -> u64 {
    sk.rotate_left(16) ^ skb
}

/// The logic, for any kind of attachment. Both ways are functions of the kernel's, so that they have a stack frame each.
#[inline(always)]
fn on_send_reset(sk: u64, skb: u64, reason: u32) {
    if skb == 0 {
        active(Socket(sk), reason);
    } else if !orphaned(sk, skb, reason) {
        passive(sk, skb, reason);
    }
}

/// Why a reset was sent without being asked for, as far as counting needs to know.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Intent {
    /// `SO_LINGER` 0, or `connect()` to `AF_UNSPEC`: the application meant it.
    Chosen,
    /// `SOCK_DESTROY`.
    Destroyed,
    /// `close()` with data unread.
    Unread,
    /// Anything else.
    Forced,
}

impl Intent {
    #[inline(always)]
    const fn ended(self) -> Ended {
        match self {
            Self::Chosen => Ended::Chosen,
            Self::Destroyed => Ended::Destroyed,
            Self::Unread => Ended::Unread,
            Self::Forced => Ended::Reset,
        }
    }

    /// Whether our side wanted it.
    #[inline(always)]
    const fn is_meant(self) -> bool {
        match self {
            Self::Chosen | Self::Destroyed => true,
            Self::Unread | Self::Forced => false,
        }
    }
}

#[inline(never)]
fn active(socket: Socket, reason: u32) {
    let mut room_for_identity = room();
    let identity = socket.identify(&mut room_for_identity);
    let tuple = &identity.tuple;
    let state = identity.state;
    let before = if state == CLOSE { last_close::state_before(socket.0) } else { Some(state) };
    let state_then = before.unwrap_or(ESTABLISHED);
    if !is_live(state_then) {
        return unmeant(identity, reason);
    }
    count_namespace(tuple.netns, Counted::Reset);
    let mut room_for_facts = room();
    let facts = TcpFacts::of(socket, &mut room_for_facts);
    let role = socket.role(identity);
    let slot = slot_of(tuple, role, Occasion::Connection);
    let intent = intent(socket, identity, facts, reason);
    let aborted = intent.is_meant() || !facts.carried_data();
    let tally = Tally::of(slot);
    tally.add(PeerCounter::ResetsSent, 1);
    tally.add(if aborted { PeerCounter::Aborted } else { PeerCounter::Reset }, 1);
    // On the way out of close() the owner runs; an orphan's resets come from timers, SOCK_DESTROY from elsewhere.
    let by_owner = state == CLOSE && !identity.is_orphan();
    let context = if by_owner { Context::Owner } else { Context::Elsewhere };
    let ending = Ending {
        role,
        state: state_then,
        counted: true,
        ended: intent.ended(),
        fin_received: identity.fin_received(),
        context,
    };
    // A memory of our FIN stays: it knows how quiet it was then.
    memory::count_ending(tuple, &ending, facts);
    if !story::is_wanted(Kind::ResetSent) {
        return;
    }
    story::tell(Kind::ResetSent, slot, tuple, |told| {
        told.active = 1;
        told.verdicts |= if aborted { verdict::COUNTED_ABORTED } else { verdict::COUNTED_RESET };
        if facts.carried_data() {
            told.verdicts |= verdict::CARRIED_DATA;
        }
        if intent == Intent::Destroyed {
            told.verdicts |= verdict::DESTROYED;
        }
        set_reason(told, reason);
        fill(told, socket, identity, facts, before);
        if by_owner {
            story::owner(told);
        }
    });
}

/// A reset of our own accord for no connection: of one that was being opened.
#[inline(never)]
fn unmeant(identity: &Identity, reason: u32) {
    let tuple = &identity.tuple;
    count_namespace(tuple.netns, Counted::Stray);
    count_port(tuple.local_port, PortCounter::StraySent);
    if story::is_wanted(Kind::StraySent) {
        story::tell(Kind::StraySent, NO_SLOT, tuple, |record| {
            record.state = identity.state;
            record.active = 1;
            set_reason(record, reason);
        });
    }
}

/// Told by the socket alone, since reasons for active resets exist only from 6.12 on.
#[inline(never)]
fn intent(socket: Socket, identity: &Identity, facts: &TcpFacts, reason: u32) -> Intent {
    if identity.state != CLOSE {
        let is_close = if settings().reason_close == NO_REASON {
            socket.is_subflow()
        } else {
            reason == settings().reason_close
        };
        if is_close {
            // MPTCP resets its subflows before it closes them.
            return if socket.lingers_zero(identity.flags) { Intent::Chosen } else { Intent::Unread };
        }
        // tcp_abort() resets first and closes then; timers do the same, on orphans or with probes out.
        let keepalive = if settings().reason_keepalive != NO_REASON {
            reason == settings().reason_keepalive
        } else {
            facts.probes_out != 0
        };
        return if keepalive || identity.is_orphan() { Intent::Forced } else { Intent::Destroyed };
    }
    // tcp_close() looks at unread data first, then at SO_LINGER.
    if facts.unread_bytes(identity.fin_received()) != 0 {
        return Intent::Unread;
    }
    let chosen =
        socket.lingers_zero(identity.flags) || (socket.shutdown() != SHUTDOWN_MASK && socket.file() != 0);
    if chosen { Intent::Chosen } else { Intent::Forced }
}

#[inline(never)]
pub(crate) fn passive(sk: u64, skb: u64, reason: u32) {
    let mut room_for_segment = room();
    let segment = Segment::of(skb, &mut room_for_segment);
    let socket = Socket(sk);
    let (state, netns) = if sk == 0 { (0, segment.netns()) } else { (socket.state(), socket.netns()) };
    if segment.opens() {
        // The cheapest way: scans and floods come here.
        count_port(segment.local_port(), PortCounter::RefusedSent);
        count_namespace(netns, Counted::Refused);
        if !story::is_wanted(Kind::RefusedSent) {
            return;
        }
    }
    let mut room_for_tuple = room();
    let tuple = segment.tuple(netns, &mut room_for_tuple);
    if segment.opens() {
        story::tell(Kind::RefusedSent, NO_SLOT, tuple, |record| answer(record, state, segment, reason));
    } else if !(matches!(state, 0 | TIME_WAIT | LISTEN) && late(socket, state, tuple, segment, reason)) {
        stray(socket, state, tuple, segment, reason);
    }
}

/// A segment that met no connection any more, only our memory of one. `false` when there is none.
#[inline(never)]
fn late(socket: Socket, state: u8, tuple: &Tuple, segment: &Segment, reason: u32) -> bool {
    let Some(memory) = memory::recall(tuple) else { return false };
    // SAFETY: `memory` is a map value; one byte is copied.
    let Some(role) = Role::from_code(unsafe { (*memory).role }) else { return false };
    let slot = slot_of(tuple, role, Occasion::Connection);
    let tally = Tally::of(slot);
    tally.add(PeerCounter::ResetsSent, 1);
    count_namespace(tuple.netns, Counted::Reset);
    // Without payload it is a late FIN or ACK: nobody's request.
    let counted = segment.payload() != 0 && memory::count_once(memory);
    if counted {
        tally.add(PeerCounter::Reset, 1);
    }
    if !story::is_wanted(Kind::ResetSent) {
        return true;
    }
    story::tell(Kind::ResetSent, slot, tuple, |record| {
        answer(record, state, segment, reason);
        if state == TIME_WAIT
            && let Some(expected) = socket.time_wait_rcv_nxt()
        {
            story::distance(record, segment, expected);
        }
        record.verdicts |= verdict::CARRIED_DATA;
        if counted {
            record.verdicts |= verdict::COUNTED_RESET;
        }
        // SAFETY: a map value that is valid while the program runs; a concurrent update only mixes two stories.
        story::memory(record, unsafe { &*memory });
    });
    true
}

/// Data for a full socket that its application has left: `tcp_reset()` has closed it, and the reset goes out now. `false` when it
/// is anything else.
#[inline(never)]
fn orphaned(sk: u64, skb: u64, reason: u32) -> bool {
    let socket = Socket(sk);
    let state = if sk == 0 { 0 } else { socket.state() };
    if !(state == CLOSE || is_live(state)) || opens(flags_of(skb)) {
        return false;
    }
    let before = if state == CLOSE { last_close::state_before(sk) } else { Some(state) };
    let state_then = before.unwrap_or(ESTABLISHED);
    if !is_live(state_then) {
        return false;
    }
    let mut room_for_identity = room();
    let identity = socket.identify(&mut room_for_identity);
    let mut room_for_facts = room();
    let facts = TcpFacts::of(socket, &mut room_for_facts);
    let tuple = &identity.tuple;
    // It was data and not a reset: receive_reset.rs holds it if it came through there, and has taken the first count.
    let was_held = HELD.remove(socket.held_key(tuple, facts.rcv_nxt)).is_ok();
    let role = socket.role(identity);
    let slot = slot_of(tuple, role, Occasion::Connection);
    let tally = Tally::of(slot);
    tally.add(PeerCounter::ResetsSent, 1);
    count_namespace(tuple.netns, Counted::Reset);
    let ending = Ending {
        role,
        state: state_then,
        counted: true,
        ended: Ended::Reset,
        fin_received: identity.fin_received(),
        context: Context::Elsewhere,
    };
    let counted = memory::count_ending(tuple, &ending, facts) || was_held;
    if counted {
        tally.add(PeerCounter::Reset, 1);
    }
    if !story::is_wanted(Kind::ResetSent) {
        return true;
    }
    story::tell(Kind::ResetSent, slot, tuple, |record| {
        set_reason(record, reason);
        story::segment_of(record, skb, facts.rcv_nxt);
        record.verdicts |= verdict::CARRIED_DATA;
        if counted {
            record.verdicts |= verdict::COUNTED_RESET;
        }
        fill(record, socket, identity, facts, before);
    });
    true
}

/// A segment of no connection we remember.
#[inline(never)]
fn stray(socket: Socket, state: u8, tuple: &Tuple, segment: &Segment, reason: u32) {
    count_port(tuple.local_port, PortCounter::StraySent);
    count_namespace(tuple.netns, Counted::Stray);
    if !story::is_wanted(Kind::StraySent) {
        return;
    }
    story::tell(Kind::StraySent, NO_SLOT, tuple, |record| {
        answer(record, state, segment, reason);
        if state == LISTEN {
            record.known |= known::BACKLOG;
            record.backlog = number(socket.0, field!(sk_ack_backlog)) as u32;
            record.backlog_limit = number(socket.0, field!(sk_max_ack_backlog)) as u32;
        }
    });
}

/// What every reset of a full socket tells. `before` is the state before it moved to CLOSE, if known.
#[inline(always)]
fn fill(record: &mut Record, socket: Socket, identity: &Identity, facts: &TcpFacts, before: Option<u8>) {
    record.state = identity.state;
    record.role = socket.role(identity) as u8;
    record.known |= known::ROLE;
    if let Some(before) = before {
        record.known |= known::STATE_BEFORE;
        record.state_before = before;
    }
    story::socket(record, socket, identity, facts);
    story::first_fin(record, socket.0, facts, &identity.tuple, before.unwrap_or(ESTABLISHED));
}

/// What every answer to a segment tells.
#[inline(always)]
fn answer(record: &mut Record, state: u8, segment: &Segment, reason: u32) {
    record.state = state;
    set_reason(record, reason);
    story::segment(record, segment);
}

#[inline(always)]
fn set_reason(record: &mut Record, reason: u32) {
    if reason != NO_REASON {
        record.known |= known::REASON;
        record.reason = reason;
    }
}
