//! `check`: what this kernel and these privileges allow, found out by really loading, and left as it was.

use std::io::Write as _;

use anyhow::Context as _;

use crate::cli::{CheckArgs, CheckOutput};
use crate::config::DEFAULT_SIZES;
use crate::http::convert::signals_view;
use crate::kernel::attach::{attach, prepare};
use crate::terminal::{Align, Cell, Column, Style, Table, colour_stdout};
use crate::view::SignalView;

/// Attaches everything, detaches it again, and tells.
pub fn check(args: CheckArgs) -> anyhow::Result<()> {
    let attached = attach(prepare(&DEFAULT_SIZES, args.backend)?, &DEFAULT_SIZES)?;
    let view = signals_view(&attached.loaded.programs.signals(), &attached.facts.release);
    drop(attached);
    let mut out = std::io::stdout().lock();
    match args.output {
        CheckOutput::Json => {
            serde_json::to_writer_pretty(&mut out, &view).context("write the answer")?;
            writeln!(out).context("write the answer")?;
        }
        CheckOutput::Table => {
            writeln!(out, "kernel {}", view.kernel).context("write the answer")?;
            let mut table = Table::new(&COLUMNS, colour_stdout());
            view.signals.iter().for_each(|signal| table.fit(&cells(signal)));
            for signal in &view.signals {
                table.row(&mut out, &cells(signal)).context("write the answer")?;
            }
        }
    }
    Ok(())
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
