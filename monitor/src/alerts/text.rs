//! Alerts in words: what was measured, against what.

use std::time::Duration;

use super::book::{AlertRow, Measure};
use super::catalog::Alert;
use super::rules::Rule;
use crate::advice::numbers::{count, seconds};
use crate::terminal::percent;

/// One sentence with the numbers. They change from one evaluation to the next, so they are never part of the labels.
pub fn description(row: &AlertRow) -> String {
    let AlertRow { identity, rule, measure, since: _, fired: _, resolved: _ } = row;
    let (subject, value) = (identity.subject, measure.value());
    let within = || time(rule.window);
    let of_whole = |what: &str| {
        let Measure::Share { part, whole } = *measure else { return String::new() };
        let (share, limit) = (percent(value), percent(rule.threshold));
        format!(
            "{} among {whole} {what} with {subject} within {}: {share}, above {limit}.",
            count(part, "reset"),
            within()
        )
    };
    let so_many = |what: &str| {
        let Measure::Count(number) = *measure else { return String::new() };
        format!("{number} {what} {subject} within {}.", within())
    };
    match identity.alert {
        Alert::ResetRatioHigh => of_whole("exchanges"),
        Alert::ConnectionResetRatioHigh => of_whole("closed connections"),
        Alert::KeepAliveMisaligned => {
            let Measure::Margin { milliseconds } = *measure else { return String::new() };
            let margin = seconds(Duration::from_millis(milliseconds.unsigned_abs()));
            let (first, second) = if milliseconds < 0 { ("server", "client") } else { ("client", "server") };
            format!(
                "Of quiet connections with {subject}, the {first} closes {margin} before the {second} does."
            )
        }
        Alert::IdleReuseResets => so_many("resets by idle_reuse with"),
        Alert::MiddleboxResets => so_many("resets by middlebox with"),
        Alert::ResetBurst => so_many("connections reset with"),
        Alert::ListenOverflow => so_many("times the accept queue was full: listener"),
        Alert::ConntrackNearlyFull => {
            let Measure::Share { part, whole } = *measure else { return String::new() };
            format!(
                "{part} of {whole} entries are in use: {}, above {}.",
                percent(value),
                percent(rule.threshold)
            )
        }
        Alert::EventsLost => so_many("stories lost on"),
        Alert::SignalMissing => format!("The signal {subject} is missing."),
    }
}

/// The condition of a rule: what it takes to hold.
pub fn condition(alert: Alert, rule: &Rule) -> String {
    let Rule { enabled: _, threshold, min_resets, min_volume, window, lasting: _, hold: _ } = rule;
    let window = time(*window);
    let share = |of: &str| {
        format!(
            "reset / {of} > {threshold} in {window}, with {min_resets} resets and {min_volume} {of} at least"
        )
    };
    match alert {
        Alert::ResetRatioHigh => share("exchanges"),
        Alert::ConnectionResetRatioHigh => share("closed"),
        Alert::KeepAliveMisaligned => format!("margin < {threshold} s"),
        Alert::IdleReuseResets => format!("resets by idle_reuse >= {threshold} in {window}"),
        Alert::MiddleboxResets => format!("resets by middlebox >= {threshold} in {window}"),
        Alert::ResetBurst => format!("reset >= {threshold} in {window}"),
        Alert::ListenOverflow => format!("overflows >= {threshold} in {window}"),
        Alert::ConntrackNearlyFull => format!("entries / limit > {threshold}"),
        Alert::EventsLost => format!("lost > {threshold} in {window}"),
        Alert::SignalMissing => "status is missing".to_owned(),
    }
}

/// A time as the configuration has it: `10m`, `1h30m`, `15s`, `0s`.
pub fn time(time: Duration) -> String {
    let whole = time.as_secs();
    let parts = [(whole / 3_600, "h"), (whole / 60 % 60, "m"), (whole % 60, "s")];
    let parts = parts.iter().filter(|(value, _)| *value > 0).map(|(value, unit)| format!("{value}{unit}"));
    let text = parts.collect::<Vec<_>>().concat();
    match time.subsec_millis() {
        0 if text.is_empty() => "0s".to_owned(),
        0 => text,
        milliseconds => format!("{text}{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::time;
    use std::time::Duration;

    #[test]
    fn a_time_is_written_as_the_configuration_reads_it() {
        for (milliseconds, text) in
            [(0, "0s"), (15_000, "15s"), (600_000, "10m"), (5_400_000, "1h30m"), (1_500, "1s500ms")]
        {
            assert_eq!(time(Duration::from_millis(milliseconds)), text);
        }
    }
}
