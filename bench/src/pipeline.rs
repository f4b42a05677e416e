//! Decode to publish: runs `monitor/benches/pipeline.rs`, which has the daemon's code without its kernel side.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::report::{Table, Target};
use crate::stats::Summary;

/// Runs it for so many rounds of half a second.
pub(crate) fn measure(root: &Path, rounds: u32) -> Result<Table> {
    eprintln!("==> decode to publish");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root)
        .args(["bench", "--quiet", "--package", "monitor", "--bench", "pipeline", "--"])
        .args(["--rounds", &rounds.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the pipeline's benchmark failed ({})", output.status);
    let text = String::from_utf8(output.stdout)?;
    let rates = text.lines().filter_map(|line| line.trim().parse::<f64>().ok());
    let figure = Summary::of(rates).context("the pipeline's benchmark printed no number")?.times(1e-6);
    let mut table = Table::new(
        "Decode to publish",
        "Records of resets in memory, through the daemon's own decode, enrich, classify, aggregate and publish, in one thread; per \
         second of its CPU time.",
        &["what", "figure", "target", ""],
    );
    table.row([
        "one core".to_owned(),
        format!("{} million events/s", figure.show(2)),
        "≥ 2 million events/s".to_owned(),
        Target::AtLeast(2.0).verdict(&figure).to_owned(),
    ]);
    Ok(table)
}
