//! Resets sent per namespace, compared with its `Tcp: OutRsts`.

use std::collections::HashMap;

use super::baseline::{Baselines, Compared, TRIES};
use super::known::Known;
use crate::kernel::proc_net;
use crate::kernel::truth::{NamespaceReading, Truth};
use crate::snapshot::NamespaceRow;

/// Where the comparison of each namespace began.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    baselines: Baselines,
}

impl Comparison {
    /// Reads ours, theirs, and ours again: what changed in between is not a difference.
    pub(super) fn rows(
        &mut self,
        known: &mut Known,
        truth: &Truth,
        mut before: HashMap<u32, NamespaceReading>,
    ) -> Vec<NamespaceRow> {
        for netns in known.all() {
            before.entry(netns).or_insert(NamespaceReading { netns, ..NamespaceReading::default() });
        }
        let mut rows: Vec<_> =
            before.into_values().filter_map(|first| self.row(known, truth, first)).collect();
        self.baselines.retain(|netns| known.has(netns));
        rows.sort_unstable_by_key(|row| row.netns);
        rows
    }

    /// `None` for a namespace in which nothing ever happened.
    fn row(
        &mut self,
        known: &mut Known,
        truth: &Truth,
        mut reading: NamespaceReading,
    ) -> Option<NamespaceRow> {
        let netns = reading.netns;
        let mut compared = None;
        for _ in 0..TRIES {
            let Some(theirs) = out_resets(known, netns) else { break };
            let first = sum(&reading);
            reading = truth.namespaces().find(|again| again.netns == netns).unwrap_or(reading);
            let last = sum(&reading);
            let now = self.baselines.compare(netns, known.is_older(netns), theirs, [first, last]);
            compared = now.or(compared);
            if now.is_some_and(|now| now.difference == 0) {
                break;
            }
        }
        let row = NamespaceRow {
            netns,
            resets_sent: reading.resets_sent,
            refused_sent: reading.refused_sent,
            stray_sent: reading.stray_sent,
            kernel_out_resets: compared.map(|Compared { theirs, difference: _ }| theirs),
            unattributed: compared.map(|Compared { theirs: _, difference }| difference),
            overflows_syn: reading.overflows_syn,
            overflows_ack: reading.overflows_ack,
            // Compared where the namespace's other counters are read.
            unattributed_overflows: None,
            reject_sent: reading.reject_sent,
        };
        let silent = row
            == NamespaceRow {
                kernel_out_resets: row.kernel_out_resets,
                unattributed: row.unattributed,
                ..NamespaceRow::of(netns)
            };
        (!silent || row.kernel_out_resets.unwrap_or(0) > 0).then_some(row)
    }
}

fn out_resets(known: &mut Known, netns: u32) -> Option<u64> {
    known.read(netns, ["snmp"], |_, text, out_resets: &mut Option<u64>| {
        [*out_resets] = proc_net::counters(text, "Tcp:", ["OutRsts"]);
    })?
}

fn sum(reading: &NamespaceReading) -> i64 {
    i64::try_from(reading.resets_sent + reading.refused_sent + reading.stray_sent).unwrap_or(i64::MAX)
}
