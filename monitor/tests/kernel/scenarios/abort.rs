//! Resets by which one side ends a live connection.

use anyhow::Result;
use monitor::view::CountsView;
use rustix::net::connect_unspec;
use socket2::{Protocol, TcpKeepalive};
use std::time::Duration;

use super::told::{destroyed, lingering, received, ss_kill, unread};
use super::{Scenario, Stage};
use crate::capture::Capture;
use crate::clock::{Bounds, Moment};
use crate::expected::{Ends, Expected, inode_of};
use crate::ledger::ended;
use crate::owner::Owner;
use crate::packets::Flags;
use crate::sockets::{Family, Pair, abort, lose_everything, receive, saw_reset, send, wait_for_data};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("closing with unread data is a reset, by the server", unread_by_server),
    Scenario::on_all("closing with unread data is a reset, by the client", unread_by_client),
    BY_CLIENT,
    Scenario::on_all("closing with SO_LINGER 0 is an abort, by the server", linger_by_server),
    Scenario::on_all("unread data weighs more than SO_LINGER 0", linger_with_unread),
    Scenario::on_all("a client that really sends TTL 1 is still a server's peer", one_hop),
    Scenario::on_all("without any data a reset is an abort on both sides, by the server", empty_by_server),
    Scenario::on_all("without any data a reset is an abort on both sides, by the client", empty_by_client),
    Scenario::on_all("ss -K is an abort", killed_by_ss),
    Scenario::on_all("ss -K without any data is an abort on both sides", killed_by_ss_empty),
    Scenario::on(
        &[Family::V4, Family::V6],
        "disconnecting a socket is an abort, and it connects again",
        disconnect,
    ),
    Scenario::on_all("a silent peer is reset by the keep-alive timer", keepalive),
];

/// One reset, sent and received.
pub(super) const BY_CLIENT: Scenario =
    Scenario::on_all("closing with SO_LINGER 0 is an abort, by the client", linger_by_client);

/// The sender's and the receiver's counts of a reset that counts as reset.
fn reset(exchanges: u64) -> (CountsView, CountsView) {
    (
        CountsView { reset: 1, resets_sent: 1, ..ended(exchanges) },
        CountsView { reset: 1, resets_received: 1, ..ended(exchanges) },
    )
}

/// The sender's and the receiver's counts of an abort after data.
fn aborted(exchanges: u64) -> (CountsView, CountsView) {
    let (sender, receiver) = reset(exchanges);
    (CountsView { reset: 0, aborted: 1, ..sender }, receiver)
}

/// The sender's and the receiver's counts of an abort before any data.
fn aborted_empty() -> (CountsView, CountsView) {
    let (sender, receiver) = aborted(0);
    (sender, CountsView { reset: 0, aborted: 1, ..receiver })
}

/// The client's and the server's counts when the client sends the reset.
const fn by_client((sender, receiver): (CountsView, CountsView)) -> (CountsView, CountsView) {
    (sender, receiver)
}

/// The client's and the server's counts when the server sends the reset.
const fn by_server((sender, receiver): (CountsView, CountsView)) -> (CountsView, CountsView) {
    (receiver, sender)
}

/// One connection: `act` ends it and tells what is to be told of it.
fn play(
    stage: &mut Stage<'_>,
    (client, server): (CountsView, CountsView),
    act: impl FnOnce(Pair, Ends) -> Result<[Expected; 2]>,
) -> Result<()> {
    let service = stage.place.listen()?;
    let pair = service.pair()?;
    let ends = stage.ends(pair.client_port);
    stage.expect(act(pair, ends)?);
    stage.ledger.ends_at_once();
    stage.ledger.client(&stage.place, client);
    stage.ledger.server(&stage.place, server);
    Ok(())
}

fn unread_by_server(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_server(reset(0)), |pair, ends| {
        send(&pair.client, b"request")?;
        wait_for_data(&pair.server)?;
        let inode = inode_of(&pair.server)?;
        drop(pair.server);
        Ok([
            unread(ends.server())?.segments(1, 0).bytes_in(7).bytes_out(0).unread(7).inode(inode),
            received(ends.client(), "unread_data", &pair.client)?.segments(0, 1).bytes_in(0),
        ])
    })
}

fn unread_by_client(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_client(reset(1)), |pair, ends| {
        send(&pair.client, b"request")?;
        receive(&pair.server, 7)?;
        send(&pair.server, b"response")?;
        wait_for_data(&pair.client)?;
        let inode = inode_of(&pair.client)?;
        drop(pair.client);
        Ok([
            unread(ends.client())?.segments(1, 1).bytes_in(8).bytes_out(7).unread(8).inode(inode),
            received(ends.server(), "unread_data", &pair.server)?.segments(1, 1).bytes_in(7),
        ])
    })
}

fn linger_by_client(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_client(aborted(1)), |pair, ends| {
        pair.exchange(1)?;
        let inode = inode_of(&pair.client)?;
        abort(pair.client)?;
        Ok([
            lingering(ends.client())?.segments(1, 1).bytes_in(8).inode(inode),
            received(ends.server(), "linger_abort", &pair.server)?.segments(1, 1).bytes_in(7),
        ])
    })
}

fn linger_by_server(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_server(aborted(2)), |pair, ends| {
        pair.exchange(2)?;
        let inode = inode_of(&pair.server)?;
        abort(pair.server)?;
        Ok([
            lingering(ends.server())?.segments(2, 2).bytes_in(14).inode(inode),
            received(ends.client(), "linger_abort", &pair.client)?.segments(2, 2).bytes_in(16),
        ])
    })
}

/// TTL 1 is what a client's own socket has where the kernel keeps an accepted one's handshake TTL.
fn one_hop(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let client = stage.place.client_socket(Protocol::TCP, 0)?;
    match stage.place.family {
        Family::V4 | Family::Mapped => client.set_ttl_v4(1)?,
        Family::V6 => client.set_unicast_hops_v6(1)?,
    }
    client.connect(&stage.place.target().into())?;
    let pair = service.pair_of(client)?;
    pair.exchange(2)?;
    let ends = stage.ends(pair.client_port);
    abort(pair.server)?;
    stage.expect([
        // A TTL of 1 is all that a client's own socket would show, so it is no baseline.
        lingering(ends.server())?.no_baseline(),
        received(ends.client(), "linger_abort", &pair.client)?,
    ]);
    let (client, server) = by_server(aborted(2));
    stage.ledger.client(&stage.place, client);
    stage.ledger.server(&stage.place, server);
    Ok(())
}

fn linger_with_unread(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_server(reset(0)), |pair, ends| {
        send(&pair.client, b"request")?;
        wait_for_data(&pair.server)?;
        abort(pair.server)?;
        Ok([unread(ends.server())?.unread(7), received(ends.client(), "unread_data", &pair.client)?])
    })
}

fn empty_by_server(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_server(aborted_empty()), |pair, ends| {
        abort(pair.server)?;
        Ok([
            lingering(ends.server())?.segments(0, 0),
            received(ends.client(), "linger_abort", &pair.client)?.aborted().segments(0, 0),
        ])
    })
}

fn empty_by_client(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_client(aborted_empty()), |pair, ends| {
        abort(pair.client)?;
        Ok([
            lingering(ends.client())?.segments(0, 0),
            received(ends.server(), "linger_abort", &pair.server)?.aborted().segments(0, 0),
        ])
    })
}

fn killed_by_ss(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_client(aborted(1)), |pair, ends| {
        pair.exchange(1)?;
        ss_kill(&pair)?;
        let inode = inode_of(&pair.client)?;
        Ok([
            destroyed(ends.client(), saw_reset(&pair.client)?).segments(1, 1).inode(inode),
            received(ends.server(), "admin_abort", &pair.server)?,
        ])
    })
}

fn killed_by_ss_empty(stage: &mut Stage<'_>) -> Result<()> {
    play(stage, by_client(aborted_empty()), |pair, ends| {
        ss_kill(&pair)?;
        Ok([
            destroyed(ends.client(), saw_reset(&pair.client)?).segments(0, 0),
            received(ends.server(), "admin_abort", &pair.server)?.aborted(),
        ])
    })
}

fn disconnect(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let mut client = stage.place.client_socket(Protocol::TCP, 0)?;
    for _ in 0..2 {
        client.connect(&stage.place.target().into())?;
        let pair = service.pair_of(client)?;
        pair.exchange(1)?;
        let inode = inode_of(&pair.client)?;
        let ends = stage.ends(pair.client_port);
        connect_unspec(&pair.client)?;
        let disconnected = ends.client().sent("other").possible().aborted().active("ESTABLISHED");
        stage.expect([
            disconnected.reason("TCP_STATE").inode(inode).owner(&Owner::me()?).app_saw_unknown(),
            received(ends.server(), "peer_abort", &pair.server)?.likely_by_ttl(),
        ]);
        client = pair.client;
        let (ours, theirs) = by_client(aborted(1));
        stage.ledger.client(&stage.place, ours);
        stage.ledger.server(&stage.place, theirs);
    }
    Ok(())
}

fn keepalive(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let pair = service.pair()?;
    let ends = stage.ends(pair.client_port);
    let last = pair.last_exchange()?;
    lose_everything(&pair.client)?;
    stage.is_about_time();
    let second = Duration::from_secs(1);
    let capture = Capture::open()?;
    pair.server
        .set_tcp_keepalive(&TcpKeepalive::new().with_time(second).with_interval(second).with_retries(1))?;
    let (saw, reset) = Moment::of(|| saw_reset(&pair.server))?;
    // On the loopback it passes on its way out and on its way in; there it is lost.
    for _ in 0..2 {
        capture.next(|passed| passed.from == ends.server && passed.flags.has(Flags::RST))?;
    }
    // The client never heard of it, and aborts what no longer exists.
    let ((), aborted) = Moment::of(|| abort(pair.client))?;
    stage.expect([
        ends.server()
            .sent("keepalive_timeout")
            .certain_by_reason("likely")
            .active("ESTABLISHED")
            .state("ESTABLISHED", "ESTABLISHED")
            .reason("TCP_KEEPALIVE_TIMEOUT")
            .probes(1)
            .app_saw(saw)
            .idle(Bounds::between(last, reset), "before_reset"),
        lingering(ends.client())?.idle(Bounds::between(last, aborted), "before_reset"),
    ]);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    Ok(())
}
