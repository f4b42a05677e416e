//! `docs/metrics.md`: its tables are the families that the encoder makes, and its queries are ones that Prometheus takes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use monitor::alerts::book::State;
use monitor::alerts::catalog::Alert;
use monitor::cause::Cause;
use monitor::event::{Direction, role_name};
use monitor::snapshot::SignalStatus;
use monitor_common::counters::Kind;
use monitor_common::peer::Role;
use monitor_common::record::Stage;

use crate::exposition::{Family, families, full_page};
use crate::promql::Known;
use crate::promtool::{check_queries, root};

const PAGE: &str = "docs/metrics.md";

fn page() -> String {
    fs::read_to_string(root().join(PAGE)).unwrap()
}

/// A label, and what it says. Its values are listed where the code has a closed list of them.
const LABELS: [(&str, &str); 23] = [
    (
        "peer",
        "the other end: an address, a network (`192.0.2.0/24`) once the budget for addresses is used up, `other`, or `retired`",
    ),
    (
        "port",
        "beside `peer` the service's port: the peer's as `client`, ours as `server`; else a local port. `other` and `retired` as above",
    ),
    ("role", "ours: the client opened the connection, the server accepted it"),
    (
        "cause",
        "our verdict on a reset ([events.md](events.md) explains each); `unclassified` is a reset whose story was lost",
    ),
    ("side", "whose timeout: this host's or the peer's"),
    ("direction", "seen from this host"),
    ("reason", "the kernel's own name of why it reset, as the running kernel's types spell it"),
    ("le", "upper bound of a bucket in seconds: usual idle timeouts"),
    ("kind", "what an event is about"),
    ("listener", "address and port of a listening socket, `other`, or `unknown` where only the sum is known"),
    ("stage", "of the handshake at which the queue was full"),
    (
        "status",
        "of a signal: how it is served; of `reset_monitor_walk_namespaces`: whether they were looked at",
    ),
    ("counter", "the kernel's counter that ours is compared with"),
    (
        "signal",
        "what is watched; `reset-monitor check` explains each, [kernels.md](kernels.md) has all of them by kernel",
    ),
    ("hook", "where in the kernel it is watched, `none` if nowhere"),
    (
        "map",
        "a bounded table of the kernel programs or the daemon; `map_entries` is absent where the kernel does not tell how full it is",
    ),
    ("program", "a kernel program"),
    ("alert", "an alert of the daemon's own"),
    ("alertmanager", "host and port of an instance that is told of alerts"),
    ("endpoint", "host, port and path of a receiver that metrics are sent to"),
    ("state", "of an alert: it holds, or it holds for long enough"),
    ("version", "of the daemon"),
    ("kernel", "release of the running kernel"),
];

/// The values of labels of which there is a closed list.
fn closed(label: &str) -> Option<Vec<&'static str>> {
    match label {
        "role" => Some(Role::ALL.map(role_name).into()),
        "cause" => Some(Cause::ALL.map(Cause::name).into()),
        "side" => Some(vec!["local", "peer"]),
        "direction" => Some([Direction::Sent, Direction::Received].map(Direction::name).into()),
        "kind" => Some(Kind::ALL.map(Kind::name).into_iter().chain(["unknown"]).collect()),
        "stage" => Some([Stage::Syn, Stage::Ack].map(Stage::name).into_iter().chain(["unknown"]).collect()),
        "status" => Some(
            [SignalStatus::Works, SignalStatus::Degraded, SignalStatus::Missing]
                .map(SignalStatus::name)
                .into_iter()
                .chain(["walked", "left_out"])
                .collect(),
        ),
        "alert" => Some(Alert::ALL.map(Alert::name).into()),
        "state" => Some([State::Pending, State::Firing].map(State::name).into()),
        "counter" => Some(vec!["OutRsts", "ListenOverflows"]),
        _ => None,
    }
}

/// The sections of tables.
const SECTIONS: [&str; 5] =
    ["By peer", "By local port", "By listener", "Of the host and the daemon", "The daemon's process"];

/// Where a family belongs, by its labels.
fn section(family: &Family) -> &'static str {
    let has = |label| family.labels.contains_key(label);
    let [by_peer, by_port, by_listener, of_host, of_process] = SECTIONS;
    match family.name.as_str() {
        _ if has("peer") => by_peer,
        _ if has("port") => by_port,
        _ if has("listener") => by_listener,
        name if name.starts_with("process_") => of_process,
        _ => of_host,
    }
}

fn tables(families: &[Family]) -> String {
    let table = |title: &&str| {
        let mut text =
            format!("### {title}\n\n| name | type | unit | labels | |\n| --- | --- | --- | --- | --- |\n");
        for family in families.iter().filter(|family| section(family) == *title) {
            let Family { name, kind, unit, help, labels, samples: _ } = family;
            let labels: Vec<String> = labels.keys().map(|label| format!("`{label}`")).collect();
            let unit = unit.as_deref().unwrap_or_default();
            writeln!(text, "| `{name}` | {kind} | {unit} | {} | {help} |", labels.join(" ")).unwrap();
        }
        text
    };
    SECTIONS.iter().map(table).collect::<Vec<_>>().join("\n")
}

fn labels() -> String {
    let mut text = "| label | | values |\n| --- | --- | --- |\n".to_owned();
    for (label, meaning) in LABELS {
        let values = closed(label).unwrap_or_default();
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        writeln!(text, "| `{label}` | {meaning} | {} |", values.join(", ")).unwrap();
    }
    text
}

/// The page with what stands between its marks made anew.
pub(crate) fn filled(page: &str, marks: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {marks}:begin -->\n"), format!("<!-- {marks}:end -->"));
    let (before, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {begin}"));
    let (_, after) = rest.split_once(&end).unwrap_or_else(|| panic!("no {end}"));
    format!("{before}{begin}{text}{end}{after}")
}

/// Compares with what is committed; writes it when asked to by the environment.
#[track_caller]
pub(crate) fn golden(path: &str, text: &str) {
    let full = root().join(path);
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&full, text).unwrap();
    }
    let committed = fs::read_to_string(&full).unwrap_or_default();
    for (number, (made, wanted)) in text.lines().zip(committed.lines()).enumerate() {
        assert_eq!(made, wanted, "{path}:{}: WRITE_GOLDEN=1 writes it anew", number + 1);
    }
    assert_eq!(text.lines().count(), committed.lines().count(), "{path}: WRITE_GOLDEN=1 writes it anew");
}

#[test]
fn the_tables_are_the_families_of_the_page() {
    let families = families(&full_page());
    let made = filled(&page(), "families", &tables(&families));
    golden(PAGE, &filled(&made, "labels", &labels()));
}

#[test]
fn every_label_is_explained_and_its_closed_list_is_complete() {
    let families = families(&full_page());
    let on_page: BTreeSet<&str> =
        families.iter().flat_map(|family| family.labels.keys()).map(String::as_str).collect();
    let explained: BTreeSet<&str> = LABELS.iter().map(|(label, _)| *label).collect();
    assert_eq!(on_page, explained);
    for (label, values) in families.iter().flat_map(|family| &family.labels) {
        let Some(closed) = closed(label) else { continue };
        for value in values {
            assert!(closed.contains(&value.as_str()), "{label}={value}");
        }
    }
}

/// Without this, a family that only some hosts have could be missing in the page that the tables are made from.
#[test]
fn every_help_text_of_the_source_is_on_the_page_that_the_tables_are_made_from() {
    let families = families(&full_page());
    let shown: BTreeSet<&str> = families.iter().map(|family| family.help.as_str()).collect();
    let mut written = BTreeSet::new();
    for path in sources(&root().join("monitor/src/metrics")) {
        let source = fs::read_to_string(&path).unwrap();
        let code = source.split("#[cfg(test)]").next().unwrap();
        let texts = literals(code).into_iter().filter(|text| text.contains(' ') && text.ends_with('.'));
        written.extend(texts);
    }
    assert_eq!(written.len(), families.len());
    assert_eq!(written.iter().map(String::as_str).collect::<BTreeSet<_>>(), shown);
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// What the string literals of a source say.
fn literals(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in comments_left_out(code).split('"').skip(1).step_by(2) {
        // A literal over several lines goes on at the first letter of the next one.
        let lines: Vec<&str> = line.split("\\\n").collect();
        let first = lines[0].to_owned();
        found.push(lines[1..].iter().fold(first, |text, line| text + line.trim_start()));
    }
    found
}

fn comments_left_out(code: &str) -> String {
    let lines: Vec<&str> = code.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    lines.join("\n")
}

/// The lines of the page's blocks of queries.
pub(crate) fn queries(page: &str) -> Vec<&str> {
    let blocks = page.split("```promql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.flat_map(str::lines).filter(|line| !line.is_empty()).collect()
}

#[test]
fn prometheus_takes_every_query_and_each_names_what_is_there() {
    let page = page();
    let queries = queries(&page);
    assert!(queries.len() > 25, "{queries:?}");
    check_queries(&queries);
    let rules = ["recording.yml", "fleet.yml"]
        .map(|name| fs::read_to_string(root().join("deploy/prometheus").join(name)).unwrap());
    let known = Known::new(&rules.concat());
    assert_eq!(known.unknown(&queries.join("\n")), [""; 0]);
}

#[test]
fn the_page_names_no_metric_that_is_not_there() {
    let families = families(&full_page());
    let page = page();
    let words = page.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':');
    for word in words.filter(|word| word.starts_with("reset_monitor_")) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        let is_family = |name: &str| families.iter().any(|family| family.name == name);
        assert!(is_family(word) || base.is_some_and(is_family), "{word}");
    }
}
