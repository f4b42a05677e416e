//! Counters per network namespace to what they grew by since the daemon started, and the sums over namespaces.
//!
//! Pure. A namespace that ended keeps what it counted, so the sums never go down.

use std::collections::HashMap;

use super::challenges::Challenges;
use super::growing::Growing;
use crate::kernel::namespaces::NamespaceCounters;
use crate::snapshot::listening::ListenNamespaceRow;

/// Namespaces remembered after their last process ended. Numbers of ended namespaces are given out again, lowest first, so a host
/// needs about as many as it ever had at a time.
const ENDED: usize = 4_096;

/// Every namespace ever read.
#[derive(Debug, Default)]
pub(super) struct Overflows {
    accounts: HashMap<u32, Account>,
    /// Counts of namespaces that were forgotten: overflows, drops, challenge ACKs.
    folded: [u64; 3],
    reading: u64,
}

/// What is known of one.
#[derive(Clone, Copy, Debug)]
struct Account {
    listen_overflows: Option<Growing>,
    listen_drops: Option<Growing>,
    challenges: Option<Challenges>,
    time_wait: Option<u64>,
    /// The last reading it was in.
    seen: u64,
}

/// One reading, seen from here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Namespaces with something to tell, by number, then those forgotten.
    pub(super) rows: Vec<ListenNamespaceRow>,
    pub(super) listen_overflows: Option<u64>,
    pub(super) listen_drops: Option<u64>,
    pub(super) challenge_acks: Option<u64>,
    pub(super) time_wait: Option<u64>,
}

impl Overflows {
    /// One reading of all namespaces that can be read now.
    pub(super) fn read(&mut self, namespaces: &[NamespaceCounters]) -> Sums {
        self.reading += 1;
        for counters in namespaces {
            self.account(counters);
        }
        self.forget();
        self.sums()
    }

    fn account(&mut self, counters: &NamespaceCounters) {
        let NamespaceCounters {
            netns,
            older,
            listen_overflows,
            overflow_difference: _,
            listen_drops,
            challenge_acks,
            syn_challenges,
            orphans: _,
            time_wait,
        } = *counters;
        let new = Account {
            listen_overflows: None,
            listen_drops: None,
            challenges: None,
            time_wait: None,
            seen: 0,
        };
        let account = self.accounts.entry(netns).or_insert(new);
        account.seen = self.reading;
        account.time_wait = time_wait;
        // What a namespace counted before the daemon started is not ours to tell; a newer one began at zero. A known number that
        // came back may be another namespace: if it counted less than the old one it is, else what it counted more is new
        // either way.
        let base = |now: u64| if older { now } else { 0 };
        for (counter, now) in
            [(&mut account.listen_overflows, listen_overflows), (&mut account.listen_drops, listen_drops)]
        {
            if let Some(now) = now {
                counter.get_or_insert(Growing::since(base(now))).read(now);
            }
        }
        if let Some((sent, for_syns)) = challenge_acks.zip(syn_challenges) {
            let new = Challenges::since(base(sent), base(for_syns));
            account.challenges.get_or_insert(new).read(sent, for_syns);
        }
    }

    fn forget(&mut self) {
        let ended = self.accounts.iter().filter(|(_, account)| account.seen != self.reading);
        let mut ended: Vec<_> = ended.map(|(netns, account)| (account.seen, *netns)).collect();
        ended.sort_unstable();
        for (_, netns) in ended.iter().rev().skip(ENDED) {
            if let Some(account) = self.accounts.remove(netns) {
                let [overflows, drops, challenges] = &mut self.folded;
                *challenges += account.challenges.map_or(0, Challenges::sum);
                *overflows += account.listen_overflows.map_or(0, Growing::sum);
                *drops += account.listen_drops.map_or(0, Growing::sum);
            }
        }
    }

    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        let plus = |sum: Option<u64>, more: Option<u64>| match (sum, more) {
            (Some(sum), Some(more)) => Some(sum.saturating_add(more)),
            (sum, more) => sum.or(more),
        };
        for (&netns, account) in &self.accounts {
            let listen_overflows = account.listen_overflows.map(Growing::sum);
            let listen_drops = account.listen_drops.map(Growing::sum);
            let challenge_acks = account.challenges.map(Challenges::sum);
            let time_wait = account.time_wait.filter(|_| account.seen == self.reading);
            sums.listen_overflows = plus(sums.listen_overflows, listen_overflows);
            sums.listen_drops = plus(sums.listen_drops, listen_drops);
            sums.challenge_acks = plus(sums.challenge_acks, challenge_acks);
            sums.time_wait = plus(sums.time_wait, time_wait);
            // One that ended is told for what it counted only.
            let counted = [listen_overflows, listen_drops, challenge_acks].iter().any(|sum| *sum > Some(0));
            if account.seen == self.reading || counted {
                sums.rows.push(ListenNamespaceRow {
                    netns: Some(netns),
                    listen_overflows,
                    listen_drops,
                    challenge_acks,
                    time_wait,
                });
            }
        }
        sums.rows.sort_unstable_by_key(|row| row.netns);
        let [overflows, drops, challenge_acks] = self.folded;
        if overflows + drops + challenge_acks > 0 {
            sums.listen_overflows = plus(sums.listen_overflows, Some(overflows));
            sums.listen_drops = plus(sums.listen_drops, Some(drops));
            sums.challenge_acks = plus(sums.challenge_acks, Some(challenge_acks));
            sums.rows.push(ListenNamespaceRow {
                netns: None,
                listen_overflows: Some(overflows),
                listen_drops: Some(drops),
                challenge_acks: Some(challenge_acks),
                time_wait: None,
            });
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace(netns: u32, older: bool, overflows: u64) -> NamespaceCounters {
        NamespaceCounters {
            netns,
            older,
            listen_overflows: Some(overflows),
            listen_drops: Some(2 * overflows),
            challenge_acks: Some(5 * overflows),
            syn_challenges: Some(2 * overflows),
            overflow_difference: None,
            orphans: None,
            time_wait: Some(1),
        }
    }

    fn overflows(sums: &Sums) -> Option<u64> {
        assert_eq!(sums.listen_drops, sums.listen_overflows.map(|overflows| 2 * overflows));
        assert_eq!(sums.challenge_acks, sums.listen_overflows.map(|overflows| 3 * overflows));
        sums.listen_overflows
    }

    #[test]
    fn what_was_counted_before_the_start_is_left_out_and_newer_namespaces_began_at_zero() {
        let mut all = Overflows::default();
        assert_eq!(overflows(&all.read(&[namespace(1, true, 100)])), Some(0));
        let sums = all.read(&[namespace(1, true, 103), namespace(2, false, 5)]);
        assert_eq!(overflows(&sums), Some(8));
        assert_eq!(sums.rows.iter().map(|row| row.listen_overflows).collect::<Vec<_>>(), [Some(3), Some(5)]);
        assert_eq!(sums.time_wait, Some(2));
    }

    #[test]
    fn a_namespace_that_ended_keeps_what_it_counted_and_has_no_sockets() {
        let mut all = Overflows::default();
        all.read(&[namespace(1, true, 0), namespace(2, false, 5), namespace(3, false, 0)]);
        let sums = all.read(&[namespace(1, true, 0)]);
        assert_eq!((overflows(&sums), sums.time_wait), (Some(5), Some(1)));
        let rows: Vec<_> = sums.rows.iter().map(|row| (row.netns, row.time_wait)).collect();
        assert_eq!(rows, [(Some(1), Some(1)), (Some(2), None)], "an ended one without counts is no news");
    }

    #[test]
    fn a_number_that_is_given_to_a_new_namespace_goes_on_growing() {
        let mut all = Overflows::default();
        all.read(&[namespace(2, false, 5)]);
        all.read(&[]);
        assert_eq!(overflows(&all.read(&[namespace(2, true, 3)])), Some(8), "less than before: a new one");
        assert_eq!(overflows(&all.read(&[namespace(2, true, 4)])), Some(9));
        all.read(&[]);
        assert_eq!(overflows(&all.read(&[namespace(2, true, 6)])), Some(11), "more than before: the same");
    }

    #[test]
    fn nothing_readable_is_unknown_and_not_zero() {
        let mut all = Overflows::default();
        assert_eq!(all.read(&[]), Sums::default());
        let without = NamespaceCounters { netns: 1, ..NamespaceCounters::default() };
        let sums = all.read(&[without]);
        assert_eq!((sums.listen_overflows, sums.listen_drops, sums.time_wait), (None, None, None));
    }

    #[test]
    fn whatever_comes_and_goes_memory_is_bounded_and_the_sum_stays() {
        let mut all = Overflows::default();
        for round in 0..20 {
            let some: Vec<_> = (0..500).map(|number| namespace(round * 500 + number, false, 1)).collect();
            let sums = all.read(&some);
            assert_eq!(overflows(&sums), Some(u64::from(round + 1) * 500));
            assert_eq!(
                sums.rows.iter().filter_map(|row| row.listen_overflows).sum::<u64>(),
                500 * u64::from(round + 1)
            );
            assert!(all.accounts.len() <= ENDED + 500);
        }
    }
}
