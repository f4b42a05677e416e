//! Which peer each slot is, how long it has been quiet, and when it gives up its place.

mod retiring;
mod stories;
mod tenant;
mod watched;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use monitor_common::peer::{PeerKey, Role, SCOPE_ADDRESS, SCOPE_OTHER};

use self::stories::Stories;
use self::tenant::{Tenant, second};
use super::live::Room;
use super::series::{BothRoles, SeriesTable};
use crate::cause::Cause;
use crate::counts::PeerCounts;
use crate::decode::address;
use crate::event::Direction;
use crate::kernel::truth::{Budgets, SlotReading, key_role};
use crate::live::{Live, Walk};
use crate::selection::{Selection, SeriesKey, label};
use crate::snapshot::{CauseCounts, PeerLabel, PeerRow, PeerSeries, ResetDetails, Scope};
use crate::timeouts::Service;

/// Slots in use per budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) client: usize,
    pub(super) server: usize,
    pub(super) refused: usize,
    pub(super) networks: usize,
}

/// A slot without series, while there are places among the series.
#[derive(Clone, Copy, Debug)]
struct Candidate {
    slot: u32,
    counts: PeerCounts,
    /// It was never shown as `other`.
    fresh: bool,
}

/// Every slot and every series.
#[derive(Debug)]
pub(super) struct Peers {
    budgets: Budgets,
    /// Who may have series.
    selection: Selection,
    /// A peer may be retired after this long without any count.
    quiet: Duration,
    /// By slot number.
    tenants: Vec<Option<Tenant>>,
    used: Used,
    stories: Stories,
    /// What resets of slots were like that are newer than the last reading, by slot: they may get series at the next one.
    newcomers: HashMap<u32, ResetDetails>,
    series: SeriesTable,
    retired: BothRoles,
    /// Exchanges of retired peers that the kernel had not counted.
    retired_ahead: u64,
}

/// What is known of a slot once it was read.
#[derive(Clone, Copy, Debug)]
struct Noted {
    /// It is new.
    fresh: bool,
    /// Its place among the series.
    series: Option<u16>,
    /// It never gets one.
    unselected: bool,
    /// Exchanges that are shown of it: never fewer than before, nor than the kernel has counted.
    exchanges: u64,
}

/// A reset with its final cause.
#[derive(Clone, Copy, Debug)]
pub(super) struct Story {
    /// Its event's number.
    pub(super) id: u64,
    pub(super) direction: Direction,
    pub(super) cause: Cause,
    /// How long its connection had been quiet before, if that is known.
    pub(super) idle: Option<Duration>,
}

/// Sums of one reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// Over all slots, and the retired.
    pub(super) total: PeerCounts,
    /// Exchanges among them that the kernel has not counted: those of open connections.
    pub(super) ahead: u64,
}

impl Peers {
    pub(super) fn new(budgets: Budgets, published: usize, selection: Selection, quiet: Duration) -> Self {
        Self {
            budgets,
            selection,
            quiet,
            tenants: Vec::new(),
            used: Used::default(),
            stories: Stories::default(),
            newcomers: HashMap::new(),
            series: SeriesTable::new(published),
            retired: BothRoles::default(),
            retired_ahead: 0,
        }
    }

    /// A walk begins: what the kernel has counted until now is of connections that it does not find.
    pub(super) fn before_walk(&mut self, slots: impl Iterator<Item = SlotReading>) {
        for SlotReading { slot, key: _, counts } in slots {
            if let Some(tenant) = self.tenants.get_mut(slot as usize).and_then(Option::as_mut) {
                tenant.closed = counts.exchanges;
            }
        }
    }

    /// Takes in what a walk found. Exchanges of a peer are those that were counted when it began, and those of what it found open. What
    /// closed meanwhile is in neither, so they are never too many; and what was published once stays. What is repeated from an earlier walk
    /// may have closed and been counted since.
    pub(super) fn after_walk(&mut self, walk: &Walk) {
        let second = second(walk.began);
        // Of a namespace that is gone no walk tells that its connections are, too.
        let quiet = u32::try_from(self.quiet.as_secs()).unwrap_or(u32::MAX);
        let tenants = self.tenants.iter_mut().flatten();
        for tenant in tenants.filter(|tenant| !walk.repeated.contains(&tenant.key.netns)) {
            let Some(open) = service(&tenant.key).and_then(|service| walk.live.of(&service)) else {
                tenant.walked = tenant.walked.filter(|walked| second.saturating_sub(*walked) < quiet);
                continue;
            };
            tenant.walked = (open.open > 0 || open.exchanges > 0).then_some(second);
            tenant.exchanges = tenant.exchanges.max(tenant.closed.saturating_add(open.exchanges));
        }
    }

    /// There will be none any more.
    pub(super) fn end_walks(&mut self) {
        self.tenants.iter_mut().flatten().for_each(|tenant| tenant.walked = None);
    }

    /// Adds a story to the slot in which the kernel counted, and to the series it belongs to if that is known already.
    pub(super) fn observe(&mut self, slot: u32, story: Story) {
        let Story { id, direction, cause, idle } = story;
        self.stories.observe(slot, direction, cause);
        let one = CauseCounts::one(direction, cause);
        if let Some(role) = self.other_role(slot) {
            self.series.add_other_causes(role, &one);
        } else if let Some(tenant) = self.tenant(slot) {
            match tenant.series {
                Some(place) => {
                    self.series.add_causes(place, &one);
                    if let Some(details) = self.series.details(place) {
                        details.observe(direction, cause, id, idle);
                    }
                }
                None => self.series.add_other_causes(key_role(&tenant.key), &one),
            }
        } else {
            self.newcomers.entry(slot).or_default().observe(direction, cause, id, idle);
        }
    }

    /// Room for a row of each slot, those of `other` and `retired` among them.
    pub(super) fn rows(&self) -> Vec<PeerRow> {
        let Used { client, server, refused, networks } = self.used;
        Vec::with_capacity(client + server + refused + networks + 2 * Role::ALL.len())
    }

    /// One reading of all slots: the sum over them and over the retired, and the API's rows if they are wanted. The series
    /// are up to date afterwards.
    pub(super) fn read(
        &mut self,
        slots: impl Iterator<Item = SlotReading>,
        now: Duration,
        mut rows: Option<&mut Vec<PeerRow>>,
        live: Option<&Live>,
    ) -> Sums {
        self.series.start();
        let room = Role::ALL.map(|role| (role, self.series.has_room(role)));
        let has_room = |role| room.iter().any(|(of, has_room)| *of == role && *has_room);
        let mut total = PeerCounts::default();
        let mut ahead = self.retired_ahead;
        let mut candidates = Vec::new();
        for mut reading in slots {
            let SlotReading { slot, key, counts: PeerCounts { exchanges: counted, .. } } = reading;
            let noted = (key.scope != SCOPE_OTHER).then(|| self.note(&reading, now));
            if let Some(noted) = &noted {
                reading.counts.exchanges = noted.exchanges;
            }
            let counts = reading.counts;
            ahead += counts.exchanges - counted;
            total = total.plus(counts);
            if key.scope == SCOPE_OTHER {
                self.series.add_other(key_role(&key), counts);
            } else if let Some(Noted { fresh, series, unselected, exchanges: _ }) = noted {
                match series {
                    Some(place) => self.series.add(place, counts),
                    None if !unselected && has_room(key_role(&key)) => {
                        candidates.push(Candidate { slot, counts, fresh });
                    }
                    None => self.unpublished(slot, &key, counts, fresh),
                }
            }
            if let Some(rows) = rows.as_deref_mut() {
                rows.push(self.row(&reading, live));
            }
        }
        self.publish(candidates);
        self.settle_newcomers();
        if let (Some(rows), Some(live)) = (rows.as_deref_mut(), live) {
            rest_is_other(rows, live);
        }
        for role in Role::ALL {
            let (counts, _) = self.retired.get(role);
            total = total.plus(counts);
            if let Some(rows) = rows.as_deref_mut() {
                rows.push(self.retired_row(role));
            }
        }
        Sums { total, ahead }
    }

    /// Notes whose slot it is, and whether it did anything.
    fn note(&mut self, reading: &SlotReading, now: Duration) -> Noted {
        let SlotReading { slot, key, counts } = *reading;
        let place = slot as usize;
        if place >= self.tenants.len() {
            self.tenants.resize_with(place + 1, || None);
        }
        let second = second(now);
        let (activity, open) = (counts.activity(), counts.open() > 0);
        if let Some(tenant) = &mut self.tenants[place] {
            if tenant.activity != activity {
                tenant.activity = activity;
                tenant.changed = second;
                tenant.open = open;
            }
            tenant.exchanges = tenant.exchanges.max(counts.exchanges);
            let Tenant { series, unselected, exchanges, .. } = *tenant;
            return Noted { fresh: false, series, unselected, exchanges };
        }
        let selected = self.selection.of_key(&key);
        let unselected = selected.is_none();
        // Another peer of the same labels may have series already.
        let series = selected.and_then(|selected| self.series.join(&selected));
        if let Some(series) = series {
            self.series.add_causes(series, &self.causes(slot));
        }
        // A walk that is under way may have found connections of it that are counted by now, so nothing is known of before.
        let (changed, closed, exchanges) = (second, 0, counts.exchanges);
        let (walked, leaving) = (None, false);
        let tenant =
            Tenant { key, activity, changed, unselected, series, open, walked, closed, exchanges, leaving };
        self.tenants[place] = Some(tenant);
        *self.used_of(slot) += 1;
        Noted { fresh: true, series, unselected, exchanges }
    }

    /// Counts of a slot that is part of `other`.
    fn unpublished(&mut self, slot: u32, key: &PeerKey, counts: PeerCounts, fresh: bool) {
        let role = key_role(key);
        self.series.add_other(role, counts);
        if fresh {
            let causes = self.causes(slot);
            self.series.add_other_causes(role, &causes);
        }
    }

    /// Gives free series to the busiest peers without any; the rest is `other`.
    fn publish(&mut self, mut candidates: Vec<Candidate>) {
        candidates.sort_by_key(|Candidate { slot, counts, fresh: _ }| {
            let resets = counts.reset + counts.resets_received + counts.resets_sent + counts.refused_received;
            (std::cmp::Reverse((resets, counts.closed + counts.opened)), *slot)
        });
        // Several peers may share series, so labels are admitted first and slots join then.
        for candidate in &candidates {
            let Some(tenant) = self.tenant(candidate.slot) else { continue };
            if self.series.has_room(key_role(&tenant.key))
                && let Some(selected) = self.selection.of_key(&tenant.key)
            {
                self.series.admit(selected);
            }
        }
        for Candidate { slot, counts, fresh } in candidates {
            let Some(key) = self.tenant(slot).map(|tenant| tenant.key) else { continue };
            let selected = self.selection.of_key(&key);
            let Some(place) = selected.and_then(|selected| self.series.join(&selected)) else {
                self.unpublished(slot, &key, counts, fresh);
                continue;
            };
            let causes = self.causes(slot);
            self.series.add(place, counts);
            self.series.add_causes(place, &causes);
            if !fresh {
                // What was shown as `other` before stays there.
                self.series.leave_behind(place, key_role(&key), counts, &causes);
            }
            if let Some(tenant) = self.tenants.get_mut(slot as usize).and_then(Option::as_mut) {
                tenant.series = Some(place);
            }
        }
    }

    /// Those that got no series now are part of `other`, of which no details are told.
    fn settle_newcomers(&mut self) {
        for (slot, newcomer) in std::mem::take(&mut self.newcomers) {
            let place = self.tenant(slot).and_then(|tenant| tenant.series);
            if let Some(details) = place.and_then(|place| self.series.details(place)) {
                details.join(&newcomer);
            }
        }
    }

    pub(super) fn series(&self) -> Vec<PeerSeries> {
        self.series.published()
    }

    /// Series of peers whose namespace was walked: what they have not open is 0. `false` where there may be more than is known.
    pub(super) fn walked(&self, live: &Live) -> BTreeMap<SeriesKey, bool> {
        let mut walked = BTreeMap::new();
        for tenant in self.tenants.iter().flatten().filter(|tenant| tenant.series.is_some()) {
            let Some(service) = service(&tenant.key) else { continue };
            if live.has_walked(service.netns)
                && let Some(selected) = self.selection.of_key(&tenant.key)
            {
                *walked.entry(selected).or_insert(true) &= live.of(&service).is_some();
            }
        }
        walked
    }

    /// How many more may have series of their own.
    pub(super) fn room(&self) -> Room {
        self.series.room()
    }

    /// Who may have series.
    pub(super) const fn selection(&self) -> &Selection {
        &self.selection
    }

    /// Peers with series of their own.
    pub(super) fn published(&self) -> usize {
        self.series.len()
    }

    pub(super) const fn used(&self) -> Used {
        self.used
    }

    /// Told resets of a slot by cause.
    fn causes(&self, slot: u32) -> CauseCounts {
        self.stories.of(slot).unwrap_or_default()
    }

    fn row(&self, reading: &SlotReading, live: Option<&Live>) -> PeerRow {
        let SlotReading { slot, key, counts } = *reading;
        let causes = self.stories.with_untold(slot, &counts).map(Box::new);
        let netns = (key.scope != SCOPE_OTHER).then_some(key.netns);
        let open = live.zip(service(&key)).and_then(|(live, service)| live.of(&service));
        PeerRow { label: label(&key), netns, counts, causes, open }
    }

    fn retired_row(&self, role: Role) -> PeerRow {
        let (counts, causes) = self.retired.get(role);
        let label = PeerLabel { scope: Scope::Retired, port: None, role };
        PeerRow {
            label,
            netns: None,
            counts,
            causes: Some(Box::new(causes.with_untold(&counts))),
            open: None,
        }
    }

    fn tenant(&self, slot: u32) -> Option<&Tenant> {
        self.tenants.get(slot as usize)?.as_ref()
    }

    /// The role of the kernel's own `other` slots.
    const fn other_role(&self, slot: u32) -> Option<Role> {
        match slot.checked_sub(self.budgets.other_slot()) {
            Some(0) => Some(Role::Client),
            Some(1) => Some(Role::Server),
            Some(_) | None => None,
        }
    }

    fn used_of(&mut self, slot: u32) -> &mut usize {
        if self.budgets.client_slots().contains(&slot) {
            &mut self.used.client
        } else if self.budgets.server_slots().contains(&slot) {
            &mut self.used.server
        } else if self.budgets.refused_slots().contains(&slot) {
            &mut self.used.refused
        } else {
            &mut self.used.networks
        }
    }
}

/// The service of a single peer's key.
fn service(key: &PeerKey) -> Option<Service> {
    (key.scope == SCOPE_ADDRESS).then(|| Service {
        netns: key.netns,
        peer: Some(address(key.addr)),
        port: key.port,
        role: key_role(key),
    })
}

/// What is open and in no row of a single peer belongs to `other`, where there are networks, too. Unknown where nothing was walked.
fn rest_is_other(rows: &mut [PeerRow], live: &Live) {
    if live.namespaces().len() == 0 {
        return;
    }
    for role in Role::ALL {
        let mut rest = live.total(role);
        for open in rows.iter().filter(|row| row.label.role == role).filter_map(|row| row.open) {
            rest.open = rest.open.saturating_sub(open.open);
            rest.idle = rest.idle.saturating_sub(open.idle);
        }
        let is_other = |row: &&mut PeerRow| row.label.role == role && row.label.scope == Scope::Other;
        if let Some(other) = rows.iter_mut().find(is_other) {
            other.open = Some(rest);
        }
    }
}
