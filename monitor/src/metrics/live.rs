//! Open connections per peer, as of the last walk, and what that took. Nothing of it is there before the first one.

use std::fmt;

use super::text::Unit;

use super::family::{Gauge, Output};
use super::labels::PeerLabels;
use crate::snapshot::{OpenSeries, Snapshot, WalkRow};

/// A gauge of [`OpenSeries`].
struct OpenFamily {
    name: &'static str,
    help: &'static str,
    value: fn(&OpenSeries) -> u64,
}

const FAMILIES: [OpenFamily; 2] = [
    OpenFamily {
        name: "open_connections",
        help: "Connections with the peer that are open now, those from before the daemon's start among them.",
        value: |series| series.open,
    },
    OpenFamily {
        name: "idle_connections",
        help: "Open connections with the peer that have been quiet for a second or longer.",
        value: |series| series.idle,
    },
];

pub(super) fn encode(out: &mut Output<'_>, snapshot: &Snapshot) -> fmt::Result {
    let Some(WalkRow { took, cpu, walked, left_out, age }) = snapshot.walk else { return Ok(()) };
    let labels = |series: &OpenSeries| PeerLabels::new(&series.label, series.netns);
    let rows: Vec<_> = snapshot.open_series.iter().map(|series| (series, labels(series))).collect();
    for OpenFamily { name, help, value } in &FAMILIES {
        let mut family = Gauge::new(out, name, help)?;
        for (series, labels) in &rows {
            family.line(&labels, value(series))?;
        }
    }
    Gauge::single(
        out,
        "walk_duration",
        Some(Unit::Seconds),
        "Time in seconds that the last walk over open connections took.",
        took.as_secs_f64(),
    )?;
    Gauge::single(
        out,
        "walk_cpu",
        Some(Unit::Seconds),
        "CPU time in seconds that the last walk over open connections took, the kernel's included.",
        cpu.as_secs_f64(),
    )?;
    Gauge::single(
        out,
        "walk_age",
        Some(Unit::Seconds),
        "Time in seconds since the last walk over open connections began: they are told as they were then.",
        age.as_secs_f64(),
    )?;
    let mut namespaces = Gauge::new(
        out,
        "walk_namespaces",
        "Network namespaces whose open connections are told (`walked`), and known ones that were left out or could not be read (`left_out`).",
    )?;
    for (status, count) in [("walked", walked), ("left_out", left_out)] {
        namespaces.line(&[("status", status)], count as u64)?;
    }
    Ok(())
}
