//! Families about the monitor itself: what it sees, how full it is, and how it compares with the kernel.

use std::fmt;

use super::text::Unit;

use super::Page;
use super::family::{Counter, Gauge, Info, Output};
use crate::snapshot::SignalRow;

pub(super) fn encode(out: &mut Output<'_>, page: &Page) -> fmt::Result {
    let Page {
        snapshot,
        signals,
        alerts: _,
        pushed: _,
        exported: _,
        logged: _,
        names,
        version,
        kernel,
        process: _,
    } = page;

    let mut unattributed = Gauge::new(
        out,
        "unattributed",
        "Difference between what is counted here and the kernel's counter of the same, absolute and summed over network namespaces.",
    )?;
    unattributed.line(&[("counter", "OutRsts")], snapshot.unattributed)?;
    if let Some(overflows) = snapshot.unattributed_overflows {
        unattributed.line(&[("counter", "ListenOverflows")], overflows)?;
    }

    let mut info =
        Info::new(out, "signal", "How each signal is served on this kernel: its hook and status.")?;
    for SignalRow { signal, hook, status, why: _, advice: _ } in signals.iter() {
        info.line(&[("signal", *signal), ("hook", hook.as_str()), ("status", status.name())])?;
    }
    Info::new(out, "build", "Version of the daemon and release of the kernel it runs on.")?
        .line(&[("version", version), ("kernel", kernel)])?;

    let mut entries =
        Gauge::new(out, "map_entries", "Used entries of a bounded map; of `ring_bytes` the bytes.")?;
    for (fill, used) in snapshot.fills.iter().filter_map(|fill| fill.used.map(|used| (fill, used))) {
        entries.line(&[("map", fill.name)], used)?;
    }
    let mut capacity =
        Gauge::new(out, "map_capacity", "Entries that a bounded map can hold; of `ring_bytes` the bytes.")?;
    for fill in &snapshot.fills {
        capacity.line(&[("map", fill.name)], fill.capacity)?;
    }

    Counter::single(
        out,
        "owners_not_asked",
        "Events whose socket's owner was not looked up, or not everywhere, because too many waited.",
        snapshot.owners.not_asked,
    )?;
    if let Some(names) = names {
        Gauge::single(
            out,
            "metadata_stale",
            None,
            "1 while names of the cluster may be missing or old: something was not listed yet, or its API server does not answer.",
            u64::from(names.stale),
        )?;
    }
    Gauge::single(
        out,
        "snapshot_duration",
        Some(Unit::Seconds),
        "Time in seconds that reading the kernel's counters for this page took.",
        snapshot.read_seconds,
    )?;
    let mut missed = Counter::new(
        out,
        "program_missed_runs",
        "Runs of a kernel program that the kernel skipped; each may be a missed event.",
    )?;
    for (program, runs) in
        snapshot.programs.iter().filter_map(|row| row.missed_runs.map(|runs| (row.name, runs)))
    {
        missed.line(&[("program", program)], runs)?;
    }
    Counter::single(
        out,
        "failed_reads",
        "Reads of kernel memory that failed; anything but 0 means offsets that do not fit this kernel.",
        snapshot.failed_reads,
    )?;
    Counter::single(
        out,
        "over_budget",
        "Counts that went to a network or to `other` because the budget for peers was used up.",
        snapshot.over_budget,
    )
}
