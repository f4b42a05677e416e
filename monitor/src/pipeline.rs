//! The loop: source -> decode -> enrich -> classify -> settle -> aggregate -> publish. One task owns all of it, in one
//! direction.
//!
//! Everything that can wake it is in one `select!`: a record, the clock, a verdict that has waited long enough, a reader's
//! request for fresh counts, shutdown.

mod alerting;
mod retiring;
mod walks;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::{Kind, PeerCounter};
use tokio::sync::{mpsc, watch};

use self::alerting::Alerting;
use self::walks::{Kind as WalkKind, Walks};
use crate::aggregate::{Aggregator, Limits, Rest};
use crate::alerts::rules::Rules;
use crate::clock::{self, Timebase, WallClock};
use crate::decode::{DecodeError, decode, peek_time_ns};
use crate::enrich::Enricher;
use crate::event::Counted;
use crate::kernel::listening::Listening;
use crate::kernel::load::Loaded;
use crate::kernel::namespaces::Namespaces;
use crate::kernel::privileges;
use crate::kernel::programs::Programs;
use crate::kernel::truth::Truth;
use crate::kernel::walker::{Answer, Question, Walker};
use crate::owners::Owners;
use crate::publish::{Published, Publisher, RefreshRequest, channel};
use crate::recording::{RecordError, Recorder, Written};
use crate::selection::Selection;
use crate::settle::Settled;
use crate::snapshot::hooked::Hooked;
use crate::snapshot::{SignalRow, Snapshot};
use crate::source::Source;
use crate::story::Stages;
use crate::trend::Reading;

/// How often time itself wakes the loop: held resets wait for no more than a second.
const BEAT: Duration = Duration::from_secs(1);
/// Counts are read at every so many beats.
const BEATS_PER_TICK: u32 = 5;
/// Open connections are walked at every so many beats, unless that costs too much (`walks.rs`): 50,000 of them in so much time are a third of
/// a percent of a CPU. A multiple of the ticks.
const BEATS_PER_WALK: u32 = 15;
/// How old a walk may be that answers a reader who wants peers.
const WALK_AGE: Duration = Duration::from_secs(1);
/// How long after records came the ring is looked at again without being woken: longer than the quiet after which a CPU wakes
/// (`Settings::wake_quiet_ns`), so that what comes without a wake-up comes before a look that finds nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// How long a received reset that may have been data is held: by then its softirq, or the process that handled it, has long
/// sent the reset that would prove it.
const HOLD: Duration = Duration::from_secs(1);

/// What the loop needs besides the kernel.
#[derive(Debug)]
pub struct Settings {
    /// Limits of what is published.
    pub limits: Limits,
    /// Names of the running kernel's reasons.
    pub enricher: Enricher,
    /// Jiffies per second of the running kernel.
    pub hz: u32,
    /// What alerts go by.
    pub alerts: Rules,
    /// Which peers may have series of their own.
    pub selection: Selection,
}

/// The loop's state.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct Pipeline {
    source: Source,
    programs: Programs,
    truth: Truth,
    namespaces: Namespaces,
    /// Sees what the stages are given.
    recorder: Option<Recorder>,
    stages: Stages,
    listening: Listening,
    walks: Walks,
    aggregator: Aggregator,
    alerts: Alerting,
    publisher: Publisher,
    requests: mpsc::Receiver<RefreshRequest>,
    started: Timestamp,
    started_monotonic: Duration,
    /// When to look at the ring again.
    look_again: Option<Duration>,
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
    /// The recording cannot be written.
    #[error(transparent)]
    Record(#[from] RecordError),
}

impl Pipeline {
    /// From running programs. Must be called within the runtime.
    pub fn new(
        loaded: Loaded,
        mut listening: Listening,
        settings: Settings,
    ) -> Result<(Self, Published), PipelineError> {
        let Loaded { mut programs, ring, truth } = loaded;
        let Settings { limits, enricher, hz, alerts, selection } = settings;
        let (started, started_monotonic) = (clock::now(), clock::monotonic());
        let signals = programs.signals();
        listening.set_hooked(Hooked::of(&signals));
        let mut namespaces = Namespaces::start(&truth, started_monotonic);
        let selection = Selection { own: namespaces.own(), ..selection };
        let mut aggregator = Aggregator::new(limits, selection);
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
        let published = published.with_residents(namespaces.residents().clone());
        let alerts = Alerting::new(alerts, started_monotonic);
        publisher.alerts(alerts.report(WallClock::now()));
        let pipeline = Self {
            source: Source::new(ring)?,
            programs,
            truth,
            namespaces,
            recorder: None,
            stages: Stages::new(Timebase { wall: WallClock::now(), hz }, enricher),
            listening,
            walks: Walks::default(),
            aggregator,
            alerts,
            publisher,
            requests,
            started,
            started_monotonic,
            look_again: None,
            unlinked: Vec::new(),
            warned_undecodable: false,
        };
        Ok((pipeline, published))
    }

    /// Records from now on. A full recording ends the run.
    #[must_use]
    pub fn with_recorder(self, recorder: Option<Recorder>) -> Self {
        Self { recorder, ..self }
    }

    /// Walks over open connections from now on.
    #[must_use]
    pub fn with_walker(mut self, walker: Walker) -> Self {
        self.walks = Walks::by(walker);
        self.publisher.signals(self.signals());
        self
    }

    /// Asks who owns the socket of each event that is shown from now on.
    #[must_use]
    pub fn with_owners(self, owners: Owners) -> Self {
        Self { publisher: self.publisher.with_owners(owners), ..self }
    }

    /// Runs until `shutdown` becomes true or its sender is gone. Returns what was recorded, if anything was to be.
    pub async fn run(
        mut self,
        mut shutdown: watch::Receiver<bool>,
    ) -> Result<Option<Written>, PipelineError> {
        let mut beat = tokio::time::interval(BEAT);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut beats = 0u32;
        self.walk(WalkKind::Regular);
        while !self.recorder.as_ref().is_some_and(Recorder::is_full) {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => break,
                _ = beat.tick() => {
                    beats = (beats + 1) % BEATS_PER_WALK;
                    self.beat(beats.is_multiple_of(BEATS_PER_TICK))?;
                    if beats == 0 && self.walks.is_due(clock::monotonic()) {
                        self.walk(WalkKind::Regular);
                    }
                }
                Some(answer) = self.requests.recv() => self.answer(answer)?,
                () = until(self.walks.patience()) => {
                    let waited = self.walks.take_waiting();
                    self.answer_now(waited)?;
                }
                (answer, same) = self.walks.finished() => self.walked(answer, same)?,
                ready = self.source.ready() => {
                    ready?;
                    self.drain()?;
                }
                () = until(self.look_again) => self.drain()?,
                () = until(self.stages.deadline()) => self.settle(),
            }
        }
        self.drain()?;
        let Self { truth, recorder, mut stages, mut aggregator, publisher, .. } = self;
        let now = clock::monotonic();
        stages.finish(now, &mut |settled| deliver(&mut aggregator, &publisher, settled));
        Ok(recorder.map(|recorder| recorder.finish(now, &truth.totals().stories)).transpose()?)
    }

    /// Every second: what was held, and every few seconds the counts.
    fn beat(&mut self, tick: bool) -> Result<(), PipelineError> {
        let hz = self.stages.timebase().hz;
        self.stages.set_timebase(Timebase { wall: WallClock::now(), hz });
        self.drain()?;
        self.settle_held();
        if tick {
            self.attach_awaited();
        }
        let alerts_due = self.alerts.is_due();
        if tick || alerts_due {
            let snapshot = self.read(false);
            if alerts_due {
                let (signals, now) = (self.signals(), clock::monotonic());
                self.alerts.evaluate(&snapshot, &mut self.aggregator, &self.truth, &signals, now);
                self.publisher.alerts(self.alerts.report(self.stages.timebase().wall));
            }
            if tick {
                let at = clock::monotonic().saturating_sub(self.started_monotonic);
                self.publisher.remember(at, Reading::of(&snapshot));
            }
            self.publisher.snapshot(Arc::new(snapshot));
        }
        if tick {
            self.retire();
        }
        Ok(())
    }

    /// Attaches to modules that have been loaded. With the last of them, no capability is needed for it any more.
    fn attach_awaited(&mut self) {
        if self.programs.is_awaiting() && self.programs.attach_awaited() {
            self.listening.set_hooked(Hooked::of(&self.programs.signals()));
            self.publisher.signals(self.signals());
            if !self.programs.is_awaiting() {
                privileges::drop_all_but_needed(&self.programs);
            }
        }
    }

    /// How each signal is served.
    fn signals(&self) -> Arc<[SignalRow]> {
        self.programs.signals().iter().chain(self.walks.signal()).cloned().collect()
    }

    /// Has open connections walked, unless that is under way. The counts of this moment are what those of open connections are added to.
    fn walk(&mut self, kind: WalkKind) {
        if !self.walks.can_begin() {
            return;
        }
        self.aggregator.before_walk(self.truth.slots());
        let others = match kind {
            WalkKind::Regular => Some(self.namespaces.others()),
            WalkKind::Asked => None,
        };
        self.walks.begin(Question { own: self.namespaces.own(), others }, clock::monotonic());
    }

    /// Takes in a walk, and answers who waited for it. Without one there will be none any more.
    fn walked(&mut self, answer: Answer, same_signal: bool) -> Result<(), PipelineError> {
        let Answer { walk, signal } = answer;
        if let Some(walk) = walk {
            self.aggregator.after_walk(walk);
        } else {
            tracing::warn!(why = signal.why, "open connections are not looked at any more");
            self.aggregator.end_walks();
        }
        if !same_signal {
            self.publisher.signals(self.signals());
        }
        if self.walks.take_owed() {
            self.walk(WalkKind::Regular);
        }
        let waited = self.walks.take_waiting();
        if waited.is_empty() { Ok(()) } else { self.answer_now(waited) }
    }

    /// One reading answers every request that waits; who wants peers gets what is open, too, and waits for a walk.
    fn answer(&mut self, first: RefreshRequest) -> Result<(), PipelineError> {
        let mut requests = vec![first];
        while let Ok(waiting) = self.requests.try_recv() {
            requests.push(waiting);
        }
        let now = clock::monotonic();
        if requests.iter().any(|request| request.with_peers) && self.walks.is_older_than(WALK_AGE, now) {
            self.walk(WalkKind::Asked);
        }
        if self.walks.is_under_way() {
            let (waiting, at_once): (Vec<_>, Vec<_>) =
                requests.into_iter().partition(|request| request.with_peers);
            requests = self.walks.wait(waiting, now);
            requests.extend(at_once);
        }
        if requests.is_empty() { Ok(()) } else { self.answer_now(requests) }
    }

    fn answer_now(&mut self, requests: Vec<RefreshRequest>) -> Result<(), PipelineError> {
        self.drain()?;
        self.settle_held();
        let mut snapshot = self.read(requests.iter().any(|request| request.with_peers));
        let (peers, timeouts) = (snapshot.peers.take(), snapshot.timeouts.take());
        let light = Arc::new(snapshot);
        self.publisher.snapshot(Arc::clone(&light));
        // The rows go to who asked for them, and are not kept.
        let snapshot = match peers {
            Some(peers) => Arc::new(Snapshot { peers: Some(peers), timeouts, ..(*light).clone() }),
            None => light,
        };
        for RefreshRequest { with_peers: _, answer } in requests {
            // An error only says that the reader has left.
            drop(answer.send(Arc::clone(&snapshot)));
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<(), PipelineError> {
        let now = clock::monotonic();
        let Self { source, recorder, stages, aggregator, publisher, warned_undecodable, .. } = self;
        let mut some = false;
        source.drain(|bytes| {
            some = true;
            take(recorder, stages, aggregator, publisher, bytes, now)
                .unwrap_or_else(|error| warn_once(warned_undecodable, error));
        })?;
        recorder.as_mut().map_or(Ok(()), Recorder::flush)?;
        self.look_again = look_again(self.look_again, now, some);
        Ok(())
    }

    /// Shows and settles what has waited long enough.
    fn settle(&mut self) {
        let Self { stages, aggregator, publisher, .. } = self;
        stages.advance(clock::monotonic(), &mut |settled| deliver(aggregator, publisher, settled));
    }

    /// Counts and tells the received resets that were held and are proven now.
    fn settle_held(&mut self) {
        let now = clock::monotonic();
        let due = |record: &[u8; monitor_common::record::RECORD_BYTES]| {
            let written = Duration::from_nanos(peek_time_ns(record));
            !written.is_zero() && now.saturating_sub(written) >= HOLD
        };
        for record in self.truth.take_held(due) {
            let Ok(event) = decode(&record, &self.stages.timebase()) else { continue };
            if let Some(slot) = event.slot {
                self.truth.add(slot, PeerCounter::ResetsReceived);
                match event.counted {
                    Some(Counted::Reset) => self.truth.add(slot, PeerCounter::Reset),
                    Some(Counted::Aborted) => self.truth.add(slot, PeerCounter::Aborted),
                    None => {}
                }
            }
            self.truth.add_story(Kind::ResetReceived);
            let Self { recorder, stages, aggregator, publisher, warned_undecodable, .. } = self;
            take(recorder, stages, aggregator, publisher, &record, now)
                .unwrap_or_else(|error| warn_once(warned_undecodable, error));
        }
    }

    fn read(&mut self, with_peers: bool) -> Snapshot {
        let now = clock::monotonic();
        let Self { truth, namespaces, listening, programs, aggregator, .. } = self;
        let rest = rest(truth, namespaces, listening, programs, self.started, self.started_monotonic, now);
        let mut snapshot = aggregator.snapshot(truth.slots(), truth.ports(), now, rest, with_peers);
        snapshot.owners = self.publisher.owners().map(Owners::fullness).unwrap_or_default();
        snapshot.read_seconds = clock::monotonic().saturating_sub(now).as_secs_f64();
        snapshot
    }
}

/// One record's way, from bytes to published.
fn take(
    recorder: &mut Option<Recorder>,
    stages: &mut Stages,
    aggregator: &mut Aggregator,
    publisher: &Publisher,
    bytes: &[u8],
    now: Duration,
) -> Result<(), DecodeError> {
    if let Some(recorder) = recorder
        && !recorder.take(bytes, now, stages.timebase().wall)
    {
        return Ok(());
    }
    let account = stages
        .take(bytes, now, &mut |settled| deliver(aggregator, publisher, settled))
        .inspect_err(|_| aggregator.observe_undecodable())?;
    aggregator.observe(&account);
    Ok(())
}

fn deliver(aggregator: &mut Aggregator, publisher: &Publisher, settled: Settled) {
    match settled {
        Settled::Shown(told) => publisher.event(told),
        Settled::Revised(told) => publisher.revise(told),
        Settled::InBurst(told) => publisher.in_burst(told),
        Settled::Final(told) => aggregator.judge(&told),
    }
}

/// When to look at the ring again, after some or no records were found `now`. A look that was to come still comes: the wake-up of
/// records that an earlier look has taken finds nothing, and more may have come since without one.
fn look_again(before: Option<Duration>, now: Duration, some: bool) -> Option<Duration> {
    if some { Some(now + LOOK_AGAIN) } else { before.filter(|due| *due > now) }
}

/// Never, without a deadline.
async fn until(deadline: Option<Duration>) {
    match deadline {
        Some(deadline) => tokio::time::sleep(deadline.saturating_sub(clock::monotonic())).await,
        None => std::future::pending().await,
    }
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
        listening: listening.read(namespaces, truth),
        hooked: listening.hooked(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ring_is_looked_at_until_nothing_comes_and_a_late_wake_up_changes_nothing() {
        let at = Duration::from_millis;
        let first = look_again(None, at(100), true);
        assert_eq!(first, Some(at(100) + LOOK_AGAIN));
        assert_eq!(look_again(first, at(101), false), first);
        assert_eq!(look_again(first, at(101), true), Some(at(101) + LOOK_AGAIN));
        assert_eq!(look_again(first, at(100) + LOOK_AGAIN, false), None);
        assert_eq!(look_again(None, at(100), false), None);
    }
}
