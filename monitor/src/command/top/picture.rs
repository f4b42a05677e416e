//! The daemon's answers of one moment, and what they say in one line: is anything wrong?

use jiff::Timestamp;

use super::peer::{per_second, resets};
use crate::advice::numbers::count;
use crate::alerts::catalog::Severity;
use crate::command::alerts::of;
use crate::view::alerts::AlertsView;
use crate::view::{CountsView, EventsView, StatusView};

/// Resets that are longer ago are no news: the window of the shipped alerts.
const RECENT_SECONDS: f64 = 600.0;

/// What the header shows.
#[derive(Clone, Debug)]
pub struct Picture {
    /// What the daemon says of itself.
    pub status: StatusView,
    /// What is firing.
    pub alerts: AlertsView,
    /// When the newest reset that it keeps happened.
    pub newest: Option<Timestamp>,
    /// When it was taken, by the daemon's clock.
    pub taken: Timestamp,
    /// What came since the picture before; `None` for the first one of a daemon.
    pub since: Option<Interval>,
}

/// What one interval brought.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// How long it was.
    pub seconds: f64,
    /// Resets, sent and received.
    pub resets: u64,
    /// Share of the connections that closed in it which were reset; `None` when none did.
    pub ratio: Option<f64>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Nothing to do.
    Good,
    /// To be known.
    Fair,
    /// To act on.
    Bad,
}

/// The answers that make a picture.
#[derive(Clone, Debug)]
pub struct Answers {
    /// Of `/api/v1/status`.
    pub status: StatusView,
    /// Of `/api/v1/alerts`, those that are firing.
    pub alerts: AlertsView,
    /// Of `/api/v1/events`, the newest.
    pub events: EventsView,
}

impl Picture {
    /// Of these answers, taken then, after the picture `before`.
    pub fn new(answers: Answers, taken: Timestamp, before: Option<&Self>) -> Self {
        let Answers { status, alerts, events } = answers;
        let since = before.and_then(|before| interval(before, &status, taken));
        let newest = events.events.last().and_then(|event| event.time.parse().ok());
        Self { status, alerts, newest, taken, since }
    }

    /// Stories that were lost.
    pub fn lost(&self) -> u64 {
        self.status.stories.values().map(|story| story.lost).sum()
    }

    /// Peers with counts of their own; `None` where the daemon does not tell.
    pub fn peers(&self) -> Option<u64> {
        let used = |name: &str| self.status.fills.get(name).and_then(|fill| fill.used);
        ["client_peers", "server_peers", "refused_peers"]
            .into_iter()
            .filter_map(used)
            .reduce(u64::saturating_add)
    }

    /// Is anything wrong, in one line; `open` connections are watched.
    pub fn verdict(&self, open: Option<u64>) -> (Level, String) {
        if let Some(text) = self.firing() {
            let critical = self.alerts.alerts.iter().any(|alert| alert.severity == Severity::Critical.name());
            return (if critical { Level::Bad } else { Level::Fair }, text);
        }
        let mut parts = Vec::new();
        let mut level = Level::Good;
        let lost = self.lost();
        if lost > 0 {
            level = Level::Fair;
            parts.push(format!("{lost} stories lost: counts are right, causes incomplete"));
        }
        if self.status.unattributed > 0 {
            level = Level::Fair;
            parts.push(format!("{} resets counted otherwise by the kernel", self.status.unattributed));
        }
        // What is wrong comes first: a narrow screen cuts the rest.
        parts.push(self.quiet(open));
        (level, parts.join("; "))
    }

    fn firing(&self) -> Option<String> {
        let firing = self.alerts.matching;
        let named: Vec<String> =
            self.alerts.alerts.iter().map(|alert| format!("{} {}", alert.alert, of(alert))).collect();
        let more = firing.saturating_sub(named.len());
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        (firing > 0).then(|| format!("firing: {}{more}; see reset-monitor alerts", named.join(", ")))
    }

    fn quiet(&self, open: Option<u64>) -> String {
        let ago = self.newest.map(|newest| (self.taken - newest).total(jiff::Unit::Second).unwrap_or(0.0));
        match ago {
            Some(ago) if ago < RECENT_SECONDS => {
                return format!("no alert fires; the last reset was {} ago", age(ago));
            }
            Some(_) | None => {}
        }
        let long = if self.status.uptime_seconds < RECENT_SECONDS {
            format!("since the start {} ago", age(self.status.uptime_seconds))
        } else {
            "in the last 10 min".to_owned()
        };
        let watched = match (open, self.peers()) {
            (Some(open), Some(peers)) => {
                format!("; watching {} to {}", count(open, "open connection"), count(peers, "peer"))
            }
            (None, Some(peers)) => format!("; watching {}", count(peers, "peer")),
            (Some(_) | None, None) => String::new(),
        };
        format!("no resets {long}{watched}")
    }
}

fn interval(before: &Picture, status: &StatusView, taken: Timestamp) -> Option<Interval> {
    let seconds = (taken - before.taken).total(jiff::Unit::Second).ok().filter(|seconds| *seconds > 0.0)?;
    // Another daemon has other counts.
    let (then, now) = (&before.status, status);
    if then.started != now.started {
        return None;
    }
    let more = |count: fn(&CountsView) -> u64| count(&now.total).checked_sub(count(&then.total));
    // A received reset may be counted a second after its connection closed, so at the end of a storm there may be more of them.
    let (closed, reset) = (more(|counts| counts.closed)?, more(|counts| counts.reset)?);
    #[expect(clippy::cast_precision_loss, reason = "a share is rounded anyway")]
    let ratio = (closed > 0).then(|| reset.min(closed) as f64 / closed as f64);
    Some(Interval { seconds, resets: more(resets)?, ratio })
}

impl Interval {
    /// Resets in a second.
    pub fn rate(&self) -> f64 {
        per_second(self.resets, self.seconds)
    }
}

/// A time in its two largest units: `59 s`, `5 min 1 s`, `2 d 3 h`.
pub fn age(seconds: f64) -> String {
    let seconds = std::time::Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Answers, Level, Picture, age};
    use crate::counts::PortCounts;
    use crate::http::convert::owners::owners_view;
    use crate::http::convert::port_view;
    use crate::owners::Fullness;
    use crate::snapshot::hooked::Hooked;
    use crate::view::alerts::{AlertView, AlertsView, AnnotationsView};
    use crate::view::{CountsView, EventsView, FillView, StatusView, StoryView};

    /// A daemon that has been up for so many seconds, at rest.
    fn status(uptime_seconds: f64) -> StatusView {
        let used = |used| FillView { used: Some(used), capacity: 1_000 };
        StatusView {
            node: String::new(),
            version: "0.1.0".to_owned(),
            kernel: "6.18".to_owned(),
            started: "2026-11-20T02:00:00Z".to_owned(),
            uptime_seconds,
            total: CountsView::default(),
            kernel_total: CountsView::default(),
            ports_total: port_view(None, &PortCounts::default(), Hooked::default()),
            unattributed: 0,
            unattributed_overflows: None,
            overflows_syn: None,
            overflows_ack: None,
            conntrack_full: None,
            challenge_acks: None,
            namespaces: Vec::new(),
            stories: [].into(),
            undecodable: 0,
            fills: [("client_peers".to_owned(), used(40)), ("server_peers".to_owned(), used(5))].into(),
            names: None,
            owners: owners_view(Fullness::default()),
            over_budget: 0,
            failed_reads: 0,
            missed_runs: [].into(),
        }
    }

    fn answers(status: StatusView) -> Answers {
        let events = EventsView {
            events: Vec::new(),
            missed: 0,
            next: 0,
            previous: None,
            oldest: None,
            oldest_time: None,
            newest: None,
            started: String::new(),
        };
        let alerts = AlertsView {
            evaluated: None,
            every_seconds: 15.0,
            matching: 0,
            alerts: Vec::new(),
            not_kept: 0,
            peers_left_out: 0,
            rules: Vec::new(),
        };
        Answers { status, alerts, events }
    }

    fn alert(severity: &str) -> AlertView {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        AlertView {
            alert: "ResetRatioHigh".to_owned(),
            severity: severity.to_owned(),
            state: "firing".to_owned(),
            labels: [label("peer", "2001:db8::7"), label("port", "443")].into(),
            value: None,
            threshold: None,
            since: String::new(),
            fired: None,
            resolved: None,
            annotations: AnnotationsView {
                summary: String::new(),
                description: String::new(),
                runbook: String::new(),
            },
        }
    }

    fn at(seconds: u32) -> jiff::Timestamp {
        format!("2026-11-20T03:00:{seconds:02}Z").parse().unwrap()
    }

    #[test]
    fn one_line_says_whether_anything_is_wrong() {
        let verdict = |answers, open| Picture::new(answers, at(30), None).verdict(open);
        assert_eq!(
            verdict(answers(status(7_200.0)), Some(123)),
            (
                Level::Good,
                "no resets in the last 10 min; watching 123 open connections to 45 peers".to_owned()
            )
        );
        assert_eq!(
            verdict(answers(status(61.0)), None).1,
            "no resets since the start 1 min 1 s ago; watching 45 peers"
        );
        let mut lossy = status(7_200.0);
        lossy.stories.insert("reset_sent".to_owned(), StoryView { lost: 3, ..StoryView::default() });
        let (level, text) = verdict(answers(lossy), None);
        assert!(level == Level::Fair && text.contains("3 stories lost"), "{text}");
        for (severity, wanted) in [("critical", Level::Bad), ("warning", Level::Fair)] {
            let mut answers = answers(status(7_200.0));
            (answers.alerts.matching, answers.alerts.alerts) = (4, vec![alert(severity)]);
            let (level, text) = verdict(answers, None);
            assert_eq!(level, wanted);
            assert_eq!(text, "firing: ResetRatioHigh [2001:db8::7]:443 and 3 more; see reset-monitor alerts");
        }
    }

    #[test]
    fn an_interval_is_the_difference_of_two_pictures_of_one_daemon() {
        let counted = |closed, reset, resets_sent| {
            let mut status = status(7_200.0);
            status.total = CountsView { closed, reset, resets_sent, ..CountsView::default() };
            status
        };
        let first = Picture::new(answers(counted(1_000, 10, 20)), at(10), None);
        assert_eq!(first.since, None);
        let second = Picture::new(answers(counted(1_400, 12, 25)), at(12), Some(&first));
        let since = second.since.unwrap();
        assert_eq!((since.seconds, since.resets, since.ratio, since.rate()), (2.0, 5, Some(0.005), 2.5));
        let quiet = Picture::new(answers(counted(1_400, 12, 25)), at(14), Some(&second));
        assert_eq!(quiet.since.unwrap().ratio, None);
        let mut restarted = counted(2_000, 20, 40);
        restarted.started = "2026-11-20T03:00:15Z".to_owned();
        assert_eq!(Picture::new(answers(restarted), at(16), Some(&quiet)).since, None);
        assert_eq!(Picture::new(answers(counted(9, 0, 0)), at(18), Some(&quiet)).since, None);
        let late = Picture::new(answers(counted(1_401, 18, 31)), at(16), Some(&quiet)).since;
        assert_eq!(late.unwrap().ratio, Some(1.0), "no share is above one");
    }

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, text) in [(-1.0, "0 s"), (59.9, "59 s"), (61.0, "1 min 1 s"), (180_000.0, "2 d 2 h")] {
            assert_eq!(age(seconds), text);
        }
    }
}
