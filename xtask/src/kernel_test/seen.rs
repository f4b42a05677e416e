//! What the daemon's `check` says of a kernel: compared with what is documented, or documented.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::build::{self, Profile};
use crate::kernels::{self, Kernel, LOCKED_DOWN, PAGE, Record, Seen};
use crate::process::{capture, step};

/// What is not as documented.
pub(super) fn compare(record: &Record, name: &str, seen: &Seen) -> Vec<String> {
    match record.kernel(name) {
        Some(documented) => kernels::differences(&documented.seen, seen),
        None => vec!["this kernel is not documented".to_owned()],
    }
}

/// Documents kernels by name.
pub(super) fn write(seen: Vec<(String, Seen)>) -> Result<()> {
    let mut record = Record::read()?;
    let date = kernels::today()?;
    for (name, seen) in seen {
        record.learn(Kernel { name, date: date.clone(), seen });
    }
    kernels::write(&mut record)?;
    step(&format!("wrote {PAGE}"));
    Ok(())
}

/// What is said on this machine, which stands for all that take no function hooks.
pub(super) fn here() -> Result<(String, Seen)> {
    let daemon = build::daemon(Profile::Debug)?;
    let said = capture(Command::new(daemon).args(["check", "-o", "json"]))?;
    let seen: Seen = serde_json::from_str(&said).context("cannot understand what `check` says")?;
    ensure!(
        !seen.has_function_hooks(),
        "this machine takes function hooks; {PAGE} has a column only for one that does not"
    );
    let mut numbers = seen.kernel.splitn(3, '.');
    let series = [numbers.next(), numbers.next()].map(Option::unwrap_or_default).join(".");
    Ok((format!("{series}{LOCKED_DOWN}"), Seen { kernel: series, ..seen }))
}
