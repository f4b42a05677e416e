//! Idle closes: the first FIN of a connection that had been quiet for a second or more. Whose it is tells whose timer ran.
//!
//! A connection over TLS is never quite quiet at its end: the side that closes says so first (`close_notify`) and sends its FIN
//! right after. So a closer's own last data that is young and small does not count.

use monitor_common::counters::Kind;
use monitor_common::peer::{PeerFin, Role, Side, Tuple};
use monitor_common::record::{CLOSE_NOTIFY_BYTES, CLOSE_NOTIFY_SEGMENTS, Record, known};

use crate::fields::settings;
use crate::peer_fin;
use crate::peers::{Occasion, slot_of};
use crate::socket::{CLOSE_WAIT, ESTABLISHED, FIN_WAIT1, Socket};
use crate::story;

/// The peer's FIN was first. Remembers how quiet it was, and tells if it was for long.
#[inline(always)]
pub(crate) fn by_peer(socket: Socket, old: u8) {
    let fin = peer_fin::observe(socket);
    peer_fin::note(&fin);
    if old == ESTABLISHED && is_idle(socket, &fin, Side::Peer) {
        tell_peers(socket, &fin);
    }
}

#[inline(never)]
fn tell_peers(socket: Socket, fin: &PeerFin) {
    let tuple = socket.tuple();
    let role = socket.role(&tuple);
    let slot = slot_of(&tuple, role, Occasion::Connection);
    story::tell(Kind::IdleCloseReceived, slot, &tuple, |record| {
        fill(record, socket, role, CLOSE_WAIT);
        fin_of(record, fin, Side::Peer);
    });
}

/// Our FIN is the first, and its sender runs now.
#[inline(never)]
pub(crate) fn by_us(socket: Socket, tuple: &Tuple, role: Role) {
    let mut fin = peer_fin::observe(socket);
    fin.last_bytes = socket.unacked_bytes();
    if !is_idle(socket, &fin, Side::Local) {
        return;
    }
    let slot = slot_of(tuple, role, Occasion::Connection);
    story::tell(Kind::IdleCloseSent, slot, tuple, |record| {
        fill(record, socket, role, FIN_WAIT1);
        fin_of(record, &fin, Side::Local);
        story::owner(record);
    });
}

/// Whether it had been quiet for a second. The daemon computes for how long, by the same rule.
#[inline(always)]
fn is_idle(socket: Socket, fin: &PeerFin, by: Side) -> bool {
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
        && socket.data_segs_in() >= CLOSE_NOTIFY_SEGMENTS
        && socket.data_segs_out() >= CLOSE_NOTIFY_SEGMENTS
}

#[inline(always)]
fn fin_of(record: &mut Record, fin: &PeerFin, by: Side) {
    record.fin_by = by as u8;
    story::fin_ages(record, fin.jiffies, fin.lsndtime, fin.lrcvtime);
    record.fin_last_bytes = fin.last_bytes;
}

#[inline(always)]
fn fill(record: &mut Record, socket: Socket, role: Role, state: u8) {
    record.state = state;
    record.state_before = ESTABLISHED;
    record.role = role as u8;
    record.known |= known::ROLE | known::STATE_BEFORE;
    story::socket(record, socket);
}
