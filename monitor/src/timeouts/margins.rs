//! How much longer servers wait than clients, for alerts: of every service that we connect to, and of each port of ours with all its clients
//! together, of which a web server may have thousands. A bounded number at a time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::time::Duration;

use monitor_common::peer::Role;

use super::alignment::{align, current_margin};
use super::{Service, Sides};
use crate::alerts::PairReading;
use crate::bounded::Bounded;

/// Pairs looked at in one turn: with as many samples as are kept, 4,096 of them took 43 ms, in which nothing else is done. On most hosts
/// these are all there are.
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
        let [servers, ports] = all;
        let pairs = servers.len() + ports.len();
        let slices = pairs.div_ceil(AT_ONCE).max(1) as u64;
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let slice = self.turn % slices;
        self.turn = self.turn.wrapping_add(1);
        self.known.retain(|service, _| match service.role {
            Role::Client => servers.get(service).is_some(),
            Role::Server => ports.get(service).is_some(),
        });
        for (service, sides) in [servers, ports].into_iter().flat_map(Bounded::iter_mut) {
            if hasher.hash_one(service) % slices != slice {
                continue;
            }
            match margin(service.role, sides, now) {
                Some(margin) => self.known.insert(*service, margin),
                None => self.known.remove(service),
            };
        }
        let reading =
            |(service, margin_ms): (&Service, &i64)| PairReading { service: *service, margin_ms: *margin_ms };
        self.known.iter().map(reading).collect()
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
    let (client, server) = (client.facts(now), server.facts(now));
    current_margin(&align(&client, &server, now), [&client, &server], now)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::net::Ipv4Addr;

    use monitor_common::peer::Side;

    use super::super::alignment::CURRENT;
    use super::super::{PEERS, TimeoutSeries, Timeouts, take};
    use super::*;
    use crate::selection::{Selection, SeriesKey};
    use crate::snapshot::{PeerLabel, Scope};

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
        let services: HashSet<Service> = many.margins(now).iter().map(|pair| pair.service).collect();
        assert_eq!(services.len(), PEERS);
    }

    #[test]
    fn a_port_of_ours_is_one_pair_with_all_its_clients() {
        let mut timeouts = Timeouts::default();
        let port = Service { netns: 1, peer: None, port: 443, role: Role::Server };
        for client in 0..100 {
            let peer = Some(Ipv4Addr::from_bits(client).into());
            for minute in 0..4 {
                let at = Duration::from_mins(10 + minute);
                take(
                    timeouts.clients.entry(Service { peer, ..port }),
                    Side::Local,
                    at,
                    Duration::from_mins(1),
                );
                take(timeouts.ports.entry(port), Side::Local, at, Duration::from_mins(1));
            }
        }
        let margins = timeouts.margins(Duration::from_hours(1));
        let [PairReading { service, margin_ms }] = margins[..] else { panic!("{margins:?}") };
        assert_eq!(service, port);
        assert!(margin_ms < 0, "{margin_ms}");
    }

    #[test]
    fn a_pair_that_was_not_seen_for_an_hour_has_no_margin() {
        let mut timeouts = timeouts(1);
        let last = Duration::from_mins(13);
        assert_eq!(timeouts.margins(last + CURRENT).len(), 1);
        assert_eq!(timeouts.margins(last + CURRENT + Duration::from_secs(1)), []);
        // Of a server that waits for an hour, three are looked back on.
        let peer = Some(Ipv4Addr::LOCALHOST.into());
        let sides = timeouts.servers.entry(Service { netns: 1, peer, port: 81, role: Role::Client });
        for number in 1..5 {
            take(sides, Side::Peer, Duration::from_hours(1) * number, Duration::from_hours(1));
        }
        assert_eq!(timeouts.margins(Duration::from_hours(7)).len(), 1);
    }

    /// A pod was replaced: what is known of the old one says nothing of the new one.
    #[test]
    fn a_series_is_of_the_namespace_that_was_seen_of_late() {
        let mut timeouts = Timeouts::default();
        let peer = Some(Ipv4Addr::LOCALHOST.into());
        for (netns, idle, from) in [(1, 5, Duration::from_mins(1)), (2, 9, Duration::from_hours(3))] {
            let sides = timeouts.servers.entry(Service { netns, peer, port: 80, role: Role::Client });
            for number in 0..4 {
                let at = from + Duration::from_secs(2) * number;
                take(sides, Side::Peer, at, Duration::from_secs(idle));
            }
        }
        // The older one is the worse one: it was later by more.
        let older = timeouts.servers.entry(Service { netns: 1, peer, port: 80, role: Role::Client });
        older.local.let_pass(Duration::from_mins(2), Duration::from_millis(5_200));
        let scope = Scope::Address(Ipv4Addr::LOCALHOST.into());
        let label = PeerLabel { scope, port: Some(80), role: Role::Client };
        let keys = HashSet::from([SeriesKey { netns: None, label }]);
        let merged = Selection::default();
        let series = timeouts.series(&keys, &merged, Duration::from_hours(3) + CURRENT / 2);
        let [TimeoutSeries { peer, margin_ms, .. }] = series[..] else { panic!("{series:?}") };
        assert_eq!(peer, Some(Duration::from_secs(9)));
        assert!(margin_ms.is_some_and(|margin| margin < 0), "{margin_ms:?}");
        let gone = timeouts.series(&keys, &merged, Duration::from_hours(9));
        assert_eq!(gone[0].margin_ms, None);
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
