//! `reset-monitor events`: the last events of a daemon, and those that follow.

use std::io::{self, Write};

use anyhow::Context;
use jiff::Zoned;
use jiff::tz::TimeZone;
use monitor_common::counters::Kind;

use self::printed::Printed;
use super::client::{Server, ServerArgs};
use super::moment::{EXAMPLES, Moment, Window};
use super::top::picture::age;
use super::watching;
use crate::cause::Cause;
use crate::cli::help::Help;
use crate::cli::named;
use crate::clock;
use crate::event::{Direction, Told};
use crate::http::convert::event_view;
use crate::http::filter::EventFilter;
use crate::http::filter::pattern::PeerPattern;
use crate::kernel::plan::Backend;
use crate::publish::history::HISTORY;
use crate::terminal::table::Table;
use crate::terminal::{Medium, ends_quietly, folded, printable_json};
use crate::view::overview::OverviewView;
use crate::view::{EventView, EventsView, LaggedView};

mod printed;
pub(crate) mod text;

/// What `events --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor events", "the last 20"),
        ("reset-monitor events -f", "and those that follow"),
        ("reset-monitor events --since 10m", "of the last ten minutes"),
        ("reset-monitor events --since 13:00 --until 14:30", "of a window of time"),
        ("reset-monitor events --peer 10.0.0.0/24", "of one peer, or a network"),
        ("reset-monitor events --cause idle_reuse", "of one cause"),
        ("reset-monitor events -f -o compact", "for narrow terminals"),
        ("reset-monitor events -f -o json | jq -r 'select(.final) | .cause'", ""),
    ],
    notes: NOTES,
};

const NOTES: &str = "\
Columns:
  TIME    in UTC, so that hosts can be compared
  PORT    the service port: the peer's as client, ours as server
  IDLE    how long the connection had been quiet before the exchange that
          met the reset; `>=` if at least that long
  CAUSE   our verdict, with a `?` while it is provisional, a second at most
  REASON  the kernel's own word
  IN/OUT  payload bytes received and sent; SEGS the same in segments
  OWNER   the process that closed, as name[pid]; `-` where nobody did

`idle_close(local)` and `idle_close(peer)` are no resets: one side closed a connection that had been quiet.

A verdict is provisional while the other end, when it is on this host, may tell more. With -f, one that becomes final is told by -o json only \
(the same id again, with \"final\": true), unless it makes an event match --cause that had not been printed; so are events again of a burst that is over.

-o compact has TIME, an arrow (`<-` received, `->` sent), PEER:PORT, ROLE, CAUSE, IDLE and OWNER, separated by blanks.
-o json is described by docs/events.md and docs/schema/event.schema.json.";

/// How events are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum EventOutput {
    /// Aligned columns for people.
    #[default]
    Table,
    /// One short line per event.
    Compact,
    /// One JSON object per line.
    Json,
}

/// `reset-monitor events`
#[derive(Clone, Debug, clap::Args)]
pub struct EventsArgs {
    /// Go on with new events as they happen
    #[arg(short, long)]
    pub follow: bool,
    /// How many past events to show, at most 10000 [default: 20, or all since --since]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub last: Option<u32>,
    #[arg(
        long,
        value_name = "WHEN",
        conflicts_with = "local",
        help = format!("Only events from then on: {EXAMPLES}; without a zone in local time")
    )]
    #[expect(missing_docs, reason = "its help has the examples, which are kept in one place")]
    pub since: Option<Moment>,
    /// Only events before then
    #[arg(long, value_name = "WHEN", conflicts_with_all = ["local", "follow"])]
    pub until: Option<Moment>,
    /// How to write them
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventOutput,
    /// Which events
    #[command(flatten)]
    pub filter: EventFilterArgs,
    /// Attach to the kernel here, without a daemon (needs root)
    #[arg(long)]
    pub local: bool,
    /// With --local: kinds of hooks to use; all but auto are for tests
    #[arg(long, value_enum, default_value_t, requires = "local")]
    pub backend: Backend,
    /// Which daemon
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which events to show, besides when they were.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct EventFilterArgs {
    /// Only this peer: an address, or a network such as 10.0.0.0/24
    #[arg(long, value_name = "ADDR")]
    pub peer: Option<PeerPattern>,
    /// Only this port, of either end
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
    /// Only resets `sent` or `received`
    #[arg(long, value_name = "DIRECTION", value_parser = named::direction())]
    pub direction: Option<Direction>,
    /// Only this cause, for example `linger_abort`
    #[arg(long, value_name = "CAUSE", value_parser = named::cause())]
    pub cause: Option<Cause>,
    /// Only this kind, for example `reset_received` or `refused_sent`
    #[arg(long, value_name = "KIND", value_parser = named::kind())]
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

/// Prints events of the daemon that `args` names. `--local` is not its business.
pub async fn run(args: &EventsArgs) -> anyhow::Result<()> {
    let now = clock::now().to_zoned(TimeZone::system());
    let Window { since, until } = Window::at(args.since, args.until, &now)?;
    let filter = EventFilter { since, until, ..args.filter.filter() };
    let server = Server::new(&args.server)?;
    let mut printer = EventPrinter::new(args.output, filter, io::stdout().lock());

    let everything = u32::try_from(HISTORY).unwrap_or(u32::MAX);
    let last = args.last.unwrap_or(if since.is_some() { everything } else { 20 });
    let (mut after, mut first) = (String::new(), 0);
    if last > 0 {
        let path = format!("/api/v1/events?limit={last}{}", filter.to_query());
        let past: EventsView = server.get(&path).await?;
        printer.fit(&past.events);
        for event in &past.events {
            if printer.print(event)?.is_closed() {
                return Ok(());
            }
        }
        let mut notices = notices(&past, &filter);
        if past.events.is_empty() {
            notices.push(none(&filter, &now, args.follow, watching::ask(&server).await.as_ref()));
        }
        for notice in notices {
            writeln!(io::stderr().lock(), "{}", folded(&notice, Medium::stderr()))?;
        }
        after = format!("&after={}", past.next);
        first = past.previous.unwrap_or_default();
    }
    if args.follow {
        follow(&server, &format!("{}{after}", filter.to_query()), first, &mut printer).await
    } else {
        Ok(())
    }
}

/// What a reader of past events has to know besides them.
fn notices(past: &EventsView, filter: &EventFilter) -> Vec<String> {
    let mut notices = Vec::new();
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok();
    let before =
        |time: Option<jiff::Timestamp>| filter.since.zip(time).is_some_and(|(since, time)| since < time);
    match &past.oldest_time {
        Some(oldest) if past.oldest > Some(1) && before(time(oldest)) => {
            notices.push(format!(
                "events before {oldest} are no longer kept: the daemon keeps the last {HISTORY}"
            ));
        }
        Some(_) | None => {
            if before(time(&past.started)) {
                notices.push(format!(
                    "nothing is known from before {}: the daemon was started then",
                    past.started
                ));
            }
        }
    }
    notices
}

/// What is said instead of events: that there were none, while how much was watched, and what to do.
fn none(filter: &EventFilter, now: &Zoned, follow: bool, overview: Option<&OverviewView>) -> String {
    let EventFilter { since, until, .. } = *filter;
    let is_all = *filter == EventFilter { since, until, ..EventFilter::default() };
    let which = if is_all { "no resets" } else { "no such event" };
    let when = match (since, until) {
        (Some(since), None) => {
            let ago = now.timestamp().duration_since(since).as_secs_f64();
            format!(" in the last {}", age(ago))
        }
        (None, None) => " yet".to_owned(),
        (_, Some(_)) => " in this time".to_owned(),
    };
    let watching = watching::text(overview);
    let next = if follow || until.is_some() { "" } else { "; -f waits for one" };
    format!("{which}{when}{watching}{next}")
}

/// Prints what the stream gives, until it breaks off or nobody reads any more. Verdicts on events before `first`, which were
/// not asked for, are left out.
async fn follow(
    server: &Server,
    query: &str,
    first: u64,
    printer: &mut EventPrinter<impl Write>,
) -> anyhow::Result<()> {
    let mut messages =
        server.stream(&format!("/api/v1/events/stream?{}", query.trim_start_matches('&'))).await?;
    while let Some(message) = messages.next().await.map_err(|source| server.stream_failed(source))? {
        let event = || -> anyhow::Result<EventView> {
            serde_json::from_str(&message.data)
                .context("an event of the stream is not what this version knows")
        };
        let reader = match message.event.as_str() {
            "reset" | "idle_close" | "listen_overflow" => printer.print(&event()?)?,
            "verdict" => match event()? {
                old if old.id < first => Reader::Listens,
                revised => printer.print_verdict(&revised)?,
            },
            "burst" => match event()? {
                old if old.id < first => Reader::Listens,
                member => printer.print_burst(&member)?,
            },
            "lagged" => {
                let LaggedView { missed } = serde_json::from_str(&message.data)
                    .context("a notice of the stream is not what this version knows")?;
                writeln!(
                    io::stderr().lock(),
                    "{missed} events were missed here: more came than could be printed"
                )?;
                Reader::Listens
            }
            // Newer servers may tell more.
            _ => Reader::Listens,
        };
        if reader.is_closed() {
            return Ok(());
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

/// Prints events one by one, from wherever they come.
#[derive(Debug)]
pub struct EventPrinter<W: Write> {
    output: EventOutput,
    filter: EventFilter,
    table: Table,
    medium: Medium,
    provisional: Printed,
    out: W,
}

impl<W: Write> EventPrinter<W> {
    /// For standard output, be it a terminal or not.
    pub fn new(output: EventOutput, filter: EventFilter, out: W) -> Self {
        let medium = Medium::stdout();
        let table = Table::new(&text::COLUMNS, medium);
        Self { output, filter, table, medium, provisional: Printed::default(), out }
    }

    /// Prints the event if the filter lets it through, at once.
    pub fn print(&mut self, event: &EventView) -> io::Result<Reader> {
        if !self.filter.matches_view(event) {
            return Ok(Reader::Listens);
        }
        if !event.is_final {
            self.provisional.insert(event.id);
        }
        self.print_now(event)
    }

    /// The same for an event that has not been through the API.
    pub fn print_told(&mut self, told: &Told) -> io::Result<Reader> {
        self.print(&event_view(told))
    }

    /// An event whose verdict was provisional and is final now: JSON has it again. People see it once, and so only if
    /// the filter did not let it through before.
    pub fn print_verdict(&mut self, event: &EventView) -> io::Result<Reader> {
        let printed = self.provisional.take(event.id);
        let wanted = match self.output {
            EventOutput::Table | EventOutput::Compact => !printed && self.filter.matches_view(event),
            EventOutput::Json => printed || self.filter.matches_view(event),
        };
        if wanted { self.print_now(event) } else { Ok(Reader::Listens) }
    }

    /// An event that was part of a burst, which is over now: JSON has it again, people do not.
    pub fn print_burst(&mut self, event: &EventView) -> io::Result<Reader> {
        let wanted = match self.output {
            EventOutput::Table | EventOutput::Compact => false,
            EventOutput::Json => self.filter.matches_view(event),
        };
        if wanted { self.print_now(event) } else { Ok(Reader::Listens) }
    }

    /// Makes the columns wide enough for events that are printed later.
    pub fn fit(&mut self, events: &[EventView]) {
        for event in events {
            self.table.fit(&text::cells(event, self.medium));
        }
    }

    fn print_now(&mut self, event: &EventView) -> io::Result<Reader> {
        let printed = self.write(event).and_then(|()| self.out.flush());
        let left = printed.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::BrokenPipe);
        ends_quietly(printed).map(|()| if left { Reader::Left } else { Reader::Listens })
    }

    fn write(&mut self, event: &EventView) -> io::Result<()> {
        match self.output {
            EventOutput::Table => self.table.row(&mut self.out, &text::cells(event, self.medium)),
            EventOutput::Compact => writeln!(self.out, "{}", text::line(event, self.medium)),
            EventOutput::Json => writeln!(self.out, "{}", printable_json(&serde_json::to_string(event)?)),
        }
    }
}

#[cfg(test)]
mod tests;
