//! `setup`: finds what builds the kernel programs, or fetches it, with nothing installed on the system.
//!
//! Ways, best first: what `RESET_MONITOR_BPF_RUSTC` and `RESET_MONITOR_BPF_LINKER` name; the cache; rustup's nightly
//! with rust-src; any rustc with `core` for BPF or rust-src; Debian packages, fetched into the cache. A way that fails
//! makes room for the next. A second run finds everything in the cache and only says so.

mod browser;
mod compared;
mod debian;
mod emulator;
mod guest;
mod kernels;
mod linker;
mod npm;
mod openapi;
mod rustc;
mod tools;

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

pub(crate) use emulator::Emulator;
pub(crate) use guest::Guest;
pub(crate) use kernels::{Kernel, SERIES, Series};
pub(crate) use rustc::Rustc;
pub(crate) use tools::Tools;

use crate::bpf::Toolchain;
use crate::cache::Cache;
use crate::process::{note, step};

/// What to do when every way failed.
const ADVICE: &str = "get one with: rustup toolchain install nightly --component rust-src && cargo install bpf-linker, \
    or on Debian: apt-get install rustc-web libstd-rust-web-dev-bpf";

/// The command: makes sure of everything and names it.
pub(crate) fn run(tests: bool) -> Result<()> {
    let toolchain = toolchain()?;
    step(&format!("setup: {} is ready", toolchain.name()));
    if tests {
        step(&format!("setup: test programs are ready: {}", tools()?.name()));
        step(&format!("setup: the browser of the page's tests is ready: {}", browser()?.display()));
        step(&format!("setup: the validator of the API's document is ready: {}", openapi()?.display()));
    }
    Ok(())
}

/// The compiler and linker for the kernel programs, fetched if need be.
pub(crate) fn toolchain() -> Result<Toolchain> {
    let cache = Cache::open()?;
    if let Some(toolchain) = at_hand(&cache)? {
        return Ok(toolchain);
    }
    step("setup: looking for a compiler and a linker for the kernel programs");
    let _lock = cache.lock()?;
    // Whoever held the lock may have done the work.
    if let Some(toolchain) = at_hand(&cache)? {
        return Ok(toolchain);
    }
    let mut missing = Vec::new();
    for rustc in rustc::at_hand(&cache)? {
        match rustc.and_then(|rustc| complete(&cache, rustc)) {
            Ok(toolchain) => return Ok(toolchain),
            Err(error) => missing.push(format!("{error:#}")),
        }
    }
    for reason in &missing {
        note(&format!("not usable: {reason}"));
    }
    match rustc::fetch(&cache).and_then(|rustc| complete(&cache, rustc)) {
        Ok(toolchain) => Ok(toolchain),
        Err(error) => bail!("no compiler for the kernel programs: {error:#}\n{ADVICE}"),
    }
}

/// The programs that tests call, fetched if need be.
pub(crate) fn tools() -> Result<Tools> {
    Tools::find_or_fetch(&Cache::open()?)
}

/// The browser that looks at the page, fetched if need be. Its tests know where it is.
pub(crate) fn browser() -> Result<PathBuf> {
    browser::find_or_fetch(&Cache::open()?)
}

/// What judges the document of the API, fetched if need be. Its test knows where it is.
pub(crate) fn openapi() -> Result<PathBuf> {
    openapi::find_or_fetch(&Cache::open()?)
}

/// Makes the tools that `bench` compares with visible to a child process, as far as they are there or can be fetched.
pub(crate) fn lend_compared_tools(command: &mut Command) -> Result<()> {
    compared::lend(&Cache::open()?, command)
}

/// What virtual machines are made of, fetched if need be.
pub(crate) fn virtual_machines(series: &[Series]) -> Result<(Emulator, Guest, Vec<Kernel>)> {
    let cache = Cache::open()?;
    let emulator = Emulator::find_or_fetch(&cache)?;
    let guest = Guest::find_or_fetch(&cache)?;
    Ok((emulator, guest, kernels::find_or_fetch(&cache, series)?))
}

fn at_hand(cache: &Cache) -> Result<Option<Toolchain>> {
    for rustc in rustc::at_hand(cache)?.into_iter().flatten() {
        if let Some(linker) = linker::at_hand(cache, &rustc)? {
            return Ok(Some(Toolchain { rustc, linker }));
        }
    }
    Ok(None)
}

fn complete(cache: &Cache, rustc: Rustc) -> Result<Toolchain> {
    let linker = match linker::at_hand(cache, &rustc)? {
        Some(linker) => linker,
        None => linker::install(cache, &rustc)?,
    };
    let toolchain = Toolchain { rustc, linker };
    cache.scratch("proof", |scratch| toolchain.prove(scratch))?;
    Ok(toolchain)
}
