//! Queues and tables that fill up, as far as the kernel tells without a hook: one reading of all of them.
//!
//! Whatever cannot be read is left out of the reading, and said once in the log: none of it is worth ending a daemon.

use super::namespaces::{NamespaceCounters, Namespaces};
use super::proc_net;
use super::sock_diag::{Dump, SockDiag, SockDiagError};
use super::truth::{ListenerReading, Truth};
use crate::snapshot::hooked::Hooked;

/// What there is to read, `None` for what this kernel or this moment does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListeningReading {
    /// Our own namespace.
    pub own: Option<u32>,
    /// Listening sockets of our own namespace.
    pub dump: Option<Dump>,
    /// Counters per namespace.
    pub namespaces: Vec<NamespaceCounters>,
    /// Connection tracking of our own namespace.
    pub conntrack: ConntrackReading,
    /// Overflows by listener, where function hooks count them.
    pub overflows: Option<OverflowReading>,
    /// Connections that the table had no room for, likewise.
    pub conntrack_full: Option<u64>,
}

/// What function hooks counted of full accept queues, since they were attached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OverflowReading {
    /// Every listener whose queue was ever full.
    pub listeners: Vec<ListenerReading>,
    /// Overflows of listeners that had no place of their own.
    pub beyond: u64,
}

/// The table of tracked connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConntrackReading {
    /// Connections in it.
    pub entries: Option<u64>,
    /// How many it may hold.
    pub limit: Option<u64>,
    /// Packets dropped because no entry could be made, usually for want of room. Each CPU's part is modulo 2^32.
    pub drops: Option<u64>,
}

/// The reader.
#[derive(Debug)]
pub struct Listening {
    diag: Option<SockDiag>,
    /// One warning per life; the missing series tell the rest.
    warned: bool,
    /// What the kernel programs count.
    hooked: Hooked,
}

impl Listening {
    /// Opens what is kept open, in the calling thread's network namespace. To be called while there are still privileges.
    pub fn open() -> Self {
        let mut listening = Self { diag: None, warned: false, hooked: Hooked::default() };
        match SockDiag::open() {
            Ok(diag) => listening.diag = Some(diag),
            Err(error) => listening.warn(error),
        }
        listening
    }

    /// Counts of function hooks are read from now on where they are these.
    pub const fn set_hooked(&mut self, hooked: Hooked) {
        self.hooked = hooked;
    }

    /// What function hooks count.
    pub const fn hooked(&self) -> Hooked {
        self.hooked
    }

    /// Reads everything once.
    pub fn read(&mut self, namespaces: &mut Namespaces, truth: &Truth) -> ListeningReading {
        let dump = match self.diag.as_mut().map(SockDiag::listeners) {
            Some(Ok(dump)) => Some(dump),
            Some(Err(error)) => {
                self.warn(error);
                None
            }
            None => None,
        };
        let Hooked { overflows, conntrack_full, rejections: _ } = self.hooked;
        let counters = namespaces.counters(overflows.then_some(truth));
        let totals = truth.totals();
        ListeningReading {
            own: namespaces.own(),
            dump,
            namespaces: counters,
            conntrack: ConntrackReading::now(),
            overflows: overflows.then(|| OverflowReading {
                listeners: truth.listeners().collect(),
                beyond: totals.listeners_over,
            }),
            conntrack_full: conntrack_full.then_some(totals.conntrack_full),
        }
    }

    fn warn(&mut self, error: SockDiagError) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(%error, "backlogs and drops per listener are unknown meanwhile; overflows per namespace are still counted");
        }
    }
}

impl ConntrackReading {
    /// Of the calling thread's network namespace.
    pub fn now() -> Self {
        let number = |name: &str| {
            let text =
                std::fs::read_to_string(format!("/proc/sys/net/netfilter/nf_conntrack_{name}")).ok()?;
            text.trim().parse().ok()
        };
        let (entries, limit) = (number("count"), number("max"));
        // Not read where nothing is tracked: then it is not there either.
        let drops = entries.and_then(|_: u64| {
            let text = std::fs::read_to_string("/proc/self/net/stat/nf_conntrack").ok()?;
            proc_net::sum_of_column(&text, "drop")
        });
        Self { entries, limit, drops }
    }
}
