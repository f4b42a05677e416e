//! One function per subcommand, and what their failures mean to the shell.

pub mod alerts;
pub mod check;
pub mod client;
pub mod completions;
pub mod events;
pub mod explain;
pub mod listeners;
pub mod local;
pub mod man;
pub mod moment;
pub mod peers;
pub mod probe;
pub mod record;
pub mod replay;
pub mod run;
pub mod timeouts;
pub mod top;
pub mod watching;

use std::process::ExitCode;

use anyhow::Context as _;

use self::moment::WindowError;
use self::probe::failure::ProbeUsageError;
use self::record::RecordUsageError;
use self::top::screen::TopUsageError;
use crate::config::ConfigError;
use crate::kernel::facts::ReadBtfError;
use crate::kernel::layout::LayoutError;
use crate::kernel::load::LoadError;
use crate::kernel::plan::PlanError;

/// Failed while running.
pub const EXIT_FAILURE: u8 = 1;
/// Bad usage or configuration.
pub const EXIT_USAGE: u8 = 2;
/// Kernel or privileges are not enough.
pub const EXIT_KERNEL: u8 = 3;

/// The exit code for an error, by what is at its root.
pub fn exit_code(error: &anyhow::Error) -> ExitCode {
    let kernel = error.is::<ReadBtfError>()
        || error.is::<LayoutError>()
        || error.is::<PlanError>()
        || error.downcast_ref::<LoadError>().is_some_and(|error| !matches!(error, LoadError::ObjectNotBuilt));
    let usage = error.is::<ConfigError>()
        || error.is::<RecordUsageError>()
        || error.is::<WindowError>()
        || error.is::<ProbeUsageError>()
        || error.is::<TopUsageError>();
    ExitCode::from(if usage {
        EXIT_USAGE
    } else if kernel {
        EXIT_KERNEL
    } else {
        EXIT_FAILURE
    })
}

/// Runs a client command: one thread is plenty. Ctrl-C ends it as it ends any command.
pub fn block_on(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the asynchronous runtime")?;
    runtime.block_on(command)
}
