//! Signals of full queues and tables: by functions, else what counters tell of them.

use monitor_common::names::function;

use super::ways::{Backend, Functions};
use super::{SignalPlan, Way};
use crate::kernel::facts::{ConntrackFacts, Facts};
use crate::kernel::hook::Moment;
use crate::snapshot::SignalStatus;

/// What counters leave open, whichever can be read.
const NOT_TOLD: &str = "overflows are known as sums only: not at which stage, for which peer, and when";

pub(super) fn signals(facts: &Facts, backend: Backend) -> Vec<SignalPlan> {
    let with = |signal, functions: Functions<'_>, counters| {
        let mut ways = functions.ways(facts, backend);
        ways.push(counters);
        SignalPlan { signal, ways }
    };
    let module = Some("nf_conntrack");
    vec![
        with("accept_overflow_syn", Functions::entered(&[(function::SYN, None)]), overflow(facts)),
        with(
            "accept_overflow_ack",
            Functions::entered(&[(function::ACK_V4, None), (function::ACK_V6, None)]),
            overflow(facts),
        ),
        with(
            "conntrack_full",
            Functions { pairs: &[(function::EARLY_DROP, module)], moment: Moment::Return },
            conntrack(facts.conntrack),
        ),
        SignalPlan { signal: "challenge_ack", ways: vec![challenges(facts)] },
    ]
}

/// Both stages of the handshake go into the same counters.
fn overflow(facts: &Facts) -> Way {
    let degraded = |label, why: &str, advice| Way::without(label, SignalStatus::Degraded, why, advice);
    match (facts.counts_overflows, facts.sock_diag_refusal.as_deref()) {
        (true, None) => degraded(
            "counters:netstat+sock_diag",
            NOT_TOLD,
            "see `reset-monitor listeners` for overflows per network namespace and drops per listener",
        ),
        (true, Some(refusal)) => degraded(
            "counters:netstat",
            &format!("{NOT_TOLD}; which listener it was is unknown too: {refusal}"),
            "use a kernel with CONFIG_INET_DIAG, and a sandbox that allows AF_NETLINK",
        ),
        (false, None) => degraded(
            "counters:sock_diag",
            &format!("{NOT_TOLD}; /proc/self/net/netstat has no ListenOverflows"),
            "mount /proc; meanwhile a listener's drops count what else it dropped, too",
        ),
        (false, Some(refusal)) => Way::missing(
            &format!("/proc/self/net/netstat has no ListenOverflows, and {refusal}"),
            "mount /proc, and allow AF_NETLINK",
        ),
    }
}

/// Read anew each time, so it works as soon as there is something to read.
fn conntrack(facts: ConntrackFacts) -> Way {
    let (why, advice) = match facts {
        ConntrackFacts::Drops => (
            "drops are known as a sum only: not of which connection, and other failures than a full table are in it",
            "compare reset_monitor_conntrack_entries with its limit; net.netfilter.nf_conntrack_max raises it",
        ),
        ConntrackFacts::Entries => (
            "drops are not counted here: the kernel lacks /proc/net/stat/nf_conntrack (CONFIG_NF_CONNTRACK_PROCFS)",
            "watch the kernel log for 'table full', and reset_monitor_conntrack_entries",
        ),
        ConntrackFacts::Absent => (
            "connection tracking is not loaded; it is counted as soon as it is",
            "nothing to do as long as nothing is tracked",
        ),
    };
    Way::without("counters:nf_conntrack", SignalStatus::Degraded, why, advice)
}

/// A reset within the window and not exact is answered by a challenge (RFC 5961). It is a segment like any other, and looking at
/// each would cost with traffic, so the kernel's own counter is read.
fn challenges(facts: &Facts) -> Way {
    if facts.counts_overflows {
        Way::without("counters:netstat", SignalStatus::Works, "", "")
    } else {
        Way::missing("/proc/self/net/netstat cannot be read", "mount /proc")
    }
}
