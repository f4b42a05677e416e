//! Resets sent per namespace, compared with its `Tcp: OutRsts`.

use std::collections::HashMap;

use super::known::Known;
use crate::kernel::proc_net;
use crate::kernel::truth::{NamespaceReading, Truth};
use crate::snapshot::NamespaceRow;

/// A namespace under load is read again this often to catch a quiet moment.
const TRIES: usize = 5;

/// Where the comparison of each namespace began.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    /// `OutRsts` minus ours when we began to compare, and `OutRsts` then or later.
    baselines: HashMap<u32, Baseline>,
}

#[derive(Clone, Copy, Debug)]
struct Baseline {
    offset: i64,
    last: u64,
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
        // Lost sight of: whoever has the number next begins anew.
        self.baselines.retain(|netns, _| known.has(*netns));
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
            let since = self.since_baseline(netns, theirs, last, known.is_older(netns));
            // Between our two readings theirs may have grown anywhere in between.
            let difference = last - since.clamp(first, last) - (since - since.clamp(first, last));
            compared = Some((u64::try_from(since).unwrap_or(0), difference));
            if difference == 0 {
                break;
            }
        }
        let row = NamespaceRow {
            netns,
            resets_sent: reading.resets_sent,
            refused_sent: reading.refused_sent,
            stray_sent: reading.stray_sent,
            kernel_out_resets: compared.map(|(theirs, _)| theirs),
            unattributed: compared.map(|(_, difference)| difference),
        };
        let silent = sum(&reading) == 0 && row.kernel_out_resets.unwrap_or(0) == 0;
        (!silent).then_some(row)
    }

    /// `OutRsts` since the comparison began.
    fn since_baseline(&mut self, netns: u32, theirs: u64, ours: i64, older: bool) -> i64 {
        let theirs_signed = i64::try_from(theirs).unwrap_or(i64::MAX);
        // Ours more than theirs at first sight: the number was another namespace's, and some of ours are its.
        let offset = if older || ours > theirs_signed { theirs_signed - ours } else { 0 };
        let baseline = self.baselines.entry(netns).or_insert(Baseline { offset, last: theirs });
        if theirs < baseline.last {
            // The number was given to a new namespace.
            baseline.offset = theirs_signed - ours;
        }
        baseline.last = theirs;
        theirs_signed - baseline.offset
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
