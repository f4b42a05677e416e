//! What readers see of alerts, at one moment.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::book::{AlertRow, State};
use super::catalog::Alert;
use super::rules::Rules;
use crate::clock::WallClock;

/// All alerts.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// When they were evaluated last, monotonic; `None` before the first time.
    pub evaluated: Option<Duration>,
    /// What these times are on the wall clock.
    pub wall: WallClock,
    /// The numbers they go by.
    pub rules: Arc<Rules>,
    /// Firing, pending and resolved ones, in this order.
    pub rows: Vec<AlertRow>,
    /// Alerts that found no place, once for each evaluation.
    pub not_kept: u64,
    /// Peers with resets that were not watched, since too many others had more.
    pub left_out: u64,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            evaluated: None,
            wall: WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO),
            rules: Arc::default(),
            rows: Vec::new(),
            not_kept: 0,
            left_out: 0,
        }
    }
}

impl Report {
    /// A monotonic time as people read it: to the second, since alerts are not evaluated more often.
    pub fn time(&self, at: Duration) -> Timestamp {
        let time = self.wall.at(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX));
        Timestamp::from_second(time.as_second()).unwrap_or(time)
    }

    /// How many of an alert are in a state.
    pub fn count(&self, alert: Alert, state: State) -> usize {
        self.rows.iter().filter(|row| row.identity.alert == alert && row.state() == state).count()
    }
}
