//! Plans for made-up facts. Those of real kernels are planned in `tests/btf.rs`.

use std::collections::{BTreeMap, BTreeSet};

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
        functions: BTreeMap::from([("tcp_reset", 2), ("tcp_check_req", 5)]),
        modules: BTreeSet::new(),
        hz: 250,
        counts_overflows: true,
        sock_diag_refusal: None,
        conntrack: ConntrackFacts::Drops,
        reset_reasons: vec![(0, "NOT_SPECIFIED".into()), (15, "TCP_KEEPALIVE_TIMEOUT".into())],
    }
}

fn made(facts: &Facts, backend: Backend) -> Plan {
    plan(facts, &DEFAULT_SIZES, backend).unwrap()
}

/// Labels and statuses of a signal's ways.
fn ways<'a>(plan: &'a Plan, signal: &str) -> Vec<(&'a str, SignalStatus)> {
    let signal = plan.signals.iter().find(|plan| plan.signal == signal).unwrap();
    signal.ways.iter().map(|way| (way.label.as_str(), way.status)).collect()
}

use SignalStatus::{Degraded, Missing, Works};

#[test]
fn a_new_kernel_gets_its_reasons_and_the_tracepoint_that_tells_all() {
    let plan = made(&facts(), Backend::Auto);
    assert_eq!((plan.settings.reason_keepalive, plan.settings.reason_close), (15, NO_REASON));
    assert_eq!(plan.settings.has_reason, 1);
    assert_eq!(plan.settings.other_slot, DEFAULT_SIZES.budgets.other_slot());
    assert_eq!(plan.settings.closed_mask, 65_535);
    assert_eq!(ways(&plan, "reset_sent_passive"), [("raw_tracepoint:tcp_send_reset", Works)]);
}

#[test]
fn functions_come_by_trampoline_then_by_probe_then_not() {
    let plan = made(&facts(), Backend::Auto);
    assert_eq!(
        ways(&plan, "reset_received"),
        [
            ("raw_tracepoint:tcp_receive_reset+fentry:tcp_reset", Works),
            ("raw_tracepoint:tcp_receive_reset+kprobe:tcp_reset", Works),
            ("raw_tracepoint:tcp_receive_reset", Degraded)
        ]
    );
    // Not in this kernel's types, so only a probe may find it.
    assert_eq!(ways(&plan, "ttl_baseline_client"), [("kprobe:tcp_finish_connect", Works), ("none", Missing)]);
}

#[test]
fn before_6_10_functions_stand_beside_the_tracepoint() {
    let old = Facts { send_reset_arguments: Some(2), reset_reasons: vec![], ..facts() };
    let plan = made(&old, Backend::Kprobe);
    assert_eq!((plan.settings.has_reason, plan.settings.reason_keepalive), (0, NO_REASON));
    assert_eq!(
        ways(&plan, "reset_sent_passive"),
        [
            ("raw_tracepoint:tcp_send_reset+kprobe:tcp_v4_send_reset,tcp_v6_send_reset", Works),
            ("raw_tracepoint:tcp_send_reset", Degraded)
        ]
    );
}

#[test]
fn before_5_11_the_segment_is_noted_before_the_tracepoint() {
    let old =
        Facts { functions: BTreeMap::from([("tcp_reset", 1), ("tcp_validate_incoming", 4)]), ..facts() };
    let plan = made(&old, Backend::Auto);
    assert_eq!(
        ways(&plan, "reset_received"),
        [
            ("raw_tracepoint:tcp_receive_reset+fentry:tcp_validate_incoming", Degraded),
            ("raw_tracepoint:tcp_receive_reset+kprobe:tcp_validate_incoming", Degraded),
            ("raw_tracepoint:tcp_receive_reset", Degraded)
        ]
    );
}

#[test]
fn a_backend_leaves_out_the_others_but_never_tracepoints_and_counters() {
    for (backend, label) in [
        (Backend::Fentry, "fentry:tcp_check_req"),
        (Backend::Kprobe, "kprobe:tcp_check_req"),
        (Backend::Tracepoint, "none"),
    ] {
        let plan = made(&facts(), backend);
        assert_eq!(ways(&plan, "reset_received_syn_recv")[0].0, label);
        assert_eq!(ways(&plan, "connections"), [("raw_tracepoint:inet_sock_set_state", Works)]);
        assert_eq!(
            ways(&plan, "accept_overflow_syn").last(),
            Some(&("counters:netstat+sock_diag", Degraded))
        );
    }
}

#[test]
fn a_module_that_is_not_loaded_is_awaited_and_one_that_is_built_in_is_not() {
    let awaits = |facts: &Facts| {
        let plan = made(facts, Backend::Auto);
        let signal = plan.signals.iter().find(|plan| plan.signal == "reset_sent_netfilter").unwrap();
        (signal.ways[0].label.clone(), signal.ways[0].why.clone())
    };
    let (label, why) = awaits(&facts());
    assert_eq!(label, "kprobe:nf_send_reset,nf_send_reset6");
    assert!(why.starts_with("nf_reject_ipv4 and nf_reject_ipv6 are not loaded"), "{why}");
    let (_, why) = awaits(&Facts { modules: BTreeSet::from(["nf_reject_ipv4"]), ..facts() });
    assert!(why.starts_with("nf_reject_ipv6 is not loaded"), "{why}");
    let built_in = BTreeMap::from([("nf_send_reset", 4), ("nf_send_reset6", 4)]);
    let (label, why) = awaits(&Facts { functions: built_in, ..facts() });
    assert_eq!((label.as_str(), why.as_str()), ("fentry:nf_send_reset,nf_send_reset6", ""));
}

#[test]
fn without_the_received_tracepoint_and_functions_it_is_missing() {
    let without = Facts { has_receive_reset: false, functions: BTreeMap::new(), ..facts() };
    assert_eq!(ways(&made(&without, Backend::Auto), "reset_received"), [("none", Missing)]);
}

#[test]
fn overflows_without_hooks_are_degraded_and_say_what_is_lost() {
    let last = |facts: &Facts, wanted: &str| {
        let plan = made(facts, Backend::Tracepoint);
        let signal = plan.signals.into_iter().find(|plan| plan.signal == wanted).unwrap();
        assert_eq!(signal.ways.len(), 1);
        signal.ways.into_iter().next().unwrap()
    };
    for signal in ["accept_overflow_syn", "accept_overflow_ack", "conntrack_full"] {
        let way = last(&facts(), signal);
        assert_eq!(way.status, Degraded);
        assert!(
            way.label.starts_with("counters:") && !way.why.is_empty() && !way.advice.is_empty(),
            "{way:?}"
        );
    }
    let poor = Facts {
        sock_diag_refusal: Some("no such file".into()),
        conntrack: ConntrackFacts::Absent,
        ..facts()
    };
    assert!(last(&poor, "accept_overflow_syn").why.contains("no such file"));
    assert_eq!(last(&poor, "conntrack_full").label, "counters:nf_conntrack", "it may come later");
    let way = last(&Facts { counts_overflows: false, ..poor }, "accept_overflow_syn");
    assert_eq!((way.label.as_str(), way.status), ("none", Missing));
}

#[test]
fn what_counting_rests_on_is_required() {
    let without = Facts { has_set_state: false, ..facts() };
    let error = plan(&without, &DEFAULT_SIZES, Backend::Auto).unwrap_err();
    assert_eq!(error, PlanError::Tracepoint { tracepoint: "inet_sock_set_state" });
    let without = Facts { send_reset_arguments: None, ..facts() };
    let error = plan(&without, &DEFAULT_SIZES, Backend::Auto).unwrap_err();
    assert_eq!(error, PlanError::Tracepoint { tracepoint: "tcp_send_reset" });
}

#[test]
fn missing_capabilities_are_named() {
    let poor = Facts { missing_capabilities: vec!["CAP_BPF", "CAP_PERFMON"], ..facts() };
    let error = plan(&poor, &DEFAULT_SIZES, Backend::Auto).unwrap_err();
    assert!(error.to_string().contains("CAP_BPF and CAP_PERFMON"));
}
