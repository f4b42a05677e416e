//! What is counted of one peer, or of all: a column for each number that was ever above 0.

use super::column::{Jump, Resolution, Ring};
use crate::cause::Cause;
use crate::event::Direction;

/// What a column counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Connections that became established.
    Opened,
    /// Connections that ended.
    Closed,
    /// Request/response turns, estimated.
    Exchanges,
    /// Connections that ended by a reset, or whose late request met one.
    Reset,
    /// Connections reset on purpose or without data.
    Aborted,
    /// Refusals received.
    Refused,
    /// Connections that met a full accept queue. Of all together only.
    Overflows,
    /// Resets in a direction, of a cause.
    Resets(Direction, Cause),
}

impl Key {
    /// Whether it counts resets or refusals: what a peer has a past for.
    pub const fn is_reset(self) -> bool {
        match self {
            Self::Resets(..) | Self::Refused => true,
            Self::Opened | Self::Closed | Self::Exchanges | Self::Reset | Self::Aborted | Self::Overflows => {
                false
            }
        }
    }
}

/// Columns of one series, each 3.3 kB.
#[derive(Debug, Default)]
pub struct Series {
    columns: Vec<(Key, Ring<u32>)>,
    /// Resets and refusals in the coarsest ring.
    resets: u64,
}

impl Series {
    /// How many columns there are: what its memory goes by.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// Resets and refusals that are kept.
    pub(super) const fn resets(&self) -> u64 {
        self.resets
    }

    /// What is counted.
    pub fn keys(&self) -> impl Iterator<Item = Key> {
        self.columns.iter().map(|(key, _)| *key)
    }

    /// How many there were in an interval; 0 also where nobody looked.
    pub fn get(&self, key: Key, resolution: Resolution, interval: u64) -> u32 {
        self.find(key).map_or(0, |ring| ring.get(resolution, interval))
    }

    /// Columns that are not there yet and would have to be made for these.
    pub(super) fn lacking(&self, added: &[(Key, u64)]) -> usize {
        added.iter().filter(|(key, _)| self.find(*key).is_none()).count()
    }

    /// Adds to the interval of this time at each resolution.
    pub(super) fn add(&mut self, added: &[(Key, u64)], interval: impl Fn(Resolution) -> u64) {
        for (key, count) in added {
            let count = u32::try_from(*count).unwrap_or(u32::MAX);
            if key.is_reset() {
                self.resets += u64::from(count);
            }
            let place = self.columns.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                self.columns.push((*key, Ring::new()));
                self.columns.len() - 1
            });
            let Some((_, ring)) = self.columns.get_mut(place) else { continue };
            for resolution in Resolution::ALL {
                if let Some(point) = ring.at(resolution, interval(resolution)) {
                    *point = point.saturating_add(count);
                }
            }
        }
    }

    pub(super) fn clear(&mut self, jump: Jump) {
        let mut forgotten = 0;
        for (key, ring) in &mut self.columns {
            if key.is_reset() && jump.resolution == Resolution::Coarse {
                let points = jump.first..jump.first + jump.count;
                forgotten += points.map(|at| u64::from(ring.get(jump.resolution, at))).sum::<u64>();
            }
            ring.clear(jump);
        }
        self.resets = self.resets.saturating_sub(forgotten);
    }

    fn find(&self, key: Key) -> Option<&Ring<u32>> {
        self.columns.iter().find(|(known, _)| *known == key).map(|(_, ring)| ring)
    }
}
