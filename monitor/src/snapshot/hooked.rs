//! What function hooks count on this kernel. What they do not count here is unknown, and never 0.

use super::{SignalRow, SignalStatus};

/// How labels of function hooks begin.
const KINDS: [&str; 4] = ["fentry:", "kprobe:", "fexit:", "kretprobe:"];

/// Counts that need a function hook.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hooked {
    /// Overflows of accept queues, at both stages of the handshake.
    pub overflows: bool,
    /// Connections that the connection-tracking table had no room for.
    pub conntrack_full: bool,
    /// Resets that netfilter sends.
    pub rejections: bool,
}

impl Hooked {
    /// By how each signal is served.
    pub fn of(signals: &[SignalRow]) -> Self {
        let is_hooked = |signal: &str| {
            let served = |row: &SignalRow| {
                row.status == SignalStatus::Works && KINDS.iter().any(|kind| row.hook.starts_with(kind))
            };
            signals.iter().any(|row| row.signal == signal && served(row))
        };
        Self {
            overflows: is_hooked("accept_overflow_syn") && is_hooked("accept_overflow_ack"),
            conntrack_full: is_hooked("conntrack_full"),
            rejections: is_hooked("reset_sent_netfilter"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(signal: &'static str, hook: &str, status: SignalStatus) -> SignalRow {
        SignalRow { signal, hook: hook.to_owned(), status, why: String::new(), advice: String::new() }
    }

    #[test]
    fn a_count_is_known_only_where_functions_serve_all_of_it() {
        let works = SignalStatus::Works;
        let syn = row("accept_overflow_syn", "fentry:tcp_conn_request", works);
        let ack = row("accept_overflow_ack", "kprobe:tcp_v4_syn_recv_sock,tcp_v6_syn_recv_sock", works);
        let counters = row("accept_overflow_ack", "counters:netstat+sock_diag", SignalStatus::Degraded);
        assert!(Hooked::of(&[syn.clone(), ack]).overflows);
        assert!(!Hooked::of(&[syn.clone(), counters]).overflows, "one stage is not all");
        assert!(!Hooked::of(&[syn]).overflows);
        for (hook, status, known) in [
            ("fexit:early_drop", works, true),
            ("kretprobe:early_drop", works, true),
            ("fexit:early_drop", SignalStatus::Degraded, false),
            ("counters:nf_conntrack", SignalStatus::Degraded, false),
        ] {
            assert_eq!(Hooked::of(&[row("conntrack_full", hook, status)]).conntrack_full, known, "{hook}");
        }
        assert!(Hooked::of(&[row("reset_sent_netfilter", "fentry:nf_send_reset", works)]).rejections);
        assert_eq!(
            Hooked::of(&[row("reset_sent_netfilter", "none", SignalStatus::Missing)]),
            Hooked::default()
        );
    }
}
