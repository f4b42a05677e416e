//! `check`: what this kernel and these privileges allow, found out by really loading, and left as it was.

use std::io::{self, Write};

use anyhow::Context as _;

use crate::cli::{CheckArgs, CheckOutput};
use crate::config::DEFAULT_SIZES;
use crate::http::convert::signals_view;
use crate::kernel::attach::{attach, prepare};
use crate::terminal::{Align, Cell, Column, Style, Table, colour_stdout, ends_quietly};
use crate::view::{SignalView, SignalsView};

/// Attaches everything, detaches it again, and tells.
pub fn check(args: CheckArgs) -> anyhow::Result<()> {
    let attached = attach(prepare(&DEFAULT_SIZES, args.backend)?, &DEFAULT_SIZES)?;
    let view = signals_view(&attached.loaded.programs.signals(), &attached.facts.release);
    drop(attached);
    show(&view, args.output, colour_stdout(), &mut io::stdout().lock()).context("write the answer")
}

/// Prints how each signal is served. A reader that leaves early, as `head` does, has seen enough.
fn show(view: &SignalsView, output: CheckOutput, colour: bool, out: &mut impl Write) -> io::Result<()> {
    ends_quietly(print(view, output, colour, out))
}

fn print(view: &SignalsView, output: CheckOutput, colour: bool, out: &mut impl Write) -> io::Result<()> {
    match output {
        CheckOutput::Json => writeln!(out, "{}", serde_json::to_string_pretty(view)?),
        CheckOutput::Table => {
            writeln!(out, "kernel {}", view.kernel)?;
            let mut table = Table::new(&COLUMNS, colour);
            view.signals.iter().for_each(|signal| table.fit(&cells(signal)));
            view.signals.iter().try_for_each(|signal| table.row(out, &cells(signal)))
        }
    }
}

const COLUMNS: [Column; 5] = [
    Column { title: "SIGNAL", align: Align::Left, width: 0 },
    Column { title: "STATUS", align: Align::Left, width: 0 },
    Column { title: "HOOK", align: Align::Left, width: 0 },
    Column { title: "WHY", align: Align::Left, width: 0 },
    Column { title: "WHAT TO DO", align: Align::Left, width: 0 },
];

fn cells(signal: &SignalView) -> [Cell; 5] {
    let style = match signal.status.as_str() {
        "works" => Style::Plain,
        "degraded" => Style::Yellow,
        _ => Style::Red,
    };
    [
        Cell::new(&*signal.signal),
        Cell::styled(&*signal.status, style),
        Cell::new(&*signal.hook),
        Cell::new(signal.why.as_deref().unwrap_or_default()),
        Cell::new(signal.advice.as_deref().unwrap_or_default()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pipe that nobody reads from any more, once it took some bytes.
    struct Left(usize);

    impl Write for Left {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::BrokenPipe)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn view() -> SignalsView {
        let signal = SignalView {
            signal: "connections".to_owned(),
            hook: "raw_tracepoint:inet_sock_set_state".to_owned(),
            status: "works".to_owned(),
            why: None,
            advice: None,
        };
        SignalsView { kernel: "6.18.1-test".to_owned(), signals: vec![signal; 20] }
    }

    #[test]
    fn a_reader_that_has_left_is_no_failure() {
        for output in [CheckOutput::Table, CheckOutput::Json] {
            for bytes in [0, 20, 200] {
                assert!(print(&view(), output, false, &mut Left(bytes)).is_err(), "the pipe is closed");
                show(&view(), output, false, &mut Left(bytes)).unwrap();
            }
        }
    }

    #[test]
    fn both_forms_tell_every_signal() {
        let shown = |output| {
            let mut out = Vec::new();
            show(&view(), output, false, &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let table = shown(CheckOutput::Table);
        assert!(table.starts_with("kernel 6.18.1-test\nSIGNAL"), "{table}");
        assert_eq!(table.matches("connections").count(), 20);
        assert_eq!(serde_json::from_str::<SignalsView>(&shown(CheckOutput::Json)).unwrap(), view());
    }
}
