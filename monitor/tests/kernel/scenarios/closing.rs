//! Resets in the middle of a close, and resets after a reset: each connection still counts once at each end.

use std::net::Shutdown;

use anyhow::{Context as _, Result};
use monitor::view::CountsView;

use super::told::{lingering, received, received_after_end, unread};
use super::{Scenario, Stage};
use crate::expected::{End, Expected, inode_of};
use crate::ledger::ended;
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::packets::{Flags, RawSocket, Segment};
use crate::signals::Signal;
use crate::sockets::{Family, abort, lose, receive, receive_end, send, wait_for_data};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("SO_LINGER 0 after a half close is an abort", linger_after_shutdown),
    Scenario::on_all("SO_LINGER 0 after the other's half close is an abort", linger_in_close_wait),
    Scenario::on_all(
        "an unread request of a half-closed client is a reset on both sides",
        unread_in_close_wait,
    ),
    OF_CLOSED,
    Scenario::on_all("an abort that gets lost is sent again and counts once", abort_lost),
    Scenario::on_all("a reset that gets lost is sent again and counts once", reset_lost),
    Scenario::on(
        &[Family::V4],
        "what comes after a connection that the peer closed first is a stray",
        peer_first,
    ),
];

/// A reset that meets a minisock.
pub(super) const OF_CLOSED: Scenario = Scenario::on_all(
    "an unread request of a closed client is a reset where anybody is left",
    unread_of_closed,
);

fn linger_after_shutdown(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    pair.server.shutdown(Shutdown::Write)?;
    receive_end(&pair.client)?;
    oracle::until_state(pair.service_port, pair.client_port, state::FIN_WAIT2)?;
    let (ends, inode) = (stage.ends(pair.client_port), inode_of(&pair.server)?);
    abort(pair.server)?;
    stage.expect([
        lingering(ends.server())?
            .state("CLOSE", "FIN_WAIT2")
            .fin("local")
            .segments(1, 1)
            .bytes_in(7)
            .bytes_out(8)
            .inode(inode),
        received_after_end(ends.client(), "linger_abort", &pair.client)?.segments(1, 1).bytes_in(8),
    ]);
    stage.ledger.server(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

fn linger_in_close_wait(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    pair.client.shutdown(Shutdown::Write)?;
    receive_end(&pair.server)?;
    oracle::until_state(pair.client_port, pair.service_port, state::FIN_WAIT2)?;
    let ends = stage.ends(pair.client_port);
    abort(pair.server)?;
    stage.expect([
        lingering(ends.server())?.state("CLOSE", "CLOSE_WAIT").fin("peer").segments(1, 1).bytes_in(7),
        received(ends.client(), "linger_abort", &pair.client)?
            .state("FIN_WAIT2", "FIN_WAIT2")
            .fin("local")
            .owner(&Owner::me()?)
            .shutdown("send")
            .segments(1, 1)
            .bytes_in(8)
            .bytes_out(7),
    ]);
    stage.ledger.server(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

fn unread_in_close_wait(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    send(&pair.client, b"request")?;
    pair.client.shutdown(Shutdown::Write)?;
    oracle::until_state(pair.service_port, pair.client_port, state::CLOSE_WAIT)?;
    wait_for_data(&pair.server)?;
    oracle::until_state(pair.client_port, pair.service_port, state::FIN_WAIT2)?;
    let ends = stage.ends(pair.client_port);
    drop(pair.server);
    stage.expect([
        unread(ends.server())?.state("CLOSE", "CLOSE_WAIT").fin("peer").segments(1, 0).bytes_in(7).unread(7),
        received(ends.client(), "unread_data", &pair.client)?
            .state("FIN_WAIT2", "FIN_WAIT2")
            .fin("local")
            .owner(&Owner::me()?),
    ]);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(0) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(0) });
    Ok(())
}

fn unread_of_closed(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    send(&pair.client, b"request")?;
    drop(pair.client);
    oracle::until_state(pair.client_port, pair.service_port, state::FIN_WAIT2)?;
    wait_for_data(&pair.server)?;
    drop(pair.server);
    oracle::until_gone(pair.client_port, pair.service_port)?;
    let ends = stage.ends(pair.client_port);
    stage.expect([
        unread(ends.server())?.state("CLOSE", "CLOSE_WAIT").fin("peer").unread(7),
        ends.client().received_by_minisock("unread_data").certain().owner(&Owner::me()?),
    ]);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(0) });
    // Only a minisock was left of the client, and no tracepoint tells that a reset reached it.
    let reset = stage.sight.count(Signal::TimeWait, 1);
    stage.ledger.client(&stage.place, CountsView { reset, resets_received: reset, ..ended(0) });
    Ok(())
}

fn abort_lost(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    lose(&pair.client, Flags::RST)?;
    abort(pair.server)?;
    oracle::until_gone(pair.service_port, pair.client_port)?;
    oracle::until_dropped(pair.client_port, pair.service_port)?;
    pair.client.detach_filter()?;
    send(&pair.client, b"another")?;
    let ends = stage.ends(pair.client_port);
    stage.expect([
        lingering(ends.server())?,
        after_reset(ends.server(), "linger_abort", "linger")?,
        received(ends.client(), "linger_abort", &pair.client)?.unacked(7),
    ]);
    stage.ledger.server(&stage.place, CountsView { aborted: 1, resets_sent: 2, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

fn reset_lost(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    send(&pair.client, b"request")?;
    receive(&pair.server, 1)?;
    lose(&pair.client, Flags::RST)?;
    drop(pair.server);
    oracle::until_gone(pair.service_port, pair.client_port)?;
    oracle::until_dropped(pair.client_port, pair.service_port)?;
    pair.client.detach_filter()?;
    send(&pair.client, b"another")?;
    let ends = stage.ends(pair.client_port);
    stage.expect([
        unread(ends.server())?.unread(6),
        after_reset(ends.server(), "unread_data", "unread_data")?,
        received(ends.client(), "unread_data", &pair.client)?,
    ]);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 2, ..ended(0) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(0) });
    Ok(())
}

/// A segment that finds the connection reset already, by the calling thread.
fn after_reset(end: End, cause: &str, ended: &str) -> Result<Expected> {
    Ok(end
        .sent(cause)
        .likely()
        .uncounted()
        .remembered(ended)
        .owner(&Owner::me()?)
        .no_socket()
        .reason("NO_SOCKET")
        .segment("P.", 7)
        .no_sequence())
}

fn peer_first(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let pair = service.pair()?;
    pair.exchange(1)?;
    let (client_port, service_port) = (pair.client_port, pair.service_port);
    drop(pair.client);
    receive_end(&pair.server)?;
    drop(pair.server);
    oracle::until_gone(service_port, client_port)?;
    drop(service);
    RawSocket::open()?
        .send(Segment {
            from: [127, 0, 0, 3].into(),
            from_port: client_port,
            to: [127, 0, 0, 2].into(),
            port: service_port,
            flags: Flags::ACK,
        })
        .context("cannot send a stray")?;
    let stray = stage.ends(client_port).server().stray_sent("other").possible();
    stage.expect([stray.no_socket().reason("NO_SOCKET").segment(".", 0)]);
    stage.ledger.stray_sent(service_port, 1);
    stage.ledger.server(&stage.place, ended(1));
    stage.ledger.client(&stage.place, ended(1));
    Ok(())
}
