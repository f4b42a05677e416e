//! Stories by slot: how many of each direction and cause.

use std::collections::HashMap;

use crate::cause::Cause;
use crate::counts::PeerCounts;
use crate::event::Direction;
use crate::snapshot::CauseCounts;

/// Few peers have stories, and those have few causes. One look tells of a peer without any: there are many of these in each reading.
#[derive(Debug, Default)]
pub(super) struct Stories(HashMap<u32, Vec<(Direction, Cause, u64)>>);

impl Stories {
    /// One more.
    pub(super) fn observe(&mut self, slot: u32, direction: Direction, cause: Cause) {
        let counts = self.0.entry(slot).or_default();
        match counts.iter_mut().find(|(of, by, _)| (*of, *by) == (direction, cause)) {
            Some((_, _, count)) => *count += 1,
            None => counts.push((direction, cause, 1)),
        }
    }

    /// Those of a slot; `None` without any.
    pub(super) fn of(&self, slot: u32) -> Option<CauseCounts> {
        let mut causes = CauseCounts::default();
        for (direction, cause, count) in self.0.get(&slot)? {
            let counts = match direction {
                Direction::Sent => &mut causes.sent,
                Direction::Received => &mut causes.received,
            };
            counts[*cause as usize] = *count;
        }
        Some(causes)
    }

    /// The same with what was counted and never told; `None` if there is neither.
    pub(super) fn with_untold(&self, slot: u32, counts: &PeerCounts) -> Option<CauseCounts> {
        let untold = counts.untold_sent + counts.untold_received > 0;
        let causes = self.of(slot).or_else(|| untold.then(CauseCounts::default))?;
        Some(causes.with_untold(counts))
    }

    /// How many of a cause, sent and received.
    pub(super) fn count(&self, slot: u32, cause: Cause) -> u64 {
        let counts = self.0.get(&slot).into_iter().flatten();
        counts.filter(|(_, of, _)| *of == cause).map(|(_, _, count)| count).sum()
    }

    /// The slot is free.
    pub(super) fn forget(&mut self, slot: u32) {
        self.0.remove(&slot);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cause, Direction, PeerCounts, Stories};

    #[test]
    fn a_slot_has_its_own_stories_until_it_is_free() {
        let mut stories = Stories::default();
        for direction in [Direction::Sent, Direction::Received, Direction::Sent] {
            stories.observe(7, direction, Cause::StaleIdle);
        }
        stories.observe(8, Direction::Sent, Cause::Other);
        let of = stories.of(7).unwrap();
        assert_eq!(of.sent[Cause::StaleIdle as usize], 2);
        assert_eq!(of.received[Cause::StaleIdle as usize], 1);
        assert_eq!((of.sent.iter().sum::<u64>(), stories.count(7, Cause::StaleIdle)), (2, 3));
        assert_eq!(stories.count(7, Cause::Other), 0);
        stories.forget(7);
        assert!(stories.of(7).is_none() && stories.of(8).is_some());
    }

    #[test]
    fn what_was_never_told_shows_too() {
        let stories = Stories::default();
        assert_eq!(stories.with_untold(7, &PeerCounts::default()), None);
        let counts = PeerCounts { resets_sent: 3, untold_sent: 3, ..PeerCounts::default() };
        let causes = stories.with_untold(7, &counts).unwrap();
        assert_eq!(causes.sent[Cause::Unclassified as usize], 3);
    }
}
