//! `check`: what this kernel and these privileges allow, found out by really loading, and left as it was.

use std::io::{self, Write};

use anyhow::Context as _;

use crate::cli::help::Help;
use crate::cli::{CheckArgs, CheckOutput};
use crate::config::DEFAULT_SIZES;
use crate::http::convert::signals_view;
use crate::kernel::attach::{attach, prepare};
use crate::kernel::privileges::{self, Lacking};
use crate::kernel::programs::VerifiedProgram;
use crate::kernel::walker;
use crate::terminal::table::{Cell, Column, Table};
use crate::terminal::{Medium, Style, ends_quietly};
use crate::view::SignalView;
use crate::view::check::{CheckView, MissingCapabilityView, ProgramView};

/// What `check --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("sudo reset-monitor check", "what works here, what not, and why"),
        ("sudo reset-monitor check --programs", "and what the kernel programs cost"),
        ("sudo reset-monitor check -o json | jq '.signals[].status'", ""),
    ],
    notes: "Everything is attached, and detached again at once. -o json is described by docs/schema/check.schema.json.",
};

/// Attaches everything, detaches it again, and tells.
pub fn check(args: CheckArgs) -> anyhow::Result<()> {
    let attached = attach(prepare(&DEFAULT_SIZES, args.backend)?, &DEFAULT_SIZES)?;
    let programs = &attached.loaded.programs;
    let mut signals = programs.signals().to_vec();
    signals.push(walker::signal(args.enter_namespaces));
    let view = CheckView {
        served: signals_view(&signals, &attached.facts.release),
        programs: programs.verified().into_iter().map(program_view).collect(),
        missing_capabilities: privileges::lacking().into_iter().map(missing_view).collect(),
    };
    drop(attached);
    let form = Form { output: args.output, programs: args.programs, medium: Medium::stdout() };
    show(&view, form, &mut io::stdout().lock()).context("write the answer")
}

fn program_view(program: VerifiedProgram) -> ProgramView {
    let VerifiedProgram { program, hook, instructions } = program;
    ProgramView { program: program.to_owned(), hook, verified_instructions: instructions }
}

fn missing_view(lacking: Lacking) -> MissingCapabilityView {
    let Lacking { capability, lost, advice } = lacking;
    MissingCapabilityView {
        capability: capability.to_owned(),
        lost: lost.to_owned(),
        advice: advice.to_owned(),
    }
}

/// How to show it.
#[derive(Clone, Copy, Debug)]
pub struct Form {
    /// For people, or for programs.
    pub output: CheckOutput,
    /// Whether the table of programs is wanted.
    pub programs: bool,
    /// What it is written on.
    pub medium: Medium,
}

/// The same. A reader that leaves early, as `head` does, has seen enough.
fn show(view: &CheckView, form: Form, out: &mut impl Write) -> io::Result<()> {
    ends_quietly(print(view, form, out))
}

/// Prints how each signal is served.
pub fn print(view: &CheckView, form: Form, out: &mut impl Write) -> io::Result<()> {
    match form.output {
        CheckOutput::Json => writeln!(out, "{}", serde_json::to_string_pretty(view)?),
        CheckOutput::Table => {
            writeln!(out, "kernel {}", view.served.kernel)?;
            let signals: Vec<_> = view.served.signals.iter().map(cells).collect();
            table(&COLUMNS, &signals, form.medium, out)?;
            if !view.missing_capabilities.is_empty() {
                writeln!(out)?;
                let missing: Vec<_> = view.missing_capabilities.iter().map(missing_cells).collect();
                table(&MISSING_COLUMNS, &missing, form.medium, out)?;
            }
            if form.programs {
                writeln!(out)?;
                let programs: Vec<_> = view.programs.iter().map(program_cells).collect();
                table(&PROGRAM_COLUMNS, &programs, form.medium, out)?;
            }
            Ok(())
        }
    }
}

fn table<const N: usize>(
    columns: &[Column; N],
    rows: &[[Cell; N]],
    medium: Medium,
    out: &mut impl Write,
) -> io::Result<()> {
    let mut table = Table::new(columns, medium);
    for row in rows {
        table.fit(row);
    }
    rows.iter().try_for_each(|row| table.row(out, row))
}

const COLUMNS: [Column; 5] = [
    Column::left("SIGNAL"),
    Column::left("STATUS"),
    Column::left("HOOK").leave(1),
    Column::left("WHY").wrap(),
    Column::left("WHAT TO DO").wrap(),
];

const MISSING_COLUMNS: [Column; 3] = [
    Column::left("MISSING CAPABILITY"),
    Column::left("LOST WITHOUT IT").wrap(),
    Column::left("WHAT TO DO").wrap(),
];

const PROGRAM_COLUMNS: [Column; 3] =
    [Column::left("PROGRAM"), Column::left("HOOK").wrap(), Column::right("VERIFIED INSTRUCTIONS")];

fn missing_cells(missing: &MissingCapabilityView) -> [Cell; 3] {
    let MissingCapabilityView { capability, lost, advice } = missing;
    [Cell::styled(&**capability, Style::Yellow), Cell::new(&**lost), Cell::new(&**advice)]
}

fn program_cells(program: &ProgramView) -> [Cell; 3] {
    let verified = program.verified_instructions.map(|count| count.to_string());
    [Cell::new(&*program.program), Cell::new(&*program.hook), Cell::new(verified.unwrap_or_default())]
}

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
    use crate::view::SignalsView;

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

    fn view() -> CheckView {
        let signal = SignalView {
            signal: "connections".to_owned(),
            hook: "raw_tracepoint:inet_sock_set_state".to_owned(),
            status: "works".to_owned(),
            why: None,
            advice: None,
        };
        let program = |name: &str, verified_instructions| ProgramView {
            program: name.to_owned(),
            hook: signal.hook.clone(),
            verified_instructions,
        };
        CheckView {
            programs: vec![program("set_state", Some(4321)), program("relief_state", None)],
            served: SignalsView { kernel: "6.18.1-test".to_owned(), signals: vec![signal.clone(); 20] },
            missing_capabilities: Vec::new(),
        }
    }

    const fn form(output: CheckOutput, programs: bool) -> Form {
        Form { output, programs, medium: Medium::PLAIN }
    }

    #[test]
    fn a_reader_that_has_left_is_no_failure() {
        for output in [CheckOutput::Table, CheckOutput::Json] {
            for bytes in [0, 20, 200] {
                let form = form(output, true);
                assert!(print(&view(), form, &mut Left(bytes)).is_err(), "the pipe is closed");
                show(&view(), form, &mut Left(bytes)).unwrap();
            }
        }
    }

    fn shown(form: Form) -> String {
        let mut out = Vec::new();
        show(&view(), form, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn both_forms_tell_every_signal() {
        let table = shown(form(CheckOutput::Table, false));
        assert!(table.starts_with("kernel 6.18.1-test\nSIGNAL"), "{table}");
        assert_eq!(table.matches("connections").count(), 20);
        assert_eq!(
            serde_json::from_str::<CheckView>(&shown(form(CheckOutput::Json, false))).unwrap(),
            view()
        );
    }

    #[test]
    fn programs_are_in_the_table_for_who_asks() {
        let table = shown(form(CheckOutput::Table, true));
        let (signals, programs) = table.split_once("\n\n").unwrap();
        assert_eq!(format!("{signals}\n"), shown(form(CheckOutput::Table, false)));
        let verified: Vec<_> = programs.lines().map(|line| line.split_whitespace().last().unwrap()).collect();
        assert_eq!(verified, ["INSTRUCTIONS", "4321", "-"], "{programs}");
    }

    #[test]
    fn a_missing_capability_is_told_below_the_signals_and_without_one_there_is_nothing_more() {
        let with = CheckView {
            missing_capabilities: vec![missing_view(Lacking {
                capability: "CAP_TEST",
                lost: "the past",
                advice: "wait",
            })],
            ..view()
        };
        let mut out = Vec::new();
        show(&with, form(CheckOutput::Table, false), &mut out).unwrap();
        let table = String::from_utf8(out).unwrap();
        let (signals, missing) = table.split_once("\n\n").unwrap();
        assert_eq!(format!("{signals}\n"), shown(form(CheckOutput::Table, false)));
        assert_eq!(missing.lines().count(), 2, "{missing}");
        assert!(missing.contains("CAP_TEST") && missing.contains("the past"), "{missing}");
    }
}
