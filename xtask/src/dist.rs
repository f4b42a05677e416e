//! `dist`: what is handed out: one static binary, an image with nothing but it and certificates, and what both consist of.
//!
//! The same commit, compiler and certificates make the same bytes, in whichever directory: paths are cut from the binary, and archives
//! have the commit's time, no owner and one order. So whoever doubts a binary builds it, and compares `SHA256SUMS`.

mod image;
mod sbom;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use self::image::{About, Image};
use crate::bpf::Programs;
use crate::build::kernel_programs;
use crate::cache::remove;
use crate::process::{capture, note, run as run_process, step};
use crate::workspace::{self, OBJECT_VARIABLE};

/// Named in full, so that flags for the daemon are not applied to build scripts.
const TARGET: &str = "x86_64-unknown-linux-gnu";
/// What else is built in: the image is for clusters.
const FEATURES: &str = "monitor/kubernetes";
/// Below the build output.
const DIRECTORY: &str = "dist";
/// Whom the daemon believes when it tells an Alertmanager or a receiver of OTLP.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// The command.
pub(crate) fn run() -> Result<()> {
    let directory = workspace::target().join(DIRECTORY);
    remove(&directory)?;
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let about = About::of_commit()?;
    let name = |end: &str| directory.join(format!("reset-monitor-{}-x86_64-linux{end}", about.version));

    let binary = name("");
    fs::copy(static_daemon()?, &binary).with_context(|| format!("cannot write {}", binary.display()))?;
    needs_no_library(&binary)?;

    step("writing down what is in it");
    let bill = name(".cdx.json");
    fs::write(&bill, sbom::of(&about, &metadata()?)?)
        .with_context(|| format!("cannot write {}", bill.display()))?;

    step("making the image");
    let archive = name(".oci.tar");
    let certificates = Path::new(CERTIFICATES);
    ensure!(certificates.is_file(), "{CERTIFICATES} is not here; on Debian: apt-get install ca-certificates");
    let digest = Image { daemon: &binary, certificates, about: &about }.write(&archive)?;

    let files = [binary, bill, archive];
    let names = files.iter().filter_map(|file| file.file_name());
    let sums = capture(Command::new("sha256sum").args(names).current_dir(&directory))?;
    fs::write(directory.join("SHA256SUMS"), &sums).context("cannot write SHA256SUMS")?;
    for file in &files {
        let size = fs::metadata(file).with_context(|| format!("cannot read {}", file.display()))?.len();
        note(&format!("{:>9} bytes  {}", size, file.display()));
    }
    note(&format!("the image is {digest}"));
    Ok(())
}

/// Builds the daemon without libraries and without the paths of this machine.
fn static_daemon() -> Result<PathBuf> {
    let object = kernel_programs(Programs::Release)?;
    step("building the static daemon");
    let mut cargo = workspace::cargo("build");
    cargo.args(["--package", "monitor", "--features", FEATURES, "--release", "--locked", "--target", TARGET]);
    cargo.env(OBJECT_VARIABLE, object);
    // The encoded form outranks flags of the environment.
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\u{1f}")).env_remove("RUSTFLAGS");
    cargo.env("CARGO_PROFILE_RELEASE_STRIP", "symbols").env("CARGO_INCREMENTAL", "0");
    run_process(&mut cargo)?;
    Ok(workspace::target().join(TARGET).join("release/reset-monitor"))
}

fn flags() -> Result<Vec<String>> {
    let remapped = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let toolchain = capture(Command::new("rustc").args(["--print", "sysroot"]))?;
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")));
    Ok(vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        remapped(Path::new(toolchain.trim()), "/rust"),
        remapped(&home.context("neither CARGO_HOME nor HOME is set")?, "/cargo"),
        remapped(&workspace::root(), "/reset-monitor"),
    ])
}

/// A binary that asks for an interpreter would need this machine's C library.
fn needs_no_library(binary: &Path) -> Result<()> {
    let headers = capture(Command::new("readelf").args(["--program-headers", "--dynamic"]).arg(binary))?;
    for needed in ["INTERP", "(NEEDED)"] {
        ensure!(!headers.contains(needed), "{} is not static: it has {needed}", binary.display());
    }
    Ok(())
}

/// What cargo says of the packages that the daemon is made of.
fn metadata() -> Result<String> {
    let mut cargo = Command::new(workspace::cargo_program());
    cargo.args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--features",
        FEATURES,
        "--filter-platform",
        TARGET,
    ]);
    capture(cargo.current_dir(workspace::root()))
}
