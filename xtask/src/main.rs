//! `cargo xtask <command>`: every task of the repository, on any machine with a stable Rust.
//!
//! This file only dispatches; each command is a module of the same name. The other modules are what the
//! commands share: child processes, the workspace's paths, the cache and the BPF toolchain.
#![expect(clippy::print_stderr, reason = "a command-line tool; it has no logger and needs none")]

mod bench;
mod bpf;
mod btf_extract;
mod build;
mod cache;
mod diagnosis;
mod dist;
mod docs;
mod fuzz;
mod kernel_test;
mod kernels;
mod lint;
mod pictures;
mod process;
mod run;
mod setup;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use self::build::Profile;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Tasks of the reset-monitor repository")]
struct Cli {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or fetch the BPF compiler and linker (into a cache directory, nothing system-wide)
    Setup {
        /// Also the programs that the tests call
        #[arg(long)]
        tests: bool,
    },
    /// Build the kernel programs, then the daemon with them inside
    Build {
        /// The default profile, accepted for habit's sake
        #[arg(long, conflicts_with = "debug")]
        release: bool,
        /// Build the daemon in the debug profile
        #[arg(long)]
        debug: bool,
        /// Build both with debug lines of the kernel programs, the daemon in the debug profile
        #[arg(long, conflicts_with = "release")]
        debug_log: bool,
    },
    /// Build and start the daemon (needs root)
    Run {
        /// Build both with debug lines of the kernel programs; `-- --log-level debug` shows them
        #[arg(long)]
        debug_log: bool,
        /// Arguments of `reset-monitor run`
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Build and run every test; the kernel tests need root
    Test {
        /// Arguments of the test binaries, such as a name filter
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Run the kernel trials on this machine's kernel, or on others in virtual machines
    KernelTest(kernel_test::Args),
    /// Look for input that breaks what the daemon reads from others
    Fuzz(fuzz::Args),
    /// Measure what the daemon costs on this machine (needs root); `cargo xtask bench --help` tells more
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments of the measurement
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<String>,
    },
    /// Take the README's pictures anew, of real resets (needs root)
    Pictures {
        /// Of a daemon in the debug profile
        #[arg(long)]
        debug: bool,
        /// How long there is traffic before they are taken
        #[arg(long, default_value_t = 420)]
        seconds: u64,
    },
    /// Build what is handed out: a static binary, an image of it, and what it consists of
    Dist,
    /// Write the documentation that is made from the source
    Docs {
        /// Write nothing, and fail if something would change
        #[arg(long)]
        check: bool,
    },
    /// Formatting, clippy, warnings of the kernel programs, repository rules, made documentation, dependencies
    Lint,
    /// Only the repository rules
    Tidy,
    /// Cut a kernel's BTF down to what the tests look at
    BtfExtract(btf_extract::Args),
}

fn main() -> ExitCode {
    match dispatch(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(task: Task) -> Result<ExitCode> {
    match task {
        Task::Setup { tests } => setup::run(tests)?,
        Task::Build { release: _, debug, debug_log } => build::run(Profile::of(debug, debug_log))?,
        Task::Run { debug_log, args } => return run::run(Profile::of(false, debug_log), &args),
        Task::Test { args } => return test::run(&args),
        Task::KernelTest(args) => return kernel_test::run(&args),
        Task::Fuzz(args) => return fuzz::run(&args),
        Task::Bench { args } => return bench::run(&args),
        Task::Pictures { debug, seconds } => pictures::run(Profile::of(debug, false), seconds)?,
        Task::Dist => dist::run()?,
        Task::Docs { check } => docs::run(check)?,
        Task::Lint => lint::run()?,
        Task::Tidy => tidy::run()?,
        Task::BtfExtract(args) => btf_extract::run(&args)?,
    }
    Ok(ExitCode::SUCCESS)
}
