//! Inferred idle timeouts per peer. A series appears when a timeout was seen.

use std::fmt;
use std::time::Duration;

use super::text::Unit;

use super::family::{Gauge, Output};
use super::labels::PeerLabels;
use crate::http::convert::seconds_of_ms;
use crate::timeouts::TimeoutSeries;

pub(super) fn encode(out: &mut Output<'_>, series: &[TimeoutSeries]) -> fmt::Result {
    let labels = |series: &TimeoutSeries| PeerLabels::new(&series.label, series.netns);
    let rows: Vec<_> = series.iter().map(|series| (series, labels(series))).collect();
    let mut timeouts = Gauge::with_unit(
        out,
        "peer_idle_timeout",
        Unit::Seconds,
        "After which quiet a side closes connections, inferred from closes: `local` is this host, `peer` the other end.",
    )?;
    for (series, labels) in &rows {
        let sides: [(&str, Option<Duration>); 2] = [("local", series.local), ("peer", series.peer)];
        for (side, timeout) in sides.into_iter().filter_map(|(side, timeout)| Some((side, timeout?))) {
            timeouts.line(&(labels, [("side", side)]), timeout.as_secs_f64())?;
        }
    }
    let mut margins = Gauge::with_unit(
        out,
        "keepalive_margin",
        Unit::Seconds,
        "How much longer the server keeps a quiet connection than the client; negative when it closes first. Absent when neither has closed a quiet connection within an hour, or three times as long as usual.",
    )?;
    for (series, labels) in &rows {
        if let Some(margin) = series.margin_ms {
            margins.line(&labels, seconds_of_ms(margin))?;
        }
    }
    Ok(())
}
