//! `lint`: everything that can be said about the source without running it.

use anyhow::Result;

use crate::bpf::{DEBUG_LOG, Programs};
use crate::process::{find_program, run as run_process, step};
use crate::test::{KERNEL_TESTS, OPTIONAL};
use crate::{docs, setup, tidy, workspace};

/// The command. Stops at the first failure.
pub(crate) fn run() -> Result<()> {
    step("formatting");
    run_process(workspace::cargo("fmt").args(["--all", "--check"]))?;

    // Cheapest first: this takes no compiler.
    tidy::run()?;

    step("clippy");
    let mut clippy = workspace::cargo("clippy");
    // The fuzz targets too, without libFuzzer: it takes a C++ compiler, and is not ours.
    clippy.args(["--workspace", "--exclude", "monitor-ebpf"]);
    let features =
        [KERNEL_TESTS, DEBUG_LOG].into_iter().chain(OPTIONAL).map(|feature| format!("monitor/{feature}"));
    clippy.args(["--all-targets", "--features", &features.collect::<Vec<_>>().join(",")]);
    run_process(clippy.args(["--", "-D", "warnings"]))?;

    docs::run(true)?;

    // Clippy cannot check this crate: it exists only for compilers that have no clippy for the BPF target.
    step("warnings of the kernel programs");
    let toolchain = setup::toolchain()?;
    toolchain.deny_warnings(Programs::Release)?;
    toolchain.deny_warnings(Programs::DebugLog)?;

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
