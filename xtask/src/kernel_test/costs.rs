//! `--costs`: what programs cost by backend, on one kernel in one virtual machine.

use std::process::ExitCode;

use anyhow::{Result, ensure};

use super::machine::Time;
use super::{Choice, Job};
use crate::kernels::{self, Costs, PAGE, Record};
use crate::process::step;

/// The word that the trials' binary knows it by (`monitor/tests/kernel/helper.rs`).
const MEASURE: &str = "costs";
/// The kernel that is measured when none is named.
const USUAL: &str = "6.18";

pub(super) fn run(words: &[String], write: bool) -> Result<ExitCode> {
    let usual = [USUAL.to_owned()];
    let Choice { local, series, filter } = Choice::parse(if words.is_empty() { &usual } else { words })?;
    ensure!(
        !local && filter.is_none() && series.len() == 1,
        "costs are measured on one kernel, in a virtual machine, without trials"
    );
    let (job, kernels) = Job::prepare(&series, vec![MEASURE.to_owned()])?;
    step(&format!("costs of programs by backend on Linux {}", series[0].name));
    for kernel in &kernels {
        let verdicts = job.boot(kernel, Time::Counted)?;
        if let Some(wrong) = verdicts.end() {
            anyhow::bail!("{wrong}:\n{}", verdicts.remarks.join("\n"));
        }
        let release = verdicts.seen.as_ref().map_or(series[0].name, |seen| &seen.kernel);
        let costs = Costs::of(&verdicts.costs, release, &kernels::today()?);
        step(&costs.table());
        if write {
            let mut record = Record::read()?;
            record.costs = Some(costs);
            kernels::write(&mut record)?;
            step(&format!("wrote {PAGE}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
