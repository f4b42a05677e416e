//! Signals of connections and resets.

use monitor_common::counters::Tracepoint;
use monitor_common::names::function;

use super::ways::{Backend, Functions};
use super::{SignalPlan, Way};
use crate::kernel::facts::Facts;
use crate::kernel::hook::Hook;
use crate::snapshot::SignalStatus;

/// Why a signal that only functions serve is missing: after what is lost, and before what each attempt said.
const NEEDS_FUNCTION: &str = "that needs a hook on a kernel function";

const SEND_RESET: Hook = Hook::Tracepoint(Tracepoint::SendReset);
const RECEIVE_RESET: Hook = Hook::Tracepoint(Tracepoint::ReceiveReset);

pub(super) fn signals(facts: &Facts, backend: Backend) -> Vec<SignalPlan> {
    let by_functions = |signal, functions: Functions<'_>, lost: &str, advice| {
        let mut ways = functions.ways(facts, backend);
        ways.push(Way::missing(&format!("{lost}: {NEEDS_FUNCTION}"), advice));
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
            "resets sent by REJECT rules are not seen",
            "count them with counters in the rules themselves (nft, iptables)",
        ),
        SignalPlan { signal: "reset_received", ways: received(facts, backend) },
        by_functions(
            "reset_received_syn_recv",
            Functions::entered(&[(function::REQUEST, None)]),
            "resets that end a handshake with us are not seen",
            "see TcpExtEmbryonicRsts of nstat for their sum",
        ),
        by_functions(
            "reset_received_time_wait",
            Functions::entered(&[(function::TIME_WAIT, None)]),
            "resets that meet a connection in TIME_WAIT are not seen",
            "nothing to do: this host had closed it already",
        ),
        by_functions(
            "stray_received",
            Functions::entered(&[(function::ANSWER_V4, None), (function::ANSWER_V6, None)]),
            "resets that belong to no connection are not seen",
            "nothing to do: they end no connection",
        ),
        SignalPlan {
            signal: "ttl_baseline_server",
            ways: vec![Way::without("socket:mc_ttl", SignalStatus::Works, "", "")],
        },
        by_functions(
            "ttl_baseline_client",
            Functions::entered(&[(function::SYN_ACK, None)]),
            "a server's usual TTL is unknown, so a reset that somebody forged in its name is not told from its own",
            "capture packets if you suspect a middlebox",
        ),
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
        "resets from TIME_WAIT and to closed ports are not seen: before 6.10 the tracepoint is silent for them",
        "compare with reset_monitor_unattributed, or use Linux 6.10 or newer",
    ));
    ways
}

/// The tracepoint counts, and a function lends it the segment. Before 5.11 that is the one in which it is judged; a segment that
/// refuses a connection is not, and has no TTL then.
fn received(facts: &Facts, backend: Backend) -> Vec<Way> {
    if !facts.has_receive_reset {
        return vec![Way::missing(
            "received resets are not seen: tracepoint tcp_receive_reset is not in this kernel's BTF",
            "use a kernel built with its tracepoints of TCP",
        )];
    }
    let lender = if facts.reset_has_segment() { function::RESET } else { function::VALIDATE };
    let beside = |functions: Vec<Hook>| {
        let hooks = [vec![RECEIVE_RESET], functions].concat();
        if facts.reset_has_segment() {
            Way::works(hooks)
        } else {
            Way::degraded(
                hooks,
                "before 5.11 a reset that refuses a connection is told without its TTL; all else is",
                "use Linux 5.11 or newer if that matters",
            )
        }
    };
    let lenders = Functions::entered(&[(lender, None)]).hooks(facts, backend);
    let mut ways: Vec<Way> = lenders.into_iter().map(beside).collect();
    ways.push(Way::degraded(
        vec![RECEIVE_RESET],
        "resets are counted, without their TTL and sequence number: one that somebody forged is not told from the peer's own",
        "capture packets if you suspect a middlebox",
    ));
    ways
}
