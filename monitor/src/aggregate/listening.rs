//! One reading of listeners and tables to what readers see of them: nothing that was counted is ever taken back.

use super::growing::Growing;
use super::listeners::Listeners;
use super::overflows::{Overflows, Sums};
use super::stages::Stages;
use crate::kernel::listening::{ConntrackReading, ListeningReading};
use crate::snapshot::listening::{self, ConntrackRow};

/// What outlives a reading.
#[derive(Debug, Default)]
pub(super) struct Listening {
    listeners: Listeners,
    overflows: Overflows,
    stages: Stages,
    conntrack_drops: Option<Growing>,
    /// The first reading is over: a table that comes later began at zero.
    begun: bool,
}

impl Listening {
    /// One reading.
    pub(super) fn read(&mut self, reading: &ListeningReading) -> listening::Listening {
        let ListeningReading { own, dump, namespaces, conntrack, overflows, conntrack_full } = reading;
        let (sockets, series) = self.listeners.read(dump.as_ref());
        let overflows = overflows.as_ref().map(|reading| self.stages.read(reading, &series));
        let Sums { rows, listen_overflows, listen_drops, challenge_acks, time_wait } =
            self.overflows.read(namespaces);
        let conntrack = self.conntrack(conntrack);
        self.begun = true;
        listening::Listening {
            own: *own,
            sockets,
            beyond: dump.as_ref().map_or(0, |dump| dump.beyond),
            series,
            namespaces: rows,
            overflows,
            listen_overflows,
            listen_drops,
            challenge_acks,
            time_wait,
            // The same number in every namespace.
            orphans: namespaces.iter().find_map(|counters| counters.orphans),
            conntrack,
            conntrack_full: *conntrack_full,
        }
    }

    fn conntrack(&mut self, reading: &ConntrackReading) -> Option<ConntrackRow> {
        let ConntrackReading { entries, limit, drops } = *reading;
        if let Some(now) = drops {
            let base = if self.begun { 0 } else { now };
            self.conntrack_drops.get_or_insert(Growing::since(base)).read_32_bits(now);
        }
        // What was counted stays when the table goes.
        let drops = self.conntrack_drops.map(Growing::sum);
        let row = ConntrackRow { entries, limit, drops };
        (row != ConntrackRow::default()).then_some(row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::listening::OverflowReading;
    use crate::kernel::truth::ListenerReading;
    use crate::snapshot::listening::StageCounts;

    fn reading(drops: Option<u64>) -> ListeningReading {
        let conntrack = ConntrackReading { entries: drops.map(|_| 7), limit: drops.map(|_| 100), drops };
        ListeningReading { conntrack, ..ListeningReading::default() }
    }

    #[test]
    fn nothing_readable_is_unknown_everywhere() {
        let mut listening = Listening::default();
        assert_eq!(listening.read(&ListeningReading::default()), listening::Listening::default());
    }

    #[test]
    fn overflows_of_hooks_and_those_of_counters_are_told_side_by_side() {
        let mut listening = Listening::default();
        let listener = |netns, syn| ListenerReading {
            netns,
            addr: [0, 0, 0, 0].into(),
            port: 80,
            overflows_syn: syn,
            overflows_ack: 1,
        };
        let hooked = |listeners| ListeningReading {
            overflows: Some(OverflowReading { listeners, beyond: 0 }),
            conntrack_full: Some(2),
            ..ListeningReading::default()
        };
        let read = listening.read(&hooked(vec![listener(1, 4), listener(2, 1)]));
        let overflows = read.overflows.unwrap();
        assert_eq!((overflows.total().sum(), read.conntrack_full, read.listen_overflows), (7, Some(2), None));
        // Namespace 2 has ended: its listener stays, as the kernel side never forgets one.
        let later = listening.read(&hooked(vec![listener(1, 5), listener(2, 1)])).overflows.unwrap();
        assert_eq!(later.total(), StageCounts { syn: 6, ack: 2 });
    }

    #[test]
    fn a_table_that_was_there_before_us_has_drops_that_are_not_ours_to_tell() {
        let mut listening = Listening::default();
        let mut read = |drops| listening.read(&reading(drops)).conntrack;
        assert_eq!(read(Some(50)), Some(ConntrackRow { entries: Some(7), limit: Some(100), drops: Some(0) }));
        assert_eq!(read(Some(53)).unwrap().drops, Some(3));
        assert_eq!(read(None), Some(ConntrackRow { entries: None, limit: None, drops: Some(3) }));
        assert_eq!(read(Some(2)).unwrap().drops, Some(5), "a table that came back counts from zero");
    }

    #[test]
    fn a_table_that_comes_later_began_at_zero() {
        let mut listening = Listening::default();
        assert_eq!(listening.read(&reading(None)).conntrack, None);
        assert_eq!(listening.read(&reading(Some(4))).conntrack.unwrap().drops, Some(4));
    }
}
