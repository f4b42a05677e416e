//! What a cluster calls pods and addresses: filled by `kubernetes.rs`, asked when something becomes JSON. No I/O.
//!
//! Beside the events' way, as `owners.rs` is: what the stages show is a function of recorded bytes, and names are not. Without a
//! cluster, or before its API server has answered, there are no names and nothing else changes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::index::Index;

pub mod index;
pub mod workload;

/// What a pod is a part of: the object that somebody wrote, as far as its pods tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// As Kubernetes spells it: `Deployment`, `StatefulSet`, `DaemonSet`, `Job`, or what an operator made.
    pub kind: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// A pod of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Namespace of the cluster, not of the kernel.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
    /// What its cgroup calls it: its uid, or of a static pod the hash that the kubelet made.
    pub uid: Arc<str>,
    /// What it is a part of; `None` for one that stands alone.
    pub workload: Option<Workload>,
    /// Its containers: id, 64 hexadecimal digits, and name.
    pub containers: Vec<(Arc<str>, Arc<str>)>,
}

impl Pod {
    /// What the container with this id is called.
    pub fn container(&self, id: &str) -> Option<&Arc<str>> {
        self.containers.iter().find(|(of, _)| **of == *id).map(|(_, name)| name)
    }
}

/// What a cluster calls an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Namespace of the cluster.
    pub namespace: Arc<str>,
    /// The service that is behind it, or that it is behind.
    pub service: Option<Arc<str>>,
    /// The pod that has it.
    pub pod: Option<Arc<str>>,
    /// What that is a part of, known of this node's pods.
    pub workload: Option<Workload>,
}

/// What is listed and watched, each on its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Pods of this node.
    Pods,
    /// Services of all namespaces.
    Services,
    /// Endpoint slices of all namespaces.
    EndpointSlices,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pods, Self::Services, Self::EndpointSlices];

    /// For messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Services => "services",
            Self::EndpointSlices => "endpoint slices",
        }
    }
}

/// How much is known, and whether it is of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fullness {
    /// Pods of this node.
    pub pods: usize,
    /// Addresses with a name.
    pub addresses: usize,
    /// How many can have one.
    pub capacity: usize,
    /// Claims to an address for which there was no room.
    pub left_out: u64,
    /// Something was not listed yet, or the API server's last answer about it was none: names may be missing or old.
    pub stale: bool,
}

/// The names of a cluster. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<Mutex<Index>>);

impl Names {
    /// Takes in what the API server said.
    pub fn change<T>(&self, change: impl FnOnce(&mut Index) -> T) -> T {
        change(&mut self.lock())
    }

    /// Looks things up, all at one moment. It must be quick.
    pub fn read<T>(&self, look: impl FnOnce(&Index) -> T) -> T {
        look(&self.lock())
    }

    /// How much is known.
    pub fn fullness(&self) -> Fullness {
        self.lock().fullness()
    }

    /// The index is valid after each of its methods, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, Index> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
