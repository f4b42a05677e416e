//! Idle closes: the first FIN of a connection that had been quiet for a second or more. Whose it is tells whose timer ran.
//!
//! A connection over TLS is never quite quiet at its end: the side that closes says so first (`close_notify`) and sends its FIN
//! right after. So a closer's own last data that is young and small does not count.

use monitor_common::counters::Kind;
use monitor_common::peer::{PeerFin, Side};
use monitor_common::record::{CLOSE_NOTIFY_BYTES, CLOSE_NOTIFY_SEGMENTS, Record, known};

use crate::fields::settings;
use crate::peer_fin;
use crate::peers::{Occasion, slot_of};
use crate::socket::{CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, Socket};
use crate::story;
use crate::tcp::TcpFacts;

/// The peer's FIN was first. Remembers how quiet it was, and tells if it was for long.
#[inline(always)]
pub(crate) fn by_peer(socket: Socket, old: u8) {
    let facts = TcpFacts::of(socket);
    let fin = peer_fin::observe(socket.0, &facts, facts.unread_bytes(true));
    peer_fin::note(&fin);
    if old == ESTABLISHED && is_idle(&fin, &facts, Side::Peer) {
        tell(socket, &facts, Side::Peer);
    }
}

/// Our FIN is the first, and its sender runs now.
#[inline(always)]
pub(crate) fn by_us(socket: Socket, facts: &TcpFacts) {
    let fin = peer_fin::observe(socket.0, facts, facts.unacked_bytes());
    if is_idle(&fin, facts, Side::Local) {
        tell(socket, facts, Side::Local);
    }
}

/// Whether it had been quiet for a second. The daemon computes for how long, by the same rule.
#[inline(always)]
fn is_idle(fin: &PeerFin, facts: &TcpFacts, by: Side) -> bool {
    let second = settings().hz;
    let sent = fin.jiffies.wrapping_sub(fin.lsndtime);
    let received = fin.jiffies.wrapping_sub(fin.lrcvtime);
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

/// Rare, so it may look everything up anew and have a frame of its own.
#[inline(never)]
fn tell(socket: Socket, facts: &TcpFacts, by: Side) {
    let identity = socket.identify();
    let role = socket.role(&identity);
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
        story::socket(record, socket, &identity, facts);
        record.fin_by = by as u8;
        story::fin_ages(record, record.jiffies, facts.lsndtime, facts.lrcvtime);
        record.fin_last_bytes =
            if by == Side::Local { facts.unacked_bytes() } else { facts.unread_bytes(true) };
        if by == Side::Local {
            story::owner(record);
        }
    });
}
