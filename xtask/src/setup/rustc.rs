//! The compilers that could build the kernel programs, best first, and what each says about itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::debian::{self, Archive, Host};
use crate::bpf::TARGET;
use crate::cache::Cache;
use crate::process::{capture, find_program, note, prefixed};
use crate::workspace;

/// Debian's compiler with a prebuilt `core` for BPF. Tested with 1.96.0 (Debian 12 security, LLVM 22); archives keep
/// only the newest version, so that one is taken.
const PACKAGES: [&str; 3] = ["rustc-web", "libstd-rust-web-dev", "libstd-rust-web-dev-bpf"];
/// The oldest compiler that the workspace's manifest accepts.
const OLDEST: &str = env!("CARGO_PKG_RUST_VERSION");
/// What cached compilers are called, before their version.
const CACHED: &str = "toolchain-";

/// A compiler that can compile for BPF, given a linker.
#[derive(Debug)]
pub(crate) struct Rustc {
    /// The compiler itself, not a proxy that picks one.
    pub(crate) path: PathBuf,
    /// The cargo that goes with it.
    pub(crate) cargo: PathBuf,
    /// Where the shared libraries of compiler and LLVM lie.
    pub(crate) libraries: Vec<PathBuf>,
    /// LLVM's major version; the linker's must not be older.
    pub(crate) llvm: u32,
    /// `core` is not prebuilt for the target and has to be built from source.
    pub(crate) build_core: bool,
    /// For people: which compiler this is and where it came from.
    pub(crate) origin: String,
    /// From our cache, so the linker must be ours too.
    pub(crate) ours: bool,
}

/// The compilers at hand without any download, best first; an error says why a way does not work here.
pub(super) fn at_hand(cache: &Cache) -> Result<Vec<Result<Rustc>>> {
    const CHOSEN: &str = "RESET_MONITOR_BPF_RUSTC";
    if let Some(path) = env::var_os(CHOSEN) {
        // Whoever names a compiler wants that one or an error.
        return Ok(vec![Ok(plain(CHOSEN, Path::new(&path)).context(CHOSEN)?)]);
    }
    Ok(vec![
        cached(cache),
        rustup_nightly().context("a nightly from rustup with rust-src"),
        find_program("rustc").context("no rustc on PATH").and_then(|path| plain("on PATH", &path)),
        plain("the system's", Path::new("/usr/bin/rustc")).context("a rustc of the system"),
    ])
}

fn cached(cache: &Cache) -> Result<Rustc> {
    let directory = cache.newest(CACHED).context("no compiler in the cache yet")?;
    unpacked(&directory.join("root"))
}

fn unpacked(root: &Path) -> Result<Rustc> {
    let path = debian::unpacked_program(root, "rustc")?;
    let rustc = Rustc {
        ours: true,
        ..ask(
            "Debian packages in the cache",
            &path,
            workspace::cargo_program(),
            debian::library_directories(root),
        )?
    };
    ensure!(!rustc.build_core, "{} has no core for {TARGET}", path.display());
    Ok(rustc)
}

fn rustup_nightly() -> Result<Rustc> {
    let rustup = find_program("rustup").context("no rustup here")?;
    let which = |program| -> Result<PathBuf> {
        let path = capture(Command::new(&rustup).args(["which", "--toolchain", "nightly", program]))
            .map_err(|_said| anyhow::anyhow!("no nightly is installed"))?;
        Ok(path.trim().into())
    };
    let path = which("rustc")?;
    let libraries = vec![sysroot(&path, &[])?.join("lib")];
    ask("rustup's nightly", &path, which("cargo")?, libraries)
}

/// A compiler with its `core` prebuilt or in source form, whatever its channel: bootstrap mode opens what is needed.
fn plain(origin: &str, path: &Path) -> Result<Rustc> {
    ensure!(path.is_file(), "no {}", path.display());
    let sysroot = sysroot(path, &[])?;
    // Past the proxy of rustup, which would choose again.
    let real = Some(sysroot.join("bin/rustc")).filter(|real| real.is_file());
    ask(origin, real.as_deref().unwrap_or(path), workspace::cargo_program(), vec![sysroot.join("lib")])
}

/// Fetches Debian's compiler into the cache.
pub(super) fn fetch(cache: &Cache) -> Result<Rustc> {
    let fetched = cache.scratch("apt", |scratch| {
        let archive = Archive::open(scratch, Host::This)?;
        let version = archive.candidate(PACKAGES[0])?;
        let version =
            version.with_context(|| format!("the archive of this machine offers no {}", PACKAGES[0]))?;
        ensure!(
            numbers(&version) >= numbers(OLDEST),
            "{} is {version} here; {OLDEST} or newer is needed",
            PACKAGES[0]
        );
        note(&format!("fetching {} {version} (about 120 MB), once", PACKAGES.join(", ")));
        let name = version.replace(|c: char| !c.is_ascii_alphanumeric() && c != '.', "-");
        cache.install(&format!("{CACHED}{name}"), |growing| {
            archive.unpack(&PACKAGES, &growing.join("root"))?;
            // Asked before it gets its name: a compiler that does not start must not be found by a later run.
            unpacked(&growing.join("root")).map(drop)
        })
    })?;
    unpacked(&fetched.join("root"))
}

fn ask(origin: &str, path: &Path, cargo: PathBuf, libraries: Vec<PathBuf>) -> Result<Rustc> {
    let said = capture(compiler(path, &libraries)?.arg("-vV"))?;
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let release = field("release:").with_context(|| format!("{} tells no release", path.display()))?;
    let llvm = field("LLVM version:").with_context(|| format!("{} tells no LLVM version", path.display()))?;
    ensure!(
        numbers(release) >= numbers(OLDEST),
        "{} is {release}; {OLDEST} or newer is needed",
        path.display()
    );
    let sysroot = sysroot(path, &libraries)?.join("lib/rustlib");
    let prebuilt = sysroot.join(TARGET).join("lib").is_dir();
    let source = sysroot.join("src/rust/library/core").is_dir();
    ensure!(prebuilt || source, "{} {release} has neither a core for {TARGET} nor rust-src", path.display());
    Ok(Rustc {
        path: path.to_path_buf(),
        cargo,
        llvm: *numbers(llvm).first().with_context(|| format!("LLVM version {llvm}"))?,
        build_core: !prebuilt,
        origin: format!("rustc {release} ({origin})"),
        libraries,
        ours: false,
    })
}

fn compiler(path: &Path, libraries: &[PathBuf]) -> Result<Command> {
    let mut command = Command::new(path);
    command.env("LD_LIBRARY_PATH", prefixed("LD_LIBRARY_PATH", libraries)?);
    Ok(command)
}

fn sysroot(path: &Path, libraries: &[PathBuf]) -> Result<PathBuf> {
    let sysroot = capture(compiler(path, libraries)?.args(["--print", "sysroot"]))?;
    Ok(sysroot.trim().into())
}

/// The leading numbers of a version, for comparison.
fn numbers(version: &str) -> Vec<u32> {
    let start = version.split(['+', '-', '~']).next().unwrap_or_default();
    start.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_their_numbers() {
        assert_eq!(numbers("1.96.0+dfsg1-1~deb12u2"), [1, 96, 0]);
        assert_eq!(numbers("1.97.0-nightly"), [1, 97, 0]);
        assert!(numbers("1.100.0") > numbers("1.95"));
        assert!(numbers("1.85.0") < numbers("1.95"));
        assert!(numbers("none").is_empty());
    }
}
