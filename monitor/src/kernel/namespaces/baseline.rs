//! A counter of the kernel beside ours of the same, per namespace: where the comparison began, and how far apart they are.

use std::collections::HashMap;

/// A namespace under load is read again this often to catch a quiet moment.
pub(super) const TRIES: usize = 5;

/// Where the comparison of each namespace began.
#[derive(Debug, Default)]
pub(super) struct Baselines(HashMap<u32, Baseline>);

#[derive(Clone, Copy, Debug)]
struct Baseline {
    /// Theirs minus ours when we began to compare.
    offset: i64,
    /// Theirs then or later.
    theirs: u64,
    /// Ours likewise.
    ours: i64,
}

/// One comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Compared {
    /// Theirs since the comparison began.
    pub(super) theirs: u64,
    /// Ours minus theirs.
    pub(super) difference: i64,
}

impl Baselines {
    /// `theirs` was read between two readings of `ours`: what changed in between is not a difference. `older` says that the
    /// namespace was there before we looked at it, so that what both counted before is not compared. `None` when the comparison
    /// would begin while ours changes.
    pub(super) fn compare(
        &mut self,
        netns: u32,
        older: bool,
        theirs: u64,
        ours: [i64; 2],
    ) -> Option<Compared> {
        let [first, last] = ours;
        let since = self.since(netns, older, theirs, ours)?;
        Some(Compared {
            theirs: u64::try_from(since).unwrap_or(0),
            difference: since.clamp(first, last) - since,
        })
    }

    /// Whether ours is what it was when the namespace was last compared.
    pub(super) fn is_settled(&self, netns: u32, ours: i64) -> bool {
        self.0.get(&netns).is_some_and(|baseline| baseline.ours == ours)
    }

    /// Forgets namespaces that were lost sight of: whoever has the number next begins anew.
    pub(super) fn retain(&mut self, is_known: impl Fn(u32) -> bool) {
        self.0.retain(|netns, _| is_known(*netns));
    }

    fn since(&mut self, netns: u32, older: bool, theirs: u64, [first, last]: [i64; 2]) -> Option<i64> {
        let signed = i64::try_from(theirs).unwrap_or(i64::MAX);
        let began = match self.0.get(&netns) {
            Some(baseline) if theirs >= baseline.theirs => Some(baseline.offset),
            // The number was given to a new namespace.
            Some(_) => None,
            // Ours more than theirs at first sight: the number was another namespace's, and some of ours are its.
            None => (!older && last <= signed).then_some(0),
        };
        let offset = began.or_else(|| (first == last).then_some(signed - last))?;
        self.0.insert(netns, Baseline { offset, theirs, ours: last });
        Some(signed - offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(baselines: &mut Baselines, older: bool, theirs: u64, ours: [i64; 2]) -> i64 {
        baselines.compare(7, older, theirs, ours).unwrap().difference
    }

    #[test]
    fn what_an_older_namespace_counted_before_is_left_out_and_what_is_missed_then_is_told() {
        let mut baselines = Baselines::default();
        assert_eq!(difference(&mut baselines, true, 100, [0, 0]), 0);
        assert_eq!(difference(&mut baselines, true, 103, [3, 3]), 0);
        assert_eq!(difference(&mut baselines, true, 105, [3, 3]), -2, "two were missed");
        assert_eq!(difference(&mut baselines, true, 105, [6, 6]), 1, "one was counted that they did not");
        assert_eq!(baselines.compare(7, true, 105, [6, 6]).unwrap().theirs, 5);
    }

    #[test]
    fn a_newer_namespace_began_at_zero() {
        assert_eq!(difference(&mut Baselines::default(), false, 4, [4, 4]), 0);
        assert_eq!(difference(&mut Baselines::default(), false, 4, [1, 1]), -3);
        assert_eq!(difference(&mut Baselines::default(), false, 1, [4, 4]), 0, "some of ours are another's");
    }

    #[test]
    fn what_changed_between_our_readings_is_no_difference() {
        let mut baselines = Baselines::default();
        baselines.compare(7, true, 0, [0, 0]);
        for theirs in 3..=9 {
            assert_eq!(difference(&mut baselines, true, theirs, [3, 9]), 0);
        }
        assert_eq!(difference(&mut baselines, true, 11, [3, 9]), -2, "more than we ever had");
    }

    #[test]
    fn a_comparison_begins_at_a_quiet_moment() {
        let mut baselines = Baselines::default();
        assert_eq!(baselines.compare(7, true, 100, [0, 1]), None);
        assert_eq!(difference(&mut baselines, true, 101, [1, 1]), 0);
        assert_eq!(baselines.compare(8, false, 1, [0, 1]), Some(Compared { theirs: 1, difference: 0 }));
    }

    #[test]
    fn a_number_that_is_given_to_a_new_namespace_begins_anew() {
        let mut baselines = Baselines::default();
        baselines.compare(7, true, 50, [5, 5]);
        assert_eq!(difference(&mut baselines, true, 2, [7, 7]), 0);
        assert!(baselines.is_settled(7, 7) && !baselines.is_settled(7, 8) && !baselines.is_settled(8, 0));
        baselines.retain(|_| false);
        assert!(!baselines.is_settled(7, 7));
        assert_eq!(difference(&mut baselines, true, 90, [7, 7]), 0);
    }
}
