//! How many alerts are pending and firing, by name, and what was not kept; and what of alerts and metrics was told to others.

use std::fmt;
use std::sync::Arc;

use super::family::{Counter, Gauge, Output};
use crate::alerts::book::State;
use crate::alerts::catalog::Alert;
use crate::alerts::report::Report;
use crate::push::Account;

pub(super) fn encode(out: &mut Output<'_>, report: &Report) -> fmt::Result {
    let mut alerts = Gauge::new(
        out,
        "alerts",
        "Alerts of the daemon itself that are pending or firing; of whom, /api/v1/alerts tells.",
    )?;
    for alert in Alert::ALL {
        for state in [State::Pending, State::Firing] {
            let count = report.count(alert, state) as u64;
            alerts.line(&[("alert", alert.name()), ("state", state.name())], count)?;
        }
    }
    Counter::single(
        out,
        "alerts_not_kept",
        "Alerts that found no place among those of their name, once for each evaluation.",
        report.not_kept,
    )?;
    Counter::single(
        out,
        "alerts_peers_left_out",
        "Peers with resets whose alerts were not evaluated, because too many others had more resets.",
        report.left_out,
    )
}

/// Nothing where no Alertmanager is told.
pub(super) fn encode_pushed(out: &mut Output<'_>, pushed: &[Arc<Account>]) -> fmt::Result {
    if pushed.is_empty() {
        return Ok(());
    }
    let help = "Alerts that an Alertmanager took, those sent again among them.";
    let mut sent = Counter::new(out, "alertmanager_alerts_sent", help)?;
    for account in pushed {
        sent.line(&[("alertmanager", &account.name)], account.sent())?;
    }
    let help = "Requests that an Alertmanager did not answer or did not take.";
    let mut failures = Counter::new(out, "alertmanager_failures", help)?;
    for account in pushed {
        failures.line(&[("alertmanager", &account.name)], account.failures())?;
    }
    Ok(())
}

/// Nothing where metrics are sent nowhere.
pub(super) fn encode_exported(out: &mut Output<'_>, exported: Option<&Account>) -> fmt::Result {
    let Some(account) = exported else { return Ok(()) };
    let labels = [("endpoint", &*account.name)];
    let help = "States of all metrics that a receiver of OTLP took.";
    Counter::new(out, "otlp_exports", help)?.line(&labels, account.sent())?;
    let help = "Requests that a receiver of OTLP did not answer, or did not take in full.";
    Counter::new(out, "otlp_failures", help)?.line(&labels, account.failures())
}
