//! Privileges after start: everything is attached and mapped, so nearly nothing is needed any more.

use caps::{CapSet, Capability, CapsHashSet};

use super::programs::Programs;

/// What attaching to a module that is loaded later needs.
const FOR_AWAITED: [Capability; 2] = [Capability::CAP_BPF, Capability::CAP_PERFMON];

/// What reading the counters of other namespaces needs: `/proc/PID/ns/net` of processes that hold more than we do.
const KEPT: [Capability; 1] = [Capability::CAP_SYS_PTRACE];

/// What entering other network namespaces needs besides.
const FOR_ENTERING: [Capability; 1] = [Capability::CAP_SYS_ADMIN];

/// What is lost without a capability that the daemon can do without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its usual name.
    pub capability: &'static str,
    /// In one line.
    pub lost: &'static str,
    /// What to do, in one line.
    pub advice: &'static str,
}

/// Of those that are kept: without any other one, there is nothing to run, or a signal says what it lacks.
const LACKING: [(Capability, Lacking); 1] = [(
    Capability::CAP_SYS_PTRACE,
    Lacking {
        capability: "CAP_SYS_PTRACE",
        lost: "the kernel's counters of other network namespaces cannot be read: nothing there is compared with them, and what only they tell of overflows \
               and challenge ACKs is unknown; of other users' processes, the owner of a socket is known only where the kernel program saw it or its cgroup has no other",
        advice: "give the service CAP_SYS_PTRACE besides CAP_BPF and CAP_PERFMON",
    },
)];

/// What this process lacks and can do without.
pub fn lacking() -> Vec<Lacking> {
    lacking_of(&caps::read(None, CapSet::Effective).unwrap_or_default())
}

fn lacking_of(held: &CapsHashSet) -> Vec<Lacking> {
    let missing = LACKING.iter().filter(|(capability, _)| !held.contains(capability));
    missing.map(|(_, lacking)| *lacking).collect()
}

/// Drops every capability of this thread but, with `enter`, those needed to look up other namespaces and to enter them.
pub fn keep_only_to_enter(enter: bool) {
    keep_only(KEPT.into_iter().chain(FOR_ENTERING).filter(|_| enter));
}

/// Drops every capability of this thread, and so of the threads it makes from now on, but those still needed. Freeing a
/// quiet peer's slot is a map system call on a descriptor we hold, which needs no capability from 5.19 on; before, slots
/// are then not freed, and newcomers beyond the budget stay in `other`.
pub fn drop_all_but_needed(programs: &Programs) {
    let for_awaited = FOR_AWAITED.into_iter().filter(|_| programs.is_to_attach());
    keep_only(KEPT.into_iter().chain(for_awaited));
}

fn keep_only(wanted: impl Iterator<Item = Capability>) {
    let held = caps::read(None, CapSet::Permitted).unwrap_or_default();
    let kept: CapsHashSet = wanted.filter(|capability| held.contains(capability)).collect();
    let dropped = caps::clear(None, CapSet::Ambient)
        .and_then(|()| caps::clear(None, CapSet::Inheritable))
        .and_then(|()| caps::set(None, CapSet::Effective, &kept))
        .and_then(|()| caps::set(None, CapSet::Permitted, &kept));
    match dropped {
        Ok(()) => tracing::debug!(?kept, "dropped all other capabilities"),
        Err(error) => tracing::warn!(%error, "capabilities could not be dropped; running on with them"),
    }
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        tracing::warn!(%error, "new privileges could not be ruled out; running on");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_said_to_be_missing_where_it_is() {
        let names = |held: CapsHashSet| -> Vec<&str> {
            lacking_of(&held).iter().map(|lacking| lacking.capability).collect()
        };
        assert_eq!(names(FOR_AWAITED.into_iter().chain(KEPT).collect()), [""; 0]);
        let kept = KEPT.map(|capability| capability.to_string());
        assert_eq!(names(FOR_AWAITED.into_iter().collect()), kept);
    }

    #[test]
    fn each_loss_is_told_in_a_line() {
        for (capability, Lacking { capability: name, lost, advice }) in LACKING {
            assert_eq!(capability.to_string(), name);
            assert!(advice.contains(name), "{advice}");
            assert!(!lost.contains("  ") && !lost.contains('\n'), "{lost}");
        }
    }
}
