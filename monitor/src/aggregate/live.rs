//! Open connections to series: those of the peers with series of their own, of others while there is room, and the rest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use monitor_common::peer::Role;

use crate::live::{Live, Open};
use crate::snapshot::{OpenSeries, PeerLabel, Scope};

/// What the metrics page shows of walks.
#[derive(Debug, Default)]
pub(super) struct OpenPeers {
    /// Peers without counts that have series nevertheless: all their connections are older than we are. They keep them while they have
    /// connections, so that they do not change between their own series and `other`. As many as there was room for when they got them,
    /// so at most as many as may have counts.
    chosen: BTreeSet<PeerLabel>,
    /// Of the last walk. Made once, when it is asked for first: it takes the sums of all services.
    series: Option<Arc<[OpenSeries]>>,
}

impl OpenPeers {
    /// There is another walk.
    pub(super) fn renew(&mut self) {
        self.series = None;
    }

    /// What to show of a walk: peers that have series of their own, each with whether all of what it has open is known, and others while
    /// there are less than `room`.
    pub(super) fn series(
        &mut self,
        live: &Live,
        own: impl FnOnce() -> BTreeMap<PeerLabel, bool>,
        room: usize,
    ) -> Arc<[OpenSeries]> {
        let series = self.series.take().unwrap_or_else(|| self.make(live, &own(), room));
        self.series = Some(Arc::clone(&series));
        series
    }

    fn make(&mut self, live: &Live, own: &BTreeMap<PeerLabel, bool>, room: usize) -> Arc<[OpenSeries]> {
        // Where nothing was walked, nothing is known of anyone, `other` among them, nor is anyone's last connection gone.
        if live.namespaces().len() == 0 {
            return Arc::default();
        }
        let mut sums = HashMap::<PeerLabel, Open>::new();
        for (service, open) in live.services() {
            let Some(peer) = service.peer else { continue };
            let label =
                PeerLabel { scope: Scope::Address(peer), port: Some(service.port), role: service.role };
            sums.entry(label).or_default().join(open);
        }
        let mut shown = Vec::new();
        for (label, known) in own {
            let open = sums.remove(label).unwrap_or_default();
            if *known {
                shown.push(of(*label, open));
            }
        }
        // What is not among the sums may be among those beyond.
        self.chosen.retain(|label| {
            !own.contains_key(label) && (sums.contains_key(label) || !live.is_whole(label.role))
        });
        let mut others: Vec<(PeerLabel, Open)> = sums.into_iter().collect();
        others.sort_unstable_by_key(|(label, open)| (Reverse(open.open), *label));
        for (label, open) in others {
            if self.chosen.contains(&label) || (open.open > 0 && self.chosen.len() < room) {
                self.chosen.insert(label);
                shown.push(of(label, open));
            }
        }
        for role in Role::ALL {
            let (mut open, mut idle) = (live.total(role).open, live.total(role).idle);
            for series in shown.iter().filter(|series| series.label.role == role) {
                open = open.saturating_sub(series.open);
                idle = idle.saturating_sub(series.idle);
            }
            let label = PeerLabel { scope: Scope::Other, port: None, role };
            shown.push(OpenSeries { label, open, idle });
        }
        shown.into()
    }
}

const fn of(label: PeerLabel, open: Open) -> OpenSeries {
    let Open { open, idle, .. } = open;
    OpenSeries { label, open, idle }
}
