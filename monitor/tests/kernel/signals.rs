//! What the daemon says it sees on this kernel, and what this kernel says of its resets. Trials expect no more of it, and no less.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use anyhow::{Context as _, Result, anyhow};
use monitor::kernel::btf::Btf;
use monitor::kernel::facts::read_btf;
use monitor::view::SignalView;

use crate::api::Api;

/// A signal of which tracepoints tell less than functions, or nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    /// Received resets with their segments.
    Received,
    /// The same of those that refuse; not before 5.11.
    Refusal,
    /// A reset that met a request socket.
    SynRecv,
    /// A reset that met a minisock.
    TimeWait,
    /// A reset that met no socket.
    Stray,
    /// The TTL of the SYN-ACK.
    SynAck,
    /// An accept queue that was full for a SYN.
    OverflowSyn,
    /// An accept queue that was full for the last ACK.
    OverflowAck,
    /// Resets of REJECT rules.
    Reject,
    /// No room to track a connection.
    Conntrack,
}

impl Signal {
    const ALL: [Self; 10] = [
        Self::Received,
        Self::Refusal,
        Self::SynRecv,
        Self::TimeWait,
        Self::Stray,
        Self::SynAck,
        Self::OverflowSyn,
        Self::OverflowAck,
        Self::Reject,
        Self::Conntrack,
    ];

    /// As the daemon calls it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Received | Self::Refusal => "reset_received",
            Self::SynRecv => "reset_received_syn_recv",
            Self::TimeWait => "reset_received_time_wait",
            Self::Stray => "stray_received",
            Self::SynAck => "ttl_baseline_client",
            Self::OverflowSyn => "accept_overflow_syn",
            Self::OverflowAck => "accept_overflow_ack",
            Self::Reject => "reset_sent_netfilter",
            Self::Conntrack => "conntrack_full",
        }
    }

    /// Whether this hook sees it.
    fn is_seen_by(self, hook: &str) -> bool {
        let functions = ["fentry:", "kprobe:", "fexit:", "kretprobe:"];
        let by_function = |part: &str| functions.iter().any(|kind| part.starts_with(kind));
        match self {
            // Before 5.11 another function lends the segments, and is not called for those.
            Self::Refusal => hook.split('+').any(|part| by_function(part) && part.ends_with(":tcp_reset")),
            Self::Received
            | Self::SynRecv
            | Self::TimeWait
            | Self::Stray
            | Self::SynAck
            | Self::OverflowSyn
            | Self::OverflowAck
            | Self::Reject
            | Self::Conntrack => hook.split('+').any(by_function),
        }
    }
}

/// What is seen by one daemon.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    seen: Arc<BTreeSet<Signal>>,
}

impl Sight {
    /// As the daemon tells it.
    pub(crate) fn of(api: &Api) -> Result<Self> {
        let view = api.signals()?;
        let mut seen = BTreeSet::new();
        for signal in Signal::ALL {
            if signal.is_seen_by(&row(&view.signals, signal)?.hook) {
                seen.insert(signal);
            }
        }
        Ok(Self { seen: Arc::new(seen) })
    }

    /// Whether it is seen by a function hook.
    pub(crate) fn has(&self, signal: Signal) -> bool {
        self.seen.contains(&signal)
    }

    /// So many if it is seen, none if not.
    pub(crate) fn count(&self, signal: Signal, number: u64) -> u64 {
        if self.has(signal) { number } else { 0 }
    }
}

/// The row of a signal.
pub(crate) fn row(signals: &[SignalView], signal: Signal) -> Result<&SignalView> {
    let row = signals.iter().find(|row| row.signal == signal.name());
    row.with_context(|| format!("the daemon has no signal {}", signal.name()))
}

/// Whether the running kernel says why it resets.
pub(crate) fn gives_reasons() -> Result<bool> {
    Ok(!reasons()?.is_empty())
}

/// What the running kernel has instead of a reason that newer ones have; `None` when it gives none at all.
pub(crate) fn reason_here(wanted: &'static str) -> Result<Option<&'static str>> {
    let reasons = reasons()?;
    let has_it = reasons.iter().any(|name| name.strip_prefix("SK_RST_REASON_") == Some(wanted));
    Ok(if reasons.is_empty() {
        None
    } else if has_it {
        Some(wanted)
    } else {
        Some("NOT_SPECIFIED")
    })
}

/// Names of the running kernel's reasons.
fn reasons() -> Result<&'static [String]> {
    static REASONS: LazyLock<Result<Vec<String>>> = LazyLock::new(|| {
        let bytes = read_btf()?;
        let values = Btf::parse(&bytes)?.enum_values("sk_rst_reason").unwrap_or_default();
        Ok(values.into_iter().map(|(name, _)| name).collect())
    });
    REASONS.as_ref().map(Vec::as_slice).map_err(|error| anyhow!("{error:#}"))
}
