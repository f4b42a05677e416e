//! Alerts: what holds, for how long, and what is over. Pure: counts and the time come in, monotonic; there is no clock, no I/O and no lock.
//!
//! The catalog (`catalog`) is that of the Prometheus rules that are shipped, so a host without Prometheus is told the same. At each evaluation
//! what was counted is compared with what was counted a window before (`peers`, `ticks`), by the numbers of the configuration (`rules`,
//! `settings`); what holds is noted, and fires when it has held for long enough (`book`).

pub mod book;
pub mod catalog;
pub mod report;
pub mod rules;
pub mod settings;
pub mod subject;
pub mod text;

mod conditions;
mod peers;
mod ticks;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use self::book::Book;
use self::catalog::Alert;
use self::peers::Peers;
use self::report::Report;
use self::rules::Rules;
use self::subject::Subject;
use self::ticks::{Ticks, Trail};
use crate::clock::WallClock;
use crate::counts::Stories;
use crate::snapshot::listening::Listening;
use crate::snapshot::{PeerLabel, SignalRow};
use crate::timeouts::Service;

/// Counts of one peer, as they are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerReading {
    /// Slot that it is counted in.
    pub slot: u32,
    /// Inode number of its namespace; `None` for `other`.
    pub netns: Option<u32>,
    /// Who.
    pub label: PeerLabel,
    /// Connections reset.
    pub reset: u64,
    /// Connections closed.
    pub closed: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// Resets sent and received with that cause.
    pub idle_reuse: u64,
    /// Likewise.
    pub middlebox: u64,
}

/// Who gives up first, of one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PairReading {
    /// A service that we connect to, or a port of ours with all its clients.
    pub service: Service,
    /// The server's timeout less the client's, in milliseconds.
    pub margin_ms: i64,
}

/// Everything that alerts go by, at one moment.
#[derive(Debug)]
pub struct Reading<'a, P> {
    /// Every peer that has a slot.
    pub peers: P,
    /// Pairs of which the margin is known.
    pub pairs: Vec<PairReading>,
    /// Listeners, and tables that fill up.
    pub listening: &'a Listening,
    /// What was lost.
    pub stories: &'a Stories,
    /// How each signal is served.
    pub signals: &'a [SignalRow],
}

/// The state of all alerts.
#[derive(Debug)]
pub struct Engine {
    rules: Arc<Rules>,
    ticks: Ticks,
    peers: Peers,
    /// Counts of listeners, and of lost stories.
    counts: HashMap<Subject, Trail<u64>>,
    book: Book,
}

impl Engine {
    /// Nothing holds yet. Counts began at 0 when the daemon `started`, monotonic.
    pub fn new(rules: Rules, started: Duration) -> Self {
        let longest = rules.longest_window(&Alert::ALL);
        let of_shares = rules.longest_window(&[Alert::ResetRatioHigh, Alert::ConnectionResetRatioHigh]);
        let ticks = Ticks::of(longest, rules.every);
        Self {
            peers: Peers::new(longest, of_shares, &ticks, started),
            rules: Arc::new(rules),
            ticks,
            counts: HashMap::new(),
            book: Book::default(),
        }
    }

    /// Compares everything with what it was. `now` is monotonic; a time before the last one counts as that.
    pub fn evaluate<P: Iterator<Item = PeerReading>>(&mut self, reading: Reading<'_, P>, now: Duration) {
        let Reading { peers, pairs, listening, stories, signals } = reading;
        let (tick, now) = self.ticks.begin(now);
        self.peers.take(peers, tick, now, &self.ticks);
        self.check_peers(tick, now);
        self.check_pairs(&pairs, tick, now);
        self.check_counts(listening, stories, tick, now);
        self.check_levels(listening, signals, tick, now);
        self.book.sweep(tick, now);
    }

    /// A peer's slot was given back; whoever gets it begins at 0.
    pub fn forget(&mut self, slot: u32) {
        self.peers.forget(slot);
    }

    /// Time from one evaluation to the next.
    pub fn every(&self) -> Duration {
        self.rules.every
    }

    /// What readers see. `wall` is only for them: nothing here goes by it.
    pub fn report(&self, wall: WallClock) -> Report {
        Report {
            evaluated: self.ticks.last(),
            wall,
            rules: Arc::clone(&self.rules),
            rows: self.book.rows(),
            not_kept: self.book.not_kept(),
            left_out: self.peers.left_out(),
        }
    }
}

#[cfg(test)]
mod tests;
