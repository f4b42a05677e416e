//! Pods by uid, and names by address. Pure.
//!
//! Several objects may claim an address: a service and its endpoints, pods in the network of their node. What is not clear from the
//! port has no name, rather than a wrong one.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use monitor_common::peer::Role;

use super::{Fullness, Kind, Name, Pod, Workload};

/// Addresses with names, at most: each takes some 300 bytes.
const ADDRESSES: usize = 50_000;
/// Claims to all addresses, and to one of them: whoever may write services may claim any address, as often as he likes.
const CLAIMS: usize = 100_000;
const CLAIMS_EACH: usize = 64;
/// Objects that claim something.
const OBJECTS: usize = 50_000;
/// Pods of this node; a kubelet runs 110 of them by default.
const PODS: usize = 5_000;
/// Pods that are gone, and addresses that nobody has any more, whose names are kept: resets come when pods go.
const FORMER: usize = 2_000;

/// An object of the cluster: its kind, and its namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// `NAMESPACE/NAME`.
    pub path: Arc<str>,
}

/// That an address is an object's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Namespace of the cluster.
    pub namespace: Arc<str>,
    /// Service.
    pub service: Option<Arc<str>>,
    /// Pod.
    pub pod: Option<Arc<str>>,
    /// What that is a part of.
    pub workload: Option<Workload>,
    /// The ports it has this address for.
    pub ports: Arc<[u16]>,
    /// The address is nobody else's, whatever the port: a cluster IP, or that of a pod in a network of its own.
    pub whole: bool,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Index {
    pods: HashMap<Arc<str>, Arc<Pod>>,
    former_pods: VecDeque<(Arc<str>, Arc<Pod>)>,
    claims: HashMap<IpAddr, Claims>,
    former_addresses: VecDeque<IpAddr>,
    /// How many claims there are, former ones aside.
    claimed: usize,
    /// What each object claims, and the uid if it is a pod.
    objects: HashMap<Object, Held>,
    /// Kinds that are being listed, with what was there before and was not in the list yet.
    listing: HashMap<Kind, HashSet<Object>>,
    listed: HashSet<Kind>,
    failing: HashSet<Kind>,
    left_out: u64,
}

#[derive(Debug, Default)]
struct Held {
    addresses: Vec<IpAddr>,
    uid: Option<Arc<str>>,
}

#[derive(Debug)]
enum Claims {
    Now(Vec<(Object, Claim)>),
    /// Those of the last object that had it.
    Former(Vec<(Object, Claim)>),
}

impl Claims {
    fn all(&self) -> &[(Object, Claim)] {
        match self {
            Self::Now(claims) | Self::Former(claims) => claims,
        }
    }
}

impl Index {
    /// A whole list of a kind follows. What was known stays until it ends.
    pub fn begin(&mut self, kind: Kind) {
        let before = self.objects.keys().filter(|object| object.kind == kind).cloned().collect();
        self.listing.insert(kind, before);
    }

    /// The list is complete: what was not in it is gone.
    pub fn end(&mut self, kind: Kind) {
        for object in self.listing.remove(&kind).unwrap_or_default() {
            self.remove(&object);
        }
        self.listed.insert(kind);
        self.failing.remove(&kind);
    }

    /// The API server did not answer about this kind, or not as it should. Whether that is new.
    pub fn failed(&mut self, kind: Kind) -> bool {
        self.failing.insert(kind)
    }

    /// It answers. Whether that is new.
    pub fn answered(&mut self, kind: Kind) -> bool {
        self.failing.remove(&kind)
    }

    /// Whether the API server's last word about this kind was none.
    pub fn fails(&self, kind: Kind) -> bool {
        self.failing.contains(&kind)
    }

    /// Puts in an object in place of what was there by its name. `pod` is what it is, if it is one.
    pub fn put(&mut self, object: &Object, claims: Vec<(IpAddr, Claim)>, pod: Option<Pod>) {
        if let Some(unseen) = self.listing.get_mut(&object.kind) {
            unseen.remove(object);
        }
        let uid = pod.as_ref().map(|pod| Arc::clone(&pod.uid));
        let wanted: HashSet<IpAddr> = claims.iter().map(|(address, _)| *address).collect();
        if let Some(held) = self.objects.remove(object) {
            let gone: Vec<IpAddr> =
                held.addresses.into_iter().filter(|address| !wanted.contains(address)).collect();
            for address in &wanted {
                self.unclaim(*address, object, false);
            }
            for address in gone {
                self.unclaim(address, object, true);
            }
            if let Some(before) = held.uid.filter(|before| Some(before) != uid.as_ref()) {
                self.retire(&before);
            }
        }
        if self.objects.len() >= OBJECTS {
            self.left_out += claims.len() as u64;
            return;
        }
        let mut held = Held::default();
        for (address, claim) in claims {
            if self.claim(address, object, claim) {
                held.addresses.push(address);
            }
        }
        if let Some(pod) = pod.filter(|pod| self.pods.contains_key(&pod.uid) || self.pods.len() < PODS) {
            held.uid = uid;
            self.pods.insert(Arc::clone(&pod.uid), Arc::new(pod));
        }
        self.objects.insert(object.clone(), held);
    }

    /// An object is gone.
    pub fn remove(&mut self, object: &Object) {
        let Some(held) = self.objects.remove(object) else { return };
        for address in held.addresses {
            self.unclaim(address, object, true);
        }
        if let Some(uid) = held.uid {
            self.retire(&uid);
        }
    }

    /// The pod that a cgroup's path names, also when it has just gone.
    pub fn pod(&self, uid: &str) -> Option<&Arc<Pod>> {
        let former = || self.former_pods.iter().rev().find(|(of, _)| **of == *uid).map(|(_, pod)| pod);
        self.pods.get(uid).or_else(former)
    }

    /// What an address is called that we talk to at this port as this role: as a client it is the peer's, as a server ours and says nothing
    /// about the peer.
    pub fn name(&self, address: IpAddr, port: Option<u16>, role: Option<Role>) -> Option<Name> {
        let claims = self.claims.get(&address.to_canonical())?.all();
        let theirs = port.filter(|_| role == Some(Role::Client));
        let at_port = |claim: &&Claim| theirs.is_some_and(|port| claim.ports.contains(&port));
        let all = || claims.iter().map(|(_, claim)| claim);
        let mut meant: Vec<&Claim> = all().filter(|claim| theirs.is_none() || at_port(claim)).collect();
        if meant.is_empty() {
            meant = all().filter(|claim| claim.whole).collect();
        }
        // By name, so that the answer is the same as long as the claims are; of a client, only where there is no other.
        let services: BTreeSet<(&Arc<str>, &Arc<str>)> =
            meant.iter().filter_map(|claim| Some((&claim.namespace, claim.service.as_ref()?))).collect();
        let service = services.first().filter(|_| theirs.is_some() || services.len() == 1).copied();
        let pods: BTreeSet<(&Arc<str>, &Arc<str>)> = all()
            .filter(|claim| claim.whole || theirs.is_none() || at_port(claim))
            .filter_map(|claim| Some((&claim.namespace, claim.pod.as_ref()?)))
            .filter(|(namespace, _)| service.is_none_or(|(of, _)| of == *namespace))
            .collect();
        let pod = pods.first().filter(|_| pods.len() == 1).copied();
        let (namespace, _) = service.or(pod)?;
        let mut workload = all().filter(|claim| pod == claim.pod.as_ref().map(|pod| (&claim.namespace, pod)));
        Some(Name {
            namespace: Arc::clone(namespace),
            service: service.map(|(_, name)| Arc::clone(name)),
            pod: pod.map(|(_, name)| Arc::clone(name)),
            workload: pod.and_then(|_| workload.find_map(|claim| claim.workload.clone())),
        })
    }

    /// How much is known.
    pub fn fullness(&self) -> Fullness {
        Fullness {
            pods: self.pods.len(),
            addresses: self.claims.len(),
            capacity: ADDRESSES,
            left_out: self.left_out,
            stale: Kind::ALL.iter().any(|kind| !self.listed.contains(kind) || self.fails(*kind)),
        }
    }

    fn claim(&mut self, address: IpAddr, object: &Object, claim: Claim) -> bool {
        let has_room = match self.claims.get(&address) {
            Some(Claims::Now(claims)) => claims.len() < CLAIMS_EACH,
            Some(Claims::Former(_)) => true,
            None => self.claims.len() < ADDRESSES,
        };
        if !has_room || self.claimed >= CLAIMS {
            self.left_out += 1;
            return false;
        }
        self.claimed += 1;
        let claim = (object.clone(), claim);
        match self.claims.get_mut(&address) {
            Some(Claims::Now(claims)) => claims.push(claim),
            Some(Claims::Former(_)) | None => {
                self.claims.insert(address, Claims::Now(vec![claim]));
            }
        }
        true
    }

    /// Takes an object's claim back; `remember` keeps it until somebody else has the address.
    fn unclaim(&mut self, address: IpAddr, object: &Object, remember: bool) {
        let Some(Claims::Now(claims)) = self.claims.get_mut(&address) else { return };
        let (theirs, others): (Vec<_>, Vec<_>) = claims.drain(..).partition(|(of, _)| of == object);
        self.claimed -= theirs.len();
        if !others.is_empty() {
            *claims = others;
            return;
        }
        if !remember || theirs.is_empty() {
            self.claims.remove(&address);
            return;
        }
        self.claims.insert(address, Claims::Former(theirs));
        self.former_addresses.push_back(address);
        if self.former_addresses.len() > FORMER
            && let Some(oldest) = self.former_addresses.pop_front()
            && matches!(self.claims.get(&oldest), Some(Claims::Former(_)))
        {
            self.claims.remove(&oldest);
        }
    }

    fn retire(&mut self, uid: &Arc<str>) {
        let Some(pod) = self.pods.remove(uid) else { return };
        self.former_pods.push_back((Arc::clone(uid), pod));
        if self.former_pods.len() > FORMER {
            self.former_pods.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
