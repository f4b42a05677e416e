//! The emulator of the kernel matrix: the machine's own, or Debian's, unpacked in the cache.
//!
//! Older ones let one processor write to code while another one's is translated from it, so that an instruction that is gone is
//! carried out: a kernel that writes over its own code, as all do when a static key changes, then dies of a breakpoint that is
//! not there. QEMU 8.1 ended that ("accel/tcg: Always lock pages before translation", commit deba78709ae8).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::debian::{self, Archive, Host, Mirror, Suite};
use super::tools::write_script;
use crate::cache::{Cache, remove};
use crate::process::{capture, find_program, note, step};

const PROGRAM: &str = "qemu-system-x86_64";
const PACKAGE: &str = "qemu-system-x86";
/// The first release of QEMU that locks what it translates.
const OLDEST: [u32; 2] = [8, 1];
/// Where Debian 12 has one; its own is QEMU 7.2.
const BACKPORTS: &str = "bookworm-backports";
const SUITES: [Suite; 3] = [
    Suite { mirror: Mirror::Main, name: "bookworm" },
    Suite { mirror: Mirror::Security, name: "bookworm-security" },
    Suite { mirror: Mirror::Main, name: BACKPORTS },
];
/// The name of the cached tree; another one for another oldest release.
const CACHED: &str = "emulator-8.1";
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
            let installed = Self { program, data: Vec::new() };
            if is_new_enough(&installed.version()?) {
                return Ok(installed);
            }
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
            let mut archive = Archive::open(scratch, Host::This)?;
            if !archive.candidate(PACKAGE)?.is_some_and(|version| is_new_enough(&version)) {
                archive = archive.with_suites(&SUITES, Host::This)?.preferring(BACKPORTS);
            }
            note(&format!("fetching {PACKAGE} (about 20 MB), once"));
            cache.install(CACHED, |growing| fill(&archive, growing))
        });
        Ok(Self::unpacked(&fetched.context("an emulator")?))
    }

    fn unpacked(directory: &Path) -> Self {
        let data = DATA.into_iter().map(|place| directory.join(place)).collect();
        Self { program: directory.join("bin").join(PROGRAM), data }
    }

    /// What it says of itself.
    fn version(&self) -> Result<String> {
        capture(self.command().arg("--version"))
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
    let version = Emulator::unpacked(directory).version()?;
    ensure!(is_new_enough(&version), "{} is too old, QEMU 8.1 or newer is needed", version.trim());
    Ok(())
}

/// By what it says of itself, or by a package's version.
fn is_new_enough(version: &str) -> bool {
    let words = version.split_whitespace().map(|word| word.split_once(':').map_or(word, |(_, after)| after));
    let mut numbers = words.filter_map(|word| {
        let mut parts = word.split(|character: char| !character.is_ascii_digit());
        Some([parts.next()?.parse().ok()?, parts.next()?.parse().ok()?])
    });
    numbers.next().is_some_and(|found| found >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn emulators_that_do_not_lock_what_they_translate_are_not_used() {
        for new in [
            "QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2+deb13u1~bpo12+1)\nCopyright (c) 2003-2025\n",
            "QEMU emulator version 8.1.0\n",
            "1:10.0.2+ds-2+deb13u1~bpo12+1",
        ] {
            assert!(is_new_enough(new), "{new}");
        }
        for old in [
            "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\n",
            "QEMU emulator version 8.0.5\n",
            "1:7.2+dfsg-7+deb12u18+b3",
            "none",
            "",
        ] {
            assert!(!is_new_enough(old), "{old}");
        }
    }
}
