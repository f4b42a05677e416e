//! `docs/diagnosis.md`: how often the daemon is right, made from `docs/diagnosis.json`: for each kernel which causes the trials made,
//! and which were named.
//!
//! The trials print the cases as one line (`monitor/tests/kernel/confusion.rs`). `cargo xtask kernel-test --write` writes record and
//! page, and `cargo xtask docs` sees to it that the page says what the record says.

mod tables;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::kernels::{LOCKED_DOWN, filled, today};
use crate::process::step;
use crate::setup::SERIES;
use crate::workspace;

/// The page for people. All but the part between its marks is written by them.
pub(crate) const PAGE: &str = "docs/diagnosis.md";
const RECORD: &str = "docs/diagnosis.json";
/// The name of the marks.
const MARKS: &str = "confusion";
/// What begins the line of the trials.
const LINE: &str = "confusion: ";

/// Events of one kind that are alike in what was true and what was named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Case {
    /// The cause that a trial made.
    truth: String,
    /// The cause that the daemon named.
    named: String,
    confidence: String,
    /// `reset_sent`, `reset_received`, and so on.
    kind: String,
    count: u64,
    /// Of a wrong cause that was called likely: why it cannot be known better.
    why: Option<String>,
}

/// What was named on a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Kernel {
    /// As the tables call it.
    name: String,
    /// The day, as in `2026-11-20`.
    date: String,
    cases: Vec<Case>,
}

/// The record.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Diagnosis {
    /// Series in order, then others.
    kernels: Vec<Kernel>,
}

/// The cases, if this is the line with them.
pub(crate) fn heard(line: &str) -> Option<Vec<Case>> {
    serde_json::from_str(line.strip_prefix(LINE)?).ok()
}

/// Writes what was named on these kernels into record and page. Only from whole runs that passed: a part says nothing about how often.
pub(crate) fn write(named: Vec<(String, Vec<Case>)>) -> Result<()> {
    let names: Vec<_> = named.iter().map(|(name, _)| name.clone()).collect();
    if names.is_empty() {
        step(&format!("{PAGE} stays as it is: no kernel ran all trials and passed"));
        return Ok(());
    }
    let mut record = Diagnosis::read()?;
    let date = today()?;
    for (name, cases) in named {
        record.learn(Kernel { name, date: date.clone(), cases });
    }
    let path = workspace::root().join(RECORD);
    let text = serde_json::to_string_pretty(&record)? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    let (_, made) = record.page()?;
    fs::write(page_path(), made).with_context(|| format!("cannot write {PAGE}"))?;
    step(&format!("wrote {PAGE}: {}", names.join("; ")));
    Ok(())
}

fn page_path() -> PathBuf {
    workspace::root().join(PAGE)
}

impl Diagnosis {
    /// The one in the repository.
    pub(crate) fn read() -> Result<Self> {
        let path = workspace::root().join(RECORD);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// The page as it is and as this record says.
    pub(crate) fn page(&self) -> Result<(String, String)> {
        let page = fs::read_to_string(page_path()).with_context(|| format!("cannot read {PAGE}"))?;
        let made = filled(&page, MARKS, &tables::all(&self.kernels)).with_context(|| format!("in {PAGE}"))?;
        Ok((page, made))
    }

    /// Takes in what was named, in the place of what was known.
    fn learn(&mut self, kernel: Kernel) {
        let same_host = |name: &str| name.ends_with(LOCKED_DOWN) && kernel.name.ends_with(LOCKED_DOWN);
        self.kernels.retain(|known| known.name != kernel.name && !same_host(&known.name));
        self.kernels.push(kernel);
        let place = |name: &str| SERIES.iter().position(|series| series.name == name).unwrap_or(SERIES.len());
        self.kernels.sort_by_key(|kernel| place(&kernel.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_line_with_the_cases_is_heard() {
        let line = r#"confusion: [{"truth":"a","named":"b","confidence":"likely","kind":"reset_sent","count":2,"why":"so"}]"#;
        let cases = heard(line).unwrap();
        assert_eq!((cases.len(), cases[0].count, cases[0].why.as_deref()), (1, 2, Some("so")));
        assert_eq!(heard("confusion, expected: named certain/likely/possible"), None);
    }

    #[test]
    fn a_kernel_is_known_once() {
        let mut record = Diagnosis::default();
        for (name, date) in
            [("6.18, locked down", "1"), ("6.1", "1"), ("6.1", "2"), ("6.19, locked down", "2")]
        {
            record.learn(Kernel { name: name.to_owned(), date: date.to_owned(), cases: Vec::new() });
        }
        let names: Vec<_> = record.kernels.iter().map(|kernel| (&*kernel.name, &*kernel.date)).collect();
        assert_eq!(names, [("6.1", "2"), ("6.19, locked down", "2")]);
    }
}
