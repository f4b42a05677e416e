//! What an instance of Alertmanager is to be told: what it does not know yet, and again what it would forget. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::alerts::book::{AlertRow, State};
use crate::alerts::report::Report;
use crate::alerts::subject::Identity;
use crate::alerts::text::description;
use crate::view::alerts::AnnotationsView;
use crate::view::push::PostedAlertView;

/// Alerts in one request: below 256 kB, as Prometheus sends them.
const MOST_AT_ONCE: usize = 256;
/// A firing alert that is not re-sent ends after so many times without: the daemon may be gone.
const TIMES_WITHOUT: u32 = 4;
/// For how long a resolved alert is re-sent: an instance that was restarted knows nothing.
const RESOLVED_RESENT: Duration = Duration::from_mins(5);

/// What an instance was told of an alert.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// When it began to fire; another time is another alert of the same identity.
    fired: Option<Duration>,
    /// What that is on the wall clock. Said once, so that a clock that is set makes no other alert of it.
    starts: Timestamp,
    /// Its end, likewise.
    ends: Option<Timestamp>,
    /// When it was told last.
    at: Duration,
}

/// What one instance was told.
#[derive(Debug)]
pub(super) struct Outbox {
    told: HashMap<Identity, Told>,
    resend: Duration,
}

/// One alert as it is to be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter {
    row: AlertRow,
    starts: Timestamp,
    /// When it ended, or is to end unless it is re-sent.
    ends: Timestamp,
}

impl Outbox {
    pub(super) fn new(resend: Duration) -> Self {
        Self { told: HashMap::new(), resend }
    }

    /// What to tell now, at most as much as fits one request: what is new first.
    pub(super) fn due(&mut self, report: &Report, now: Duration) -> Vec<Letter> {
        let there: HashSet<Identity> =
            report.rows.iter().filter(|row| row.state() != State::Pending).map(|row| row.identity).collect();
        self.told.retain(|identity, _| there.contains(identity));
        let mut due: Vec<(Option<Duration>, &AlertRow)> = report
            .rows
            .iter()
            .filter(|row| self.due_at(row, report).is_some_and(|due| due <= now))
            .map(|row| (self.of(row).map(|told| told.at), row))
            .collect();
        due.sort_by_key(|(told, row)| (*told, row.identity));
        due.truncate(MOST_AT_ONCE);
        due.into_iter().map(|(_, row)| self.letter(row, report, now)).collect()
    }

    /// When there is something to tell next; `None` when there is nothing.
    pub(super) fn next_due(&self, report: &Report) -> Option<Duration> {
        report.rows.iter().filter_map(|row| self.due_at(row, report)).min()
    }

    /// The instance has them now.
    pub(super) fn told(&mut self, letters: &[Letter], at: Duration) {
        for Letter { row, starts, ends } in letters {
            let ends = row.resolved.map(|_| *ends);
            self.told.insert(row.identity, Told { fired: row.fired, starts: *starts, ends, at });
        }
    }

    /// What was told of this alert, and not of an earlier one of the same identity.
    fn of(&self, row: &AlertRow) -> Option<&Told> {
        self.told.get(&row.identity).filter(|told| told.fired == row.fired)
    }

    fn due_at(&self, row: &AlertRow, report: &Report) -> Option<Duration> {
        let told = self.of(row);
        let again = |told: &Told| told.at + self.resend;
        match (row.state(), row.resolved) {
            (State::Pending, _) | (State::Resolved, None) => None,
            (State::Firing, _) => Some(told.map_or(Duration::ZERO, again)),
            (State::Resolved, Some(resolved)) => match told {
                // It believes that it fires.
                Some(Told { ends: None, .. }) => Some(Duration::ZERO),
                Some(told) => Some(again(told)).filter(|due| *due <= resolved + RESOLVED_RESENT),
                // It may have been told by who was here before us, but not of what is long over.
                None => {
                    let evaluated = report.evaluated.unwrap_or_default();
                    (evaluated <= resolved + RESOLVED_RESENT).then_some(Duration::ZERO)
                }
            },
        }
    }

    fn letter(&self, row: &AlertRow, report: &Report, now: Duration) -> Letter {
        let told = self.of(row);
        let starts = told.map_or_else(|| report.time(row.fired.unwrap_or(row.since)), |told| told.starts);
        let ends = match row.resolved {
            Some(resolved) => told.and_then(|told| told.ends).unwrap_or_else(|| report.time(resolved)),
            None => report.time(now + self.resend * TIMES_WITHOUT),
        };
        // The clock may have been set back in between.
        Letter { row: *row, starts, ends: ends.max(starts) }
    }
}

impl Letter {
    /// As it is sent. Labels are the identity; `labels` are those of this host.
    pub(super) fn view(&self, labels: &BTreeMap<String, String>) -> PostedAlertView {
        let alert = self.row.identity.alert;
        let mut labels = labels.clone();
        let own = [("alertname", alert.name()), ("severity", alert.severity().name())];
        labels.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let subject = self.row.identity.subject.labels();
        labels.extend(subject.into_iter().map(|(name, value)| (name.to_owned(), value)));
        PostedAlertView {
            labels,
            annotations: AnnotationsView {
                summary: alert.summary().to_owned(),
                description: description(&self.row),
                runbook: alert.runbook().to_owned(),
            },
            starts_at: self.starts.to_string(),
            ends_at: self.ends.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::alerts::book::Measure;
    use crate::alerts::catalog::Alert;
    use crate::alerts::subject::Subject;
    use crate::clock::WallClock;

    const RESEND: Duration = Duration::from_mins(1);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn row(signal: &'static str, fired: Option<u64>, resolved: Option<u64>) -> AlertRow {
        let alert = Alert::SignalMissing;
        AlertRow {
            identity: Identity { alert, subject: Subject::Signal(signal) },
            rule: alert.default_rule(),
            measure: Measure::Missing,
            since: seconds(100),
            fired: fired.map(seconds),
            resolved: resolved.map(seconds),
        }
    }

    fn report(at: u64, rows: Vec<AlertRow>) -> Report {
        let wall = WallClock::from_pair("2026-11-20T00:00:00Z".parse().unwrap(), Duration::ZERO);
        Report { evaluated: Some(seconds(at)), wall, rows, rules: Arc::default(), not_kept: 0, left_out: 0 }
    }

    /// Tells what is due at a moment, and shows it: start and end.
    fn tell(outbox: &mut Outbox, report: &Report, at: u64) -> Vec<(String, String)> {
        let due = outbox.due(report, seconds(at));
        outbox.told(&due, seconds(at));
        due.iter()
            .map(|letter| letter.view(&BTreeMap::new()))
            .map(|view| (view.starts_at, view.ends_at))
            .collect()
    }

    fn times(starts: &str, ends: &str) -> Vec<(String, String)> {
        let time = |time: &str| format!("2026-11-20T00:{time}Z");
        vec![(time(starts), time(ends))]
    }

    #[test]
    fn a_pending_alert_is_not_told_and_a_firing_one_again_every_minute() {
        let mut outbox = Outbox::new(RESEND);
        let pending = report(400, vec![row("a", None, None)]);
        assert_eq!((tell(&mut outbox, &pending, 400).len(), outbox.next_due(&pending)), (0, None));
        let firing = report(405, vec![row("a", Some(400), None)]);
        assert_eq!(tell(&mut outbox, &firing, 405), times("06:40", "10:45"));
        assert_eq!(
            (tell(&mut outbox, &firing, 464).len(), outbox.next_due(&firing)),
            (0, Some(seconds(465)))
        );
        assert_eq!(tell(&mut outbox, &firing, 465), times("06:40", "11:45"));
    }

    #[test]
    fn a_resolved_alert_is_told_at_once_and_again_for_five_minutes() {
        let mut outbox = Outbox::new(RESEND);
        drop(tell(&mut outbox, &report(405, vec![row("a", Some(400), None)]), 405));
        let over = report(420, vec![row("a", Some(400), Some(420))]);
        let mut sent = 0;
        for second in 420..1_400 {
            let told = tell(&mut outbox, &over, second);
            assert!(told.is_empty() || told == times("06:40", "07:00"), "{told:?}");
            sent += told.len();
        }
        assert_eq!(sent, 6);
        // Also when nobody was there in those five minutes, if it believes that it fires.
        let mut outbox = Outbox::new(RESEND);
        drop(tell(&mut outbox, &report(405, vec![row("a", Some(400), None)]), 405));
        let late = report(1_200, vec![row("a", Some(400), Some(420))]);
        assert_eq!(tell(&mut outbox, &late, 1_200), times("06:40", "07:00"));
        assert_eq!(tell(&mut outbox, &late, 1_300), []);
        // What it never heard of and is long over is no news.
        assert_eq!(tell(&mut Outbox::new(RESEND), &late, 1_200), []);
    }

    #[test]
    fn one_that_fires_again_is_another_one_and_a_clock_that_is_set_makes_none() {
        let mut outbox = Outbox::new(RESEND);
        let mut firing = report(405, vec![row("a", Some(400), None)]);
        drop(tell(&mut outbox, &firing, 405));
        firing.wall = WallClock::from_pair("2030-01-01T00:00:00Z".parse().unwrap(), Duration::ZERO);
        assert_eq!(tell(&mut outbox, &firing, 465)[0].0, "2026-11-20T00:06:40Z");
        firing.wall = WallClock::from_pair("1999-01-01T00:00:00Z".parse().unwrap(), Duration::ZERO);
        let [(starts, ends)] = tell(&mut outbox, &firing, 525).try_into().unwrap();
        assert_eq!(starts, ends, "never an end before the start");
        let again = report(600, vec![row("a", Some(600), None)]);
        assert_eq!(tell(&mut outbox, &again, 600), times("10:00", "14:00"));
    }

    #[test]
    fn a_request_is_bounded_and_nobody_waits_for_ever() {
        let names: Vec<&'static str> = (0..600).map(|number| &*format!("signal{number}").leak()).collect();
        let rows = report(405, names.iter().map(|name| row(name, Some(400), None)).collect());
        let mut outbox = Outbox::new(RESEND);
        assert_eq!(
            [405, 406, 407, 408].map(|second| tell(&mut outbox, &rows, second).len()),
            [256, 256, 88, 0]
        );
        assert_eq!([470, 471, 472].map(|second| tell(&mut outbox, &rows, second).len()), [256, 256, 88]);
    }
}
