//! What a dashboard lacks, or has too much of. Each function returns what it found, so that tests can see that it finds it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::exposition::{families, full_page};
use crate::promql::{Known, selectors};

/// Panels that are part of Grafana 9 to 12 themselves.
const KINDS: [&str; 4] = ["heatmap", "stat", "table", "timeseries"];
const COLUMNS: u64 = 24;
/// A graph's step, the time that is shown, and the one that docs/metrics.md takes the least of.
const WINDOWS: [&str; 3] = ["$__rate_interval", "$__range", "15m"];

/// What of the dashboard itself is not as promised.
pub(super) fn faults_of_dashboard(dashboard: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (key, wanted) in [
        ("/uid", json!("reset-monitor")),
        ("/schemaVersion", json!(36)),
        ("/editable", json!(true)),
        ("/refresh", json!("30s")),
        ("/time", json!({"from": "now-6h", "to": "now"})),
    ] {
        if dashboard.pointer(key) != Some(&wanted) {
            faults.push(format!("{key} is not {wanted}"));
        }
    }
    for key in ["id", "__inputs", "__requires"] {
        if dashboard.get(key).is_some() {
            faults.push(format!("{key} is of one installation"));
        }
    }
    if !list(&dashboard["tags"]).any(|tag| tag == "reset-monitor") {
        faults.push("tags".to_owned());
    }
    if dashboard.to_string().contains("://") {
        faults.push("an address".to_owned());
    }
    let mut sources = Vec::new();
    values(dashboard, "datasource", &mut sources);
    for source in sources {
        if *source != json!({"type": "prometheus", "uid": "${datasource}"}) {
            faults.push(format!("datasource {source}"));
        }
    }
    for variable in list(&dashboard["templating"]["list"]).filter(|variable| variable["type"] == "query") {
        let definition = text(&variable["definition"]);
        let of_label = format!(", {})", text(&variable["name"]));
        if !(definition.starts_with("label_values(") && definition.ends_with(&of_label))
            || variable["query"]["query"] != definition
        {
            faults.push(format!("definition of {}", variable["name"]));
        }
    }
    let variables: Vec<Value> = list(&dashboard["templating"]["list"])
        .map(|of| {
            json!([
                of["name"],
                of["type"],
                of["multi"],
                of["includeAll"],
                of["allValue"],
                of["current"]["value"]
            ])
        })
        .collect();
    let all = json!(["$__all"]);
    if variables
        != [
            json!(["datasource", "datasource", false, false, null, null]),
            json!(["job", "query", false, false, null, "reset-monitor"]),
            json!(["instance", "query", true, true, ".*", all]),
            json!(["peer", "query", true, true, ".*", all]),
        ]
    {
        faults.push(format!("variables {variables:?}"));
    }
    faults
}

/// What panels lack.
pub(super) fn faults_of_panels(dashboard: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for panel in panels(dashboard) {
        let title = text(&panel["title"]);
        let mut need = |holds: bool, what: &str| {
            if !holds {
                faults.push(format!("`{title}`: {what}"));
            }
        };
        need(!title.is_empty(), "title");
        let about = text(&panel["description"]).split_once("\n\nTo do: ");
        need(about.is_some_and(|(what, to_do)| what.len() > 30 && to_do.len() > 20), "description");
        need(!text(&panel["fieldConfig"]["defaults"]["unit"]).is_empty(), "unit");
        // A heatmap's own unit is that of a cell.
        need(panel["type"] != "heatmap" || panel["options"]["yAxis"]["unit"] == "s", "unit of the axis");
        need(panel["datasource"].is_object(), "datasource");
        need(KINDS.contains(&text(&panel["type"])), "kind");
        need(list(&panel["targets"]).next().is_some(), "query");
        let names: BTreeSet<&str> = list(&panel["targets"]).map(|target| text(&target["refId"])).collect();
        need(names.len() == list(&panel["targets"]).count(), "names of queries");
        for target in list(&panel["targets"]) {
            need(target["datasource"].is_object() && target["expr"].is_string(), "datasource of a query");
            need(
                (target["instant"] == true) == ["stat", "table"].contains(&text(&panel["type"])),
                "now or over time",
            );
        }
    }
    let titles: BTreeSet<&str> = panels(dashboard).iter().map(|panel| text(&panel["title"])).collect();
    if titles.len() != panels(dashboard).len() {
        faults.push("two panels of one title".to_owned());
    }
    faults
}

/// Columns of tables that nobody named or that have a format but do not exist, and legends of labels that are not there.
pub(super) fn faults_of_names(dashboard: &Value, known: &Known) -> Vec<String> {
    let mut faults = Vec::new();
    for panel in panels(dashboard) {
        let title = text(&panel["title"]);
        for legend in list(&panel["targets"]).map(|target| text(&target["legendFormat"])) {
            let labels = legend.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap_or_default());
            faults.extend(
                labels.filter(|label| !known.has_label(label)).map(|label| format!("`{title}`: {label}")),
            );
        }
        if panel["type"] != "table" {
            continue;
        }
        let columns = list(&panel["transformations"]).find(|step| step["id"] == "organize");
        let columns = columns.map_or(&Value::Null, |step| &step["options"]);
        let named = |column: &str| {
            columns["excludeByName"][column] == true || columns["renameByName"][column].is_string()
        };
        let one = list(&panel["targets"]).count() == 1;
        let values = list(&panel["targets"]).map(|target| format!("Value #{}", text(&target["refId"])));
        let made = values.chain(["Time".to_owned()]).chain(one.then(|| "Value".to_owned()));
        faults
            .extend(made.filter(|column| !named(column)).map(|column| format!("`{title}`: column {column}")));
        let names: Vec<&Value> =
            columns["renameByName"].as_object().into_iter().flat_map(|map| map.values()).collect();
        let formats = list(&panel["fieldConfig"]["overrides"]).map(|column| &column["matcher"]["options"]);
        faults.extend(
            formats.filter(|name| !names.contains(name)).map(|name| format!("`{title}`: no column {name}")),
        );
        let sorted = list(&panel["options"]["sortBy"]).map(|by| &by["displayName"]);
        let by_label = |name: &Value| known.has_label(text(name));
        faults.extend(
            sorted
                .filter(|name| !names.contains(name) && !by_label(name))
                .map(|name| format!("`{title}`: no order by {name}")),
        );
    }
    faults
}

/// Where panels lie, as left, top, right and bottom.
fn place(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default());
    [x, y, x + w, y + h]
}

/// Identities that are not unique, and places that overlap or lie outside.
pub(super) fn faults_of_layout(dashboard: &Value) -> Vec<String> {
    let all = all(dashboard);
    let mut faults = Vec::new();
    for (number, one) in all.iter().enumerate() {
        let title = text(&one["title"]);
        let [left, top, right, bottom] = place(one);
        if right > COLUMNS || right == left || bottom == top {
            faults.push(format!("`{title}` lies outside"));
        }
        if one["id"].as_u64().is_none() {
            faults.push(format!("`{title}` has no id"));
        }
        for other in &all[number + 1..] {
            let [other_left, other_top, other_right, other_bottom] = place(other);
            let beside = right <= other_left || other_right <= left;
            if !beside && top < other_bottom && other_top < bottom {
                faults.push(format!("`{title}` lies over `{}`", text(&other["title"])));
            }
            if one["id"] == other["id"] {
                faults.push(format!("`{title}` has the id of `{}`", text(&other["title"])));
            }
        }
    }
    faults
}

/// What queries ask for that is not there, or without what the variables and docs/metrics.md say.
pub(super) fn faults_of_queries(dashboard: &Value, known: &Known) -> Vec<String> {
    let families = families(&full_page());
    let mut variables = Vec::new();
    values(&dashboard["templating"], "definition", &mut variables);
    let variables: Vec<&str> = variables.into_iter().map(text).collect();
    let mut faults = Vec::new();
    for query in written(dashboard).iter().chain(&variables) {
        faults.extend(known.unknown(query));
        let mut fault = |what: &str| faults.push(format!("{what} in {query}"));
        let selectors = selectors(query);
        for (name, matchers) in &selectors {
            let has = |matcher: &str| matchers.contains(&matcher);
            if !known.has(name) {
                fault(&format!("no {name}"));
            }
            if !has("job=~\"$job\"") || !(has("instance=~\"$instance\"") || variables.contains(query)) {
                fault(&format!("no job or host of {name}"));
            }
            let base = ["_bucket", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix));
            let family = families.iter().find(|family| family.name == base.unwrap_or(name));
            let by_peer = family.is_some_and(|family| family.labels.contains_key("peer"));
            let counts = family.is_some_and(|family| family.kind != "gauge");
            if by_peer && counts && !has("peer!=\"retired\"") {
                fault(&format!("retired peers of {name}"));
            }
            let of_peers = by_peer || name.starts_with("peer:");
            if of_peers && !has("peer=~\"$peer\"") && !variables.contains(query) {
                fault(&format!("no peer of {name}"));
            }
        }
        let braces = query.matches('{').count();
        if braces != selectors.len() || (braces == 0 && !variables.contains(query)) {
            fault("a name without braces, or the reverse,");
        }
        let windows = query.split('[').skip(1).map(|rest| rest.split(']').next().unwrap_or_default());
        for window in windows.filter(|window| !WINDOWS.contains(window)) {
            fault(&format!("window {window}"));
        }
    }
    faults
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Rows, and panels wherever they are.
fn all(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).flat_map(|panel| [panel].into_iter().chain(list(&panel["panels"]))).collect()
}

pub(super) fn panels(dashboard: &Value) -> Vec<&Value> {
    all(dashboard).into_iter().filter(|panel| panel["type"] != "row").collect()
}

/// The values of a key, however deep.
fn values<'a>(value: &'a Value, key: &str, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(map) => {
            found.extend(map.get(key));
            map.values().for_each(|inner| values(inner, key, found));
        }
        Value::Array(items) => items.iter().for_each(|inner| values(inner, key, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The queries as they are written, wherever they are.
pub(super) fn written(dashboard: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    values(dashboard, "expr", &mut found);
    found.into_iter().map(text).collect()
}
