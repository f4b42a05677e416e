//! Programs that trials call in a virtual machine, with every library, from packages of this machine's own release.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian::{self, Archive, Host};
use crate::cache::{Cache, remove};
use crate::process::{capture, note, step};

/// The packages. The shell and its programs are one file without libraries.
const PACKAGES: [&str; 3] = ["busybox-static", "iproute2", "nftables"];
/// What is called of them.
const PROGRAMS: [&str; 4] = [BUSYBOX, "ip", "nft", "ss"];
/// The one file that is many programs.
pub(crate) const BUSYBOX: &str = "busybox";
/// The name of the cached tree.
const CACHED: &str = "guest";

/// A tree with the programs.
#[derive(Debug)]
pub(crate) struct Guest {
    root: PathBuf,
}

impl Guest {
    pub(super) fn find_or_fetch(cache: &Cache) -> Result<Self> {
        let at = |directory: PathBuf| Self { root: directory.join("root") };
        if let Some(directory) = cache.installed(CACHED) {
            return Ok(at(directory));
        }
        step("setup: looking for the programs of virtual machines");
        let _lock = cache.lock()?;
        // Whoever held the lock may have done the work.
        if let Some(directory) = cache.installed(CACHED) {
            return Ok(at(directory));
        }
        let fetched = cache.scratch("apt", |scratch| {
            let archive = Archive::open(scratch, Host::Bare)?;
            note(&format!("fetching {} (about 10 MB), once", PACKAGES.join(", ")));
            cache.install(CACHED, |growing| {
                let root = growing.join("root");
                archive.unpack(&PACKAGES, &root)?;
                remove(&root.join("usr/share"))?;
                // Asked before it gets its name: a tree that lacks something must not be found by a later run.
                Self { root }.files().map(drop)
            })
        });
        Ok(at(fetched.context("programs for virtual machines")?))
    }

    /// The directory that is the root of their paths.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The programs and every library they load, by their paths under the root.
    pub(crate) fn files(&self) -> Result<BTreeSet<PathBuf>> {
        let programs = PROGRAMS
            .map(|name| debian::unpacked_program(&self.root, name))
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let loader = self.loader()?;
        let libraries = std::env::join_paths(debian::library_directories(&self.root))?;
        let mut files: BTreeSet<PathBuf> = programs.iter().cloned().chain([loader.clone()]).collect();
        for program in programs.iter().filter(|path| !path.ends_with(BUSYBOX)) {
            // The tree's own loader says which libraries of the tree it would take.
            let mut list = Command::new(&loader);
            list.arg("--inhibit-cache").arg("--library-path").arg(&libraries).arg("--list").arg(program);
            let list = capture(&mut list)?;
            let found = list.lines().filter_map(|line| line.split_once("=> ")?.1.split(" (").next());
            files.extend(found.map(PathBuf::from));
        }
        let inside =
            |path: &PathBuf| Ok(path.strip_prefix(&self.root).with_context(|| outside(path))?.to_owned());
        files.iter().map(inside).collect()
    }

    fn loader(&self) -> Result<PathBuf> {
        let loader = self.root.join("lib64/ld-linux-x86-64.so.2");
        if !loader.is_file() {
            bail!("no {} among the packages", loader.display());
        }
        Ok(loader)
    }
}

fn outside(path: &Path) -> String {
    format!("{} is not among the packages", path.display())
}
