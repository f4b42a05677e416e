//! Debian packages without installing them: apt resolves and downloads, dpkg-deb unpacks into our cache.
//!
//! apt works on lists and a download directory of ours, so neither root nor any change to the system is
//! needed. What the system lacks for a package comes along; what it has is used from the system, unless the packages are for
//! a machine that has nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use crate::cache::remove;
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

/// The distribution's keys, of all its suites.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Part of any machine that could run the result, and never to be shadowed by another copy.
const NEVER_UNPACKED: [&str; 3] = ["libc6_", "libc-bin_", "libgcc-s1_"];

/// For whom packages are fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    /// This machine: what it has installed need not come along.
    This,
    /// One that has nothing.
    Bare,
}

/// A suite of the distribution, whichever this machine runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Suite {
    pub(super) mirror: Mirror,
    /// `bookworm-backports`, and so on.
    pub(super) name: &'static str,
}

/// A server directory with suites, by the label that all of them carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mirror {
    /// Releases and their backports.
    Main,
    /// Their security updates.
    Security,
}

/// The archive as this machine's apt sources describe it, or other suites of it, with lists of our own.
#[derive(Debug)]
pub(super) struct Archive {
    directory: PathBuf,
    host: Host,
    /// The list of sources instead of the machine's own.
    sources: Option<PathBuf>,
    /// The suite whose packages are taken where it has any, though an installation would not choose them (backports).
    preferred: Option<&'static str>,
}

impl Archive {
    /// Downloads the package lists into a directory that the caller removes afterwards.
    pub(super) fn open(directory: &Path, host: Host) -> Result<Self> {
        for program in ["apt-get", "apt-cache", "dpkg-deb"] {
            ensure!(find_program(program).is_some(), "no {program} here");
        }
        let archive = Self { directory: directory.to_path_buf(), host, sources: None, preferred: None };
        archive.prepare()?;
        if let Err(error) = archive.update() {
            // Often some other source of the machine is broken. Whether ours was fetched shows in what it offers.
            note(&format!("package lists may be incomplete: {error:#}"));
        }
        Ok(archive)
    }

    /// The same for other suites and perhaps another host, from the servers that this machine's sources name.
    pub(super) fn with_suites(&self, suites: &[Suite], host: Host) -> Result<Self> {
        let format = "$(CREATED_BY) $(LABEL) $(REPO_URI)";
        let targets = capture(self.apt("apt-get").args(["indextargets", "--format", format]))?;
        let mut lines = String::new();
        for Suite { mirror, name } in suites {
            let server = parse_mirror(&targets, *mirror)
                .with_context(|| format!("this machine's apt sources name no server for {name}"))?;
            lines.push_str(&source_line(server, name));
        }
        let directory = self.directory.join("suites");
        remove(&directory)?;
        let sources = directory.join("sources.list");
        let archive = Self { directory, host, sources: Some(sources.clone()), preferred: None };
        archive.prepare()?;
        fs::write(&sources, lines).with_context(|| format!("cannot write {}", sources.display()))?;
        archive.update()?;
        Ok(archive)
    }

    /// The same, with packages of that suite before others.
    pub(super) fn preferring(self, suite: &'static str) -> Self {
        Self { preferred: Some(suite), ..self }
    }

    fn prepare(&self) -> Result<()> {
        for directory in ["lists/partial", "archives/partial", "no-sources"] {
            fs::create_dir_all(self.directory.join(directory))?;
        }
        fs::write(self.directory.join("apt.conf"), CONFIGURATION)?;
        Ok(fs::write(self.directory.join("no-status"), "")?)
    }

    fn update(&self) -> Result<()> {
        retry("fetching package lists", || capture(self.apt("apt-get").args(["update", "-qq"]))).map(drop)
    }

    fn apt(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("LC_ALL", "C").arg("-c").arg(self.directory.join("apt.conf"));
        command.arg("-o").arg(format!("Dir::State::lists={}", self.directory.join("lists").display()));
        command.arg("-o").arg(format!("Dir::Cache={}", self.directory.display()));
        match self.host {
            Host::This => {}
            Host::Bare => {
                let status = self.directory.join("no-status");
                command.arg("-o").arg(format!("Dir::State::status={}", status.display()));
            }
        }
        if let Some(suite) = self.preferred {
            command.arg("-o").arg(format!("APT::Default-Release={suite}"));
        }
        if let Some(sources) = &self.sources {
            let parts = self.directory.join("no-sources");
            command.arg("-o").arg(format!("Dir::Etc::sourcelist={}", sources.display()));
            command.arg("-o").arg(format!("Dir::Etc::sourceparts={}", parts.display()));
        }
        command
    }

    /// The version that an installation would choose now.
    pub(super) fn candidate(&self, package: &str) -> Result<Option<String>> {
        Ok(parse_candidate(&capture(self.apt("apt-cache").args(["policy", package]))?))
    }

    /// Names of packages that begin so.
    pub(super) fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = capture(self.apt("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads just these packages, and unpacks them under `root`.
    pub(super) fn unpack_only(&self, packages: &[String], root: &Path) -> Result<()> {
        let archives = self.directory.join("archives");
        retry("fetching packages", || {
            capture(self.apt("apt-get").args(["download", "--quiet"]).args(packages).current_dir(&archives))
        })?;
        self.unpack_downloaded(root)
    }

    /// Downloads packages with whatever the host lacks for them, and unpacks them under `root`.
    pub(super) fn unpack(&self, packages: &[&str], root: &Path) -> Result<()> {
        retry("fetching packages", || {
            // Reinstall: a package that the system has must still be downloaded, or `root` would lack it.
            let options = ["install", "--download-only", "--reinstall", "--yes", "--quiet"];
            capture(self.apt("apt-get").args(options).args(packages))
        })?;
        self.unpack_downloaded(root)
    }

    fn unpack_downloaded(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root)?;
        let archives = self.directory.join("archives");
        for entry in fs::read_dir(&archives).with_context(|| format!("cannot read {}", archives.display()))? {
            let path = entry?.path();
            if path.extension().is_none_or(|extension| extension != "deb") {
                continue;
            }
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_of_any_machine = NEVER_UNPACKED.iter().any(|prefix| name.starts_with(prefix));
            if self.host == Host::Bare || !is_of_any_machine {
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

/// The server of a mirror, in lines of `CREATED_BY LABEL REPO_URI`. A label may have more words: `Debian Backports`.
fn parse_mirror(targets: &str, mirror: Mirror) -> Option<&str> {
    let label = match mirror {
        Mirror::Main => "Debian",
        Mirror::Security => "Debian-Security",
    };
    targets.lines().find_map(|line| {
        let words: Vec<_> = line.split_whitespace().collect();
        let &["Packages", found, server] = words.as_slice() else { return None };
        (found == label).then_some(server)
    })
}

/// Old suites are no longer renewed, so the date in them does not count; the signature does.
fn source_line(server: &str, suite: &str) -> String {
    format!("deb [target=Packages check-valid-until=no signed-by={KEYRING}] {server} {suite} main\n")
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

    #[test]
    fn mirrors_are_known_by_their_label() {
        let targets = "Packages other https://one.example/\nDEP-11 Debian https://two.example/debian/\n\
            Packages Debian Backports https://three.example/debian/\nPackages Debian https://four.example/debian/\n\
            Packages Debian-Security https://five.example/security/\n";
        assert_eq!(parse_mirror(targets, Mirror::Main), Some("https://four.example/debian/"));
        assert_eq!(parse_mirror(targets, Mirror::Security), Some("https://five.example/security/"));
        assert_eq!(parse_mirror("Packages https://six.example/\n", Mirror::Main), None);
    }
}
