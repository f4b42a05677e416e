//! The record as Markdown tables.

use std::collections::{BTreeMap, BTreeSet};

use super::{Case, Kernel};
use crate::kernels::table;

/// Certain, likely, possible.
type Counts = [u64; 3];
/// By what was true and what was named.
type Matrix<'a> = BTreeMap<(&'a str, &'a str), Counts>;

/// A matrix for each kernel, and what is not on a diagonal.
pub(super) fn all(kernels: &[Kernel]) -> String {
    if kernels.is_empty() {
        return "No kernel was asked yet.".to_owned();
    }
    let matrices = kernels.iter().map(|kernel| {
        let matrix = matrix(&kernel.cases);
        let right: u64 =
            matrix.iter().filter(|((truth, named), _)| truth == named).map(|(_, counts)| sum(*counts)).sum();
        let all: u64 = matrix.values().copied().map(sum).sum();
        let Kernel { name, date, cases: _ } = kernel;
        format!(
            "### Linux {name}\n\n{right} of {all} events were named right, on {date}.\n\n{}",
            rendered(&matrix)
        )
    });
    let mut text = matrices.collect::<Vec<_>>().join("\n");
    text.push_str("\n### Named otherwise\n\n");
    let otherwise = otherwise(kernels);
    text.push_str(if otherwise.is_empty() { "Nothing was." } else { &otherwise });
    text
}

fn matrix(cases: &[Case]) -> Matrix<'_> {
    let mut matrix = Matrix::new();
    for case in cases {
        let [certain, likely, possible] = matrix.entry((&case.truth, &case.named)).or_default();
        *(match case.confidence.as_str() {
            "certain" => certain,
            "likely" => likely,
            _ => possible,
        }) += case.count;
    }
    matrix
}

fn rendered(matrix: &Matrix<'_>) -> String {
    let columns: BTreeSet<_> = matrix.keys().map(|(_, named)| *named).collect();
    let truths: BTreeSet<_> = matrix.keys().map(|(truth, _)| *truth).collect();
    let code = |name: &str| format!("`{name}`");
    let rows: Vec<Vec<String>> = truths
        .into_iter()
        .map(|truth| {
            let cell =
                |named: &&str| matrix.get(&(truth, *named)).map(|counts| shown(*counts)).unwrap_or_default();
            std::iter::once(code(truth)).chain(columns.iter().map(cell)).collect()
        })
        .collect();
    let header: Vec<_> =
        std::iter::once("true \\ named".to_owned()).chain(columns.iter().map(|name| code(name))).collect();
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), &rows)
}

/// One row for each wrong cause.
fn otherwise(kernels: &[Kernel]) -> String {
    let mut rows = BTreeMap::<(&str, &str, &str), (Vec<String>, &str)>::new();
    for kernel in kernels {
        for ((truth, named), counts) in
            matrix(&kernel.cases).into_iter().filter(|((truth, named), _)| truth != named)
        {
            for (confidence, count) in ["certain", "likely", "possible"].into_iter().zip(counts) {
                if count > 0 {
                    let is_it = |case: &&Case| case.truth == truth && case.named == named;
                    let why = kernel.cases.iter().filter(is_it).find_map(|case| case.why.as_deref());
                    let row = rows.entry((truth, named, confidence)).or_default();
                    row.0.push(format!("{} ({count})", kernel.name));
                    row.1 = why.unwrap_or(row.1);
                }
            }
        }
    }
    let rows: Vec<_> = rows
        .into_iter()
        .map(|((truth, named, confidence), (kernels, why))| {
            let why = if why.is_empty() { "-" } else { why };
            vec![
                format!("`{truth}`"),
                format!("`{named}`"),
                confidence.to_owned(),
                kernels.join("; "),
                why.to_owned(),
            ]
        })
        .collect();
    if rows.is_empty() {
        String::new()
    } else {
        table(&["true", "named", "how sure", "kernels", "why"], &rows)
    }
}

fn shown(counts: Counts) -> String {
    counts.map(|count| count.to_string()).join("/")
}

fn sum(counts: Counts) -> u64 {
    counts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(truth: &str, named: &str, confidence: &str, why: Option<&str>) -> Case {
        Case {
            truth: truth.to_owned(),
            named: named.to_owned(),
            confidence: confidence.to_owned(),
            kind: "reset_received".to_owned(),
            count: 2,
            why: why.map(str::to_owned),
        }
    }

    #[test]
    fn a_matrix_has_what_is_true_in_rows_and_what_is_named_in_columns() {
        let cases = vec![
            case("refused", "refused", "certain", None),
            case("middlebox", "peer_abort", "likely", Some("Because.")),
        ];
        let kernel = Kernel { name: "6.1".to_owned(), date: "2026-11-26".to_owned(), cases };
        let text = all(&[kernel]);
        assert!(text.contains("2 of 4 events were named right, on 2026-11-26."), "{text}");
        assert!(text.contains("| `middlebox` | 0/2/0 |  |\n| `refused` |  | 2/0/0 |"), "{text}");
        assert!(text.contains("| `middlebox` | `peer_abort` | likely | 6.1 (2) | Because. |"), "{text}");
    }
}
