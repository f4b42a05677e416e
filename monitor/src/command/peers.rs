//! `reset-monitor peers`: the counts per peer of a daemon.

use std::io::{self, Write};
use std::str::FromStr as _;

use monitor_common::peer::Role;

use super::client::{Server, ServerArgs};
use super::watching;
use crate::cli::help::Help;
use crate::cli::named;
use crate::http::convert::main_cause;
use crate::http::convert::names::named;
use crate::http::convert::owners::resident_text;
use crate::http::filter::order::Order;
use crate::http::filter::pattern::PeerPattern;
use crate::http::filter::text::Text;
use crate::http::filter::{PeerFilter, PeerSort};
use crate::terminal::table::{Cell, Column, Table};
use crate::terminal::{Medium, Output, Style, ends_quietly, folded, percent, printable_json};
use crate::view::owners::PeerNamespaceView;
use crate::view::{CountsView, PeerView, PeersView};

/// Share of closed connections from which on a ratio is marked: the 0.1 % of the shipped alerts.
pub(super) const NOTABLE_RATIO: f64 = 0.001;

/// What `peers --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor peers", "most resets first"),
        ("reset-monitor peers --sort ratio --limit 10", "the largest share of connections"),
        ("reset-monitor peers --role client --port 5432", "whom we connect to, by port"),
        ("reset-monitor peers --peer 10.0.0.0/24", ""),
        ("reset-monitor peers --text shop/", "by a part of a name"),
        ("reset-monitor peers -o json | jq '.peers[] | {peer, port, reset}'", ""),
    ],
    notes: "RATIO is the share of closed connections that were reset. ABORTED ones, reset on purpose or without ever carrying data, and REFUSED \
            attempts are no part of it. RECV and SENT are resets, of which a connection may draw several.",
};

/// `reset-monitor peers`
#[derive(Clone, Debug, clap::Args)]
pub struct PeersArgs {
    /// Table for people, or the API's JSON
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Only where we are the `client` or the `server`
    #[arg(long, value_name = "ROLE", value_parser = named::role())]
    pub role: Option<Role>,
    /// Only this service port
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only this peer: an address, a network such as 10.0.0.0/24, `other` or `retired`
    #[arg(long, value_name = "PEER")]
    pub peer: Option<PeerPattern>,
    /// Only with this in the peer's address, names, port, role or main cause
    #[arg(long, value_name = "TEXT", value_parser = Text::from_str)]
    pub text: Option<Text>,
    /// How many peers to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub limit: u32,
    /// In which order
    #[arg(long, value_enum, default_value_t)]
    pub sort: PeerSort,
    /// Which way round [default: counts from the largest down, names by the alphabet]
    #[arg(long, value_enum)]
    pub order: Option<Order>,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Prints the peers of the daemon that `args` names.
pub async fn run(args: &PeersArgs) -> anyhow::Result<()> {
    let server = Server::new(&args.server)?;
    let PeersArgs { output: _, role, port, peer, text, limit: _, sort, order, server: _ } = *args;
    let filter = PeerFilter { peer, port, role, text, sort, order, ..PeerFilter::default() };
    let answer: PeersView =
        server.get(&format!("/api/v1/peers?limit={}{}", args.limit, filter.to_query())).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = print(&answer, args.output, Medium::stdout(), &mut out).and_then(|()| out.flush());
    ends_quietly(printed)?;
    match (answer.peers.len(), answer.matching) {
        _ if !answer.peers.iter().any(is_news) => {
            let which = if filter == (PeerFilter { sort, order, ..PeerFilter::default() }) {
                "no"
            } else {
                "no such"
            };
            let watching = watching::text(watching::ask(&server).await.as_ref());
            let message = format!("{which} peer yet: a peer appears with its first connection{watching}");
            writeln!(io::stderr().lock(), "{}", folded(&message, Medium::stderr()))?;
        }
        (shown, matching) if shown < matching => {
            writeln!(io::stderr().lock(), "{shown} of {matching} peers; --limit shows more")?;
        }
        _ => {}
    }
    Ok(())
}

const COLUMNS: [Column; 13] = [
    Column::left("PEER"),
    Column::right("PORT"),
    Column::left("ROLE").leave(5),
    OUR_END,
    Column::right("OPENED").leave(1),
    Column::right("CLOSED").leave(4),
    Column::right("RESET"),
    Column::right("RATIO"),
    Column::right("RECV").leave(7),
    Column::right("SENT").leave(6),
    Column::right("REFUSED").leave(3),
    Column::right("ABORTED").leave(2),
    Column::left("TOP CAUSE"),
];

/// Whose peers they are, where some are of other network namespaces than the daemon's.
const OUR_END: Column = Column::left("OUR END").leave(8);
/// Its place.
const OUR_END_AT: usize = 3;

/// Prints an answer of the API.
pub fn print(answer: &PeersView, output: Output, medium: Medium, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", printable_json(&serde_json::to_string(answer)?)),
        Output::Table => {
            let others = !answer.namespaces.is_empty();
            let mut table = Table::new(&known(COLUMNS, others), medium);
            let news = || answer.peers.iter().filter(|peer| is_news(peer));
            let cells = |peer| known(cells(peer, &answer.namespaces), others);
            news().for_each(|peer| table.fit(&cells(peer)));
            news().try_for_each(|peer| table.row(out, &cells(peer)))
        }
    }
}

/// Without the column that tells whose they are where all are of the daemon's own namespace.
fn known<T>(all: [T; COLUMNS.len()], others: bool) -> Vec<T> {
    all.into_iter()
        .enumerate()
        .filter(|(place, _)| others || *place != OUR_END_AT)
        .map(|(_, one)| one)
        .collect()
}

/// The pod, container or unit of a namespace, else its number; nothing for the daemon's own.
fn whose(netns: Option<u32>, others: &[PeerNamespaceView]) -> String {
    let Some(PeerNamespaceView { netns, cgroup }) = others.iter().find(|other| Some(other.netns) == netns)
    else {
        return String::new();
    };
    cgroup.as_ref().and_then(resident_text).unwrap_or_else(|| format!("netns {netns}"))
}

/// `other` and `retired` are always there; as long as they are empty they are no news.
fn is_news(peer: &PeerView) -> bool {
    peer.port.is_some() || peer.counts != CountsView::default()
}

fn cells(peer: &PeerView, others: &[PeerNamespaceView]) -> [Cell; COLUMNS.len()] {
    let number = |count: u64| Cell::new(count.to_string());
    let counts = &peer.counts;
    let ratio_style = if peer.reset_ratio > Some(NOTABLE_RATIO) { Style::Red } else { Style::Plain };
    [
        Cell::new(named(peer.name.as_ref(), &peer.peer)),
        Cell::new(peer.port.map_or_else(String::new, |port| port.to_string())),
        Cell::new(&*peer.role),
        Cell::new(whose(peer.netns, others)),
        number(counts.opened),
        number(counts.closed),
        number(counts.reset),
        Cell::styled(peer.reset_ratio.map_or_else(String::new, percent), ratio_style),
        number(counts.resets_received),
        number(counts.resets_sent),
        number(counts.refused_received),
        number(counts.aborted),
        Cell::new(main_cause(peer).unwrap_or_default()),
    ]
}
