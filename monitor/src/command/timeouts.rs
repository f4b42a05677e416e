//! `reset-monitor timeouts`: who keeps a quiet connection for how long, and whether the client gives up first.

use std::io::{self, Write};
use std::net::SocketAddr;

use monitor_common::peer::Role;

use super::client::{Server, ServerArgs};
use super::watching;
use crate::advice::numbers::seconds;
use crate::cli::help::Help;
use crate::cli::named;
use crate::http::convert::names::named as named_address;
use crate::http::filter::PeerFilter;
use crate::http::filter::pattern::PeerPattern;
use crate::terminal::table::{Cell, Column, Table};
use crate::terminal::{Medium, Output, Style, ends_quietly, folded, printable_json};
use crate::timeouts::alignment::Verdict;
use crate::view::timeouts::{ChainView, ChangeView, HopView, SideView, TimeoutView, TimeoutsView};

/// What `timeouts --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor timeouts", "all pairs, the worst first"),
        ("reset-monitor timeouts --role client", "only services we connect to"),
        ("reset-monitor timeouts --peer 10.0.0.0/24", ""),
        ("reset-monitor timeouts -o json | jq '.timeouts[] | {peer, verdict}'", ""),
    ],
    notes: NOTES,
};

const NOTES: &str = "\
Timeouts are inferred from connections that were closed after a second of quiet or more: moments with closes after the same \
quiet make one, three if they are exact and more if not. A pair is aligned when the client gives up at least 5 s before the server, tight when it does by less, and \
misaligned when the server closes first: then a request can meet the closing, and be reset. HELD is the longest quiet of a connection that is \
open now, with the number of quiet ones: both sides have let that pass.";

/// `reset-monitor timeouts`
#[derive(Clone, Debug, clap::Args)]
pub struct TimeoutsArgs {
    /// Table for people, or the API's JSON
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Only where we are the `client` or the `server`
    #[arg(long, value_name = "ROLE", value_parser = named::role())]
    pub role: Option<Role>,
    /// Only this service port
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only this peer: an address, or a network such as 10.0.0.0/24
    #[arg(long, value_name = "PEER")]
    pub peer: Option<PeerPattern>,
    /// How many rows to show
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=4_352))]
    pub limit: u32,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Prints the timeouts that the daemon that `args` names has inferred.
pub async fn run(args: &TimeoutsArgs) -> anyhow::Result<()> {
    let server = Server::new(&args.server)?;
    let TimeoutsArgs { output, role, port, peer, limit, server: _ } = *args;
    let filter = PeerFilter { peer, port, role, ..PeerFilter::default() };
    let path = format!("/api/v1/timeouts?limit={limit}{}", filter.to_query_of_one());
    let answer: TimeoutsView = server.get(&path).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = print(&answer, output, Medium::stdout(), &mut out).and_then(|()| out.flush());
    ends_quietly(printed)?;
    match (answer.timeouts.len(), answer.matching) {
        (0, _) => {
            let which = if filter == PeerFilter::default() { "no" } else { "no such" };
            let watching = watching::text(watching::ask(&server).await.as_ref());
            let message = format!(
                "{which} timeout yet: one is seen when a connection that was quiet for a second is closed, or is open{watching}"
            );
            writeln!(io::stderr().lock(), "{}", folded(&message, Medium::stderr()))?;
        }
        (shown, matching) if shown < matching => {
            writeln!(io::stderr().lock(), "{shown} of {matching} rows; --limit shows more")?;
        }
        _ => {}
    }
    Ok(())
}

const COLUMNS: [Column; 10] = [
    Column::left("PEER"),
    Column::right("PORT"),
    Column::left("ROLE").leave(3),
    Column::left("VERDICT"),
    Column::right("MARGIN"),
    Column::left("OURS").wrap(),
    Column::left("THEIRS").wrap(),
    Column::right("HELD").leave(2),
    Column::right("SEEN").leave(1),
    Column::left("CHANGE").wrap(),
];

/// Prints an answer of the API.
pub fn print(answer: &TimeoutsView, output: Output, medium: Medium, out: &mut impl Write) -> io::Result<()> {
    match output {
        Output::Json => writeln!(out, "{}", printable_json(&serde_json::to_string(answer)?)),
        Output::Table => {
            let mut table = Table::new(&COLUMNS, medium);
            answer.timeouts.iter().for_each(|row| table.fit(&cells(row)));
            answer.timeouts.iter().try_for_each(|row| table.row(out, &cells(row)))?;
            chains(&answer.chains, medium, out)
        }
    }
}

const CHAIN_COLUMNS: [Column; 6] = [
    Column::left("CHAIN"),
    Column::left("HOP"),
    Column::right("GIVES UP"),
    Column::right("CLOSES"),
    Column::right("MARGIN"),
    Column::left("VERDICT"),
];

/// Hop by hop: who is in front must give up before who is behind closes.
fn chains(chains: &[ChainView], medium: Medium, out: &mut impl Write) -> io::Result<()> {
    if chains.is_empty() {
        return Ok(());
    }
    let middle = "In the middle: in each hop the client must give up first, so clients < us, and us < what is behind us.";
    writeln!(out, "\n{}", folded(middle, medium))?;
    if chains.iter().any(|chain| chain.is_guess) {
        let guess = "?: nothing tells the services of this host apart (all are in the root cgroup), so what is behind one may be another's.";
        writeln!(out, "{}", folded(guess, medium))?;
    }
    let rows: Vec<_> = chains
        .iter()
        .flat_map(|chain| chain.hops.iter().enumerate().map(move |(place, hop)| hop_cells(chain, place, hop)))
        .collect();
    let mut table = Table::new(&CHAIN_COLUMNS, medium);
    for cells in &rows {
        table.fit(cells);
    }
    rows.iter().try_for_each(|cells| table.row(out, cells))
}

fn hop_cells(chain: &ChainView, place: usize, hop: &HopView) -> [Cell; 6] {
    let HopView { peer, name, port, verdict, margin_seconds, client_seconds, server_seconds } = hop;
    let time = |time: &Option<f64>| time.map_or_else(String::new, text);
    [
        Cell::new(match place {
            0 => format!(":{}{}", chain.port, if chain.is_guess { "?" } else { "" }),
            _ => " ".to_owned(),
        }),
        Cell::new(match peer {
            None => "clients to us".to_owned(),
            Some(peer) => match peer.parse() {
                Ok(address) => {
                    let address = SocketAddr::new(address, *port).to_string();
                    format!("us to {}", named_address(name.as_ref(), &address))
                }
                Err(_) => format!("us to {peer} port {port}"),
            },
        }),
        Cell::new(time(client_seconds)),
        Cell::new(time(server_seconds)),
        Cell::new(margin_seconds.map_or_else(String::new, signed)),
        Cell::styled(&**verdict, style(verdict)),
    ]
}

fn style(verdict: &str) -> Style {
    match verdict {
        name if name == Verdict::Misaligned.name() => Style::Red,
        name if name == Verdict::Tight.name() => Style::Yellow,
        _ => Style::Plain,
    }
}

fn cells(row: &TimeoutView) -> [Cell; 10] {
    let TimeoutView {
        peer,
        name,
        port,
        role,
        netns: _,
        verdict,
        margin_seconds,
        client_seconds: _,
        server_seconds: _,
        local,
        remote,
        open: _,
        idle,
        held_seconds,
        change,
    } = row;
    let ages = local.timeouts.iter().chain(&remote.timeouts).map(|inferred| inferred.age_seconds);
    let age = ages.reduce(f64::min).map_or_else(String::new, |age| format!("{} ago", text(age)));
    [
        Cell::new(named_address(name.as_ref(), peer.as_deref().unwrap_or("all clients"))),
        Cell::new(port.to_string()),
        Cell::new(&**role),
        Cell::styled(&**verdict, style(verdict)),
        Cell::new(margin_seconds.map_or_else(String::new, signed)),
        Cell::new(side(local)),
        Cell::new(side(remote)),
        Cell::new(held_seconds.map_or_else(String::new, |longest| held(longest, idle.unwrap_or_default()))),
        Cell::new(age),
        Cell::new(change.as_ref().map_or_else(String::new, changed)),
    ]
}

/// Its timeouts, or what it is known to wait for.
pub(super) fn side(SideView { timeouts, at_least_seconds }: &SideView) -> String {
    if timeouts.is_empty() {
        return at_least_seconds.map_or_else(String::new, |least| format!(">= {}", text(least)));
    }
    let each = timeouts.iter().map(|inferred| format!("{} ({})", text(inferred.seconds), inferred.samples));
    each.collect::<Vec<_>>().join(", ")
}

/// The longest quiet of an open connection, and how many are quiet.
fn held(longest: f64, idle: u64) -> String {
    format!("{} ({idle})", text(longest))
}

pub(super) fn changed(ChangeView { client_at_most_seconds, server_at_least_seconds }: &ChangeView) -> String {
    let client = client_at_most_seconds.map(|most| format!("client <= {most} s"));
    let server = server_at_least_seconds.map(|least| format!("server >= {least} s"));
    client.into_iter().chain(server).collect::<Vec<_>>().join(" or ")
}

pub(super) fn signed(margin: f64) -> String {
    format!("{}{}", if margin < 0.0 { "-" } else { "" }, text(margin.abs()))
}

pub(super) fn text(time: f64) -> String {
    seconds(std::time::Duration::try_from_secs_f64(time).unwrap_or_default())
}
