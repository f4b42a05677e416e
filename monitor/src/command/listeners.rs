//! `reset-monitor listeners`: the accept queues of a daemon's host, and what else connections fill up.

use std::io::{self, Write};

use super::client::{Server, ServerArgs};
use crate::cli::help::Help;
use crate::http::convert::owners::resident_text;
use crate::http::filter::listeners::ListenerFilter;
use crate::snapshot::listening::Queue;
use crate::terminal::table::{Cell, Column, Table};
use crate::terminal::{Medium, Output, Style, ends_quietly, folded, printable_json};
use crate::view::listeners::{ConntrackView, ListenTotalView, ListenerView, ListenersView, OverflowView};

/// Used percents of a queue from which on it is marked: a burst of the size of what is in it already would fill it.
const NOTABLE_PERCENT: u64 = 50;

/// What `listeners --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor listeners", "the fullest first"),
        ("reset-monitor listeners --port 8080", "only those of a port"),
        ("reset-monitor listeners -o json | jq '.total'", ""),
    ],
    notes: "A queue with limit N holds N + 1 connections. Overflows by stage (SYN/ACK) are shown where this kernel allows hooks on functions, \
            which `reset-monitor check` tells.",
};

/// `reset-monitor listeners`
#[derive(Clone, Debug, clap::Args)]
pub struct ListenersArgs {
    /// Table for people, or the API's JSON
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Only sockets that listen on this port
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// How many sockets to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=16_384))]
    pub limit: u32,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Prints the listeners of the daemon that `args` names.
pub async fn run(args: &ListenersArgs) -> anyhow::Result<()> {
    let server = Server::new(&args.server)?;
    let filter = ListenerFilter { port: args.port };
    let path = format!("/api/v1/listeners?limit={}{}", args.limit, filter.to_query());
    let answer: ListenersView = server.get(&path).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = print(&answer, args.output, Medium::stdout(), &mut out).and_then(|()| out.flush());
    ends_quietly(printed)?;
    if let Some(message) = message(&answer, &filter) {
        writeln!(io::stderr().lock(), "{message}")?;
    }
    Ok(())
}

/// What is to be said about the table, when it is not all there is.
pub fn message(answer: &ListenersView, filter: &ListenerFilter) -> Option<String> {
    let ListenerFilter { port } = *filter;
    let shown = answer.listeners.as_ref().map(Vec::len);
    match (shown.zip(answer.matching), port) {
        (None, _) => Some("listeners are unknown: `reset-monitor check` tells why".to_owned()),
        (Some((0, _)), Some(port)) => {
            Some(format!("nothing listens on TCP port {port} in the daemon's network namespace"))
        }
        (Some((0, _)), None) => Some("nothing listens on TCP in the daemon's network namespace".to_owned()),
        (Some((shown, matching)), _) if shown < matching => {
            Some(format!("{shown} of {matching} listening sockets; --limit shows more"))
        }
        (Some(_), _) => None,
    }
}

const COLUMNS: [Column; 8] = [
    Column::left("LISTENER"),
    Column::right("BACKLOG"),
    Column::right("LIMIT").leave(3),
    Column::right("FULL"),
    OVERFLOWS,
    Column::right("DROPS"),
    Column::right("UID").leave(2),
    Column::right("INODE").leave(1),
];

/// Only where function hooks count them.
const OVERFLOWS: Column = Column::right("OVERFLOWS(SYN/ACK)");
/// Its place.
const OVERFLOWS_AT: usize = 4;

/// Prints an answer of the API.
pub fn print(answer: &ListenersView, output: Output, medium: Medium, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", printable_json(&serde_json::to_string(answer)?)),
        Output::Table => {
            let hooked = answer.overflows.is_some();
            let mut table = Table::new(&known(COLUMNS, hooked), medium);
            let listeners = answer.listeners.iter().flatten().map(cells);
            let elsewhere = answer.overflows.iter().flatten().filter(|row| row.open != Some(true));
            let rows: Vec<Vec<Cell>> =
                listeners.chain(elsewhere.map(cells_elsewhere)).map(|cells| known(cells, hooked)).collect();
            for cells in &rows {
                table.fit(cells);
            }
            rows.iter().try_for_each(|cells| table.row(out, cells))?;
            let facts = facts(answer);
            if facts.is_empty() { Ok(()) } else { writeln!(out, "{}", folded(&facts.join("; "), medium)) }
        }
    }
}

/// Without the column of overflows where nobody counts them.
fn known<T>(all: [T; COLUMNS.len()], hooked: bool) -> Vec<T> {
    let shown = |(place, _): &(usize, T)| hooked || *place != OVERFLOWS_AT;
    all.into_iter().enumerate().filter(shown).map(|(_, one)| one).collect()
}

fn cells(listener: &ListenerView) -> [Cell; 8] {
    let ListenerView {
        addr,
        port,
        interface,
        only_v6: _,
        backlog,
        limit,
        drops,
        overflows_syn,
        overflows_ack,
        inode,
        uid,
    } = listener;
    let queue = Queue { backlog: *backlog, limit: *limit };
    let fill = match queue.percent() {
        _ if queue.is_full() => Style::Red,
        NOTABLE_PERCENT.. => Style::Yellow,
        _ => Style::Plain,
    };
    let bound = interface.map_or_else(String::new, |index| format!("%{index}"));
    [
        Cell::new(name(addr, &bound, *port)),
        Cell::styled(backlog.to_string(), fill),
        Cell::new(limit.to_string()),
        Cell::styled(format!("{}%", queue.percent()), fill),
        overflow_cell(overflows_syn.zip(*overflows_ack)),
        Cell::styled(
            drops.map_or_else(String::new, |drops| drops.to_string()),
            if *drops > Some(0) { Style::Yellow } else { Style::Plain },
        ),
        Cell::new(uid.to_string()),
        Cell::new(inode.to_string()),
    ]
}

/// A listener without a socket to show: closed, or in another namespace.
fn cells_elsewhere(row: &OverflowView) -> [Cell; 8] {
    let OverflowView { netns, cgroup, addr, port, overflows_syn, overflows_ack, open } = row;
    let whose = || cgroup.as_ref().and_then(resident_text).unwrap_or_else(|| format!("netns {netns}"));
    let place = match open {
        Some(_) => " (closed)".to_owned(),
        None => format!(" ({})", whose()),
    };
    let mut cells = [const { String::new() }; 8].map(Cell::new);
    cells[0] = Cell::new(name(addr, "", *port) + &place);
    cells[OVERFLOWS_AT] = overflow_cell(Some((*overflows_syn, *overflows_ack)));
    cells
}

fn name(addr: &str, bound: &str, port: u16) -> String {
    if addr.contains(':') { format!("[{addr}]{bound}:{port}") } else { format!("{addr}{bound}:{port}") }
}

fn overflow_cell(counts: Option<(u64, u64)>) -> Cell {
    let text = counts.map_or_else(String::new, |(syn, ack)| format!("{syn}/{ack}"));
    Cell::styled(text, if counts.is_some_and(|counts| counts != (0, 0)) { Style::Red } else { Style::Plain })
}

/// What is known besides sockets, in a few words each.
fn facts(answer: &ListenersView) -> Vec<String> {
    let ListenTotalView {
        listen_overflows,
        listen_drops,
        overflows_syn,
        overflows_ack,
        overflows_not_listed,
    } = answer.total;
    let mut facts = Vec::new();
    if let Some(overflows) = listen_overflows {
        let drops =
            listen_drops.map_or_else(String::new, |drops| format!(" and {}", count(drops, "listen drop")));
        let where_ = count(answer.namespaces.len() as u64, "network namespace");
        let by_hooks = overflows_syn.zip(overflows_ack).map_or_else(String::new, |(syn, ack)| {
            let rest = overflows_not_listed.filter(|rest| *rest > 0);
            let rest = rest.map_or_else(String::new, |rest| format!(", {rest} elsewhere"));
            format!(" ({syn} at the SYN, {ack} at the last ACK{rest})")
        });
        facts.push(format!("{}{by_hooks}{drops} in {where_}", count(overflows, "listen overflow")));
    }
    if let Some(drops) = answer.closed_drops.filter(|drops| *drops > 0) {
        facts.push(format!("{} by sockets closed since", count(drops, "drop")));
    }
    if let Some(ConntrackView { entries: Some(entries), limit, drops, full }) = answer.conntrack {
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        let drops = drops.map_or_else(String::new, |drops| format!(", {}", count(drops, "drop")));
        let full = full.map_or_else(String::new, |full| format!(", {full} without a place"));
        facts.push(format!("conntrack {entries}{limit}{drops}{full}"));
    }
    facts.extend(answer.orphan_sockets.map(|orphans| count(orphans, "orphan socket")));
    facts.extend(answer.time_wait_sockets.map(|sockets| format!("{sockets} in TIME_WAIT")));
    facts
}

/// A number with its noun.
fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
