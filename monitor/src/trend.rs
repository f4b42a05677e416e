//! The last day in numbers: readings of counts to what was added in each interval, at falling resolution. Pure.
//!
//! For the page and `/api/v1/history`, where nothing else keeps the past. Times are monotonic and count from the daemon's start; they
//! come in. An interval in which nothing was read is unknown and not 0: a daemon that stood still says so.

mod column;
mod series;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

pub use self::column::Resolution;
use self::column::{Jump, Ring};
pub use self::series::{Key, Series};
use crate::cause::Cause;
use crate::counts::PeerCounts;
use crate::event::Direction;
use crate::selection::SeriesKey;
use crate::snapshot::{CauseCounts, PeerLabel, PeerSeries, Scope, Snapshot};

/// Peers whose past is kept: more than anybody looks at. Those with the most resets have the places.
pub const MOST_PEERS: usize = 64;
/// Columns of all peers together, of 3.3 kB each: 2.7 MB. A peer with resets of three causes has eight.
pub const MOST_COLUMNS: usize = 800;

/// What a reading brings.
#[derive(Clone, Copy, Debug)]
pub struct Reading<'a> {
    /// Counts of all peers.
    pub total: PeerCounts,
    /// Those of the peers with series of their own, of the others together, and of retired ones.
    pub series: &'a [PeerSeries],
    /// Connections that met a full accept queue, as the kernel counts them; `None` where it does not tell.
    pub overflows: Option<u64>,
}

impl<'a> Reading<'a> {
    /// What is in a snapshot.
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let Snapshot { total, series, listening, .. } = snapshot;
        Self { total: *total, series, overflows: listening.listen_overflows }
    }
}

/// Counts as they were read.
type Counts = (PeerCounts, CauseCounts);

/// The past, of all peers together and of those with the most resets.
#[derive(Debug, Default)]
pub struct Trend {
    /// When counts were read last.
    read: Duration,
    /// The time that the newest interval holds.
    at: Duration,
    /// In which intervals counts were read.
    known: Option<Ring<bool>>,
    total: Series,
    peers: Vec<(PeerLabel, Series)>,
    before: HashMap<SeriesKey, Counts>,
    total_before: Counts,
    overflows_before: Option<u64>,
}

impl Trend {
    /// Takes in a reading of `at`, with what was added since the last one. It is put into the interval in which the middle between both
    /// is, since an interval has about two readings.
    pub fn observe(&mut self, at: Duration, reading: Reading<'_>) {
        let Some(since) = at.checked_sub(self.read) else { return };
        let middle = self.read + since / 2;
        self.read = at;
        self.move_on(middle);

        let Reading { total, series, overflows } = reading;
        let causes = series.iter().fold(CauseCounts::default(), |sum, series| sum.plus(&series.causes));
        let total = (total, causes);
        let mut added = added(&total, &self.total_before);
        self.total_before = total;
        // The first reading is what the kernel counted since we attached.
        let more = overflows.map(|now| now.saturating_sub(self.overflows_before.unwrap_or(0)));
        added.extend(more.filter(|more| *more > 0).map(|more| (Key::Overflows, more)));
        self.overflows_before = overflows.or(self.overflows_before);
        self.total.add(&added, |resolution| resolution.interval(middle));

        let mut now = HashMap::with_capacity(series.len());
        for series in series {
            // Counts only move there.
            if series.label.scope == Scope::Retired {
                continue;
            }
            // A peer that has series in several namespaces is one here.
            let key = SeriesKey { netns: series.netns, label: series.label };
            let counts = (series.counts, series.causes);
            let before = self.before.get(&key).copied().unwrap_or_default();
            // One that was retired and came back begins at 0.
            let before = if counts.0.opened < before.0.opened { Counts::default() } else { before };
            self.observe_peer(series.label, &self::added(&counts, &before), middle);
            now.insert(key, counts);
        }
        self.before = now;
    }

    /// The newest interval, which is not over as a rule.
    pub fn newest(&self, resolution: Resolution) -> u64 {
        resolution.interval(self.at)
    }

    /// When that began, since the daemon's start.
    pub fn newest_began(&self, resolution: Resolution) -> Duration {
        Duration::from_secs(self.newest(resolution).saturating_mul(resolution.step().as_secs()))
    }

    /// Whether counts were read in an interval.
    pub fn is_known(&self, resolution: Resolution, interval: u64) -> bool {
        self.known.as_ref().is_some_and(|known| known.get(resolution, interval))
    }

    /// The intervals that are kept, oldest first; those from before the start are left out.
    pub fn intervals(&self, resolution: Resolution) -> std::ops::RangeInclusive<u64> {
        let newest = self.newest(resolution);
        let points = u64::try_from(resolution.points()).unwrap_or(1);
        newest.saturating_sub(points - 1)..=newest
    }

    /// All peers together.
    pub const fn total(&self) -> &Series {
        &self.total
    }

    /// Those whose past is kept, in no order.
    pub fn peers(&self) -> impl Iterator<Item = (PeerLabel, &Series)> {
        self.peers.iter().map(|(label, series)| (*label, series))
    }

    /// The sum over the last `count` intervals, of what is known.
    pub fn sum(&self, series: &Series, key: Key, resolution: Resolution, count: u64) -> u64 {
        let newest = self.newest(resolution);
        let first = newest.saturating_sub(count.saturating_sub(1)).max(*self.intervals(resolution).start());
        (first..=newest).map(|interval| u64::from(series.get(key, resolution, interval))).sum()
    }

    /// Columns that are kept of peers.
    pub fn columns(&self) -> usize {
        self.peers.iter().map(|(_, series)| series.columns()).sum()
    }

    fn move_on(&mut self, to: Duration) {
        let known = self.known.get_or_insert_with(Ring::new);
        for resolution in Resolution::ALL {
            if let Some(jump) = Jump::between(resolution, self.at, to) {
                known.clear(jump);
                self.total.clear(jump);
                self.peers.iter_mut().for_each(|(_, series)| series.clear(jump));
            }
            if let Some(known) = known.at(resolution, resolution.interval(to)) {
                *known = true;
            }
        }
        self.at = to;
    }

    /// Without a place a peer gets one with its next resets, if it has more of them than another has kept.
    fn observe_peer(&mut self, label: PeerLabel, added: &[(Key, u64)], at: Duration) {
        let resets: u64 = added.iter().map(|(key, count)| if key.is_reset() { *count } else { 0 }).sum();
        let mut place = self.peers.iter().position(|(known, _)| *known == label);
        if place.is_none() {
            if resets == 0 || (self.peers.len() == MOST_PEERS && !self.displace(label, resets)) {
                return;
            }
            place = Some(self.peers.len());
            self.peers.push((label, Series::default()));
        }
        let lacking = place.and_then(|place| self.peers.get(place)).map_or(0, |(_, one)| one.lacking(added));
        while self.columns() + lacking > MOST_COLUMNS && self.displace(label, u64::MAX) {}
        // Who made room has moved the others.
        let found = self.peers.iter_mut().find(|(known, _)| *known == label);
        if let Some((_, series)) = found {
            series.add(added, |resolution| resolution.interval(at));
        }
    }

    /// Gives up the place of the peer with the fewest resets, another one than `label`, if these are fewer than `resets`.
    fn displace(&mut self, label: PeerLabel, resets: u64) -> bool {
        let others = self.peers.iter().enumerate().filter(|(_, (known, _))| *known != label);
        let least = others.map(|(place, (_, series))| (series.resets(), place)).min();
        let Some((_, place)) = least.filter(|(kept, _)| *kept < resets) else { return false };
        self.peers.swap_remove(place);
        true
    }
}

/// What was added from one reading to the next, without what was not.
fn added((counts, causes): &Counts, (counts_before, causes_before): &Counts) -> Vec<(Key, u64)> {
    let more = u64::saturating_sub;
    let of_counts = [
        (Key::Opened, more(counts.opened, counts_before.opened)),
        (Key::Closed, more(counts.closed, counts_before.closed)),
        (Key::Exchanges, more(counts.exchanges, counts_before.exchanges)),
        (Key::Reset, more(counts.reset, counts_before.reset)),
        (Key::Aborted, more(counts.aborted, counts_before.aborted)),
        (Key::Refused, more(counts.refused_received, counts_before.refused_received)),
    ];
    let of_causes = Cause::ALL.into_iter().flat_map(|cause| {
        let at = cause as usize;
        [
            (Key::Resets(Direction::Sent, cause), more(causes.sent[at], causes_before.sent[at])),
            (Key::Resets(Direction::Received, cause), more(causes.received[at], causes_before.received[at])),
        ]
    });
    of_counts.into_iter().chain(of_causes).filter(|(_, count)| *count > 0).collect()
}
