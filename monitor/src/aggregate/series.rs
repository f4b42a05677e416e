//! The metrics page's series: the top peers, `other` and `retired`, such that no published number ever goes down.
//!
//! A peer that gets series of its own late leaves what was shown as `other` so far behind, there. One that is retired
//! takes what it published to `retired`. Labels that two namespaces share, or all of a
//! network, are one series ([`crate::selection`]). Counts are read anew each
//! time; causes come with the stories and are added as they come.

use std::collections::HashMap;

use monitor_common::peer::Role;

use super::live::Room;
use crate::counts::PeerCounts;
use crate::selection::SeriesKey;
use crate::snapshot::{CauseCounts, PeerLabel, PeerSeries, ResetDetails, Scope};

/// A sum for each role.
#[derive(Clone, Debug, Default)]
pub(super) struct BothRoles([(PeerCounts, CauseCounts); 2]);

impl BothRoles {
    pub(super) const fn get(&self, role: Role) -> (PeerCounts, CauseCounts) {
        self.0[Self::place(role)]
    }

    pub(super) fn add(&mut self, role: Role, counts: PeerCounts, causes: &CauseCounts) {
        let (sum, sum_causes) = &mut self.0[Self::place(role)];
        *sum = sum.plus(counts);
        *sum_causes = sum_causes.plus(causes);
    }

    const fn place(role: Role) -> usize {
        match role {
            Role::Client => 0,
            Role::Server => 1,
        }
    }
}

/// What one set of labels has.
#[derive(Debug)]
struct Series {
    key: SeriesKey,
    /// Slots that share it.
    slots: usize,
    /// From slots of this label that were retired while others lived on.
    carried: PeerCounts,
    /// `carried` and every live slot, as of this reading.
    now: PeerCounts,
    /// Of all its slots, from the beginning.
    causes: CauseCounts,
    /// Shown as `other` before the label had series; it stays there.
    behind: (PeerCounts, CauseCounts),
    /// What its resets were like.
    details: Option<Box<ResetDetails>>,
}

/// All series.
#[derive(Debug)]
pub(super) struct SeriesTable {
    capacity: usize,
    places: Vec<Option<Series>>,
    by_key: HashMap<SeriesKey, u16>,
    /// Of peers that connect to us.
    servers: usize,
    /// What `other` keeps for good: counts of unpublished peers that were retired, and left behind by ended series; and
    /// causes from the beginning.
    other_kept: BothRoles,
    /// Counts of `other` as of this reading.
    other_now: [PeerCounts; 2],
    retired: BothRoles,
}

impl SeriesTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            places: Vec::new(),
            by_key: HashMap::new(),
            servers: 0,
            other_kept: BothRoles::default(),
            other_now: [PeerCounts::default(); 2],
            retired: BothRoles::default(),
        }
    }

    /// Begins a reading.
    pub(super) fn start(&mut self) {
        self.other_now = Role::ALL.map(|role| self.other_kept.get(role).0);
        for series in self.places.iter_mut().flatten() {
            series.now = series.carried;
            let other = &mut self.other_now[BothRoles::place(series.key.label.role)];
            *other = other.plus(series.behind.0);
        }
    }

    /// Whether another peer of this role may have series. Half of them are kept for those that we connect to: what connects to us
    /// cannot push out what we depend on.
    pub(super) fn has_room(&self, role: Role) -> bool {
        self.by_key.len() < self.capacity && !(role == Role::Server && self.is_half_servers())
    }

    /// Whether those that connect to us have all the series that they may have.
    pub(super) const fn is_half_servers(&self) -> bool {
        self.servers >= self.most_servers()
    }

    /// How many more may have series.
    pub(super) fn room(&self) -> Room {
        Room {
            all: self.capacity.saturating_sub(self.by_key.len()),
            servers: self.most_servers().saturating_sub(self.servers),
        }
    }

    const fn most_servers(&self) -> usize {
        self.capacity.div_ceil(2)
    }

    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Makes series for a label, which has none of its slots in it yet.
    pub(super) fn admit(&mut self, key: SeriesKey) {
        if self.by_key.contains_key(&key) {
            return;
        }
        let free = self.places.iter().position(Option::is_none).unwrap_or(self.places.len());
        // The configuration allows no more places than that.
        let Ok(place) = u16::try_from(free) else { return };
        let series = Series {
            key,
            slots: 0,
            carried: PeerCounts::default(),
            now: PeerCounts::default(),
            causes: CauseCounts::default(),
            behind: (PeerCounts::default(), CauseCounts::default()),
            details: None,
        };
        if free == self.places.len() {
            self.places.push(None);
        }
        self.places[free] = Some(series);
        self.by_key.insert(key, place);
        self.servers += usize::from(key.label.role == Role::Server);
    }

    /// Adds a slot to its label's series, if the label has any.
    pub(super) fn join(&mut self, key: &SeriesKey) -> Option<u16> {
        let place = *self.by_key.get(key)?;
        self.at(place)?.slots += 1;
        Some(place)
    }

    /// Adds a slot's counts of this reading.
    pub(super) fn add(&mut self, place: u16, counts: PeerCounts) {
        if let Some(series) = self.at(place) {
            series.now = series.now.plus(counts);
        }
    }

    /// Adds causes that no series had yet.
    pub(super) fn add_causes(&mut self, place: u16, causes: &CauseCounts) {
        if let Some(series) = self.at(place) {
            series.causes = series.causes.plus(causes);
        }
    }

    /// What the resets of this label were like, to be added to.
    pub(super) fn details(&mut self, place: u16) -> Option<&mut ResetDetails> {
        self.at(place).map(|series| &mut **series.details.get_or_insert_default())
    }

    /// Leaves a slot's counts of this reading in `other`, where they and its causes were shown so far.
    pub(super) fn leave_behind(&mut self, place: u16, role: Role, counts: PeerCounts, causes: &CauseCounts) {
        if let Some(series) = self.at(place) {
            series.behind = (series.behind.0.plus(counts), series.behind.1.plus(causes));
            self.add_other(role, counts);
        }
    }

    /// Adds a slot's counts of this reading to `other`.
    pub(super) fn add_other(&mut self, role: Role, counts: PeerCounts) {
        let other = &mut self.other_now[BothRoles::place(role)];
        *other = other.plus(counts);
    }

    /// Adds causes to `other`, for good.
    pub(super) fn add_other_causes(&mut self, role: Role, causes: &CauseCounts) {
        self.other_kept.add(role, PeerCounts::default(), causes);
    }

    /// Takes a slot's final counts.
    pub(super) fn retire(&mut self, place: Option<u16>, role: Role, last: PeerCounts) {
        let Some((place, series)) = place
            .and_then(|place| Some((usize::from(place), self.places.get_mut(usize::from(place))?.as_mut()?)))
        else {
            self.other_kept.add(role, last, &CauseCounts::default());
            return;
        };
        series.carried = series.carried.plus(last);
        series.slots -= 1;
        if series.slots > 0 {
            return;
        }
        let (counts, causes) = (series.carried.since(series.behind.0), series.causes.since(&series.behind.1));
        let (key, behind) = (series.key, series.behind.0);
        self.retired.add(role, counts, &causes);
        // The causes left behind are in `other` already.
        self.other_kept.add(role, behind, &CauseCounts::default());
        self.places[place] = None;
        self.by_key.remove(&key);
        self.servers -= usize::from(key.label.role == Role::Server);
    }

    /// What the metrics page shows.
    pub(super) fn published(&self) -> Vec<PeerSeries> {
        let own = self.places.iter().flatten().map(|series| {
            let counts = series.now.since(series.behind.0);
            let causes = series.causes.since(&series.behind.1).with_untold(&counts);
            let SeriesKey { netns, label } = series.key;
            PeerSeries { netns, label, counts, causes, details: series.details.clone() }
        });
        let sum = |scope, role, counts: PeerCounts, causes: CauseCounts| PeerSeries {
            netns: None,
            label: PeerLabel { scope, port: None, role },
            counts,
            causes: causes.with_untold(&counts),
            details: None,
        };
        let other = Role::ALL.map(|role| {
            sum(Scope::Other, role, self.other_now[BothRoles::place(role)], self.other_kept.get(role).1)
        });
        let retired = Role::ALL.map(|role| {
            let (counts, causes) = self.retired.get(role);
            sum(Scope::Retired, role, counts, causes)
        });
        own.chain(other).chain(retired).collect()
    }

    fn at(&mut self, place: u16) -> Option<&mut Series> {
        self.places.get_mut(usize::from(place))?.as_mut()
    }
}
