//! Timeouts to their JSON.

use std::time::Duration;

use monitor_common::peer::Role;

use super::names::scope_name;
use super::seconds_of_ms;
use crate::advice::numbers::{above, below};
use crate::event::role_name;
use crate::publish::Known;
use crate::snapshot::{Scope, Snapshot};
use crate::timeouts::alignment::{Alignment, Verdict};
use crate::timeouts::chain::{Chain, MOST_HOPS};
use crate::timeouts::estimate::Estimate;
use crate::timeouts::{Service, SideFacts, TimeoutRow};
use crate::view::names::NameView;
use crate::view::timeouts::{
    ChainView, ChangeView, HopView, InferredView, SideView, TimeoutView, TimeoutsView,
};

/// At most `limit` rows of these, which are in order already, and as many chains.
pub fn timeouts_view(
    snapshot: &Snapshot,
    rows: &[&TimeoutRow],
    chains: &[Chain<'_>],
    limit: usize,
    known: Known<'_>,
) -> TimeoutsView {
    TimeoutsView {
        time: snapshot.taken.to_string(),
        since: snapshot.started.to_string(),
        matching: rows.len(),
        timeouts: rows.iter().take(limit).map(|row| timeout_view(row, known)).collect(),
        chains: chains.iter().take(limit).map(|chain| chain_view(chain, known)).collect(),
    }
}

fn chain_view(chain: &Chain<'_>, known: Known<'_>) -> ChainView {
    ChainView {
        port: chain.front.service.port,
        netns: chain.front.service.netns,
        verdict: chain.verdict().name().to_owned(),
        is_guess: chain.is_guess(),
        services: chain.behind.len(),
        hops: chain.hops().take(1 + MOST_HOPS).map(|row| hop_view(row, known)).collect(),
    }
}

fn hop_view(row: &TimeoutRow, known: Known<'_>) -> HopView {
    let Alignment { verdict, client, server, margin_ms } = row.alignment;
    HopView {
        peer: row.service.peer.map(|peer| peer.to_string()),
        name: service_name(&row.service, known),
        port: row.service.port,
        verdict: verdict.name().to_owned(),
        margin_seconds: margin_ms.map(seconds_of_ms),
        client_seconds: client.map(|time| time.as_secs_f64()),
        server_seconds: server.map(|time| time.as_secs_f64()),
    }
}

fn timeout_view(row: &TimeoutRow, known: Known<'_>) -> TimeoutView {
    let TimeoutRow { service, cgroup: _, local, peer, alignment, open, read } = row;
    let Alignment { verdict, client, server, margin_ms } = *alignment;
    // One that never gives up would hold on to whatever the server allows.
    let gives_up = match service.role {
        Role::Client => !local.estimates.is_empty(),
        Role::Server => !peer.estimates.is_empty(),
    };
    TimeoutView {
        peer: service.peer.map(|peer| peer.to_string()),
        name: service_name(service, known),
        port: service.port,
        role: role_name(service.role).to_owned(),
        netns: service.netns,
        verdict: verdict.name().to_owned(),
        margin_seconds: margin_ms.map(seconds_of_ms),
        client_seconds: client.map(|time| time.as_secs_f64()),
        server_seconds: server.map(|time| time.as_secs_f64()),
        local: side_view(local, *read),
        remote: side_view(peer, *read),
        open: open.map(|open| open.open),
        idle: open.map(|open| open.idle),
        held_seconds: open.and_then(|open| open.longest()).map(|quiet| quiet.as_secs_f64()),
        change: change(verdict, client.filter(|_| gives_up), server),
    }
}

fn service_name(service: &Service, known: Known<'_>) -> Option<NameView> {
    scope_name(Scope::Address(service.peer?), Some(service.port), service.role, known)
}

fn side_view(facts: &SideFacts, read: Duration) -> SideView {
    let SideFacts { estimates, at_least, moments: _ } = facts;
    let inferred = |estimate: &Estimate| {
        let Estimate { timeout, earliest, latest, samples, first: _, last } = *estimate;
        InferredView {
            seconds: timeout.as_secs_f64(),
            earliest_seconds: earliest.as_secs_f64(),
            latest_seconds: latest.as_secs_f64(),
            samples,
            age_seconds: read.saturating_sub(last).as_secs_f64(),
        }
    };
    SideView {
        timeouts: estimates.iter().map(inferred).collect(),
        at_least_seconds: at_least.map(|time| time.as_secs_f64()),
    }
}

fn change(verdict: Verdict, client: Option<Duration>, server: Option<Duration>) -> Option<ChangeView> {
    match verdict {
        Verdict::Misaligned | Verdict::Tight => Some(ChangeView {
            client_at_most_seconds: server.and_then(below),
            server_at_least_seconds: client.map(above),
        }),
        Verdict::Unknown | Verdict::Aligned => None,
    }
}
