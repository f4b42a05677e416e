//! What this host cannot see, where it matters for a peer.

use monitor_common::peer::Role;

use super::{CauseEvidence, Host, Subject};
use crate::cause::Cause;
use crate::event::Direction;
use crate::snapshot::{SignalRow, SignalStatus};

/// A signal that is not served in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unseen {
    /// Its name.
    pub signal: &'static str,
    /// How well it is served.
    pub status: SignalStatus,
    /// What is not seen.
    pub why: String,
    /// What can be done; empty when nothing.
    pub advice: String,
}

/// Signals that are missing or degraded, and would have told more here.
pub(super) fn unseen(subject: &Subject<'_>, causes: &[CauseEvidence], host: &Host<'_>) -> Vec<Unseen> {
    let less = host.signals.iter().filter(|row| row.status != SignalStatus::Works);
    less.filter(|row| matters(row, subject, causes, host))
        .map(|SignalRow { signal, hook: _, status, why, advice }| Unseen {
            signal,
            status: *status,
            why: why.clone(),
            advice: advice.clone(),
        })
        .collect()
}

fn matters(row: &SignalRow, subject: &Subject<'_>, causes: &[CauseEvidence], host: &Host<'_>) -> bool {
    let received = causes.iter().any(|seen| {
        seen.direction == Direction::Received && !matches!(seen.cause, Cause::Refused | Cause::ListenOverflow)
    });
    let server = subject.role == Role::Server;
    let full = causes.iter().any(|seen| seen.cause == Cause::ListenOverflow);
    match row.signal {
        "connections" | "reset_sent_active" | "reset_sent_passive" => true,
        // What it lacks is the TTL, or all of it.
        "reset_received" => received || row.status == SignalStatus::Missing,
        "ttl_baseline_client" => received && !server,
        "ttl_baseline_server" => received && server,
        "accept_overflow_syn" | "accept_overflow_ack" => server && (full || causes.is_empty()),
        "reset_sent_netfilter" | "reset_received_syn_recv" => server && causes.is_empty(),
        "conntrack_full" => {
            host.listening.conntrack.is_some() && causes.iter().any(|seen| is_of_the_way(seen.cause))
        }
        _ => false,
    }
}

/// What a full table of tracked connections can look like.
const fn is_of_the_way(cause: Cause) -> bool {
    matches!(cause, Cause::StaleIdle | Cause::IdleAbort | Cause::Middlebox | Cause::KeepaliveTimeout)
}
