//! `deploy/grafana`: a dashboard that Grafana imports, whose panels say what they show and what to do, and ask for nothing but what is there.

mod faults;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use clap::CommandFactory as _;
use monitor::cause::Cause;
use monitor::cli::Cli;
use serde_json::{Value, json};

use self::faults::{
    faults_of_dashboard, faults_of_layout, faults_of_names, faults_of_panels, faults_of_queries, list,
    panels, text, written,
};
use crate::dashboard_queries::{DASHBOARD, queries};
use crate::exposition::{families, full_page};
use crate::promql::{Known, selectors};
use crate::promtool::{check_queries, root};

fn dashboard() -> Value {
    serde_json::from_str(DASHBOARD).unwrap()
}

fn known() -> Known {
    Known::new(&fs::read_to_string(root().join("deploy/prometheus/recording.yml")).unwrap())
}

#[test]
fn the_dashboard_is_as_promised() {
    let dashboard = dashboard();
    assert_eq!(faults_of_dashboard(&dashboard), [""; 0]);
    assert_eq!(faults_of_panels(&dashboard), [""; 0]);
    assert_eq!(faults_of_layout(&dashboard), [""; 0]);
    assert_eq!(faults_of_names(&dashboard, &known()), [""; 0]);
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
        ("/templating/list/2/definition", json!("label_values(up, job)"), "definition of \"instance\""),
        ("/templating/list/2/query/query", json!("label_values(up, instance)"), "definition of"),
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
        ("/panels/1/targets/0/legendFormat", json!("{{instance}} {{pod}}"), ": pod"),
        ("/panels/2/transformations", json!([]), "column Value #A"),
        ("/panels/2/transformations/1/options/excludeByName", json!({"Value #A": true}), "column Time"),
        (
            "/panels/2/transformations/1/options/excludeByName",
            json!({"Value #A": true, "Time": true}),
            "column Value",
        ),
        ("/panels/2/fieldConfig/overrides", json!([{"matcher": {"options": "a"}}]), "no column \"a\""),
        ("/panels/2/options/sortBy", json!([{"displayName": "a"}]), "no order by \"a\""),
    ] {
        let mut dashboard = dashboard();
        *dashboard.pointer_mut(place).unwrap() = value.clone();
        let mut faults = faults_of_dashboard(&dashboard);
        faults.extend(faults_of_panels(&dashboard));
        faults.extend(faults_of_layout(&dashboard));
        faults.extend(faults_of_names(&dashboard, &known));
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
