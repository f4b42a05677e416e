//! What a peer has done before, as far as it tells one verdict from another: a bounded memory of services. Pure.
//!
//! A reset alone does not say whether its TTL is the peer's usual one, nor whether the peer closes connections that have been
//! idle for just so long. Events before it, and those that come while its verdict waits, do.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::time::Duration;

use monitor_common::counters::Kind;
use monitor_common::peer::{Role, Side};

use crate::bounded::Bounded;
use crate::event::{Event, IdleCloses};
use crate::idle::is_provoked;

/// Services remembered of each role, about 150 bytes each; the one that was first noticed longest ago makes room. By role, so that who
/// connects to us cannot push out what we depend on.
const SERVICES: usize = 2_048;
/// Idle closes remembered for each: the last ones, since settings change.
const CLOSES: usize = 8;
/// So many idle closes make a habit.
const HABIT: u32 = 2;
/// A close for idleness comes at most so much after the timer's time: timers tick, some once a second.
const LATE: Duration = Duration::from_secs(1);
/// A request that met it may have been sent a little before.
const EARLY: Duration = Duration::from_millis(100);

/// A service of a peer that we connect to, or a peer that connects to a port of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Service {
    netns: u32,
    peer: IpAddr,
    port: u16,
    is_client: bool,
}

/// Of one service.
#[derive(Debug, Default)]
struct Known {
    /// How long connections had been idle when the peer closed them, a ring.
    closes: VecDeque<Duration>,
    /// TTL of a reset that was the peer's own for sure: it had said goodbye, and answered what came after.
    own_ttl: Option<u8>,
}

/// What is known beside the event itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// TTL of the peer's own resets.
    pub own_ttl: Option<u8>,
    /// The peer closes connections that have been idle for as long as this one was.
    pub idle_closes: Option<IdleCloses>,
}

/// The memory. One owner, the settling.
#[derive(Debug)]
pub struct Past {
    /// Those that we connect to.
    servers: Bounded<Service, Known>,
    /// Those that connect to us.
    clients: Bounded<Service, Known>,
}

impl Default for Past {
    fn default() -> Self {
        let [servers, clients] = [SERVICES; 2].map(Bounded::of_at_most);
        Self { servers, clients }
    }
}

impl Past {
    /// Takes in an event, as it comes.
    pub fn observe(&mut self, event: &Event) {
        let peers_fin = event.fin.as_ref().is_some_and(|fin| fin.by == Side::Peer);
        let idle = event.idle.filter(|_| event.kind == Kind::IdleCloseReceived && peers_fin);
        let ttl = event.segment.as_ref().map(|segment| segment.ttl);
        let own_ttl = ttl.filter(|_| event.kind == Kind::ResetReceived && peers_fin && is_provoked(event));
        if idle.is_none() && own_ttl.is_none() {
            return;
        }
        let Some(known) = service(event).map(|service| self.known(service)) else { return };
        if let Some(idle) = idle {
            if known.closes.len() == CLOSES {
                known.closes.pop_front();
            }
            known.closes.push_back(idle.time);
        }
        known.own_ttl = own_ttl.or(known.own_ttl);
    }

    /// What helps to judge an event.
    pub fn hints(&self, event: &Event) -> Hints {
        let Some(known) = service(event).and_then(|service| {
            let known = if service.is_client { &self.servers } else { &self.clients };
            known.get(&service)
        }) else {
            return Hints::default();
        };
        let idle_closes = event.idle.and_then(|idle| {
            let like = |close: &&Duration| idle.time + EARLY >= **close && idle.time <= **close + LATE;
            let mut closes = known.closes.iter().filter(like);
            let first = *closes.next()?;
            let (least, most, count) = closes.fold((first, first, 1), |(least, most, count), close| {
                (least.min(*close), most.max(*close), count + 1)
            });
            (count >= HABIT).then_some(IdleCloses { count, least, most })
        });
        Hints { own_ttl: known.own_ttl, idle_closes }
    }

    fn known(&mut self, service: Service) -> &mut Known {
        let known = if service.is_client { &mut self.servers } else { &mut self.clients };
        known.entry(service)
    }
}

fn service(event: &Event) -> Option<Service> {
    let is_client = event.role? == Role::Client;
    Some(Service { netns: event.netns, peer: event.remote.ip(), port: event.service_port(), is_client })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Fin, Segment, SocketFacts};
    use crate::idle::{Basis, Idle};

    const S: Duration = Duration::from_secs(1);

    fn of(kind: Kind, idle: Duration) -> Event {
        Event {
            role: Some(Role::Client),
            remote: "10.0.0.2:80".parse().unwrap(),
            idle: Some(Idle { time: idle, basis: Basis::BeforeFin, at_least: false }),
            fin: Some(Fin { by: Side::Peer, quiet: None }),
            ..Event::of_kind(kind)
        }
    }

    fn after(closes: &[Duration]) -> Past {
        let mut past = Past::default();
        for idle in closes {
            past.observe(&of(Kind::IdleCloseReceived, *idle));
        }
        past
    }

    fn habit(past: &Past, idle: Duration) -> Option<(u32, Duration, Duration)> {
        let hints = past.hints(&of(Kind::ResetReceived, idle));
        hints.idle_closes.map(|IdleCloses { count, least, most }| (count, least, most))
    }

    #[test]
    fn two_closes_after_the_same_quiet_are_a_habit_and_others_are_not_counted() {
        let tick = Duration::from_millis(40);
        let past = after(&[60 * S, 5 * S, 60 * S + tick]);
        assert_eq!(habit(&past, 60 * S), Some((2, 60 * S, 60 * S + tick)));
        assert_eq!(habit(&past, 60 * S + 900 * tick / 40), Some((2, 60 * S, 60 * S + tick)));
        assert_eq!(habit(&past, 5 * S), None, "once is no habit");
        assert_eq!(habit(&past, 90 * S), None, "by then the peer would have said goodbye");
        assert_eq!(habit(&past, 30 * S), None);
        let mut other = of(Kind::ResetReceived, 60 * S);
        other.remote.set_port(81);
        assert_eq!(past.hints(&other), Hints::default());
    }

    #[test]
    fn our_own_closes_are_no_habit_of_the_peer() {
        let mut past = Past::default();
        let ours =
            Event { fin: Some(Fin { by: Side::Local, quiet: None }), ..of(Kind::IdleCloseSent, 60 * S) };
        (0..5).for_each(|_| past.observe(&ours));
        assert_eq!(habit(&past, 60 * S), None);
        assert_eq!((past.servers.values().count(), past.clients.values().count()), (0, 0));
    }

    #[test]
    fn a_reset_for_a_late_request_shows_the_peers_own_ttl() {
        let mut past = Past::default();
        let mut late = of(Kind::ResetReceived, 60 * S);
        late.segment = Some(Segment { flags: 4, bytes: 0, ttl: 57, ifindex: 1, sequence_distance: None });
        past.observe(&late);
        assert_eq!(past.hints(&late).own_ttl, None, "nothing drew it");
        late.socket = Some(SocketFacts {
            data_segments_in: 1,
            data_segments_out: 2,
            bytes_in: None,
            bytes_out: None,
            srtt_us: None,
            sent_age: Duration::ZERO,
            received_age: 60 * S,
            ack_age: None,
            unread_bytes: None,
            unacked_bytes: Some(80),
            probes: None,
            linger_zero: None,
            shutdown: None,
        });
        past.observe(&late);
        assert_eq!(past.hints(&late).own_ttl, Some(57));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_goes_first() {
        let mut past = Past::default();
        let of_port = |port| {
            let mut close = of(Kind::IdleCloseReceived, 60 * S);
            close.remote.set_port(port);
            close
        };
        let last = u16::try_from(SERVICES).unwrap() + 10;
        for port in 1..=last {
            (0..3 * CLOSES).for_each(|_| past.observe(&of_port(port)));
        }
        assert_eq!((past.servers.values().count(), past.clients.values().count()), (SERVICES, 0));
        assert!(past.servers.values().all(|known| known.closes.len() <= CLOSES));
        assert_eq!(past.hints(&of_port(10)), Hints::default());
        assert!(past.hints(&of_port(11)).idle_closes.is_some());
        // However many clients do the same.
        for port in 1..=last {
            let mut close = of_port(80);
            close.role = Some(Role::Server);
            close.remote = format!("10.0.{}.{}:80", port >> 8, port & 0xff).parse().unwrap();
            past.observe(&close);
        }
        assert_eq!((past.servers.values().count(), past.clients.values().count()), (SERVICES, SERVICES));
        assert!(past.hints(&of_port(11)).idle_closes.is_some());
    }
}
