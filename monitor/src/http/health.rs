//! `/healthz` and `/readyz`: for systemd, Kubernetes and load balancers.
//!
//! Alive is the process; ready is the pipeline. Neither depends on anything outside the daemon.

use axum::extract::State;
use jiff::SignedDuration;

use super::AppState;
use super::error::ApiError;
use crate::clock;

/// Three ticks of the pipeline: one may be late, two in a row never are.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(15);

/// `/healthz`.
pub(super) async fn alive() -> &'static str {
    "ok\n"
}

/// `/readyz`. A snapshot from the future is one from before the clock was set back, and counts as recent.
pub(super) async fn ready(State(state): State<AppState>) -> Result<&'static str, ApiError> {
    let age = clock::now().duration_since(state.published.latest().taken);
    if age < STALE_AFTER {
        return Ok("ready\n");
    }
    let seconds = age.as_secs();
    Err(ApiError::NotReady {
        why: format!("the counters were last read {seconds} s ago; the pipeline is stuck or starved of CPU"),
    })
}
