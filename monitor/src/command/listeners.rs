//! `reset-monitor listeners`: the accept queues of a daemon's host, and what else connections fill up.

use std::io::{self, Write};

use super::client::{Server, ServerArgs};
use crate::http::filter::listeners::ListenerFilter;
use crate::snapshot::listening::Queue;
use crate::terminal::{
    Align, Cell, Column, Output, Style, Table, colour_stdout, ends_quietly, printable_json,
};
use crate::view::listeners::{ConntrackView, ListenTotalView, ListenerView, ListenersView};

/// Used percents of a queue from which on it is marked: a burst of the size of what is in it already would fill it.
const NOTABLE_PERCENT: u64 = 50;

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
    let printed = print(&answer, args.output, colour_stdout(), &mut out).and_then(|()| out.flush());
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

const COLUMNS: [Column; 7] = [
    Column { title: "LISTENER", align: Align::Left, width: 0 },
    Column { title: "BACKLOG", align: Align::Right, width: 0 },
    Column { title: "LIMIT", align: Align::Right, width: 0 },
    Column { title: "FULL", align: Align::Right, width: 0 },
    Column { title: "DROPS", align: Align::Right, width: 0 },
    Column { title: "UID", align: Align::Right, width: 0 },
    Column { title: "INODE", align: Align::Right, width: 0 },
];

/// Prints an answer of the API.
pub fn print(answer: &ListenersView, output: Output, colour: bool, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", printable_json(&serde_json::to_string(answer)?)),
        Output::Table => {
            let mut table = Table::new(&COLUMNS, colour);
            let rows = answer.listeners.as_deref().unwrap_or_default();
            for listener in rows {
                table.fit(&cells(listener));
            }
            rows.iter().try_for_each(|listener| table.row(out, &cells(listener)))?;
            let facts = facts(answer);
            if facts.is_empty() { Ok(()) } else { writeln!(out, "{}", facts.join("; ")) }
        }
    }
}

fn cells(listener: &ListenerView) -> [Cell; 7] {
    let ListenerView { addr, port, interface, only_v6: _, backlog, limit, drops, inode, uid } = listener;
    let queue = Queue { backlog: *backlog, limit: *limit };
    let fill = match queue.percent() {
        _ if queue.is_full() => Style::Red,
        NOTABLE_PERCENT.. => Style::Yellow,
        _ => Style::Plain,
    };
    let bound = interface.map_or_else(String::new, |index| format!("%{index}"));
    let name =
        if addr.contains(':') { format!("[{addr}]{bound}:{port}") } else { format!("{addr}{bound}:{port}") };
    [
        Cell::new(name),
        Cell::styled(backlog.to_string(), fill),
        Cell::new(limit.to_string()),
        Cell::styled(format!("{}%", queue.percent()), fill),
        Cell::styled(
            drops.map_or_else(String::new, |drops| drops.to_string()),
            if *drops > Some(0) { Style::Yellow } else { Style::Plain },
        ),
        Cell::new(uid.to_string()),
        Cell::new(inode.to_string()),
    ]
}

/// What is known besides sockets, in a few words each.
fn facts(answer: &ListenersView) -> Vec<String> {
    let ListenTotalView { listen_overflows, listen_drops } = answer.total;
    let mut facts = Vec::new();
    if let Some(overflows) = listen_overflows {
        let drops =
            listen_drops.map_or_else(String::new, |drops| format!(" and {}", count(drops, "listen drop")));
        let where_ = count(answer.namespaces.len() as u64, "network namespace");
        facts.push(format!("{}{drops} in {where_}", count(overflows, "listen overflow")));
    }
    if let Some(drops) = answer.closed_drops.filter(|drops| *drops > 0) {
        facts.push(format!("{} by sockets closed since", count(drops, "drop")));
    }
    if let Some(ConntrackView { entries: Some(entries), limit, drops }) = answer.conntrack {
        let limit = limit.map_or_else(String::new, |limit| format!(" of {limit}"));
        let drops = drops.map_or_else(String::new, |drops| format!(", {}", count(drops, "drop")));
        facts.push(format!("conntrack {entries}{limit}{drops}"));
    }
    facts.extend(answer.orphan_sockets.map(|orphans| count(orphans, "orphan socket")));
    facts.extend(answer.time_wait_sockets.map(|sockets| format!("{sockets} in TIME_WAIT")));
    facts
}

/// A number with its noun.
fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}
