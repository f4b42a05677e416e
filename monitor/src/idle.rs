//! Event to idle time: how long the connection had been quiet before the exchange that hit the reset. Pure.
//!
//! What the provoking segment itself touched must be left out, and what that is differs: our own late request has just
//! overwritten when we last sent; data for an orphan has overwritten when an ACK last came; a TLS `close_notify` goes out
//! right before the FIN. Resolution is one jiffy. Unknown is `None`, never zero.

use std::time::Duration;

use monitor_common::counters::Kind;
use monitor_common::peer::Side;
use monitor_common::record::{CLOSE_NOTIFY_BYTES, CLOSE_NOTIFY_SEGMENTS};

use crate::event::{Event, Quiet, SocketFacts, TcpState};

/// A closer's own last data younger than this at its FIN may be a `close_notify`; data as young as this before a
/// `close()` arrived with it.
const JUST_NOW: Duration = Duration::from_millis(100);
/// Our send and the reset that it drew are a round trip apart; without a measured one, this is the least that
/// retransmission waits for (`TCP_RTO_MIN`).
const ROUND_TRIP: Duration = Duration::from_millis(200);
/// From here on a connection counts as idle and not as busy.
pub const IDLE: Duration = Duration::from_secs(1);
/// Data segments sent beyond those received, from which on it is an upload rather than one more request.
const UPLOAD_SEGMENTS: u32 = 4;

/// The quiet before a reset or an idle close.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Idle {
    /// How long.
    pub time: Duration,
    /// Which part of the connection's end was quiet.
    pub basis: Basis,
    /// ACKs came in meanwhile, as keep-alive probes draw them: without data it was quiet for longer.
    pub at_least: bool,
}

/// Between what the quiet lay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basis {
    /// From the last data of either side to our send that drew the reset.
    BeforeOurData,
    /// From our last data to the peer's data that drew the reset.
    BeforePeersData,
    /// From the last data of either side to the reset.
    BeforeReset,
    /// From the last data of either side to the first FIN.
    BeforeFin,
}

impl Basis {
    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::BeforeOurData => "before_our_data",
            Self::BeforePeersData => "before_peers_data",
            Self::BeforeReset => "before_reset",
            Self::BeforeFin => "before_fin",
        }
    }
}

/// The idle time of an event, `None` where the connection is not known or had not begun.
pub fn idle(event: &Event) -> Option<Idle> {
    match event.kind {
        Kind::RefusedSent
        | Kind::RefusedReceived
        | Kind::StraySent
        | Kind::StrayReceived
        | Kind::RejectSent
        | Kind::ListenOverflow => None,
        Kind::IdleCloseSent | Kind::IdleCloseReceived => {
            let fin = event.fin.as_ref()?;
            let quiet = fin.quiet.as_ref()?;
            let last = last_activity(quiet, fin.by, event.socket.as_ref()?);
            Some(plain(last.saturating_sub(quiet.age), Basis::BeforeFin))
        }
        Kind::ResetReceived => event.socket.as_ref().map(|socket| received(event, socket)),
        Kind::ResetSent => event.socket.as_ref().map(|socket| sent(event, socket)),
    }
}

/// Whether something of ours drew a received reset: data that the peer had not acknowledged, or a probe.
pub fn is_provoked(event: &Event) -> bool {
    is_probed(event) || is_drawn_by_data(event)
}

/// Whether a keep-alive probe, and nothing else, may have drawn a received reset: it carries no data, and the time of our last data stays.
pub fn is_drawn_by_probe(event: &Event) -> bool {
    is_probed(event) && unacked(event) == 0
}

fn is_probed(event: &Event) -> bool {
    event.socket.as_ref().and_then(|socket| socket.probes).is_some_and(|probes| probes > 0)
}

fn is_drawn_by_data(event: &Event) -> bool {
    let Some(socket) = &event.socket else { return false };
    let round_trip = socket
        .srtt_us
        .map_or(ROUND_TRIP, |srtt| ROUND_TRIP.max(Duration::from_micros(u64::from(srtt).saturating_mul(2))));
    unacked(event) > 0 && socket.sent_age <= round_trip
}

/// Bytes of data, without our FIN.
fn unacked(event: &Event) -> u32 {
    let our_fin =
        [TcpState::FIN_WAIT1, TcpState::CLOSING, TcpState::LAST_ACK].map(Some).contains(&event.state);
    let unacked = event.socket.as_ref().and_then(|socket| socket.unacked_bytes).unwrap_or(0);
    unacked.saturating_sub(u32::from(our_fin))
}

/// Whether unread data that had just arrived was what `close()` met: a request that crossed the closing.
pub fn is_crossed(event: &Event) -> bool {
    event.active
        && event.socket.as_ref().is_some_and(|socket| {
            socket.unread_bytes.is_some_and(|unread| unread > 0)
                && socket.received_age <= JUST_NOW
                && socket.received_age < socket.sent_age
                && !is_upload_to_us(socket)
        })
}

/// Whether the first FIN ended a quiet connection: somebody's timer ran out. `None` without a FIN, or where it is not known.
///
/// Not the same as a long [`idle`] time. A peer that closes at once, after so many requests, is not idle, however late the next
/// request comes.
pub fn was_closed_idle(event: &Event) -> Option<bool> {
    let fin = event.fin.as_ref()?;
    let quiet = fin.quiet.as_ref()?;
    let socket = event.socket.as_ref()?;
    // Our request was on its way already, and no part of the quiet.
    let crossed = fin.by == Side::Peer && socket.sent_age >= quiet.age;
    let time = if crossed || went_on(quiet, fin.by, socket) {
        event.idle?.time
    } else {
        last_activity(quiet, fin.by, socket).saturating_sub(quiet.age)
    };
    Some(time >= IDLE)
}

/// Whether the side that was still open has sent data since the first FIN, and it was taken: that FIN was a half close. When an
/// ACK last came does not tell: a FIN that is sent again brings one.
fn went_on(quiet: &Quiet, by: Side, socket: &SocketFacts) -> bool {
    match by {
        Side::Local => socket.received_age < quiet.age,
        Side::Peer => quiet.answered,
    }
}

fn received(event: &Event, socket: &SocketFacts) -> Idle {
    let SocketFacts { sent_age, received_age, .. } = *socket;
    if !is_provoked(event) || is_drawn_by_probe(event) {
        return plain(sent_age.min(received_age), Basis::BeforeReset);
    }
    let peers_fin = event.fin.as_ref().filter(|fin| fin.by == Side::Peer);
    if let Some(fin) = peers_fin {
        let quiet_from = match &fin.quiet {
            Some(quiet) if sent_age < quiet.age && went_on(quiet, Side::Peer, socket) => {
                socket.ack_age.unwrap_or(received_age)
            }
            Some(quiet) if sent_age < quiet.age => last_activity(quiet, Side::Peer, socket),
            // Sent before the FIN came: the request that crossed it, or an upload that was cut short.
            Some(_) if is_upload(socket) => sent_age,
            Some(_) | None => received_age,
        };
        return plain(quiet_from.saturating_sub(sent_age), Basis::BeforeOurData);
    }
    let acked_age = socket.ack_age.unwrap_or(received_age);
    Idle {
        time: received_age.min(acked_age).saturating_sub(sent_age),
        basis: Basis::BeforeOurData,
        at_least: acked_age + JUST_NOW < received_age,
    }
}

fn sent(event: &Event, socket: &SocketFacts) -> Idle {
    let SocketFacts { sent_age, received_age, .. } = *socket;
    if is_crossed(event) {
        return plain(sent_age.saturating_sub(received_age), Basis::BeforePeersData);
    }
    if event.active {
        return plain(sent_age.min(received_age), Basis::BeforeReset);
    }
    // An orphan's or a remembered connection's. When an ACK last came says nothing: this segment brought one.
    let our_fin = event.fin.as_ref().filter(|fin| fin.by == Side::Local);
    let since = match our_fin.and_then(|fin| fin.quiet.as_ref()) {
        Some(quiet) => last_activity(quiet, Side::Local, socket).min(received_age),
        None => sent_age.min(received_age),
    };
    plain(since, Basis::BeforePeersData)
}

/// Time from the last activity before the first FIN until the event.
fn last_activity(quiet: &Quiet, by: Side, socket: &SocketFacts) -> Duration {
    let Quiet { age, sent_age, received_age, last_bytes, answered: _ } = *quiet;
    let (own, other) = match by {
        Side::Local => (sent_age, received_age),
        Side::Peer => (received_age, sent_age),
    };
    let could_be_tls = socket.data_segments_in.min(socket.data_segments_out) >= CLOSE_NOTIFY_SEGMENTS;
    let says_goodbye = own.saturating_sub(age) < JUST_NOW && last_bytes <= CLOSE_NOTIFY_BYTES && could_be_tls;
    if says_goodbye { other } else { own.min(other) }
}

/// The peer sends one way, and the application has read a part of it since it last sent.
fn is_upload_to_us(socket: &SocketFacts) -> bool {
    let partly_read =
        socket.bytes_in.zip(socket.unread_bytes).is_some_and(|(all, unread)| all > unread.into());
    let surplus = socket.data_segments_in.saturating_sub(socket.data_segments_out);
    partly_read && (socket.data_segments_out == 0 || surplus > UPLOAD_SEGMENTS)
}

/// Many data segments without an answer, or none ever answered.
const fn is_upload(socket: &SocketFacts) -> bool {
    socket.data_segments_in == 0
        || socket.data_segments_out.saturating_sub(socket.data_segments_in) > UPLOAD_SEGMENTS
}

const fn plain(time: Duration, basis: Basis) -> Idle {
    Idle { time, basis, at_least: false }
}

#[cfg(test)]
mod tests;
