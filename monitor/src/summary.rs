//! Is anything wrong, and with whom: alerts, the last minutes and timeouts to one sentence. Pure.
//!
//! What is judged is now. A peer that was reset a thousand times last week and is quiet today is no news; `explain` has it.

use std::time::Duration;

use monitor_common::peer::Role;

use crate::advice::numbers::count;
use crate::alerts::book::{AlertRow, State as AlertState};
use crate::alerts::catalog::Severity;
use crate::alerts::subject::Subject;
use crate::alerts::text::description;
use crate::snapshot::{PeerLabel, Scope};
use crate::trend::{Key, Resolution, Trend};

/// How far back "now" reaches: the window of the alerts on ratios.
pub const WINDOW: Duration = Duration::from_mins(10);
/// In the finest intervals.
pub const WINDOW_INTERVALS: u64 = WINDOW.as_secs() / Resolution::Fine.step().as_secs();

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing to do.
    Quiet,
    /// Resets that somebody suffers, or what will lead to some.
    Attention,
    /// A critical alert is firing.
    Wrong,
}

impl State {
    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quiet => "quiet",
            Self::Attention => "attention",
            Self::Wrong => "wrong",
        }
    }
}

/// What is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Alerts, firing ones first, critical ones before others.
    pub alerts: &'a [AlertRow],
    /// The past.
    pub trend: &'a Trend,
    /// Pairs of timeouts of which the server's ends first: how many, and one of them.
    pub misaligned: (usize, Option<PeerLabel>),
    /// Since counting began.
    pub uptime: Duration,
    /// Peers that are known; `None` where the kernel does not tell.
    pub peers: Option<u64>,
    /// Connections that are open; `None` where that is not looked at.
    pub open: Option<u64>,
}

/// What is said of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How bad it is.
    pub state: State,
    /// In one sentence.
    pub headline: String,
    /// With whom.
    pub subject: Option<Subject>,
    /// What the alert's own runbook says, when one is firing.
    pub runbook: Option<&'static str>,
}

/// The worst that is so, in the order in which somebody would want to know it.
pub fn summarize(facts: &Facts<'_>) -> Summary {
    firing(facts.alerts)
        .or_else(|| resets(facts))
        .or_else(|| overflows(facts))
        .or_else(|| misaligned(facts))
        .unwrap_or_else(|| quiet(facts))
}

fn firing(alerts: &[AlertRow]) -> Option<Summary> {
    let row = alerts.iter().find(|row| row.state() == AlertState::Firing)?;
    let alert = row.identity.alert;
    let state = match alert.severity() {
        Severity::Critical => State::Wrong,
        Severity::Warning => State::Attention,
    };
    Some(Summary {
        state,
        headline: description(row),
        subject: Some(row.identity.subject),
        runbook: Some(alert.runbook()),
    })
}

fn resets(facts: &Facts<'_>) -> Option<Summary> {
    let trend = facts.trend;
    let recent = |series, key| trend.sum(series, key, Resolution::Fine, WINDOW_INTERVALS);
    let reset = recent(trend.total(), Key::Reset);
    if reset == 0 {
        return None;
    }
    let worst = trend
        .peers()
        .map(|(label, series)| (recent(series, Key::Reset), label))
        .filter(|(reset, _)| *reset > 0)
        .max_by_key(|(reset, label)| (*reset, std::cmp::Reverse(*label)));
    let subject = worst.map(|(_, label)| Subject::Peer { netns: None, label });
    let whose = match (worst, &subject) {
        (Some((most, _)), Some(subject)) if most < reset => format!(", {most} of them with {subject}"),
        (Some(_), Some(subject)) => format!(", with {subject}"),
        _ => String::new(),
    };
    let closed = recent(trend.total(), Key::Closed);
    let (were, connections) = (if reset == 1 { "was" } else { "were" }, count(reset, "connection"));
    let of = if closed >= reset { format!(" of {closed} that ended") } else { String::new() };
    let headline = format!("{connections}{of} {were} reset {}{whose}.", within(facts.uptime));
    Some(Summary { state: State::Attention, headline, subject, runbook: None })
}

fn overflows(facts: &Facts<'_>) -> Option<Summary> {
    let trend = facts.trend;
    let met = trend.sum(trend.total(), Key::Overflows, Resolution::Fine, WINDOW_INTERVALS);
    let within = within(facts.uptime);
    (met > 0).then(|| Summary {
        state: State::Attention,
        headline: format!("No resets, but a full accept queue was met {} {within}.", count(met, "time")),
        subject: None,
        runbook: Some(crate::alerts::catalog::Alert::ListenOverflow.runbook()),
    })
}

fn misaligned(facts: &Facts<'_>) -> Option<Summary> {
    let (pairs, worst) = facts.misaligned;
    let within = within(facts.uptime);
    (pairs > 0).then(|| Summary {
        state: State::Attention,
        headline: format!(
            "No resets {within}, but {} of timeouts where the server closes before the client gives up: the next reuse may meet a reset.",
            if pairs == 1 { "there is a pair".to_owned() } else { format!("there are {pairs} pairs") }
        ),
        subject: worst.map(|label| Subject::Peer { netns: None, label }),
        runbook: None,
    })
}

fn quiet(facts: &Facts<'_>) -> Summary {
    let watching = match (facts.open, facts.peers) {
        (Some(open), Some(peers)) => {
            format!("; watching {} and {}", count(open, "open connection"), count(peers, "peer"))
        }
        (Some(open), None) => format!("; watching {}", count(open, "open connection")),
        (None, Some(peers)) => format!("; watching {}", count(peers, "peer")),
        (None, None) => String::new(),
    };
    let headline = format!("No resets {}{watching}.", within(facts.uptime));
    Summary { state: State::Quiet, headline, subject: None, runbook: None }
}

fn within(uptime: Duration) -> &'static str {
    if uptime < WINDOW { "since the start" } else { "in the last 10 minutes" }
}

/// The peer or port that a diagnosis can be made of.
pub fn target(subject: &Subject) -> Option<(Option<Scope>, Option<u16>, Role)> {
    match subject {
        Subject::Peer { netns: _, label: PeerLabel { scope, port, role } } => {
            Some((Some(*scope), *port, *role))
        }
        Subject::Port { netns: _, port } => Some((None, Some(*port), Role::Server)),
        Subject::Listener { .. } | Subject::Signal(_) | Subject::Host => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::PeerCounts;
    use crate::snapshot::{CauseCounts, PeerSeries};
    use crate::trend::Reading;

    fn label(address: &str) -> PeerLabel {
        PeerLabel { scope: Scope::Address(address.parse().unwrap()), port: Some(443), role: Role::Client }
    }

    fn series(address: &str, closed: u64, reset: u64) -> PeerSeries {
        let counts = PeerCounts { closed, reset, resets_received: reset, ..PeerCounts::default() };
        let mut causes = CauseCounts::default();
        causes.received[crate::cause::Cause::IdleReuse as usize] = reset;
        PeerSeries { netns: None, label: label(address), counts, causes, details: None }
    }

    fn trend(series: &[PeerSeries], overflows: u64) -> Trend {
        let mut trend = Trend::default();
        let total = series.iter().map(|series| series.counts).sum();
        trend.observe(Duration::from_secs(5), Reading { total, series, overflows: Some(overflows) });
        trend
    }

    fn facts(trend: &Trend) -> Facts<'_> {
        let uptime = Duration::from_hours(1);
        Facts { alerts: &[], trend, misaligned: (0, None), uptime, peers: Some(1), open: Some(12) }
    }

    #[test]
    fn quiet_says_what_is_watched() {
        let trend = trend(&[series("10.0.0.1", 100, 0)], 0);
        let said = summarize(&facts(&trend));
        assert_eq!(
            said.headline,
            "No resets in the last 10 minutes; watching 12 open connections and 1 peer."
        );
        assert_eq!((said.state, said.subject), (State::Quiet, None));
        let young = Facts { uptime: Duration::from_secs(9), open: None, peers: None, ..facts(&trend) };
        assert_eq!(summarize(&young).headline, "No resets since the start.");
    }

    #[test]
    fn resets_name_the_peer_with_the_most() {
        let trend = trend(&[series("10.0.0.1", 100, 3), series("10.0.0.2", 50, 5)], 7);
        let said = summarize(&facts(&trend));
        let expected = "8 connections of 150 that ended were reset in the last 10 minutes, 5 of them with 10.0.0.2:443 (client).";
        assert_eq!((said.headline.as_str(), said.state), (expected, State::Attention));
        let subject = said.subject.unwrap();
        assert_eq!(target(&subject), Some((Some(label("10.0.0.2").scope), Some(443), Role::Client)));
    }

    #[test]
    fn one_reset_is_told_in_the_singular() {
        let trend = trend(&[series("10.0.0.1", 0, 1)], 0);
        let said = summarize(&facts(&trend));
        assert_eq!(
            said.headline,
            "1 connection was reset in the last 10 minutes, with 10.0.0.1:443 (client)."
        );
    }

    #[test]
    fn without_resets_full_queues_come_first_and_then_timeouts() {
        let full = trend(&[], 2);
        let pair = (2, Some(label("10.0.0.9")));
        let said = summarize(&Facts { misaligned: pair, ..facts(&full) });
        assert_eq!(
            said.headline,
            "No resets, but a full accept queue was met 2 times in the last 10 minutes."
        );
        let calm = trend(&[], 0);
        let said = summarize(&Facts { misaligned: pair, ..facts(&calm) });
        assert!(said.headline.contains("there are 2 pairs of timeouts"), "{}", said.headline);
        assert_eq!(said.state, State::Attention);
    }
}
