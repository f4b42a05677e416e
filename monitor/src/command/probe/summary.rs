//! What all connections together say: the peer's timeout, and what a client must keep below. Pure.

use std::time::Duration;

use super::outcome::{Answer, End, Outcome, Report, Reuse};
use crate::advice::numbers::{Spread, below};

/// Timers that look once a second fire up to this much late, and a little more.
const TICK: Duration = Duration::from_millis(1_100);
/// A timer is not early by less.
const ROUNDING: Duration = Duration::from_millis(100);

/// Quiet times on both sides of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// How many uses were answered.
    pub answered: usize,
    /// After the longest of these times.
    pub longest_answered: Option<Duration>,
    /// How many met a reset.
    pub reset: usize,
    /// How many met nothing, or a FIN.
    pub unanswered: usize,
    /// After the shortest of these times.
    pub shortest_lost: Option<Duration>,
}

/// Whether `Keep-Alive: timeout=N` is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// The peer closes when it says.
    True,
    /// It closes before: clients that believe it meet the race.
    Early,
    /// It closes more than a tick later, which harms nobody.
    Late,
    /// No connection lasted long enough to tell.
    Untold,
}

impl Truth {
    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "true",
            Self::Early => "early",
            Self::Late => "late",
            Self::Untold => "untold",
        }
    }
}

/// What was learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// After which quiet times the peer ended connections.
    pub ends: Option<Spread>,
    /// Whether one timer can have made them all.
    pub one_timer: bool,
    /// How many of them by a reset.
    pub by_reset: usize,
    /// How many were open when this ended.
    pub open: usize,
    /// After the longest of these quiet times.
    pub open_after: Option<Duration>,
    /// Where connections were used again.
    pub edge: Option<Edge>,
    /// What the peer states, and whether it is so.
    pub stated: Option<(Duration, Truth)>,
    /// Whole seconds after which a client must give up by itself, as far as was seen; `None` when nothing sane fits, or nothing was seen.
    pub client_at_most: Option<u64>,
    /// How many connections failed.
    pub failed: usize,
}

impl Summary {
    /// Of these reports.
    pub fn of(reports: &[Report]) -> Self {
        let ended: Vec<End> = reports.iter().filter_map(end).collect();
        let ends = Spread::of(ended.iter().map(|end| end.after).collect());
        let open: Vec<Duration> = reports.iter().filter_map(open).collect();
        let open_after = open.iter().max().copied();
        let edge = Edge::of(reports);
        let stated = reports.iter().find_map(stated).map(|stated| (stated, truth(stated, ends)));
        // Uses that were answered say that the timeout is longer; the edge without an end seen lies above the last of them.
        let at_least = edge.and_then(Edge::safe).or(open_after);
        Self {
            ends,
            one_timer: ends.is_some_and(|ends| ends.max <= ends.min + TICK.max(ends.min / 20)),
            by_reset: ended.iter().filter(|end| end.how.is_reset()).count(),
            open: open.len(),
            open_after,
            edge,
            stated,
            client_at_most: ends.map(|ends| ends.min).or(at_least).and_then(below),
            failed: reports.iter().filter(|report| matches!(report.outcome, Outcome::Failed(_))).count(),
        }
    }
}

impl Edge {
    fn of(reports: &[Report]) -> Option<Self> {
        let uses: Vec<(Duration, Reuse)> = reports.iter().filter_map(reused).collect();
        let number = |wanted: Reuse| uses.iter().filter(|(_, reuse)| *reuse == wanted).count();
        let answered = |(_, reuse): &&(Duration, Reuse)| *reuse == Reuse::Answered;
        let lost = uses.iter().filter(|one| !answered(one)).map(|(idle, _)| *idle).min();
        (!uses.is_empty()).then(|| Self {
            answered: number(Reuse::Answered),
            longest_answered: uses.iter().filter(answered).map(|(idle, _)| *idle).max(),
            reset: number(Reuse::Reset),
            unanswered: number(Reuse::Closed) + number(Reuse::Nothing),
            shortest_lost: lost,
        })
    }

    /// Up to which quiet time all were answered, as far as is known.
    fn safe(self) -> Option<Duration> {
        match (self.longest_answered, self.shortest_lost) {
            (Some(answered), Some(lost)) => Some(answered.min(lost)),
            (answered, None) => answered,
            (None, Some(_)) => None,
        }
    }
}

fn end(report: &Report) -> Option<End> {
    match &report.outcome {
        Outcome::Ended(end) => Some(*end),
        Outcome::Reused { before, idle: _, reuse: _ } => *before,
        Outcome::Open { after: _ } | Outcome::Stopped | Outcome::Failed(_) => None,
    }
}

fn open(report: &Report) -> Option<Duration> {
    match &report.outcome {
        Outcome::Open { after } => Some(*after),
        Outcome::Ended(_) | Outcome::Reused { .. } | Outcome::Stopped | Outcome::Failed(_) => None,
    }
}

fn reused(report: &Report) -> Option<(Duration, Reuse)> {
    match &report.outcome {
        Outcome::Reused { idle, reuse, before: _ } => Some((*idle, *reuse)),
        Outcome::Ended(_) | Outcome::Open { after: _ } | Outcome::Stopped | Outcome::Failed(_) => None,
    }
}

fn stated(report: &Report) -> Option<Duration> {
    match report.answer.as_ref()? {
        Answer::Http(head) => head.stated,
        Answer::Bytes(_) => None,
    }
}

fn truth(stated: Duration, ends: Option<Spread>) -> Truth {
    match ends {
        None => Truth::Untold,
        Some(ends) if ends.min + ROUNDING < stated => Truth::Early,
        Some(ends) if ends.max > stated + TICK => Truth::Late,
        Some(_) => Truth::True,
    }
}

#[cfg(test)]
mod tests {
    use super::super::failure::Failure;
    use super::super::http::Head;
    use super::super::outcome::How;
    use super::*;

    fn report(outcome: Outcome) -> Report {
        Report { number: 1, local: None, wanted: None, answer: None, unasked: 0, outcome }
    }

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    fn ended(after: f64) -> Report {
        report(Outcome::Ended(End { how: How::Fin, after: seconds(after) }))
    }

    fn used(idle: f64, reuse: Reuse, closed: Option<f64>) -> Report {
        let before = closed.map(|after| End { how: How::Fin, after: seconds(after) });
        report(Outcome::Reused { idle: seconds(idle), before, reuse })
    }

    fn stating(mut report: Report, seconds: u64) -> Report {
        let stated = Some(Duration::from_secs(seconds));
        report.answer = Some(Answer::Http(Head { status: 200, not_kept: None, stated, location: None }));
        report
    }

    #[test]
    fn the_timeout_is_the_middle_and_the_client_stays_below_the_earliest() {
        let summary = Summary::of(&[ended(60.2), ended(60.0), ended(60.9)]);
        let ends = summary.ends.unwrap();
        assert_eq!((ends.min, ends.median, ends.max), (seconds(60.0), seconds(60.2), seconds(60.9)));
        assert_eq!((summary.one_timer, summary.client_at_most), (true, Some(55)));
        let summary = Summary::of(&[ended(5.0), ended(60.0)]);
        assert_eq!((summary.one_timer, summary.client_at_most), (false, Some(3)));
        assert_eq!(Summary::of(&[ended(0.9)]).client_at_most, None, "nothing fits below");
    }

    #[test]
    fn resets_failures_and_open_ones_are_told_apart() {
        let reset = report(Outcome::Ended(End { how: How::NotifyReset, after: seconds(2.0) }));
        let failed = report(Outcome::Failed(Failure::NeverQuiet {
            address: "127.0.0.1:1".parse().unwrap(),
            time: seconds(1.0),
        }));
        let open = |after| report(Outcome::Open { after: seconds(after) });
        let summary = Summary::of(&[reset, failed, report(Outcome::Stopped), open(30.0), open(29.0)]);
        assert_eq!((summary.by_reset, summary.failed, summary.open), (1, 1, 2));
        assert_eq!(summary.open_after, Some(seconds(30.0)));
        let summary = Summary::of(&[open(600.0)]);
        assert_eq!((summary.ends, summary.client_at_most), (None, Some(595)), "safe as far as was seen");
    }

    #[test]
    fn an_edge_lies_between_what_was_answered_and_what_was_not() {
        let summary = Summary::of(&[
            used(58.0, Reuse::Answered, None),
            used(59.0, Reuse::Answered, None),
            used(60.0, Reuse::Reset, None),
            used(61.0, Reuse::Closed, None),
            used(62.0, Reuse::Nothing, None),
        ]);
        let edge = summary.edge.unwrap();
        assert_eq!((edge.answered, edge.reset, edge.unanswered), (2, 1, 2));
        assert_eq!((edge.longest_answered, edge.shortest_lost), (Some(seconds(59.0)), Some(seconds(60.0))));
        assert_eq!(summary.client_at_most, Some(54), "nobody saw when it was closed");
        let seen = Summary::of(&[used(59.0, Reuse::Answered, None), used(61.0, Reuse::Reset, Some(60.01))]);
        assert_eq!(seen.client_at_most, Some(55));
        let blurred = Summary::of(&[used(30.0, Reuse::Answered, None), used(20.0, Reuse::Reset, None)]);
        assert_eq!(blurred.client_at_most, Some(15), "what is below both");
        assert_eq!(Summary::of(&[used(20.0, Reuse::Reset, None)]).client_at_most, None);
    }

    #[test]
    fn what_the_peer_states_is_true_early_or_late() {
        for (after, truth) in [
            (5.0, Truth::True),
            (6.05, Truth::True),
            (4.95, Truth::True),
            (4.5, Truth::Early),
            (9.0, Truth::Late),
        ] {
            assert_eq!(
                Summary::of(&[stating(ended(after), 5)]).stated,
                Some((seconds(5.0), truth)),
                "{after}"
            );
        }
        let open = stating(report(Outcome::Open { after: seconds(3.0) }), 5);
        assert_eq!(Summary::of(&[open]).stated, Some((seconds(5.0), Truth::Untold)));
        assert_eq!(Summary::of(&[]).stated, None);
    }
}
