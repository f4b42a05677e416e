//! Signals of full queues and tables: what counters tell of them where no function hook can be used.

use crate::kernel::facts::{ConntrackFacts, Facts};
use crate::snapshot::{SignalRow, SignalStatus};

/// What counters leave open, whichever can be read.
const NOT_TOLD: &str = "counters know neither the stage nor the peer nor the moment of an overflow; that needs a function hook (fentry or kprobe)";

pub(super) fn rows(facts: &Facts) -> [SignalRow; 3] {
    [
        overflow("accept_overflow_syn", facts),
        overflow("accept_overflow_ack", facts),
        conntrack(facts.conntrack),
    ]
}

/// Both stages of the handshake go into the same counters.
fn overflow(signal: &'static str, facts: &Facts) -> SignalRow {
    let (hook, status, why, advice) = match (facts.counts_overflows, facts.sock_diag_refusal.as_deref()) {
        (true, None) => (
            "counters:netstat+sock_diag",
            SignalStatus::Degraded,
            NOT_TOLD.to_owned(),
            "see `reset-monitor listeners` for overflows per network namespace and drops per listener",
        ),
        (true, Some(refusal)) => (
            "counters:netstat",
            SignalStatus::Degraded,
            format!("{NOT_TOLD}; which listener it was is unknown too: {refusal}"),
            "use a kernel with CONFIG_INET_DIAG, and a sandbox that allows AF_NETLINK",
        ),
        (false, None) => (
            "counters:sock_diag",
            SignalStatus::Degraded,
            format!("{NOT_TOLD}; /proc/self/net/netstat has no ListenOverflows"),
            "mount /proc; meanwhile a listener's drops count what else it dropped, too",
        ),
        (false, Some(refusal)) => (
            "none",
            SignalStatus::Missing,
            format!("/proc/self/net/netstat has no ListenOverflows, and {refusal}"),
            "mount /proc, and allow AF_NETLINK",
        ),
    };
    SignalRow { signal, hook, status, why, advice: advice.to_owned() }
}

/// Read anew each time, so it works as soon as there is something to read.
fn conntrack(facts: ConntrackFacts) -> SignalRow {
    let (why, advice) = match facts {
        ConntrackFacts::Drops => (
            "the counter of drops knows no connection, and counts other failures than a full table",
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
    SignalRow {
        signal: "conntrack_full",
        hook: "counters:nf_conntrack",
        status: SignalStatus::Degraded,
        why: why.to_owned(),
        advice: advice.to_owned(),
    }
}
