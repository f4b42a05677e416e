//! JSON of `/api/v1/alerts`: what is firing or about to, and what is over. Numbers are in annotations, never in labels.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::schema;

/// `/api/v1/alerts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Alerts")]
pub struct AlertsView {
    /// When alerts were evaluated last; `null` before the first time.
    #[schemars(extend("format" = "date-time"))]
    pub evaluated: Option<String>,
    /// Seconds from one evaluation to the next.
    pub every_seconds: f64,
    /// How many match.
    pub matching: usize,
    /// Firing, pending and resolved ones, in this order; of each state critical ones first.
    pub alerts: Vec<AlertView>,
    /// Alerts that found no place among the 500 of their name, once for each evaluation.
    pub not_kept: u64,
    /// Peers with resets that were not watched, since too many others had more.
    pub peers_left_out: u64,
    /// What every alert goes by.
    pub rules: Vec<AlertRuleView>,
}

/// One alert of one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Alert")]
pub struct AlertView {
    /// Its name.
    #[schemars(extend("enum" = schema::alerts()))]
    pub alert: String,
    /// `critical` or `warning`.
    #[schemars(extend("enum" = schema::severities()))]
    pub severity: String,
    /// `pending`, `firing` or `resolved`.
    #[schemars(extend("enum" = schema::alert_states()))]
    pub state: String,
    /// Whom it is about. With the name, they make an alert the same one.
    pub labels: BTreeMap<String, String>,
    /// What was measured when it held last: a share, a number, or seconds of margin; `null` where there is nothing to measure.
    pub value: Option<f64>,
    /// What that is compared with; `null` likewise.
    pub threshold: Option<f64>,
    /// Since when it holds.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// When it began to fire; `null` before.
    #[schemars(extend("format" = "date-time"))]
    pub fired: Option<String>,
    /// When it was resolved; `null` before.
    #[schemars(extend("format" = "date-time"))]
    pub resolved: Option<String>,
    /// In words.
    pub annotations: AnnotationsView,
}

/// An alert in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Annotations")]
pub struct AnnotationsView {
    /// One sentence, the same for all of this name.
    pub summary: String,
    /// One sentence with the numbers.
    pub description: String,
    /// What to do.
    pub runbook: String,
}

/// What an alert goes by, without what is set for some peers. What does not concern it is `null`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "AlertRule")]
pub struct AlertRuleView {
    /// Its name.
    #[schemars(extend("enum" = schema::alerts()))]
    pub alert: String,
    /// `critical` or `warning`.
    #[schemars(extend("enum" = schema::severities()))]
    pub severity: String,
    /// Whether it is looked for.
    pub enabled: bool,
    /// The condition in words.
    pub condition: String,
    /// Where it begins.
    pub threshold: Option<f64>,
    /// Resets in the window at least.
    pub min_resets: Option<u64>,
    /// Exchanges or closed connections in the window at least.
    pub min_volume: Option<u64>,
    /// Over how many seconds is counted.
    pub window_seconds: Option<f64>,
    /// For how many seconds it must hold before it fires.
    pub for_seconds: f64,
    /// For how many seconds it goes on firing when it holds no more.
    pub hold_seconds: f64,
    /// For how many patterns of peers other numbers are set.
    pub overrides: usize,
}
