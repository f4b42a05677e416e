//! Inferred idle timeouts per peer. A series appears when a timeout was seen.

use std::fmt;
use std::time::Duration;

use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::registry::Unit;

use super::family::Gauge;
use crate::event::role_name;
use crate::http::convert::seconds_of_ms;
use crate::timeouts::TimeoutSeries;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, series: &[TimeoutSeries]) -> fmt::Result {
    let rows: Vec<(&TimeoutSeries, String, String)> = series
        .iter()
        .map(|series| {
            let port = series.label.port.map_or_else(String::new, |port| port.to_string());
            (series, series.label.scope.to_string(), port)
        })
        .collect();
    let mut timeouts = Gauge::with_unit(
        encoder,
        "peer_idle_timeout",
        &Unit::Seconds,
        "After which quiet a side closes connections, inferred from closes: `local` is this host, `peer` the other end.",
    )?;
    for (series, peer, port) in &rows {
        let sides: [(&str, Option<Duration>); 2] = [("local", series.local), ("peer", series.peer)];
        for (side, timeout) in sides.into_iter().filter_map(|(side, timeout)| Some((side, timeout?))) {
            let role = role_name(series.label.role);
            let labels = [("peer", peer.as_str()), ("port", port), ("role", role), ("side", side)];
            timeouts.line(&labels, timeout.as_secs_f64())?;
        }
    }
    let mut margins = Gauge::with_unit(
        encoder,
        "keepalive_margin",
        &Unit::Seconds,
        "How much longer the server keeps a quiet connection than the client; negative when it closes first. Absent when neither has closed a quiet connection within an hour.",
    )?;
    for (series, peer, port) in &rows {
        if let Some(margin) = series.margin_ms {
            let role = role_name(series.label.role);
            margins
                .line(&[("peer", peer.as_str()), ("port", port), ("role", role)], seconds_of_ms(margin))?;
        }
    }
    Ok(())
}
