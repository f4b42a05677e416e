//! An open connection, with what `struct tcp_info` (`linux/tcp.h`) says of it.
//!
//! That structure only ever grew at its end. What an older kernel does not have is unknown, or told by what it does have.

use std::cmp::Ordering;

use monitor_common::peer::Role;

use super::{CLOSE_WAIT, ESTABLISHED, INFO, SOCKET_BYTES, array, attributes, endpoint};
use crate::live::{Connection, LastWord};

/// `tcpi_unacked`: segments sent and not acknowledged.
const UNACKED: usize = 24;
/// `tcpi_last_data_sent`, in milliseconds before now; of a connection that never sent, since it was established.
const LAST_SENT: usize = 44;
/// `tcpi_last_data_recv`, likewise.
const LAST_RECEIVED: usize = 52;
/// `tcpi_bytes_acked`, 64 bits.
const BYTES_ACKED: usize = 120;
/// `tcpi_notsent_bytes`: written and not sent.
const NOT_SENT: usize = 144;
/// `tcpi_data_segs_in`.
const SEGMENTS_IN: usize = 152;
/// `tcpi_data_segs_out`.
const SEGMENTS_OUT: usize = 156;
/// `tcpi_bytes_sent`, 64 bits, with what was sent again.
const BYTES_SENT: usize = 200;
/// `tcpi_bytes_retrans`, 64 bits.
const BYTES_AGAIN: usize = 208;

/// `None` when it is cut short; `Some(None)` when it is not open any more, of no family we asked for, or has no times.
#[expect(
    clippy::option_option,
    reason = "the outer one is a malformed message, the inner one a socket to leave out"
)]
pub(in crate::kernel::sock_diag) fn read(bytes: &[u8]) -> Option<Option<Connection>> {
    let after = bytes.get(SOCKET_BYTES..)?;
    let established = match bytes.get(1) {
        Some(&ESTABLISHED) => true,
        Some(&CLOSE_WAIT) => false,
        Some(_) | None => return Some(None),
    };
    let (Some(local), Some(remote)) = (endpoint(bytes, 8, 4), endpoint(bytes, 24, 6)) else {
        return Some(None);
    };
    let mut info: &[u8] = &[];
    attributes(after, |kind, value| {
        if kind == INFO {
            info = value;
        }
        kind == INFO
    })?;
    let number = |at| array(info, at).map(u32::from_ne_bytes);
    let (Some(sent), Some(received)) = (number(LAST_SENT), number(LAST_RECEIVED)) else { return Some(None) };
    let exchanges = match (number(SEGMENTS_IN), number(SEGMENTS_OUT)) {
        (Some(received), Some(sent)) => received.min(sent),
        (Some(_) | None, None) | (None, Some(_)) => 0,
    };
    Some(Some(Connection {
        local,
        remote,
        established,
        quiet_ms: sent.min(received),
        exchanges,
        last_word: match sent.cmp(&received) {
            _ if exchanges == 0 => LastWord::Nobody,
            Ordering::Less => LastWord::Local,
            Ordering::Greater => LastWord::Peer,
            Ordering::Equal => LastWord::Both,
        },
        caller: caller(info),
    }))
}

/// Who sent the SYN: its sender moves `snd_una` over it with the answer, which counts as one byte acknowledged (`tcp_ack`); an
/// accepted socket begins behind its SYN (`tcp_rcv_state_process`, 5.10 to 7.2). Told only where nothing is on its way.
fn caller(info: &[u8]) -> Option<Role> {
    let number = |at| array(info, at).map(u32::from_ne_bytes);
    let long = |at| array(info, at).map(u64::from_ne_bytes);
    if (number(UNACKED)?, number(NOT_SENT)?) != (0, 0) {
        return None;
    }
    let once = long(BYTES_SENT)?.checked_sub(long(BYTES_AGAIN)?)?;
    match long(BYTES_ACKED)?.checked_sub(once)? {
        0 => Some(Role::Server),
        1 => Some(Role::Client),
        // Opened with data in its SYN, or restored from elsewhere.
        _ => None,
    }
}
