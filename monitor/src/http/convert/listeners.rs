//! Listeners to their JSON.

use crate::http::filter::listeners::ListenerFilter;
use crate::snapshot::Snapshot;
use crate::snapshot::listening::{ConntrackRow, ListenNamespaceRow, ListenerRow, Listening};
use crate::view::listeners::{
    ConntrackView, ListenNamespaceView, ListenTotalView, ListenerView, ListenersView,
};

/// At most `limit` sockets that match, and everything else.
pub fn listeners_view(snapshot: &Snapshot, filter: &ListenerFilter, limit: usize) -> ListenersView {
    let Listening {
        sockets,
        beyond,
        series: _,
        namespaces,
        listen_overflows,
        listen_drops,
        time_wait,
        orphans,
        conntrack,
    } = &snapshot.listening;
    let listener_drops = snapshot.listening.listener_drops();
    let chosen = sockets.as_deref().map(|rows| filter.select(rows));
    let open_drops = || sockets.iter().flat_map(|rows| rows.iter()).filter_map(|row| row.drops).sum();
    ListenersView {
        time: snapshot.taken.to_string(),
        since: snapshot.started.to_string(),
        matching: chosen.as_ref().map(Vec::len),
        not_listed: sockets.as_ref().map(|_| *beyond),
        listeners: chosen.map(|rows| rows.into_iter().take(limit).map(listener_view).collect()),
        listener_drops,
        closed_drops: listener_drops.map(|all| all.saturating_sub(open_drops())),
        namespaces: namespaces.iter().map(namespace_view).collect(),
        total: ListenTotalView { listen_overflows: *listen_overflows, listen_drops: *listen_drops },
        conntrack: conntrack.map(|ConntrackRow { entries, limit, drops }| ConntrackView {
            entries,
            limit,
            drops,
        }),
        orphan_sockets: *orphans,
        time_wait_sockets: *time_wait,
    }
}

fn listener_view(row: &ListenerRow) -> ListenerView {
    let ListenerRow { address, interface, only_v6, queue, drops, inode, uid } = *row;
    ListenerView {
        addr: address.ip().to_string(),
        port: address.port(),
        interface,
        only_v6,
        backlog: queue.backlog,
        limit: queue.limit,
        drops,
        inode,
        uid,
    }
}

fn namespace_view(row: &ListenNamespaceRow) -> ListenNamespaceView {
    let ListenNamespaceRow { netns, listen_overflows, listen_drops, time_wait } = *row;
    ListenNamespaceView { netns, listen_overflows, listen_drops, time_wait_sockets: time_wait }
}
