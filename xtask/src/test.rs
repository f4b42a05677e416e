//! `test`: every test without privileges in the plain build, then all of them with the kernel programs built in.

use std::ffi::OsStr;
use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::bpf::Programs;
use crate::build::kernel_programs;
use crate::process::{run as run_process, show, step};
use crate::workspace::{self, OBJECT_VARIABLE};
use crate::{setup, workspace::is_root};

/// The feature of `monitor` that builds the tests which load kernel programs.
pub(crate) const KERNEL_TESTS: &str = "kernel-tests";

/// The command. `args` go to every test binary.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    let tools = setup::tools()?;
    let object = kernel_programs(Programs::Release)?;

    // What a developer gets who has no compiler for BPF: the daemon without its kernel programs.
    let mut unprivileged = test(None, args, &[]);
    tools.lend(&mut unprivileged)?;
    announce("tests without privileges and without kernel programs", &mut unprivileged)?;

    let options = ["--package", "monitor", "--features", KERNEL_TESTS, "--release"];
    let mut privileged = test(Some(object.as_os_str()), args, &options);
    if !is_root()? {
        step(&format!("FAILED: the kernel tests were not run, they need root: {}", show(&privileged)));
        return Ok(ExitCode::FAILURE);
    }
    tools.lend(&mut privileged)?;
    announce("tests against this machine's kernel", &mut privileged)?;
    step("all tests passed");
    Ok(ExitCode::SUCCESS)
}

fn test(object: Option<&OsStr>, args: &[String], options: &[&str]) -> Command {
    let mut cargo = workspace::cargo("test");
    cargo.args(options);
    match object {
        Some(object) => cargo.env(OBJECT_VARIABLE, object),
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
