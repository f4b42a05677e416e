//! In which order peers come: by any of their columns, each the way round that people want first, or the other one.

use std::cmp::Reverse;

use super::PeerSort;
use crate::cause::Cause;
use crate::event::role_name;
use crate::snapshot::{CauseCounts, PeerLabel, PeerRow};

/// Which way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Order {
    /// The smallest, or the first of the alphabet, first.
    Asc,
    /// The largest, or the last of the alphabet, first.
    Desc,
}

impl Order {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Asc, Self::Desc];

    /// As the query parameter `order` spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Asc => "asc",
            Self::Desc => "desc",
        }
    }

    /// The other one.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::Asc => Self::Desc,
            Self::Desc => Self::Asc,
        }
    }
}

/// What rows are compared by. One order has one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Numbers(u64, u64),
    Word(&'static str),
    Name(PeerLabel, Option<u32>),
}

/// Sorts. What is not known comes last either way; equal rows stand by name.
pub(super) fn sort(rows: &mut [&PeerRow], by: PeerSort, order: Order) {
    let name = |row: &PeerRow| (row.label, row.netns);
    match order {
        Order::Asc => rows.sort_by_cached_key(|row| {
            let rank = rank(by, row);
            (rank.is_none(), rank, name(row))
        }),
        Order::Desc => rows.sort_by_cached_key(|row| (Reverse(rank(by, row)), name(row))),
    }
}

fn rank(by: PeerSort, row: &PeerRow) -> Option<Rank> {
    let counts = &row.counts;
    let number = |number| Some(Rank::Numbers(number, 0));
    match by {
        PeerSort::Resets => {
            Some(Rank::Numbers(counts.resets_sent + counts.resets_received, counts.refused_received))
        }
        PeerSort::Received => number(counts.resets_received),
        PeerSort::Sent => number(counts.resets_sent),
        PeerSort::Refused => number(counts.refused_received),
        // The bits of floating-point numbers that are not negative are in the order of the numbers.
        PeerSort::Ratio => row.counts.reset_ratio().and_then(|ratio| number(ratio.to_bits())),
        PeerSort::Reset => number(counts.reset),
        PeerSort::Aborted => number(counts.aborted),
        PeerSort::Opened => number(counts.opened),
        PeerSort::Closed => number(counts.closed),
        PeerSort::Exchanges => number(counts.exchanges),
        PeerSort::Open => row.open.and_then(|open| number(open.open)),
        PeerSort::Idle => row.open.and_then(|open| number(open.idle)),
        PeerSort::Netns => row.netns.and_then(|netns| number(netns.into())),
        PeerSort::Cause => row.causes.as_deref().and_then(main_cause).map(|cause| Rank::Word(cause.name())),
        PeerSort::Role => Some(Rank::Word(role_name(row.label.role))),
        PeerSort::Peer => Some(Rank::Name(row.label, row.netns)),
    }
}

/// The cause of most resets, in either direction: the one that [`crate::http::convert::main_cause`] finds in the answer.
pub(super) fn main_cause(causes: &CauseCounts) -> Option<Cause> {
    let sums = causes.sent.iter().zip(&causes.received).map(|(sent, received)| sent + received);
    let (cause, sum) = Cause::ALL.into_iter().zip(sums).max_by_key(|(cause, sum)| (*sum, cause.name()))?;
    (sum > 0).then_some(cause)
}

#[cfg(test)]
mod tests {
    use monitor_common::peer::Role;

    use super::{Order, main_cause, sort};
    use crate::cause::Cause;
    use crate::counts::PeerCounts;
    use crate::http::convert;
    use crate::http::filter::PeerSort;
    use crate::live::Open;
    use crate::snapshot::{CauseCounts, PeerLabel, PeerRow, Scope};

    /// Peers 1 to 3: each column puts them into an order of its own; the second has nothing that may be unknown.
    fn rows() -> Vec<PeerRow> {
        let row = |address: [u8; 4], role, [closed, reset, sent, received]: [u64; 4], cause, open| {
            let mut causes = CauseCounts::default();
            causes.sent[cause as usize] = sent;
            PeerRow {
                label: PeerLabel { scope: Scope::Address(address.into()), port: Some(80), role },
                netns: Some(1),
                counts: PeerCounts {
                    closed,
                    reset,
                    resets_sent: sent,
                    resets_received: received,
                    ..PeerCounts::default()
                },
                causes: (sent > 0).then(|| Box::new(causes)),
                open,
            }
        };
        let open = |open, idle| {
            let mut sums = Open::default();
            (sums.open, sums.idle) = (open, idle);
            Some(sums)
        };
        vec![
            row([10, 0, 0, 1], Role::Server, [100, 2, 5, 0], Cause::UnreadData, open(1, 1)),
            row([10, 0, 0, 2], Role::Client, [0, 0, 0, 9], Cause::Other, None),
            row([10, 0, 0, 3], Role::Client, [50, 3, 4, 2], Cause::IdleReuse, open(7, 0)),
        ]
    }

    #[track_caller]
    fn check(by: PeerSort, ascending: [u8; 3], descending: [u8; 3]) {
        let rows = rows();
        for (order, wanted) in [(Order::Asc, ascending), (Order::Desc, descending)] {
            let mut sorted: Vec<&PeerRow> = rows.iter().collect();
            sort(&mut sorted, by, order);
            let last = |row: &&PeerRow| row.label.scope.to_string().bytes().last().unwrap() - b'0';
            assert_eq!(sorted.iter().map(last).collect::<Vec<_>>(), wanted, "{by:?} {order:?}");
        }
    }

    #[test]
    fn every_column_is_an_order_both_ways_and_what_is_unknown_comes_last() {
        check(PeerSort::Resets, [1, 3, 2], [2, 3, 1]);
        check(PeerSort::Received, [1, 3, 2], [2, 3, 1]);
        check(PeerSort::Sent, [2, 3, 1], [1, 3, 2]);
        check(PeerSort::Closed, [2, 3, 1], [1, 3, 2]);
        check(PeerSort::Reset, [2, 1, 3], [3, 1, 2]);
        check(PeerSort::Ratio, [1, 3, 2], [3, 1, 2]);
        check(PeerSort::Open, [1, 3, 2], [3, 1, 2]);
        check(PeerSort::Idle, [3, 1, 2], [1, 3, 2]);
        check(PeerSort::Cause, [3, 1, 2], [1, 3, 2]);
        check(PeerSort::Role, [2, 3, 1], [1, 2, 3]);
        check(PeerSort::Peer, [1, 2, 3], [3, 2, 1]);
        // All are equal here, so they stand by name.
        for by in
            [PeerSort::Refused, PeerSort::Aborted, PeerSort::Opened, PeerSort::Exchanges, PeerSort::Netns]
        {
            check(by, [1, 2, 3], [1, 2, 3]);
        }
    }

    #[test]
    fn the_main_cause_of_a_row_is_the_one_that_is_shown() {
        let mut row = rows().remove(0);
        let mut causes = CauseCounts::default();
        for (cause, sent, received) in [
            (Cause::IdleReuse, 2, 2),
            (Cause::LateData, 0, 4),
            (Cause::Other, 3, 0),
            (Cause::PeerAbort, 4, 0),
        ] {
            causes.sent[cause as usize] = sent;
            causes.received[cause as usize] = received;
        }
        row.causes = Some(Box::new(causes));
        let view = convert::peer_view(&row, None);
        assert_eq!(main_cause(&causes).map(Cause::name), convert::main_cause(&view));
        assert_eq!(main_cause(&CauseCounts::default()), None);
    }
}
