//! A node in the middle: its clients, itself, and the servers behind it. In each hop the client must give up first.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::rc::Rc;

use monitor_common::peer::Role;

use super::TimeoutRow;
use super::alignment::Verdict;

/// Hops of a chain that are shown: the worst.
pub const MOST_HOPS: usize = 20;

/// The cgroup of processes that nobody has put into one: the root of the hierarchy (`cgroup_id` of `cgrp_dfl_root`, 5.10 to 7.2). Hosts
/// without the second version of cgroups have all of theirs there.
const ROOT: u64 = 1;

/// A port of ours, and what its own side connects to: sockets of the same cgroup in the same network namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain<'a> {
    /// From all clients to us.
    pub front: &'a TimeoutRow,
    /// From us to each service behind us, the worst first.
    pub behind: Rc<[&'a TimeoutRow]>,
}

impl Chain<'_> {
    /// A chain is as safe as its worst hop.
    pub fn verdict(&self) -> Verdict {
        self.hops().map(|row| row.alignment.verdict).min().unwrap_or(Verdict::Unknown)
    }

    /// From front to back, all of them.
    pub fn hops(&self) -> impl Iterator<Item = &TimeoutRow> {
        std::iter::once(self.front).chain(self.behind.iter().copied())
    }

    /// Nothing tells the services of this host apart, so what is behind the port may be behind another.
    pub fn is_guess(&self) -> bool {
        self.front.cgroup == Some(ROOT)
    }
}

/// The chains among these rows, the worst first, and of equal ones those with the smaller port.
pub fn chains(rows: &[TimeoutRow]) -> Vec<Chain<'_>> {
    let mut behind = HashMap::<(u32, u64), Vec<&TimeoutRow>>::new();
    for row in rows.iter().filter(|row| row.service.role == Role::Client) {
        if let Some(cgroup) = row.cgroup {
            behind.entry((row.service.netns, cgroup)).or_default().push(row);
        }
    }
    for services in behind.values_mut() {
        services.sort_by_key(|row| (row.badness(), row.service));
    }
    let behind: HashMap<_, Rc<[_]>> =
        behind.into_iter().map(|(of, services)| (of, services.into())).collect();
    let fronts = rows.iter().filter(|row| row.service.peer.is_none());
    let mut chains: Vec<_> = fronts
        .filter_map(|front| {
            let services = behind.get(&(front.service.netns, front.cgroup?))?;
            Some(Chain { front, behind: Rc::clone(services) })
        })
        .collect();
    chains.sort_by_cached_key(|chain| {
        (chain.verdict(), chain.is_guess(), Reverse(chain.behind.len()), chain.front.service)
    });
    chains
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;
    use std::time::Duration;

    use super::*;
    use crate::timeouts::alignment::Alignment;
    use crate::timeouts::{Service, SideFacts};

    fn row(peer: Option<&str>, port: u16, cgroup: Option<u64>, verdict: Verdict) -> TimeoutRow {
        let role = if peer.is_some() { Role::Client } else { Role::Server };
        let peer = peer.map(|peer| peer.parse::<IpAddr>().unwrap());
        TimeoutRow {
            service: Service { netns: 1, peer, port, role },
            cgroup,
            local: SideFacts::default(),
            peer: SideFacts::default(),
            alignment: Alignment { verdict, client: None, server: None, margin_ms: None },
            open: None,
            read: Duration::ZERO,
        }
    }

    fn told(rows: &[TimeoutRow]) -> Vec<(u16, Verdict, Vec<u16>)> {
        let ports = |chain: &Chain<'_>| chain.hops().skip(1).map(|row| row.service.port).collect();
        chains(rows).iter().map(|chain| (chain.front.service.port, chain.verdict(), ports(chain))).collect()
    }

    #[test]
    fn a_port_and_what_is_behind_it_are_joined_by_their_cgroup() {
        let rows = [
            row(None, 8080, Some(7), Verdict::Aligned),
            row(Some("10.0.0.5"), 9000, Some(7), Verdict::Aligned),
            row(Some("10.0.0.6"), 9001, Some(7), Verdict::Misaligned),
            row(Some("10.0.0.7"), 9002, Some(8), Verdict::Misaligned),
            row(Some("10.0.0.8"), 9003, None, Verdict::Misaligned),
            row(None, 8081, Some(9), Verdict::Misaligned),
            row(None, 8082, None, Verdict::Misaligned),
            row(None, 8083, Some(8), Verdict::Tight),
        ];
        assert_eq!(
            told(&rows),
            [(8080, Verdict::Misaligned, vec![9001, 9000]), (8083, Verdict::Misaligned, vec![9002])]
        );
    }

    #[test]
    fn another_namespace_is_another_chain_and_the_worst_service_comes_first() {
        let mut elsewhere = row(Some("10.0.0.5"), 9000, Some(7), Verdict::Misaligned);
        elsewhere.service.netns = 2;
        let mut rows = vec![row(None, 8080, Some(7), Verdict::Aligned), elsewhere];
        assert_eq!(told(&rows), []);
        rows.extend((1..=30).map(|port| row(Some("10.0.0.5"), port, Some(7), Verdict::Aligned)));
        rows.push(row(Some("10.0.0.5"), 99, Some(7), Verdict::Tight));
        let [chain] = &chains(&rows)[..] else { panic!("one chain") };
        assert_eq!((chain.behind.len(), chain.verdict(), chain.is_guess()), (31, Verdict::Tight, false));
        assert_eq!(chain.behind[0].service.port, 99);
    }

    #[test]
    fn of_hosts_without_cgroups_it_is_a_guess() {
        let rows = [8080, 9000]
            .map(|port| row(Some("10.0.0.5").filter(|_| port == 9000), port, Some(1), Verdict::Tight));
        assert!(chains(&rows)[0].is_guess());
    }
}
