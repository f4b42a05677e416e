//! What a service manager is told that started us with `NOTIFY_SOCKET` (`sd_notify(3)`, systemd's `Type=notify`): that the daemon is
//! ready, alive, ending. Without one, nothing is told to nobody.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// Patience of a watchdog that a busy host does not run out of: snapshots come every 5 s.
const LEAST_PATIENCE: Duration = Duration::from_secs(15);

/// Everything is attached, and the page answers.
pub fn ready(address: SocketAddr) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("http://{address}"))]);
}

/// The end has begun.
pub fn ending() {
    tell(&[NotifyState::Stopping]);
}

/// Says that the daemon is alive with each snapshot that the pipeline makes, where a watchdog waits for that (`WATCHDOG_USEC`). A
/// pipeline that hangs makes none, and a server that hangs shares its thread. Ends when told to, not with the pipeline: why that
/// ended is for the pipeline to say.
pub async fn keep_alive(snapshots: watch::Receiver<Arc<Snapshot>>, mut stop: watch::Receiver<bool>) {
    let alive = async {
        tell_of_life(snapshots).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = alive => {}
    }
}

async fn tell_of_life(mut snapshots: watch::Receiver<Arc<Snapshot>>) {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    if patience < LEAST_PATIENCE {
        tracing::warn!(
            ?patience,
            "the watchdog is told every 5 s that the daemon is alive; set WatchdogSec= to 15 s or more"
        );
    }
    while snapshots.changed().await.is_ok() {
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "the service manager (NOTIFY_SOCKET) could not be told: {states:?}");
    }
}
