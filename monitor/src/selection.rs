//! Which peers have series of their own on the metrics page, and under which labels; all others are in `other`. Pure.
//!
//! Only `/metrics` goes by it: the kernel counts every peer, the API shows every peer, and alerts look at every peer.

pub mod settings;

use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use monitor_common::peer::{PeerKey, SCOPE_ADDRESS, SCOPE_OTHER, SCOPE_V4_NETWORK};

use crate::decode::address;
use crate::kernel::truth::key_role;
use crate::snapshot::{PeerLabel, Scope};
use crate::timeouts::Service;

/// What tells one series from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SeriesKey {
    /// Inode number of the network namespace; `None` where namespaces are merged.
    pub netns: Option<u32>,
    /// The rest.
    pub label: PeerLabel,
}

/// A network whose peers are told together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Together {
    /// Who.
    pub within: IpNet,
    /// A series for each network of so many bits in it; as many as `within` has for all of it together.
    pub bits: u8,
}

/// A network namespace, as one is named in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// The daemon's own: the host's, if it runs there.
    Own,
    /// By its inode number, as the API and `lsns -t net` tell it.
    Number(u32),
}

/// Who has series. By default everyone, while there is room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only peers in one of these; none for all.
    pub peers: Vec<IpNet>,
    /// And none in one of these.
    pub except_peers: Vec<IpNet>,
    /// Peers in these are told by network; of several, the longest one decides.
    pub networks: Vec<Together>,
    /// Only these service ports; none for all.
    pub ports: Vec<RangeInclusive<u16>>,
    /// And none of these.
    pub except_ports: Vec<RangeInclusive<u16>>,
    /// Only peers in these namespaces; none for all.
    pub namespaces: Vec<Namespace>,
    /// Whether series are told apart by namespace.
    pub namespace_label: bool,
    /// Inode number of the daemon's own namespace, if it is known.
    pub own: Option<u32>,
}

impl Selection {
    /// The series of a slot's peer; `None` for `other`.
    pub fn of_key(&self, key: &PeerKey) -> Option<SeriesKey> {
        let label = label(key);
        self.of(key.netns, label.scope, label)
    }

    /// The same of a service; `None` also for a port as a whole.
    pub fn of_service(&self, service: &Service) -> Option<SeriesKey> {
        let Service { netns, peer, port, role } = *service;
        let scope = Scope::Address(peer?);
        self.of(netns, scope, PeerLabel { scope, port: Some(port), role })
    }

    fn of(&self, netns: u32, scope: Scope, label: PeerLabel) -> Option<SeriesKey> {
        let peer = match scope {
            Scope::Address(address) => IpNet::from(address),
            Scope::Network(address, bits) => IpNet::new(address, bits).ok()?,
            Scope::Other | Scope::Retired => return None,
        };
        let is_in = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&peer));
        let is_of = |ports: &[RangeInclusive<u16>]| {
            label.port.is_some_and(|port| ports.iter().any(|range| range.contains(&port)))
        };
        let is_within = |namespace: &Namespace| match namespace {
            Namespace::Own => self.own == Some(netns),
            Namespace::Number(number) => *number == netns,
        };
        let is_wanted = (self.peers.is_empty() || is_in(&self.peers))
            && !is_in(&self.except_peers)
            && (self.ports.is_empty() || is_of(&self.ports))
            && !is_of(&self.except_ports)
            && (self.namespaces.is_empty() || self.namespaces.iter().any(is_within));
        is_wanted.then(|| SeriesKey {
            netns: self.namespace_label.then_some(netns),
            label: PeerLabel { scope: self.scope(peer).unwrap_or(scope), ..label },
        })
    }

    /// The network that a peer is told with; `None` for a peer of its own, and for a network that is larger already.
    fn scope(&self, peer: IpNet) -> Option<Scope> {
        let together = self.networks.iter().filter(|together| together.within.contains(&peer));
        let Together { within: _, bits } = together.max_by_key(|together| together.within.prefix_len())?;
        let network = IpNet::new(peer.addr(), *bits).ok()?.trunc();
        (peer.prefix_len() > *bits).then(|| Scope::Network(network.addr(), *bits))
    }
}

/// The labels of a slot's key, where nothing is merged.
pub fn label(key: &PeerKey) -> PeerLabel {
    let role = key_role(key);
    let port = (key.scope != SCOPE_OTHER).then_some(key.port);
    PeerLabel { scope: scope(key), port, role }
}

fn scope(key: &PeerKey) -> Scope {
    let address: IpAddr = address(key.addr);
    match key.scope {
        SCOPE_ADDRESS => Scope::Address(address),
        SCOPE_OTHER => Scope::Other,
        SCOPE_V4_NETWORK if address.is_ipv4() => Scope::Network(address, key.scope - 96),
        bits => Scope::Network(address, bits),
    }
}

#[cfg(test)]
mod tests;
