//! What a text with queries names: metrics, recorded series and labels. A scan for words, not a parser; promtool is that.

use std::collections::{BTreeMap, BTreeSet};

use crate::exposition::{families, full_page};

/// Labels of a target: what Prometheus and the scrape configurations of `deploy/prometheus` add.
const OF_TARGET: [&str; 3] = ["job", "instance", "node_address"];
/// Labels of Prometheus' own series about alerts, besides those of what the alert is about.
const OF_ALERTS: [&str; 3] = ["alertname", "alertstate", "severity"];
/// Labels that rules make.
const MADE: [&str; 5] = ["direction", "sender", "seen_by", "client", "server"];

/// What may be named.
pub(crate) struct Known {
    /// Sample names, with the labels of each.
    metrics: BTreeMap<String, BTreeSet<String>>,
    recorded: BTreeSet<String>,
}

impl Known {
    /// What the encoder makes, and these rules record.
    pub(crate) fn new(rules: &str) -> Self {
        let mut metrics = BTreeMap::new();
        for family in families(&full_page()) {
            // Namespaces are told apart for who asks for it.
            let netns = family.labels.contains_key("peer").then_some("netns");
            let more = OF_TARGET.into_iter().chain(netns).map(str::to_owned);
            let labels: BTreeSet<String> = family.labels.into_keys().chain(more).collect();
            if family.kind == "histogram" {
                for suffix in ["bucket", "sum", "count"] {
                    metrics.insert(format!("{}_{suffix}", family.name), labels.clone());
                }
            } else {
                metrics.insert(family.name, labels);
            }
        }
        metrics.insert("up".to_owned(), OF_TARGET.map(str::to_owned).into());
        let of_alerts = OF_TARGET.into_iter().chain(OF_ALERTS).map(str::to_owned);
        metrics.insert("ALERTS".to_owned(), of_alerts.collect());
        let recorded = rules.lines().filter_map(|line| line.trim().strip_prefix("- record: "));
        Self { metrics, recorded: recorded.map(str::to_owned).collect() }
    }

    /// What a text names that is not there. Comments (`#`) do not count.
    pub(crate) fn unknown(&self, text: &str) -> Vec<String> {
        let mut unknown = Vec::new();
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            for (word, rest) in words(line) {
                match self.labels_of(word) {
                    Some(labels) => {
                        let wrong = matchers(rest).into_iter().filter(|label| !labels.contains(*label));
                        unknown.extend(wrong.map(|label| format!("{word}{{{label}}}")));
                    }
                    None if is_ours(word) => unknown.push(word.to_owned()),
                    None => {}
                }
            }
            let wrong = grouping(line).into_iter().filter(|label| !self.all_labels().contains(label));
            unknown.extend(wrong.map(|label| format!("`{label}` in `{line}`")));
        }
        unknown
    }

    /// Whether there is a metric or a recorded series of that name.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.metrics.contains_key(name) || self.recorded.contains(name)
    }

    /// Whether anything has that label.
    pub(crate) fn has_label(&self, label: &str) -> bool {
        self.all_labels().contains(label)
    }

    fn labels_of(&self, word: &str) -> Option<BTreeSet<&str>> {
        let of_metric = self.metrics.get(word).map(|labels| labels.iter().map(String::as_str).collect());
        of_metric.or_else(|| self.recorded.contains(word).then(|| self.all_labels()))
    }

    fn all_labels(&self) -> BTreeSet<&str> {
        self.metrics.values().flatten().map(String::as_str).chain(MADE).collect()
    }
}

/// Whether a word can only be one of our metrics, or a recorded one.
fn is_ours(word: &str) -> bool {
    word.starts_with("reset_monitor_") || word.contains(":reset_monitor_")
}

/// What a query asks for, however it is called: names in front of braces, and the matchers within.
pub(crate) fn selectors(query: &str) -> Vec<(&str, Vec<&str>)> {
    let mut found = Vec::new();
    for (name, rest) in words(query) {
        let Some((inside, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
            continue;
        };
        // Values have no comma in them.
        found.push((name, inside.split(',').map(str::trim).collect()));
    }
    found
}

/// Words as metrics are spelled, each with what follows it.
fn words(line: &str) -> Vec<(&str, &str)> {
    let part_of_name = |character: char| character.is_ascii_alphanumeric() || ['_', ':'].contains(&character);
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(start) = rest.find(part_of_name) {
        let after = &rest[start..];
        let end = after.find(|character| !part_of_name(character)).unwrap_or(after.len());
        found.push((after[..end].trim_end_matches(':'), &after[end..]));
        rest = &after[end..];
    }
    found
}

/// Names of the labels in the braces that follow a metric.
fn matchers(rest: &str) -> Vec<&str> {
    let Some((inside, _)) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return Vec::new();
    };
    // Values have no comma in them.
    inside.split(',').filter_map(|matcher| matcher.trim().split(['=', '!']).next()).collect()
}

/// Names of the labels in lists such as `by (peer, port)`, and of those that a template names.
fn grouping(line: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for keyword in ["by (", "without (", "ignoring (", "on (", "group_left (", "group_right ("] {
        for (place, _) in line.match_indices(keyword) {
            let list = line[place + keyword.len()..].split(')').next().unwrap();
            let is_word = line[..place].chars().next_back().is_none_or(|before| !before.is_alphanumeric());
            if is_word {
                found.extend(list.split(',').map(str::trim).filter(|label| !label.is_empty()));
            }
        }
    }
    let in_templates = line.split("$labels.").skip(1);
    let end = |text: &str| text.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    found.extend(in_templates.map(|text| &text[..end(text).unwrap_or(text.len())]));
    found
}

#[test]
fn what_is_not_there_is_noticed() {
    let known = Known::new("      - record: peer:reset_monitor_new:rate1m\n");
    for (text, expected) in [
        (
            "sum by (instance, peer) (reset_monitor_exchanges_total{job=\"a\",peer!=\"retired\"})",
            [].as_slice(),
        ),
        ("peer:reset_monitor_new:rate1m{peer=\"a\"} > on (client) up", &[]),
        ("# reset_monitor_old_total", &[]),
        ("rate(reset_monitor_exchanges[5m])", &["reset_monitor_exchanges"]),
        ("reset_monitor_exchanges_total{cause=\"other\"}", &["reset_monitor_exchanges_total{cause}"]),
        ("peer:reset_monitor_old:rate1m", &["peer:reset_monitor_old:rate1m"]),
        ("reset_monitor_idle_before_reset_seconds", &["reset_monitor_idle_before_reset_seconds"]),
        ("max by (pod) (up)", &["`pod` in `max by (pod) (up)`"]),
        ("{{ $labels.pod }}", &["`pod` in `{{ $labels.pod }}`"]),
    ] {
        assert_eq!(known.unknown(text), expected, "{text}");
    }
}
