//! Facts to plan: which programs to attach, with which settings, and what each signal of the product loses. Pure.

mod listening;

use monitor_common::counters::Tracepoint;
use monitor_common::names;
use monitor_common::settings::{NO_REASON, Settings};

use super::facts::Facts;
use super::load::Sizes;
use crate::event::Reason;
use crate::snapshot::{SignalRow, SignalStatus};

/// How long the stories of refusals and strays may come in a row, per CPU and kind.
const STORY_BURST: u32 = 64;
/// One more such story per this many nanoseconds, per CPU and kind: 100 a second.
const STORY_INTERVAL_NS: u32 = 10_000_000;

/// For how long a CPU does not wake the daemon again. The daemon looks by itself for longer after each wake-up
/// (`crate::pipeline`), so nothing waits for good.
const WAKE_INTERVAL_NS: u32 = 10_000_000;

/// One program and the raw tracepoint it goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Program in the object.
    pub program: &'static str,
    /// Its second, which takes the events for which the kernel skips the first. Attached after it.
    pub relief: &'static str,
    /// Tracepoint in the kernel.
    pub tracepoint: &'static str,
    /// The same, as an index.
    pub at: Tracepoint,
}

/// What to load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Programs to attach, all of them.
    pub hooks: Vec<Hook>,
    /// Global settings of the programs.
    pub settings: Settings,
    /// How each signal of the product is served.
    pub signals: Vec<SignalRow>,
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
pub fn plan(facts: &Facts, sizes: &Sizes) -> Result<Plan, PlanError> {
    if !facts.missing_capabilities.is_empty() {
        return Err(PlanError::Privileges { missing: facts.missing_capabilities.clone() });
    }
    if !facts.has_set_state {
        return Err(PlanError::Tracepoint { tracepoint: "inet_sock_set_state" });
    }
    let Some(arguments) = facts.send_reset_arguments else {
        return Err(PlanError::Tracepoint { tracepoint: "tcp_send_reset" });
    };
    let has_reason = arguments >= 3;
    let mut hooks = vec![
        Hook {
            program: names::SET_STATE,
            relief: names::RELIEF_STATE,
            tracepoint: "inet_sock_set_state",
            at: Tracepoint::SetState,
        },
        Hook {
            program: names::SEND_RESET,
            relief: names::RELIEF_SEND,
            tracepoint: "tcp_send_reset",
            at: Tracepoint::SendReset,
        },
    ];
    if facts.has_receive_reset {
        hooks.push(Hook {
            program: names::RECEIVE_RESET,
            relief: names::RELIEF_RECEIVE,
            tracepoint: "tcp_receive_reset",
            at: Tracepoint::ReceiveReset,
        });
    }
    let reason = |wanted: &str| {
        let value = facts.reset_reasons.iter().find_map(|(value, name)| (name == wanted).then_some(*value));
        value.unwrap_or(NO_REASON)
    };
    let settings = Settings {
        story_burst: STORY_BURST,
        story_interval_ns: STORY_INTERVAL_NS,
        reason_keepalive: reason(Reason::KEEPALIVE_TIMEOUT),
        reason_close: reason(Reason::ABORT_ON_CLOSE),
        has_reason: u32::from(has_reason),
        other_slot: sizes.budgets.other_slot(),
        hz: facts.hz,
        closed_mask: sizes.closed_places() - 1,
        wake_interval_ns: WAKE_INTERVAL_NS,
        wake_bytes: sizes.ring_bytes / 4,
        jiffy_ns: 1_000_000_000 / facts.hz.max(1),
    };
    Ok(Plan { hooks, settings, signals: signals(facts, has_reason) })
}

const NOT_YET: &str = "needs a function hook (fentry or kprobe), which this version does not have yet";

/// The product's signals and what the tracepoints serve of them.
fn signals(facts: &Facts, has_reason: bool) -> Vec<SignalRow> {
    use SignalStatus::{Degraded, Missing, Works};
    let row = |signal, hook, status, why: &str, advice: &str| SignalRow {
        signal,
        hook,
        status,
        why: why.to_owned(),
        advice: advice.to_owned(),
    };
    let mut rows = vec![
        row("connections", "raw_tracepoint:inet_sock_set_state", Works, "", ""),
        row("reset_sent_active", "raw_tracepoint:tcp_send_reset", Works, "", ""),
        if has_reason {
            row("reset_sent_passive", "raw_tracepoint:tcp_send_reset", Works, "", "")
        } else {
            row(
                "reset_sent_passive",
                "raw_tracepoint:tcp_send_reset",
                Degraded,
                "before 6.10 the tracepoint is silent for resets from TIME_WAIT and to closed ports",
                "compare with reset_monitor_unattributed, or use Linux 6.10 or newer",
            )
        },
        row(
            "reset_sent_netfilter",
            "none",
            Missing,
            NOT_YET,
            "count REJECT rules with nft counters meanwhile",
        ),
        if facts.has_receive_reset {
            row(
                "reset_received",
                "raw_tracepoint:tcp_receive_reset",
                Degraded,
                "the tracepoint has no segment: TTL and sequence numbers of the reset are unknown",
                "",
            )
        } else {
            row(
                "reset_received",
                "none",
                Missing,
                "tracepoint tcp_receive_reset is not in this kernel's BTF",
                "",
            )
        },
        row("reset_received_time_wait", "none", Missing, NOT_YET, ""),
        row("stray_received", "none", Missing, NOT_YET, ""),
        row("ttl_baseline_server", "socket:mc_ttl", Works, "", ""),
        row("ttl_baseline_client", "none", Missing, NOT_YET, ""),
    ];
    rows.extend(listening::rows(facts));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DEFAULT_SIZES;
    use crate::kernel::facts::ConntrackFacts;

    fn facts() -> Facts {
        Facts {
            release: "6.18.0".into(),
            cpus: 2,
            missing_capabilities: vec![],
            send_reset_arguments: Some(3),
            has_receive_reset: true,
            has_set_state: true,
            hz: 250,
            counts_overflows: true,
            sock_diag_refusal: None,
            conntrack: ConntrackFacts::Drops,
            reset_reasons: vec![(0, "NOT_SPECIFIED".into()), (15, "TCP_KEEPALIVE_TIMEOUT".into())],
        }
    }

    fn status(plan: &Plan, signal: &str) -> SignalStatus {
        plan.signals.iter().find(|row| row.signal == signal).unwrap().status
    }

    #[test]
    fn a_new_kernel_gets_all_three_tracepoints_and_its_reasons() {
        let plan = plan(&facts(), &DEFAULT_SIZES).unwrap();
        assert_eq!(plan.hooks.len(), 3);
        assert_eq!((plan.settings.reason_keepalive, plan.settings.reason_close), (15, NO_REASON));
        assert_eq!(plan.settings.has_reason, 1);
        assert_eq!(plan.settings.other_slot, DEFAULT_SIZES.budgets.other_slot());
        assert_eq!(plan.settings.closed_mask, 65_535);
        assert_eq!(status(&plan, "reset_sent_passive"), SignalStatus::Works);
    }

    #[test]
    fn a_kernel_without_reasons_is_degraded_not_fatal() {
        let old = Facts { send_reset_arguments: Some(2), reset_reasons: vec![], ..facts() };
        let plan = plan(&old, &DEFAULT_SIZES).unwrap();
        assert_eq!(plan.settings.has_reason, 0);
        assert_eq!(plan.settings.reason_keepalive, NO_REASON);
        assert_eq!(status(&plan, "reset_sent_passive"), SignalStatus::Degraded);
    }

    #[test]
    fn a_missing_receive_tracepoint_costs_that_signal_only() {
        let plan = plan(&Facts { has_receive_reset: false, ..facts() }, &DEFAULT_SIZES).unwrap();
        assert_eq!(plan.hooks.len(), 2);
        assert_eq!(status(&plan, "reset_received"), SignalStatus::Missing);
    }

    #[test]
    fn overflows_without_hooks_are_degraded_and_say_what_is_lost() {
        let plan = |facts: &Facts| {
            let plan = plan(facts, &DEFAULT_SIZES).unwrap();
            let row = |signal| plan.signals.iter().find(|row| row.signal == signal).unwrap().clone();
            [row("accept_overflow_syn"), row("accept_overflow_ack"), row("conntrack_full")]
        };
        let [syn, ack, conntrack] = plan(&facts());
        for row in [&syn, &ack, &conntrack] {
            assert_eq!(row.status, SignalStatus::Degraded);
            assert!(
                row.hook.starts_with("counters:") && !row.why.is_empty() && !row.advice.is_empty(),
                "{row:?}"
            );
        }
        let poor = Facts {
            sock_diag_refusal: Some("no such file".into()),
            conntrack: ConntrackFacts::Absent,
            ..facts()
        };
        let [syn, _, conntrack] = plan(&poor);
        assert!(syn.why.contains("no such file"), "{}", syn.why);
        assert_eq!(conntrack.hook, "counters:nf_conntrack", "it may come later");
        let [syn, ..] = plan(&Facts { counts_overflows: false, ..poor });
        assert_eq!((syn.hook, syn.status), ("none", SignalStatus::Missing));
    }

    #[test]
    fn missing_capabilities_are_named() {
        let poor = Facts { missing_capabilities: vec!["CAP_BPF", "CAP_PERFMON"], ..facts() };
        let message = plan(&poor, &DEFAULT_SIZES).unwrap_err().to_string();
        assert!(message.contains("CAP_BPF and CAP_PERFMON missing"), "{message}");
    }

    #[test]
    fn a_kernel_without_the_state_tracepoint_is_refused_by_its_name() {
        let message =
            plan(&Facts { has_set_state: false, ..facts() }, &DEFAULT_SIZES).unwrap_err().to_string();
        assert!(message.contains("inet_sock_set_state"), "{message}");
    }
}
