//! Tools that `bench` compares the daemon with, from the machine or from Debian packages unpacked in the cache.
//!
//! Nothing depends on them: one that cannot be had is left out, and the report says so.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian::{self, Archive, Host};
use super::tools::write_script;
use crate::cache::{Cache, remove};
use crate::process::{find_program, note, step};

/// Programs by package.
const PACKAGES: [(&str, &[&str]); 3] =
    [("bpftrace", &["bpftrace"]), ("tcpdump", &["tcpdump"]), ("libbpf-tools", &["tcplife", "tcpstates"])];

/// Puts those from the cache on the child's PATH, after fetching what is neither there nor on the machine.
pub(super) fn lend(cache: &Cache, command: &mut Command) -> Result<()> {
    let missing = |cache: &Cache| {
        let absent = |(package, programs): &(&'static str, &[&str])| {
            programs.iter().any(|program| find_program(program).is_none())
                && cache.installed(&name(package)).is_none()
        };
        PACKAGES.into_iter().filter(absent).collect::<Vec<_>>()
    };
    if !missing(cache).is_empty() {
        step("setup: looking for the tools to compare with");
        let _lock = cache.lock()?;
        // Whoever held the lock may have done the work.
        if let Err(error) = fetch(cache, &missing(cache)) {
            note(&format!("not fetched: {error:#}"));
        }
    }
    let ours = PACKAGES.iter().filter_map(|(package, _)| Some(cache.installed(&name(package))?.join("bin")));
    let inherited = env::var_os("PATH").unwrap_or_default();
    let path: Vec<PathBuf> = ours.chain(env::split_paths(&inherited)).collect();
    command.env("PATH", env::join_paths(path).context("cannot extend PATH")?);
    Ok(())
}

fn name(package: &str) -> String {
    format!("compared-{package}")
}

fn fetch(cache: &Cache, missing: &[(&'static str, &[&str])]) -> Result<()> {
    cache.scratch("apt", |scratch| {
        let archive = Archive::open(scratch, Host::This)?;
        for (package, programs) in missing {
            note(&format!("fetching {package}, once"));
            let fetched = cache.install(&name(package), |growing| fill(&archive, package, programs, growing));
            if let Err(error) = fetched {
                note(&format!("no {package}: {error:#}"));
            }
        }
        Ok(())
    })
}

fn fill(archive: &Archive, package: &str, programs: &[&str], directory: &Path) -> Result<()> {
    let root = directory.join("root");
    archive.unpack(&[package], &root)?;
    remove(&root.join("usr/share"))?;
    let bin = directory.join("bin");
    std::fs::create_dir(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    for program in programs {
        write_script(&bin, program, &root, &debian::unpacked_program(&root, program)?)?;
    }
    Ok(())
}
