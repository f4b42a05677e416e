//! Counts and stories to a snapshot: which peer a slot is, which series it belongs to, and who gives up its place.
//!
//! Pure: no I/O, no clock, no locks. Time comes in as monotonic durations. Three rules hold at every snapshot, whatever
//! came before: sums over peers equal the totals, no published number goes down, and a peer that has series of its
//! own keeps them until it is retired.

mod challenges;
mod coverage;
mod growing;
mod idle;
mod listeners;
mod listening;
mod live;
mod overflows;
mod peers;
mod ports;
mod series;
mod stages;
mod unattributed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use monitor_common::counters::{KINDS, Kind};
use monitor_common::peer::PeerKey;

use self::coverage::Coverage;
use self::idle::IdleTimes;
use self::listening::Listening;
use self::live::OpenPeers;
use self::peers::{Peers, Story, Sums};
pub use self::ports::PortTable;
use crate::alerts::{PairReading, PeerReading};
use crate::counts::{PeerCounts, PortCounts, Stories};
use crate::event::{Direction, Told};
use crate::kernel::truth::{Budgets, SlotReading, TotalsReading};

use crate::kernel::listening::ListeningReading;
use crate::kernel::sock_diag::MOST_SOCKETS;
use crate::live::{MOST_SERVICES, Walk};
use crate::owners::Fullness;
use crate::selection::{Selection, SeriesKey};
use crate::snapshot::hooked::Hooked;
use crate::snapshot::{self, Fill, NamespaceRow, ProgramRow, Snapshot, WalkRow};
use crate::story::Account;
use crate::timeouts::Timeouts;

/// Limits of what is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Slots in the kernel.
    pub budgets: Budgets,
    /// Peers with series of their own on the metrics page.
    pub published_peers: usize,
    /// How long a peer without open connections must be quiet before it may be retired.
    pub quiet: Duration,
    /// Entries of the closed memory.
    pub closed_memory: u32,
    /// Bytes of the ring.
    pub ring_bytes: u32,
}

/// What one reading of the kernel's maps gave, besides slots and ports.
#[derive(Clone, Debug)]
pub struct Rest {
    /// Wall-clock time of the reading.
    pub taken: jiff::Timestamp,
    /// Wall-clock time of the start.
    pub started: jiff::Timestamp,
    /// Since the start.
    pub uptime: Duration,
    /// Sums over CPUs.
    pub totals: TotalsReading,
    /// Ours against the kernel's.
    pub namespaces: Vec<NamespaceRow>,
    /// The programs.
    pub programs: Vec<ProgramRow>,
    /// Listeners, and tables that fill up.
    pub listening: ListeningReading,
    /// What function hooks count on this kernel.
    pub hooked: Hooked,
}

/// State of the pipeline that outlives one event.
#[derive(Debug)]
pub struct Aggregator {
    limits: Limits,
    peers: Peers,
    ports: PortTable,
    idle: IdleTimes,
    coverage: Coverage,
    listening: Listening,
    timeouts: Timeouts,
    /// What was open, as of the last walk.
    walk: Option<Arc<Walk>>,
    open_peers: OpenPeers,
    reasons: BTreeMap<(Direction, Arc<str>), u64>,
    decoded: [u64; KINDS],
    undecodable: u64,
}

impl Aggregator {
    /// Empty.
    pub fn new(limits: Limits, selection: Selection) -> Self {
        Self {
            limits,
            peers: Peers::new(limits.budgets, limits.published_peers, selection, limits.quiet),
            ports: PortTable::default(),
            idle: IdleTimes::default(),
            coverage: Coverage::default(),
            listening: Listening::default(),
            timeouts: Timeouts::default(),
            walk: None,
            open_peers: OpenPeers::default(),
            reasons: BTreeMap::new(),
            decoded: [0; KINDS],
            undecodable: 0,
        }
    }

    /// Takes in that a story was decoded.
    pub fn observe(&mut self, account: &Account) {
        let Account { kind, reason } = account;
        self.decoded[*kind as usize] += 1;
        if let Some(reason) = reason {
            *self.reasons.entry((Direction::of(*kind), Arc::clone(reason))).or_default() += 1;
        }
    }

    /// Takes in one final verdict.
    pub fn judge(&mut self, told: &Told) {
        self.timeouts.observe(told);
        let Told { id, event, verdict, burst: _ } = told;
        let Some(verdict) = verdict else { return };
        let cause = verdict.cause;
        self.idle.observe(event, cause);
        match (event.kind, event.slot) {
            (Kind::ResetSent | Kind::ResetReceived, Some(slot)) => {
                let (direction, idle) = (Direction::of(event.kind), event.idle.map(|idle| idle.time));
                self.peers.observe(slot, Story { id: *id, direction, cause, idle });
            }
            // Refusals, strays and rejections are no resets of a peer; they have counters of their own.
            (Kind::ResetSent | Kind::ResetReceived, None)
            | (
                Kind::RefusedSent
                | Kind::RefusedReceived
                | Kind::StraySent
                | Kind::StrayReceived
                | Kind::IdleCloseSent
                | Kind::IdleCloseReceived
                | Kind::RejectSent
                | Kind::ListenOverflow,
                _,
            ) => {}
        }
    }

    /// Takes in a record that was not understood.
    pub const fn observe_undecodable(&mut self) {
        self.undecodable += 1;
    }

    /// A walk over open connections begins, with the counts of this moment.
    pub fn before_walk(&mut self, slots: impl Iterator<Item = SlotReading>) {
        self.peers.before_walk(slots);
    }

    /// Takes in what it found.
    pub fn after_walk(&mut self, walk: Walk) {
        let walk = Arc::new(walk);
        self.peers.after_walk(&walk);
        self.timeouts.hold(&walk);
        self.walk = Some(walk);
        self.open_peers.renew();
    }

    /// There will be none any more, so what is open is not known.
    pub fn end_walks(&mut self) {
        self.peers.end_walks();
        self.timeouts.hold(&Arc::default());
        self.walk = None;
        self.open_peers = OpenPeers::default();
    }

    /// One reading of everything becomes what readers see. `now` is monotonic; `with_peers` makes the rows of all peers, and of
    /// their timeouts.
    pub fn snapshot(
        &mut self,
        slots: impl Iterator<Item = SlotReading>,
        ports: impl Iterator<Item = (u16, PortCounts)>,
        now: Duration,
        rest: Rest,
        with_peers: bool,
    ) -> Snapshot {
        let Rest { taken, started, uptime, totals, mut namespaces, programs, listening, hooked } = rest;
        let mut peers = with_peers.then(|| self.peers.rows());
        let live = self.walk.as_ref().map(|walk| &walk.live);
        let Sums { total, ahead } = self.peers.read(slots, now, peers.as_mut(), live);
        let mut kernel_total = totals.peers;
        kernel_total.exchanges += ahead;
        let timeouts = with_peers.then(|| self.timeouts.rows(now));
        let series = self.peers.series();
        let keys =
            series.iter().map(|series| SeriesKey { netns: series.netns, label: series.label }).collect();
        let open_series = live
            .map(|live| {
                let Self { open_peers, peers, .. } = self;
                open_peers.series(live, peers.selection(), || peers.walked(live), peers.room())
            })
            .unwrap_or_default();
        let timeout_series = self.timeouts.series(&keys, self.peers.selection(), now);
        let port_rows: Vec<_> = ports.collect();
        let ports = self.ports.read(&port_rows);
        let ports_total = port_rows.iter().map(|(_, counts)| *counts).sum();
        let unattributed = unattributed::resets(&namespaces).unwrap_or(0);
        let unattributed_overflows = unattributed::overflows(&listening.namespaces);
        unattributed::join_overflows(&mut namespaces, &listening.namespaces);
        let listening = self.listening.read(&listening);
        let fills = self.fills(namespaces.len(), &listening);
        Snapshot {
            taken,
            started,
            uptime_seconds: uptime.as_secs_f64(),
            read_seconds: 0.0,
            peers,
            timeouts,
            series,
            timeout_series,
            open_series,
            walk: self.walk.as_deref().map(|walk| WalkRow::of(walk, now)),
            port_rows,
            ports,
            total,
            kernel_total,
            ports_total,
            unattributed_overflows,
            namespaces,
            unattributed,
            hooked,
            stories: self.stories(totals.stories),
            reasons: self
                .reasons
                .iter()
                .map(|((way, name), count)| (*way, Arc::clone(name), *count))
                .collect(),
            idle: self.idle.rows(),
            closed_memory_seconds: self.coverage.read(now, totals.memories, self.limits.closed_memory.into()),
            fills,
            owners: Fullness::default(),
            over_budget: totals.over_budget,
            failed_reads: totals.failed_reads,
            programs,
            listening,
        }
    }

    /// Every slot as alerts look at it, as of the last snapshot.
    pub fn watched<'a>(
        &'a self,
        slots: impl Iterator<Item = SlotReading> + 'a,
    ) -> impl Iterator<Item = PeerReading> + 'a {
        slots.map(|reading| self.peers.watched(&reading))
    }

    /// Every pair of which both timeouts are known, likewise.
    pub fn pairs(&mut self, now: Duration) -> Vec<PairReading> {
        self.timeouts.margins(now)
    }

    /// Slots whose peers may be retired now: for the pipeline to unlink, and to hand back to [`Aggregator::retire`]
    /// with their final counts once no program can add any more.
    pub fn retirable(&mut self, now: Duration) -> Vec<(u32, PeerKey)> {
        self.peers.retirable(now)
    }

    /// Moves a slot's final counts to `retired`.
    pub fn retire(&mut self, slot: u32, last: PeerCounts) {
        self.peers.retire(slot, last);
    }

    fn stories(&self, mut stories: Stories) -> Stories {
        for (account, decoded) in stories.kinds.iter_mut().zip(self.decoded) {
            account.decoded = decoded;
        }
        stories.undecodable = self.undecodable;
        stories
    }

    fn fills(&self, namespaces: usize, listening: &snapshot::listening::Listening) -> Vec<Fill> {
        let Limits { budgets, published_peers, quiet: _, closed_memory, ring_bytes } = self.limits;
        let used = self.peers.used();
        let fill = |name, used: Option<usize>, capacity: u64| Fill {
            name,
            used: used.and_then(|used| u64::try_from(used).ok()),
            capacity,
        };
        vec![
            fill("client_peers", Some(used.client), budgets.client.into()),
            fill("server_peers", Some(used.server), budgets.server.into()),
            fill("refused_peers", Some(used.refused), budgets.refused.into()),
            fill("networks", Some(used.networks), budgets.networks.into()),
            fill("published_peers", Some(self.peers.published()), published_peers as u64),
            fill("namespaces", Some(namespaces), monitor_common::counters::NAMESPACES.into()),
            fill("listening_sockets", listening.found(), MOST_SOCKETS as u64),
            fill(
                "overflowed_listeners",
                listening.overflows.as_ref().map(|overflows| overflows.rows.len()),
                monitor_common::counters::LISTENERS.into(),
            ),
            fill("open_services", self.walk.as_ref().map(|walk| walk.live.len()), MOST_SERVICES as u64),
            fill("closed_memory", None, closed_memory.into()),
            fill("ring_bytes", None, ring_bytes.into()),
        ]
    }
}

#[cfg(test)]
mod tests;
