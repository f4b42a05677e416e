//! Open connections to series: those of the peers with series of their own, of others while there is room, and the rest.

use std::collections::{BTreeSet, HashMap};

use monitor_common::peer::Role;

use crate::live::{Live, Open};
use crate::snapshot::{OpenSeries, PeerLabel, Scope};

/// What the metrics page shows of a walk: `own` peers, which have series of their own, and at most `more`. A peer whose connections are all
/// older than we are has no counts yet, so it may have series here and none there.
pub(super) fn open_series(live: &Live, own: &BTreeSet<PeerLabel>, more: usize) -> Vec<OpenSeries> {
    let mut sums = HashMap::<PeerLabel, Open>::new();
    for (service, open) in live.services() {
        let Some(peer) = service.peer else { continue };
        let label = PeerLabel { scope: Scope::Address(peer), port: Some(service.port), role: service.role };
        sums.entry(label).or_default().join(open);
    }
    let mut shown: Vec<OpenSeries> =
        own.iter().map(|label| of(*label, sums.remove(label).unwrap_or_default())).collect();
    let mut others: Vec<(PeerLabel, Open)> = sums.into_iter().collect();
    others.sort_unstable_by_key(|(label, open)| (std::cmp::Reverse(open.open), *label));
    shown.extend(others.into_iter().take(more).map(|(label, open)| of(label, open)));
    for role in Role::ALL {
        let (mut open, mut idle) = (live.total(role).open, live.total(role).idle);
        for series in shown.iter().filter(|series| series.label.role == role) {
            open = open.saturating_sub(series.open);
            idle = idle.saturating_sub(series.idle);
        }
        let label = PeerLabel { scope: Scope::Other, port: None, role };
        shown.push(OpenSeries { label, open, idle });
    }
    shown
}

const fn of(label: PeerLabel, open: Open) -> OpenSeries {
    let Open { open, idle, .. } = open;
    OpenSeries { label, open, idle }
}
