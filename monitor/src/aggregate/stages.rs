//! Overflows of listeners, as function hooks count them, to rows and to a bounded number of series.
//!
//! A row is a listener of one namespace. A series is an address and port over all of them, as everywhere on the metrics page. The
//! kernel side never forgets one, so nothing goes down, and listeners that were closed stay. Pure.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;

use super::listeners::{EASY, MOST};
use crate::kernel::listening::OverflowReading;
use crate::kernel::truth::ListenerReading;
use crate::snapshot::listening::{
    ListenerOverflows, ListenerSeries, OverflowRow, OverflowSeries, StageCounts,
};

/// Overflows from which on a listener may take one of the last places for series, so that a program whose every port is full
/// once does not take them all.
const BUSY: u64 = 100;

/// Which listeners have series of their own. Once they have, they keep them.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// With what was shown under `other` before.
    own: HashMap<SocketAddr, StageCounts>,
    /// Those that have been part of `other`.
    in_other: HashSet<SocketAddr>,
}

impl Stages {
    /// One reading. Listeners that are `open` and never overflowed show 0, so that the first overflow is seen to be one.
    pub(super) fn read(&mut self, reading: &OverflowReading, open: &[ListenerSeries]) -> ListenerOverflows {
        let OverflowReading { listeners, beyond } = reading;
        let mut rows: Vec<_> = listeners.iter().map(row).collect();
        rows.sort_unstable_by_key(|row| (Reverse(row.counts.sum()), row.netns, row.address));
        let mut sums: BTreeMap<SocketAddr, StageCounts> = BTreeMap::new();
        for OverflowRow { netns: _, address, counts } in &rows {
            let sum = sums.entry(*address).or_default();
            *sum = sum.plus(*counts);
        }
        self.find_places(&sums);
        ListenerOverflows { rows, series: self.series(sums, open), beyond: *beyond }
    }

    fn find_places(&mut self, sums: &BTreeMap<SocketAddr, StageCounts>) {
        let mut candidates: Vec<_> =
            sums.iter().filter(|(address, _)| !self.own.contains_key(address)).collect();
        candidates.sort_by_key(|(_, counts)| Reverse(counts.sum()));
        for (&address, &counts) in candidates {
            let room = self.own.len() < EASY || (self.own.len() < MOST && counts.sum() >= BUSY);
            if room {
                let shown = if self.in_other.contains(&address) { counts } else { StageCounts::default() };
                self.own.insert(address, shown);
            } else {
                self.in_other.insert(address);
            }
        }
    }

    fn series(
        &self,
        mut sums: BTreeMap<SocketAddr, StageCounts>,
        open: &[ListenerSeries],
    ) -> Vec<OverflowSeries> {
        let quiet = open.iter().filter(|listener| listener.queue.is_some());
        for address in quiet.filter_map(|listener| listener.address) {
            sums.entry(address).or_default();
        }
        let mut other = StageCounts::default();
        let mut series = Vec::with_capacity(sums.len() + 1);
        for (address, counts) in sums {
            let before = self.own.get(&address).copied();
            if before.is_none() && self.in_other.contains(&address) {
                other = other.plus(counts);
                continue;
            }
            let before = before.unwrap_or_default();
            other = other.plus(before);
            series.push(OverflowSeries { address: Some(address), counts: counts.since(before) });
        }
        series.push(OverflowSeries { address: None, counts: other });
        series
    }
}

fn row(reading: &ListenerReading) -> OverflowRow {
    let ListenerReading { netns, addr, port, overflows_syn, overflows_ack } = *reading;
    let counts = StageCounts { syn: overflows_syn, ack: overflows_ack };
    OverflowRow { netns, address: SocketAddr::new(addr, port), counts }
}

#[cfg(test)]
mod tests;
