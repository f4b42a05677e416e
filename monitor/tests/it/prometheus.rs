//! `deploy/prometheus`: rules that Prometheus takes and whose cases hold, that name nothing but what is there, and that are explained.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use clap::CommandFactory as _;
use monitor::alerts::catalog::Alert;
use monitor::cli::Cli;
use monitor::metrics::encode;
use monitor::metrics::negotiate::Format;
use monitor::snapshot::{SignalRow, SignalStatus, Snapshot};

use crate::exposition::{families, full_page, page, samples};
use crate::metrics_page::queries;
use crate::promql::Known;
use crate::promtool::{amtool, check_queries, promtool, root, with_file};
use crate::support::{signals, snapshot};

/// What promtool tests.
pub(crate) const RULES: [&str; 3] = ["recording.yml", "alerts.yml", "fleet.yml"];

/// What only Prometheus can see.
const DOWN: &str = "ResetMonitorDown";

/// An alert as the rules must have it.
struct Shipped {
    name: &'static str,
    severity: &'static str,
    /// How long what it says must hold.
    pending: String,
    /// What its expression must have.
    parts: Vec<String>,
}

/// Those of the daemon's own catalog, in its order, and the one that only Prometheus can see.
fn shipped() -> Vec<Shipped> {
    let minutes = |time: Duration| format!("{}m", time.as_secs() / 60);
    let of = |alert: Alert| {
        let rule = alert.default_rule();
        assert_eq!(minutes(rule.hold), "5m", "{}", alert.name());
        let (from, above) = (format!(">= {}", rule.threshold), format!("> {}", rule.threshold));
        let increase = format!(":increase{}", minutes(rule.window));
        let parts = match alert {
            Alert::ResetRatioHigh | Alert::ConnectionResetRatioHigh => vec![
                format!(":ratio{} {above}\n", minutes(rule.window)),
                format!("connections_reset{increase} >= {}\n", rule.min_resets),
                format!("{increase} >= {}\n", rule.min_volume),
            ],
            Alert::IdleReuseResets | Alert::MiddleboxResets | Alert::ResetBurst | Alert::ListenOverflow => {
                vec![increase, from]
            }
            Alert::EventsLost => vec![increase, above],
            Alert::KeepAliveMisaligned => {
                vec![
                    format!("{{role=\"client\"}}[2m]) < {}\n", rule.threshold),
                    format!(
                        "(reset_monitor_keepalive_margin_seconds{{role=\"server\"}}[2m])) < {}\n",
                        rule.threshold
                    ),
                ]
            }
            Alert::ConntrackNearlyFull => vec![above],
            Alert::SignalMissing => vec![format!("status=\"{}\"", SignalStatus::Missing.name())],
        };
        Shipped {
            name: alert.name(),
            severity: alert.severity().name(),
            pending: minutes(rule.lasting),
            parts,
        }
    };
    let down =
        Shipped { name: DOWN, severity: "warning", pending: "5m".to_owned(), parts: vec!["up{".to_owned()] };
    Alert::ALL.into_iter().map(of).chain([down]).collect()
}

fn file(name: &str) -> String {
    fs::read_to_string(root().join("deploy/prometheus").join(name)).unwrap()
}

/// The names of the files with cases.
fn cases() -> Vec<String> {
    let entries = fs::read_dir(root().join("deploy/prometheus")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with("_test.yml")).collect()
}

#[test]
fn prometheus_takes_the_rules() {
    for name in RULES {
        let said = promtool(&["check", "rules", name], "");
        let rules = file(name).lines().filter(|line| is_rule(line)).count();
        assert!(said.contains(&format!("SUCCESS: {rules} rules found")), "{name}: {said}");
    }
}

#[test]
fn prometheus_takes_the_queries_of_the_readme() {
    check_queries(&queries(&file("README.md")));
}

fn is_rule(line: &str) -> bool {
    let line = line.trim_start();
    line.starts_with("- record: ") || line.starts_with("- alert: ")
}

#[test]
fn every_case_of_the_rules_holds() {
    let cases = cases();
    assert_eq!(cases.len(), 6, "{cases:?}");
    for name in cases {
        let said = promtool(&["test", "rules", &name], "");
        assert!(said.contains("SUCCESS"), "{name}: {said}");
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not() {
    let text: String = cases().iter().map(|name| file(name)).collect();
    for Shipped { name: alert, .. } in shipped() {
        let checks: Vec<&str> = text
            .split("- expr: ")
            .filter(|check| check.contains(&format!("alertname=\"{alert}\",alertstate=\"firing\"")))
            .collect();
        let silent = checks.iter().filter(|check| check.contains("exp_samples: []")).count();
        assert!(silent > 0 && silent < checks.len(), "{alert}: {silent} of {}", checks.len());
    }
}

#[test]
fn the_scrape_configurations_are_valid_and_name_the_job_that_the_rules_know() {
    let said = promtool(&["check", "config", "scrape-host.yml"], "");
    assert!(said.contains("SUCCESS: scrape-host.yml is valid"), "{said}");
    // Some distributions build promtool without Kubernetes: what finds the pods is left to Prometheus there.
    let fleet = file("scrape-fleet.yml");
    let (before, found) = fleet.split_once("    kubernetes_sd_configs:\n").unwrap();
    let (_, after) = found.split_once("    relabel_configs:\n").unwrap();
    let static_targets = "    static_configs:\n      - targets: [\"10.0.0.1:9777\"]\n    relabel_configs:\n";
    let rules = root().join("deploy/prometheus").display().to_string();
    let without = format!("{before}{static_targets}{after}")
        .replace("\n  - recording.yml", &format!("\n  - {rules}/recording.yml"))
        .replace("\n  - alerts.yml", &format!("\n  - {rules}/alerts.yml"))
        .replace("\n  - fleet.yml", &format!("\n  - {rules}/fleet.yml"));
    let said = with_file("scrape-fleet.yml", &without, |path| promtool(&["check", "config", path], ""));
    assert!(said.contains("3 rule files found"), "{said}");
    let said = promtool(&["check", "config", "scrape-global.yml"], "");
    assert!(said.contains("SUCCESS: scrape-global.yml is valid"), "{said}");
    for name in ["scrape-host.yml", "scrape-fleet.yml"] {
        assert!(file(name).contains("\n  - job_name: reset-monitor\n"), "{name}");
    }
    let rules: String = RULES.map(file).concat();
    let jobs: BTreeSet<&str> =
        rules.split("job=").skip(1).map(|rest| rest.split('"').nth(1).unwrap()).collect();
    assert_eq!(jobs, BTreeSet::from(["reset-monitor"]));
}

#[test]
fn the_example_for_alertmanager_is_valid_and_groups_by_who_is_meant() {
    let said = amtool(&["check-config", "alertmanager.yml"]);
    assert!(said.contains("SUCCESS") && said.contains("1 receivers"), "{said}");
    let text = file("alertmanager.yml");
    let named = |name: &str| text.contains(&format!("{name}|")) || text.contains(&format!("{name}\""));
    for Shipped { name, .. } in shipped() {
        let rule = file("alerts.yml");
        let (_, rule) = rule.split_once(&format!("- alert: {name}\n")).unwrap();
        let rule = rule.split("- alert: ").next().unwrap();
        let of_peer = rule.contains("peer") || rule.contains("keepalive_margin");
        let is_ratio = name == "ResetRatioHigh" || name == "ConnectionResetRatioHigh";
        assert_eq!(named(name) && !is_ratio, !of_peer, "{name} has a route by host if it is of a host");
    }
    let route =
        amtool(&["config", "routes", "test", "--config.file=alertmanager.yml", "alertname=ResetBurst"]);
    assert_eq!(route.lines().next(), Some("team"));
}

#[test]
fn rules_and_their_cases_name_nothing_but_what_is_there() {
    let rules = RULES.map(file).concat();
    let known = Known::new(&rules);
    for text in RULES.map(file).into_iter().chain(cases().iter().map(|name| file(name))) {
        assert_eq!(known.unknown(&text), [""; 0]);
    }
    assert_eq!(known.unknown(&file("scrape-global.yml")), [""; 0]);
}

/// The form of an increase, as `recording.yml` explains it.
fn increase(metric: &str, labels: &str, window: &str) -> String {
    // A hole of five minutes in a window of one would make a slow drip a burst.
    let bridged = if window == "1m" { "2m" } else { "5m" };
    format!(
        "last_over_time({metric}[{bridged}]) - ( last_over_time({metric}[{bridged}] offset {window}) unless ignoring ({labels}) \
         instance:reset_monitor_restarted:{window} ) >= 0 or {metric} and ignoring ({labels}) instance:reset_monitor_watched:{window}"
    )
}

#[test]
fn all_increases_have_one_form() {
    let rules = file("recording.yml");
    let code = rules.lines().filter(|line| !line.trim_start().starts_with('#'));
    let words: Vec<&str> = code.flat_map(str::split_whitespace).collect();
    let rules = words.join(" ");
    let families = families(&full_page());
    let (peer, cause) = ("peer, port, role, netns", "peer, port, role, cause, netns");
    for (metric, labels, window) in [
        ("reset_monitor_connections_reset_total{peer!=\"retired\"}", peer, "10m"),
        ("reset_monitor_connections_closed_total{peer!=\"retired\"}", peer, "10m"),
        ("reset_monitor_exchanges_total{peer!=\"retired\"}", peer, "10m"),
        ("reset_monitor_resets_received_total{peer!=\"retired\"}", cause, "10m"),
        ("reset_monitor_resets_sent_total{peer!=\"retired\"}", cause, "10m"),
        ("reset_monitor_events_lost_total", "kind", "10m"),
        ("reset_monitor_listen_overflows_total", "listener, stage", "5m"),
        ("reset_monitor_connections_reset_total{peer!=\"retired\"}", peer, "1m"),
    ] {
        assert!(rules.contains(&increase(metric, labels, window)), "{metric} in {window}");
        // Whatever else a series has is of its target, as what it is compared with.
        let name = metric.split('{').next().unwrap();
        let family = families.iter().find(|family| family.name == name).unwrap();
        let of_family: BTreeSet<&str> = family.labels.keys().map(String::as_str).collect();
        let ignored: BTreeSet<&str> = labels.split(", ").filter(|label| *label != "netns").collect();
        assert_eq!(ignored, of_family, "{name}");
        assert_eq!(labels.ends_with("netns"), of_family.contains("peer"), "{name}");
    }
    assert_eq!(rules.matches(" offset ").count(), 8 + 2 * 3, "and guards for three windows");
    assert!(!rules.contains("increase("));
}

#[test]
fn alerts_are_the_promised_ones_and_each_says_what_it_is_and_what_to_do() {
    let rules = file("alerts.yml");
    let readme = file("README.md");
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    assert_eq!(alerts.len(), shipped().len());
    for (rule, Shipped { name, severity, pending, parts }) in alerts.into_iter().zip(shipped()) {
        assert_eq!(rule.lines().next(), Some(name));
        let (expression, _) = rule.split_once("        for: ").unwrap();
        for part in parts {
            assert!(expression.contains(&part), "{name}: {part} in {expression}");
        }
        for part in [
            format!("\n        for: {pending}\n"),
            "\n        keep_firing_for: 5m\n".to_owned(),
            format!("\n        labels:\n          severity: {severity}\n        annotations:\n"),
            "\n          summary: ".to_owned(),
            "\n          description: >-\n".to_owned(),
            "\n          runbook: >-\n".to_owned(),
        ] {
            assert!(rule.contains(&part), "{name}: {part}");
        }
        let row = readme.lines().find(|line| line.starts_with(&format!("| {name} | {severity} |")));
        assert!(row.is_some_and(|row| row.contains(&format!("| {pending} |"))), "{name} in README.md");
    }
}

#[test]
fn runbooks_name_commands_that_exist() {
    let cli = Cli::command();
    let rules = file("alerts.yml");
    let words: Vec<&str> = rules.split_whitespace().collect();
    let mut seen = BTreeSet::new();
    for (place, _) in words.iter().enumerate().filter(|(_, word)| word.ends_with("reset-monitor")) {
        let name = words[place + 1].split(['{', ',', '.']).next().unwrap();
        let Some(command) = cli.find_subcommand(name) else { continue };
        seen.insert(name);
        let options = words[place + 2..].iter().take(2).filter_map(|word| word.strip_prefix("--"));
        for option in options {
            let has = command.get_arguments().any(|argument| argument.get_long() == Some(option));
            assert!(has, "--{option} of {name}");
        }
    }
    assert_eq!(seen, BTreeSet::from(["check", "events", "explain", "listeners", "peers", "timeouts"]));
}

#[test]
fn the_page_pleases_promtool() {
    for page in [full_page(), page(snapshot())] {
        promtool(&["check", "metrics"], &encode(&page, Format::Classic).unwrap());
    }
}

/// Process names never are labels. What comes from elsewhere and may be: the kernel's release, its names of reasons, and hooks.
#[test]
fn hostile_label_values_leave_the_page_readable() {
    for hostile in [
        "nginx\"} 1\nreset_monitor_evil_total{x=\"",
        "a\\",
        "a\\\"b\\n",
        "line\nline\r\nline\r",
        "# TYPE reset_monitor_evil_total counter",
        "x=\"1\",y=\"2\"",
        "{}[]() ,=~!",
        "\u{0}\u{7}\u{1b}[31m\u{7f}",
        "\u{fffd}\u{fffd}\u{202e}\u{2028}é漢\u{1f4a5}",
        &String::from_utf8_lossy(b"\xff\xfe comm \xc3"),
        "",
    ] {
        let base = full_page();
        let reasons = base
            .snapshot
            .reasons
            .iter()
            .map(|(direction, reason, count)| (*direction, format!("{reason}{hostile}").into(), *count));
        let snapshot = Snapshot { reasons: reasons.collect(), ..Snapshot::clone(&base.snapshot) };
        let signals =
            signals().into_iter().map(|row| SignalRow { hook: hostile.to_owned(), ..row }).collect();
        let page = monitor::metrics::Page {
            snapshot: snapshot.into(),
            signals,
            version: hostile.to_owned(),
            kernel: hostile.to_owned(),
            ..base.clone()
        };
        let text = encode(&page, Format::Classic).unwrap();
        promtool(&["check", "metrics"], &text);
        let (hostile_samples, plain) = (samples(&text), samples(&encode(&base, Format::Classic).unwrap()));
        assert_eq!(hostile_samples.len(), plain.len(), "{hostile:?}");
        for (name, label) in [("build", "kernel"), ("build", "version"), ("signal", "hook")] {
            let name = format!("reset_monitor_{name}_info");
            let sample = hostile_samples.iter().find(|sample| sample.name == name).unwrap();
            assert_eq!(sample.labels[label], hostile);
        }
        let reason = hostile_samples.iter().find_map(|sample| sample.labels.get("reason")).unwrap();
        assert!(reason.ends_with(hostile) && reason.starts_with("TCP_RFC5961"), "{reason:?}");
    }
}
