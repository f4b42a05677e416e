//! The record as Markdown tables.

use std::collections::BTreeSet;

use super::record::{Kernel, Program, Record, Signal};

/// Rows of cells as a table.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let titles: Vec<_> = header.iter().map(|title| (*title).to_owned()).collect();
    let rule = vec!["---".to_owned(); header.len()];
    let mut text = line(&titles) + &line(&rule);
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

/// Every kernel, with its exact release and the day.
pub(super) fn releases(record: &Record) -> String {
    let rows: Vec<_> = record
        .kernels
        .iter()
        .map(|Kernel { name, date, seen }| vec![name.clone(), format!("`{}`", seen.kernel), date.clone()])
        .collect();
    table(&["kernel", "release", "seen on"], &rows)
}

/// Signal by kernel: with what kind of hook, and how well.
pub(super) fn signals(record: &Record) -> String {
    let rows: Vec<_> = names(record)
        .into_iter()
        .map(|name| {
            let cell = |kernel: &Kernel| {
                let of_it = kernel.seen.signals.iter().find(|signal| signal.name == name);
                of_it.map(kinds).unwrap_or_default()
            };
            std::iter::once(format!("`{name}`")).chain(record.kernels.iter().map(cell)).collect()
        })
        .collect();
    table(&with_kernels(&["signal"], record), &rows)
}

/// Where each signal is hooked, in full.
pub(super) fn hooks(record: &Record) -> String {
    let rows = grouped(record, |signal| Some(vec![format!("`{}`", signal.hook)]));
    table(&["signal", "kernels", "hook"], &rows)
}

/// What is not served as designed, and what waits for a module.
pub(super) fn missing(record: &Record) -> String {
    let rows = grouped(record, |signal| {
        let why = signal.why.as_deref()?;
        let advice = signal.advice.as_deref().unwrap_or("-");
        Some([signal.status.as_str(), why, advice].map(|text| text.replace('|', "\\|")).to_vec())
    });
    table(&["signal", "kernels", "status", "why", "what to do"], &rows)
}

/// Verified instructions: program by kernel.
pub(super) fn programs(record: &Record) -> String {
    let all = record.kernels.iter().flat_map(|kernel| &kernel.seen.programs);
    let places: BTreeSet<_> = all.map(|program| (place(program), program.name.as_str())).collect();
    let rows: Vec<_> = places
        .into_iter()
        .map(|(place, name)| {
            let cell = |kernel: &Kernel| {
                let of_it = kernel.seen.programs.iter().find(|program| program.name == name);
                of_it.map_or_else(String::new, |program| {
                    program.verified_instructions.map_or_else(|| "-".to_owned(), thousands)
                })
            };
            [format!("`{place}`"), format!("`{name}`")]
                .into_iter()
                .chain(record.kernels.iter().map(cell))
                .collect()
        })
        .collect();
    table(&with_kernels(&["place", "program"], record), &rows)
}

/// Names of signals in the order of `check`.
fn names(record: &Record) -> Vec<&str> {
    let mut names = Vec::new();
    for signal in record.kernels.iter().flat_map(|kernel| &kernel.seen.signals) {
        if !names.contains(&signal.name.as_str()) {
            names.push(&signal.name);
        }
    }
    names
}

fn with_kernels<'a>(first: &[&'a str], record: &'a Record) -> Vec<&'a str> {
    first.iter().copied().chain(record.kernels.iter().map(|kernel| kernel.name.as_str())).collect()
}

/// A row for each signal and each thing said of it, with the kernels where it is said.
fn grouped(record: &Record, said: impl Fn(&Signal) -> Option<Vec<String>>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for name in names(record) {
        let mut groups: Vec<(Vec<String>, Vec<&str>)> = Vec::new();
        for kernel in &record.kernels {
            let signal = kernel.seen.signals.iter().find(|signal| signal.name == name);
            let Some(cells) = signal.and_then(&said) else { continue };
            match groups.iter_mut().find(|(known, _)| *known == cells) {
                Some((_, kernels)) => kernels.push(&kernel.name),
                None => groups.push((cells, vec![&kernel.name])),
            }
        }
        for (cells, kernels) in groups {
            let all = kernels.len() == record.kernels.len() && kernels.len() > 1;
            let kernels = if all { "all".to_owned() } else { kernels.join("; ") };
            rows.push([format!("`{name}`"), kernels].into_iter().chain(cells).collect());
        }
    }
    rows
}

/// `tracepoint + fentry`, and how well if not as designed.
fn kinds(signal: &Signal) -> String {
    let kinds: Vec<_> = signal
        .hook
        .split('+')
        .filter_map(|part| part.split_once(':'))
        .map(|(kind, _)| kind.strip_prefix("raw_").unwrap_or(kind))
        .collect();
    match signal.status.as_str() {
        "works" => kinds.join(" + "),
        "missing" => "**missing**".to_owned(),
        status => format!("{} (*{status}*)", kinds.join(" + ")),
    }
}

/// The tracepoint or function of a program.
fn place(program: &Program) -> &str {
    program.hook.split_once(':').map_or(program.hook.as_str(), |(_, place)| place)
}

/// As in `12,345`.
fn thousands(number: u32) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::Seen;

    fn kernel(name: &str, hook: &str, status: &str, why: Option<&str>, verified: Option<u32>) -> Kernel {
        let signal = Signal {
            name: "reset_received".to_owned(),
            hook: hook.to_owned(),
            status: status.to_owned(),
            why: why.map(str::to_owned),
            advice: None,
        };
        let program = Program {
            name: "f_reset".to_owned(),
            hook: "fentry:tcp_reset".to_owned(),
            verified_instructions: verified,
        };
        let seen = Seen { kernel: format!("{name}.0-1"), signals: vec![signal], programs: vec![program] };
        Kernel { name: name.to_owned(), date: "2026-11-20".to_owned(), seen }
    }

    fn record() -> Record {
        let both = "raw_tracepoint:tcp_receive_reset+fentry:tcp_validate_incoming";
        let kernels = vec![
            kernel("5.10", both, "degraded", Some("no TTL"), None),
            kernel("6.1", "fentry:tcp_reset", "works", None, Some(12_345)),
            kernel("6.18", "fentry:tcp_reset", "works", None, Some(987)),
        ];
        Record { kernels, costs: None }
    }

    #[test]
    fn tables_have_a_column_for_each_kernel() {
        let record = record();
        let last = |table: String| table.lines().last().unwrap().to_owned();
        assert_eq!(releases(&record).lines().nth(2), Some("| 5.10 | `5.10.0-1` | 2026-11-20 |"));
        assert_eq!(
            last(signals(&record)),
            "| `reset_received` | tracepoint + fentry (*degraded*) | fentry | fentry |"
        );
        assert_eq!(last(programs(&record)), "| `tcp_reset` | `f_reset` | - | 12,345 | 987 |");
    }

    #[test]
    fn kernels_that_say_the_same_share_a_row() {
        let record = record();
        let hooks = hooks(&record);
        let rows: Vec<_> = hooks.lines().skip(2).collect();
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert_eq!(rows[1], "| `reset_received` | 6.1; 6.18 | `fentry:tcp_reset` |");
        assert_eq!(
            missing(&record).lines().last(),
            Some("| `reset_received` | 5.10 | degraded | no TTL | - |")
        );
    }
}
