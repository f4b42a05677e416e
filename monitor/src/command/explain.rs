//! `reset-monitor explain`: what is wrong with a peer, why, and what to change.

pub mod text;

use std::io::{self, Write};

use monitor_common::peer::Role;

use self::text::Look;
use super::client::{Server, ServerArgs};
use crate::advice::settings::Software;
use crate::cli::help::Help;
use crate::cli::named;
use crate::event::role_name;
use crate::http::filter::target::Target;
use crate::terminal::{Medium, ends_quietly, printable_json};
use crate::view::explain::ExplainView;

/// What `explain --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor explain 10.0.0.5:8080", "a service this host connects to"),
        ("reset-monitor explain :8080", "all clients of our own port 8080"),
        ("reset-monitor explain 10.0.0.0/24", "every peer of a network, the worst"),
        ("reset-monitor explain [2001:db8::7]:443 --software nginx,go", ""),
        ("reset-monitor explain 10.0.0.5 -o json | jq '.diagnoses[].verdict'", ""),
    ],
    notes: "docs/diagnosis.md tells how a verdict comes about.",
};

/// How `explain` writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum ExplainOutput {
    /// For people.
    #[default]
    Text,
    /// The API's JSON.
    Json,
}

/// `reset-monitor explain`
#[derive(Clone, Debug, clap::Args)]
pub struct ExplainArgs {
    /// Address, `ADDRESS:PORT`, `[IPV6]:PORT`, network such as 10.0.0.0/24, or `:PORT` for all peers of a port of ours
    #[arg(value_name = "PEER[:PORT]")]
    pub target: Target,
    /// Text for people, or the API's JSON
    #[arg(short, long, value_enum, default_value_t)]
    pub output: ExplainOutput,
    /// Only where we are the `client` or the `server`
    #[arg(long, value_name = "ROLE", value_parser = named::role())]
    pub role: Option<Role>,
    /// Only this network namespace, by its inode number
    #[arg(long, value_name = "INODE")]
    pub netns: Option<u32>,
    /// Show settings of these only; repeatable
    #[arg(long, value_name = "NAME", value_enum, value_delimiter = ',')]
    pub software: Vec<Software>,
    /// How many peers to explain, when several match
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub limit: u32,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Prints what the daemon that `args` names says of a peer.
pub async fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let server = Server::new(&args.server)?;
    let answer: ExplainView = server.get(&path(args)).await?;
    let mut out = io::BufWriter::new(io::stdout().lock());
    let printed = match args.output {
        ExplainOutput::Json => {
            writeln!(out, "{}", printable_json(&serde_json::to_string(&answer)?))
        }
        ExplainOutput::Text => {
            // Columns of the terminal, within reason; what is piped has the most.
            let Medium { colour, width } = Medium::stdout();
            let width = width.unwrap_or(Look::WIDEST).clamp(Look::NARROWEST, Look::WIDEST);
            let look = Look { width, colour, software: &args.software };
            text::print(&answer, look, &mut out)
        }
    };
    ends_quietly(printed.and_then(|()| out.flush()))?;
    let (shown, matching) = (answer.diagnoses.len(), answer.matching);
    if shown < matching {
        writeln!(io::stderr().lock(), "the worst {shown} of {matching} that match; --limit shows more")?;
    }
    Ok(())
}

/// What to ask.
pub fn path(args: &ExplainArgs) -> String {
    let Target { peer, port } = args.target;
    let mut path = format!("/api/v1/explain?limit={}", args.limit);
    let mut more = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            path.extend(["&", name, "=", &value]);
        }
    };
    more("peer", peer.map(|peer| peer.to_string()));
    more("port", port.map(|port| port.to_string()));
    more("role", args.role.map(|role| role_name(role).to_owned()));
    more("netns", args.netns.map(|netns| netns.to_string()));
    path
}
