//! The cgroups of the processes in each network namespace, of which the one is kept that tells most of whose it is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use crate::owners::cgroup::{Cgroup, Telling};

/// What was found so far in a search.
#[derive(Debug, Default)]
pub(super) struct Cgroups(HashMap<u32, Cgroup>);

impl Cgroups {
    /// Whether another process may tell more of this namespace.
    pub(super) fn may_grow(&self, netns: u32) -> bool {
        self.0.get(&netns).is_none_or(|cgroup| cgroup.telling() < Telling::Pod)
    }

    /// A process of it, by its `/proc/PID/cgroup`. Of those that tell as much, the first is kept: lower numbers are usually older, and who made a
    /// namespace is in it before who joins it.
    pub(super) fn put(&mut self, netns: u32, text: &str) {
        let Some(cgroup) = Cgroup::of_process(text).map(|cgroup| cgroup.common()) else { return };
        match self.0.entry(netns) {
            Entry::Vacant(place) => {
                place.insert(cgroup);
            }
            Entry::Occupied(mut place) => {
                if place.get().telling() < cgroup.telling() {
                    place.insert(cgroup);
                }
            }
        }
    }

    /// All of them.
    pub(super) fn into_found(self) -> HashMap<u32, Arc<Cgroup>> {
        self.0.into_iter().map(|(netns, cgroup)| (netns, Arc::new(cgroup))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "/kubepods.slice/kubepods-pod1b2c3d4e_0000_4111_8222_333344445555.slice";

    #[test]
    fn a_pod_tells_more_than_who_looks_into_its_namespace() {
        let mut cgroups = Cgroups::default();
        cgroups.put(7, "0::/system.slice/ssh.service\n");
        assert!(cgroups.may_grow(7));
        let id = "0123456789abcdef".repeat(4);
        cgroups.put(7, &format!("0::{POD}/cri-containerd-{id}.scope\n"));
        assert!(!cgroups.may_grow(7));
        cgroups.put(7, "0::/system.slice/other.service\n");
        cgroups.put(8, "0::/system.slice/first.service\n");
        cgroups.put(8, "0::/system.slice/second.service\n");
        cgroups.put(9, "0::/\n");
        let found = cgroups.into_found();
        // All of a pod's containers are in its namespace, so none of them is told.
        assert_eq!((&*found[&7].path, &found[&7].container_id), (POD, &None));
        assert!(found[&7].pod_uid.is_some());
        assert_eq!(found[&8].unit.as_deref(), Some("first.service"));
        assert!(!found.contains_key(&9));
    }
}
