//! How many events a second one core takes from a record's bytes to the readers: decode, enrich, classify, aggregate, publish.
//!
//! Prints one number per round: events per second of CPU time. `cargo bench --package monitor --bench pipeline -- --rounds 5`. No kernel,
//! no privileges, no framework: a round is long enough that the clock costs nothing.
#![expect(clippy::print_stdout, reason = "its result")]

use std::error::Error;
use std::mem::offset_of;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use monitor::aggregate::{Aggregator, Limits, Rest};
use monitor::clock::{Timebase, WallClock};
use monitor::enrich::Enricher;
use monitor::kernel::listening::ListeningReading;
use monitor::kernel::truth::{Budgets, TotalsReading};
use monitor::publish::{Published, Publisher, channel};
use monitor::selection::Selection;
use monitor::settle::Settled;
use monitor::snapshot::hooked::Hooked;
use monitor::story::Stages;
use monitor_common::counters::Kind;
use monitor_common::peer::Role;
use monitor_common::record::{RECORD_BYTES, RECORD_VERSION, Record, known, verdict};
use rustix::time::{ClockId, clock_gettime};

/// Different records, more than the processor's first cache holds.
const RECORDS: u32 = 4_096;
/// Peers they belong to.
const PEERS: u32 = 1_000;
/// CPU time of a round.
const ROUND: Duration = Duration::from_millis(500);
/// Values of the running kernel's `enum sk_rst_reason`, for the lookup of names.
const REASONS: u32 = 24;

fn main() -> Result<(), Box<dyn Error>> {
    let rounds = rounds()?;
    let records: Vec<_> = (0..RECORDS).map(record).collect();
    let mut pipeline = Pipeline::new();
    pipeline.round(&records)?;
    for _ in 0..rounds {
        println!("{:.0}", pipeline.round(&records)?);
    }
    Ok(())
}

/// After `--rounds`; cargo adds arguments of its own.
fn rounds() -> Result<u32, Box<dyn Error>> {
    let number = std::env::args().skip_while(|argument| argument != "--rounds").nth(1);
    Ok(number.map_or(Ok(5), |number| number.parse())?)
}

/// The daemon's stages without its kernel side.
struct Pipeline {
    stages: Stages,
    aggregator: Aggregator,
    publisher: Publisher,
    _readers: Published,
    /// When the last record came.
    taken: Duration,
}

impl Pipeline {
    fn new() -> Self {
        let reasons: Vec<_> = (0..REASONS).map(|code| (code, format!("REASON_{code}"))).collect();
        let mut aggregator = Aggregator::new(
            Limits {
                budgets: Budgets { client: PEERS, server: PEERS, refused: 8, networks: 8 },
                published_peers: 200,
                quiet: Duration::from_mins(10),
                closed_memory: 65_536,
                ring_bytes: 1 << 20,
            },
            Selection::default(),
        );
        let rest = Rest {
            taken: Timestamp::UNIX_EPOCH,
            started: Timestamp::UNIX_EPOCH,
            uptime: Duration::ZERO,
            totals: TotalsReading::default(),
            namespaces: vec![],
            programs: vec![],
            listening: ListeningReading::default(),
            hooked: Hooked::default(),
        };
        let wall = WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO);
        let timebase = Timebase { wall, hz: 250 };
        let first = aggregator.snapshot(std::iter::empty(), std::iter::empty(), Duration::ZERO, rest, false);
        let (publisher, readers, _requests) = channel(Arc::new(first), Arc::from([]));
        Self {
            stages: Stages::new(timebase, Enricher::new(&reasons)),
            aggregator,
            publisher,
            _readers: readers,
            taken: Duration::ZERO,
        }
    }

    /// The way of one record: what `pipeline.rs` of the daemon does with each. The only part to change with it.
    fn take(&mut self, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
        let Self { stages, aggregator, publisher, taken, _readers: _ } = self;
        // As they come at the highest rate that is aimed at: verdicts that wait are settled early, or by time.
        *taken += Duration::from_nanos(500);
        let account = stages.take(bytes, *taken, &mut |settled| match settled {
            Settled::Shown(told) => publisher.event(told),
            Settled::Revised(told) => publisher.revise(told),
            Settled::InBurst(told) => publisher.in_burst(told),
            Settled::Final(told) => aggregator.judge(&told),
        })?;
        aggregator.observe(&account);
        Ok(())
    }

    /// Events per second over a round.
    #[expect(clippy::cast_precision_loss, reason = "a rate")]
    fn round(&mut self, records: &[[u8; RECORD_BYTES]]) -> Result<f64, Box<dyn Error>> {
        let begin = cpu_time();
        let mut taken = 0_usize;
        loop {
            for record in records {
                self.take(record)?;
            }
            taken += records.len();
            let spent = cpu_time().saturating_sub(begin);
            if spent >= ROUND {
                return Ok(taken as f64 / spent.as_secs_f64());
            }
        }
    }
}

/// CPU time of this thread: what a core of its own would take, whoever else is on the machine.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// One of the resets that a loaded host sees, both sent and received, as the kernel programs write them.
fn record(number: u32) -> [u8; RECORD_BYTES] {
    let sent = number.is_multiple_of(2);
    let (kind, role) =
        if sent { (Kind::ResetSent, Role::Client) } else { (Kind::ResetReceived, Role::Server) };
    let peer = number % PEERS;
    let mut address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 0];
    address[12..].copy_from_slice(&(0x0a00_0000 + peer).to_be_bytes());
    let mut bytes = [0; RECORD_BYTES];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    let groups =
        known::SOCKET | known::ROLE | known::STATE_BEFORE | known::BYTES | known::SRTT | known::CGROUP;
    let of_sender = if sent { known::REASON | known::OWNER } else { known::BASELINE };
    put(offset_of!(Record, version), &RECORD_VERSION.to_le_bytes());
    put(offset_of!(Record, known), &(groups | of_sender).to_le_bytes());
    put(offset_of!(Record, time_ns), &(1_000_000_000 + u64::from(number) * 1_000_000).to_le_bytes());
    put(offset_of!(Record, slot), &peer.to_le_bytes());
    put(offset_of!(Record, netns), &4_026_531_840_u32.to_le_bytes());
    put(offset_of!(Record, local_addr), &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 9, 9, 9]);
    put(offset_of!(Record, remote_addr), &address);
    put(offset_of!(Record, local_port), &40_000_u16.to_le_bytes());
    put(offset_of!(Record, remote_port), &5_432_u16.to_le_bytes());
    put(offset_of!(Record, bytes_in), &1_024_u64.to_le_bytes());
    put(offset_of!(Record, bytes_out), &4_096_u64.to_le_bytes());
    put(offset_of!(Record, data_segs_in), &3_u32.to_le_bytes());
    put(offset_of!(Record, data_segs_out), &3_u32.to_le_bytes());
    put(offset_of!(Record, sent_age), &(number % 20_000).to_le_bytes());
    put(offset_of!(Record, received_age), &(number % 19_000).to_le_bytes());
    put(offset_of!(Record, reason), &(number % REASONS).to_le_bytes());
    put(offset_of!(Record, tgid), &4_242_u32.to_le_bytes());
    put(offset_of!(Record, comm), b"impatient");
    put(offset_of!(Record, kind), &[kind as u8]);
    put(offset_of!(Record, role), &[role as u8]);
    put(offset_of!(Record, state), &[if sent { 7 } else { 1 }]);
    put(offset_of!(Record, state_before), &[1]);
    put(offset_of!(Record, linger_zero), &[u8::from(sent && number.is_multiple_of(3))]);
    put(offset_of!(Record, active), &[u8::from(sent)]);
    put(offset_of!(Record, verdicts), &[verdict::COUNTED_RESET | verdict::CARRIED_DATA]);
    bytes
}
