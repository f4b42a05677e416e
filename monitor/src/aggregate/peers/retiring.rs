//! Who gives up its place, for whom.

use std::time::Duration;

use monitor_common::peer::{PeerKey, Role};

use super::tenant::Tenant;
use super::{Peers, key_role};
use crate::counts::PeerCounts;

/// At most this many are retired at a time for want of series; as many follow at the next tick.
const SERIES_BATCH: usize = 16;

impl Peers {
    /// Quiet peers in a budget that is nearly used up, or with series that busier peers want; longest quiet first.
    pub(in crate::aggregate) fn retirable(&mut self, now: Duration) -> Vec<(u32, PeerKey)> {
        let Self { budgets, quiet, tenants, used, series, .. } = self;
        let mut wanted = [
            (budgets.client_slots(), excess(used.client, budgets.client)),
            (budgets.server_slots(), excess(used.server, budgets.server)),
            (budgets.refused_slots(), excess(used.refused, budgets.refused)),
            (budgets.network_slots(), excess(used.networks, budgets.networks)),
        ];
        let waits = |role| {
            let waiting = |tenant: &Tenant| {
                tenant.series.is_none() && !tenant.unselected && key_role(&tenant.key) == role
            };
            !series.has_room(role) && tenants.iter().flatten().any(waiting)
        };
        let [client_waits, server_waits] = [Role::Client, Role::Server].map(waits);
        let mut wanted_series = if client_waits || server_waits { SERIES_BATCH } else { 0 };
        // Where those that connect to us have their half, only one of them can make room for another.
        let helps = |role| client_waits || role == Role::Server || !series.is_half_servers();
        if wanted_series == 0 && wanted.iter().all(|(_, count)| *count == 0) {
            return Vec::new();
        }
        let mut candidates: Vec<(u32, &mut Tenant)> = (0..)
            .zip(tenants.iter_mut())
            .filter_map(|(slot, tenant)| Some((slot, tenant.as_mut()?)))
            .filter(|(_, tenant)| tenant.is_quiet(now, *quiet))
            .collect();
        candidates.sort_by_key(|(slot, tenant)| (tenant.changed, *slot));
        let mut leaving = Vec::new();
        for (slot, tenant) in candidates {
            let budget = wanted.iter_mut().find(|(slots, count)| slots.contains(&slot) && *count > 0);
            if let Some((_, count)) = budget {
                *count -= 1;
            } else if tenant.series.is_some() && wanted_series > 0 && helps(key_role(&tenant.key)) {
                wanted_series -= 1;
            } else {
                continue;
            }
            tenant.leaving = true;
            leaving.push((slot, tenant.key));
        }
        leaving
    }

    pub(in crate::aggregate) fn retire(&mut self, slot: u32, mut last: PeerCounts) {
        let Some(tenant) = self.tenants.get_mut(slot as usize).and_then(Option::take) else { return };
        *self.used_of(slot) -= 1;
        let counted = last.exchanges;
        last.exchanges = counted.max(tenant.exchanges);
        self.retired_ahead += last.exchanges - counted;
        let role = key_role(&tenant.key);
        let causes = self.causes(slot);
        self.stories.forget(slot);
        self.retired.add(role, last, &causes);
        self.series.retire(tenant.series, role, last);
    }
}

/// How many slots to free: none below seven eighths of the budget, down to three quarters above.
const fn excess(used: usize, budget: u32) -> usize {
    let budget = budget as usize;
    if used > budget - budget / 8 { used - (budget - budget / 4) } else { 0 }
}
