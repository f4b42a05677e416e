//! Bursts told apart from a drip: many connections of one service that are reset within a second, as when a process dies, is
//! restarted or is deployed anew. Pure: time comes in.
//!
//! A cluster gathers the resets of one service until there is a second without any. If it was dense, its events are told
//! once more, with first and last time and the number of connections. One that goes on for long is no burst but a rate.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use crate::cause::Cause;
use crate::event::{Counted, Event, Told};
use crate::settle::Settled;

/// Connections within [`DENSE`] that are many. At 1,000 requests a second the drip of 0.1 % gives five in a given second once
/// in 270 (Poisson).
const MANY: usize = 5;
/// Within which they are many.
const DENSE: Duration = Duration::from_secs(1);
/// A cluster is over after this long without a reset.
const GAP: Duration = Duration::from_secs(1);
/// What goes on for longer is a rate: processes die and are replaced in less.
const LONGEST: Duration = Duration::from_secs(10);
/// Events remembered to be told once more, in all clusters. Those beyond are counted as connections only.
const ROOM: usize = 4_096;
/// Services with a cluster at a time. One beyond has none; its resets are told as ever.
const SERVICES: usize = 1_024;

/// What is known of a burst when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Burst {
    /// Number in this daemon's life, from 1.
    pub id: u64,
    /// Time of its first event.
    pub first: Timestamp,
    /// Time of its last event.
    pub last: Timestamp,
    /// Connections that ended in it.
    pub connections: u32,
    /// The process at the other end, or ours, probably died or was replaced.
    pub restart: bool,
}

/// What dies as one: a service of a peer, as client; a port of ours with all its peers, as server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Service {
    netns: u32,
    peer: Option<IpAddr>,
    port: u16,
}

/// Resets of one service without a gap.
#[derive(Debug)]
struct Cluster {
    began: Duration,
    latest: Duration,
    first: Timestamp,
    last: Timestamp,
    connections: u32,
    /// Times of the hooks of the last connections, a ring.
    times: [u64; MANY],
    dense: bool,
    restart: bool,
    members: Vec<Arc<Told>>,
}

/// The clusters. One owner, the stages.
#[derive(Debug, Default)]
pub struct Bursts {
    clusters: HashMap<Service, Cluster>,
    /// When to look whether a cluster is over: one entry for each.
    ends: BinaryHeap<Reverse<(Duration, Service)>>,
    /// Events remembered.
    remembered: usize,
    /// Number of the last one.
    last_id: u64,
}

impl Bursts {
    /// Takes what was settled at `now`.
    pub fn observe(&mut self, settled: &Settled, now: Duration) {
        let Settled::Final(told) = settled else { return };
        let Some(service) = service(&told.event) else { return };
        if told.event.kind == Kind::RefusedReceived {
            // Nobody listens there any more, or not yet. That alone is no reset, and makes no cluster longer.
            if let Some(cluster) = self.cluster(service, told, now) {
                cluster.restart = true;
            }
        } else if told.event.counted == Some(Counted::Reset) {
            let has_room = self.remembered < ROOM;
            let Some(cluster) = self.cluster(service, told, now) else { return };
            if cluster.add(told, now, has_room) {
                self.remembered += 1;
            }
        }
    }

    /// When [`Bursts::advance`] has something to do next.
    pub fn deadline(&self) -> Option<Duration> {
        self.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Ends what is over by `now`.
    pub fn advance(&mut self, now: Duration, out: &mut impl FnMut(Settled)) {
        while let Some(Reverse((end, service))) = self.ends.peek().copied()
            && end <= now
        {
            self.ends.pop();
            match self.clusters.get(&service).map(|cluster| cluster.latest.saturating_add(GAP)) {
                Some(end) if end > now => self.ends.push(Reverse((end, service))),
                Some(_) => self.end(service, out),
                None => {}
            }
        }
    }

    /// Ends everything, for the end.
    pub fn finish(&mut self, out: &mut impl FnMut(Settled)) {
        while let Some(Reverse((_, service))) = self.ends.pop() {
            self.end(service, out);
        }
    }

    /// The service's cluster, a new one if there is none and there is room.
    fn cluster(&mut self, service: Service, told: &Told, now: Duration) -> Option<&mut Cluster> {
        if !self.clusters.contains_key(&service) {
            if self.clusters.len() >= SERVICES {
                return None;
            }
            self.ends.push(Reverse((now.saturating_add(GAP), service)));
            self.clusters.insert(service, Cluster::new(told.event.time, now));
        }
        self.clusters.get_mut(&service)
    }

    fn end(&mut self, service: Service, out: &mut impl FnMut(Settled)) {
        let Some(cluster) = self.clusters.remove(&service) else { return };
        let Cluster { began, latest, first, last, connections, times: _, dense, restart, members } = cluster;
        self.remembered -= members.len();
        if !dense || latest.saturating_sub(began) > LONGEST {
            return;
        }
        self.last_id += 1;
        let burst = Burst { id: self.last_id, first, last, connections, restart };
        for mut told in members {
            Arc::make_mut(&mut told).burst = Some(burst);
            out(Settled::InBurst(told));
        }
    }
}

impl Cluster {
    const fn new(first: Timestamp, now: Duration) -> Self {
        Self {
            began: now,
            latest: now,
            first,
            last: first,
            connections: 0,
            times: [0; MANY],
            dense: false,
            restart: false,
            members: Vec::new(),
        }
    }

    /// Whether it was remembered.
    fn add(&mut self, told: &Arc<Told>, now: Duration, has_room: bool) -> bool {
        let event = &told.event;
        if self.connections == 0 {
            (self.first, self.last) = (event.time, event.time);
        }
        self.latest = now;
        self.first = self.first.min(event.time);
        self.last = self.last.max(event.time);
        self.connections = self.connections.saturating_add(1);
        self.times.rotate_left(1);
        self.times[MANY - 1] = event.monotonic_ns;
        // As they came: a held one may be older than the one before, which only makes them closer.
        let [oldest, ..] = self.times;
        let since = Duration::from_nanos(event.monotonic_ns.saturating_sub(oldest));
        self.dense |= self.connections as usize >= MANY && since <= DENSE;
        self.restart |= told
            .verdict
            .is_some_and(|verdict| [Cause::ProcessExit, Cause::ListenerClosed].contains(&verdict.cause));
        if has_room {
            self.members.push(Arc::clone(told));
        }
        has_room
    }
}

/// Whose burst an event could be part of; `None` for what is no reset of a peer.
fn service(event: &Event) -> Option<Service> {
    let role = match event.kind {
        Kind::ResetSent | Kind::ResetReceived => event.role?,
        Kind::RefusedReceived => Role::Client,
        Kind::RefusedSent
        | Kind::StraySent
        | Kind::StrayReceived
        | Kind::IdleCloseSent
        | Kind::IdleCloseReceived
        | Kind::RejectSent
        | Kind::ListenOverflow => return None,
    };
    let (peer, port) = match role {
        Role::Client => (Some(event.remote.ip()), event.remote.port()),
        Role::Server => (None, event.local.port()),
    };
    Some(Service { netns: event.netns, peer, port })
}

#[cfg(test)]
mod tests;
