//! What each network namespace belongs to, by the cgroups of the processes in it: a pod, a container, a unit.
//!
//! Filled by `kernel/namespaces.rs` when it looks for namespaces, asked when something becomes JSON. No I/O. Beside the events' way, as
//! `owners.rs` and `names.rs` are. Bounded by the namespaces that have a process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::owners::cgroup::Cgroup;

/// Cgroups by the inode number of the network namespace. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Residents(Arc<Mutex<HashMap<u32, Arc<Cgroup>>>>);

impl Residents {
    /// What was found, in the place of all that was known: numbers of namespaces that ended are given out again.
    pub fn replace(&self, found: HashMap<u32, Arc<Cgroup>>) {
        *self.lock() = found;
    }

    /// A namespace has ended, or nobody is known in it any more.
    pub fn forget(&self, netns: u32) {
        self.lock().remove(&netns);
    }

    /// Whose namespace it is; `None` for our own and for those that nothing is known of.
    pub fn of(&self, netns: u32) -> Option<Arc<Cgroup>> {
        self.lock().get(&netns).cloned()
    }

    /// The map is whole after each of its methods, so a panic elsewhere does not spoil it.
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Arc<Cgroup>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
