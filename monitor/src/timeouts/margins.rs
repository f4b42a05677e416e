//! How much longer servers wait than clients, for alerts: of every pair, a bounded number at a time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use monitor_common::peer::Role;

use super::alignment::align;
use super::{Service, Sides};
use crate::alerts::PairReading;
use crate::bounded::Bounded;
use crate::snapshot::{PeerLabel, Scope};

/// Pairs looked at in one turn. All 4,096 of them, with as many samples as are kept, would take 43 ms, and nothing else is done meanwhile;
/// these take 5 ms, and on most hosts are all there are.
const AT_ONCE: usize = 512;

/// Margins as they were when they were looked at last.
#[derive(Debug, Default)]
pub(super) struct Margins {
    known: HashMap<Service, i64>,
    turn: u64,
}

impl Margins {
    /// One turn: what is known of all pairs of these, after some have been looked at.
    pub(super) fn turn(&mut self, all: [&mut Bounded<Service, Sides>; 2], now: Duration) -> Vec<PairReading> {
        let [servers, clients] = all;
        let pairs = servers.len() + clients.len();
        let slices = pairs.div_ceil(AT_ONCE).max(1) as u64;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let slice = self.turn % slices;
        self.turn = self.turn.wrapping_add(1);
        self.known.retain(|service, _| match service.role {
            Role::Client => servers.get(service).is_some(),
            Role::Server => clients.get(service).is_some(),
        });
        for (service, sides) in [servers, clients].into_iter().flat_map(Bounded::iter_mut) {
            if hasher.hash_one(service) % slices != slice {
                continue;
            }
            match margin(service.role, sides, now) {
                Some(margin) => self.known.insert(*service, margin),
                None => self.known.remove(service),
            };
        }
        let reading = |(service, &margin_ms): (&Service, &i64)| {
            let Service { netns, peer, port, role } = *service;
            let label = PeerLabel { scope: Scope::Address(peer?), port: Some(port), role };
            Some(PairReading { netns, label, margin_ms })
        };
        self.known.iter().filter_map(reading).collect()
    }
}

fn margin(role: Role, sides: &mut Sides, now: Duration) -> Option<i64> {
    let (client, server) = match role {
        Role::Client => (&mut sides.local, &mut sides.peer),
        Role::Server => (&mut sides.peer, &mut sides.local),
    };
    // Too few closes for a timeout of the server, so it cannot be the one that closes first.
    if !server.may_have_estimates() {
        return None;
    }
    align(&client.facts(now), &server.facts(now), now).margin_ms
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use monitor_common::peer::Side;

    use super::super::{PEERS, Timeouts, take};
    use super::*;

    /// Peers of which each closes after a minute, and this host never.
    fn timeouts(peers: u32) -> Timeouts {
        let mut timeouts = Timeouts::default();
        for number in 0..peers {
            let peer = Some(Ipv4Addr::from_bits(number).into());
            let sides = timeouts.servers.entry(Service { netns: 1, peer, port: 80, role: Role::Client });
            for minute in 0..4 {
                take(sides, Side::Peer, Duration::from_mins(10 + minute), Duration::from_mins(1));
            }
        }
        timeouts
    }

    #[test]
    fn a_few_pairs_are_known_at_once_and_all_pairs_after_some_turns() {
        let now = Duration::from_hours(1);
        let few = timeouts(3).margins(now);
        assert_eq!(few.len(), 3);
        assert!(few.iter().all(|pair| pair.margin_ms < 0), "{few:?}");
        let mut many = timeouts(u32::try_from(PEERS).unwrap());
        let known: Vec<usize> = (0..4).map(|_| many.margins(now).len()).collect();
        assert!(known.is_sorted() && known[0] < 2 * AT_ONCE && known[3] == PEERS, "{known:?}");
        let labels: HashSet<PeerLabel> = many.margins(now).iter().map(|pair| pair.label).collect();
        assert_eq!(labels.len(), PEERS);
    }

    #[test]
    fn a_pair_that_made_room_is_known_no_more() {
        let now = Duration::from_hours(1);
        let mut timeouts = timeouts(1);
        assert_eq!(timeouts.margins(now).len(), 1);
        for port in 0..PEERS {
            let port = u16::try_from(port).unwrap();
            timeouts.servers.entry(Service { netns: 2, peer: None, port, role: Role::Client }).cgroup = None;
        }
        assert_eq!(timeouts.margins(now), []);
    }
}
