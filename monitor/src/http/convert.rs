//! Internal types to the JSON contract. The only place that knows both, so that `--local` and remote look alike.

pub mod alerts;
pub mod explain;
pub mod history;
pub mod listeners;
pub mod names;
pub mod owners;
pub mod timeouts;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::Kind;
use monitor_common::peer::{Ended, Side};

use super::Settings;
use crate::burst::Burst;
use crate::cause::{CAUSES, Cause};
use crate::counts::{PeerCounts, PortCounts, StoryCounts};
use crate::event::{
    Counted, Direction, IdleCloses, Owner, Reason, Segment, SocketFacts, TcpState, Told, role_name,
};
use crate::idle::Idle;
use crate::publish::Known;
use crate::snapshot::hooked::Hooked;
use crate::snapshot::{Fill, NamespaceRow, PeerRow, SignalRow, Snapshot};
use crate::view::event::{BacklogView, BurstView, FinView, IdleClosesView, SegmentView};
use crate::view::names::NameView;
use crate::view::owners::OwnerView;
use crate::view::{
    CountsView, EndView, EventPeerView, EventView, FillView, IdleView, NamespaceView, PeerView, PortView,
    ReasonView, SignalView, SignalsView, SocketView, StatusView, StoryView,
};

/// Letters of the TCP flags from the lowest bit up, as tcpdump writes them.
const FLAG_LETTERS: [char; 8] = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'];

/// One event, as the kernel and the stages told it.
pub fn event_view(told: &Told) -> EventView {
    let event = &told.event;
    let verdict = told.verdict.as_ref();
    EventView {
        id: told.id,
        time: event_time(event.time),
        kind: event.kind.name().to_owned(),
        direction: Direction::of(event.kind).name().to_owned(),
        family: family_name(event.remote.ip()).to_owned(),
        netns: event.netns,
        local: end_view(event.local),
        remote: end_view(event.remote),
        remote_name: None,
        peer: event.peer_address().zip(event.role).map(|(address, role)| EventPeerView {
            peer: address.to_string(),
            port: event.service_port(),
            role: role_name(role).to_owned(),
        }),
        state: event.state.map(state_name),
        state_before: event.state_before.map(state_name),
        reason: event.reason.as_ref().map(|Reason { code, name }| ReasonView {
            name: name.as_deref().map(str::to_owned),
            code: *code,
        }),
        cause: verdict.map(|verdict| verdict.cause.name().to_owned()),
        confidence: verdict.map(|verdict| verdict.confidence.name().to_owned()),
        evidence: verdict
            .map(|verdict| verdict.evidence.facts().map(|fact| fact.path().to_owned()).collect())
            .unwrap_or_default(),
        app_saw: verdict.and_then(|verdict| Some(verdict.app_saw?.name().to_owned())),
        other_end: verdict.and_then(|verdict| verdict.other_end),
        is_final: told.is_final(),
        burst: told.burst.map(burst_view),
        idle: event.idle.map(|Idle { time, basis, at_least }| IdleView {
            seconds: time.as_secs_f64(),
            basis: basis.name().to_owned(),
            at_least,
        }),
        peers_idle_closes: event.peers_idle_closes.map(|IdleCloses { count, least, most }| IdleClosesView {
            count,
            least_seconds: least.as_secs_f64(),
            most_seconds: most.as_secs_f64(),
        }),
        fin: event.fin.as_ref().map(|fin| FinView {
            by: side_name(fin.by).to_owned(),
            seconds_ago: fin.quiet.as_ref().map(|quiet| quiet.age.as_secs_f64()),
        }),
        ended_by: event.ended.map(|ended| ended_name(ended).to_owned()),
        counted: event.counted.map(|counted: Counted| counted.name().to_owned()),
        socket: event.socket.as_ref().map(socket_view),
        segment: event.segment.as_ref().map(segment_view),
        baseline_ttl: event.baseline_ttl,
        active: event.active,
        orphan: event.orphan,
        fileless: event.fileless,
        destroyed: event.destroyed,
        carried_data: event.carried_data,
        backlog: event.backlog.map(|(waiting, limit)| BacklogView { waiting, limit }),
        stage: event.stage.map(|stage| stage.name().to_owned()),
        owner: event.owner.as_ref().map(owner_view),
        process: None,
        socket_inode: event.socket_inode,
        cgroup_id: event.cgroup_id,
        cgroup: None,
        since_close_seconds: event.since_close.map(|since| since.as_secs_f64()),
    }
}

/// A burst.
pub fn burst_view(burst: Burst) -> BurstView {
    let Burst { id, first, last, connections, restart } = burst;
    BurstView { id, first: event_time(first), last: event_time(last), connections, restart }
}

/// A time to the microsecond: both ends of a connection on one host are told within few of them.
pub fn event_time(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// Everything counted, without the peers.
pub fn status_view(snapshot: &Snapshot, settings: &Settings, known: Known<'_>) -> StatusView {
    let overflows = |value: fn(&NamespaceRow) -> u64| {
        snapshot.hooked.overflows.then(|| snapshot.namespaces.iter().map(value).sum())
    };
    StatusView {
        node: settings.node.clone(),
        version: settings.version.clone(),
        kernel: settings.kernel.clone(),
        started: snapshot.started.to_string(),
        uptime_seconds: snapshot.uptime_seconds,
        total: counts_view(&snapshot.total),
        kernel_total: counts_view(&snapshot.kernel_total),
        ports_total: port_view(None, &snapshot.ports_total, snapshot.hooked),
        unattributed: snapshot.unattributed,
        unattributed_overflows: snapshot.unattributed_overflows,
        overflows_syn: overflows(|row| row.overflows_syn),
        overflows_ack: overflows(|row| row.overflows_ack),
        conntrack_full: snapshot.listening.conntrack_full,
        challenge_acks: snapshot.listening.challenge_acks,
        namespaces: snapshot
            .namespaces
            .iter()
            .map(|row| namespace_view(row, snapshot.hooked, known))
            .collect(),
        stories: Kind::ALL
            .iter()
            .map(|kind| (kind.name().to_owned(), story_view(snapshot.stories.of(*kind))))
            .collect(),
        undecodable: snapshot.stories.undecodable,
        fills: snapshot
            .fills
            .iter()
            .map(|Fill { name, used, capacity }| {
                ((*name).to_owned(), FillView { used: *used, capacity: *capacity })
            })
            .collect(),
        owners: owners::owners_view(snapshot.owners),
        names: known.names.map(|names| names::names_view(names.fullness())),
        over_budget: snapshot.over_budget,
        failed_reads: snapshot.failed_reads,
        missed_runs: snapshot
            .programs
            .iter()
            .map(|program| (program.name.to_owned(), program.missed_runs))
            .collect(),
    }
}

/// One peer, with what a cluster calls it.
pub fn peer_view(row: &PeerRow, name: Option<NameView>) -> PeerView {
    PeerView {
        peer: row.label.scope.to_string(),
        name,
        port: row.label.port,
        role: role_name(row.label.role).to_owned(),
        netns: row.netns,
        counts: counts_view(&row.counts),
        reset_ratio: row.counts.reset_ratio(),
        causes_sent: row.causes.as_ref().map(|causes| causes_view(&causes.sent)).unwrap_or_default(),
        causes_received: row.causes.as_ref().map(|causes| causes_view(&causes.received)).unwrap_or_default(),
        open: row.open.map(|open| open.open),
        idle: row.open.map(|open| open.idle),
    }
}

/// One local port; `None` is the rest.
pub fn port_view(port: Option<u16>, counts: &PortCounts, hooked: Hooked) -> PortView {
    let PortCounts { refused_sent, stray_sent, stray_received, reject_sent } = *counts;
    let reject_sent = hooked.rejections.then_some(reject_sent);
    PortView { port, refused_sent, stray_sent, stray_received, reject_sent }
}

/// How much a local port has to show, for the order of ports.
pub const fn port_sum(counts: &PortCounts) -> u64 {
    let PortCounts { refused_sent, stray_sent, stray_received, reject_sent } = *counts;
    refused_sent.saturating_add(stray_sent).saturating_add(stray_received).saturating_add(reject_sent)
}

/// How each signal is served.
pub fn signals_view(signals: &[SignalRow], kernel: &str) -> SignalsView {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    SignalsView {
        kernel: kernel.to_owned(),
        signals: signals
            .iter()
            .map(|SignalRow { signal, hook, status, why, advice }| SignalView {
                signal: (*signal).to_owned(),
                hook: hook.clone(),
                status: status.name().to_owned(),
                why: text(why),
                advice: text(advice),
            })
            .collect(),
    }
}

/// Counts of a peer or of a sum.
pub fn counts_view(counts: &PeerCounts) -> CountsView {
    // Untold resets show as the cause `unclassified`.
    let PeerCounts {
        opened,
        closed,
        reset,
        aborted,
        exchanges,
        resets_sent,
        resets_received,
        refused_received,
        untold_sent: _,
        untold_received: _,
    } = *counts;
    CountsView { opened, closed, reset, aborted, exchanges, resets_sent, resets_received, refused_received }
}

/// The cause of most of the peer's resets, in either direction.
pub fn main_cause(peer: &PeerView) -> Option<&str> {
    let mut sums: BTreeMap<&str, u64> = BTreeMap::new();
    for (cause, count) in peer.causes_sent.iter().chain(&peer.causes_received) {
        *sums.entry(cause).or_default() += count;
    }
    sums.into_iter().max_by_key(|(_, count)| *count).map(|(cause, _)| cause)
}

/// The kernel's reason in one word.
pub fn reason_text(reason: &ReasonView) -> String {
    reason.name.clone().unwrap_or_else(|| reason.code.to_string())
}

/// Whether the segment was dropped or rejected before any connection had it.
pub fn met_no_socket(event: &EventView) -> bool {
    [Kind::ListenOverflow, Kind::RejectSent].iter().any(|kind| kind.name() == event.kind)
}

/// Whose event it is: who closed or who owns the socket; of a segment that no connection had, whom it was for, and what it met.
pub fn whose_text(event: &EventView) -> String {
    let pod = event.cgroup.as_ref().and_then(|cgroup| cgroup.pod.as_ref());
    let pod = pod.map(|pod| names::pod_text(pod) + " ").unwrap_or_default();
    if let Some(owner) = &event.owner {
        return pod + &owner_text(owner);
    }
    if !met_no_socket(event) {
        return owners::resolved_text(event);
    }
    let mut text = pod + &socket_address(&event.local);
    if let Some(stage) = &event.stage {
        text.extend([" ", stage, " queue"]);
    }
    match (&event.backlog, &event.segment) {
        (Some(BacklogView { waiting, limit }), _) => {
            text.extend([" ", &waiting.to_string(), "/", &limit.to_string()]);
        }
        (None, Some(segment)) => text.extend([" [", &segment.flags, "]"]),
        (None, None) => {}
    }
    text
}

/// An address and port as they are typed.
pub fn socket_address(end: &EndView) -> String {
    let EndView { addr, port } = end;
    if addr.contains(':') { format!("[{addr}]:{port}") } else { format!("{addr}:{port}") }
}

/// The owner as `name[pid]`, with what it was dying of.
pub fn owner_text(owner: &OwnerView) -> String {
    let dying = match (owner.oom_killed, owner.exit_signal, owner.exiting) {
        (true, _, _) => " killed by the OOM killer".to_owned(),
        (false, Some(signal), _) => format!(" killed by signal {signal}"),
        (false, None, true) => " exiting".to_owned(),
        (false, None, false) => String::new(),
    };
    format!("{}[{}]{dying}", owner.comm, owner.pid)
}

fn causes_view(counts: &[u64; CAUSES]) -> BTreeMap<String, u64> {
    Cause::ALL
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| **count > 0)
        .map(|(cause, count)| (cause.name().to_owned(), *count))
        .collect()
}

fn end_view(end: SocketAddr) -> EndView {
    EndView { addr: end.ip().to_canonical().to_string(), port: end.port() }
}

fn state_name(state: TcpState) -> String {
    state.name().map_or_else(|| format!("state {}", state.0), str::to_owned)
}

fn socket_view(socket: &SocketFacts) -> SocketView {
    SocketView {
        bytes_in: socket.bytes_in,
        bytes_out: socket.bytes_out,
        data_segments_in: socket.data_segments_in,
        data_segments_out: socket.data_segments_out,
        srtt_seconds: socket.srtt_us.map(|us| Duration::from_micros(us.into()).as_secs_f64()),
        sent_seconds_ago: socket.sent_age.as_secs_f64(),
        received_seconds_ago: socket.received_age.as_secs_f64(),
        ack_seconds_ago: socket.ack_age.map(|age| age.as_secs_f64()),
        connection_seconds: socket.connection_age().map(|age| age.as_secs_f64()),
        unread_bytes: socket.unread_bytes,
        unacked_bytes: socket.unacked_bytes,
        probes: socket.probes,
        linger_zero: socket.linger_zero,
        shutdown: socket.shutdown.map(|bits| shutdown_name(bits).to_owned()),
    }
}

/// What of IP the segments were.
pub(super) fn family_name(remote: IpAddr) -> &'static str {
    if remote.to_canonical().is_ipv4() { "ipv4" } else { "ipv6" }
}

pub(super) const fn shutdown_name(bits: u8) -> &'static str {
    match bits & 3 {
        0 => "none",
        1 => "receive",
        2 => "send",
        _ => "both",
    }
}

pub(super) const fn side_name(side: Side) -> &'static str {
    match side {
        Side::Local => "local",
        Side::Peer => "peer",
    }
}

pub(super) const fn ended_name(ended: Ended) -> &'static str {
    match ended {
        Ended::OurFin => "our_fin",
        Ended::Unread => "unread_data",
        Ended::Chosen => "linger",
        Ended::Destroyed => "destroy",
        Ended::Reset => "reset",
        Ended::PeerReset => "peers_reset",
    }
}

fn segment_view(segment: &Segment) -> SegmentView {
    let set = FLAG_LETTERS.iter().enumerate().filter(|(bit, _)| segment.flags >> bit & 1 == 1);
    SegmentView {
        flags: set.map(|(_, letter)| letter).collect(),
        bytes: segment.bytes,
        ttl: segment.ttl,
        ifindex: segment.ifindex,
        sequence_distance: segment.sequence_distance,
    }
}

fn owner_view(owner: &Owner) -> OwnerView {
    let Owner { pid, tid, comm, exiting, exit_signal, oom_killed } = owner;
    OwnerView {
        pid: *pid,
        tid: *tid,
        comm: comm.clone(),
        exiting: *exiting,
        exit_signal: *exit_signal,
        oom_killed: *oom_killed,
    }
}

fn namespace_view(row: &NamespaceRow, hooked: Hooked, known: Known<'_>) -> NamespaceView {
    let NamespaceRow {
        netns,
        resets_sent,
        refused_sent,
        stray_sent,
        kernel_out_resets,
        unattributed,
        overflows_syn,
        overflows_ack,
        unattributed_overflows,
        reject_sent,
    } = *row;
    NamespaceView {
        netns,
        resets_sent,
        refused_sent,
        stray_sent,
        kernel_out_resets,
        unattributed,
        overflows_syn: hooked.overflows.then_some(overflows_syn),
        overflows_ack: hooked.overflows.then_some(overflows_ack),
        unattributed_overflows,
        cgroup: owners::namespace_cgroup(netns, known),
        reject_sent: hooked.rejections.then_some(reject_sent),
    }
}

fn story_view(counts: &StoryCounts) -> StoryView {
    let StoryCounts { seen, submitted, lost, suppressed, decoded } = *counts;
    StoryView { seen, submitted, lost, suppressed, decoded }
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "milliseconds of days are exact in a double")]
pub fn seconds_of_ms(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_named_with_what_it_was_dying_of() {
        let text = |exiting, exit_signal, oom_killed| {
            let comm = "nginx".to_owned();
            owner_text(&OwnerView { pid: 42, tid: 43, comm, exiting, exit_signal, oom_killed })
        };
        assert_eq!(text(false, None, false), "nginx[42]");
        assert_eq!(text(true, None, false), "nginx[42] exiting");
        assert_eq!(text(true, Some(9), false), "nginx[42] killed by signal 9");
        assert_eq!(text(true, Some(9), true), "nginx[42] killed by the OOM killer");
    }
}
