//! Compiles the fuzz targets with instrumentation, beside the normal build.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::{Target, directory};
use crate::process::{capture, find_program, run};
use crate::workspace;

const PACKAGE: &str = "monitor-fuzz";
/// Of the root manifest; debug assertions and overflow checks are on in it.
const PROFILE: &str = "fuzz";

/// LLVM's own coverage pass, which rustc passes through on every channel: a counter for each edge, and the operands of
/// comparisons, from which libFuzzer guesses magic numbers and names. The same as cargo-fuzz asks for.
const INSTRUMENTATION: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    // Branches that were merged into one cannot be told apart by what they reach.
    "-Cllvm-args=-simplifycfg-branch-fold-threshold=0",
];

/// Builds the targets and returns their programs' paths, in the same order.
pub(super) fn programs(targets: &[&Target]) -> Result<Vec<PathBuf>> {
    if std::env::var_os("CXX").is_none() && find_program("c++").is_none() {
        bail!(
            "libFuzzer is written in C++ and there is no `c++`: install g++ (Debian) or gcc-c++, or set CXX"
        );
    }
    let host = host()?;
    let mut cargo = Command::new(workspace::cargo_program());
    cargo.current_dir(workspace::root()).arg("build");
    cargo.args(["--package", PACKAGE, "--features", "engine", "--profile", PROFILE]);
    for target in targets {
        cargo.args(["--bin", target.name]);
    }
    // With a target named, build scripts and macros are not instrumented; they have no libFuzzer to link with.
    cargo.args(["--target", &host]).arg("--target-dir").arg(directory());
    cargo.env("CARGO_ENCODED_RUSTFLAGS", INSTRUMENTATION.join("\u{1f}")).env_remove("RUSTFLAGS");
    cargo.env_remove(workspace::OBJECT_VARIABLE);
    run(&mut cargo)?;
    let built = directory().join(host).join(PROFILE);
    targets
        .iter()
        .map(|target| {
            let program = built.join(target.name);
            ensure!(program.is_file(), "cargo built no {}", program.display());
            Ok(program)
        })
        .collect()
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = capture(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("rustc -vV names no host")?.to_owned())
}
