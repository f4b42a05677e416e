//! JSON that is posted to Alertmanager, as version 2 of its API takes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::alerts::AnnotationsView;

/// One alert; a request has a list of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostedAlertView {
    /// Who it is: name, severity, host, and whom it is about.
    pub labels: BTreeMap<String, String>,
    /// In words.
    pub annotations: AnnotationsView,
    /// When it began to fire.
    pub starts_at: String,
    /// When it ended, or is to end unless it is sent again.
    pub ends_at: String,
}
