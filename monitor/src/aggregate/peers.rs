//! Which peer each slot is, how long it has been quiet, and when it gives up its place.

use std::collections::HashMap;
use std::time::Duration;

use monitor_common::peer::{PeerKey, Role, SCOPE_ADDRESS, SCOPE_OTHER, SCOPE_V4_NETWORK};

use super::series::{BothRoles, SeriesTable, role_index};
use crate::classify::Cause;
use crate::counts::PeerCounts;
use crate::decode::address;
use crate::event::Direction;
use crate::kernel::truth::{Budgets, SlotReading, key_role};
use crate::snapshot::{CauseCounts, PeerLabel, PeerRow, PeerSeries, Scope};

/// At most this many are retired at a time for want of series; as many follow at the next tick.
const SERIES_BATCH: usize = 16;

/// A slot in use.
#[derive(Debug)]
struct Tenant {
    key: PeerKey,
    label: PeerLabel,
    /// Place in the series table.
    series: Option<usize>,
    /// Its counts at the last reading.
    counts: PeerCounts,
    /// Monotonic time at which they last changed.
    changed: Duration,
    /// Its key is gone; it waits for its last counts.
    leaving: bool,
}

/// Slots in use per budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) client: usize,
    pub(super) server: usize,
    pub(super) refused: usize,
    pub(super) networks: usize,
}

/// Every slot and every series.
#[derive(Debug)]
pub(super) struct Peers {
    budgets: Budgets,
    /// A peer may be retired after this long without any count.
    quiet: Duration,
    tenants: HashMap<u32, Tenant>,
    /// From stories, by slot. Few peers ever have any.
    causes: HashMap<u32, CauseCounts>,
    series: SeriesTable,
    retired: BothRoles,
}

impl Peers {
    pub(super) fn new(budgets: Budgets, published: usize, quiet: Duration) -> Self {
        Self {
            budgets,
            quiet,
            tenants: HashMap::new(),
            causes: HashMap::new(),
            series: SeriesTable::new(published),
            retired: BothRoles::default(),
        }
    }

    pub(super) fn observe(&mut self, slot: u32, direction: Direction, cause: Cause) {
        let causes = self.causes.entry(slot).or_default();
        let counts = match direction {
            Direction::Sent => &mut causes.sent,
            Direction::Received => &mut causes.received,
        };
        counts[cause as usize] += 1;
    }

    /// One reading of all slots: the rows of the API. The series are up to date afterwards.
    pub(super) fn read(&mut self, slots: impl Iterator<Item = SlotReading>, now: Duration) -> Vec<PeerRow> {
        self.series.start();
        let mut rows = Vec::with_capacity(self.tenants.len() + 4);
        let mut unpublished = Vec::new();
        for reading in slots {
            let row = self.row(&reading);
            if reading.key.scope == SCOPE_OTHER {
                self.series.add_other(row.label.role, &row);
            } else {
                let (fresh, series) = self.tenant(&reading, row.label, now);
                match series {
                    Some(place) => self.series.add(place, &row),
                    None => unpublished.push((reading.slot, rows.len(), fresh)),
                }
            }
            rows.push(row);
        }
        self.publish(&rows, unpublished);
        rows.extend(Role::ALL.map(|role| self.retired_row(role)));
        rows
    }

    fn row(&self, reading: &SlotReading) -> PeerRow {
        let stories = self.causes.get(&reading.slot).copied();
        let untold = reading.counts.untold_sent + reading.counts.untold_received > 0;
        let causes = (stories.is_some() || untold)
            .then(|| Box::new(stories.unwrap_or_default().with_untold(&reading.counts)));
        let netns = (reading.key.scope != SCOPE_OTHER).then_some(reading.key.netns);
        PeerRow { label: label(&reading.key), netns, counts: reading.counts, causes }
    }

    fn retired_row(&self, role: Role) -> PeerRow {
        let (counts, causes) = self.retired.get(role);
        let label = PeerLabel { scope: Scope::Retired, port: None, role };
        PeerRow { label, netns: None, counts, causes: Some(Box::new(causes.with_untold(&counts))) }
    }

    /// Notes whose slot it is. Whether it is new, and its place among the series.
    fn tenant(&mut self, reading: &SlotReading, label: PeerLabel, now: Duration) -> (bool, Option<usize>) {
        if let Some(tenant) = self.tenants.get_mut(&reading.slot) {
            if tenant.counts != reading.counts {
                tenant.counts = reading.counts;
                tenant.changed = now;
            }
            return (false, tenant.series);
        }
        let series = self.series.join(&label);
        let tenant =
            Tenant { key: reading.key, label, series, counts: reading.counts, changed: now, leaving: false };
        self.tenants.insert(reading.slot, tenant);
        (true, series)
    }

    /// Gives free series to the busiest peers without any; the rest is `other`.
    fn publish(&mut self, rows: &[PeerRow], mut unpublished: Vec<(u32, usize, bool)>) {
        if self.series.has_room() {
            unpublished.sort_by_key(|&(slot, row, _)| {
                let counts = &rows[row].counts;
                let resets =
                    counts.reset + counts.resets_received + counts.resets_sent + counts.refused_received;
                (std::cmp::Reverse(resets), std::cmp::Reverse(counts.closed + counts.opened), slot)
            });
        }
        // Peers of one label in several namespaces share its series, so labels are admitted first and rows added then.
        for &(_, row, _) in &unpublished {
            if !self.series.has_room() {
                break;
            }
            self.series.admit(&rows[row].label);
        }
        for (slot, row, fresh) in unpublished {
            let row = &rows[row];
            match self.series.join(&row.label) {
                Some(place) => {
                    // What was shown as `other` before stays there.
                    if !fresh {
                        self.series.leave_behind(place, row);
                    }
                    self.series.add(place, row);
                    if let Some(tenant) = self.tenants.get_mut(&slot) {
                        tenant.series = Some(place);
                    }
                }
                None => self.series.add_other(row.label.role, row),
            }
        }
    }

    pub(super) fn series(&self) -> Vec<PeerSeries> {
        self.series.published()
    }

    /// Peers with series of their own.
    pub(super) fn published(&self) -> usize {
        self.series.len()
    }

    pub(super) fn used(&self) -> Used {
        let mut used = Used::default();
        for slot in self.tenants.keys() {
            if self.budgets.client_slots().contains(slot) {
                used.client += 1;
            } else if self.budgets.server_slots().contains(slot) {
                used.server += 1;
            } else if self.budgets.refused_slots().contains(slot) {
                used.refused += 1;
            } else {
                used.networks += 1;
            }
        }
        used
    }

    /// Quiet peers in a budget that is nearly used up, or with series that busier peers want; longest quiet first.
    pub(super) fn retirable(&mut self, now: Duration) -> Vec<(u32, PeerKey)> {
        let used = self.used();
        let budgets = self.budgets;
        let mut wanted = [
            (budgets.client_slots(), excess(used.client, budgets.client)),
            (budgets.server_slots(), excess(used.server, budgets.server)),
            (budgets.refused_slots(), excess(used.refused, budgets.refused)),
            (budgets.network_slots(), excess(used.networks, budgets.networks)),
        ];
        let someone_waits =
            !self.series.has_room() && self.tenants.values().any(|tenant| tenant.series.is_none());
        let mut wanted_series = if someone_waits { SERIES_BATCH } else { 0 };
        if wanted_series == 0 && wanted.iter().all(|(_, count)| *count == 0) {
            return Vec::new();
        }
        let mut quiet: Vec<_> =
            self.tenants.iter_mut().filter(|(_, tenant)| tenant.is_quiet(now, self.quiet)).collect();
        quiet.sort_by_key(|(slot, tenant)| (tenant.changed, **slot));
        let mut leaving = Vec::new();
        for (&slot, tenant) in quiet {
            let budget = wanted.iter_mut().find(|(slots, count)| slots.contains(&slot) && *count > 0);
            if let Some((_, count)) = budget {
                *count -= 1;
            } else if tenant.series.is_some() && wanted_series > 0 {
                wanted_series -= 1;
            } else {
                continue;
            }
            tenant.leaving = true;
            leaving.push((slot, tenant.key));
        }
        leaving
    }

    pub(super) fn retire(&mut self, slot: u32, last: PeerCounts) {
        let Some(tenant) = self.tenants.remove(&slot) else { return };
        let causes = self.causes.remove(&slot).unwrap_or_default();
        self.retired.add(tenant.label.role, last, &causes);
        self.series.retire(tenant.series, tenant.label.role, last, &causes.with_untold(&last));
    }
}

impl Tenant {
    fn is_quiet(&self, now: Duration, quiet: Duration) -> bool {
        !self.leaving && self.counts.open() == 0 && now.saturating_sub(self.changed) >= quiet
    }
}

/// How many slots to free: none below seven eighths of the budget, down to three quarters above.
fn excess(used: usize, budget: u32) -> usize {
    let budget = budget as usize;
    if used > budget - budget / 8 { used - (budget - budget / 4) } else { 0 }
}

/// The labels of a slot's key.
fn label(key: &PeerKey) -> PeerLabel {
    let role = key_role(key);
    let address = address(key.addr);
    let scope = match key.scope {
        SCOPE_ADDRESS => Scope::Address(address),
        SCOPE_OTHER => Scope::Other,
        SCOPE_V4_NETWORK if address.is_ipv4() => Scope::Network(address, key.scope - 96),
        bits => Scope::Network(address, bits),
    };
    let port = (key.scope != SCOPE_OTHER).then_some(key.port);
    debug_assert!(role_index(role) < 2);
    PeerLabel { scope, port, role }
}
