//! The kernel's own counters per network namespace: what ours are compared with, and what no hook tells.
//!
//! `/proc/PID/net` shows the namespace of the process, so reading another namespace's counters needs any process in it. Those
//! are looked up in `/proc`, rarely.

mod known;
mod resets;

use std::collections::HashMap;
use std::time::Duration;

use self::known::Known;
use self::resets::Comparison;
use super::proc_net;
use super::truth::{NamespaceReading, Truth};
use crate::snapshot::NamespaceRow;

/// What is known of the host's namespaces.
#[derive(Debug)]
pub struct Namespaces {
    known: Known,
    comparison: Comparison,
}

/// What a namespace's counters say, `None` for what its kernel does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceCounters {
    /// Inode number.
    pub netns: u32,
    /// Its counters are older than what we know of it: what they show at first sight is not news.
    pub older: bool,
    /// `TcpExt: ListenOverflows`: handshakes dropped because an accept queue was full.
    pub listen_overflows: Option<u64>,
    /// `TcpExt: ListenDrops`: handshakes dropped by a listener for whatever reason, overflows among them.
    pub listen_drops: Option<u64>,
    /// Sockets without an owner, of the whole host: this one is not kept per namespace.
    pub orphans: Option<u64>,
    /// Sockets in `TIME_WAIT`.
    pub time_wait: Option<u64>,
}

impl Namespaces {
    /// Looks around, right after the programs were attached. `now` is monotonic.
    pub fn start(truth: &Truth, now: Duration) -> Self {
        let mut namespaces = Self { known: Known::start(now), comparison: Comparison::default() };
        // Sets the baselines.
        drop(namespaces.compare(truth, now));
        namespaces
    }

    /// Our counts of resets sent beside the kernel's, for every namespace in which there were some. Looks for new
    /// namespaces when it is time to.
    pub fn compare(&mut self, truth: &Truth, now: Duration) -> Vec<NamespaceRow> {
        let before = by_namespace(truth);
        self.known.refresh(now, before.keys().any(|netns| !self.known.has(*netns)));
        self.comparison.rows(&mut self.known, truth, before)
    }

    /// Counters of every namespace with a process in it, by number.
    pub fn counters(&mut self) -> Vec<NamespaceCounters> {
        let mut all: Vec<u32> = self.known.all().collect();
        all.sort_unstable();
        all.into_iter().filter_map(|netns| self.counters_of(netns)).collect()
    }

    fn counters_of(&mut self, netns: u32) -> Option<NamespaceCounters> {
        // Before it is read: losing sight of it makes it older.
        let older = self.known.is_older(netns);
        let read = |file: usize, text: &str, counters: &mut NamespaceCounters| match file {
            0 => {
                let wanted = ["ListenOverflows", "ListenDrops"];
                [counters.listen_overflows, counters.listen_drops] =
                    proc_net::counters(text, "TcpExt:", wanted);
            }
            _ => {
                [counters.orphans, counters.time_wait] =
                    proc_net::line_values(text, "TCP:", ["orphan", "tw"]);
            }
        };
        let counters = self.known.read(netns, ["netstat", "sockstat"], read)?;
        Some(NamespaceCounters { netns, older, ..counters })
    }
}

fn by_namespace(truth: &Truth) -> HashMap<u32, NamespaceReading> {
    truth.namespaces().map(|reading| (reading.netns, reading)).collect()
}
