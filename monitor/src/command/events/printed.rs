//! Which events were printed with a provisional verdict: a bounded memory of ids.

use std::collections::BTreeSet;

/// As many verdicts as wait to become final at a time, at most. What is beyond is forgotten, oldest first.
const ROOM: usize = 4_096;

/// The ids.
#[derive(Debug, Default)]
pub(super) struct Printed(BTreeSet<u64>);

impl Printed {
    /// Remembers one.
    pub(super) fn insert(&mut self, id: u64) {
        self.0.insert(id);
        if self.0.len() > ROOM {
            self.0.pop_first();
        }
    }

    /// Whether it was remembered; it is not needed any more.
    pub(super) fn take(&mut self, id: u64) -> bool {
        self.0.remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::{Printed, ROOM};

    #[test]
    fn only_the_newest_are_remembered_and_each_is_taken_once() {
        let mut printed = Printed::default();
        let newest = ROOM as u64 + 10;
        (1..=newest).for_each(|id| printed.insert(id));
        assert_eq!(printed.0.len(), ROOM);
        assert!(!printed.take(10) && printed.take(11) && printed.take(newest));
        assert!(!printed.take(newest));
    }
}
