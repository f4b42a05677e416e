//! The numbers that alerts go by: one rule for each alert, and changes for some peers. Pure.

use std::time::Duration;

use super::catalog::Alert;
use super::subject::Subject;
use crate::http::filter::target::Target;

/// Time from one evaluation to the next, without any configuration. `for` and windows are minutes, and Prometheus evaluates as often.
pub const EVERY: Duration = Duration::from_secs(15);

/// The numbers of one alert. What does not concern it is 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Whether it is looked for at all.
    pub enabled: bool,
    /// A share, a number, or seconds of margin.
    pub threshold: f64,
    /// Resets in the window at least.
    pub min_resets: u64,
    /// Exchanges or closed connections in the window at least.
    pub min_volume: u64,
    /// Over which time is counted.
    pub window: Duration,
    /// How long it must hold before it fires.
    pub lasting: Duration,
    /// How long it goes on firing when it holds no more.
    pub hold: Duration,
}

/// Some numbers of a rule.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// As of [`Rule`].
    pub enabled: Option<bool>,
    /// Likewise.
    pub threshold: Option<f64>,
    /// Likewise.
    pub min_resets: Option<u64>,
    /// Likewise.
    pub min_volume: Option<u64>,
    /// Likewise.
    pub window: Option<Duration>,
    /// Likewise.
    pub lasting: Option<Duration>,
    /// Likewise.
    pub hold: Option<Duration>,
}

impl Change {
    /// The rule with these numbers instead.
    #[must_use]
    pub fn apply(&self, rule: Rule) -> Rule {
        let Self { enabled, threshold, min_resets, min_volume, window, lasting, hold } = *self;
        Rule {
            enabled: enabled.unwrap_or(rule.enabled),
            threshold: threshold.unwrap_or(rule.threshold),
            min_resets: min_resets.unwrap_or(rule.min_resets),
            min_volume: min_volume.unwrap_or(rule.min_volume),
            window: window.unwrap_or(rule.window),
            lasting: lasting.unwrap_or(rule.lasting),
            hold: hold.unwrap_or(rule.hold),
        }
    }
}

/// Other numbers for some peers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Override {
    /// Whose.
    pub target: Target,
    /// Of which alert.
    pub alert: Alert,
    /// Which numbers.
    pub change: Change,
}

/// All rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// Time from one evaluation to the next.
    pub every: Duration,
    /// By alert, in the order of [`Alert::ALL`].
    pub all: [Rule; Alert::ALL.len()],
    /// In the order of the file: of several that match, later ones win.
    pub overrides: Vec<Override>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { every: EVERY, all: Alert::ALL.map(Alert::default_rule), overrides: Vec::new() }
    }
}

impl Rules {
    /// The rule of an alert, without changes for some peers.
    pub const fn of(&self, alert: Alert) -> &Rule {
        &self.all[alert as usize]
    }

    /// The same, to be changed.
    pub const fn of_mut(&mut self, alert: Alert) -> &mut Rule {
        &mut self.all[alert as usize]
    }

    /// The rule of an alert for somebody; `None` when it is off.
    pub(super) fn on(&self, alert: Alert, subject: &Subject) -> Option<Rule> {
        let mut rule = *self.of(alert);
        let is_meant = |target: &Target| match subject {
            Subject::Peer { netns: _, label } => target.has(label),
            // All of its clients are meant, or none.
            Subject::Port { netns: _, port } => target.peer.is_none() && target.port == Some(*port),
            Subject::Listener { .. } | Subject::Signal(_) | Subject::Host => false,
        };
        for Override { target, alert: of, change } in &self.overrides {
            if *of == alert && is_meant(target) {
                rule = change.apply(rule);
            }
        }
        rule.enabled.then_some(rule)
    }

    /// The longest window of any of these.
    pub(super) fn longest_window(&self, of: &[Alert]) -> Duration {
        let changed = self.overrides.iter().filter(|change| of.contains(&change.alert));
        let changed = changed.filter_map(|of| of.change.window);
        of.iter().map(|alert| self.of(*alert).window).chain(changed).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use monitor_common::peer::Role;

    use super::{Alert, Change, Override, Rules, Subject};
    use crate::snapshot::{PeerLabel, Scope};

    fn peer(address: &str, port: u16) -> Subject {
        let scope = Scope::Address(address.parse().unwrap());
        Subject::Peer { netns: Some(1), label: PeerLabel { scope, port: Some(port), role: Role::Client } }
    }

    fn change(target: &str, change: Change) -> Override {
        Override { target: target.parse().unwrap(), alert: Alert::ResetRatioHigh, change }
    }

    #[test]
    fn of_several_changes_that_match_the_later_wins_number_by_number() {
        let threshold = |threshold| Change { threshold: Some(threshold), ..Change::default() };
        let rules = Rules {
            overrides: vec![
                change("10.0.0.0/8", Change { min_resets: Some(9), ..threshold(0.1) }),
                change("10.1.0.0/16:5432", threshold(0.2)),
                change(":22", Change { enabled: Some(false), ..Change::default() }),
            ],
            ..Rules::default()
        };
        let of = |address, port| {
            rules
                .on(Alert::ResetRatioHigh, &peer(address, port))
                .map(|rule| (rule.threshold.to_string(), rule.min_resets))
        };
        assert_eq!(of("10.2.0.1", 5432), Some(("0.1".to_owned(), 9)));
        assert_eq!(of("10.1.0.1", 5432), Some(("0.2".to_owned(), 9)), "the earlier one's other number stays");
        assert_eq!(of("10.1.0.1", 5433), Some(("0.1".to_owned(), 9)));
        assert_eq!(of("192.0.2.1", 5432), Some(("0.001".to_owned(), 3)));
        assert_eq!(of("10.1.0.1", 22), None, "off");
        assert_eq!(rules.on(Alert::ResetRatioHigh, &Subject::Port { netns: 1, port: 22 }), None);
        assert!(rules.on(Alert::ResetRatioHigh, &Subject::Port { netns: 1, port: 5432 }).is_some());
        let other = rules.on(Alert::ResetBurst, &peer("10.1.0.1", 22)).unwrap();
        assert_eq!(other, Alert::ResetBurst.default_rule(), "other alerts are as they were");
    }
}
