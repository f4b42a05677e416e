//! What readers see of listeners, and of the tables that connections fill up. Counters are since the daemon started.

use std::net::SocketAddr;
use std::sync::Arc;

/// One listening socket of our own network namespace, for the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerRow {
    /// Where it listens.
    pub address: SocketAddr,
    /// Index of the interface it is bound to.
    pub interface: Option<u32>,
    /// IPv6 only.
    pub only_v6: Option<bool>,
    /// How full it is.
    pub queue: Queue,
    /// Segments and handshakes it dropped.
    pub drops: Option<u64>,
    /// Inode number.
    pub inode: u32,
    /// User who made it.
    pub uid: u32,
}

/// An accept queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// Connections that wait to be accepted.
    pub backlog: u32,
    /// How many may wait; the kernel admits one more.
    pub limit: u32,
}

impl Queue {
    /// Whether the next handshake meets a full queue: the kernel's own test (`sk_acceptq_is_full`).
    pub const fn is_full(self) -> bool {
        self.backlog > self.limit
    }

    /// Used share of its places, in percent and rounded down, so that only a full queue has 100.
    pub fn percent(self) -> u64 {
        u64::from(self.backlog) * 100 / (u64::from(self.limit) + 1)
    }

    /// The one with the larger used share; of two equal ones the longer.
    #[must_use]
    pub fn fuller(self, other: Self) -> Self {
        // By the share and not by percents: a/b > c/d as a*d > c*b.
        let share = |one: Self, of: Self| u64::from(one.backlog) * (u64::from(of.limit) + 1);
        let (ours, theirs) = (share(self, other), share(other, self));
        if (theirs, other.limit) > (ours, self.limit) { other } else { self }
    }
}

/// The series of an address and port; `None` is the label `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerSeries {
    /// Where.
    pub address: Option<SocketAddr>,
    /// The fullest queue of its sockets; `None` while it has none.
    pub queue: Option<Queue>,
    /// Dropped by all sockets it ever had.
    pub drops: Option<u64>,
}

/// How often a queue was full, by the stage of the handshake that met it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StageCounts {
    /// At the SYN.
    pub syn: u64,
    /// At the last ACK.
    pub ack: u64,
}

impl StageCounts {
    /// At either stage.
    pub const fn sum(self) -> u64 {
        self.syn.saturating_add(self.ack)
    }

    /// Sum with another's.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self { syn: self.syn.saturating_add(other.syn), ack: self.ack.saturating_add(other.ack) }
    }

    /// What was added since an earlier reading of the same counts.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self { syn: self.syn.saturating_sub(earlier.syn), ack: self.ack.saturating_sub(earlier.ack) }
    }
}

impl std::iter::Sum for StageCounts {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::plus)
    }
}

/// A listener, in whichever namespace, whose queue was ever full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverflowRow {
    /// Inode number of its namespace.
    pub netns: u32,
    /// Where it listens, or did.
    pub address: SocketAddr,
    /// How often.
    pub counts: StageCounts,
}

/// The series of an address and port, over all namespaces; `None` is the label `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverflowSeries {
    /// Where.
    pub address: Option<SocketAddr>,
    /// How often.
    pub counts: StageCounts,
}

/// Overflows by listener, as function hooks count them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenerOverflows {
    /// Every listener whose queue was ever full, the most often first.
    pub rows: Vec<OverflowRow>,
    /// What the metrics page shows of them: a bounded number of listeners, then the rest.
    pub series: Vec<OverflowSeries>,
    /// Overflows of listeners beyond those that are kept apart, whose stage is not known.
    pub beyond: u64,
}

impl ListenerOverflows {
    /// Over all listeners that are kept apart.
    pub fn total(&self) -> StageCounts {
        self.rows.iter().map(|row| row.counts).sum()
    }
}

/// Listeners of one network namespace, whichever they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenNamespaceRow {
    /// Inode number; `None` for namespaces that ended long ago.
    pub netns: Option<u32>,
    /// Handshakes dropped because an accept queue was full.
    pub listen_overflows: Option<u64>,
    /// Handshakes dropped for whatever reason, overflows among them.
    pub listen_drops: Option<u64>,
    /// Challenge ACKs sent, those for SYNs left out as far as the kernel tells them apart.
    pub challenge_acks: Option<u64>,
    /// Sockets in `TIME_WAIT` now; `None` when no process of it is left.
    pub time_wait: Option<u64>,
}

/// Connection tracking of our own network namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackRow {
    /// Connections tracked.
    pub entries: Option<u64>,
    /// How many may be.
    pub limit: Option<u64>,
    /// Packets dropped for want of an entry.
    pub drops: Option<u64>,
}

/// All of it, at one moment; `None` is unknown everywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listening {
    /// Our own namespace.
    pub own: Option<u32>,
    /// Listening sockets of our own namespace.
    pub sockets: Option<Arc<[ListenerRow]>>,
    /// Sockets beyond the number that is kept.
    pub beyond: usize,
    /// What the metrics page shows of them: a bounded number of listeners, then the rest.
    pub series: Vec<ListenerSeries>,
    /// Per namespace, those with something to tell.
    pub namespaces: Vec<ListenNamespaceRow>,
    /// Overflows by listener; `None` where no function hook counts them.
    pub overflows: Option<ListenerOverflows>,
    /// Sum over namespaces.
    pub listen_overflows: Option<u64>,
    /// Likewise.
    pub listen_drops: Option<u64>,
    /// Likewise.
    pub challenge_acks: Option<u64>,
    /// Sum over namespaces.
    pub time_wait: Option<u64>,
    /// Sockets of the host that no process owns any more.
    pub orphans: Option<u64>,
    /// Connection tracking; `None` where it is not in use.
    pub conntrack: Option<ConntrackRow>,
    /// Connections that it had no room for, over all namespaces; `None` where no function hook counts them.
    pub conntrack_full: Option<u64>,
}

impl Listening {
    /// Listening sockets there are.
    pub fn found(&self) -> Option<usize> {
        self.sockets.as_ref().map(|sockets| sockets.len() + self.beyond)
    }

    /// Dropped by all listeners, those closed meanwhile among them.
    pub fn listener_drops(&self) -> Option<u64> {
        let known = !self.series.is_empty();
        self.series.iter().map(|series| series.drops).sum::<Option<u64>>().filter(|_| known)
    }
}

#[cfg(test)]
mod tests {
    use super::Queue;

    #[test]
    fn a_queue_is_full_when_it_holds_one_more_than_its_limit() {
        for (backlog, limit, full, percent) in [
            (0, 0, false, 0),
            (1, 0, true, 100),
            (1, 1, false, 50),
            (2, 1, true, 100),
            (4096, 4096, false, 99),
        ] {
            let queue = Queue { backlog, limit };
            assert_eq!((queue.is_full(), queue.percent()), (full, percent), "{queue:?}");
        }
        assert_eq!(Queue { backlog: u32::MAX, limit: u32::MAX }.percent(), 99);
    }

    #[test]
    fn the_fuller_of_two_queues_has_the_larger_share() {
        let (small, large) = (Queue { backlog: 2, limit: 3 }, Queue { backlog: 40, limit: 127 });
        assert_eq!(small.fuller(large), small);
        assert_eq!(large.fuller(small), small);
        let (empty, longer) = (Queue { backlog: 0, limit: 3 }, Queue { backlog: 0, limit: 127 });
        assert_eq!(empty.fuller(longer), longer);
    }
}
