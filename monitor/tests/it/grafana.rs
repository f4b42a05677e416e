//! `deploy/grafana`: a dashboard that Grafana imports, whose panels say what they show and what to do, and ask for nothing but what is there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use clap::CommandFactory as _;
use monitor::cause::Cause;
use monitor::cli::Cli;
use serde_json::{Value, json};

use crate::dashboard_queries::{DASHBOARD, queries};
use crate::exposition::{families, full_page};
use crate::promql::{Known, selectors};
use crate::promtool::{check_queries, root};

/// Panels that are part of Grafana 9 to 12 themselves.
const KINDS: [&str; 4] = ["heatmap", "stat", "table", "timeseries"];
const COLUMNS: u64 = 24;
/// Longer windows than a panel's own, each for a reason: docs/metrics.md takes the least of this one.
const WINDOWS: [&str; 3] = ["$__rate_interval", "$__range", "15m"];

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn known() -> Known {
    Known::new(&fs::read_to_string(root().join("deploy/prometheus/recording.yml")).unwrap())
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Rows, and panels wherever they are.
fn all(dashboard: &Value) -> Vec<&Value> {
    list(&dashboard["panels"]).flat_map(|panel| [panel].into_iter().chain(list(&panel["panels"]))).collect()
}

fn panels(dashboard: &Value) -> Vec<&Value> {
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

/// The queries as they are written, those that fill the variables among them.
fn written(dashboard: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    values(dashboard, "expr", &mut found);
    found.into_iter().map(text).collect()
}

/// What of the dashboard itself is not as promised.
fn faults_of_dashboard(dashboard: &Value) -> Vec<String> {
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
fn faults_of_panels(dashboard: &Value) -> Vec<String> {
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

/// Where panels lie, as left, top, right and bottom.
fn place(panel: &Value) -> [u64; 4] {
    let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap_or_default());
    [x, y, x + w, y + h]
}

/// Identities that are not unique, and places that overlap or lie outside.
fn faults_of_layout(dashboard: &Value) -> Vec<String> {
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
fn faults_of_queries(dashboard: &Value, known: &Known) -> Vec<String> {
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

#[test]
fn the_dashboard_is_as_promised() {
    let dashboard = dashboard();
    assert_eq!(faults_of_dashboard(&dashboard), [""; 0]);
    assert_eq!(faults_of_panels(&dashboard), [""; 0]);
    assert_eq!(faults_of_layout(&dashboard), [""; 0]);
    assert_eq!(faults_of_queries(&dashboard, &known()), [""; 0]);
    let rows: Vec<&str> = list(&dashboard["panels"])
        .filter(|panel| panel["type"] == "row")
        .map(|row| text(&row["title"]))
        .collect();
    let questions = ["Is anything wrong?", "With whom and why?", "How idle were they?"];
    assert_eq!(rows, [questions.as_slice(), &["Listeners and the host", "The daemon"]].concat());
}

#[test]
fn what_is_not_as_promised_is_noticed() {
    let known = known();
    for (place, value, fault) in [
        ("/uid", json!("other"), "/uid"),
        ("/schemaVersion", json!(42), "/schemaVersion"),
        ("/editable", json!(false), "/editable"),
        ("/refresh", json!("5s"), "/refresh"),
        ("/time/from", json!("now-1h"), "/time"),
        ("/tags", json!(["tcp"]), "tags"),
        ("/links", json!([{"url": "http://a"}]), "an address"),
        ("/links", json!([{"datasource": "a"}]), "datasource \"a\""),
        ("/panels/1/datasource/uid", json!("a"), "datasource {"),
        ("/panels/1/targets/0/datasource", json!(null), "datasource null"),
        ("/templating/list/1/current/value", json!("a"), "variables"),
        ("/templating/list/2/multi", json!(false), "variables"),
        ("/templating/list/3/allValue", json!(null), "variables"),
        ("/panels/1/title", json!(""), "``: title"),
        ("/panels/1/title", json!("CPU"), "two panels of one title"),
        ("/panels/1/description", json!("It shows what fires now, and more than that."), "description"),
        ("/panels/1/fieldConfig/defaults/unit", json!(""), "unit"),
        ("/panels/1/datasource", json!("a"), "datasource"),
        ("/panels/1/type", json!("some-plugin"), "kind"),
        ("/panels/1/type", json!("heatmap"), "unit of the axis"),
        ("/panels/1/targets", json!([]), "query"),
        ("/panels/1/targets/1/refId", json!("A"), "names of queries"),
        ("/panels/1/targets/0/instant", json!(false), "now or over time"),
        ("/panels/1/targets/0/expr", json!(null), "datasource of a query"),
        ("/panels/1/id", json!(null), "has no id"),
        ("/panels/1/id", json!(5), "has the id of"),
        ("/panels/1/gridPos/w", json!(5), "lies over"),
        ("/panels/1/gridPos/w", json!(0), "lies outside"),
        ("/panels/1/gridPos/x", json!(23), "lies outside"),
        ("/panels/2/gridPos/h", json!(7), "lies over"),
    ] {
        let mut dashboard = dashboard();
        *dashboard.pointer_mut(place).unwrap() = value.clone();
        let mut faults = faults_of_dashboard(&dashboard);
        faults.extend(faults_of_panels(&dashboard));
        faults.extend(faults_of_layout(&dashboard));
        assert!(faults.iter().any(|found| found.contains(fault)), "{place} {value}: {faults:?}");
    }
    for key in ["id", "__inputs", "__requires"] {
        let mut dashboard = dashboard();
        dashboard[key] = json!(1);
        assert_eq!(faults_of_dashboard(&dashboard), [format!("{key} is of one installation")]);
    }
    let of_host = "job=~\"$job\",instance=~\"$instance\"";
    for (query, fault) in [
        (format!("reset_monitor_alert{{{of_host}}}"), "no reset_monitor_alert in"),
        (format!("process_cpu{{{of_host}}}"), "no process_cpu in"),
        (
            format!("peer:reset_monitor_resets:increase5m{{{of_host}}}"),
            "no peer:reset_monitor_resets:increase5m",
        ),
        (format!("reset_monitor_alerts{{cause=\"a\",{of_host}}}"), "reset_monitor_alerts{cause}"),
        (format!("sum by (pod) (reset_monitor_alerts{{{of_host}}})"), "`pod`"),
        ("reset_monitor_alerts{job=~\"$job\",instance=\"db1\"}".to_owned(), "no job or host of"),
        ("reset_monitor_alerts{instance=~\"$instance\"}".to_owned(), "no job or host of"),
        ("reset_monitor_alerts".to_owned(), "a name without braces"),
        (format!("peer:reset_monitor_resets:increase10m{{{of_host}}}"), "no peer of"),
        (format!("reset_monitor_open_connections{{{of_host}}}"), "no peer of"),
        (format!("reset_monitor_exchanges_total{{{of_host},peer=~\"$peer\"}}"), "retired peers of"),
        (
            format!("reset_monitor_peer_idle_before_reset_seconds_bucket{{{of_host},peer=~\"$peer\"}}"),
            "retired peers of",
        ),
        (format!("rate(reset_monitor_failed_reads_total{{{of_host}}}[5m])"), "window 5m"),
    ] {
        let mut dashboard = dashboard();
        dashboard["panels"][1]["targets"][0]["expr"] = json!(query);
        let faults = faults_of_queries(&dashboard, &known);
        assert!(faults.iter().any(|found| found.contains(fault)), "{query}: {faults:?}");
    }
}

#[test]
fn prometheus_takes_every_query() {
    let asked = queries(DASHBOARD).unwrap();
    let dashboard = dashboard();
    // Found another way: nothing that is asked for is left out.
    assert_eq!(asked.len(), written(&dashboard).len());
    let exprs: Vec<&str> = asked.iter().map(|(_, expr)| expr.as_str()).collect();
    for (title, expr) in &asked {
        assert!(!title.is_empty() && !expr.contains('$'), "{title}: {expr}");
    }
    check_queries(&exprs);
}

#[test]
fn queries_are_found_in_folded_rows_and_annotations_too() {
    let dashboard = json!({
        "annotations": {"list": [{"name": "a", "expr": "up{job=~\"$job\"}"}, {"name": "built in"}]},
        "panels": [
            {"title": "b", "targets": [{"expr": "rate(x[$__rate_interval])"}, {"expr": "y[$__range]"}]},
            {"type": "row", "panels": [{"title": "c", "targets": [{"expr": "z{i=~\"$instance\",p=~\"$peer\"}"}]}]},
        ],
    });
    let expected =
        [("a", "up{job=~\".*\"}"), ("b", "rate(x[1m])"), ("b", "y[6h]"), ("c", "z{i=~\".*\",p=~\".*\"}")];
    let expected = expected.map(|(title, expr)| (title.to_owned(), expr.to_owned()));
    assert_eq!(queries(&dashboard.to_string()).unwrap(), expected);
    assert!(queries("{").is_err());
}

/// The names in the tables of `docs/metrics.md` under a heading.
fn documented(heading: &str) -> Vec<String> {
    let page = fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n### {heading}\n")).unwrap();
    let rows = section.split("\n#").next().unwrap().lines();
    rows.filter_map(|row| Some(row.strip_prefix("| `")?.split('`').next()?.to_owned())).collect()
}

#[test]
fn what_is_told_by_peer_port_and_listener_is_on_the_dashboard() {
    let dashboard = dashboard();
    let asked: BTreeSet<&str> =
        written(&dashboard).into_iter().flat_map(selectors).map(|(name, _)| name).collect();
    for (heading, least) in [("By peer", 13), ("By local port", 4), ("By listener", 4)] {
        let names = documented(heading);
        assert!(names.len() >= least, "{heading}: {names:?}");
        for name in names {
            let of_family = |asked: &&str| **asked == name || **asked == format!("{name}_bucket");
            assert!(asked.iter().any(of_family), "{name}");
        }
    }
}

#[test]
fn shares_of_requests_are_marked_where_the_alert_fires() {
    let dashboard = dashboard();
    let mut shares = BTreeMap::new();
    for panel in panels(&dashboard) {
        let is_share = |query: &str| {
            query.contains("exchanges_reset:ratio10m")
                || (query.starts_with("clamp_max(") && query.contains("reset_monitor_exchanges"))
        };
        let Some(place) = list(&panel["targets"]).position(|target| is_share(text(&target["expr"]))) else {
            continue;
        };
        // Of a table only one column is a share.
        let of_column = list(&panel["fieldConfig"]["overrides"])
            .filter(|column| column["matcher"]["options"] == "share")
            .flat_map(|column| list(&column["properties"]))
            .find(|property| property["id"] == "thresholds")
            .map(|property| &property["value"]);
        let thresholds = of_column.unwrap_or(&panel["fieldConfig"]["defaults"]["thresholds"]);
        let steps: Vec<&Value> = list(&thresholds["steps"]).map(|step| &step["value"]).collect();
        assert_eq!(steps, [&json!(null), &json!(0.001)], "{}", panel["title"]);
        if panel["type"] == "timeseries" {
            let style = &panel["fieldConfig"]["defaults"]["custom"]["thresholdsStyle"]["mode"];
            assert_eq!(style, "line", "{}", panel["title"]);
        }
        shares.insert(text(&panel["title"]), place);
    }
    assert_eq!(shares.len(), 3, "{shares:?}");
    let alerts = fs::read_to_string(root().join("deploy/prometheus/alerts.yml")).unwrap();
    assert!(alerts.contains("peer:reset_monitor_exchanges_reset:ratio10m > 0.001\n"));
}

#[test]
fn texts_name_commands_options_values_and_files_that_exist() {
    let dashboard = dashboard();
    let cli = Cli::command();
    let families = families(&full_page());
    let words: BTreeSet<&str> = families
        .iter()
        .flat_map(|family| family.labels.values().flatten().map(String::as_str))
        .chain(Cause::ALL.map(Cause::name))
        .collect();
    let option = |command: &str, option: &str| {
        let command = cli.find_subcommand(command).unwrap_or_else(|| panic!("{command}"));
        assert!(command.get_arguments().any(|argument| argument.get_long() == Some(option)), "--{option}");
    };
    let (mut commands, mut files) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels(&dashboard) {
        let description = text(&panel["description"]);
        for quoted in description.split('`').skip(1).step_by(2) {
            if let Some(command) = quoted.strip_prefix("reset-monitor ") {
                let (name, rest) = command.split_once(' ').unwrap_or((command, ""));
                assert!(cli.find_subcommand(name).is_some(), "{quoted}");
                let options = rest.split(' ').filter_map(|word| word.strip_prefix("--"));
                options.filter(|word| *word != "help").for_each(|word| option(name, word));
                commands.insert(name);
            } else if let Some(name) = quoted.strip_prefix("--") {
                option("run", name);
            } else if quoted != "ss -K" {
                assert!(words.contains(quoted), "`{quoted}` of {}", panel["title"]);
            }
        }
        let named =
            description.split([' ', '\n', ',', ';', ':', '(', ')']).map(|word| word.trim_end_matches('.'));
        for file in named.filter(|word| word.starts_with("docs/") || word.starts_with("deploy/")) {
            assert!(root().join(file).exists(), "{file}");
            files.insert(file);
        }
    }
    assert!(commands.len() > 5 && files.len() > 4, "{commands:?} {files:?}");
}
