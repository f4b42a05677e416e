//! How long each side keeps a quiet connection, inferred from what it closed: no reset is needed. Pure: time comes in.
//!
//! A timer closes after the same quiet again and again, people and processes that end close after any. So a timeout is where the closes
//! of several moments lie close together (`estimate`); what closes in one moment, as a process that ends does with all it has, is one
//! moment only (`samples`). Who gives up first decides whether a pair is safe (`alignment`), and a host in the middle has pairs on both
//! sides (`chain`).

pub mod alignment;
pub mod chain;
pub mod estimate;
mod held;
mod margins;
mod samples;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use monitor_common::counters::Kind;
use monitor_common::peer::{Role, Side};

use self::alignment::{Alignment, Verdict, align, current_margin};
use self::estimate::Estimate;
use self::margins::Margins;
use self::samples::Samples;
use crate::alerts::PairReading;
use crate::bounded::Bounded;
use crate::cause::Cause;
use crate::event::{Event, Told};
use crate::live::{Open, Walk};
use crate::selection::{Selection, SeriesKey};
use crate::snapshot::PeerLabel;

/// Services of peers that we connect to, and as many peers that connect to us. The one that was first noticed longest ago makes room.
const PEERS: usize = 2_048;
/// Ports of ours, each with all its clients together.
const PORTS: usize = 256;
/// Rows at most.
pub const MOST_ROWS: usize = 2 * PEERS + PORTS;

/// What a timeout is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Service {
    /// Network namespace, its inode number.
    pub netns: u32,
    /// The other end; `None` for all clients of a port of ours.
    pub peer: Option<IpAddr>,
    /// Service port.
    pub port: u16,
    /// Our role.
    pub role: Role,
}

/// In two pieces instead of one for each field and variant: a walk looks up fifty thousand.
impl Hash for Service {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { netns, peer, port, role } = *self;
        let (kind, bits) = match peer {
            None => (0, 0),
            Some(IpAddr::V4(address)) => (4, u128::from(address.to_bits())),
            Some(IpAddr::V6(address)) => (6, address.to_bits()),
        };
        state.write_u128(bits);
        state.write_u64(u64::from(netns) << 32 | u64::from(port) << 16 | u64::from(role as u8) << 8 | kind);
    }
}

impl Service {
    fn of(event: &Event) -> Option<Self> {
        let peer = Some(event.remote.ip().to_canonical());
        Some(Self { netns: event.netns, peer, port: event.service_port(), role: event.role? })
    }

    /// The port as a whole, of ours.
    pub fn whole_port(self) -> Option<Self> {
        (self.role == Role::Server).then_some(Self { peer: None, ..self })
    }
}

/// What is known of one side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SideFacts {
    /// Its timeouts, the densest first: more than one where several pools or settings are behind one address.
    pub estimates: Vec<Estimate>,
    /// A quiet that it let pass, the longest of late: the other side closed first, or the connection is still open.
    pub at_least: Option<Duration>,
    /// When it closed quiet connections, monotonic, oldest first.
    pub moments: Vec<Duration>,
}

/// Both sides of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeoutRow {
    /// Of whom.
    pub service: Service,
    /// Of our sockets, the last one's that was seen.
    pub cgroup: Option<u64>,
    /// This host's.
    pub local: SideFacts,
    /// The peer's.
    pub peer: SideFacts,
    /// Who gives up first, and by how much.
    pub alignment: Alignment,
    /// What is open; `None` where that is not looked at.
    pub open: Option<Open>,
    /// When it was read, monotonic: ages count from here.
    pub read: Duration,
}

impl TimeoutRow {
    /// Of connections that are open, where nobody has closed any.
    fn of_open(service: Service, open: Open, at: Duration, now: Duration) -> Self {
        let mut side = Samples::default();
        if let Some(several) = open.third() {
            side.hold(at, several, open.longest().unwrap_or(several));
        }
        let facts = side.facts(now);
        let alignment = align(&facts, &facts, now);
        Self {
            service,
            cgroup: None,
            local: facts.clone(),
            peer: facts,
            alignment,
            open: Some(open),
            read: now,
        }
    }

    /// The smaller, the worse. Where nobody has closed anything comes last.
    pub fn badness(&self) -> (bool, Verdict, i64) {
        let has_closed = [&self.local, &self.peer].iter().any(|side| !side.moments.is_empty());
        (!has_closed, self.alignment.verdict, self.alignment.margin_ms.unwrap_or(i64::MIN))
    }
}

/// A peer's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeoutSeries {
    /// Namespace; `None` where namespaces are merged.
    pub netns: Option<u32>,
    /// The labels.
    pub label: PeerLabel,
    /// This host's timeout, the one that was seen most often.
    pub local: Option<Duration>,
    /// The peer's, likewise.
    pub peer: Option<Duration>,
    /// The server's less the client's, in milliseconds; `None` also when neither has closed a quiet connection of late.
    pub margin_ms: Option<i64>,
}

/// Both sides of one service, as they come.
#[derive(Debug, Default)]
struct Sides {
    local: Samples,
    peer: Samples,
    cgroup: Option<u64>,
}

/// What is known of all services. One owner, the aggregation.
#[derive(Debug)]
pub struct Timeouts {
    servers: Bounded<Service, Sides>,
    clients: Bounded<Service, Sides>,
    ports: Bounded<Service, Sides>,
    /// Open connections as of the last walk, of peers and of ports of ours.
    live: Option<(Arc<Walk>, HashMap<Service, Open>)>,
    margins: Margins,
}

impl Default for Timeouts {
    fn default() -> Self {
        let [servers, clients] = [PEERS; 2].map(Bounded::of_at_most);
        Self { servers, clients, ports: Bounded::of_at_most(PORTS), live: None, margins: Margins::default() }
    }
}

impl Timeouts {
    /// Takes in an event with its final verdict.
    pub fn observe(&mut self, told: &Told) {
        let event = &told.event;
        let Some((by, idle)) = ended_by(told) else { return };
        let Some(service) = Service::of(event) else { return };
        let at = Duration::from_nanos(event.monotonic_ns);
        let known = match service.role {
            Role::Client => &mut self.servers,
            Role::Server => &mut self.clients,
        };
        let port = service.whole_port().map(|port| self.ports.entry(port));
        for sides in [Some(known.entry(service)), port].into_iter().flatten() {
            take(sides, by, at, idle);
            sides.cgroup = event.cgroup_id.or(sides.cgroup);
        }
    }

    /// Takes in what is open: of idle connections, both sides have let their quiet pass. It makes no row: what is merely open pushes
    /// nothing out that was learned.
    pub fn hold(&mut self, walk: &Arc<Walk>) {
        let live = &walk.live;
        let whole = live.ports();
        let Self { servers, clients, ports, live: _, margins: _ } = self;
        for (service, open) in live.services() {
            let known = match service.role {
                Role::Client => servers.get_mut(service),
                Role::Server => clients.get_mut(service),
            };
            hold(known, open, walk.at);
        }
        for (service, open) in &whole {
            hold(ports.get_mut(service), open, walk.at);
        }
        self.live = Some((Arc::clone(walk), whole));
    }

    /// Everything that is known `now`, in no order, and while there is room, what is open and nothing else is known of.
    pub fn rows(&mut self, now: Duration) -> Vec<TimeoutRow> {
        let mut rows = self.rows_of(|_| true, now);
        let Self { servers, clients, ports, live, margins: _ } = self;
        if let Some((walk, whole)) = live {
            let is_new = |service: &Service| {
                let known = match (service.peer, service.role) {
                    (None, _) => ports.get(service),
                    (Some(_), Role::Client) => servers.get(service),
                    (Some(_), Role::Server) => clients.get(service),
                };
                known.is_none()
            };
            let open = walk.live.services().chain(whole.iter());
            let open = open.filter(|(service, open)| open.idle > 0 && is_new(service));
            let room = MOST_ROWS.saturating_sub(rows.len());
            rows.extend(
                open.take(room).map(|(service, open)| TimeoutRow::of_open(*service, *open, walk.at, now)),
            );
        }
        rows
    }

    /// What is known of these: of several peers that share series, the one that is aligned worst.
    pub fn series(
        &mut self,
        keys: &HashSet<SeriesKey>,
        selection: &Selection,
        now: Duration,
    ) -> Vec<TimeoutSeries> {
        let key = |service: &Service| selection.of_service(service).filter(|key| keys.contains(key));
        let margin_of = |row: &TimeoutRow| current_margin(&row.alignment, [&row.local, &row.peer], now);
        let mut worst = BTreeMap::<SeriesKey, TimeoutRow>::new();
        for row in self.rows_of(|service| key(service).is_some(), now) {
            let Some(key) = key(&row.service) else { continue };
            // Of a namespace that is gone only while there is no other.
            let rank = |row: &TimeoutRow| (margin_of(row).is_none(), row.badness());
            if worst.get(&key).is_none_or(|known| rank(&row) < rank(known)) {
                worst.insert(key, row);
            }
        }
        let first = |facts: &SideFacts| facts.estimates.first().map(|estimate| estimate.timeout);
        let series = worst.into_iter().map(|(SeriesKey { netns, label }, row)| TimeoutSeries {
            netns,
            label,
            local: first(&row.local),
            peer: first(&row.peer),
            margin_ms: margin_of(&row),
        });
        series.collect()
    }

    /// How much longer servers wait than clients, of every service and every port of ours of which both are known; of very many, as of a few
    /// turns ago.
    pub fn margins(&mut self, now: Duration) -> Vec<PairReading> {
        let Self { servers, clients: _, ports, live: _, margins } = self;
        margins.turn([servers, ports], now)
    }

    fn rows_of(&mut self, is_wanted: impl Fn(&Service) -> bool, now: Duration) -> Vec<TimeoutRow> {
        let Self { servers, clients, ports, live, margins: _ } = self;
        let open = |service: &Service| {
            let (walk, ports) = live.as_ref()?;
            match service.peer {
                Some(_) => walk.live.of(service),
                None => ports.get(service).copied().or_else(|| walk.live.of(service)),
            }
        };
        let all = [servers, clients, ports].into_iter().flat_map(Bounded::iter_mut);
        let rows = all.filter(|(service, _)| is_wanted(service)).map(|(service, sides)| {
            let (local, peer) = (sides.local.facts(now), sides.peer.facts(now));
            let alignment = match service.role {
                Role::Client => align(&local, &peer, now),
                Role::Server => align(&peer, &local, now),
            };
            TimeoutRow {
                service: *service,
                cgroup: sides.cgroup,
                local,
                peer,
                alignment,
                open: open(service),
                read: now,
            }
        });
        rows.collect()
    }
}

/// Both sides have let the quiet of open connections pass.
fn hold(known: Option<&mut Sides>, open: &Open, at: Duration) {
    if let (Some(Sides { local, peer, cgroup: _ }), Some(several)) = (known, open.third()) {
        let longest = open.longest().unwrap_or(several);
        for side in [local, peer] {
            side.hold(at, several, longest);
        }
    }
}

/// One side closed after so much quiet; the other one had let that pass.
fn take(sides: &mut Sides, by: Side, at: Duration, idle: Duration) {
    let (closer, other) = match by {
        Side::Local => (&mut sides.local, &mut sides.peer),
        Side::Peer => (&mut sides.peer, &mut sides.local),
    };
    closer.closed(at, idle);
    other.let_pass(at, idle);
}

/// Who ended a quiet connection that nothing else ended, and after how much quiet. A process that ends is no timer.
fn ended_by(told: &Told) -> Option<(Side, Duration)> {
    let Told { event, verdict, .. } = told;
    let idle = event.idle?.time;
    let exits = event.owner.as_ref().is_some_and(|owner| owner.exiting);
    let cause = verdict.map(|verdict| verdict.cause);
    match event.kind {
        Kind::IdleCloseSent if !exits => Some((Side::Local, idle)),
        Kind::IdleCloseReceived => Some((Side::Peer, idle)),
        Kind::ResetReceived if cause == Some(Cause::IdleAbort) => Some((Side::Peer, idle)),
        Kind::ResetSent if cause == Some(Cause::IdleAbort) => Some((Side::Local, idle)),
        Kind::IdleCloseSent
        | Kind::ResetReceived
        | Kind::ResetSent
        | Kind::RefusedSent
        | Kind::RefusedReceived
        | Kind::StraySent
        | Kind::StrayReceived
        | Kind::RejectSent
        | Kind::ListenOverflow => None,
    }
}

#[cfg(test)]
mod tests;
