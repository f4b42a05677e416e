//! Listeners to their JSON.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::owners::namespace_cgroup;
use crate::http::filter::listeners::ListenerFilter;
use crate::publish::Known;
use crate::snapshot::Snapshot;
use crate::snapshot::listening::{
    ConntrackRow, ListenNamespaceRow, ListenerOverflows, ListenerRow, Listening, OverflowRow, StageCounts,
};
use crate::view::listeners::{
    ConntrackView, ListenNamespaceView, ListenTotalView, ListenerView, ListenersView, OverflowView,
};

/// At most `limit` sockets that match, and everything else.
pub fn listeners_view(
    snapshot: &Snapshot,
    filter: &ListenerFilter,
    limit: usize,
    known: Known<'_>,
) -> ListenersView {
    let Listening {
        own,
        sockets,
        beyond,
        series: _,
        namespaces,
        overflows,
        listen_overflows,
        listen_drops,
        challenge_acks: _,
        time_wait,
        orphans,
        conntrack,
        conntrack_full,
    } = &snapshot.listening;
    let full = overflows.as_ref().map(|overflows| Full::new(overflows, *own));
    let counted = overflows.as_ref().map(ListenerOverflows::total);
    let listener_drops = snapshot.listening.listener_drops();
    let chosen = sockets.as_deref().map(|rows| filter.select(rows));
    let open_drops = || sockets.iter().flat_map(|rows| rows.iter()).filter_map(|row| row.drops).sum();
    ListenersView {
        time: snapshot.taken.to_string(),
        since: snapshot.started.to_string(),
        matching: chosen.as_ref().map(Vec::len),
        not_listed: sockets.as_ref().map(|_| *beyond),
        listeners: chosen
            .map(|rows| rows.into_iter().take(limit).map(|row| listener_view(row, full.as_ref())).collect()),
        overflows: overflows
            .as_ref()
            .map(|overflows| overflow_views(overflows, *own, sockets.as_deref(), *filter, known)),
        listener_drops,
        closed_drops: listener_drops.map(|all| all.saturating_sub(open_drops())),
        namespaces: namespaces.iter().map(|row| namespace_view(row, known)).collect(),
        total: ListenTotalView {
            listen_overflows: *listen_overflows,
            listen_drops: *listen_drops,
            overflows_syn: counted.map(|counted| counted.syn),
            overflows_ack: counted.map(|counted| counted.ack),
            overflows_not_listed: overflows.as_ref().map(|overflows| overflows.beyond),
        },
        conntrack: conntrack.map(|ConntrackRow { entries, limit, drops }| ConntrackView {
            entries,
            limit,
            drops,
            full: *conntrack_full,
        }),
        orphan_sockets: *orphans,
        time_wait_sockets: *time_wait,
    }
}

/// Overflows of our own namespace, by address and port.
struct Full(HashMap<SocketAddr, StageCounts>);

impl Full {
    fn new(overflows: &ListenerOverflows, own: Option<u32>) -> Self {
        let own = overflows.rows.iter().filter(|row| Some(row.netns) == own);
        Self(own.map(|row| (row.address, row.counts)).collect())
    }

    fn of(&self, address: SocketAddr) -> StageCounts {
        self.0.get(&address).copied().unwrap_or_default()
    }
}

/// Every listener that matches.
fn overflow_views(
    overflows: &ListenerOverflows,
    own: Option<u32>,
    sockets: Option<&[ListenerRow]>,
    ListenerFilter { port }: ListenerFilter,
    known: Known<'_>,
) -> Vec<OverflowView> {
    let open: Option<HashSet<SocketAddr>> = sockets.map(|rows| rows.iter().map(|row| row.address).collect());
    let view = |row: &OverflowRow| {
        let OverflowRow { netns, address, counts: StageCounts { syn, ack } } = *row;
        let here = Some(netns) == own;
        OverflowView {
            netns,
            cgroup: namespace_cgroup(netns, known),
            addr: address.ip().to_string(),
            port: address.port(),
            overflows_syn: syn,
            overflows_ack: ack,
            open: open.as_ref().filter(|_| here).map(|open| open.contains(&address)),
        }
    };
    let wanted = |row: &&OverflowRow| port.is_none_or(|port| row.address.port() == port);
    overflows.rows.iter().filter(wanted).map(view).collect()
}

fn listener_view(row: &ListenerRow, full: Option<&Full>) -> ListenerView {
    let ListenerRow { address, interface, only_v6, queue, drops, inode, uid } = *row;
    ListenerView {
        addr: address.ip().to_string(),
        port: address.port(),
        interface,
        only_v6,
        backlog: queue.backlog,
        limit: queue.limit,
        drops,
        overflows_syn: full.map(|full| full.of(address).syn),
        overflows_ack: full.map(|full| full.of(address).ack),
        inode,
        uid,
    }
}

fn namespace_view(row: &ListenNamespaceRow, known: Known<'_>) -> ListenNamespaceView {
    let ListenNamespaceRow { netns, listen_overflows, listen_drops, challenge_acks, time_wait } = *row;
    ListenNamespaceView {
        netns,
        cgroup: netns.and_then(|netns| namespace_cgroup(netns, known)),
        listen_overflows,
        listen_drops,
        challenge_acks,
        time_wait_sockets: time_wait,
    }
}
