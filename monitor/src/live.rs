//! Open connections, as one walk over the kernel's sockets finds them: with whom, how long quiet, how busy. Pure: sockets and time come in.
//!
//! A walk hands each connection to [`Live`] once, which keeps sums and no connection.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use monitor_common::peer::Role;

use crate::idle::IDLE;
use crate::timeouts::Service;

/// Services with sums of their own: 2 MB of them. Connections of others are counted by role.
pub const MOST_SERVICES: usize = 16_384;
/// So many of the longest quiets are kept: as many as make a timeout untrue, which is `CONTRADICTIONS` in `timeouts/samples.rs`. The two
/// must be equal.
pub const LONGEST: usize = 3;

/// An open connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Our end; v4-mapped addresses as IPv4.
    pub local: SocketAddr,
    /// The other end, likewise.
    pub remote: SocketAddr,
    /// The peer has not sent its FIN, nor have we.
    pub established: bool,
    /// Since data last came or went, in milliseconds; without any, since it was established.
    pub quiet_ms: u32,
    /// Request and response turns, estimated as at a close: the smaller number of data segments of the two directions.
    pub exchanges: u32,
    /// Whose data was the last.
    pub last_word: LastWord,
    /// Our role, where the socket's own numbers tell.
    pub caller: Option<Role>,
}

/// Who spoke last on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastWord {
    /// One of both has not said anything yet.
    Nobody,
    /// We did.
    Local,
    /// The peer did.
    Peer,
    /// Both did, in the same millisecond.
    Both,
}

impl Connection {
    /// Whether it is between two exchanges: the server has answered, and waits for the next request. Only then do keep-alive timers run; a
    /// request that is long under way is quiet, too.
    fn is_kept(&self, role: Role) -> bool {
        match self.last_word {
            LastWord::Nobody => false,
            LastWord::Local => role == Role::Server,
            LastWord::Peer => role == Role::Client,
            LastWord::Both => true,
        }
    }
}

/// Where a namespace's listeners are, for telling who accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listeners(Vec<(u16, IpAddr)>);

impl Listeners {
    /// From their addresses.
    pub fn of(addresses: impl Iterator<Item = SocketAddr>) -> Self {
        let mut places: Vec<_> = addresses.map(|address| (address.port(), address.ip())).collect();
        places.sort_unstable();
        places.dedup();
        Self(places)
    }

    /// Whether a connection with this address of ours would be accepted by one of them.
    fn has(&self, local: SocketAddr) -> bool {
        let from = self.0.partition_point(|(port, _)| *port < local.port());
        let there = self.0.iter().skip(from).take_while(|(port, _)| *port == local.port());
        there.into_iter().any(|(_, ip)| ip.is_unspecified() || *ip == local.ip())
    }
}

/// Sums over the open connections of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Open {
    /// Established connections.
    pub open: u64,
    /// Those of them that have been quiet for [`IDLE`] or longer.
    pub idle: u64,
    /// Exchanges of all of them so far, and of those that the peer has closed and we have not.
    pub exchanges: u64,
    /// The longest quiets between two exchanges in milliseconds, the longest first; 0 for none.
    longest_ms: [u32; LONGEST],
}

impl Open {
    /// The longest quiet of one that is idle between two exchanges.
    pub fn longest(&self) -> Option<Duration> {
        self.longest_ms.first().copied().and_then(quiet)
    }

    /// The third-longest: three were quiet for so long at least.
    pub fn third(&self) -> Option<Duration> {
        self.longest_ms.last().copied().and_then(quiet)
    }

    fn add(&mut self, role: Role, connection: &Connection) {
        self.exchanges += u64::from(connection.exchanges);
        // After the peer's FIN nobody holds it any more: it waits for our close.
        if !connection.established {
            return;
        }
        self.open += 1;
        if u128::from(connection.quiet_ms) >= IDLE.as_millis() {
            self.idle += 1;
            if connection.is_kept(role) {
                self.take(connection.quiet_ms);
            }
        }
    }

    /// Adds another service's.
    pub fn join(&mut self, other: &Self) {
        let Self { open, idle, exchanges, longest_ms } = *other;
        self.open += open;
        self.idle += idle;
        self.exchanges += exchanges;
        for quiet_ms in longest_ms {
            self.take(quiet_ms);
        }
    }

    fn take(&mut self, mut quiet_ms: u32) {
        for longest in &mut self.longest_ms {
            if quiet_ms > *longest {
                std::mem::swap(longest, &mut quiet_ms);
            }
        }
    }
}

fn quiet(milliseconds: u32) -> Option<Duration> {
    (milliseconds != 0).then(|| Duration::from_millis(milliseconds.into()))
}

/// All open connections of the namespaces that were walked. Cheap to clone: namespaces are shared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Live {
    namespaces: BTreeMap<u32, Arc<Part>>,
}

/// Those of one namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Part {
    services: HashMap<Service, Open>,
    /// Connections of services beyond [`MOST_SERVICES`], by role.
    beyond: [Open; 2],
}

impl Part {
    /// Adds a connection. `room` is how many services may have sums of their own here.
    fn add(&mut self, netns: u32, room: usize, listeners: &Listeners, connection: &Connection) {
        let role = role(listeners, connection);
        let port = match role {
            Role::Client => connection.remote.port(),
            Role::Server => connection.local.port(),
        };
        let service = Service { netns, peer: Some(connection.remote.ip()), port, role };
        let full = self.services.len() >= room;
        match self.services.get_mut(&service) {
            Some(open) => open.add(role, connection),
            None if full => self.beyond[place(role)].add(role, connection),
            None => self.services.entry(service).or_default().add(role, connection),
        }
    }

    /// Whether every service of a role has sums of its own.
    fn is_whole(&self, role: Role) -> bool {
        self.beyond[place(role)] == Open::default()
    }
}

impl Live {
    /// A namespace was walked, whether it had connections or not.
    pub fn walk(&mut self, netns: u32) {
        self.namespaces.entry(netns).or_default();
    }

    /// Whether a namespace was walked.
    pub fn has_walked(&self, netns: u32) -> bool {
        self.namespaces.contains_key(&netns)
    }

    /// Walks a namespace: `dump` hands on its connections, one by one. Of a dump that fails nothing is kept, since a part of a sum
    /// cannot be told from the sum.
    pub fn take_in<E>(
        &mut self,
        netns: u32,
        listeners: &Listeners,
        dump: impl FnOnce(&mut dyn FnMut(&Connection)) -> Result<(), E>,
    ) -> Result<(), E> {
        self.namespaces.remove(&netns);
        let room = MOST_SERVICES.saturating_sub(self.len());
        let mut part = Part::default();
        dump(&mut |connection| part.add(netns, room, listeners, connection))?;
        self.namespaces.insert(netns, Arc::new(part));
        Ok(())
    }

    /// Adds a connection of a namespace.
    pub fn add(&mut self, netns: u32, listeners: &Listeners, connection: &Connection) {
        let len = self.len();
        let part = Arc::make_mut(self.namespaces.entry(netns).or_default());
        let room = MOST_SERVICES.saturating_sub(len - part.services.len());
        part.add(netns, room, listeners, connection);
    }

    /// The same without a namespace.
    #[must_use]
    pub fn without(mut self, netns: Option<u32>) -> Self {
        netns.and_then(|netns| self.namespaces.remove(&netns));
        self
    }

    /// Services with their sums, in no order.
    pub fn services(&self) -> impl Iterator<Item = (&Service, &Open)> {
        self.namespaces.values().flat_map(|part| &part.services)
    }

    /// Ports of ours, each with all its clients that have sums of their own.
    pub fn ports(&self) -> HashMap<Service, Open> {
        let mut ports = HashMap::<Service, Open>::new();
        for (service, open) in self.services() {
            if let Some(port) = service.whole_port() {
                ports.entry(port).or_default().join(open);
            }
        }
        ports
    }

    /// What a service has open; `None` where that is not known.
    pub fn of(&self, service: &Service) -> Option<Open> {
        let part = self.namespaces.get(&service.netns)?;
        let absent = || part.is_whole(service.role).then(Open::default);
        part.services.get(service).copied().or_else(absent)
    }

    /// Whether every service of a role that was found has sums of its own.
    pub fn is_whole(&self, role: Role) -> bool {
        self.namespaces.values().all(|part| part.is_whole(role))
    }

    /// Everything of a role.
    pub fn total(&self, role: Role) -> Open {
        let mut total = Open::default();
        for part in self.namespaces.values() {
            total.join(&part.beyond[place(role)]);
        }
        for (_, open) in self.services().filter(|(service, _)| service.role == role) {
            total.join(open);
        }
        total
    }

    /// Services with sums of their own.
    pub fn len(&self) -> usize {
        self.namespaces.values().map(|part| part.services.len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers of the namespaces that were walked.
    pub fn namespaces(&self) -> impl ExactSizeIterator<Item = u32> {
        self.namespaces.keys().copied()
    }
}

/// A finished walk, and what it took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Walk {
    /// What is open.
    pub live: Live,
    /// All of it was so at this time or later, monotonic: when the walk began, or the earlier one that it repeats in part.
    pub at: Duration,
    /// When it began, monotonic.
    pub began: Duration,
    /// From its beginning to its end.
    pub took: Duration,
    /// CPU time of that, the kernel's included.
    pub cpu: Duration,
    /// Namespaces whose sums are those of an earlier walk.
    pub repeated: BTreeSet<u32>,
    /// Namespaces that were to be walked and are not among the sums: they may not be entered, or reading them failed.
    pub left_out: usize,
}

const fn place(role: Role) -> usize {
    match role {
        Role::Client => 0,
        Role::Server => 1,
    }
}

/// A listener at our address accepted it. Without one, as when it was closed since, the socket's numbers tell; and while they do not,
/// we called: most of those that are left do.
fn role(listeners: &Listeners, connection: &Connection) -> Role {
    if listeners.has(connection.local) { Role::Server } else { connection.caller.unwrap_or(Role::Client) }
}

#[cfg(test)]
mod tests;
