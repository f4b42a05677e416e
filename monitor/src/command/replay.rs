//! `replay`: prints what a recording tells, as `events --local` printed it when it was made.

use std::fs::File;
use std::io::{self, BufReader, Read, Write, stderr};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::help::Help;
use crate::command::events::{EventFilterArgs, EventOutput, EventPrinter, Reader};
use crate::http::convert::event_view;
use crate::recording::{ReadError, Replay, Step, Written};
use crate::settle::Settled;

/// What `replay --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor replay resets.recording", "all resets in it"),
        ("reset-monitor replay resets.recording --cause idle_reuse", "of one cause"),
        ("reset-monitor replay resets.recording -o json | jq .cause", ""),
        ("reset-monitor replay -", "from standard input"),
    ],
    notes: "",
};

/// `reset-monitor replay`
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// File that `record` wrote; `-` is standard input
    pub file: PathBuf,
    /// Table for people, one short line per event, or one JSON object per line
    #[arg(short, long, value_enum, default_value_t)]
    pub output: EventOutput,
    /// Which events
    #[command(flatten)]
    pub filter: EventFilterArgs,
}

/// Prints the recording's events.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<()> {
    let ReplayArgs { file, output, filter } = args;
    let printer = EventPrinter::new(*output, filter.filter(), io::stdout().lock());
    if file.as_os_str() == "-" {
        return print("standard input", io::stdin().lock(), printer);
    }
    let name = file.display().to_string();
    let input = File::open(file).with_context(|| format!("open the recording {name}"))?;
    print(&name, BufReader::new(input), printer)
}

/// Every event, until the end, damage, or nobody reads any more.
fn print(name: &str, input: impl Read, mut printer: EventPrinter<impl Write>) -> anyhow::Result<()> {
    let mut replay = Replay::open(input).with_context(|| format!("replay {name}"))?;
    let mut printed = Ok(Reader::Listens);
    loop {
        let step = replay.step(&mut |settled| {
            if let Ok(Reader::Listens) = printed {
                printed = match settled {
                    Settled::Shown(told) => printer.print_told(&told),
                    Settled::Revised(told) => printer.print_verdict(&event_view(&told)),
                    Settled::InBurst(told) => printer.print_burst(&event_view(&told)),
                    Settled::Final(_) => return,
                };
            }
        });
        if std::mem::replace(&mut printed, Ok(Reader::Listens))?.is_closed() {
            return Ok(());
        }
        match step {
            Ok(Step::More) => {}
            Ok(Step::Ended(written)) => {
                tell_what_is_missing(&written, replay.undecodable());
                return Ok(());
            }
            Err(error) => return Err(incomplete(name, replay.records(), error)),
        }
    }
}

/// If stderr is closed there is nobody to tell.
fn tell_what_is_missing(written: &Written, undecodable: u64) {
    let Written { records: _, bytes: _, lost, suppressed } = *written;
    if lost + suppressed > 0 {
        drop(writeln!(
            stderr(),
            "{lost} stories were lost and {suppressed} suppressed while this was recorded"
        ));
    }
    if undecodable > 0 {
        drop(writeln!(stderr(), "{undecodable} records could not be decoded"));
    }
}

fn incomplete(name: &str, records: u64, error: ReadError) -> anyhow::Error {
    anyhow::Error::new(error).context(format!("replay {name} ({records} records were good and are replayed)"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::filter::EventFilter;
    use crate::recording::tests::with_a_late_sender;

    #[test]
    fn a_verdict_that_became_final_later_is_printed_again_in_json_as_it_was_live() {
        let mut out = Vec::new();
        let printer = EventPrinter::new(EventOutput::Json, EventFilter::default(), &mut out);
        print("this", &with_a_late_sender()[..], printer).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let told: Vec<_> = lines.iter().map(|line| (line["id"].as_u64(), line["final"].as_bool())).collect();
        assert_eq!(told, [(Some(1), Some(false)), (Some(1), Some(true)), (Some(2), Some(true))]);
    }
}
