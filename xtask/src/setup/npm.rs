//! Packages from npm for tests: as a lock file of the repository names them, with its checksums, into a tree of the cache.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::{capture, find_program, retry};
use crate::workspace;

/// What of a tree is ours, beside `node_modules`.
const LOCKED: [&str; 2] = ["package.json", "package-lock.json"];

/// Whether the tree is what this directory of the repository names. Another version of a package is another tree.
pub(super) fn is_as_locked(tree: &Path, directory: &str) -> Result<bool> {
    for name in LOCKED {
        let path = workspace::root().join(directory).join(name);
        let ours = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        if fs::read(tree.join(name)).ok().as_ref() != Some(&ours) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Fails without the programs that fetch and run packages.
pub(super) fn ensure_programs() -> Result<()> {
    for program in ["node", "npm"] {
        ensure!(find_program(program).is_some(), "no {program} here; on Debian: apt-get install nodejs npm");
    }
    Ok(())
}

/// Fetches them.
pub(super) fn fill(tree: &Path, directory: &str) -> Result<()> {
    for name in LOCKED {
        let path = workspace::root().join(directory).join(name);
        fs::copy(&path, tree.join(name)).with_context(|| format!("cannot copy {}", path.display()))?;
    }
    // No scripts of packages are run, and nothing but what the lock file has a checksum of is taken.
    let options = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
    retry("fetching packages from npm", || {
        capture(Command::new("npm").args(options).current_dir(tree)).map(drop)
    })
}
