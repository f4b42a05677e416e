//! The loop: source -> decode -> enrich -> classify -> aggregate -> publish. One task owns all of it, in one direction.
//!
//! Everything that can wake it is in one `select!`: a record, the clock, a reader's request for fresh counts, shutdown.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::{Kind, PeerCounter};
use tokio::sync::{mpsc, watch};

use crate::aggregate::{Aggregator, Limits, Rest};
use crate::classify::classify;
use crate::clock::{self, WallClock};
use crate::decode::{DecodeError, decode, peek_time_ns};
use crate::enrich::Enricher;
use crate::event::{Counted, Event, Told};
use crate::kernel::listening::Listening;
use crate::kernel::load::{Loaded, Programs};
use crate::kernel::namespaces::Namespaces;
use crate::kernel::truth::Truth;
use crate::publish::{Published, Publisher, RefreshRequest, channel};
use crate::snapshot::{SignalRow, Snapshot};
use crate::source::Source;

/// How often time itself wakes the loop: held resets wait for no more than a second.
const BEAT: Duration = Duration::from_secs(1);
/// Counts are read at every so many beats.
const BEATS_PER_TICK: u32 = 5;
/// How long a received reset that may have been data is held: by then its softirq, or the process that handled it, has long
/// sent the reset that would prove it.
const HOLD: Duration = Duration::from_secs(1);
/// How long an unlinked slot is left alone before its last counts are taken: programs run for microseconds.
const UNLINKED: Duration = Duration::from_secs(2);

/// What the loop needs besides the kernel.
#[derive(Debug)]
pub struct Settings {
    /// Limits of what is published.
    pub limits: Limits,
    /// Names of the running kernel's reasons.
    pub enricher: Enricher,
    /// How each signal is served.
    pub signals: Arc<[SignalRow]>,
}

/// The loop's state.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Pipeline {
    source: Source,
    programs: Programs,
    truth: Truth,
    namespaces: Namespaces,
    listening: Listening,
    enricher: Enricher,
    aggregator: Aggregator,
    publisher: Publisher,
    requests: mpsc::Receiver<RefreshRequest>,
    wall: WallClock,
    started: Timestamp,
    started_monotonic: Duration,
    next_id: u64,
    /// Slots without a key, and since when.
    unlinked: Vec<(u32, Duration)>,
    /// One warning per life: the counters tell the rest.
    warned_undecodable: bool,
}

/// The loop ended, and not because it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The ring cannot be waited for.
    #[error("wait for events in the BPF ring")]
    Ring(#[from] std::io::Error),
}

impl Pipeline {
    /// From running programs. Must be called within the runtime.
    pub fn new(
        loaded: Loaded,
        mut listening: Listening,
        settings: Settings,
    ) -> Result<(Self, Published), PipelineError> {
        let Loaded { mut programs, ring, truth } = loaded;
        let Settings { limits, enricher, signals } = settings;
        let (started, started_monotonic) = (clock::now(), clock::monotonic());
        let mut namespaces = Namespaces::start(&truth, started_monotonic);
        let mut aggregator = Aggregator::new(limits);
        let rest = rest(
            &truth,
            &mut namespaces,
            &mut listening,
            &mut programs,
            started,
            started_monotonic,
            started_monotonic,
        );
        let first = aggregator.snapshot(truth.slots(), truth.ports(), started_monotonic, rest, false);
        let (publisher, published, requests) = channel(Arc::new(first), signals);
        let pipeline = Self {
            source: Source::new(ring)?,
            programs,
            truth,
            namespaces,
            listening,
            enricher,
            aggregator,
            publisher,
            requests,
            wall: WallClock::now(),
            started,
            started_monotonic,
            next_id: 1,
            unlinked: Vec::new(),
            warned_undecodable: false,
        };
        Ok((pipeline, published))
    }

    /// Runs until `shutdown` becomes true or its sender is gone.
    pub async fn run(mut self, mut shutdown: watch::Receiver<bool>) -> Result<(), PipelineError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beats = 0u32;
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                _ = beat.tick() => {
                    beats = (beats + 1) % BEATS_PER_TICK;
                    self.beat(beats == 0)?;
                }
                Some(answer) = self.requests.recv() => self.answer(answer)?,
                ready = self.source.ready() => {
                    ready?;
                    self.drain()?;
                }
            }
        }
        self.drain()?;
        Ok(())
    }

    /// Every second: what was held, and every few seconds the counts.
    fn beat(&mut self, tick: bool) -> Result<(), PipelineError> {
        self.wall = WallClock::now();
        self.drain()?;
        self.settle_held();
        if tick {
            let snapshot = self.read(false);
            self.publisher.snapshot(Arc::new(snapshot));
            self.retire();
        }
        Ok(())
    }

    /// One reading answers every request that waits.
    fn answer(&mut self, first: RefreshRequest) -> Result<(), PipelineError> {
        self.drain()?;
        self.settle_held();
        let mut requests = vec![first];
        while let Ok(waiting) = self.requests.try_recv() {
            requests.push(waiting);
        }
        let mut snapshot = self.read(requests.iter().any(|request| request.with_peers));
        let peers = snapshot.peers.take();
        let light = Arc::new(snapshot);
        self.publisher.snapshot(Arc::clone(&light));
        // The rows go to who asked for them, and are not kept.
        let snapshot = match peers {
            Some(peers) => Arc::new(Snapshot { peers: Some(peers), ..(*light).clone() }),
            None => light,
        };
        for RefreshRequest { with_peers: _, answer } in requests {
            // An error only says that the reader has left.
            drop(answer.send(Arc::clone(&snapshot)));
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), PipelineError> {
        let Self { source, wall, enricher, aggregator, publisher, next_id, warned_undecodable, .. } = self;
        source.drain(|bytes| match decode(bytes, wall) {
            Ok(event) => tell(enricher, aggregator, publisher, next_id, event),
            Err(error) => {
                aggregator.observe_undecodable();
                warn_once(warned_undecodable, error);
            }
        })?;
        Ok(())
    }

    /// Counts and tells the received resets that were held and are proven now.
    fn settle_held(&mut self) {
        let now = clock::monotonic();
        let due = |record: &[u8; monitor_common::record::RECORD_BYTES]| {
            now.saturating_sub(Duration::from_nanos(peek_time_ns(record))) >= HOLD
        };
        for record in self.truth.take_held(due) {
            let Ok(event) = decode(&record, &self.wall) else { continue };
            if let Some(slot) = event.slot {
                self.truth.add(slot, PeerCounter::ResetsReceived);
                match event.counted {
                    Some(Counted::Reset) => self.truth.add(slot, PeerCounter::Reset),
                    Some(Counted::Aborted) => self.truth.add(slot, PeerCounter::Aborted),
                    None => {}
                }
            }
            self.truth.add_story(Kind::ResetReceived);
            tell(&self.enricher, &mut self.aggregator, &self.publisher, &mut self.next_id, event);
        }
    }

    fn read(&mut self, with_peers: bool) -> Snapshot {
        let now = clock::monotonic();
        let Self { truth, namespaces, listening, programs, aggregator, .. } = self;
        let rest = rest(truth, namespaces, listening, programs, self.started, self.started_monotonic, now);
        let mut snapshot = aggregator.snapshot(truth.slots(), truth.ports(), now, rest, with_peers);
        snapshot.read_seconds = clock::monotonic().saturating_sub(now).as_secs_f64();
        snapshot
    }

    /// Takes the last counts of slots unlinked a while ago, and unlinks those that may go now.
    fn retire(&mut self) {
        let now = clock::monotonic();
        let (over, waiting): (Vec<_>, Vec<_>) =
            self.unlinked.drain(..).partition(|(_, since)| now.saturating_sub(*since) >= UNLINKED);
        self.unlinked = waiting;
        for (slot, _) in over {
            self.aggregator.retire(slot, self.truth.slot_counts(slot));
            if let Err(error) = self.truth.recycle(slot) {
                tracing::warn!(slot, %error, "a peer's slot could not be put back; one peer less has its own counts");
            }
        }
        for (slot, key) in self.aggregator.retirable(now) {
            match self.truth.unlink(&key) {
                Ok(()) => self.unlinked.push((slot, now)),
                Err(error) => tracing::warn!(slot, %error, "a quiet peer's slot could not be freed"),
            }
        }
    }
}

/// The rest of an event's way, from decoded to published.
fn tell(
    enricher: &Enricher,
    aggregator: &mut Aggregator,
    publisher: &Publisher,
    next_id: &mut u64,
    event: Event,
) {
    let event = enricher.enrich(event);
    let cause = classify(&event);
    aggregator.observe(&event, cause);
    publisher.event(Arc::new(Told { id: *next_id, event, cause }));
    *next_id += 1;
}

fn warn_once(warned: &mut bool, error: DecodeError) {
    if !*warned {
        *warned = true;
        tracing::warn!(%error, "records cannot be understood; see reset_monitor_events_undecodable_total for how many");
    }
}

fn rest(
    truth: &Truth,
    namespaces: &mut Namespaces,
    listening: &mut Listening,
    programs: &mut Programs,
    started: Timestamp,
    started_monotonic: Duration,
    now: Duration,
) -> Rest {
    Rest {
        taken: clock::now(),
        started,
        uptime: now.saturating_sub(started_monotonic),
        totals: truth.totals(),
        namespaces: namespaces.compare(truth, now),
        programs: programs.rows(|at| truth.relieved(at)),
        // After the comparison, which looks for new namespaces.
        listening: listening.read(namespaces),
    }
}
