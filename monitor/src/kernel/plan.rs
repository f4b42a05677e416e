//! Facts to plan: for each signal of the product the ways to serve it, best first, and the programs' settings. Pure.
//!
//! Which of the ways it is shows when they are tried (`choose.rs`): a kernel may refuse what its types promise.

mod listening;
mod resets;
mod ways;

use monitor_common::counters::Tracepoint;
use monitor_common::settings::{NO_REASON, Settings};

use super::facts::Facts;
use super::hook::{Hook, label, tracepoint_name};
use super::load::Sizes;
use crate::event::Reason;
use crate::snapshot::SignalStatus;

pub use ways::Backend;
pub(super) use ways::awaited;

/// How long the stories of refusals and strays may come in a row, per CPU and kind.
const STORY_BURST: u32 = 64;
/// One more such story per this many nanoseconds, per CPU and kind: 100 a second.
const STORY_INTERVAL_NS: u32 = 10_000_000;

/// A CPU that told nothing for so long wakes the daemon with its next story. What comes sooner is found by the daemon, which
/// looks by itself again a little later than this (`crate::pipeline`), until it finds nothing; so nothing waits for good.
const WAKE_QUIET_NS: u32 = 15_000_000;

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Every signal, those that everything rests on first.
    pub signals: Vec<SignalPlan>,
    /// Global settings of the programs.
    pub settings: Settings,
}

/// A signal and the ways to serve it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalPlan {
    /// Its name.
    pub signal: &'static str,
    /// Best first, at least one. When the last one fails, too, nothing useful can run.
    pub ways: Vec<Way>,
}

/// One way to serve a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// Everything that must be attached for it; nothing for counters, and for what no hook serves.
    pub hooks: Vec<Hook>,
    /// What serves it, `none` if nothing does.
    pub label: String,
    /// How well.
    pub status: SignalStatus,
    /// Why it is not better; empty when it works.
    pub why: String,
    /// What a user can do about it; empty when nothing.
    pub advice: String,
}

impl Way {
    /// As designed, by hooks.
    fn works(hooks: Vec<Hook>) -> Self {
        let label = label(&hooks);
        Self { hooks, label, status: SignalStatus::Works, why: String::new(), advice: String::new() }
    }

    /// In part, by hooks.
    fn degraded(hooks: Vec<Hook>, why: &str, advice: &str) -> Self {
        Self {
            status: SignalStatus::Degraded,
            why: why.to_owned(),
            advice: advice.to_owned(),
            ..Self::works(hooks)
        }
    }

    /// Without a hook.
    fn without(label: &str, status: SignalStatus, why: &str, advice: &str) -> Self {
        let (label, why, advice) = (label.to_owned(), why.to_owned(), advice.to_owned());
        Self { hooks: Vec::new(), label, status, why, advice }
    }

    /// Not at all.
    fn missing(why: &str, advice: &str) -> Self {
        Self::without("none", SignalStatus::Missing, why, advice)
    }
}

/// Nothing useful can run.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PlanError {
    /// The process may not load programs.
    #[error("load BPF programs: {} missing; run as root, or give the service these capabilities", .missing.join(" and "))]
    Privileges {
        /// By name.
        missing: Vec<&'static str>,
    },
    /// The kernel lacks what counting rests on.
    #[error(
        "attach to this kernel: tracepoint {tracepoint} is not in its BTF; reset-monitor needs Linux 5.10 or newer"
    )]
    Tracepoint {
        /// Which one.
        tracepoint: &'static str,
    },
}

/// Decides.
pub fn plan(facts: &Facts, sizes: &Sizes, backend: Backend) -> Result<Plan, PlanError> {
    if !facts.missing_capabilities.is_empty() {
        return Err(PlanError::Privileges { missing: facts.missing_capabilities.clone() });
    }
    if !facts.has_set_state {
        return Err(PlanError::Tracepoint { tracepoint: tracepoint_name(Tracepoint::SetState) });
    }
    if facts.send_reset_arguments.is_none() {
        return Err(PlanError::Tracepoint { tracepoint: tracepoint_name(Tracepoint::SendReset) });
    }
    let mut signals = resets::signals(facts, backend);
    signals.extend(listening::signals(facts, backend));
    Ok(Plan { signals, settings: settings(facts, sizes) })
}

fn settings(facts: &Facts, sizes: &Sizes) -> Settings {
    let reason = |wanted: &str| {
        let value = facts.reset_reasons.iter().find_map(|(value, name)| (name == wanted).then_some(*value));
        value.unwrap_or(NO_REASON)
    };
    Settings {
        story_burst: STORY_BURST,
        story_interval_ns: STORY_INTERVAL_NS,
        reason_keepalive: reason(Reason::KEEPALIVE_TIMEOUT),
        reason_close: reason(Reason::ABORT_ON_CLOSE),
        has_reason: u32::from(facts.send_reset_tells_all()),
        other_slot: sizes.budgets.other_slot(),
        hz: facts.hz,
        closed_mask: sizes.closed_places() - 1,
        wake_quiet_ns: WAKE_QUIET_NS,
        wake_bytes: sizes.ring_bytes / 4,
        jiffy_ns: 1_000_000_000 / facts.hz.max(1),
    }
}

#[cfg(test)]
mod tests;
