//! `record`: attaches without a daemon and writes what the kernel programs tell into a file, for `replay`.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, IsTerminal as _, Write as _, stderr};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;

use crate::cli::help::Help;
use crate::clock::WallClock;
use crate::command::events::{EventOutput, EventPrinter};
use crate::command::local::{attach_here, watch};
use crate::http::filter::EventFilter;
use crate::kernel::attach::Attached;
use crate::kernel::plan::Backend;
use crate::recording::{Header, Recorder, Written};

/// What `record --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("sudo reset-monitor record resets.recording", "until Ctrl-C"),
        ("sudo reset-monitor record resets.recording --seconds 60 --print", ""),
        ("sudo reset-monitor record - | gzip > resets.recording.gz", ""),
    ],
    notes: "`reset-monitor replay` shows what is in it, here or elsewhere. Addresses and names of processes are in it, so only its owner may read it.",
};

/// `reset-monitor record`
#[derive(Clone, Debug, clap::Args)]
pub struct RecordArgs {
    /// File to write; `-` is standard output
    pub file: PathBuf,
    /// Stop after so many seconds
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub seconds: Option<u32>,
    /// Stop after so many records, idle closes among them
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub events: Option<u64>,
    /// Write over a file that exists
    #[arg(long)]
    pub force: bool,
    /// Kinds of hooks to use; all but auto are for tests
    #[arg(long, value_enum, default_value_t)]
    pub backend: Backend,
    /// Print the events, too
    #[arg(long)]
    pub print: bool,
    /// With --print: table for people, one short line per event, or one JSON object per line
    #[arg(short, long, value_enum, default_value_t, requires = "print")]
    pub output: EventOutput,
}

/// What was typed cannot be meant.
#[derive(Debug, thiserror::Error)]
pub enum RecordUsageError {
    /// There is such a file.
    #[error("{file} exists: choose another name, or write over it with --force")]
    Exists {
        /// Its name.
        file: String,
    },
    /// Both on standard output.
    #[error("`-` and --print both write to standard output: record to a file to see the events, too")]
    Mixed,
    /// Nobody can read a recording.
    #[error(
        "standard output is a terminal, and a recording is not text: name a file, or lead it to a program"
    )]
    Terminal,
}

/// Records until a signal comes or a limit is reached.
pub fn record(args: &RecordArgs) -> anyhow::Result<()> {
    let RecordArgs { file, seconds, events, force, backend, print, output } = args;
    let to_stdout = file.as_os_str() == "-";
    let name = if to_stdout { "to standard output".to_owned() } else { file.display().to_string() };
    if to_stdout && *print {
        return Err(RecordUsageError::Mixed.into());
    }
    if to_stdout && io::stdout().is_terminal() {
        return Err(RecordUsageError::Terminal.into());
    }
    // Asked before anything is attached, and once more by the system when the file is made.
    if !to_stdout && !force && file.symlink_metadata().is_ok() {
        return Err(RecordUsageError::Exists { file: name }.into());
    }
    let attached = attach_here(*backend)?;
    let out = if to_stdout { stdout_file() } else { create(file, *force) };
    let out = match out {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(RecordUsageError::Exists { file: name }.into());
        }
        out => out.with_context(|| format!("make the recording {name}"))?,
    };
    let recorder = Recorder::start(out, name.clone(), &header(&attached), *events)?;
    tell(&format!("recording {name} on kernel {}; Ctrl-C ends it", attached.facts.release));
    // All records go into the file, whatever is printed of them: a replay can be filtered.
    let printer = print.then(|| EventPrinter::new(*output, EventFilter::default(), io::stdout()));
    let limit = seconds.map(|seconds| Duration::from_secs(seconds.into()));
    let written = watch(attached, Some(recorder), printer, limit)?.unwrap_or_default();
    let Written { records, bytes, lost, suppressed } = written;
    tell(&format!(
        "recorded {records} records, {bytes} bytes; {lost} lost, {suppressed} suppressed by the kernel programs"
    ));
    Ok(())
}

/// What a replay needs to know about this host.
fn header(attached: &Attached) -> Header {
    Header {
        made_by: env!("CARGO_PKG_VERSION").to_owned(),
        kernel: attached.facts.release.clone(),
        hz: attached.facts.hz,
        reasons: attached.facts.reset_reasons.clone(),
        wall: WallClock::now(),
    }
}

/// Only its owner may read it: addresses and process names are nobody else's business.
fn create(file: &Path, force: bool) -> io::Result<File> {
    const OWNER_ONLY: u32 = 0o600;
    let mut options = OpenOptions::new();
    options.write(true).mode(OWNER_ONLY);
    if !force {
        return options.create_new(true).open(file);
    }
    let file = options.create(true).truncate(true).open(file)?;
    // It may have been there, with other permissions. Devices and pipes keep theirs.
    if file.metadata()?.is_file() {
        file.set_permissions(Permissions::from_mode(OWNER_ONLY))?;
    }
    Ok(file)
}

fn stdout_file() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// If stderr is closed there is nobody to tell.
fn tell(message: &str) {
    drop(writeln!(stderr(), "{message}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        path.metadata().unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_owner_may_read_a_recording_and_an_old_one_is_kept_unless_forced() {
        let directory = std::env::temp_dir().join(format!("reset-monitor-record-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("new");
        drop(create(&path, false).unwrap());
        assert_eq!(mode(&path), 0o600);
        assert_eq!(create(&path, false).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        drop(create(&path, true).unwrap());
        assert_eq!((mode(&path), path.metadata().unwrap().len()), (0o600, 0));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
