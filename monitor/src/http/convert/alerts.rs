//! Alerts to their JSON.

use crate::alerts::book::AlertRow;
use crate::alerts::catalog::{Alert, Key};
use crate::alerts::report::Report;
use crate::alerts::rules::{Rule, Rules};
use crate::alerts::text::{condition, description};
use crate::view::alerts::{AlertRuleView, AlertView, AlertsView, AnnotationsView};

/// At most `limit` of these, which are in order already.
pub fn alerts_view(report: &Report, rows: &[&AlertRow], limit: usize) -> AlertsView {
    AlertsView {
        evaluated: report.evaluated.map(|at| report.time(at).to_string()),
        every_seconds: report.rules.every.as_secs_f64(),
        matching: rows.len(),
        alerts: rows.iter().take(limit).map(|row| alert_view(report, row)).collect(),
        not_kept: report.not_kept,
        peers_left_out: report.left_out,
        rules: Alert::ALL.map(|alert| rule_view(&report.rules, alert)).into(),
    }
}

fn alert_view(report: &Report, row: &AlertRow) -> AlertView {
    let AlertRow { identity, rule, measure, since, fired, resolved } = row;
    let alert = identity.alert;
    let is_measured = alert.keys().contains(&Key::Threshold);
    let labels = identity.subject.labels().into_iter().map(|(name, value)| (name.to_owned(), value));
    AlertView {
        alert: alert.name().to_owned(),
        severity: alert.severity().name().to_owned(),
        state: row.state().name().to_owned(),
        labels: labels.collect(),
        value: is_measured.then(|| measure.value()),
        threshold: is_measured.then_some(rule.threshold),
        since: report.time(*since).to_string(),
        fired: fired.map(|at| report.time(at).to_string()),
        resolved: resolved.map(|at| report.time(at).to_string()),
        annotations: AnnotationsView {
            summary: alert.summary().to_owned(),
            description: description(row),
            runbook: alert.runbook().to_owned(),
        },
    }
}

fn rule_view(rules: &Rules, alert: Alert) -> AlertRuleView {
    let rule = rules.of(alert);
    let Rule { enabled, threshold, min_resets, min_volume, window, lasting, hold } = *rule;
    let has = |key| alert.keys().contains(&key);
    AlertRuleView {
        alert: alert.name().to_owned(),
        severity: alert.severity().name().to_owned(),
        enabled,
        condition: condition(alert, rule),
        threshold: has(Key::Threshold).then_some(threshold),
        min_resets: has(Key::MinResets).then_some(min_resets),
        min_volume: has(Key::MinVolume).then_some(min_volume),
        window_seconds: has(Key::Window).then_some(window.as_secs_f64()),
        for_seconds: lasting.as_secs_f64(),
        hold_seconds: hold.as_secs_f64(),
        overrides: rules.overrides.iter().filter(|of| of.alert == alert).count(),
    }
}
