//! What the trials of a virtual machine say, line by line, and whether that was all.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::diagnosis::{self, Case};
use crate::kernels::{Round, Seen};

/// What begins the last line of a machine that came to its end (`monitor/tests/kernel/guest.rs`).
const OVER: &str = "trials over: ";
/// What begins a line about a trial that begins (`monitor/tests/kernel/machine.rs`); the harness tells of both ends at the end.
const BEGUN: &str = "begun: ";
/// What begins a line about trials that this machine cannot run (`monitor/tests/kernel/needs.rs`).
const LEFT_OUT: &str = "left out: ";

/// What begins the line of what the daemon's `check` says (`monitor/tests/kernel/guest.rs`).
const CHECK: &str = "check: ";
/// What begins a line about the cost of programs (`monitor/tests/kernel/costs.rs`).
const COST: &str = "cost: ";

/// What was said so far.
#[derive(Debug, Default)]
pub(super) struct Verdicts {
    announced: Option<u64>,
    passed: u64,
    /// Trials that are running, or were when the machine ended.
    running: BTreeSet<String>,
    /// Names and messages.
    pub(super) failed: Vec<(String, String)>,
    /// How many were left out, and for want of what.
    pub(super) left_out: Vec<(u64, String)>,
    /// Whether the trials summed up.
    summed_up: bool,
    /// How the process of the trials ended.
    over: Option<String>,
    /// What the daemon's `check` says of the kernel.
    pub(super) seen: Option<Seen>,
    /// What programs cost, if that was asked for.
    pub(super) costs: Vec<Round>,
    /// Which causes were true and which were named, if any was.
    pub(super) named: Option<Vec<Case>>,
    /// Whether the machine was ended because it said nothing any more.
    pub(super) fell_silent: bool,
    /// What else was said.
    pub(super) remarks: Vec<String>,
}

impl Verdicts {
    /// Takes in a line.
    pub(super) fn hear(&mut self, line: &str) {
        let line = line.trim_end();
        if let Some(end) = line.strip_prefix(OVER) {
            self.over = Some(end.to_owned());
        } else if let Some(trial) = line.strip_prefix(BEGUN) {
            self.running.insert(trial.to_owned());
        } else if let Some((count, need)) = line.strip_prefix(LEFT_OUT).and_then(|rest| rest.split_once(' '))
        {
            self.left_out.push((count.parse().unwrap_or_default(), need.to_owned()));
        } else if let Some(seen) = line.strip_prefix(CHECK).and_then(|said| serde_json::from_str(said).ok()) {
            self.seen = Some(seen);
        } else if let Some(round) = line.strip_prefix(COST).and_then(|said| serde_json::from_str(said).ok()) {
            self.costs.push(round);
        } else if let Some(cases) = diagnosis::heard(line) {
            self.named = Some(cases);
        } else if !serde_json::from_str(line).is_ok_and(|event| self.take(&event)) && !line.is_empty() {
            self.remarks.push(line.to_owned());
        }
    }

    /// An event of the test harness; `false` for one that is not known.
    fn take(&mut self, event: &Value) -> bool {
        let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        match (text("type").as_str(), text("event").as_str()) {
            ("suite", "started") => self.announced = event["test_count"].as_u64(),
            ("suite", "ok" | "failed") => self.summed_up = true,
            ("test", "started") => {}
            ("test", "ok") => {
                self.running.remove(&text("name"));
                self.passed += 1;
            }
            ("test", "failed") => {
                self.running.remove(&text("name"));
                self.failed.push((text("name"), text("stdout").trim().to_owned()));
            }
            _ => return false,
        }
        true
    }

    pub(super) fn count_left_out(&self) -> u64 {
        self.left_out.iter().map(|(count, _)| count).sum()
    }

    pub(super) fn count_passed(&self) -> u64 {
        self.passed
    }

    /// What shows that this machine did not end well.
    pub(super) fn end(&self) -> Option<String> {
        match self.over.as_deref() {
            None => Some("the machine ended before its trials were over".to_owned()),
            Some("0") => None,
            Some(code) => Some(format!("the process of the trials ended with {code}")),
        }
    }

    /// What shows that this was not a whole run, besides trials that failed.
    pub(super) fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        let heard = self.passed + self.failed.len() as u64;
        match self.announced {
            None => gaps.push("no trials were announced".to_owned()),
            Some(announced) if announced != heard => {
                gaps.push(format!("{announced} trials were announced and {heard} gave a verdict"));
            }
            Some(_) => {}
        }
        if !self.running.is_empty() {
            gaps.push(format!(
                "still running: {}",
                self.running.iter().cloned().collect::<Vec<_>>().join("; ")
            ));
        }
        if self.announced.is_some() && !self.summed_up {
            gaps.push("the trials did not sum up".to_owned());
        }
        if self.seen.is_none() {
            gaps.push("the daemon's check did not say what serves each signal".to_owned());
        }
        // A process that ends with a failure for the sake of a failed trial is as it should be.
        gaps.extend(self.end().filter(|_| self.over.is_none() || self.failed.is_empty()));
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: [&str; 9] = [
        r#"check: {"kernel":"6.1.0-1","signals":[],"programs":[]}"#,
        "left out: 3 need Python\r",
        r#"{ "type": "suite", "event": "started", "test_count": 2 }"#,
        "begun: a (IPv4)",
        "begun: b",
        r#"{ "type": "test", "name": "b", "event": "ok" }"#,
        r#"{ "type": "test", "name": "a (IPv4)", "event": "ok" }"#,
        r#"{ "type": "suite", "event": "ok", "passed": 2, "failed": 0, "ignored": 0, "measured": 0, "filtered_out": 0, "exec_time": 1.5 }"#,
        "trials over: 0",
    ];

    fn heard<'a>(lines: impl IntoIterator<Item = &'a str>) -> Verdicts {
        let mut verdicts = Verdicts::default();
        lines.into_iter().for_each(|line| verdicts.hear(line));
        verdicts
    }

    #[test]
    fn a_whole_run_has_no_gaps() {
        let verdicts = heard(WHOLE);
        assert_eq!(verdicts.gaps(), [""; 0]);
        assert_eq!((verdicts.passed, verdicts.count_left_out()), (2, 3));
        assert!(verdicts.failed.is_empty() && verdicts.remarks.is_empty());
    }

    #[test]
    fn what_was_named_is_no_remark() {
        let verdicts = heard(WHOLE.into_iter().chain(["confusion: []"]));
        assert_eq!(verdicts.named.map(|cases| cases.len()), Some(0));
        assert!(verdicts.remarks.is_empty());
    }

    #[test]
    fn a_failed_trial_is_told_with_its_message() {
        let failed =
            r#"{ "type": "test", "name": "b", "event": "failed", "stdout": "Error: \"no\nlisteners\"\n" }"#;
        let verdicts = heard(
            WHOLE.map(|line| if line.contains("\"ok\"") && line.contains("\"b\"") { failed } else { line }),
        );
        assert_eq!(verdicts.failed.len(), 1);
        assert_eq!(verdicts.failed[0].0, "b");
    }

    #[test]
    fn every_line_that_is_missing_is_a_gap() {
        for (index, missing) in WHOLE
            .iter()
            .enumerate()
            .filter(|(_, line)| ["ok", "over", "suite", "check"].iter().any(|word| line.contains(word)))
        {
            let rest = WHOLE.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, line)| *line);
            assert!(!heard(rest).gaps().is_empty(), "{missing}");
        }
    }

    #[test]
    fn a_run_that_fails_without_a_failed_trial_has_a_gap() {
        let verdicts = heard(WHOLE.map(|line| if line.starts_with(OVER) { "trials over: 1" } else { line }));
        assert_eq!(verdicts.gaps(), ["the process of the trials ended with 1"]);
    }
}
