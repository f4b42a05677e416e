//! Ctrl-C and friends as a flag, so that a run ends through its destructors: they stop the daemon and the tools.
//!
//! What destructors cannot reach after a `kill -9` ends by itself: children die with their parent, namespaces live as
//! long as a descriptor holds them, and so does the kernel's account of program run times.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// From now on SIGINT, SIGTERM and SIGHUP only set the flag.
pub(crate) fn install() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime that waits for signals")?;
    let entered = runtime.enter();
    let mut signals = Vec::new();
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        signals.push(signal(kind).context("cannot wait for signals")?);
    }
    drop(entered);
    for mut signal in signals {
        let handle = runtime.handle().clone();
        thread::spawn(move || {
            handle.block_on(signal.recv());
            INTERRUPTED.store(true, Ordering::Relaxed);
        });
    }
    // Driven by a thread of its own for as long as the process lives.
    thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
    Ok(())
}

/// Whether the run was asked to end.
pub(crate) fn is_set() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// An error once the run was asked to end.
pub(crate) fn check() -> Result<()> {
    ensure!(!is_set(), "interrupted");
    Ok(())
}
