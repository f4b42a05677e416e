//! What programs cost by backend: rounds of figures to medians, and those to a table. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::tables::table;

/// Backends in the order of the table. Others are compared with the first that has the program.
const BACKENDS: [&str; 3] = ["tracepoint", "fentry", "kprobe"];
/// Programs that run less often per operation only met something else.
const RARELY: f64 = 0.01;
/// All programs of a backend together.
const ALL: &str = "all";

/// What was measured in one round with one backend and load (`monitor/tests/kernel/costs.rs`).
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Round {
    #[serde(rename = "round")]
    number: u32,
    backend: String,
    load: String,
    operations: u32,
    /// Runs and nanoseconds, by name.
    programs: BTreeMap<String, (u32, u32)>,
}

/// The medians.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Costs {
    kernel: String,
    date: String,
    rounds: u32,
    operations: u32,
    rows: Vec<Row>,
}

/// A program that the backends have in common, under each of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    load: String,
    what: String,
    by: BTreeMap<String, Figure>,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Figure {
    runs_per_operation: f64,
    /// Of one run; of one operation for all programs together.
    nanoseconds: f64,
    /// To the first backend that has it, within the same round.
    ratio: f64,
}

impl Costs {
    /// The medians of these rounds.
    pub(crate) fn of(rounds: &[Round], kernel: &str, date: &str) -> Self {
        let loads: BTreeSet<_> = rounds.iter().map(|round| round.load.as_str()).collect();
        let mut rows = Vec::new();
        for load in loads {
            let rounds: Vec<_> = rounds.iter().filter(|round| round.load == load).collect();
            let roles: BTreeSet<_> =
                rounds.iter().flat_map(|round| round.programs.keys().map(|name| role(name))).collect();
            for what in roles.into_iter().chain([ALL]) {
                let by = figures(&rounds, what);
                if by.values().any(|figure| figure.runs_per_operation >= RARELY) {
                    rows.push(Row { load: load.to_owned(), what: what.to_owned(), by });
                }
            }
        }
        Self {
            kernel: kernel.to_owned(),
            date: date.to_owned(),
            rounds: rounds.iter().map(|round| round.number + 1).max().unwrap_or_default(),
            operations: rounds.iter().map(|round| round.operations).max().unwrap_or_default(),
            rows,
        }
    }

    /// For the page and the terminal.
    pub(crate) fn table(&self) -> String {
        let Self { kernel, date, rounds, operations, rows } = self;
        let rows: Vec<_> = rows
            .iter()
            .map(|Row { load, what, by }| {
                let first = BACKENDS.iter().find(|backend| by.contains_key(**backend));
                let cell = |backend: &&str| {
                    let Some(figure) = by.get(*backend) else { return String::new() };
                    let told = format!("{:.0} ns", figure.nanoseconds);
                    if Some(backend) == first { told } else { format!("{told}, **{:.2}**", figure.ratio) }
                };
                let (what, runs) = if what == ALL {
                    ("all, per operation".to_owned(), String::new())
                } else {
                    let runs: Vec<_> = BACKENDS.iter().filter_map(|backend| by.get(*backend)).collect();
                    let most = runs.iter().map(|figure| figure.runs_per_operation).fold(0.0, f64::max);
                    (format!("`{what}`, per run"), format!("{most:.2}"))
                };
                [load.clone(), what, runs].into_iter().chain(BACKENDS.iter().map(cell)).collect()
            })
            .collect();
        let header: Vec<_> = ["load", "program", "runs per operation"].into_iter().chain(BACKENDS).collect();
        let table = table(&header, &rows);
        format!(
            "Linux `{kernel}`, {date}, medians of {rounds} rounds of {operations} operations for each backend.\n\n{table}"
        )
    }
}

/// What a program does, whatever brings it there.
fn role(program: &str) -> &str {
    ["f_", "k_", "x_"].iter().find_map(|prefix| program.strip_prefix(prefix)).unwrap_or(program)
}

/// For each backend that has such a program. A round in which it never ran gives no cost of a run.
fn figures(rounds: &[&Round], what: &str) -> BTreeMap<String, Figure> {
    let mut costs: BTreeMap<&str, BTreeMap<u32, (f64, f64)>> = BTreeMap::new();
    for round in rounds {
        let programs = round.programs.iter().filter(|(name, _)| what == ALL || role(name) == what);
        let (runs, nanoseconds) = programs.fold((0.0, 0.0), |sum, (_, account)| {
            (sum.0 + f64::from(account.0), sum.1 + f64::from(account.1))
        });
        let operations = f64::from(round.operations);
        let each = if what == ALL { operations } else { runs };
        if runs > 0.0 {
            let measured = (runs / operations, nanoseconds / each);
            costs.entry(&round.backend).or_default().insert(round.number, measured);
        }
    }
    let Some(first) = BACKENDS.iter().find_map(|backend| costs.get(*backend)).cloned() else {
        return BTreeMap::new();
    };
    let figure = |measured: &BTreeMap<u32, (f64, f64)>| Figure {
        runs_per_operation: median(measured.values().map(|(runs, _)| *runs)),
        nanoseconds: median(measured.values().map(|(_, cost)| *cost)),
        ratio: median(measured.iter().filter_map(|(round, (_, cost))| Some(cost / first.get(round)?.1))),
    };
    costs.iter().map(|(backend, measured)| ((*backend).to_owned(), figure(measured))).collect()
}

/// To two digits after the point; 0 of nothing.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    (middle * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(round: u32, backend: &str, programs: &[(&str, u32, u32)]) -> Round {
        let programs =
            programs.iter().map(|(name, runs, cost)| ((*name).to_owned(), (*runs, *cost))).collect();
        Round {
            number: round,
            backend: backend.to_owned(),
            load: "reset".to_owned(),
            operations: 100,
            programs,
        }
    }

    #[test]
    fn the_same_work_is_compared_within_rounds() {
        // The second round ran beside somebody else, and all of it took ten times longer.
        let rounds: Vec<_> = [(0, 1), (1, 10), (2, 1)]
            .into_iter()
            .flat_map(|(number, slower)| {
                [
                    round(
                        number,
                        "tracepoint",
                        &[("receive_reset", 100, 10_000 * slower), ("set_state", 0, 0)],
                    ),
                    round(
                        number,
                        "fentry",
                        &[("receive_reset", 100, 15_000 * slower), ("f_syn", 100, 1_000)],
                    ),
                    round(
                        number,
                        "kprobe",
                        &[("receive_reset", 100, 20_000 * slower), ("k_syn", 100, 2_000)],
                    ),
                ]
            })
            .collect();
        let costs = Costs::of(&rounds, "6.18.1", "2026-11-20");
        let shown = costs.table();
        let rows: Vec<_> = shown.lines().skip(4).collect();
        assert_eq!(
            rows,
            [
                "| reset | `receive_reset`, per run | 1.00 | 100 ns | 150 ns, **1.50** | 200 ns, **2.00** |",
                "| reset | `syn`, per run | 1.00 |  | 10 ns | 20 ns, **2.00** |",
                "| reset | all, per operation |  | 100 ns | 160 ns, **1.60** | 220 ns, **2.20** |",
            ],
            "{shown}"
        );
        assert!(
            shown.starts_with("Linux `6.18.1`, 2026-11-20, medians of 3 rounds of 100 operations"),
            "{shown}"
        );
    }
}
