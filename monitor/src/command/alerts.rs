//! `reset-monitor alerts`: what is firing or about to, what is over, and what to do about it.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::client::{Server, ServerArgs};
use crate::alerts::book::State;
use crate::alerts::catalog::{Alert, Severity};
use crate::alerts::text::time;
use crate::cli::help::Help;
use crate::cli::named;
use crate::http::filter::alerts::AlertFilter;
use crate::http::filter::pattern::PeerPattern;
use crate::terminal::table::{Cell, Column, Table};
use crate::terminal::{Medium, Output, Style, ends_quietly, folded, printable, printable_json, wrapped};
use crate::view::alerts::{AlertRuleView, AlertView, AlertsView, AnnotationsView};

/// What `alerts --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor alerts", "firing, pending, and just over"),
        ("reset-monitor alerts --state firing", "only what is wrong now"),
        ("reset-monitor alerts --rules", "conditions, times, numbers"),
        ("reset-monitor alerts --alert ResetRatioHigh --peer 10.0.0.5", ""),
        ("reset-monitor alerts -o json | jq '.alerts[].labels'", ""),
    ],
    notes: NOTES,
};

const NOTES: &str = "\
An alert is pending while it holds and fires when it has held for the time of its rule (--rules shows them all). It goes on firing for five minutes when \
it holds no more, and is then resolved. Numbers are set in the section [alerts] of the configuration file, also for some peers alone.";

/// `reset-monitor alerts`
#[derive(Clone, Debug, clap::Args)]
pub struct AlertsArgs {
    /// Table for people, or the API's JSON
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Only alerts that are `firing`, `pending` or `resolved`
    #[arg(long, value_name = "STATE", value_parser = named::state())]
    pub state: Option<State>,
    /// Only alerts of this name, such as `ResetRatioHigh`
    #[arg(long, value_name = "NAME", value_parser = named::alert())]
    pub alert: Option<Alert>,
    /// Only this peer: an address, or a network such as 10.0.0.0/24
    #[arg(long, value_name = "PEER")]
    pub peer: Option<PeerPattern>,
    /// Only this service port, or port of a listener
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Show what alerts go by instead
    #[arg(long)]
    pub rules: bool,
    /// How many alerts to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=5_500))]
    pub limit: u32,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Prints the alerts of the daemon that `args` names.
pub async fn run(args: &AlertsArgs) -> anyhow::Result<()> {
    let server = Server::new(&args.server)?;
    let AlertsArgs { output, state, alert, peer, port, rules, limit, server: _ } = *args;
    let filter = AlertFilter { state, alert, peer, port };
    let path = format!("/api/v1/alerts?limit={limit}{}", filter.to_query());
    let answer: AlertsView = server.get(&path).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let medium = Medium::stdout();
    let printed = match output {
        Output::Table if rules => print_rules(&answer.rules, medium, &mut out),
        Output::Table | Output::Json => print(&answer, output, medium, &mut out),
    };
    ends_quietly(printed.and_then(|()| out.flush()))?;
    if let Some(message) = message(&answer, &filter).filter(|_| !rules) {
        writeln!(io::stderr().lock(), "{message}")?;
    }
    Ok(())
}

/// What is to be said about the table, when it is not all there is.
pub fn message(answer: &AlertsView, filter: &AlertFilter) -> Option<String> {
    let on = answer.rules.iter().filter(|rule| rule.enabled).count();
    let shown = answer.alerts.len();
    match (shown, &answer.evaluated) {
        (0, None) => Some(format!(
            "alerts were not evaluated yet: the first time is {} after the start",
            every(answer)
        )),
        (0, Some(_)) if *filter == AlertFilter::default() => Some(format!(
            "nothing is firing, pending or just over: {on} alerts are evaluated every {}; --rules shows what they go by",
            every(answer)
        )),
        (0, Some(_)) => Some("no such alert; without filters all of them are shown".to_owned()),
        (shown, _) if shown < answer.matching => {
            Some(format!("{shown} of {} alerts; --limit shows more", answer.matching))
        }
        _ if answer.not_kept > 0 => {
            Some("too many of one name at once: only the first 500 of each are kept".to_owned())
        }
        _ => None,
    }
}

fn every(answer: &AlertsView) -> String {
    time(std::time::Duration::try_from_secs_f64(answer.every_seconds).unwrap_or_default())
}

const COLUMNS: [Column; 6] = [
    Column::left("STATE"),
    Column::left("SEVERITY").leave(2),
    Column::left("ALERT"),
    Column::left("OF"),
    Column::left("SINCE").leave(1),
    Column::left("WHAT").wrap(),
];

/// Prints an answer of the API.
pub fn print(answer: &AlertsView, output: Output, medium: Medium, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", printable_json(&serde_json::to_string(answer)?)),
        Output::Table => {
            let mut table = Table::new(&COLUMNS, medium);
            answer.alerts.iter().for_each(|alert| table.fit(&cells(alert)));
            answer.alerts.iter().try_for_each(|alert| table.row(out, &cells(alert)))?;
            runbooks(&answer.alerts, medium, out)
        }
    }
}

fn cells(row: &AlertView) -> [Cell; 6] {
    let AlertView {
        alert,
        severity,
        state,
        labels: _,
        value: _,
        threshold: _,
        since,
        fired: _,
        resolved: _,
        annotations,
    } = row;
    let style = match (state.as_str(), severity.as_str()) {
        (state, severity) if state == State::Firing.name() && severity == Severity::Critical.name() => {
            Style::Red
        }
        (state, _) if state == State::Resolved.name() => Style::Plain,
        _ => Style::Yellow,
    };
    [
        Cell::styled(&**state, style),
        Cell::new(&**severity),
        Cell::new(&**alert),
        Cell::new(of(row)),
        Cell::new(&**since),
        Cell::new(&*annotations.description),
    ]
}

/// Whom an alert is about: a peer as `explain` takes it, a port of ours, a listener or a signal.
pub(super) fn of(alert: &AlertView) -> String {
    let label = |name: &str| alert.labels.get(name).map(String::as_str);
    match (label("peer"), label("port")) {
        (Some(peer), Some(port)) if peer == port => peer.to_owned(),
        (Some(peer), Some(port)) if peer.contains(':') => format!("[{peer}]:{port}"),
        (Some(peer), Some(port)) => format!("{peer}:{port}"),
        (None, Some(port)) => format!(":{port}"),
        (Some(_) | None, None) => label("listener").or(label("signal")).unwrap_or_default().to_owned(),
    }
}

/// What to do about those that are firing, once for each name.
fn runbooks(alerts: &[AlertView], medium: Medium, out: &mut impl Write) -> io::Result<()> {
    let mut told = BTreeSet::new();
    let firing = alerts.iter().filter(|alert| alert.state == State::Firing.name());
    for AlertView { alert, annotations: AnnotationsView { summary, description: _, runbook }, .. } in firing {
        if told.insert(alert) {
            writeln!(out, "\n{}", folded(&format!("{}: {}", printable(alert), printable(summary)), medium))?;
            match medium.width {
                Some(width) => {
                    wrapped(runbook, width, "  ", "  ")
                        .iter()
                        .try_for_each(|line| writeln!(out, "{line}"))?;
                }
                None => writeln!(out, "  {}", printable(runbook))?,
            }
        }
    }
    Ok(())
}

const RULE_COLUMNS: [Column; 5] = [
    Column::left("ALERT"),
    Column::left("SEVERITY"),
    Column::left("CONDITION").wrap(),
    Column::right("FOR"),
    Column::right("HOLD").leave(1),
];

/// Prints what alerts go by.
pub fn print_rules(rules: &[AlertRuleView], medium: Medium, out: &mut impl Write) -> io::Result<()> {
    let mut table = Table::new(&RULE_COLUMNS, medium);
    let rows: Vec<_> = rules.iter().map(rule_cells).collect();
    for cells in &rows {
        table.fit(cells);
    }
    rows.iter().try_for_each(|cells| table.row(out, cells))
}

fn rule_cells(rule: &AlertRuleView) -> [Cell; 5] {
    let seconds = |seconds: f64| time(std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default());
    let condition = if rule.enabled { &*rule.condition } else { "off" };
    let others = match rule.overrides {
        0 => String::new(),
        count => format!(" (others for some peers: {count})"),
    };
    [
        Cell::new(&*rule.alert),
        Cell::new(&*rule.severity),
        Cell::new(format!("{condition}{others}")),
        Cell::new(seconds(rule.for_seconds)),
        Cell::new(seconds(rule.hold_seconds)),
    ]
}
