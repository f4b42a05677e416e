//! The truth: the counters that the kernel programs keep, read from mapped memory.
//!
//! The daemon writes here in two cases only, both race-free: it clears a slot that no key leads to any more, and it
//! adds a held reset whose wait is over, with the same atomic additions as the programs.

use std::net::IpAddr;
use std::sync::atomic::Ordering;

use aya::maps::{HashMap, MapData, MapError, Queue};
use monitor_common::counters::{
    CpuTotals, KINDS, ListenerKey, ListenerTotals, NAMESPACES, NamespaceTotals, PEER_COUNTERS, PORT_COUNTERS,
    PeerCounter, PortCounter, TRACEPOINTS, Tracepoint,
};
use monitor_common::peer::{HeldKey, PeerKey, Role, Slot, slot_state};
use monitor_common::record::RECORD_BYTES;

use super::mapping::Mapping;
use crate::counts::{PeerCounts, PortCounts, Stories, StoryCounts};
use crate::decode::address;

/// How many peers may have a slot of their own. The two `other` slots come on top.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budgets {
    /// Peers we connect to.
    pub client: u32,
    /// Peers that connect to us.
    pub server: u32,
    /// Peers that so far only refused us.
    pub refused: u32,
    /// Networks of server-role peers beyond their budget.
    pub networks: u32,
}

impl Budgets {
    /// All slots.
    pub const fn slots(&self) -> u32 {
        self.client + self.server + self.refused + self.networks + 2
    }

    /// Slot numbers of client-role peers.
    pub const fn client_slots(&self) -> std::ops::Range<u32> {
        0..self.client
    }

    /// Slot numbers of server-role peers.
    pub const fn server_slots(&self) -> std::ops::Range<u32> {
        self.client..self.client + self.server
    }

    /// Slot numbers of peers that refused us.
    pub const fn refused_slots(&self) -> std::ops::Range<u32> {
        let start = self.client + self.server;
        start..start + self.refused
    }

    /// Slot numbers of networks.
    pub const fn network_slots(&self) -> std::ops::Range<u32> {
        let start = self.client + self.server + self.refused;
        start..start + self.networks
    }

    /// The client-role `other`; the server-role one follows.
    pub const fn other_slot(&self) -> u32 {
        self.client + self.server + self.refused + self.networks
    }
}

/// Mapped counters, and the maps that decide which slot is whose.
#[expect(missing_debug_implementations, reason = "aya's queue has none")]
pub struct Truth {
    pub(super) budgets: Budgets,
    pub(super) slots: Mapping,
    pub(super) ports: Mapping,
    pub(super) namespaces: Mapping,
    pub(super) listeners: Mapping,
    pub(super) cpu_totals: Mapping,
    pub(super) peers: HashMap<MapData, [u8; KEY_BYTES], u32>,
    pub(super) held: HashMap<MapData, [u8; size_of::<HeldKey>()], [u8; RECORD_BYTES]>,
    pub(super) free_client: Queue<MapData, u32>,
    pub(super) free_server: Queue<MapData, u32>,
    pub(super) free_refused: Queue<MapData, u32>,
    pub(super) free_network: Queue<MapData, u32>,
    pub(super) free_namespaces: Queue<MapData, u32>,
    pub(super) free_listeners: Queue<MapData, u32>,
}

const KEY_BYTES: usize = size_of::<PeerKey>();
const SLOT_WORDS: usize = size_of::<Slot>() / 8;
/// Word of a slot that holds its state in the low half.
const STATE_WORD: usize = KEY_BYTES / 8;
const COUNTER_WORD: usize = STATE_WORD + 1;
const NAMESPACE_WORDS: usize = size_of::<NamespaceTotals>() / 8;
const LISTENER_WORDS: usize = size_of::<ListenerTotals>() / 8;
/// Word of a listener's entry that tells whether it is in use, after the key.
const LISTENER_USED: usize = size_of::<ListenerKey>() / 8;
const CPU_WORDS: usize = size_of::<CpuTotals>() / 8;

/// One slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotReading {
    /// Its number.
    pub slot: u32,
    /// Whose it is.
    pub key: PeerKey,
    /// What it counted.
    pub counts: PeerCounts,
}

/// One namespace's own totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NamespaceReading {
    /// Inode number.
    pub netns: u32,
    /// Resets sent on connections of peers.
    pub resets_sent: u64,
    /// Refusals sent.
    pub refused_sent: u64,
    /// Strays sent.
    pub stray_sent: u64,
    /// Connections that met a full accept queue with their SYN.
    pub overflows_syn: u64,
    /// Connections that met one with the last ACK of their handshake.
    pub overflows_ack: u64,
    /// Resets that netfilter sent.
    pub reject_sent: u64,
}

/// One listener's overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerReading {
    /// Inode number of its namespace.
    pub netns: u32,
    /// Its own address, unspecified for any.
    pub addr: IpAddr,
    /// Its port.
    pub port: u16,
    /// Connections that met its full queue with their SYN.
    pub overflows_syn: u64,
    /// Connections that met it with the last ACK of their handshake.
    pub overflows_ack: u64,
}

/// All CPUs' totals, summed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TotalsReading {
    /// Stories; `decoded` and `undecodable` are the daemon's and stay 0.
    pub stories: Stories,
    /// Independent sum of the slots' counters.
    pub peers: PeerCounts,
    /// Counts that went to a network or `other` for want of a slot.
    pub over_budget: u64,
    /// Kernel reads that failed.
    pub failed_reads: u64,
    /// Entries ever written to the closed memory.
    pub memories: u64,
    /// Connections that the connection-tracking table had no room for, where that is hooked.
    pub conntrack_full: u64,
    /// Overflows of listeners that had no place of their own.
    pub listeners_over: u64,
}

impl Truth {
    /// The budgets.
    pub const fn budgets(&self) -> Budgets {
        self.budgets
    }

    /// Every slot in use, by number.
    pub fn slots(&self) -> impl Iterator<Item = SlotReading> {
        self.slots.words().chunks_exact(SLOT_WORDS).zip(0u32..).filter_map(|(words, slot)| {
            let word = |index: usize| words[index].load(Ordering::Relaxed);
            // Acquire: the key was complete before the state said so.
            let state = low_half(words[STATE_WORD].load(Ordering::Acquire));
            if state != slot_state::LIVE {
                return None;
            }
            let key = key_from_words([word(0), word(1), word(2)]);
            let counters: [u64; PEER_COUNTERS] = std::array::from_fn(|index| word(COUNTER_WORD + index));
            Some(SlotReading { slot, key, counts: PeerCounts::from_counters(&counters) })
        })
    }

    /// One slot's counts.
    pub fn slot_counts(&self, slot: u32) -> PeerCounts {
        let first = slot as usize * SLOT_WORDS + COUNTER_WORD;
        PeerCounts::from_counters(&std::array::from_fn(|index| self.slots.word(first + index)))
    }

    /// Local ports with anything counted.
    pub fn ports(&self) -> impl Iterator<Item = (u16, PortCounts)> {
        self.ports.words().chunks_exact(PORT_COUNTERS).zip(0u16..=u16::MAX).filter_map(|(words, port)| {
            let value = |counter: PortCounter| words[counter as usize].load(Ordering::Relaxed);
            let counts = PortCounts {
                refused_sent: value(PortCounter::RefusedSent),
                stray_sent: value(PortCounter::StraySent),
                stray_received: value(PortCounter::StrayReceived),
                reject_sent: value(PortCounter::RejectSent),
            };
            (!counts.is_zero()).then_some((port, counts))
        })
    }

    /// Listeners whose queue was ever full.
    pub fn listeners(&self) -> impl Iterator<Item = ListenerReading> {
        self.listeners.words().chunks_exact(LISTENER_WORDS).filter_map(|words| {
            let word = |index: usize| words[index].load(Ordering::Relaxed);
            // Acquire: the key was complete before it was said to be used.
            if words[LISTENER_USED].load(Ordering::Acquire) == 0 {
                return None;
            }
            let mut addr = [0; 16];
            addr[..8].copy_from_slice(&word(0).to_le_bytes());
            addr[8..].copy_from_slice(&word(1).to_le_bytes());
            let [n0, n1, n2, n3, p0, p1, ..] = word(2).to_le_bytes();
            Some(ListenerReading {
                netns: u32::from_le_bytes([n0, n1, n2, n3]),
                addr: address(addr),
                port: u16::from_le_bytes([p0, p1]),
                overflows_syn: word(LISTENER_USED + 1),
                overflows_ack: word(LISTENER_USED + 2),
            })
        })
    }

    /// Namespaces that sent resets, or in which an accept queue was full.
    pub fn namespaces(&self) -> impl Iterator<Item = NamespaceReading> {
        self.namespaces.words().chunks_exact(NAMESPACE_WORDS).take(NAMESPACES as usize).filter_map(|words| {
            let word = |index: usize| words[index].load(Ordering::Relaxed);
            let netns = low_half(word(0));
            (netns != 0).then(|| NamespaceReading {
                netns,
                resets_sent: word(1),
                refused_sent: word(2),
                stray_sent: word(3),
                overflows_syn: word(4),
                overflows_ack: word(5),
                reject_sent: word(6),
            })
        })
    }

    /// All CPUs together.
    pub fn totals(&self) -> TotalsReading {
        let mut sum = [0u64; CPU_WORDS];
        for words in self.cpu_totals.words().chunks_exact(CPU_WORDS) {
            for (total, word) in sum.iter_mut().zip(words) {
                *total = total.wrapping_add(word.load(Ordering::Relaxed));
            }
        }
        let mut stories = Stories::default();
        for (kind, account) in stories.kinds.iter_mut().enumerate() {
            *account = StoryCounts {
                seen: sum[kind],
                submitted: sum[KINDS + kind],
                lost: sum[2 * KINDS + kind],
                suppressed: sum[3 * KINDS + kind],
                decoded: 0,
            };
        }
        let peers = 4 * KINDS;
        let counters: [u64; PEER_COUNTERS] = std::array::from_fn(|index| sum[peers + index]);
        let rest = peers + PEER_COUNTERS;
        TotalsReading {
            stories,
            peers: PeerCounts::from_counters(&counters),
            over_budget: sum[rest],
            failed_reads: sum[rest + 1],
            memories: sum[rest + 3 + TRACEPOINTS],
            conntrack_full: sum[rest + 4 + TRACEPOINTS],
            listeners_over: sum[rest + 5 + TRACEPOINTS],
        }
    }

    /// Events of a tracepoint that its second program took.
    pub fn relieved(&self, at: Tracepoint) -> u64 {
        let word = 4 * KINDS + PEER_COUNTERS + 3 + at as usize;
        self.cpu_totals.words().chunks_exact(CPU_WORDS).map(|words| words[word].load(Ordering::Relaxed)).sum()
    }

    /// Takes a slot's key away, so that no program finds it any more. One that is running may still add.
    pub fn unlink(&mut self, key: &PeerKey) -> Result<(), MapError> {
        match self.peers.remove(&key_bytes(key)) {
            Ok(()) | Err(MapError::KeyNotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Clears an unlinked slot and puts it back into its budget's queue.
    pub fn recycle(&mut self, slot: u32) -> Result<(), MapError> {
        self.write_key(slot, &[0; KEY_BYTES], slot_state::FREE);
        let first = slot as usize * SLOT_WORDS + COUNTER_WORD;
        for word in &self.slots.words()[first..first + PEER_COUNTERS] {
            word.store(0, Ordering::Relaxed);
        }
        if self.budgets.client_slots().contains(&slot) {
            self.free_client.push(slot, 0)
        } else if self.budgets.server_slots().contains(&slot) {
            self.free_server.push(slot, 0)
        } else if self.budgets.refused_slots().contains(&slot) {
            self.free_refused.push(slot, 0)
        } else {
            self.free_network.push(slot, 0)
        }
    }

    /// Received resets whose wait is over: nothing was sent on their socket, so they were resets. `due` decides by the
    /// record's bytes. Each is returned once.
    pub fn take_held(&mut self, due: impl Fn(&[u8; RECORD_BYTES]) -> bool) -> Vec<[u8; RECORD_BYTES]> {
        let ready: Vec<_> = self.held.iter().flatten().filter(|(_, record)| due(record)).collect();
        // The removal decides: if a program was first, it was data and not a reset.
        ready
            .into_iter()
            .filter(|(socket, _)| self.held.remove(socket).is_ok())
            .map(|(_, record)| record)
            .collect()
    }

    /// Adds to a slot's counter, and to the independent total, as a program would.
    pub fn add(&self, slot: u32, counter: PeerCounter) {
        let slot_word = slot as usize * SLOT_WORDS + COUNTER_WORD + counter as usize;
        for (mapping, word) in [(&self.slots, slot_word), (&self.cpu_totals, 4 * KINDS + counter as usize)] {
            if let Some(word) = mapping.words().get(word) {
                word.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Accounts for a story that reaches the decoder without the ring.
    pub fn add_story(&self, kind: monitor_common::counters::Kind) {
        let words = self.cpu_totals.words();
        words[kind as usize].fetch_add(1, Ordering::Relaxed);
        words[KINDS + kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes a slot's key and then its state. Only for slots that no program can find.
    pub(super) fn write_key(&self, slot: u32, key: &[u8; KEY_BYTES], state: u32) {
        let first = slot as usize * SLOT_WORDS;
        let words = &self.slots.words()[first..first + COUNTER_WORD];
        for (word, bytes) in words.iter().zip(key.as_chunks::<8>().0) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        words[STATE_WORD].store(u64::from(state), Ordering::Release);
    }
}

/// A key's bytes as the programs lay them out.
pub fn key_bytes(key: &PeerKey) -> [u8; KEY_BYTES] {
    let PeerKey { addr, netns, port, role, scope } = *key;
    let mut bytes = [0; KEY_BYTES];
    bytes[..16].copy_from_slice(&addr);
    bytes[16..20].copy_from_slice(&netns.to_le_bytes());
    bytes[20..22].copy_from_slice(&port.to_le_bytes());
    bytes[22] = role;
    bytes[23] = scope;
    bytes
}

fn key_from_words(words: [u64; 3]) -> PeerKey {
    let mut addr = [0; 16];
    addr[..8].copy_from_slice(&words[0].to_le_bytes());
    addr[8..].copy_from_slice(&words[1].to_le_bytes());
    let [n0, n1, n2, n3, p0, p1, role, scope] = words[2].to_le_bytes();
    PeerKey {
        addr,
        netns: u32::from_le_bytes([n0, n1, n2, n3]),
        port: u16::from_le_bytes([p0, p1]),
        role,
        scope,
    }
}

const fn low_half(word: u64) -> u32 {
    let [a, b, c, d, ..] = word.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The role in a key; the programs write no other code.
pub fn key_role(key: &PeerKey) -> Role {
    Role::from_code(key.role).unwrap_or(Role::Client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_way_through_the_map() {
        let key = PeerKey {
            addr: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            netns: 0xf000_0001,
            port: 8080,
            role: Role::Server as u8,
            scope: 64,
        };
        let bytes = key_bytes(&key);
        let (chunks, rest) = bytes.as_chunks::<8>();
        assert!(rest.is_empty());
        assert_eq!(key_from_words([0, 1, 2].map(|index| u64::from_le_bytes(chunks[index]))), key);
    }

    #[test]
    fn budgets_divide_the_slots_without_gap_or_overlap() {
        let budgets = Budgets { client: 3, server: 5, refused: 2, networks: 4 };
        let mut all: Vec<u32> = budgets.client_slots().collect();
        all.extend(budgets.server_slots());
        all.extend(budgets.refused_slots());
        all.extend(budgets.network_slots());
        all.extend([budgets.other_slot(), budgets.other_slot() + 1]);
        assert_eq!(all, (0..budgets.slots()).collect::<Vec<_>>());
    }
}
