//! `reset-monitor events`: the last events of a daemon, and those that follow.

use std::io::{self, Write};

use anyhow::Context;
use monitor_common::counters::Kind;

use super::client::{Server, ServerArgs};
use crate::cause::Cause;
use crate::event::{Direction, Told};
use crate::http::convert::{event_view, owner_text, reason_text};
use crate::http::filter::pattern::PeerPattern;
use crate::http::filter::{EventFilter, direction_from_name, kind_from_name};
use crate::terminal::{
    Align, Cell, Column, Output, Style, Table, colour_stdout, ends_quietly, printable_json,
};
use crate::view::{EventView, EventsView, LaggedView};

/// `reset-monitor events`
#[derive(Clone, Debug, clap::Args)]
pub struct EventsArgs {
    /// Go on with new events as they happen
    #[arg(short, long)]
    pub follow: bool,
    /// How many past events to show, at most 10000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub last: u32,
    /// Table for people, or one JSON object per line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: Output,
    /// Which events
    #[command(flatten)]
    pub filter: EventFilterArgs,
    /// Attach to the kernel here, without a daemon (needs root)
    #[arg(long)]
    pub local: bool,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which events to show.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct EventFilterArgs {
    /// Only this peer: an address, or a network such as 10.0.0.0/24
    #[arg(long, value_name = "ADDR")]
    pub peer: Option<PeerPattern>,
    /// Only this port, of either end
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only resets `sent` or `received`
    #[arg(long, value_name = "DIRECTION", value_parser = parse_direction)]
    pub direction: Option<Direction>,
    /// Only this cause, for example `linger_abort`
    #[arg(long, value_name = "CAUSE", value_parser = parse_cause)]
    pub cause: Option<Cause>,
    /// Only this kind, for example `reset_received` or `refused_sent`
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    pub kind: Option<Kind>,
    /// Also connections closed after a second or more of quiet, which are no resets
    #[arg(long)]
    pub idle_closes: bool,
}

impl EventFilterArgs {
    /// As a filter.
    pub const fn filter(&self) -> EventFilter {
        let Self { peer, port, direction, cause, kind, idle_closes } = *self;
        EventFilter { peer, port, direction, cause, kind, idle_closes, since: None, until: None }
    }
}

fn parse_direction(text: &str) -> Result<Direction, String> {
    direction_from_name(text).ok_or_else(|| "`sent` and `received` are the directions".to_owned())
}

fn parse_cause(text: &str) -> Result<Cause, String> {
    Cause::from_name(text).ok_or_else(|| format!("causes are {}", Cause::ALL.map(Cause::name).join(", ")))
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    kind_from_name(text).ok_or_else(|| format!("kinds are {}", Kind::ALL.map(Kind::name).join(", ")))
}

/// Prints events of the daemon that `args` names. `--local` is not its business.
pub async fn run(args: &EventsArgs) -> anyhow::Result<()> {
    let server = Server::new(&args.server)?;
    let filter = args.filter.filter();
    let mut printer = EventPrinter::new(args.output, filter, io::stdout().lock());

    let mut after = String::new();
    if args.last > 0 {
        let past: EventsView =
            server.get(&format!("/api/v1/events?limit={}{}", args.last, filter.to_query())).await?;
        printer.fit(&past.events);
        for event in &past.events {
            if printer.print(event)?.is_closed() {
                return Ok(());
            }
        }
        if past.events.is_empty() && !args.follow {
            writeln!(io::stderr().lock(), "no such event yet; -f waits for one")?;
        }
        // Without a past event, all that is kept and comes is new: none of it matched a moment ago.
        after = format!("&after={}", past.events.last().map_or(0, |event| event.id));
    }
    if args.follow {
        follow(&server, &format!("{}{after}", filter.to_query()), &mut printer).await
    } else {
        Ok(())
    }
}

/// Prints what the stream gives, until it breaks off or nobody reads any more.
async fn follow(server: &Server, query: &str, printer: &mut EventPrinter<impl Write>) -> anyhow::Result<()> {
    let mut messages =
        server.stream(&format!("/api/v1/events/stream?{}", query.trim_start_matches('&'))).await?;
    while let Some(message) = messages.next().await.map_err(|source| server.stream_failed(source))? {
        match message.event.as_str() {
            "reset" | "idle_close" => {
                let event: EventView = serde_json::from_str(&message.data)
                    .context("an event of the stream is not what this version knows")?;
                if printer.print(&event)?.is_closed() {
                    return Ok(());
                }
            }
            "lagged" => {
                let LaggedView { missed } = serde_json::from_str(&message.data)
                    .context("a notice of the stream is not what this version knows")?;
                writeln!(
                    io::stderr().lock(),
                    "{missed} events were missed here: more came than could be printed"
                )?;
            }
            // Newer servers may tell more.
            _ => {}
        }
    }
    Err(server.stream_ended().into())
}

/// Whether anyone reads what is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// As far as we know.
    Listens,
    /// It has gone away, as `head` does when it has seen enough.
    Left,
}

impl Reader {
    /// Whether to stop, without an error.
    pub const fn is_closed(self) -> bool {
        matches!(self, Self::Left)
    }
}

const COLUMNS: [Column; 10] = [
    Column { title: "TIME", align: Align::Left, width: 27 },
    Column { title: "DIR", align: Align::Left, width: 8 },
    Column { title: "PEER", align: Align::Left, width: 15 },
    Column { title: "PORT", align: Align::Right, width: 5 },
    Column { title: "ROLE", align: Align::Left, width: 6 },
    Column { title: "CAUSE", align: Align::Left, width: 12 },
    Column { title: "REASON", align: Align::Left, width: 14 },
    Column { title: "COUNTED", align: Align::Left, width: 7 },
    Column { title: "IN/OUT", align: Align::Right, width: 7 },
    Column { title: "OWNER", align: Align::Left, width: 0 },
];

/// Prints events one by one, from wherever they come.
#[derive(Debug)]
pub struct EventPrinter<W: Write> {
    output: Output,
    filter: EventFilter,
    table: Table,
    out: W,
}

impl<W: Write> EventPrinter<W> {
    /// Colours as standard output allows it.
    pub fn new(output: Output, filter: EventFilter, out: W) -> Self {
        Self { output, filter, table: Table::new(&COLUMNS, colour_stdout()), out }
    }

    /// Prints the event if the filter lets it through, at once.
    pub fn print(&mut self, event: &EventView) -> io::Result<Reader> {
        if !self.filter.matches_view(event) {
            return Ok(Reader::Listens);
        }
        let printed = self.write(event).and_then(|()| self.out.flush());
        let left = printed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        ends_quietly(printed).map(|()| if left { Reader::Left } else { Reader::Listens })
    }

    /// The same for an event that has not been through the API.
    pub fn print_told(&mut self, told: &Told) -> io::Result<Reader> {
        self.print(&event_view(told))
    }

    /// Makes the columns wide enough for events that are printed later.
    pub fn fit(&mut self, events: &[EventView]) {
        for event in events {
            self.table.fit(&cells(event));
        }
    }

    fn write(&mut self, event: &EventView) -> io::Result<()> {
        match self.output {
            Output::Table => self.table.row(&mut self.out, &cells(event)),
            Output::Json => writeln!(self.out, "{}", printable_json(&serde_json::to_string(event)?)),
        }
    }
}

fn cells(event: &EventView) -> [Cell; 10] {
    let peer = event.peer.as_ref();
    let bytes = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    [
        Cell::new(&*event.time),
        Cell::new(&*event.direction),
        Cell::new(peer.map_or(&*event.remote.addr, |peer| &peer.peer)),
        // Without a peer it was counted by our own port.
        Cell::new(peer.map_or(event.local.port, |peer| peer.port).to_string()),
        Cell::new(peer.map_or("", |peer| &peer.role)),
        Cell::styled(event.cause.as_deref().unwrap_or("(idle close)"), Style::Yellow),
        Cell::new(event.reason.as_ref().map_or_else(String::new, reason_text)),
        Cell::new(event.counted.as_deref().unwrap_or_default()),
        Cell::new(event.socket.as_ref().map_or_else(String::new, |socket| {
            format!("{}/{}", bytes(socket.bytes_in), bytes(socket.bytes_out))
        })),
        Cell::new(event.owner.as_ref().map_or_else(String::new, owner_text)),
    ]
}
