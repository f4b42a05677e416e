//! bpf-linker: turns LLVM bitcode into one BPF object with BTF.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::rustc::Rustc;
use crate::cache::Cache;
use crate::process::{capture, find_program, note, retry};
use crate::workspace;

/// The version that everything was tested with.
const VERSION: &str = "0.10.3";
/// The LLVM versions this version can load from the compiler's own shared library (its features `rust-llvm-*`).
const LLVM: std::ops::RangeInclusive<u32> = 20..=22;

/// A linker for that compiler, if one is at hand.
pub(super) fn at_hand(cache: &Cache, rustc: &Rustc) -> Result<Option<PathBuf>> {
    if let Some(path) = env::var_os("RESET_MONITOR_BPF_LINKER").map(PathBuf::from) {
        ensure!(path.is_file(), "RESET_MONITOR_BPF_LINKER: no file {}", path.display());
        return Ok(Some(path));
    }
    if let Some(directory) = cache.installed(&name(rustc)) {
        return Ok(Some(program(&directory)));
    }
    // One that somebody installed beside his own compiler fits that compiler, but not necessarily ours.
    Ok(if rustc.ours { None } else { find_program("bpf-linker") })
}

/// Builds the linker from the Rust registry into the cache.
pub(super) fn install(cache: &Cache, rustc: &Rustc) -> Result<PathBuf> {
    ensure!(
        LLVM.contains(&rustc.llvm),
        "bpf-linker {VERSION} knows LLVM {} to {}, not {} of {}; install one that does and name it in RESET_MONITOR_BPF_LINKER",
        LLVM.start(),
        LLVM.end(),
        rustc.llvm,
        rustc.origin,
    );
    note(&format!("building bpf-linker {VERSION} for LLVM {} (about a minute), once", rustc.llvm));
    let directory = cache.install(&name(rustc), |growing| {
        retry("building bpf-linker", || {
            let mut cargo = Command::new(workspace::cargo_program());
            cargo.args(["install", "bpf-linker", "--version", VERSION, "--locked", "--force", "--quiet"]);
            cargo.args(["--no-default-features", "--features", &format!("rust-llvm-{}", rustc.llvm)]);
            cargo.arg("--root").arg(growing).arg("--target-dir").arg(growing.join("target"));
            cargo.current_dir(growing).env("CARGO_NET_RETRY", "10");
            // Flags meant for the workspace's own build have no business in a tool's.
            cargo.env_remove("RUSTFLAGS").env_remove("CARGO_ENCODED_RUSTFLAGS");
            capture(&mut cargo)
        })?;
        let leftover = growing.join("target");
        std::fs::remove_dir_all(&leftover).with_context(|| format!("cannot remove {}", leftover.display()))
    })?;
    Ok(program(&directory))
}

fn name(rustc: &Rustc) -> String {
    format!("bpf-linker-{VERSION}-llvm{}", rustc.llvm)
}

fn program(directory: &Path) -> PathBuf {
    directory.join("bin/bpf-linker")
}
