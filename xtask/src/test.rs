//! `test`: every test without privileges in the plain build, then all of them with the kernel programs built in, then the kernel
//! trials on every series of kernels.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _, stdout};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::bpf::Programs;
use crate::build::kernel_programs;
use crate::diagnosis::{self, Case};
use crate::process::{run as run_process, show, step};
use crate::workspace::{self, OBJECT_VARIABLE};
use crate::{kernel_test, setup, workspace::is_root};

/// The feature of `monitor` that builds the tests which load kernel programs.
pub(crate) const KERNEL_TESTS: &str = "kernel-tests";
/// Those that the plain build is without. One build with all of them costs less than one for each, and the plain one shows that nothing
/// needs them.
pub(crate) const OPTIONAL: [&str; 3] = ["kubernetes", "native-histograms", "otlp"];

/// The command. `args` go to every test binary; with any, other kernels are left out.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let tools = setup::tools()?;
    setup::browser()?;
    setup::openapi()?;

    // What a developer gets who has no compiler for BPF: the daemon without its kernel programs.
    let mut unprivileged = test(None, args, &[]);
    tools.lend(&mut unprivileged)?;
    announce("tests without privileges and without kernel programs", &mut unprivileged)?;

    let object = kernel_programs(Programs::Release)?;
    let features = [&[KERNEL_TESTS], OPTIONAL.as_slice()].concat().join(",");
    let options = ["--package", "monitor", "--features", &features];
    let mut privileged = test(Some(object.as_os_str()), args, &options);
    if !is_root()? {
        step(&format!("FAILED: the kernel tests were not run, they need root: {}", show(&privileged)));
        return Ok(ExitCode::FAILURE);
    }
    tools.lend(&mut privileged)?;
    announce("tests against this machine's kernel", &mut privileged)?;
    let passed = if args.is_empty() {
        kernel_test::on_every_series()?
    } else {
        step("other kernels are left out: `cargo xtask kernel-test` takes a part of the trials' names, too");
        true
    };
    step(if passed { "all tests passed" } else { "FAILED: trials on other kernels, see above" });
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The kernel trials on this machine's kernel, and nothing else. Tells whether they passed, and which causes they say were named.
pub(crate) fn local_kernel(args: &[String]) -> Result<(bool, Option<Vec<Case>>)> {
    let tools = setup::tools()?;
    let object = kernel_programs(Programs::Release)?;
    let options = ["--package", "monitor", "--features", KERNEL_TESTS, "--test", "kernel"];
    let mut trials = test(Some(object.as_os_str()), args, &options);
    ensure!(is_root()?, "the kernel trials need root: {}", show(&trials));
    tools.lend(&mut trials)?;
    step("trials on this machine's kernel");
    let shown = show(&trials);
    let started = trials.stdout(Stdio::piped()).spawn();
    let mut child = started.with_context(|| format!("cannot start: {shown}"))?;
    let mut named = None;
    for line in BufReader::new(child.stdout.take().context("no stdout")?).lines() {
        let line = line?;
        match diagnosis::heard(&line) {
            Some(cases) => named = Some(cases),
            None => writeln!(stdout(), "{line}")?,
        }
    }
    Ok((child.wait()?.success(), named))
}

fn test(object: Option<&OsStr>, args: &[String], options: &[&str]) -> Command {
    let mut cargo = workspace::cargo("test");
    cargo.args(options);
    match object {
        // Trials keep a daemon busy, which an unoptimised one is with itself. As libraries are built (`Cargo.toml`): they are shared with
        // the plain build, and a release's own link-time optimisation of four programs would take longer than all trials.
        Some(object) => cargo.env(OBJECT_VARIABLE, object).env("CARGO_PROFILE_DEV_OPT_LEVEL", "1"),
        None => cargo.env_remove(OBJECT_VARIABLE),
    };
    if !args.is_empty() {
        cargo.arg("--").args(args);
    }
    cargo
}

fn announce(what: &str, command: &mut Command) -> Result<()> {
    step(what);
    run_process(command)
}
