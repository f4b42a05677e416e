//! The record: for each kernel what `reset-monitor check -o json` said there, and when; and what programs cost on one of them.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::costs::Costs;
use crate::process::capture;
use crate::setup::SERIES;
use crate::workspace;

const PATH: &str = "docs/kernels.json";
/// How the name of a kernel ends that takes no function hooks. It stands for hosts of its kind, so its release is not told.
pub(crate) const LOCKED_DOWN: &str = ", locked down";

/// Everything that the tables are made from.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Series in order, then others.
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) costs: Option<Costs>,
}

/// A kernel, and what was seen there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kernel {
    /// As the tables call it.
    pub(crate) name: String,
    /// The day, as in `2026-11-20`.
    pub(crate) date: String,
    #[serde(flatten)]
    pub(crate) seen: Seen,
}

/// What `check -o json` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// Its release.
    pub(crate) kernel: String,
    pub(crate) signals: Vec<Signal>,
    pub(crate) programs: Vec<Program>,
}

/// How a signal is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Signal {
    #[serde(rename = "signal")]
    pub(crate) name: String,
    pub(crate) hook: String,
    pub(crate) status: String,
    pub(crate) why: Option<String>,
    pub(crate) advice: Option<String>,
}

/// A program, and what verifying it took.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Program {
    #[serde(rename = "program")]
    pub(crate) name: String,
    pub(crate) hook: String,
    pub(crate) verified_instructions: Option<u32>,
}

impl Record {
    /// The one in the repository.
    pub(crate) fn read() -> Result<Self> {
        let path = workspace::root().join(PATH);
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    pub(super) fn write(&self) -> Result<()> {
        let path = workspace::root().join(PATH);
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// What is known of a kernel.
    pub(crate) fn kernel(&self, name: &str) -> Option<&Kernel> {
        self.kernels.iter().find(|kernel| kernel.name == name)
    }

    /// Takes in what was seen, in the place of what was known.
    pub(crate) fn learn(&mut self, kernel: Kernel) {
        let same_host = |name: &str| name.ends_with(LOCKED_DOWN) && kernel.name.ends_with(LOCKED_DOWN);
        self.kernels.retain(|known| known.name != kernel.name && !same_host(&known.name));
        self.kernels.push(kernel);
        let place = |name: &str| SERIES.iter().position(|series| series.name == name).unwrap_or(SERIES.len());
        self.kernels.sort_by_key(|kernel| place(&kernel.name));
    }
}

impl Seen {
    /// Whether any function of the kernel is hooked.
    pub(crate) fn has_function_hooks(&self) -> bool {
        let kinds = ["fentry", "fexit", "kprobe", "kretprobe"];
        let is_function = |hook: &str| hook.split_once(':').is_some_and(|(kind, _)| kinds.contains(&kind));
        self.programs.iter().any(|program| is_function(&program.hook))
    }
}

/// The day in UTC.
pub(crate) fn today() -> Result<String> {
    Ok(capture(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kernel(name: &str, date: &str) -> Kernel {
        let seen = Seen { kernel: format!("{name}.0-test"), signals: vec![], programs: vec![] };
        Kernel { name: name.to_owned(), date: date.to_owned(), seen }
    }

    #[test]
    fn kernels_stay_in_order_and_the_newest_word_holds() {
        let mut record = Record::default();
        for (name, date) in [
            ("6.18, locked down", "1"),
            ("7.2", "1"),
            ("5.10", "1"),
            ("7.2", "2"),
            ("6.19, locked down", "2"),
        ] {
            record.learn(kernel(name, date));
        }
        let names: Vec<_> =
            record.kernels.iter().map(|kernel| (kernel.name.as_str(), kernel.date.as_str())).collect();
        assert_eq!(names, [("5.10", "1"), ("7.2", "2"), ("6.19, locked down", "2")]);
    }
}
