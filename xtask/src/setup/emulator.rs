//! The emulator of the kernel matrix: the machine's own, or Debian's, unpacked in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::debian::{self, Archive, Host};
use super::tools::write_script;
use crate::cache::{Cache, remove};
use crate::process::{capture, find_program, note, step};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// The name of the cached tree.
const CACHED: &str = "emulator";
/// Where an unpacked emulator finds its firmware.
const DATA: [&str; 2] = ["root/usr/share/qemu", "root/usr/share/seabios"];

/// An emulator that starts.
#[derive(Debug)]
pub(crate) struct Emulator {
    program: PathBuf,
    /// Directories with firmware, when it would not find them by itself.
    data: Vec<PathBuf>,
}

impl Emulator {
    pub(super) fn find_or_fetch(cache: &Cache) -> Result<Self> {
        if let Some(program) = find_program(PROGRAM) {
            return Ok(Self { program, data: Vec::new() });
        }
        if let Some(directory) = cache.installed(CACHED) {
            return Ok(Self::unpacked(&directory));
        }
        step("setup: looking for an emulator");
        let _lock = cache.lock()?;
        // Whoever held the lock may have done the work.
        if let Some(directory) = cache.installed(CACHED) {
            return Ok(Self::unpacked(&directory));
        }
        let fetched = cache.scratch("apt", |scratch| {
            let archive = Archive::open(scratch, Host::This)?;
            note(&format!("fetching {PACKAGE} (about 20 MB), once"));
            cache.install(CACHED, |growing| fill(&archive, growing))
        });
        Ok(Self::unpacked(&fetched.context("an emulator")?))
    }

    fn unpacked(directory: &Path) -> Self {
        let data = DATA.into_iter().map(|place| directory.join(place)).collect();
        Self { program: directory.join("bin").join(PROGRAM), data }
    }

    /// A call that can be added to.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        for directory in &self.data {
            command.arg("-L").arg(directory);
        }
        command
    }
}

fn fill(archive: &Archive, directory: &Path) -> Result<()> {
    let root = directory.join("root");
    archive.unpack(&[PACKAGE], &root)?;
    for heavy in ["doc", "icons", "locale", "man"] {
        remove(&root.join("usr/share").join(heavy))?;
    }
    let bin = directory.join("bin");
    fs::create_dir(&bin).with_context(|| format!("cannot create {}", bin.display()))?;
    write_script(&bin, PROGRAM, &root, &debian::unpacked_program(&root, PROGRAM)?)?;
    // Asked before it gets its name: one that does not start must not be found by a later run.
    capture(Emulator::unpacked(directory).command().arg("--version")).map(drop)
}
