//! Which alerts are pending, firing or resolved. Pure: what holds and the time come in.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::catalog::Alert;
use super::rules::Rule;
use super::subject::Identity;

/// Of one alert, at a time: more subjects than anybody reads. The first ones stay, those beyond are counted.
const MOST_OF_ONE: usize = 500;
/// Resolved alerts that are kept, the last ones.
const MOST_RESOLVED: usize = 500;
/// And for how long: as Prometheus does, so that who was told of them is told of their end even if he was away.
const RESOLVED_KEPT: Duration = Duration::from_mins(15);

/// Rows at most.
pub const MOST_ROWS: usize = MOST_OF_ONE * Alert::ALL.len() + MOST_RESOLVED;

/// What was measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A part of a whole.
    Share {
        /// How many.
        part: u64,
        /// Of how many.
        whole: u64,
    },
    /// So many.
    Count(u64),
    /// The server's timeout less the client's.
    Margin {
        /// In milliseconds.
        milliseconds: i64,
    },
    /// That it is not there.
    Missing,
}

impl Measure {
    /// As a number to compare with a threshold. A share is never above 1, and none of nothing is 0.
    #[expect(clippy::cast_precision_loss, reason = "counts of this size do not occur")]
    pub fn value(self) -> f64 {
        match self {
            Self::Share { part: _, whole: 0 } => 0.0,
            Self::Share { part, whole } => (part as f64 / whole as f64).min(1.0),
            Self::Count(count) => count as f64,
            Self::Margin { milliseconds } => milliseconds as f64 / 1_000.0,
            Self::Missing => 1.0,
        }
    }
}

/// How far an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// It has held for long enough, and does, or did until a moment ago.
    Firing,
    /// It holds, and fires if it goes on.
    Pending,
    /// It fired, and holds no more.
    Resolved,
}

impl State {
    /// All of them, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Firing, Self::Pending, Self::Resolved];

    /// As labels and JSON spell it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Pending => "pending",
            Self::Resolved => "resolved",
        }
    }

    /// The state with that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One alert of one subject. Times are monotonic.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AlertRow {
    /// Which, and of whom.
    pub identity: Identity,
    /// The numbers it went by.
    pub rule: Rule,
    /// What was measured when it held last.
    pub measure: Measure,
    /// Since when it holds.
    pub since: Duration,
    /// When it began to fire.
    pub fired: Option<Duration>,
    /// When it was resolved.
    pub resolved: Option<Duration>,
}

impl AlertRow {
    /// How far it is.
    pub const fn state(&self) -> State {
        match (self.fired, self.resolved) {
            (_, Some(_)) => State::Resolved,
            (Some(_), None) => State::Firing,
            (None, None) => State::Pending,
        }
    }
}

/// One that is pending or firing.
#[derive(Debug)]
struct Active {
    row: AlertRow,
    /// The last evaluation at which it held.
    held: u32,
    /// When it did not hold first.
    ended: Option<Duration>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Book {
    active: BTreeMap<Identity, Active>,
    /// Those of each alert among them.
    counts: [usize; Alert::ALL.len()],
    /// Oldest first.
    resolved: VecDeque<AlertRow>,
    not_kept: u64,
}

impl Book {
    /// An alert holds at this evaluation.
    pub(super) fn holds(
        &mut self,
        identity: Identity,
        rule: Rule,
        measure: Measure,
        tick: u32,
        now: Duration,
    ) {
        if !self.active.contains_key(&identity) {
            let count = &mut self.counts[identity.alert as usize];
            if *count >= MOST_OF_ONE {
                self.not_kept += 1;
                return;
            }
            *count += 1;
        }
        let active = self.active.entry(identity).or_insert_with(|| Active {
            row: AlertRow { identity, rule, measure, since: now, fired: None, resolved: None },
            held: tick,
            ended: None,
        });
        let Active { row, held, ended } = active;
        (*held, *ended) = (tick, None);
        (row.rule, row.measure) = (rule, measure);
        if row.fired.is_none() && now.saturating_sub(row.since) >= rule.lasting {
            row.fired = Some(now);
            // The same one again: it is not over any more.
            self.resolved.retain(|resolved| resolved.identity != identity);
        }
    }

    /// Ends what did not hold at this evaluation: at once if it was pending, after its hold if it fired.
    pub(super) fn sweep(&mut self, tick: u32, now: Duration) {
        let Self { active, counts, resolved, not_kept: _ } = self;
        active.retain(|identity, Active { row, held, ended }| {
            if *held == tick {
                return true;
            }
            let since = *ended.get_or_insert(now);
            if row.fired.is_some() && now.saturating_sub(since) < row.rule.hold {
                return true;
            }
            counts[identity.alert as usize] -= 1;
            resolved.extend(row.fired.map(|_| AlertRow { resolved: Some(now), ..*row }));
            false
        });
        let is_old =
            |row: &AlertRow| row.resolved.is_none_or(|resolved| now.saturating_sub(resolved) > RESOLVED_KEPT);
        while resolved.len() > MOST_RESOLVED || resolved.front().is_some_and(is_old) {
            resolved.pop_front();
        }
    }

    /// Firing, pending and resolved ones; of each state in the order of their identity.
    pub(super) fn rows(&self) -> Vec<AlertRow> {
        let active = self.active.values().map(|active| active.row);
        let mut rows: Vec<AlertRow> = active.chain(self.resolved.iter().copied()).collect();
        rows.sort_by_key(|row| (row.state(), row.identity.alert.severity(), row.identity));
        rows
    }

    /// Alerts that found no place, once for each evaluation.
    pub(super) const fn not_kept(&self) -> u64 {
        self.not_kept
    }
}
