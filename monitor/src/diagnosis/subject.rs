//! Whom a diagnosis is about: rows that were asked for, with the events that belong to each.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::net::IpAddr;

use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use super::Host;
use crate::cause::{CAUSES, Cause};
use crate::counts::PeerCounts;
use crate::event::{Event, Told};
use crate::http::filter::PeerFilter;
use crate::http::filter::pattern::PeerPattern;
use crate::snapshot::{CauseCounts, PeerRow, Scope};
use crate::timeouts::Service;

/// One peer, or all peers of a port, with everything that is known of it.
#[derive(Clone, Debug)]
pub struct Subject<'a> {
    /// Who; `None` for all peers of the port.
    pub peer: Option<Scope>,
    /// Service port; `None` for `other` and `retired`.
    pub port: Option<u16>,
    /// Our role.
    pub role: Role,
    /// Namespace; `None` where it spans them all.
    pub netns: Option<u32>,
    /// How many peers.
    pub peers: usize,
    /// Counts.
    pub counts: PeerCounts,
    /// Resets by cause.
    pub causes: CauseCounts,
    /// Refusals that our port sent; 0 for a single peer, since they are counted by port.
    pub refused_sent: u64,
    /// Events that are kept, oldest first.
    pub events: Vec<&'a Told>,
}

impl Subject<'_> {
    /// Whether a timeout is of this. Of all our clients together there is a row by port.
    pub(super) fn has_service(&self, service: &Service) -> bool {
        let Service { netns, peer, port, role } = *service;
        let is_peer = match (self.peer, peer) {
            (None, peer) => peer.is_none() || role == Role::Client,
            (Some(Scope::Address(ours)), Some(peer)) => ours == peer,
            (Some(network @ Scope::Network(..)), Some(peer)) => PeerPattern::of(network).has_address(peer),
            (Some(_), None) | (Some(Scope::Other | Scope::Retired), Some(_)) => false,
        };
        is_peer
            && role == self.role
            && self.port == Some(port)
            && self.netns.is_none_or(|wanted| wanted == netns)
    }
}

/// What was asked for, the worst first, at most `limit`, and how many there are. Without a peer in the filter all peers of the port are
/// one subject per namespace; as server, unless asked otherwise.
pub fn select<'a>(
    filter: &PeerFilter,
    host: &Host<'_>,
    kept: &'a [impl AsRef<Told>],
    limit: usize,
) -> (Vec<Subject<'a>>, usize) {
    let merged = filter.peer.is_none();
    let filter = PeerFilter { role: filter.role.or(merged.then_some(Role::Server)), ..*filter };
    let mut rows = filter.select(host.rows);
    let mut subjects: Vec<Subject<'a>> = Vec::new();
    let found = if merged {
        for row in rows {
            match subjects.iter_mut().find(|subject| subject.netns == row.netns) {
                Some(subject) => add(subject, row),
                None => subjects.push(new(row, merged)),
            }
        }
        None
    } else {
        // A subject is large, and rows may be as many as there are peers.
        let found = rows.len();
        rows.sort_by_key(|row| Reverse(badness(&row.counts, 0)));
        subjects.extend(rows.into_iter().take(limit).map(|row| new(row, merged)));
        Some(found)
    };
    if let (true, true, Some(port)) = (subjects.is_empty(), merged, filter.port) {
        subjects.extend(without_peers(port, &filter, host));
    }
    if merged && filter.role == Some(Role::Server) {
        // Counted for the host, so told once.
        let refused = host.ports.iter().find(|(port, _)| Some(*port) == filter.port);
        if let (Some(first), Some((_, counts))) = (subjects.first_mut(), refused) {
            first.refused_sent = counts.refused_sent;
        }
    }
    subjects.sort_by_key(|subject| Reverse(badness(&subject.counts, subject.refused_sent)));
    let found = found.unwrap_or(subjects.len());
    subjects.truncate(limit);
    let singles = singles(host.rows, &subjects);
    for subject in &mut subjects {
        let events = kept.iter().map(AsRef::as_ref);
        subject.events = events.filter(|told| belongs(subject, &singles, told)).collect();
    }
    (subjects, found)
}

/// Text that commands take for a peer, where it has one.
pub(super) fn typed(scope: Scope) -> Option<String> {
    match scope {
        Scope::Address(_) | Scope::Network(..) => Some(scope.to_string()),
        Scope::Other | Scope::Retired => None,
    }
}

fn new<'a>(row: &PeerRow, merged: bool) -> Subject<'a> {
    let PeerRow { label, netns, counts, causes, open: _ } = row;
    Subject {
        peer: (!merged).then_some(label.scope),
        port: label.port,
        role: label.role,
        netns: *netns,
        peers: 1,
        counts: *counts,
        causes: causes.as_deref().copied().unwrap_or_default(),
        refused_sent: 0,
        events: Vec::new(),
    }
}

fn add(subject: &mut Subject<'_>, row: &PeerRow) {
    subject.peers += 1;
    subject.counts = subject.counts.plus(row.counts);
    if let Some(causes) = &row.causes {
        subject.causes = subject.causes.plus(causes);
    }
}

/// A port that nobody ever got a connection to, but of which something is known.
fn without_peers<'a>(port: u16, filter: &PeerFilter, host: &Host<'_>) -> Option<Subject<'a>> {
    let refused = host.ports.iter().any(|(row, counts)| *row == port && !counts.is_zero());
    let full =
        host.listening.overflows.iter().flat_map(|all| &all.rows).any(|row| row.address.port() == port);
    let open =
        host.listening.sockets.iter().flat_map(|rows| rows.iter()).any(|row| row.address.port() == port);
    let is_known = filter.role == Some(Role::Server) && (refused || full || open);
    is_known.then(|| Subject {
        peer: None,
        port: Some(port),
        role: Role::Server,
        netns: filter.netns,
        peers: 0,
        counts: PeerCounts::default(),
        causes: CauseCounts { sent: [0; CAUSES], received: [0; CAUSES] },
        refused_sent: 0,
        events: Vec::new(),
    })
}

/// Resets that somebody suffered, then all.
fn badness(counts: &PeerCounts, refused_sent: u64) -> (u64, u64) {
    let resets = counts.resets_sent + counts.resets_received;
    (counts.reset, resets + counts.refused_received + refused_sent)
}

/// An address in a network that has a row of its own is not the network's.
type Singles = HashSet<(IpAddr, Option<u16>, Role, Option<u32>)>;

fn singles(rows: &[PeerRow], subjects: &[Subject<'_>]) -> Singles {
    if !subjects.iter().any(|subject| matches!(subject.peer, Some(Scope::Network(..)))) {
        return Singles::new();
    }
    let single = |row: &PeerRow| match row.label.scope {
        Scope::Address(address) => Some((address, row.label.port, row.label.role, row.netns)),
        Scope::Network(..) | Scope::Other | Scope::Retired => None,
    };
    rows.iter().filter_map(single).collect()
}

fn belongs(subject: &Subject<'_>, singles: &Singles, told: &Told) -> bool {
    let Event { kind, netns, local, remote, role, slot, .. } = &told.event;
    let address = remote.ip().to_canonical();
    let ours = match subject.peer {
        None => true,
        Some(Scope::Address(peer)) => peer == address,
        Some(network @ Scope::Network(..)) => {
            PeerPattern::of(network).has_address(address)
                && !singles.contains(&(address, subject.port, subject.role, subject.netns))
        }
        Some(Scope::Other | Scope::Retired) => false,
    };
    if !ours || subject.netns.is_some_and(|wanted| wanted != *netns) {
        return false;
    }
    if slot.is_some() {
        return *role == Some(subject.role) && subject.port == Some(told.event.service_port());
    }
    let met_our_port = subject.role == Role::Server && subject.port == Some(local.port());
    met_our_port
        && match kind {
            Kind::ListenOverflow | Kind::RejectSent => true,
            Kind::RefusedSent => subject.peer.is_none(),
            Kind::StraySent => told.verdict.is_some_and(|verdict| verdict.cause == Cause::ListenOverflow),
            Kind::ResetSent
            | Kind::ResetReceived
            | Kind::RefusedReceived
            | Kind::StrayReceived
            | Kind::IdleCloseSent
            | Kind::IdleCloseReceived => false,
        }
}
