//! Local ports on the metrics page: a bounded number, whatever strangers send.

use std::collections::{HashMap, HashSet};

use crate::counts::PortCounts;
use crate::snapshot::PortSeries;

/// Ports that get series of their own as they come.
const EASY: usize = 48;
/// Ports that get series of their own at all; those beyond [`EASY`] must have been busy, so that one scan over all ports
/// does not take every place.
const MOST: usize = 64;
/// How busy.
const BUSY: u64 = 100;

/// Which ports have series of their own. Once they have, they keep them.
#[derive(Debug, Default)]
pub struct PortTable {
    /// With what was shown under `other` before.
    own: HashMap<u16, PortCounts>,
    /// Ports that have been part of `other`.
    in_other: HashSet<u16>,
}

impl PortTable {
    /// One reading of all ports.
    pub fn read(&mut self, rows: &[(u16, PortCounts)]) -> Vec<PortSeries> {
        let mut candidates: Vec<_> = rows.iter().filter(|(port, _)| !self.own.contains_key(port)).collect();
        if self.own.len() < MOST {
            candidates.sort_by_key(|(port, counts)| (std::cmp::Reverse(sum(counts)), *port));
        }
        for &&(port, counts) in &candidates {
            let room = self.own.len() < EASY || (self.own.len() < MOST && sum(&counts) >= BUSY);
            if room {
                let before = if self.in_other.contains(&port) { counts } else { PortCounts::default() };
                self.own.insert(port, before);
            } else {
                self.in_other.insert(port);
            }
        }
        let mut other = PortCounts::default();
        let mut series = Vec::with_capacity(self.own.len() + 1);
        for &(port, counts) in rows {
            match self.own.get(&port) {
                Some(before) => {
                    other = other.plus(*before);
                    series.push(PortSeries { port: Some(port), counts: counts.since(*before) });
                }
                None => other = other.plus(counts),
            }
        }
        series.push(PortSeries { port: None, counts: other });
        series
    }
}

fn sum(counts: &PortCounts) -> u64 {
    counts.refused_sent + counts.stray_sent + counts.stray_received + counts.reject_sent
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(count: u64) -> PortCounts {
        PortCounts { refused_sent: count, ..PortCounts::default() }
    }

    fn of(series: &[PortSeries], port: Option<u16>) -> u64 {
        series.iter().find(|row| row.port == port).map_or(0, |row| row.counts.refused_sent)
    }

    #[test]
    fn a_scan_over_every_port_leaves_room_for_a_busy_one_and_sums_stay_exact() {
        let mut table = PortTable::default();
        let mut rows: Vec<_> = (1..=1000).map(|port| (port, refused(1))).collect();
        let first = table.read(&rows);
        assert_eq!(first.len(), EASY + 1);
        rows[899].1 = refused(500);
        let second = table.read(&rows);
        assert_eq!(of(&second, Some(900)), 0, "what was shown as other stays there");
        assert_eq!(second.iter().map(|row| row.counts.refused_sent).sum::<u64>(), 1499);
        assert!(of(&second, None) >= of(&first, None), "other never goes down");
        rows[899].1 = refused(600);
        assert_eq!(of(&table.read(&rows), Some(900)), 100);
    }
}
