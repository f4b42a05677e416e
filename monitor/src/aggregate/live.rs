//! Open connections to series: those of the peers with series of their own, of others while there is room, and the rest.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use monitor_common::peer::Role;

use crate::live::{Live, Open};
use crate::selection::{Selection, SeriesKey};
use crate::snapshot::{OpenSeries, PeerLabel, Scope};

/// How many more may have series.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Of either role.
    pub(super) all: usize,
    /// Of those that connect to us.
    pub(super) servers: usize,
}

impl Room {
    fn without(self, chosen: &BTreeSet<SeriesKey>) -> Self {
        let servers = chosen.iter().filter(|key| key.label.role == Role::Server).count();
        Self { all: self.all.saturating_sub(chosen.len()), servers: self.servers.saturating_sub(servers) }
    }

    /// Takes a place, if there is one.
    const fn take(&mut self, role: Role) -> bool {
        let is_there = self.all > 0 && (self.servers > 0 || matches!(role, Role::Client));
        if is_there {
            self.all -= 1;
            if matches!(role, Role::Server) {
                self.servers -= 1;
            }
        }
        is_there
    }
}

/// What the metrics page shows of walks.
#[derive(Debug, Default)]
pub(super) struct OpenPeers {
    /// Peers without counts that have series nevertheless: all their connections are older than we are. They keep them while they have
    /// connections, so that they do not change between their own series and `other`. As many as there was room for when they got them,
    /// so at most as many as may have counts.
    chosen: BTreeSet<SeriesKey>,
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
        selection: &Selection,
        own: impl FnOnce() -> BTreeMap<SeriesKey, bool>,
        room: Room,
    ) -> Arc<[OpenSeries]> {
        let series = self.series.take().unwrap_or_else(|| self.make(live, selection, &own(), room));
        self.series = Some(Arc::clone(&series));
        series
    }

    fn make(
        &mut self,
        live: &Live,
        selection: &Selection,
        own: &BTreeMap<SeriesKey, bool>,
        room: Room,
    ) -> Arc<[OpenSeries]> {
        // Where nothing was walked, nothing is known of anyone, `other` among them, nor is anyone's last connection gone.
        if live.namespaces().len() == 0 {
            return Arc::default();
        }
        let mut sums = HashMap::<SeriesKey, Open>::new();
        for (service, open) in live.services() {
            if let Some(key) = selection.of_service(service) {
                sums.entry(key).or_default().join(open);
            }
        }
        let mut shown = Vec::new();
        for (key, known) in own {
            let open = sums.remove(key).unwrap_or_default();
            if *known {
                shown.push(of(*key, open));
            }
        }
        // What is not among the sums may be among those beyond.
        self.chosen.retain(|key| {
            !own.contains_key(key) && (sums.contains_key(key) || !live.is_whole(key.label.role))
        });
        let mut left = room.without(&self.chosen);
        let mut others: Vec<(SeriesKey, Open)> = sums.into_iter().collect();
        others.sort_unstable_by_key(|(key, open)| (Reverse(open.open), *key));
        for (key, open) in others {
            let is_chosen = self.chosen.contains(&key);
            if is_chosen || (open.open > 0 && left.take(key.label.role)) {
                self.chosen.insert(key);
                shown.push(of(key, open));
            }
        }
        for role in Role::ALL {
            let (mut open, mut idle) = (live.total(role).open, live.total(role).idle);
            for series in shown.iter().filter(|series| series.label.role == role) {
                open = open.saturating_sub(series.open);
                idle = idle.saturating_sub(series.idle);
            }
            let label = PeerLabel { scope: Scope::Other, port: None, role };
            shown.push(OpenSeries { netns: None, label, open, idle });
        }
        shown.into()
    }
}

const fn of(key: SeriesKey, open: Open) -> OpenSeries {
    let SeriesKey { netns, label } = key;
    let Open { open, idle, .. } = open;
    OpenSeries { netns, label, open, idle }
}
