//! Signals of connections and resets.

use monitor_common::counters::Tracepoint;
use monitor_common::names::function;

use super::ways::{Backend, Functions};
use super::{SignalPlan, Way};
use crate::kernel::facts::Facts;
use crate::kernel::hook::Hook;
use crate::snapshot::SignalStatus;

/// Why a signal that only functions serve is missing, before what each attempt said.
const NEEDS_FUNCTION: &str = "no tracepoint tells of it; that needs a function hook (fentry or kprobe)";

const SEND_RESET: Hook = Hook::Tracepoint(Tracepoint::SendReset);
const RECEIVE_RESET: Hook = Hook::Tracepoint(Tracepoint::ReceiveReset);

pub(super) fn signals(facts: &Facts, backend: Backend) -> Vec<SignalPlan> {
    let by_functions = |signal, functions: Functions<'_>, advice| {
        let mut ways = functions.ways(facts, backend);
        ways.push(Way::missing(NEEDS_FUNCTION, advice));
        SignalPlan { signal, ways }
    };
    vec![
        SignalPlan {
            signal: "connections",
            ways: vec![Way::works(vec![Hook::Tracepoint(Tracepoint::SetState)])],
        },
        SignalPlan { signal: "reset_sent_active", ways: vec![Way::works(vec![SEND_RESET])] },
        SignalPlan { signal: "reset_sent_passive", ways: sent_passive(facts, backend) },
        by_functions(
            "reset_sent_netfilter",
            Functions::entered(&[
                (function::REJECT_V4, Some("nf_reject_ipv4")),
                (function::REJECT_V6, Some("nf_reject_ipv6")),
            ]),
            "count REJECT rules with nft counters",
        ),
        SignalPlan { signal: "reset_received", ways: received(facts, backend) },
        by_functions(
            "reset_received_syn_recv",
            Functions::entered(&[(function::REQUEST, None)]),
            "compare TcpExtEmbryonicRsts of nstat",
        ),
        by_functions("reset_received_time_wait", Functions::entered(&[(function::TIME_WAIT, None)]), ""),
        by_functions(
            "stray_received",
            Functions::entered(&[(function::ANSWER_V4, None), (function::ANSWER_V6, None)]),
            "",
        ),
        SignalPlan {
            signal: "ttl_baseline_server",
            ways: vec![Way::without("socket:mc_ttl", SignalStatus::Works, "", "")],
        },
        by_functions("ttl_baseline_client", Functions::entered(&[(function::SYN_ACK, None)]), ""),
    ]
}

/// From 6.10 on the tracepoint tells of each that is really sent. Before, it is silent for resets from `TIME_WAIT` and to closed
/// ports, which the functions around it are entered for.
fn sent_passive(facts: &Facts, backend: Backend) -> Vec<Way> {
    if facts.send_reset_tells_all() {
        return vec![Way::works(vec![SEND_RESET])];
    }
    let functions = Functions::entered(&[(function::ANSWER_V4, None), (function::ANSWER_V6, None)]);
    let beside = |hooks: Vec<Hook>| Way::works([vec![SEND_RESET], hooks].concat());
    let mut ways: Vec<Way> = functions.hooks(facts, backend).into_iter().map(beside).collect();
    ways.push(Way::degraded(
        vec![SEND_RESET],
        "before 6.10 the tracepoint is silent for resets from TIME_WAIT and to closed ports",
        "compare with reset_monitor_unattributed, or use Linux 6.10 or newer",
    ));
    ways
}

/// Since 5.11 the function has the segment. Before, it is noted when it is judged; a refusal is not, and has no TTL then.
fn received(facts: &Facts, backend: Backend) -> Vec<Way> {
    let mut ways = Vec::new();
    if facts.reset_has_segment() {
        ways.extend(Functions::entered(&[(function::RESET, None)]).ways(facts, backend));
    } else if facts.has_receive_reset {
        let noting = Functions::entered(&[(function::VALIDATE, None)]);
        ways.extend(noting.hooks(facts, backend).into_iter().map(|hooks| {
            Way::degraded(
                [vec![RECEIVE_RESET], hooks].concat(),
                "before 5.11 a reset that refuses a connection is told without its TTL",
                "",
            )
        }));
    }
    ways.push(if facts.has_receive_reset {
        Way::degraded(
            vec![RECEIVE_RESET],
            "the tracepoint has no segment: TTL and sequence numbers of the reset are unknown",
            "",
        )
    } else {
        Way::missing("tracepoint tcp_receive_reset is not in this kernel's BTF", "")
    });
    ways
}
