//! The kernel's own counters per network namespace: what ours are compared with, and what no hook tells.
//!
//! `/proc/PID/net` shows the namespace of the process, so reading another namespace's counters needs any process in it. Those
//! are looked up in `/proc`, rarely.

mod baseline;
mod cgroups;
mod known;
mod resets;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use self::baseline::{Baselines, TRIES};
use self::known::Known;
use self::resets::Comparison;
use super::proc_net;
use super::truth::{NamespaceReading, Truth};
use crate::residents::Residents;
use crate::snapshot::NamespaceRow;

/// Namespaces besides our own that are read at a time. `netstat` takes the kernel 0.2 ms on 2 CPUs and more on more, and a host may
/// have a hundred: all of them at each tick would take 0.6 % of a core. So with 5 a host of 100 pods is read once in 100 s when
/// nobody asks, and one of 6 namespaces always.
const IN_TURN: usize = 5;

/// What is known of the host's namespaces.
#[derive(Debug)]
pub struct Namespaces {
    known: Known,
    comparison: Comparison,
    overflows: Baselines,
    /// The last reading of each.
    counted: BTreeMap<u32, NamespaceCounters>,
    /// Whose turn was last.
    turn: u32,
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
    /// Overflows as function hooks counted them minus those, both since we attached; `None` where they are not hooked.
    pub overflow_difference: Option<i64>,
    /// `TcpExt: ListenDrops`: handshakes dropped by a listener for whatever reason, overflows among them.
    pub listen_drops: Option<u64>,
    /// `TcpExt: TCPChallengeACK`: challenge ACKs sent.
    pub challenge_acks: Option<u64>,
    /// `TcpExt: TCPSYNChallenge`: SYNs on a connection, which ask for a challenge ACK whether it may be sent or not.
    pub syn_challenges: Option<u64>,
    /// Sockets without an owner, of the whole host: this one is not kept per namespace.
    pub orphans: Option<u64>,
    /// Sockets in `TIME_WAIT`.
    pub time_wait: Option<u64>,
}

impl Namespaces {
    /// Looks around, right after the programs were attached. `now` is monotonic.
    pub fn start(truth: &Truth, now: Duration) -> Self {
        let mut namespaces = Self {
            known: Known::start(now),
            comparison: Comparison::default(),
            overflows: Baselines::default(),
            counted: BTreeMap::new(),
            turn: 0,
        };
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

    /// Inode number of our own.
    pub const fn own(&self) -> Option<u32> {
        self.known.own()
    }

    /// What the others belong to, as of the last look.
    pub const fn residents(&self) -> &Residents {
        self.known.residents()
    }

    /// Namespaces besides our own, each with a process in it.
    pub fn others(&self) -> Vec<(u32, u32)> {
        self.known.processes().filter(|(netns, _)| Some(*netns) != self.known.own()).collect()
    }

    /// Counters of every namespace with a process in it, by number: those of our own, of new ones and of those in which `ours`
    /// grew as they are now, those of others as they were when it was their turn. `ours` is where hooks count overflows, if they do.
    pub fn counters(&mut self, ours: Option<&Truth>) -> Vec<NamespaceCounters> {
        let all: BTreeSet<u32> = self.known.all().collect();
        let mut due: BTreeSet<u32> =
            all.iter().filter(|netns| !self.counted.contains_key(netns)).copied().collect();
        due.extend(self.known.own());
        let overflows: HashMap<u32, i64> = ours
            .iter()
            .flat_map(|truth| truth.namespaces())
            .map(|row| (row.netns, overflows(&row)))
            .collect();
        due.extend(overflows.iter().filter_map(|(netns, sum)| {
            (all.contains(netns) && !self.overflows.is_settled(*netns, *sum)).then_some(*netns)
        }));
        for netns in in_turn(&all, self.turn) {
            self.turn = netns;
            due.insert(netns);
        }
        for netns in due {
            let first = overflows.get(&netns).copied().unwrap_or(0);
            let counters = match ours {
                Some(truth) => self.compared(netns, truth, first),
                None => self.counters_of(netns),
            };
            if let Some(counters) = counters {
                self.counted.insert(netns, counters);
            }
        }
        self.counted.retain(|netns, _| self.known.has(*netns));
        self.overflows.retain(|netns| self.known.has(netns));
        self.counted.values().copied().collect()
    }

    /// Reads theirs between two readings of ours, `first` being one, until nothing is missing.
    fn compared(&mut self, netns: u32, truth: &Truth, mut first: i64) -> Option<NamespaceCounters> {
        let mut compared: Option<NamespaceCounters> = None;
        for _ in 0..TRIES {
            let Some(mut counters) = self.counters_of(netns) else { break };
            let Some(theirs) = counters.listen_overflows else { return Some(counters) };
            let again = truth.namespaces().find(|row| row.netns == netns);
            let last = again.map_or(first, |row| overflows(&row));
            let difference = self.overflows.compare(netns, counters.older, theirs, [first, last]);
            let difference = difference.map(|compared| compared.difference);
            counters.overflow_difference = difference.or_else(|| compared?.overflow_difference);
            compared = Some(counters);
            if difference == Some(0) {
                break;
            }
            first = last;
        }
        compared
    }

    fn counters_of(&mut self, netns: u32) -> Option<NamespaceCounters> {
        // Before it is read: losing sight of it makes it older.
        let older = self.known.is_older(netns);
        let read = |file: usize, text: &str, counters: &mut NamespaceCounters| match file {
            0 => {
                let wanted = ["ListenOverflows", "ListenDrops", "TCPChallengeACK", "TCPSYNChallenge"];
                [
                    counters.listen_overflows,
                    counters.listen_drops,
                    counters.challenge_acks,
                    counters.syn_challenges,
                ] = proc_net::counters(text, "TcpExt:", wanted);
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

/// The next few after `last`, beginning anew after the highest.
fn in_turn(all: &BTreeSet<u32>, last: u32) -> Vec<u32> {
    let after = all.range((Bound::Excluded(last), Bound::Unbounded));
    after.chain(all.range(..=last)).take(IN_TURN).copied().collect()
}

fn overflows(reading: &NamespaceReading) -> i64 {
    i64::try_from(reading.overflows_syn + reading.overflows_ack).unwrap_or(i64::MAX)
}

fn by_namespace(truth: &Truth) -> HashMap<u32, NamespaceReading> {
    truth.namespaces().map(|reading| (reading.netns, reading)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_its_turn_and_only_a_few_at_a_time() {
        let all: BTreeSet<u32> = (100..125).collect();
        let (mut last, mut seen) = (0, Vec::new());
        for _ in 0..50 / IN_TURN {
            let now = in_turn(&all, last);
            assert_eq!(now.len(), IN_TURN);
            last = *now.last().unwrap();
            seen.extend(now);
        }
        assert_eq!(seen, [(100..125).collect::<Vec<_>>(), (100..125).collect()].concat());
        let few: BTreeSet<u32> = (0..3).collect();
        assert_eq!(in_turn(&few, 1), [2, 0, 1]);
        assert_eq!(in_turn(&BTreeSet::new(), 1), [0; 0]);
    }
}
