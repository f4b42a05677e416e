//! A socket that listens, with its queue and drops.

use super::{LISTEN, MEMORY, SOCKET_BYTES, array, attributes, endpoint};
use crate::kernel::sock_diag::ListenSocket;

/// `SK_MEMINFO_DROPS`, an index of 32-bit words.
pub(super) const MEMORY_DROPS: usize = 8;
/// `INET_DIAG_SKV6ONLY`, which comes without being asked for.
pub(super) const ONLY_V6: u16 = 11;

/// `None` when it is cut short; `Some(None)` when it does not listen any more, or is of no family we asked for.
#[expect(
    clippy::option_option,
    reason = "the outer one is a malformed message, the inner one a socket to leave out"
)]
pub(in crate::kernel::sock_diag) fn read(bytes: &[u8]) -> Option<Option<ListenSocket>> {
    let number = |at| array(bytes, at).map(u32::from_ne_bytes);
    let after = bytes.get(SOCKET_BYTES..)?;
    let Some(address) = endpoint(bytes, 8, 4) else { return Some(None) };
    if bytes.get(1) != Some(&LISTEN) {
        return Some(None);
    }
    let interface = number(40)?;
    let cookie = u64::from(number(44)?) | u64::from(number(48)?) << 32;
    let (mut drops, mut only_v6) = (None, None);
    attributes(after, |kind, value| {
        match kind {
            // Older kernels may have fewer words.
            MEMORY => drops = array(value, MEMORY_DROPS * 4).map(u32::from_ne_bytes),
            ONLY_V6 => only_v6 = value.first().map(|flag| *flag != 0),
            _ => {}
        }
        false
    })?;
    Some(Some(ListenSocket {
        address,
        interface: (interface != 0).then_some(interface),
        only_v6,
        backlog: number(56)?,
        limit: number(60)?,
        drops,
        inode: number(68)?,
        uid: number(64)?,
        cookie,
    }))
}
