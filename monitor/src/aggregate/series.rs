//! The metrics page's series: the top peers, `other` and `retired`, such that no published number ever goes down.
//!
//! A peer that gets series of its own late leaves what was shown as `other` so far behind, there. One that is retired
//! takes what it published to `retired`. The same label in two namespaces is one series.

use std::collections::HashMap;

use monitor_common::peer::Role;

use crate::counts::PeerCounts;
use crate::snapshot::{CauseCounts, PeerLabel, PeerRow, PeerSeries, Scope};

/// A sum for each role.
#[derive(Clone, Debug, Default)]
pub(super) struct BothRoles([(PeerCounts, CauseCounts); 2]);

/// Where a role stands in arrays.
pub(super) const fn role_index(role: Role) -> usize {
    match role {
        Role::Client => 0,
        Role::Server => 1,
    }
}

impl BothRoles {
    pub(super) fn get(&self, role: Role) -> (PeerCounts, CauseCounts) {
        self.0[role_index(role)]
    }

    pub(super) fn add(&mut self, role: Role, counts: PeerCounts, causes: &CauseCounts) {
        let (sum, sum_causes) = &mut self.0[role_index(role)];
        *sum = sum.plus(counts);
        *sum_causes = sum_causes.plus(causes);
    }
}

/// One label's series.
#[derive(Debug)]
struct Series {
    label: PeerLabel,
    /// Slots that share it.
    slots: usize,
    /// From slots of this label that were retired while others lived on.
    carried: (PeerCounts, CauseCounts),
    /// Shown as `other` before the label had series; it stays there.
    behind: (PeerCounts, CauseCounts),
    /// `carried` and every live slot, as of this reading.
    now: (PeerCounts, CauseCounts),
}

/// All series.
#[derive(Debug)]
pub(super) struct SeriesTable {
    capacity: usize,
    places: Vec<Option<Series>>,
    by_label: HashMap<PeerLabel, usize>,
    /// What `other` keeps for good: from unpublished peers that were retired, and left behind by ended series.
    other_kept: BothRoles,
    /// `other` as of this reading.
    other: BothRoles,
    retired: BothRoles,
}

impl SeriesTable {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            places: Vec::new(),
            by_label: HashMap::new(),
            other_kept: BothRoles::default(),
            other: BothRoles::default(),
            retired: BothRoles::default(),
        }
    }

    /// Begins a reading.
    pub(super) fn start(&mut self) {
        self.other = self.other_kept.clone();
        for series in self.places.iter_mut().flatten() {
            series.now = series.carried;
            self.other.add(series.label.role, series.behind.0, &series.behind.1);
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.by_label.len() < self.capacity
    }

    pub(super) fn len(&self) -> usize {
        self.by_label.len()
    }

    /// Makes series for a label, which has none of its slots in it yet.
    pub(super) fn admit(&mut self, label: &PeerLabel) {
        if self.by_label.contains_key(label) {
            return;
        }
        let nothing = (PeerCounts::default(), CauseCounts::default());
        let series = Series { label: *label, slots: 0, carried: nothing, behind: nothing, now: nothing };
        let place = if let Some(free) = self.places.iter().position(Option::is_none) {
            self.places[free] = Some(series);
            free
        } else {
            self.places.push(Some(series));
            self.places.len() - 1
        };
        self.by_label.insert(*label, place);
    }

    /// Adds a slot to its label's series, if the label has any.
    pub(super) fn join(&mut self, label: &PeerLabel) -> Option<usize> {
        let place = *self.by_label.get(label)?;
        self.places[place].as_mut()?.slots += 1;
        Some(place)
    }

    /// Adds a slot's counts of this reading.
    pub(super) fn add(&mut self, place: usize, row: &PeerRow) {
        if let Some(series) = &mut self.places[place] {
            add_row(&mut series.now, row);
        }
    }

    /// Leaves a slot's counts of this reading in `other`, where they were shown so far.
    pub(super) fn leave_behind(&mut self, place: usize, row: &PeerRow) {
        if let Some(series) = &mut self.places[place] {
            add_row(&mut series.behind, row);
            self.add_other(row.label.role, row);
        }
    }

    /// Adds a slot's counts of this reading to `other`.
    pub(super) fn add_other(&mut self, role: Role, row: &PeerRow) {
        add_row(&mut self.other.0[role_index(role)], row);
    }

    /// Takes a slot's final counts.
    pub(super) fn retire(
        &mut self,
        place: Option<usize>,
        role: Role,
        last: PeerCounts,
        causes: &CauseCounts,
    ) {
        let Some((place, series)) = place.and_then(|place| Some((place, self.places[place].as_mut()?)))
        else {
            self.other_kept.add(role, last, causes);
            return;
        };
        series.carried = (series.carried.0.plus(last), series.carried.1.plus(causes));
        series.slots -= 1;
        if series.slots > 0 {
            return;
        }
        let Series { label, slots: _, carried, behind, now: _ } = series;
        let label = *label;
        self.retired.add(role, carried.0.since(behind.0), &carried.1.since(&behind.1));
        self.other_kept.add(role, behind.0, &behind.1);
        self.places[place] = None;
        self.by_label.remove(&label);
    }

    /// What the metrics page shows.
    pub(super) fn published(&self) -> Vec<PeerSeries> {
        let own = self.places.iter().flatten().map(|series| PeerSeries {
            label: series.label,
            counts: series.now.0.since(series.behind.0),
            causes: series.now.1.since(&series.behind.1),
        });
        let sums = [(Scope::Other, &self.other), (Scope::Retired, &self.retired)];
        let sums = sums.into_iter().flat_map(|(scope, sums)| {
            Role::ALL.map(|role| {
                let (counts, causes) = sums.get(role);
                PeerSeries { label: PeerLabel { scope, port: None, role }, counts, causes }
            })
        });
        own.chain(sums).collect()
    }
}

fn add_row((counts, causes): &mut (PeerCounts, CauseCounts), row: &PeerRow) {
    *counts = counts.plus(row.counts);
    if let Some(more) = &row.causes {
        *causes = causes.plus(more);
    }
}
