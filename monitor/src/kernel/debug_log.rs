//! The kernel programs' debug lines, forwarded to the daemon's own log. Only with the feature `debug-log`.
//!
//! The lines come through a ring of their own and bring nothing that is counted or told: a full ring loses lines, and nobody
//! minds. Whether the programs write any is decided before they are loaded, by the daemon's log level.

use anyhow::Context as _;
use aya::{Ebpf, EbpfLoader};
use aya_log::{EbpfLogger, Level};
use log::{Log, Metadata, Record};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

use super::load::Loaded;

/// What `tracing` shows the lines under.
const TARGET: &str = "kernel";
/// Values of the programs' global: up to this level, or nothing at all.
const SHOWN: u8 = Level::Debug as u8;
const SILENT: u8 = 0;

/// The ring of lines, open.
#[expect(missing_debug_implementations, reason = "aya's ring buffer has none")]
pub struct DebugLines(EbpfLogger<Forward>);

/// Takes the ring out of what was loaded.
pub fn take(mut loaded: Loaded) -> anyhow::Result<(Loaded, DebugLines)> {
    let lines = loaded.programs.take_debug_lines();
    let lines = lines
        .context("open the debug lines of the kernel programs: build with `cargo xtask build --debug-log`")?;
    Ok((loaded, lines))
}

impl DebugLines {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, aya_log::Error> {
        EbpfLogger::init_with_logger(ebpf, Forward).map(Self)
    }

    /// Forwards lines until `shutdown` becomes true or its sender is gone.
    pub async fn forward(self, mut shutdown: watch::Receiver<bool>) -> std::io::Result<()> {
        #[expect(
            deprecated,
            reason = "its successor is unsafe for types whose descriptor may change; aya's ring owns one for life"
        )]
        let mut lines = AsyncFd::with_interest(self.0, Interest::READABLE)?;
        loop {
            tokio::select! {
                biased;
                _ = shutdown.wait_for(|stop| *stop) => return Ok(()),
                ready = lines.readable_mut() => {
                    let mut ready = ready?;
                    ready.get_inner_mut().flush();
                    ready.clear_ready();
                }
            }
        }
    }
}

/// Lets the programs write lines only if somebody is going to see them.
pub(super) fn set_level(loader: &mut EbpfLoader<'_>) {
    let level = if tracing::enabled!(target: TARGET, tracing::Level::DEBUG) { &SHOWN } else { &SILENT };
    loader.override_global(aya_log::LEVEL, level, true);
}

/// From the `log` crate, which aya-log speaks, to `tracing`.
struct Forward;

impl Log for Forward {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        tracing::debug!(target: TARGET, "{}", record.args());
    }

    fn flush(&self) {}
}
