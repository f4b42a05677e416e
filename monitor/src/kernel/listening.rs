//! Queues and tables that fill up, as far as the kernel tells without a hook: one reading of all of them.
//!
//! Whatever cannot be read is left out of the reading, and said once in the log: none of it is worth ending a daemon.

use super::namespaces::{NamespaceCounters, Namespaces};
use super::proc_net;
use super::sock_diag::{Dump, SockDiag, SockDiagError};

/// What there is to read, `None` for what this kernel or this moment does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListeningReading {
    /// Listening sockets of our own namespace.
    pub dump: Option<Dump>,
    /// Counters per namespace.
    pub namespaces: Vec<NamespaceCounters>,
    /// Connection tracking of our own namespace.
    pub conntrack: ConntrackReading,
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
}

impl Listening {
    /// Opens what is kept open, in the calling thread's network namespace. To be called while there are still privileges.
    pub fn open() -> Self {
        let mut listening = Self { diag: None, warned: false };
        match SockDiag::open() {
            Ok(diag) => listening.diag = Some(diag),
            Err(error) => listening.warn(error),
        }
        listening
    }

    /// Reads everything once.
    pub fn read(&mut self, namespaces: &mut Namespaces) -> ListeningReading {
        let dump = match self.diag.as_mut().map(SockDiag::listeners) {
            Some(Ok(dump)) => Some(dump),
            Some(Err(error)) => {
                self.warn(error);
                None
            }
            None => None,
        };
        ListeningReading { dump, namespaces: namespaces.counters(), conntrack: ConntrackReading::now() }
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
