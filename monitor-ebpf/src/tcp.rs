//! What `tcp_sock` and `inet_connection_sock` tell, read part by part and not field by field.

use core::mem::MaybeUninit;

use monitor_common::peer::Role;
use monitor_common::places::{PART_BYTES, Part, TCP_PARTS, TCPS, Tcp, ZEROS};

use crate::fields::{Copied, clear};
use crate::maps::PLACES;
use crate::socket::{FIN_WAIT2, Socket};

/// A connection's numbers, bytes with SYN and FIN. What the kernel lacks is 0.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct TcpFacts {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) lsndtime: u32,
    pub(crate) lrcvtime: u32,
    pub(crate) rcv_tstamp: u32,
    pub(crate) data_segs_in: u32,
    pub(crate) data_segs_out: u32,
    pub(crate) srtt_us: u32,
    pub(crate) rcv_nxt: u32,
    pub(crate) copied_seq: u32,
    pub(crate) snd_nxt: u32,
    pub(crate) snd_una: u32,
    pub(crate) probes_out: u32,
    pub(crate) reserved: u32,
}

impl TcpFacts {
    /// Of a full socket.
    #[inline(always)]
    pub(crate) fn of(socket: Socket, room: &mut MaybeUninit<Self>) -> &Self {
        // SAFETY: nothing but integers.
        let facts = unsafe { clear(room) };
        let mut part = 0;
        while part < TCP_PARTS {
            if !read_part(socket.0, part as u32, facts) {
                break;
            }
            part += 1;
        }
        facts
    }

    /// Bytes the application had not read. A received FIN takes one sequence number without being data.
    #[inline(always)]
    pub(crate) fn unread_bytes(&self, fin_received: bool) -> u32 {
        let unread = self.rcv_nxt.wrapping_sub(self.copied_seq).wrapping_sub(fin_received as u32);
        // Past half the sequence space it is a difference below zero: everything was read.
        if unread > i32::MAX as u32 { 0 } else { unread }
    }

    /// Payload bytes received in order. The kernel counts the peer's FIN as one.
    #[inline(always)]
    pub(crate) fn payload_in(&self, fin_received: bool) -> u64 {
        self.bytes_in.saturating_sub(fin_received as u64)
    }

    /// Payload bytes that the peer acknowledged. The kernel counts a client's SYN as one, and our FIN, which was
    /// acknowledged if the socket is, or was before it closed, in `FIN_WAIT2`.
    #[inline(always)]
    pub(crate) fn payload_out(&self, role: u8, state: u8) -> u64 {
        let syn = (role == Role::Client as u8) as u64;
        let fin = (state == FIN_WAIT2) as u64;
        self.bytes_out.saturating_sub(syn + fin)
    }

    /// Sequence numbers sent that were not acknowledged.
    #[inline(always)]
    pub(crate) fn unacked_bytes(&self) -> u32 {
        self.snd_nxt.wrapping_sub(self.snd_una)
    }

    /// Whether it carried data, either way.
    #[inline(always)]
    pub(crate) fn carried_data(&self) -> bool {
        self.data_segs_in | self.data_segs_out != 0
    }
}

/// Adds what one part has. `false` when there is no such part.
#[inline(never)]
fn read_part(sk: u64, part: u32, facts: &mut TcpFacts) -> bool {
    if part as usize >= TCP_PARTS {
        return false;
    }
    // SAFETY: `part` is below the number of parts; only an address inside the static is taken.
    let part = unsafe { (&raw const PLACES.tcp).cast::<Part<TCPS>>().add(part as usize) };
    let mut copied = Copied::<{ ZEROS + PART_BYTES }>::room();
    // SAFETY: `part` points into PLACES.
    if !unsafe { copied.fill(sk, part) } {
        return false;
    }
    macro_rules! pick {
        ($field:ident as $number:ty) => {
            // SAFETY: copied above, and of the size that the daemon requires.
            unsafe { copied.pick::<$number, TCPS>(part, Tcp::$field as usize) }
        };
    }
    facts.bytes_in |= pick!(BytesReceived as u64);
    facts.bytes_out |= pick!(BytesAcked as u64);
    facts.lsndtime |= pick!(Lsndtime as u32);
    facts.lrcvtime |= pick!(Lrcvtime as u32);
    facts.rcv_tstamp |= pick!(RcvTstamp as u32);
    facts.data_segs_in |= pick!(DataSegsIn as u32);
    facts.data_segs_out |= pick!(DataSegsOut as u32);
    facts.srtt_us |= pick!(SrttUs as u32);
    facts.rcv_nxt |= pick!(RcvNxt as u32);
    facts.copied_seq |= pick!(CopiedSeq as u32);
    facts.snd_nxt |= pick!(SndNxt as u32);
    facts.snd_una |= pick!(SndUna as u32);
    facts.probes_out |= pick!(ProbesOut as u8) as u32;
    true
}
