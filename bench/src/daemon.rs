//! The daemon under test: the release build, started as a user would, with an address and a lock file of its own.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use crate::process::{Process, Resident, resident};
use crate::{clock, http};

/// A start takes a tenth of a second, on a busy machine some seconds.
const LONGEST_START: Duration = Duration::from_secs(30);

/// A running daemon. Stopped when dropped.
#[derive(Debug)]
pub(crate) struct Daemon {
    /// Its process.
    pub(crate) process: Process,
    /// Where its HTTP interface is.
    pub(crate) address: SocketAddr,
    /// From its start to the first 200 of `/readyz`.
    pub(crate) start: Duration,
    _lock_file: Removed,
}

/// A file that goes when this does.
#[derive(Debug)]
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

impl Daemon {
    /// Starts one, with these options besides the usual ones.
    pub(crate) fn start(binary: &Path, options: &[&str]) -> Result<Self> {
        let binary = binary.to_str().context("a path that is not UTF-8")?;
        // Free a moment ago. The daemon could choose by itself, but then we would wait for its log instead of its answer.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let (listen, lock) =
            (address.to_string(), format!("/run/reset-monitor-bench-{}.lock", std::process::id()));
        let words = [&[binary, "run", "--listen", &listen, "--lock-file", &lock], options].concat();
        let lock_file = Removed(PathBuf::from(&lock));
        let begin = clock::start();
        let mut process = Process::spawn(&words)?;
        clock::until("the daemon to be ready", LONGEST_START, || {
            process.ensure_alive().context("the daemon")?;
            Ok(http::get(address, "/readyz").is_ok().then_some(()))
        })?;
        let start = begin.elapsed();
        Ok(Self { process, address, start, _lock_file: lock_file })
    }

    /// Ends it as a service manager does.
    pub(crate) fn stop(self) -> Result<()> {
        let lines = self.process.stderr();
        let status = self.process.stop(Signal::TERM)?;
        ensure!(status.success(), "the daemon ended badly ({status}): {}", lines.join("\n"));
        Ok(())
    }

    /// What it holds now.
    pub(crate) fn resident(&self) -> Result<Resident> {
        resident(self.process.pid())
    }

    /// `/api/v1/status`.
    pub(crate) fn status(&self) -> Result<Value> {
        http::json(self.address, "/api/v1/status")
    }
}
