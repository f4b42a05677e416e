//! Programs that trials call in a virtual machine, with every library, from packages of this machine's own release.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::debian::{self, Archive, Host};
use crate::cache::{Cache, remove};
use crate::process::{capture, note, step};

/// The packages. The shell and its programs are one file without libraries.
const PACKAGES: [&str; 10] = [
    "busybox-static",
    "iproute2",
    "nftables",
    "util-linux",
    "nginx",
    "haproxy",
    "curl",
    "hping3",
    "openssl",
    "python3",
];
/// What is called of them.
const PROGRAMS: [&str; 11] =
    [BUSYBOX, "ip", "nft", "ss", "unshare", "nginx", "haproxy", "curl", "hping3", "openssl", PYTHON];
/// The one file that is many programs.
pub(crate) const BUSYBOX: &str = "busybox";
/// The interpreter.
const PYTHON: &str = "python3";
/// The name of the cached tree; another for other packages.
const CACHED: &str = "guest-lab";
/// Of Python's library, what no script of ours imports, and is large.
const NOT_IMPORTED: [&str; 5] = ["ensurepip", "idlelib", "lib2to3", "pydoc_data", "test"];

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
            note(&format!("fetching {} (about 60 MB), once", PACKAGES.join(", ")));
            cache.install(CACHED, |growing| {
                let root = growing.join("root");
                archive.unpack(&PACKAGES, &root)?;
                remove(&root.join("usr/share"))?;
                let guest = Self { root };
                guest.compile_python()?;
                // Asked before it gets its name: a tree that lacks something must not be found by a later run.
                guest.files().map(drop)
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
        let python = self.python()?;
        let mut files: BTreeSet<PathBuf> = programs.iter().cloned().chain([self.loader()?]).collect();
        add_files(&python, &mut files)?;
        let extensions = files.iter().filter(|path| path.extension().is_some_and(|end| end == "so"));
        let linked: Vec<_> =
            programs.iter().filter(|path| !path.ends_with(BUSYBOX)).chain(extensions).cloned().collect();
        for program in linked {
            // The tree's own loader says which libraries of the tree it would take.
            let list = capture(self.load()?.arg("--list").arg(program))?;
            let found = list.lines().filter_map(|line| line.split_once("=> ")?.1.split(" (").next());
            files.extend(found.map(PathBuf::from));
        }
        let inside =
            |path: &PathBuf| Ok(path.strip_prefix(&self.root).with_context(|| outside(path))?.to_owned());
        files.iter().map(inside).collect()
    }

    /// The directory of Python's library.
    fn python(&self) -> Result<PathBuf> {
        let libraries = self.root.join("usr/lib");
        let entries =
            fs::read_dir(&libraries).with_context(|| format!("cannot read {}", libraries.display()))?;
        let found = entries.filter_map(|entry| Some(entry.ok()?.path()));
        found
            .filter(|path| path.join("os.py").is_file())
            .max()
            .with_context(|| format!("no library of Python in {}", libraries.display()))
    }

    /// Compiles Python's library here and once: an emulated processor takes seconds for what a script imports. Debian does it at
    /// installation. Not by the files' times, which an archive does not keep.
    fn compile_python(&self) -> Result<()> {
        let python = self.python()?;
        for name in NOT_IMPORTED {
            remove(&python.join(name))?;
        }
        let interpreter = debian::unpacked_program(&self.root, PYTHON)?;
        let mut compile = self.load()?;
        compile.arg(interpreter).env("PYTHONHOME", self.root.join("usr"));
        compile.args(["-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]);
        // Paths in messages of errors are those of the machine.
        compile.arg("-s").arg(&self.root).args(["-p", "/"]).arg(&python);
        capture(&mut compile).map(drop)
    }

    /// Calls something with the tree's own loader and libraries.
    fn load(&self) -> Result<Command> {
        let mut command = Command::new(self.loader()?);
        let libraries = std::env::join_paths(debian::library_directories(&self.root))?;
        command.arg("--inhibit-cache").arg("--library-path").arg(libraries);
        Ok(command)
    }

    fn loader(&self) -> Result<PathBuf> {
        let loader = self.root.join("lib64/ld-linux-x86-64.so.2");
        if !loader.is_file() {
            bail!("no {} among the packages", loader.display());
        }
        Ok(loader)
    }
}

/// Every file below a directory. What is only linked to is elsewhere.
fn add_files(directory: &Path, files: &mut BTreeSet<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            add_files(&entry.path(), files)?;
        } else if entry.file_type()?.is_file() {
            files.insert(entry.path());
        }
    }
    Ok(())
}

fn outside(path: &Path) -> String {
    format!("{} is not among the packages", path.display())
}
