//! What was counted of peers at the last evaluations, for those that had resets of late. Pure.
//!
//! Most peers never have a reset. Of each slot two readings of connections closed and of exchanges are kept, a window apart; only who has
//! resets gets a history, and loses it when there were none for a window. The first window of a history thus has exact resets, and of the
//! rest the straight line between the readings, with what it can have been at least and at most; from then on all is exact.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use super::PeerReading;
use super::subject::Subject;
use super::ticks::{Base, Ticks, Trail};

/// Values that all histories hold together at most, 24 bytes each: 4 MB, or 6 MB with the room that they grow by. With evaluations every 15 s and
/// windows of 10 minutes, histories of 4,096 peers, 1.5 kB each. Of more peers with resets at the same time, those with the fewest go without.
const MOST_VALUES: usize = 4_096 * 42;
/// Half of what a count can hold: a step that is larger was one back.
const BACK: u32 = u32::MAX / 2;

/// Counts of a peer, as far as alerts go by them. Only differences are asked for, so the low halves will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) resets: Resets,
    pub(super) volume: Volume,
}

/// What alerts begin with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resets {
    /// Connections reset.
    pub(super) reset: u32,
    /// Resets sent and received with that cause.
    pub(super) idle_reuse: u32,
    /// Likewise.
    pub(super) middlebox: u32,
}

/// What their share is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Volume {
    pub(super) closed: u32,
    pub(super) exchanges: u32,
}

/// What was added in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Added {
    pub(super) resets: Resets,
    /// Along the line.
    pub(super) volume: Volume,
    /// At least.
    pub(super) least: Volume,
    /// At most.
    pub(super) most: Volume,
}

/// What had been counted of one at the beginning of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Before {
    resets: Resets,
    volume: Volume,
    /// At least.
    least: Volume,
    /// At most.
    most: Volume,
}

/// A peer with resets.
#[derive(Debug, Default)]
struct Row {
    /// As of the last evaluation, while it has no history: nothing happened since.
    rest: Resets,
    history: Option<Box<History>>,
}

/// One that had some of late.
#[derive(Debug)]
struct History {
    subject: Subject,
    /// Before the first value.
    before: Resets,
    values: Trail<Sample>,
    /// The last evaluation that had it.
    seen: u32,
}

/// A peer that may get a history.
#[derive(Debug)]
struct Newcomer {
    slot: u32,
    subject: Subject,
    before: Resets,
    now: Sample,
}

/// All of them.
#[derive(Debug)]
pub(super) struct Peers {
    /// By slot: at the last two times in [`Peers::marked`].
    marks: Vec<[Volume; 2]>,
    marked: [Duration; 2],
    /// The longest window in which volume is asked for: between marks.
    period: Duration,
    /// The longest window of any.
    longest: Duration,
    rows: HashMap<u32, Row>,
    histories: usize,
    most: usize,
    /// Peers that had to go without a history.
    left_out: u64,
}

impl Peers {
    /// Counts began at 0 when the daemon `started`. Windows are `longest` at most, and those of shares `period`.
    pub(super) fn new(longest: Duration, period: Duration, ticks: &Ticks, started: Duration) -> Self {
        Self {
            marks: Vec::new(),
            marked: [started; 2],
            period,
            longest,
            rows: HashMap::new(),
            histories: 0,
            most: (MOST_VALUES / ticks.most()).max(1),
            left_out: 0,
        }
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Takes in the counts of all peers.
    pub(super) fn take(
        &mut self,
        peers: impl Iterator<Item = PeerReading>,
        tick: u32,
        now: Duration,
        ticks: &Ticks,
    ) {
        let marking = now.saturating_sub(self.marked[1]) >= self.period;
        if marking {
            self.marked = [self.marked[1], now];
        }
        let mut newcomers = Vec::new();
        for peer in peers {
            let sample = Sample::of(&peer);
            if self.went_back(peer.slot, &sample) {
                self.forget(peer.slot);
            }
            self.mark(peer.slot, sample.volume, marking);
            newcomers.extend(self.note(&peer, sample, tick, ticks.oldest()));
        }
        // A peer that is not there any more has no alerts; its successor begins anew.
        let gone = |row: &Row| row.history.as_ref().is_some_and(|history| history.seen != tick);
        self.rows.retain(|_, row| !gone(row));
        self.rest(ticks);
        self.admit(newcomers, tick, ticks.oldest());
    }

    /// What was added in a window, of each peer with a history.
    pub(super) fn increases<'a>(
        &'a self,
        ticks: &'a Ticks,
    ) -> impl Iterator<Item = (&'a Subject, impl Fn(Base) -> Added + 'a)> {
        self.rows.iter().filter_map(move |(slot, row)| {
            let history = row.history.as_deref()?;
            let now = history.values.last()?;
            let since = move |base| match base {
                Base::Start => now.since(&Before::default()),
                Base::Tick(tick) => now.since(&self.at(*slot, history, tick, ticks)),
            };
            Some((&history.subject, since))
        })
    }

    /// A slot has been given back: whoever has it next begins at 0.
    pub(super) fn forget(&mut self, slot: u32) {
        if let Some(marks) = self.marks.get_mut(slot as usize) {
            *marks = Default::default();
        }
        if self.rows.remove(&slot).is_some_and(|row| row.history.is_some()) {
            self.histories -= 1;
        }
    }

    fn went_back(&self, slot: u32, now: &Sample) -> bool {
        let back = |now: u32, before: u32| now.wrapping_sub(before) > BACK;
        let volume = |before: &Volume| {
            back(now.volume.closed, before.closed) || back(now.volume.exchanges, before.exchanges)
        };
        let resets = |before: &Resets| {
            back(now.resets.reset, before.reset)
                || back(now.resets.idle_reuse, before.idle_reuse)
                || back(now.resets.middlebox, before.middlebox)
        };
        let last = self.rows.get(&slot).map(|row| {
            let last = row.history.as_ref().and_then(|history| history.values.last());
            last.map_or((row.rest, None), |last| (last.resets, Some(last.volume)))
        });
        self.marks.get(slot as usize).is_some_and(|[_, mark]| volume(mark))
            || last.is_some_and(|(last, of)| resets(&last) || of.as_ref().is_some_and(volume))
    }

    fn mark(&mut self, slot: u32, volume: Volume, marking: bool) {
        if !marking {
            return;
        }
        let place = slot as usize;
        if place >= self.marks.len() {
            self.marks.resize_with(place + 1, Default::default);
        }
        let [_, last] = self.marks[place];
        self.marks[place] = [last, volume];
    }

    /// Notes a peer's counts, if it had resets. It is a newcomer when it had some since the last evaluation and has no history.
    fn note(&mut self, peer: &PeerReading, now: Sample, tick: u32, oldest: u32) -> Option<Newcomer> {
        let row = match self.rows.get_mut(&peer.slot) {
            Some(row) => row,
            None if now.resets == Resets::default() => return None,
            None => self.rows.entry(peer.slot).or_default(),
        };
        if let Some(history) = &mut row.history {
            history.values.note(tick, now, oldest);
            history.seen = tick;
            return None;
        }
        let before = std::mem::replace(&mut row.rest, now.resets);
        let subject = Subject::Peer { netns: peer.netns, label: peer.label };
        (before != now.resets).then_some(Newcomer { slot: peer.slot, subject, before, now })
    }

    /// Lets go of histories without a reset in the longest window.
    fn rest(&mut self, ticks: &Ticks) {
        let base = ticks.base(self.longest);
        let mut histories = 0;
        for row in self.rows.values_mut() {
            let Some(history) = &row.history else { continue };
            let now = history.values.last().unwrap_or_default().resets;
            let then = match base {
                Some(Base::Tick(tick)) => history.resets_at(tick),
                Some(Base::Start) => Resets::default(),
                None => history.before,
            };
            if now == then {
                *row = Row { rest: now, history: None };
            } else {
                histories += 1;
            }
        }
        self.histories = histories;
    }

    /// Gives newcomers a history. When there is not room for all, those with the most resets have it.
    fn admit(&mut self, mut newcomers: Vec<Newcomer>, tick: u32, oldest: u32) {
        let room = self.most.saturating_sub(self.histories);
        let excess = newcomers.len().saturating_sub(room);
        if excess > 0 {
            newcomers.sort_unstable_by_key(|newcomer| (Reverse(newcomer.resets()), newcomer.slot));
            let displaced = self.displace(&newcomers[room..]);
            newcomers.truncate(room + displaced);
            self.left_out += excess as u64;
        }
        for Newcomer { slot, subject, before, now } in newcomers {
            let mut values = Trail::default();
            values.note(tick, now, oldest);
            let history = Box::new(History { subject, before, values, seen: tick });
            self.rows.entry(slot).or_default().history = Some(history);
            self.histories += 1;
        }
    }

    /// Takes the histories with the fewest resets from who has them, as long as newcomers have more. How many.
    fn displace(&mut self, newcomers: &[Newcomer]) -> usize {
        let resets = |history: &History| {
            history.values.last().unwrap_or_default().resets.reset.wrapping_sub(history.before.reset)
        };
        let mut weakest: Vec<(u32, u32)> = self
            .rows
            .iter()
            .filter_map(|(slot, row)| Some((resets(row.history.as_deref()?), *slot)))
            .collect();
        weakest.sort_unstable();
        let pairs = newcomers.iter().zip(weakest);
        let mut displaced = 0;
        for (_, (_, slot)) in pairs.take_while(|(newcomer, (resets, _))| newcomer.resets() > *resets) {
            if let Some(row) = self.rows.get_mut(&slot)
                && let Some(history) = row.history.take()
            {
                row.rest = history.values.last().unwrap_or_default().resets;
                self.histories -= 1;
                displaced += 1;
            }
        }
        displaced
    }

    /// A peer's counts at an evaluation.
    fn at(&self, slot: u32, history: &History, tick: u32, ticks: &Ticks) -> Before {
        if let Some(Sample { resets, volume }) = history.values.at(tick) {
            return Before { resets, volume, least: volume, most: volume };
        }
        let before = Before { resets: history.before, ..Before::default() };
        let Some(((first, value), time)) = history.values.first().zip(ticks.time(tick)) else {
            return before;
        };
        let [older, newer] = self.marks.get(slot as usize).copied().unwrap_or_default();
        let began = ticks.time(first).unwrap_or(time);
        let known = [(self.marked[0], older), (self.marked[1], newer), (began, value.volume)];
        let [volume, least, most] = between(&known, time);
        Before { volume, least, most, ..before }
    }

    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize, usize) {
        let values = |row: &Row| row.history.as_ref().map_or(0, |history| history.values.len());
        (self.histories, self.rows.values().map(values).sum(), self.marks.len())
    }
}

impl History {
    fn resets_at(&self, tick: u32) -> Resets {
        self.values.at(tick).map_or(self.before, |sample| sample.resets)
    }
}

impl Newcomer {
    const fn resets(&self) -> u32 {
        self.now.resets.reset.wrapping_sub(self.before.reset)
    }
}

impl Sample {
    const fn of(peer: &PeerReading) -> Self {
        let PeerReading { slot: _, netns: _, label: _, reset, closed, exchanges, idle_reuse, middlebox } =
            *peer;
        Self {
            resets: Resets { reset: low(reset), idle_reuse: low(idle_reuse), middlebox: low(middlebox) },
            volume: Volume { closed: low(closed), exchanges: low(exchanges) },
        }
    }

    const fn since(self, before: &Before) -> Added {
        let Before { resets, volume, least, most } = before;
        Added {
            resets: Resets {
                reset: self.resets.reset.wrapping_sub(resets.reset),
                idle_reuse: self.resets.idle_reuse.wrapping_sub(resets.idle_reuse),
                middlebox: self.resets.middlebox.wrapping_sub(resets.middlebox),
            },
            volume: self.volume.since(*volume),
            // The more there was before, the less was added.
            least: self.volume.since(*most),
            most: self.volume.since(*least),
        }
    }
}

impl Volume {
    const fn since(self, before: Self) -> Self {
        Self {
            closed: self.closed.wrapping_sub(before.closed),
            exchanges: self.exchanges.wrapping_sub(before.exchanges),
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is asked for")]
const fn low(count: u64) -> u32 {
    count as u32
}

/// The straight line between the two of the known values that the time lies between, and those two; outside of them the nearest one.
fn between(known: &[(Duration, Volume)], time: Duration) -> [Volume; 3] {
    let before = known.iter().filter(|(at, _)| *at <= time).max_by_key(|(at, _)| *at);
    let after = known.iter().filter(|(at, _)| *at > time).min_by_key(|(at, _)| *at);
    match (before, after) {
        (Some((from, low)), Some((to, high))) => {
            let (part, whole) =
                (time.saturating_sub(*from).as_millis(), to.saturating_sub(*from).as_millis());
            let step = |low: u32, high: u32| {
                let more = u128::from(high.wrapping_sub(low)) * part / whole.max(1);
                low.wrapping_add(u32::try_from(more).unwrap_or(u32::MAX))
            };
            let line = Volume {
                closed: step(low.closed, high.closed),
                exchanges: step(low.exchanges, high.exchanges),
            };
            [line, *low, *high]
        }
        (Some((_, only)), None) | (None, Some((_, only))) => [*only; 3],
        (None, None) => [Volume::default(); 3],
    }
}
