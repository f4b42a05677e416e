//! What readers see: everything counted, at one moment, complete and consistent.
//!
//! The pipeline builds a snapshot from one reading of the kernel's maps and shares it behind an `Arc`; the metrics
//! page, the API and the page at `/` only read it. Sums over peers in it always equal its totals.

pub mod fine;
pub mod hooked;
pub mod listening;

use std::fmt::Write as _;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::peer::Role;

use self::fine::FineCounts;
use self::hooked::Hooked;
use self::listening::Listening;
use crate::cause::{CAUSES, Cause};
use crate::counts::{PeerCounts, PortCounts, Stories};
use crate::event::Direction;
use crate::live::{Open, Walk};
use crate::owners::Fullness;
use crate::timeouts::{TimeoutRow, TimeoutSeries};

/// Who a row of counts belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// One address.
    Address(IpAddr),
    /// All of a network: peers that came when the budget for single addresses was used up.
    Network(IpAddr, u8),
    /// Every other peer.
    Other,
    /// Peers that were quiet for long enough to give up their place.
    Retired,
}

impl std::fmt::Display for Scope {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(out),
            Self::Network(address, bits) => write!(out, "{address}/{bits}"),
            Self::Other => out.write_str("other"),
            Self::Retired => out.write_str("retired"),
        }
    }
}

impl Scope {
    /// Bytes that are enough for its text: an IPv6 address, and how long its network's prefix is.
    pub const BYTES: usize = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128".len();

    /// Appends its text. Pages name thousands of IPv4 addresses, and formatting one takes several times as long as its four numbers.
    pub fn spell(&self, out: &mut String) {
        match self {
            Self::Address(IpAddr::V4(address)) => {
                let mut digits = itoa::Buffer::new();
                for (octet, separator) in address.octets().into_iter().zip(["", ".", ".", "."]) {
                    out.extend([separator, digits.format(octet)]);
                }
            }
            // Writing to a string cannot fail.
            Self::Address(IpAddr::V6(_)) | Self::Network(..) | Self::Other | Self::Retired => {
                _ = write!(out, "{self}");
            }
        }
    }
}

/// The labels of a peer's series, besides its namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerLabel {
    /// The other end.
    pub scope: Scope,
    /// Service port; `None` for `other` and `retired`, which the label spells like the peer.
    pub port: Option<u16>,
    /// Our role.
    pub role: Role,
}

/// Resets per direction and cause, from stories; [`crate::cause::Cause::Unclassified`] is the kernel's count of untold ones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseCounts {
    /// Sent, indexed by [`crate::cause::Cause`].
    pub sent: [u64; CAUSES],
    /// Received, likewise.
    pub received: [u64; CAUSES],
}

impl CauseCounts {
    /// A single reset.
    pub fn one(direction: Direction, cause: Cause) -> Self {
        let mut one = Self::default();
        match direction {
            Direction::Sent => one.sent[cause as usize] = 1,
            Direction::Received => one.received[cause as usize] = 1,
        }
        one
    }

    /// With the resets that have no story, which only the kernel counted.
    #[must_use]
    pub const fn with_untold(mut self, counts: &PeerCounts) -> Self {
        self.sent[Cause::Unclassified as usize] = counts.untold_sent;
        self.received[Cause::Unclassified as usize] = counts.untold_received;
        self
    }

    /// Sum with another peer's.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for (mine, theirs) in self.sent.iter_mut().zip(other.sent) {
            *mine += theirs;
        }
        for (mine, theirs) in self.received.iter_mut().zip(other.received) {
            *mine += theirs;
        }
        self
    }

    /// What was added since an earlier reading of the same counts.
    #[must_use]
    pub fn since(mut self, earlier: &Self) -> Self {
        for (mine, theirs) in self.sent.iter_mut().zip(earlier.sent) {
            *mine = mine.saturating_sub(theirs);
        }
        for (mine, theirs) in self.received.iter_mut().zip(earlier.received) {
            *mine = mine.saturating_sub(theirs);
        }
        self
    }
}

/// Upper bounds of [`IdleHistogram`]'s buckets in seconds: around the timeouts that servers, proxies and load balancers have by
/// default. What is longer is in one more bucket.
pub const IDLE_BOUNDS: [u16; 19] =
    [1, 5, 10, 15, 20, 30, 45, 55, 60, 65, 75, 90, 120, 180, 300, 350, 600, 900, 3600];

/// How long connections had been quiet.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct IdleHistogram {
    /// How many per bucket, not added up; the last is for what no bound holds.
    pub buckets: [u64; IDLE_BOUNDS.len() + 1],
    /// Sum in seconds.
    pub sum: f64,
    /// The same ones in buckets that tell more.
    pub fine: FineCounts,
}

impl IdleHistogram {
    /// Takes one in.
    pub fn observe(&mut self, idle: Duration) {
        let bucket = IDLE_BOUNDS.partition_point(|bound| Duration::from_secs(u64::from(*bound)) < idle);
        self.buckets[bucket] += 1;
        self.sum += idle.as_secs_f64();
        self.fine.observe(idle);
    }

    /// How many in all.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Takes in all of another one.
    pub fn join(&mut self, other: &Self) {
        let Self { buckets, sum, fine } = other;
        for (mine, theirs) in self.buckets.iter_mut().zip(buckets) {
            *mine += theirs;
        }
        self.sum += sum;
        self.fine.join(fine);
    }
}

/// One peer of one namespace, for the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRow {
    /// Who.
    pub label: PeerLabel,
    /// Namespace; `None` for `other` and `retired`, which span them all.
    pub netns: Option<u32>,
    /// How many.
    pub counts: PeerCounts,
    /// Why; `None` while no reset was ever sent or received, which is most peers.
    pub causes: Option<Box<CauseCounts>>,
    /// What is open; `None` where that is not looked at, and for networks and `retired`: it is with `other` then.
    pub open: Option<Open>,
}

/// What the resets of a peer were like, since it has had series of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResetDetails {
    /// How long its connections had been quiet before.
    pub idle: IdleHistogram,
    /// Numbers of the last events received, by cause; 0 for none.
    pub last_received: [u64; CAUSES],
    /// The same of those sent.
    pub last_sent: [u64; CAUSES],
}

impl ResetDetails {
    /// Takes in a reset, by its event's number.
    pub fn observe(&mut self, direction: Direction, cause: Cause, event: u64, idle: Option<Duration>) {
        let last = match direction {
            Direction::Received => &mut self.last_received,
            Direction::Sent => &mut self.last_sent,
        };
        last[cause as usize] = event;
        if let Some(idle) = idle {
            self.idle.observe(idle);
        }
    }

    /// Takes in all of another one.
    pub fn join(&mut self, other: &Self) {
        let Self { idle, last_received, last_sent } = other;
        self.idle.join(idle);
        for (last, theirs) in [(&mut self.last_received, last_received), (&mut self.last_sent, last_sent)] {
            for (mine, theirs) in last.iter_mut().zip(theirs) {
                *mine = (*mine).max(*theirs);
            }
        }
    }
}

/// One series set of the metrics page: a peer among the top K, `other`, or `retired`.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerSeries {
    /// Namespace; `None` where namespaces are merged, and for `other` and `retired`.
    pub netns: Option<u32>,
    /// The labels.
    pub label: PeerLabel,
    /// How many.
    pub counts: PeerCounts,
    /// Why.
    pub causes: CauseCounts,
    /// What its resets were like; `None` without any, and for `other` and `retired`.
    pub details: Option<Box<ResetDetails>>,
}

/// Open connections of a peer, or of all that have no series of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSeries {
    /// Namespace; `None` where namespaces are merged, and for `other`.
    pub netns: Option<u32>,
    /// The labels.
    pub label: PeerLabel,
    /// Established connections.
    pub open: u64,
    /// Those of them that have been quiet for a second or longer.
    pub idle: u64,
}

/// The last walk over open connections, and what it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkRow {
    /// From its beginning to its end.
    pub took: Duration,
    /// CPU time of that, the kernel's included.
    pub cpu: Duration,
    /// Namespaces that were walked.
    pub walked: usize,
    /// Namespaces that were known and not walked, or not to the end.
    pub left_out: usize,
    /// Since its beginning.
    pub age: Duration,
}

impl WalkRow {
    /// Without what it found, as it is `now`.
    pub fn of(walk: &Walk, now: Duration) -> Self {
        let Walk { live, at: _, began, took, cpu, repeated: _, left_out } = walk;
        Self {
            took: *took,
            cpu: *cpu,
            walked: live.namespaces().len(),
            left_out: *left_out,
            age: now.saturating_sub(*began),
        }
    }
}

/// A local port's series; `None` is the port label `other`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortSeries {
    /// The port.
    pub port: Option<u16>,
    /// How many.
    pub counts: PortCounts,
}

/// Ours against the kernel's, for one network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceRow {
    /// Inode number.
    pub netns: u32,
    /// Resets sent on peers' connections.
    pub resets_sent: u64,
    /// Refusals sent.
    pub refused_sent: u64,
    /// Strays sent.
    pub stray_sent: u64,
    /// `Tcp: OutRsts` since we attached; `None` when no process of the namespace could be read.
    pub kernel_out_resets: Option<u64>,
    /// Ours minus the kernel's; `None` as above.
    pub unattributed: Option<i64>,
    /// Connections that met a full accept queue with their SYN, where that is hooked.
    pub overflows_syn: u64,
    /// Those that met one with the last ACK of their handshake, likewise.
    pub overflows_ack: u64,
    /// Both minus the kernel's `TcpExt: ListenOverflows` since we attached; `None` as above, and where they are not hooked.
    pub unattributed_overflows: Option<i64>,
    /// Resets that netfilter sent, where that is hooked.
    pub reject_sent: u64,
}

impl NamespaceRow {
    /// One in which nothing happened.
    pub const fn of(netns: u32) -> Self {
        Self {
            netns,
            resets_sent: 0,
            refused_sent: 0,
            stray_sent: 0,
            kernel_out_resets: None,
            unattributed: None,
            overflows_syn: 0,
            overflows_ack: 0,
            unattributed_overflows: None,
            reject_sent: 0,
        }
    }
}

/// How full a bounded thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Its name: `client_peers`, `server_peers`, `refused_peers`, `networks`, `closed_memory`, `namespaces`,
    /// `listening_sockets`, `overflowed_listeners`, `open_services`, `ring_bytes`.
    pub name: &'static str,
    /// Used entries; `None` where the kernel does not tell.
    pub used: Option<u64>,
    /// Capacity.
    pub capacity: u64,
}

/// A signal of the product, how it is served on this kernel, and what that misses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalRow {
    /// Name of the signal.
    pub signal: &'static str,
    /// The hook that serves it, `none` if nothing does.
    pub hook: String,
    /// How well.
    pub status: SignalStatus,
    /// Why it is not better, or what it waits for; empty when there is nothing to say.
    pub why: String,
    /// What a user can do about it; empty when nothing.
    pub advice: String,
}

/// How well a signal is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SignalStatus {
    /// As designed.
    Works,
    /// In part.
    Degraded,
    /// Not at all.
    Missing,
}

impl SignalStatus {
    /// As labels, JSON and `check` spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Degraded => "degraded",
            Self::Missing => "missing",
        }
    }
}

/// A kernel program's own account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProgramRow {
    /// Its name.
    pub name: &'static str,
    /// Events that neither it nor its second program saw, because the kernel skips a program that is already running on
    /// the CPU. `None` before 5.12, which does not count them.
    pub missed_runs: Option<u64>,
}

/// Everything counted, at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// When the maps were read.
    pub taken: Timestamp,
    /// When the daemon attached.
    pub started: Timestamp,
    /// Seconds since it attached.
    pub uptime_seconds: f64,
    /// How long reading the maps and building this took, in seconds.
    pub read_seconds: f64,
    /// Every live peer per namespace, then `other`, then `retired`; `None` when the reader did not ask for them: a hundred
    /// thousand rows take longer to make than all the rest.
    pub peers: Option<Vec<PeerRow>>,
    /// Inferred idle timeouts, in no order; `None` as above.
    pub timeouts: Option<Vec<TimeoutRow>>,
    /// What the metrics page shows: at most K peers, then `other` and `retired` of both roles.
    pub series: Vec<PeerSeries>,
    /// Inferred idle timeouts of those among them of which any is known.
    pub timeout_series: Vec<TimeoutSeries>,
    /// Open connections of the same peers, of others while there is room, and the rest; empty before the first walk.
    pub open_series: Arc<[OpenSeries]>,
    /// The last walk over open connections; `None` before the first one.
    pub walk: Option<WalkRow>,
    /// Every local port with refusals or strays, for the API.
    pub port_rows: Vec<(u16, PortCounts)>,
    /// What the metrics page shows of them: a bounded number of ports, then the rest.
    pub ports: Vec<PortSeries>,
    /// Sum over all peers.
    pub total: PeerCounts,
    /// The kernel programs' independent sum of the same, with the exchanges of open connections; equal at rest.
    pub kernel_total: PeerCounts,
    /// Sum over all local ports.
    pub ports_total: PortCounts,
    /// Namespaces with resets sent or overflows.
    pub namespaces: Vec<NamespaceRow>,
    /// Sum of the absolute `unattributed` of all namespaces.
    pub unattributed: u64,
    /// The same of `unattributed_overflows`; `None` where no namespace has it.
    pub unattributed_overflows: Option<u64>,
    /// What function hooks count on this kernel.
    pub hooked: Hooked,
    /// Stories.
    pub stories: Stories,
    /// Sent and received resets per kernel reason name.
    pub reasons: Vec<(Direction, Arc<str>, u64)>,
    /// Idle times before resets, by cause.
    pub idle: Vec<(Cause, IdleHistogram)>,
    /// How far back the closed memory reaches, in seconds; `None` while nothing was pushed out of it.
    pub closed_memory_seconds: Option<f64>,
    /// Bounded things.
    pub fills: Vec<Fill>,
    /// What is known of owners of sockets.
    pub owners: Fullness,
    /// Counts that went to a network or to `other` for want of a slot.
    pub over_budget: u64,
    /// Kernel reads that failed.
    pub failed_reads: u64,
    /// The kernel programs.
    pub programs: Vec<ProgramRow>,
    /// Listeners, and tables that fill up.
    pub listening: Listening,
}
