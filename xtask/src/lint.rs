//! `lint`: everything that can be said about the source without running it.

use anyhow::Result;

use crate::process::{find_program, run as run_process, step};
use crate::test::KERNEL_TESTS;
use crate::{docs, setup, tidy, workspace};

/// The command. Stops at the first failure.
pub(crate) fn run() -> Result<()> {
    step("formatting");
    run_process(workspace::cargo("fmt").args(["--all", "--check"]))?;

    // Cheapest first: this takes no compiler.
    tidy::run()?;

    step("clippy");
    let mut clippy = workspace::cargo("clippy");
    clippy.args(["--all-targets", "--features", &format!("monitor/{KERNEL_TESTS}")]);
    run_process(clippy.args(["--", "-D", "warnings"]))?;

    docs::run(true)?;

    // Clippy cannot check this crate: it exists only for compilers that have no clippy for the BPF target.
    step("warnings of the kernel programs");
    setup::toolchain()?.deny_warnings()?;

    step("dependencies");
    dependencies()?;
    step("lint passed");
    Ok(())
}

fn dependencies() -> Result<()> {
    if find_program("cargo-deny").is_none() {
        step("skipped: cargo-deny is not installed (cargo install cargo-deny)");
        return Ok(());
    }
    run_process(workspace::cargo("deny").arg("check"))
}
