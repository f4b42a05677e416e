//! The BPF toolchain and how the kernel programs are compiled with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::process::{capture, prefixed, run};
use crate::setup::Rustc;
use crate::workspace;

/// Little-endian BPF. Big-endian hosts are not supported.
pub(crate) const TARGET: &str = "bpfel-unknown-none";
/// The package of the kernel programs.
const PACKAGE: &str = "monitor-ebpf";
/// The feature, of the kernel programs and of the daemon, for debug lines.
pub(crate) const DEBUG_LOG: &str = "debug-log";
/// What an object with debug lines has in its symbols, and a release never.
const DEBUG_SYMBOL: &[u8] = b"AYA_LOG";
/// Line information for the verifier's log, and types for the kernel's BTF checks.
const FLAGS: [&str; 3] = ["-Cdebuginfo=2", "-Clink-arg=--btf", "-Cpanic=abort"];

/// The smallest program that needs everything: `core`, code generation and the linker.
const PROOF: &str = r#"
#![no_std]
#![no_main]
#[unsafe(no_mangle)]
#[unsafe(link_section = "socket")]
pub extern "C" fn proof(context: *const u8) -> u32 {
    u32::from(context.is_null())
}
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
"#;

/// Which kernel programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Programs {
    /// As they are shipped.
    Release,
    /// With debug lines.
    DebugLog,
}

/// A compiler and a linker that work together.
#[derive(Debug)]
pub(crate) struct Toolchain {
    /// The compiler.
    pub(crate) rustc: Rustc,
    /// bpf-linker.
    pub(crate) linker: PathBuf,
}

impl Toolchain {
    /// For people.
    pub(crate) fn name(&self) -> String {
        format!("{} with {}", self.rustc.origin, self.linker.display())
    }

    /// Builds the kernel programs and returns the object file's absolute path.
    pub(crate) fn build(&self, programs: Programs) -> Result<PathBuf> {
        let directory = programs.directory();
        run(&mut self.cargo("build", programs, &directory)?)?;
        let object = directory.join(TARGET).join("release").join(PACKAGE);
        let bytes = fs::read(&object).with_context(|| format!("cargo built no {}", object.display()))?;
        let has_lines = bytes.windows(DEBUG_SYMBOL.len()).any(|window| window == DEBUG_SYMBOL);
        ensure!(
            has_lines == (programs == Programs::DebugLog),
            "{}: debug lines belong into a build with `--debug-log`, and into no other",
            object.display()
        );
        Ok(object)
    }

    /// Builds the kernel programs with warnings as errors, beside the normal build.
    pub(crate) fn deny_warnings(&self, programs: Programs) -> Result<()> {
        // What both kinds depend on is compiled once. The objects are thrown away.
        let directory = Programs::Release.directory();
        // `cargo rustc` hands flags to this one crate; RUSTFLAGS would rebuild all its dependencies.
        run(self.cargo("rustc", programs, &directory)?.args(["--bin", PACKAGE, "--", "-Dwarnings"]))
    }

    fn cargo(&self, subcommand: &str, programs: Programs, directory: &Path) -> Result<Command> {
        let mut command = Command::new(&self.rustc.cargo);
        command.current_dir(workspace::root()).arg(subcommand);
        // Always optimised: the verifier refuses what an unoptimised build makes of the same source.
        command.args(["--package", PACKAGE, "--release", "--target", TARGET]);
        if programs == Programs::DebugLog {
            command.args(["--features", DEBUG_LOG]);
        }
        command.arg("--target-dir").arg(directory);
        if self.rustc.build_core {
            command.args(["-Z", "build-std=core"]);
        }
        let linker = format!("-Clinker={}", self.linker.display());
        let flags = FLAGS.into_iter().chain([linker.as_str()]).collect::<Vec<_>>().join("\u{1f}");
        self.environment(&mut command)?;
        // Bitcode is optimised as a whole by bpf-linker, once; rustc need not do it before.
        command.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "1");
        // The encoded form outranks flags from someone's environment or configuration, which are for the host.
        command.env("CARGO_ENCODED_RUSTFLAGS", flags).env_remove("RUSTFLAGS");
        Ok(command)
    }

    fn environment(&self, command: &mut Command) -> Result<()> {
        // Bootstrap mode: the BPF target and its intrinsics are unstable on every channel.
        command.env("RUSTC", &self.rustc.path).env("RUSTC_BOOTSTRAP", "1");
        command.env("LD_LIBRARY_PATH", prefixed("LD_LIBRARY_PATH", &self.rustc.libraries)?);
        command.env_remove("RUSTC_WRAPPER").env_remove("RUSTC_WORKSPACE_WRAPPER");
        Ok(())
    }

    /// Compiles and links a tiny program, so that a pair that does not fit is found here and not in a build.
    pub(crate) fn prove(&self, scratch: &Path) -> Result<()> {
        if self.rustc.build_core {
            // Needs a minute of compiling `core`; the build itself will tell.
            return Ok(());
        }
        let source = scratch.join("proof.rs");
        fs::write(&source, PROOF).with_context(|| format!("cannot write {}", source.display()))?;
        let mut command = Command::new(&self.rustc.path);
        self.environment(&mut command)?;
        command.args(["--edition=2024", "--target", TARGET, "-Copt-level=2"]).args(FLAGS);
        command.arg(format!("-Clinker={}", self.linker.display()));
        command.arg("-o").arg(scratch.join("proof")).arg(&source);
        capture(&mut command).map(drop)
    }
}

impl Programs {
    /// A directory of its own: another compiler, or other features, in a shared one would make each build undo the other's.
    fn directory(self) -> PathBuf {
        workspace::target().join(match self {
            Self::Release => "bpf",
            Self::DebugLog => "bpf-debug-log",
        })
    }
}
