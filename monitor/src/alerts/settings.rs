//! The section `alerts` of the configuration file, and the rules it makes.

use std::time::Duration;

use jiff::SignedDuration;
use serde::de::{Deserialize, Deserializer, Error};

use super::catalog::{Alert, Key, Of};
use super::rules::{Change, Override, Rules};
use crate::http::filter::target::Target;

/// Changes for some peers at most: each is tried for each peer with resets.
const MOST_OVERRIDES: usize = 1_000;
/// Evaluations are at most so often, since that is how often the daemon wakes, and so rare that windows are still some of them long.
const EVERY: [Duration; 2] = [Duration::from_secs(1), Duration::from_mins(1)];
/// Longest window: what it holds is kept for each peer with resets.
const LONGEST_WINDOW: Duration = Duration::from_hours(1);
/// Longest `for` and `hold`.
const LONGEST: Duration = Duration::from_hours(24);
/// Largest number that can be asked for.
const MOST: f64 = 1e9;

/// `[alerts]`. Unknown keys are errors.
#[derive(Clone, Debug, Default, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct AlertsFile {
    every: Option<Time>,
    hold: Option<Time>,
    #[serde(default)]
    overrides: Vec<OverrideFile>,
    #[serde(rename = "ResetRatioHigh")]
    reset_ratio_high: Option<RuleFile>,
    #[serde(rename = "ConnectionResetRatioHigh")]
    connection_reset_ratio_high: Option<RuleFile>,
    #[serde(rename = "KeepAliveMisaligned")]
    keep_alive_misaligned: Option<RuleFile>,
    #[serde(rename = "IdleReuseResets")]
    idle_reuse_resets: Option<RuleFile>,
    #[serde(rename = "MiddleboxResets")]
    middlebox_resets: Option<RuleFile>,
    #[serde(rename = "ResetBurst")]
    reset_burst: Option<RuleFile>,
    #[serde(rename = "ListenOverflow")]
    listen_overflow: Option<RuleFile>,
    #[serde(rename = "ConntrackNearlyFull")]
    conntrack_nearly_full: Option<RuleFile>,
    #[serde(rename = "EventsLost")]
    events_lost: Option<RuleFile>,
    #[serde(rename = "SignalMissing")]
    signal_missing: Option<RuleFile>,
}

/// `[alerts.NAME]`.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    enabled: Option<bool>,
    threshold: Option<f64>,
    min_resets: Option<u32>,
    min_volume: Option<u32>,
    window: Option<Time>,
    #[serde(rename = "for")]
    lasting: Option<Time>,
    hold: Option<Time>,
}

/// `[[alerts.overrides]]`.
#[derive(Clone, Copy, Debug, serde::Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct OverrideFile {
    #[serde(deserialize_with = "from_text")]
    peer: Target,
    #[serde(deserialize_with = "from_text")]
    alert: Alert,
    enabled: Option<bool>,
    threshold: Option<f64>,
    min_resets: Option<u32>,
    min_volume: Option<u32>,
    window: Option<Time>,
    #[serde(rename = "for")]
    lasting: Option<Time>,
    hold: Option<Time>,
}

/// A time such as `10m`, as the configuration file has it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Time(pub Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let time = text.parse::<SignedDuration>().ok().and_then(|time| Duration::try_from(time).ok());
        time.map(Self).ok_or_else(|| {
            D::Error::custom(format!("`{text}` is no time: give one such as 30s, 5m or 1h30m"))
        })
    }
}

fn from_text<'de, D, T>(from: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: std::str::FromStr<Err: std::fmt::Display>,
{
    let text = String::deserialize(from)?;
    text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
}

/// A number that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct AlertsError {
    /// The key, from the top of the file.
    place: String,
    /// What is wrong with it, and what is possible.
    what: String,
}

impl AlertsFile {
    /// The rules that the defaults become with it.
    pub fn rules(self) -> Result<Rules, AlertsError> {
        let mut rules = Rules::default();
        let changes = self.by_alert();
        let Self { every, hold, overrides, .. } = self;
        if let Some(Time(every)) = every {
            in_range("alerts.every", every, EVERY)?;
            if every.subsec_nanos() > 0 {
                return Err(wrong("alerts.every", "it must be whole seconds"));
            }
            rules.every = every;
        }
        if let Some(Time(hold)) = hold {
            in_range("alerts.hold", hold, [Duration::ZERO, LONGEST])?;
            rules.all.iter_mut().for_each(|rule| rule.hold = hold);
        }
        for (alert, change) in changes {
            let place = format!("alerts.{}", alert.name());
            let change = change.checked(&place, alert, rules.every)?;
            *rules.of_mut(alert) = change.apply(*rules.of(alert));
        }
        // Those that nobody set are not shorter than the time between evaluations either.
        for rule in rules.all.iter_mut().filter(|rule| !rule.window.is_zero()) {
            rule.window = rule.window.max(rules.every);
        }
        if overrides.len() > MOST_OVERRIDES {
            let what = format!("{} are too many: at most {MOST_OVERRIDES}", overrides.len());
            return Err(wrong("alerts.overrides", what));
        }
        for (number, of) in (1..).zip(overrides) {
            let place = format!("alerts.overrides, number {number} ({}, {})", of.peer, of.alert.name());
            if of.alert.of() != Of::Peer {
                let what =
                    "it is not told of a peer: set it under its own name, as in [alerts.ListenOverflow]";
                return Err(wrong(place, what));
            }
            let change = of.rule().checked(&place, of.alert, rules.every)?;
            if change == Change::default() {
                return Err(wrong(place, "it changes nothing: give a threshold, or enabled = false"));
            }
            rules.overrides.push(Override { target: of.peer, alert: of.alert, change });
        }
        Ok(rules)
    }

    fn by_alert(&self) -> impl Iterator<Item = (Alert, RuleFile)> + use<> {
        let of = |alert| match alert {
            Alert::ResetRatioHigh => self.reset_ratio_high,
            Alert::ConnectionResetRatioHigh => self.connection_reset_ratio_high,
            Alert::KeepAliveMisaligned => self.keep_alive_misaligned,
            Alert::IdleReuseResets => self.idle_reuse_resets,
            Alert::MiddleboxResets => self.middlebox_resets,
            Alert::ResetBurst => self.reset_burst,
            Alert::ListenOverflow => self.listen_overflow,
            Alert::ConntrackNearlyFull => self.conntrack_nearly_full,
            Alert::EventsLost => self.events_lost,
            Alert::SignalMissing => self.signal_missing,
        };
        Alert::ALL.map(|alert| (alert, of(alert).unwrap_or_default())).into_iter()
    }
}

impl OverrideFile {
    const fn rule(&self) -> RuleFile {
        let Self { peer: _, alert: _, enabled, threshold, min_resets, min_volume, window, lasting, hold } =
            *self;
        RuleFile { enabled, threshold, min_resets, min_volume, window, lasting, hold }
    }
}

impl RuleFile {
    fn checked(&self, place: &str, alert: Alert, every: Duration) -> Result<Change, AlertsError> {
        let Self { enabled, threshold, min_resets, min_volume, window, lasting, hold } = *self;
        let given = [
            (Key::Threshold, threshold.is_some()),
            (Key::MinResets, min_resets.is_some()),
            (Key::MinVolume, min_volume.is_some()),
            (Key::Window, window.is_some()),
        ];
        let mut strange = given.into_iter().filter(|(key, given)| *given && !alert.keys().contains(key));
        if let Some((key, _)) = strange.next() {
            let known = alert.keys().iter().map(|key| key.name()).chain(["enabled", "for", "hold"]);
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(wrong(
                format!("{place}.{}", key.name()),
                format!("{} has no such number; it has {known}", alert.name()),
            ));
        }
        if let Some(threshold) = threshold {
            check_threshold(&format!("{place}.threshold"), alert, threshold)?;
        }
        let within = |key: &str, time: Option<Time>, range: [Duration; 2]| {
            time.map_or(Ok(()), |Time(time)| in_range(&format!("{place}.{key}"), time, range))
        };
        within("window", window, [every, LONGEST_WINDOW])?;
        within("for", lasting, [Duration::ZERO, LONGEST])?;
        within("hold", hold, [Duration::ZERO, LONGEST])?;
        let time = |time: Option<Time>| time.map(|Time(time)| time);
        Ok(Change {
            enabled,
            threshold,
            min_resets: min_resets.map(u64::from),
            min_volume: min_volume.map(u64::from),
            window: time(window),
            lasting: time(lasting),
            hold: time(hold),
        })
    }
}

fn check_threshold(place: &str, alert: Alert, threshold: f64) -> Result<(), AlertsError> {
    let (range, wanted) = match alert {
        Alert::ResetRatioHigh | Alert::ConnectionResetRatioHigh | Alert::ConntrackNearlyFull => {
            (0.0..=1.0, "a share between 0 and 1: 0.1 % is 0.001")
        }
        Alert::KeepAliveMisaligned => (-3_600.0..=3_600.0, "seconds between -3600 and 3600"),
        Alert::EventsLost => (0.0..=MOST, "between 0 and 1000000000"),
        Alert::IdleReuseResets
        | Alert::MiddleboxResets
        | Alert::ResetBurst
        | Alert::ListenOverflow
        | Alert::SignalMissing => (1.0..=MOST, "between 1 and 1000000000"),
    };
    // What is no number at all is in no range.
    if range.contains(&threshold) {
        Ok(())
    } else {
        Err(wrong(place, format!("it is {threshold}, and must be {wanted}")))
    }
}

fn in_range(place: &str, time: Duration, [low, high]: [Duration; 2]) -> Result<(), AlertsError> {
    if (low..=high).contains(&time) {
        return Ok(());
    }
    let [time, low, high] = [time, low, high].map(super::text::time);
    Err(wrong(place, format!("it is {time}, and must be between {low} and {high}")))
}

fn wrong(place: impl Into<String>, what: impl Into<String>) -> AlertsError {
    AlertsError { place: place.into(), what: what.into() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Alert, AlertsFile, Rules};

    fn rules(text: &str) -> Result<Rules, String> {
        let file: AlertsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        file.rules().map_err(|error| error.to_string())
    }

    #[test]
    fn without_a_word_the_rules_are_the_defaults() {
        assert_eq!(rules(""), Ok(Rules::default()));
    }

    #[test]
    fn every_number_can_be_set_for_an_alert_and_for_some_peers() {
        let rules = rules(
            "every = \"5s\"\nhold = \"1m\"\n\
             [ResetRatioHigh]\nthreshold = 0.002\nmin_resets = 5\nmin_volume = 7\nwindow = \"30s\"\nfor = \"0s\"\n\
             [ResetBurst]\nthreshold = 9\nhold = \"2m\"\n[SignalMissing]\nenabled = false\n\
             [[overrides]]\npeer = \"10.0.0.0/8\"\nalert = \"ResetRatioHigh\"\nthreshold = 1\n\
             [[overrides]]\npeer = \"[2001:db8::1]:5432\"\nalert = \"ResetBurst\"\nenabled = false\n",
        )
        .unwrap();
        let seconds = Duration::from_secs;
        assert_eq!(rules.every, seconds(5));
        let ratio = rules.of(Alert::ResetRatioHigh);
        assert_eq!((ratio.min_resets, ratio.min_volume, ratio.window), (5, 7, seconds(30)));
        assert_eq!(
            (ratio.threshold.to_string(), ratio.lasting, ratio.hold),
            ("0.002".to_owned(), seconds(0), seconds(60))
        );
        let burst = rules.of(Alert::ResetBurst);
        assert_eq!((burst.threshold.to_string(), burst.hold), ("9".to_owned(), seconds(120)));
        assert!(!rules.of(Alert::SignalMissing).enabled);
        let [wide, off] = rules.overrides.as_slice() else { panic!("{rules:?}") };
        assert_eq!((wide.target.to_string(), wide.change.threshold), ("10.0.0.0/8".to_owned(), Some(1.0)));
        assert_eq!(
            (off.target.port, off.alert, off.change.enabled),
            (Some(5432), Alert::ResetBurst, Some(false))
        );
        assert_eq!(rules.longest_window(&Alert::ALL), Duration::from_mins(10), "those that were not set");
    }

    #[test]
    fn what_cannot_be_meant_says_what_where_and_what_to_do() {
        for (text, wanted) in [
            ("[ResetRatioHihg]\n", "unknown field `ResetRatioHihg`"),
            ("[ResetRatioHigh]\nthreshhold = 1\n", "unknown field `threshhold`"),
            (
                "[ResetRatioHigh]\nthreshold = 2\n",
                "alerts.ResetRatioHigh.threshold: it is 2, and must be a share",
            ),
            ("[ResetRatioHigh]\nthreshold = nan\n", "must be a share between 0 and 1"),
            ("[ResetBurst]\nthreshold = 0\n", "alerts.ResetBurst.threshold: it is 0, and must be between 1"),
            (
                "[ResetBurst]\nmin_volume = 1\n",
                "ResetBurst has no such number; it has threshold, window, enabled, for, hold",
            ),
            ("[SignalMissing]\nthreshold = 1\n", "it has enabled, for, hold"),
            (
                "[ResetBurst]\nwindow = \"1s\"\n",
                "alerts.ResetBurst.window: it is 1s, and must be between 15s and 1h",
            ),
            ("[ResetBurst]\nfor = \"soon\"\n", "`soon` is no time: give one such as 30s, 5m or 1h30m"),
            ("[ResetBurst]\nfor = \"-5m\"\n", "`-5m` is no time"),
            ("[ResetBurst]\nhold = \"25h\"\n", "must be between 0s and 24h"),
            ("every = \"0s\"\n", "alerts.every: it is 0s, and must be between 1s and 1m"),
            ("every = \"1500ms\"\n", "alerts.every: it must be whole seconds"),
            ("[[overrides]]\nalert = \"ResetBurst\"\nthreshold = 5\n", "missing field `peer`"),
            ("[[overrides]]\npeer = \"web\"\nalert = \"ResetBurst\"\n", "`web`: not an address"),
            (
                "[[overrides]]\npeer = \"::1\"\nalert = \"Burst\"\n",
                "`Burst` is no alert: one of ResetRatioHigh",
            ),
            (
                "[[overrides]]\npeer = \"::1\"\nalert = \"EventsLost\"\nthreshold = 5\n",
                "alerts.overrides, number 1 (::1, EventsLost): it is not told of a peer",
            ),
            ("[[overrides]]\npeer = \"::1\"\nalert = \"ResetBurst\"\n", "it changes nothing"),
            (
                "[[overrides]]\npeer = \"::1\"\nalert = \"ResetBurst\"\nmin_resets = 5\n",
                "number 1 (::1, ResetBurst).min_resets: ResetBurst has no such number",
            ),
        ] {
            let error = rules(text).unwrap_err();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }
}
