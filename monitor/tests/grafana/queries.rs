//! The queries of `deploy/grafana/reset-monitor.json` as a Prometheus is asked them. Every test crate that needs them includes this file by its path.

use serde_json::Value;

/// The dashboard as it is delivered.
pub(crate) const DASHBOARD: &str = include_str!("../../../deploy/grafana/reset-monitor.json");

/// What Grafana's variables become: each job, host and peer; windows that hold several scrapes of 15 seconds.
const VARIABLES: [(&str, &str); 5] =
    [("$__rate_interval", "1m"), ("$__range", "6h"), ("$job", ".*"), ("$instance", ".*"), ("$peer", ".*")];

/// All queries of a dashboard's panels and annotations, each after the title of what it is for.
pub(crate) fn queries(dashboard: &str) -> serde_json::Result<Vec<(String, String)>> {
    let dashboard: Value = serde_json::from_str(dashboard)?;
    let mut found = Vec::new();
    for annotation in list(&dashboard["annotations"]["list"]) {
        found.extend(query(&annotation["name"], annotation));
    }
    for panel in list(&dashboard["panels"]) {
        // Panels of a row that is folded are inside it.
        for panel in [panel].into_iter().chain(list(&panel["panels"])) {
            found.extend(list(&panel["targets"]).filter_map(|target| query(&panel["title"], target)));
        }
    }
    Ok(found)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn query(title: &Value, target: &Value) -> Option<(String, String)> {
    Some((title.as_str().unwrap_or_default().to_owned(), plain(target["expr"].as_str()?)))
}

fn plain(expr: &str) -> String {
    VARIABLES.iter().fold(expr.to_owned(), |expr, (variable, value)| expr.replace(variable, value))
}
