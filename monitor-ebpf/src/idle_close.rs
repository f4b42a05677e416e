//! Idle closes: the first FIN of a connection that had been quiet for a second or more. Whose it is tells whose timer ran.
//!
//! A connection over TLS is never quite quiet at its end: the side that closes says so first (`close_notify`) and sends its FIN
//! right after. So a closer's own last data that is young and small does not count.

use aya_ebpf::helpers::generated::bpf_jiffies64;
use monitor_common::counters::Kind;
use monitor_common::peer::Side;
use monitor_common::record::{CLOSE_NOTIFY_BYTES, CLOSE_NOTIFY_SEGMENTS, Record, known};

use crate::fields::{room, settings};
use crate::peer_fin;
use crate::peers::{Occasion, slot_of};
use crate::socket::{CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, Socket};
use crate::story;
use crate::tcp::TcpFacts;

/// The peer's FIN was first. Remembers how quiet it was. Whether it was for long.
#[inline(never)]
pub(crate) fn on_peers_fin(sk: u64, old: u8) -> bool {
    let socket = Socket(sk);
    if !socket.is_tcp() {
        return false;
    }
    let mut room_for_facts = room();
    let facts = TcpFacts::of(socket, &mut room_for_facts);
    let fin = Fin::now(facts.unread_bytes(true));
    peer_fin::note(sk, facts, fin.jiffies, fin.last_bytes);
    old == ESTABLISHED && is_idle(&fin, facts, Side::Peer)
}

/// Our FIN is the first. Whether it had been quiet for long.
#[inline(always)]
pub(crate) fn by_us(facts: &TcpFacts) -> bool {
    is_idle(&Fin::now(facts.unacked_bytes()), facts, Side::Local)
}

/// A FIN: when, and what of its side nobody had taken yet.
struct Fin {
    jiffies: u32,
    last_bytes: u32,
}

impl Fin {
    #[inline(always)]
    fn now(last_bytes: u32) -> Self {
        // SAFETY: the helper has no preconditions.
        Self { jiffies: unsafe { bpf_jiffies64() } as u32, last_bytes }
    }
}

/// Whether it had been quiet for a second. The daemon computes for how long, by the same rule.
#[inline(always)]
fn is_idle(fin: &Fin, facts: &TcpFacts, by: Side) -> bool {
    let second = settings().hz;
    let sent = fin.jiffies.wrapping_sub(facts.lsndtime);
    let received = fin.jiffies.wrapping_sub(facts.lrcvtime);
    let (own, other) = match by {
        Side::Local => (sent, received),
        Side::Peer => (received, sent),
    };
    if other < second || own >= second {
        return other >= second;
    }
    own < second / 10
        && fin.last_bytes <= CLOSE_NOTIFY_BYTES
        && facts.data_segs_in >= CLOSE_NOTIFY_SEGMENTS
        && facts.data_segs_out >= CLOSE_NOTIFY_SEGMENTS
}

/// Tells of it. Rare, so it looks everything up anew. If the FIN is ours, its sender runs now.
#[inline(never)]
pub(crate) fn tell(socket: Socket, by: Side) {
    let mut room_for_identity = room();
    let identity = socket.identify(&mut room_for_identity);
    let mut room_for_facts = room();
    let facts = TcpFacts::of(socket, &mut room_for_facts);
    let role = socket.role(identity);
    let slot = slot_of(&identity.tuple, role, Occasion::Connection);
    let kind = match by {
        Side::Local => Kind::IdleCloseSent,
        Side::Peer => Kind::IdleCloseReceived,
    };
    if !story::is_wanted(kind) {
        return;
    }
    story::tell(kind, slot, &identity.tuple, |record: &mut Record| {
        record.state = if by == Side::Local { FIN_WAIT1 } else { CLOSE_WAIT };
        record.state_before = ESTABLISHED;
        record.role = role as u8;
        record.known |= known::ROLE | known::STATE_BEFORE;
        story::socket(record, socket, identity, facts);
        record.fin_by = by as u8;
        story::fin_ages(record, record.jiffies, facts.lsndtime, facts.lrcvtime);
        record.fin_last_bytes =
            if by == Side::Local { facts.unacked_bytes() } else { facts.unread_bytes(true) };
        if by == Side::Local {
            story::owner(record);
        }
    });
}
