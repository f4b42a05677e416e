//! Plan to maps and running programs. What cannot be done is an error that says what and why; which of the ways to serve a
//! signal works is found out in `choose.rs`.

use std::io;
use std::os::fd::AsFd as _;

use aya::maps::{HashMap, Map, MapData, MapError, Queue, RingBuf};
use aya::{Ebpf, EbpfError, EbpfLoader};
use monitor_common::counters::{
    CpuTotals, LISTENERS, ListenerTotals, NAMESPACES, NamespaceTotals, PORT_COUNTERS, PORTS,
};
use monitor_common::peer::{HeldKey, PeerKey, Role, SCOPE_OTHER, Slot, slot_state};
use monitor_common::{names, record};
use rustix::process::{Resource, getrlimit};

use super::choose::choose;
use super::layout::{Resolved, layout_bytes};
use super::mapping::Mapping;
use super::places::places_bytes;
use super::plan::Plan;
use super::programs::Programs;
use super::truth::{Budgets, Truth, key_bytes};

/// The object that `cargo xtask build` embedded; empty in a plain `cargo build`.
static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/programs.o"));

/// Sizes of maps, from the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Slots per budget.
    pub budgets: Budgets,
    /// Bytes of the ring, a power of two and at least a page.
    pub ring_bytes: u32,
    /// Entries of the closed memory that are wanted.
    pub closed_memory: u32,
}

impl Sizes {
    /// Places of the closed memory: the next power of two.
    pub const fn closed_places(&self) -> u32 {
        match self.closed_memory.checked_next_power_of_two() {
            Some(0 | 1) => 2,
            Some(places) => places,
            None => 1 << 31,
        }
    }
}

/// Everything that loading gives.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Loaded {
    /// What keeps it running.
    pub programs: Programs,
    /// Records.
    pub ring: RingBuf<MapData>,
    /// Counts.
    pub truth: Truth,
}

/// Loading failed; nothing stays attached.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A plain build.
    #[error(
        "load BPF programs: this reset-monitor was built without them; build it with `cargo xtask build`"
    )]
    ObjectNotBuilt,
    /// Maps could not be made, or the object is damaged.
    #[error("load the BPF object into the kernel")]
    Object(#[from] EbpfError),
    /// Maps may be too large for the limit that kernels before 5.11 charge them to.
    #[error(
        "make BPF maps: refused although the capabilities are there; before Linux 5.11 maps count against RLIMIT_MEMLOCK, which is {limit} KiB \
         here: set LimitMEMLOCK=infinity (systemd) or `ulimit -l unlimited`, or give CAP_SYS_RESOURCE to raise it"
    )]
    LockedMemory {
        /// The limit, in KiB.
        limit: u64,
        /// What aya said.
        source: EbpfError,
    },
    /// A map is not in the object, or not of its kind.
    #[error("open BPF map {name}")]
    Map {
        /// Its name.
        name: &'static str,
        /// What aya said.
        source: MapError,
    },
    /// A map or program that the object should have.
    #[error("open BPF object: it has no {name}; the object and the daemon are of different builds")]
    Absent {
        /// Its name.
        name: &'static str,
    },
    /// A map could not be mapped.
    #[error("map BPF array {name} into memory")]
    Mapping {
        /// Its name.
        name: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel refused what everything rests on.
    #[error("attach BPF programs for {signal}: {reason}")]
    Refused {
        /// What they serve.
        signal: &'static str,
        /// What the kernel said, for each attempt.
        reason: String,
    },
}

/// Whether the kernel programs are built in.
pub const fn has_object() -> bool {
    !OBJECT.is_empty()
}

/// Makes the maps, fills the free queues, and attaches what this kernel takes. `functions` has
/// the numbers of the running kernel's.
pub fn load(
    plan: &Plan,
    resolved: &Resolved,
    sizes: &Sizes,
    cpus: u32,
    functions: &aya::Btf,
) -> Result<Loaded, LoadError> {
    if !has_object() {
        return Err(LoadError::ObjectNotBuilt);
    }
    let layout = layout_bytes(&resolved.layout);
    let places = places_bytes(&resolved.places);
    let settings = plan.settings.to_bytes();
    let budgets = sizes.budgets;
    let mut loader = EbpfLoader::new();
    #[cfg(feature = "debug-log")]
    super::debug_log::set_level(&mut loader);
    let mut ebpf = loader
        // Offsets are in `layout` already. aya would parse all of the kernel's types.
        .btf(None)
        .override_global(names::LAYOUT, layout.as_slice(), true)
        .override_global(names::PLACES, places.as_slice(), true)
        .override_global(names::SETTINGS, settings.as_slice(), true)
        .map_max_entries(names::EVENTS, sizes.ring_bytes)
        .map_max_entries(names::CLOSED, sizes.closed_places())
        .map_max_entries(names::PEERS, budgets.slots())
        .map_max_entries(names::SLOTS, budgets.slots())
        .map_max_entries(names::FREE_CLIENT, budgets.client)
        .map_max_entries(names::FREE_SERVER, budgets.server)
        .map_max_entries(names::FREE_REFUSED, budgets.refused)
        .map_max_entries(names::FREE_NETWORK, budgets.networks)
        .map_max_entries(names::CPU_TOTALS, cpus)
        .load(OBJECT)
        .map_err(refused_object)?;
    // Programs are verified while the maps' descriptors are open, and attached when the maps are filled.
    let (mut truth, descriptors) = open_truth(&mut ebpf, budgets, cpus)?;
    prepare(&mut truth).map_err(|source| LoadError::Map { name: names::PEERS, source })?;
    let ring = RingBuf::try_from(take(&mut ebpf, names::EVENTS)?)
        .map_err(|source| LoadError::Map { name: names::EVENTS, source })?;
    let chosen = choose(&mut ebpf, functions, &plan.signals)?;
    drop(descriptors);
    Ok(Loaded { programs: Programs::new(ebpf, chosen), ring, truth })
}

/// Nothing is concluded from the version: a limit that is not the reason is one to look at all the same.
fn refused_object(error: EbpfError) -> LoadError {
    let denied = anyhow::Chain::new(&error).any(|reason| {
        reason
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
    });
    match getrlimit(Resource::Memlock).current {
        Some(bytes) if denied => LoadError::LockedMemory { limit: bytes / 1024, source: error },
        Some(_) | None => LoadError::Object(error),
    }
}

fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, LoadError> {
    ebpf.take_map(name).ok_or(LoadError::Absent { name })
}

/// The mapped arrays' descriptors come along: a program can be loaded only while they are open.
fn open_truth(ebpf: &mut Ebpf, budgets: Budgets, cpus: u32) -> Result<(Truth, Vec<Map>), LoadError> {
    let mut queue = |name| {
        let map = take(ebpf, name)?;
        Queue::<MapData, u32>::try_from(map).map_err(|source| LoadError::Map { name, source })
    };
    let free_client = queue(names::FREE_CLIENT)?;
    let free_server = queue(names::FREE_SERVER)?;
    let free_refused = queue(names::FREE_REFUSED)?;
    let free_network = queue(names::FREE_NETWORK)?;
    let free_namespaces = queue(names::FREE_NS)?;
    let free_listeners = queue(names::FREE_LISTENER)?;
    let peers = HashMap::<MapData, [u8; size_of::<PeerKey>()], u32>::try_from(take(ebpf, names::PEERS)?)
        .map_err(|source| LoadError::Map { name: names::PEERS, source })?;
    let held = HashMap::<MapData, [u8; size_of::<HeldKey>()], [u8; record::RECORD_BYTES]>::try_from(take(
        ebpf,
        names::HELD,
    )?)
    .map_err(|source| LoadError::Map { name: names::HELD, source })?;
    let mut descriptors = Vec::new();
    let slots = map_array::<Slot>(ebpf, names::SLOTS, budgets.slots(), &mut descriptors)?;
    let ports = map_array::<[u64; PORT_COUNTERS]>(ebpf, names::PORTS, PORTS, &mut descriptors)?;
    let namespaces = map_array::<NamespaceTotals>(ebpf, names::NS_TOTALS, NAMESPACES, &mut descriptors)?;
    let listeners = map_array::<ListenerTotals>(ebpf, names::LISTENER_TOTALS, LISTENERS, &mut descriptors)?;
    let cpu_totals = map_array::<CpuTotals>(ebpf, names::CPU_TOTALS, cpus, &mut descriptors)?;
    let truth = Truth {
        budgets,
        slots,
        ports,
        namespaces,
        listeners,
        cpu_totals,
        peers,
        held,
        free_client,
        free_server,
        free_refused,
        free_network,
        free_namespaces,
        free_listeners,
    };
    Ok((truth, descriptors))
}

fn map_array<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    entries: u32,
    descriptors: &mut Vec<Map>,
) -> Result<Mapping, LoadError> {
    let map = take(ebpf, name)?;
    let Map::Array(data) = &map else { return Err(LoadError::Absent { name }) };
    let words = size_of::<T>() / size_of::<u64>() * entries as usize;
    // Once programs are loaded, the mapping alone keeps the map alive.
    let mapping =
        Mapping::new(data.fd().as_fd(), words).map_err(|source| LoadError::Mapping { name, source })?;
    descriptors.push(map);
    Ok(mapping)
}

/// Fills the free queues and makes the two `other` slots, before any program can run.
fn prepare(truth: &mut Truth) -> Result<(), MapError> {
    let budgets = truth.budgets;
    for slot in budgets.client_slots() {
        truth.free_client.push(slot, 0)?;
    }
    for slot in budgets.server_slots() {
        truth.free_server.push(slot, 0)?;
    }
    for slot in budgets.refused_slots() {
        truth.free_refused.push(slot, 0)?;
    }
    for slot in budgets.network_slots() {
        truth.free_network.push(slot, 0)?;
    }
    for place in 0..NAMESPACES {
        truth.free_namespaces.push(place, 0)?;
    }
    for place in 0..LISTENERS {
        truth.free_listeners.push(place, 0)?;
    }
    for (slot, role) in [(budgets.other_slot(), Role::Client), (budgets.other_slot() + 1, Role::Server)] {
        let key = PeerKey { addr: [0; 16], netns: 0, port: 0, role: role as u8, scope: SCOPE_OTHER };
        truth.write_key(slot, &key_bytes(&key), slot_state::LIVE);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_SIZES;
    use crate::kernel::plan::Plan;
    use monitor_common::layout::Layout;
    use monitor_common::places::Places;

    #[test]
    fn a_plain_build_says_that_it_has_no_kernel_programs() {
        if has_object() {
            // Another build of the same tests is without; this one's programs are loaded by the kernel trials.
            return;
        }
        let settings = monitor_common::settings::Settings {
            story_burst: 0,
            story_interval_ns: 0,
            reason_keepalive: 0,
            reason_close: 0,
            has_reason: 0,
            other_slot: 0,
            hz: 250,
            closed_mask: 1,
            wake_quiet_ns: 0,
            wake_bytes: 0,
            jiffy_ns: 4_000_000,
        };
        let resolved = Resolved { layout: Layout::default(), places: Places::NONE, missing: vec![] };
        let plan = Plan { settings, signals: vec![] };
        let no_functions = aya::Btf::new();
        let Err(error) = load(&plan, &resolved, &DEFAULT_SIZES, 1, &no_functions) else {
            panic!("something was loaded")
        };
        assert!(error.to_string().contains("cargo xtask build"), "{error}");
    }
}
