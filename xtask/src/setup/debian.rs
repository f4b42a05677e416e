//! Debian packages without installing them: apt resolves and downloads, dpkg-deb unpacks into our cache.
//!
//! apt works on lists and a download directory of ours, so neither root nor any change to the system is
//! needed. What the system lacks for a package comes along; what it has is used from the system.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::process::{capture, find_program, note, retry};

/// Read by apt after its own configuration.
///
/// The hooks of the system's apt are for the system's lists and want root. Sandbox: as root, apt would download
/// as a user that cannot write to our cache; other users have no such change of user anyway.
const CONFIGURATION: &str = r#"
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear Acquire::Languages;
Acquire::Languages "none";
Acquire::Retries "3";
APT::Get::AllowUnauthenticated "false";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
APT::Update::Error-Mode "any";
Debug::NoLocking "true";
Dpkg::Use-Pty "false";
"#;

/// Part of any machine that could run the result, and never to be shadowed by another copy.
const NEVER_UNPACKED: [&str; 3] = ["libc6_", "libc-bin_", "libgcc-s1_"];

/// The archive as this machine's apt sources describe it, with lists of our own.
#[derive(Debug)]
pub(super) struct Archive {
    directory: PathBuf,
}

impl Archive {
    /// Downloads the package lists into a directory that the caller removes afterwards.
    pub(super) fn open(directory: &Path) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            ensure!(find_program(program).is_some(), "no {program} here");
        }
        fs::create_dir_all(directory.join("lists/partial"))?;
        fs::create_dir_all(directory.join("archives/partial"))?;
        fs::write(directory.join("apt.conf"), CONFIGURATION)?;
        let archive = Self { directory: directory.to_path_buf() };
        let updated =
            retry("fetching package lists", || capture(archive.apt("apt-get").args(["update", "-qq"])));
        if let Err(error) = updated {
            // Often some other source of the machine is broken. Whether ours was fetched shows in what it offers.
            note(&format!("package lists may be incomplete: {error:#}"));
        }
        Ok(archive)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("-c").arg(self.directory.join("apt.conf"));
        command.arg("-o").arg(format!("Dir::State::lists={}", self.directory.join("lists").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", self.directory.display()));
        command
    }

    /// The version that an installation would choose now.
    pub(super) fn candidate(&self, package: &str) -> Result<Option<String>> {
        Ok(parse_candidate(&capture(self.apt("apt-cache").args(["policy", package]))?))
    }

    /// Downloads packages with whatever the system lacks for them, and unpacks them under `root`.
    pub(super) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        retry("fetching packages", || {
            // Reinstall: a package that the system has must still be downloaded, or `root` would lack it.
            let options = ["install", "--download-only", "--reinstall", "--yes", "--quiet"];
            capture(self.apt("apt-get").args(options).args(packages))
        })?;
        fs::create_dir_all(root)?;
        let archives = self.directory.join("archives");
        for entry in fs::read_dir(&archives).with_context(|| format!("cannot read {}", archives.display()))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "deb") {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !NEVER_UNPACKED.iter().any(|prefix| name.starts_with(prefix)) {
                capture(Command::new("dpkg-deb").arg("--extract").arg(&path).arg(root))?;
            }
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}

fn parse_candidate(policy: &str) -> Option<String> {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"))?.trim();
    (candidate != "(none)").then(|| candidate.to_owned())
}

/// Directories with shared libraries in an unpacked tree: only those of the machine's own architecture are there.
pub(super) fn library_directories(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for parent in ["usr/lib", "lib"] {
        let Ok(entries) = fs::read_dir(root.join(parent)) else { continue };
        let multiarch = |path: &PathBuf| path.to_string_lossy().contains("-linux-gnu") && path.is_dir();
        found.extend(entries.filter_map(|entry| Some(entry.ok()?.path())).filter(multiarch));
    }
    found.sort();
    found
}

/// The program of that name in an unpacked tree.
pub(super) fn unpacked_program(root: &Path, name: &str) -> Result<PathBuf> {
    let places = ["usr/bin", "bin", "usr/sbin", "sbin"].map(|place| root.join(place).join(name));
    match places.into_iter().find(|path| path.is_file()) {
        Some(path) => Ok(path),
        None => bail!("no program {name} in the packages unpacked in {}", root.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidate_is_read_from_apts_answer() {
        let policy = "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1\n  Version table:\n";
        assert_eq!(parse_candidate(policy).as_deref(), Some("1.96.0+dfsg1-1"));
        assert_eq!(parse_candidate("x:\n  Installed: (none)\n  Candidate: (none)\n"), None);
        assert_eq!(parse_candidate(""), None);
    }
}
