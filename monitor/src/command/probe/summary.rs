//! What all connections together say: the peer's timeout, and what a client must keep below. Pure.

use std::time::Duration;

use super::outcome::{Answer, End, Outcome, Report, Reuse};
use crate::advice::numbers::{ROUNDING, Spread, below};
use crate::timeouts::estimate::tolerance;

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
    /// It closes later than a timer can be late, which harms nobody.
    Late,
    /// No connection lasted long enough to tell.
    Untold,
}

impl Truth {
    /// All.
    pub const ALL: [Self; 4] = [Self::True, Self::Early, Self::Late, Self::Untold];

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

/// The quiet that a client must stay below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// So long.
    pub after: Duration,
    /// What makes it one.
    pub by: By,
}

/// What makes a [`Limit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The earliest end by the peer.
    End,
    /// The earliest use that was lost.
    Lost,
    /// Nothing but the end of this probe: it can be longer.
    Waited,
}

impl By {
    /// All.
    pub const ALL: [Self; 3] = [Self::End, Self::Lost, Self::Waited];

    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::End => "end",
            Self::Lost => "lost",
            Self::Waited => "waited",
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
    /// The longest quiet of connections that were never quiet for long.
    pub never_quiet: Option<Duration>,
    /// Where connections were used again.
    pub edge: Option<Edge>,
    /// What the peer states, and whether it is so.
    pub stated: Option<(Duration, Truth)>,
    /// The quiet that a client must stay below, as far as was seen; `None` when nothing was.
    pub limit: Option<Limit>,
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
        let limit = Limit::of(ends, edge, open_after);
        Self {
            ends,
            one_timer: ends.is_some_and(|ends| ends.max <= ends.min + tolerance(ends.min)),
            by_reset: ended.iter().filter(|end| end.how.is_reset()).count(),
            open: open.len(),
            open_after,
            never_quiet: reports.iter().filter_map(never_quiet).max(),
            edge,
            stated,
            limit,
            client_at_most: limit.and_then(|limit| below(limit.after)),
            failed: reports.iter().filter(|report| matches!(report.outcome, Outcome::Failed(_))).count(),
        }
    }
}

impl Limit {
    fn of(ends: Option<Spread>, edge: Option<Edge>, open_after: Option<Duration>) -> Option<Self> {
        let lost = edge.and_then(|edge| edge.shortest_lost);
        // Uses that were answered say that the timeout is longer; the edge without an end seen lies above the last of them.
        let safe = edge.and_then(Edge::safe);
        let (after, by) = match (ends.map(|ends| ends.min), lost) {
            // Something else has ended it before, which nobody saw: a middlebox that forgets.
            (Some(end), Some(lost)) if lost + tolerance(lost) < end => (safe.unwrap_or(lost), By::Lost),
            // It crossed the end.
            (Some(end), Some(lost)) if lost < end => (lost, By::Lost),
            (Some(end), Some(_) | None) => (end, By::End),
            (None, Some(_)) => (safe?, By::Lost),
            (None, None) => (safe.or(open_after)?, By::Waited),
        };
        Some(Self { after, by })
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
        Outcome::Open { after: _ }
        | Outcome::NeverQuiet { longest: _ }
        | Outcome::Stopped
        | Outcome::Failed(_) => None,
    }
}

fn open(report: &Report) -> Option<Duration> {
    match &report.outcome {
        Outcome::Open { after } => Some(*after),
        Outcome::Ended(_)
        | Outcome::NeverQuiet { longest: _ }
        | Outcome::Reused { .. }
        | Outcome::Stopped
        | Outcome::Failed(_) => None,
    }
}

fn never_quiet(report: &Report) -> Option<Duration> {
    match &report.outcome {
        Outcome::NeverQuiet { longest } => Some(*longest),
        Outcome::Ended(_)
        | Outcome::Open { after: _ }
        | Outcome::Reused { .. }
        | Outcome::Stopped
        | Outcome::Failed(_) => None,
    }
}

fn reused(report: &Report) -> Option<(Duration, Reuse)> {
    match &report.outcome {
        Outcome::Reused { idle, reuse, before: _ } => Some((*idle, *reuse)),
        Outcome::Ended(_)
        | Outcome::Open { after: _ }
        | Outcome::NeverQuiet { longest: _ }
        | Outcome::Stopped
        | Outcome::Failed(_) => None,
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
        Some(ends) if ends.max > stated + tolerance(stated) => Truth::Late,
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
        let failed = report(Outcome::Failed(Failure::Silent { address: "127.0.0.1:1".parse().unwrap() }));
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
    fn the_advice_is_below_the_earlier_one_of_ends_and_losses() {
        let limit = |reports: &[Report]| {
            let Summary { limit, client_at_most, .. } = Summary::of(reports);
            limit.map(|Limit { after, by }| (after.as_secs_f64(), by, client_at_most))
        };
        let end = || used(61.0, Reuse::Reset, Some(60.0));
        for lost in [Reuse::Nothing, Reuse::Reset] {
            let early = || used(40.0, lost, None);
            assert_eq!(limit(&[end(), early()]), Some((40.0, By::Lost, Some(35))));
            let answered = used(20.0, Reuse::Answered, None);
            assert_eq!(limit(&[end(), early(), answered]), Some((20.0, By::Lost, Some(15))));
        }
        let crossing = used(59.999, Reuse::Reset, None);
        let answered = || used(30.0, Reuse::Answered, None);
        assert_eq!(limit(&[end(), crossing, answered()]), Some((59.999, By::Lost, Some(55))));
        assert_eq!(limit(&[end(), answered()]), Some((60.0, By::End, Some(55))));
        assert_eq!(limit(&[answered()]), Some((30.0, By::Waited, Some(25))));
    }

    #[test]
    fn what_is_never_quiet_tells_nothing_of_a_timeout() {
        let never = |longest| report(Outcome::NeverQuiet { longest: seconds(longest) });
        let summary = Summary::of(&[never(5.0), never(4.0)]);
        assert_eq!((summary.never_quiet, summary.open_after), (Some(seconds(5.0)), None));
        assert_eq!((summary.limit, summary.client_at_most), (None, None));
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
