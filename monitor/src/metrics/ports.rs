//! Families per local port: what strangers can cause.

use std::fmt;

use super::family::{Counter, Output};
use crate::counts::PortCounts;
use crate::snapshot::PortSeries;
use crate::snapshot::hooked::Hooked;

/// A counter of [`PortCounts`].
struct PortFamily {
    name: &'static str,
    help: &'static str,
    value: fn(&PortCounts) -> u64,
    /// Whether it is counted here.
    known: fn(Hooked) -> bool,
}

const FAMILIES: [PortFamily; 4] = [
    PortFamily {
        name: "refused_sent",
        help: "Resets sent in answer to a SYN, by local port.",
        value: |counts| counts.refused_sent,
        known: |_| true,
    },
    PortFamily {
        name: "stray_sent",
        help: "Resets sent in answer to a segment of no remembered connection, by local port.",
        value: |counts| counts.stray_sent,
        known: |_| true,
    },
    PortFamily {
        name: "stray_received",
        help: "Resets received for no remembered connection, by local port.",
        value: |counts| counts.stray_received,
        known: |_| true,
    },
    PortFamily {
        name: "reject_sent",
        help: "Resets that netfilter sent for a REJECT rule, which the kernel's OutRsts does not count, by the port that was asked for.",
        value: |counts| counts.reject_sent,
        known: |hooked| hooked.rejections,
    },
];

pub(super) fn encode(out: &mut Output<'_>, ports: &[PortSeries], hooked: Hooked) -> fmt::Result {
    for PortFamily { name, help, value, known: _ } in FAMILIES.iter().filter(|family| (family.known)(hooked))
    {
        let mut family = Counter::new(out, name, help)?;
        for PortSeries { port, counts } in ports {
            let port = port.map_or_else(|| "other".to_owned(), |port| port.to_string());
            family.line(&[("port", &port)], value(counts))?;
        }
    }
    Ok(())
}
