//! Columns of the table of peers: what they show, how wide they are, which of them fit, and what the API sorts them by.

use super::peer::Row;
use crate::command::peers::NOTABLE_RATIO;
use crate::http::convert::main_cause;
use crate::http::convert::names::name_text;
use crate::http::filter::PeerSort;
use crate::http::filter::order::Order;
use crate::terminal::percent;
use crate::terminal::table::Align;

/// Blanks between columns.
pub const GAP: usize = 1;
/// Longest that a peer may be: an IPv6 address in brackets with its port, and a name of a cluster behind it, which is cut before the address is.
const LONGEST_NAME: usize = 80;
/// Longest name of a cause.
const LONGEST_CAUSE: usize = 20;

/// A column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Column {
    /// Address and service port, as `explain` takes them.
    Peer,
    /// Our role.
    Role,
    /// Resets in a second, between the last two answers.
    Rate,
    /// Resets, sent and received.
    #[default]
    Resets,
    /// Resets received.
    Received,
    /// Resets sent.
    Sent,
    /// Refusals received.
    Refused,
    /// Share of closed connections that were reset.
    Ratio,
    /// Connections reset.
    Reset,
    /// Connections aborted.
    Aborted,
    /// Connections closed.
    Closed,
    /// Exchanges.
    Exchanges,
    /// Connections open now.
    Open,
    /// Those that are quiet.
    Idle,
    /// Network namespace.
    Netns,
    /// The cause of most resets.
    Cause,
}

impl Column {
    /// From left to right.
    pub const ALL: [Self; 16] = [
        Self::Peer,
        Self::Role,
        Self::Rate,
        Self::Resets,
        Self::Received,
        Self::Sent,
        Self::Refused,
        Self::Ratio,
        Self::Reset,
        Self::Aborted,
        Self::Closed,
        Self::Exchanges,
        Self::Open,
        Self::Idle,
        Self::Netns,
        Self::Cause,
    ];

    /// Those that are left out last come first.
    const BY_WORTH: [Self; 16] = [
        Self::Peer,
        Self::Resets,
        Self::Ratio,
        Self::Cause,
        Self::Rate,
        Self::Role,
        Self::Closed,
        Self::Open,
        Self::Received,
        Self::Sent,
        Self::Refused,
        Self::Idle,
        Self::Exchanges,
        Self::Reset,
        Self::Aborted,
        Self::Netns,
    ];

    /// Its title.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Peer => "PEER",
            Self::Role => "ROLE",
            Self::Rate => "NEW/S",
            Self::Resets => "RESETS",
            Self::Received => "RECV",
            Self::Sent => "SENT",
            Self::Refused => "REFUSED",
            Self::Ratio => "RATIO",
            Self::Reset => "RESET",
            Self::Aborted => "ABORTED",
            Self::Closed => "CLOSED",
            Self::Exchanges => "EXCHANGES",
            Self::Open => "OPEN",
            Self::Idle => "IDLE",
            Self::Netns => "NETNS",
            Self::Cause => "TOP CAUSE",
        }
    }

    /// Characters that it has at least; one more than the title where a mark of the order must fit beside it.
    pub const fn width(self) -> usize {
        match self {
            Self::Peer => 20,
            Self::Cause => 13,
            Self::Exchanges | Self::Netns => 10,
            Self::Refused | Self::Aborted => 8,
            Self::Resets | Self::Received | Self::Sent | Self::Ratio | Self::Closed => 7,
            Self::Role | Self::Rate | Self::Reset | Self::Idle => 6,
            Self::Open => 5,
        }
    }

    /// Where its cells stand.
    pub const fn align(self) -> Align {
        match self {
            Self::Peer | Self::Role | Self::Cause => Align::Left,
            Self::Rate
            | Self::Resets
            | Self::Received
            | Self::Sent
            | Self::Refused
            | Self::Ratio
            | Self::Reset
            | Self::Aborted
            | Self::Closed
            | Self::Exchanges
            | Self::Open
            | Self::Idle
            | Self::Netns => Align::Right,
        }
    }

    /// What the daemon sorts by. It keeps no rates, so they are sorted here, among those with the most resets.
    pub const fn sort(self) -> PeerSort {
        match self {
            Self::Peer => PeerSort::Peer,
            Self::Role => PeerSort::Role,
            Self::Rate | Self::Resets => PeerSort::Resets,
            Self::Received => PeerSort::Received,
            Self::Sent => PeerSort::Sent,
            Self::Refused => PeerSort::Refused,
            Self::Ratio => PeerSort::Ratio,
            Self::Reset => PeerSort::Reset,
            Self::Aborted => PeerSort::Aborted,
            Self::Closed => PeerSort::Closed,
            Self::Exchanges => PeerSort::Exchanges,
            Self::Open => PeerSort::Open,
            Self::Idle => PeerSort::Idle,
            Self::Netns => PeerSort::Netns,
            Self::Cause => PeerSort::Cause,
        }
    }

    /// Which way round unless asked otherwise.
    pub const fn usual_order(self) -> Order {
        self.sort().usual_order()
    }

    /// The one so many places to the right, around the ends.
    #[must_use]
    pub fn beside(self, right: bool) -> Self {
        let mut all = Self::ALL.into_iter().cycle().skip_while(|column| *column != self);
        let steps = if right { 1 } else { Self::ALL.len() - 1 };
        all.nth(steps).unwrap_or(self)
    }

    /// What a row has there. What is not known is `-`.
    pub fn cell(self, row: &Row) -> String {
        let Row { peer, key, rate } = row;
        let known = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), short);
        let counts = &peer.counts;
        match self {
            Self::Peer => {
                let name = peer.name.as_ref().map(|name| format!(" {}", name_text(name)));
                format!("{key}{}", name.unwrap_or_default())
            }
            Self::Role => peer.role.clone(),
            Self::Rate => match rate {
                None => "-".to_owned(),
                Some(none) if *none <= 0.0 => "0".to_owned(),
                Some(few) if *few < 10.0 => format!("{few:.1}"),
                Some(many) => format!("{many:.0}"),
            },
            Self::Resets => short(counts.resets_sent.saturating_add(counts.resets_received)),
            Self::Received => short(counts.resets_received),
            Self::Sent => short(counts.resets_sent),
            Self::Refused => short(counts.refused_received),
            // The mark says it without colour.
            Self::Ratio => peer.reset_ratio.map_or_else(
                || "-".to_owned(),
                |ratio| format!("{}{}", if is_notable(row) { "!" } else { "" }, share(ratio)),
            ),
            Self::Reset => short(counts.reset),
            Self::Aborted => short(counts.aborted),
            Self::Closed => short(counts.closed),
            Self::Exchanges => short(counts.exchanges),
            Self::Open => known(peer.open),
            Self::Idle => known(peer.idle),
            // The number that `ls -l /proc/PID/ns/net` shows: never cut.
            Self::Netns => peer.netns.map_or_else(|| "-".to_owned(), |netns| netns.to_string()),
            Self::Cause => main_cause(peer).unwrap_or("-").to_owned(),
        }
    }
}

/// Whether so many of a peer's connections are reset that alerts would take it for too many.
pub fn is_notable(row: &Row) -> bool {
    row.peer.reset_ratio > Some(NOTABLE_RATIO)
}

/// The columns that fit, with their widths: the one that rows are sorted by always does.
pub fn fitting(width: usize, sorted: Column, longest_name: usize) -> Vec<(Column, usize)> {
    let mut chosen = vec![Column::Peer];
    let mut used = Column::Peer.width();
    for column in std::iter::once(sorted).chain(Column::BY_WORTH) {
        let needed = GAP + column.width();
        if !chosen.contains(&column) && (used + needed <= width || column == sorted) {
            chosen.push(column);
            used += needed;
        }
    }
    let spare = width.saturating_sub(used);
    let name = spare.min(longest_name.min(LONGEST_NAME).saturating_sub(Column::Peer.width()));
    let cause = (spare - name).min(LONGEST_CAUSE - Column::Cause.width());
    Column::ALL
        .into_iter()
        .filter(|column| chosen.contains(column))
        .map(|column| {
            let more = if column == Column::Peer {
                name
            } else if column == Column::Cause {
                cause
            } else {
                0
            };
            (column, column.width() + more)
        })
        .collect()
}

/// A share in at most six characters.
fn share(ratio: f64) -> String {
    if ratio < 0.1 { percent(ratio) } else { format!("{:.1}%", ratio * 100.0) }
}

/// A number in at most six characters, up to a billion.
pub fn short(number: u64) -> String {
    match number {
        0..1_000_000 => number.to_string(),
        1_000_000..10_000_000 => tenths(number, 1_000_000, "M"),
        10_000_000..1_000_000_000 => format!("{}M", number / 1_000_000),
        1_000_000_000.. => tenths(number, 1_000_000_000, "G"),
    }
}

fn tenths(number: u64, unit: u64, name: &str) -> String {
    format!("{}.{}{name}", number / unit, number % unit * 10 / unit)
}

#[cfg(test)]
mod tests {
    use super::{Column, GAP, fitting, short};

    fn taken(columns: &[(Column, usize)]) -> usize {
        columns.iter().map(|(_, width)| width).sum::<usize>() + GAP * (columns.len() - 1)
    }

    #[test]
    fn columns_fill_the_width_without_running_over_it_and_the_sorted_one_is_there() {
        for width in 40..250 {
            for sorted in Column::ALL {
                let columns = fitting(width, sorted, 30);
                assert!(taken(&columns) <= width, "{width} {sorted:?}");
                assert!(columns.iter().any(|(column, _)| *column == sorted), "{width} {sorted:?}");
            }
        }
        let at_80: Vec<_> = fitting(78, Column::Resets, 14).into_iter().map(|(column, _)| column).collect();
        let wanted =
            [Column::Peer, Column::Role, Column::Rate, Column::Resets, Column::Ratio, Column::Closed];
        assert_eq!(at_80[..6], wanted);
        assert_eq!(at_80[6..], [Column::Open, Column::Cause]);
        assert_eq!(fitting(198, Column::Resets, 60).len(), Column::ALL.len());
    }

    #[test]
    fn every_column_is_worth_something_and_leads_to_its_neighbours() {
        assert!(Column::ALL.iter().all(|column| Column::BY_WORTH.contains(column)));
        for column in Column::ALL {
            assert_eq!(column.beside(true).beside(false), column);
        }
        assert_eq!((Column::Cause.beside(true), Column::Peer.beside(false)), (Column::Peer, Column::Cause));
    }

    #[test]
    fn large_numbers_stay_narrow() {
        for (number, text) in
            [(0, "0"), (999_999, "999999"), (1_250_000, "1.2M"), (99_999_999, "99M"), (5_430_000_000, "5.4G")]
        {
            assert_eq!(short(number), text);
        }
    }
}
