//! `bench`: builds the daemon, the measuring program and what it runs, finds the tools to compare with, and hands over.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::bpf::Programs;
use crate::build::{Profile, daemon, kernel_programs};
use crate::process::{run as run_process, show, step};
use crate::setup;
use crate::workspace::{self, OBJECT_VARIABLE};

/// Arguments with which nothing is measured, so nothing need be built for it but the program itself.
const ONLY_ASKS: [&str; 3] = ["--help", "-h", "help"];

/// The command. Returns only if the measuring program could not be started.
pub(crate) fn run(args: &[String]) -> Result<ExitCode> {
    run_process(workspace::cargo("build").args(["--release", "--package", "bench"]))?;
    let target = workspace::target();
    let mut command = Command::new(target.join("release/bench"));
    command.arg("--daemon").arg(target.join("release/reset-monitor")).arg("--root").arg(workspace::root());
    command.args(args);
    if !args.iter().any(|arg| ONLY_ASKS.contains(&arg.as_str())) {
        daemon(Profile::Release)?;
        let object = kernel_programs(Programs::Release)?;
        step("building the benchmark of the pipeline");
        let mut cargo = workspace::cargo("bench");
        cargo.args(["--no-run", "--package", "monitor", "--bench", "pipeline"]);
        run_process(cargo.env(OBJECT_VARIABLE, &object))?;
        setup::lend_compared_tools(&mut command)?;
        // The measuring program calls cargo for that benchmark, which then finds it built.
        command.env(OBJECT_VARIABLE, object).env("CARGO_TARGET_DIR", target);
    }
    let error = command.exec();
    Err(error).with_context(|| format!("cannot start: {}", show(&command)))
}
