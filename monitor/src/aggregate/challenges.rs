//! Challenge ACKs that no SYN asked for, from two counters of a namespace.
//!
//! kernel: `net/ipv4/tcp_input.c`. Asked for by resets (`tcp_validate_incoming`: in the window, but not at its beginning), by ACKs
//! (`tcp_ack`: older than the largest window; `tcp_rcv_state_process`: whatever is not acceptable) and by SYNs.
//! `tcp_send_challenge_ack` counts `TCPChallengeACK` for each that is sent, and the rate of those is limited; `tcp_validate_incoming`
//! counts `TCPSYNChallenge` for every SYN on a connection, sent or not. The difference is therefore a lower bound, and may even
//! shrink: what was told once stays told.

use super::growing::Growing;

/// What is known of one namespace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Challenges {
    sent: Growing,
    for_syns: Growing,
    told: u64,
}

impl Challenges {
    /// One whose counters stand there now.
    pub(super) const fn since(sent: u64, for_syns: u64) -> Self {
        Self { sent: Growing::since(sent), for_syns: Growing::since(for_syns), told: 0 }
    }

    /// One reading.
    pub(super) fn read(&mut self, sent: u64, for_syns: u64) {
        self.sent.read(sent);
        self.for_syns.read(for_syns);
        self.told = self.told.max(self.sent.sum().saturating_sub(self.for_syns.sum()));
    }

    /// At least so many.
    pub(super) const fn sum(self) -> u64 {
        self.told
    }
}

#[cfg(test)]
mod tests {
    use super::Challenges;

    #[test]
    fn those_for_syns_are_left_out_and_what_was_told_stays() {
        let mut challenges = Challenges::since(100, 40);
        for (sent, for_syns, told) in [
            (100, 40, 0),
            (105, 42, 3),
            // Many SYNs, few of them answered: the kernel limits the rate.
            (106, 90, 3),
            (107, 90, 3),
            // Both began anew in a namespace that was given the number.
            (60, 1, 16),
        ] {
            challenges.read(sent, for_syns);
            assert_eq!(challenges.sum(), told, "at {sent} and {for_syns}");
        }
    }
}
