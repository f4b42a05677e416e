//! Resets in the middle of a close, and resets after a reset: each connection still counts once at each end.

use std::net::Shutdown;

use anyhow::{Context as _, Result};
use monitor::view::CountsView;

use super::{Scenario, Stage};
use crate::ledger::ended;
use crate::oracle::{self, state};
use crate::packets::{Flags, RawSocket, Segment};
use crate::sockets::{Family, abort, lose, receive, receive_end, send, wait_for_data, wait_for_reset};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("SO_LINGER 0 after a half close is an abort", linger_after_shutdown),
    Scenario::on_all("SO_LINGER 0 after the other's half close is an abort", linger_in_close_wait),
    Scenario::on_all(
        "an unread request of a half-closed client is a reset on both sides",
        unread_in_close_wait,
    ),
    Scenario::on_all(
        "an unread request of a closed client is a reset where anybody is left",
        unread_of_closed,
    ),
    Scenario::on_all("an abort that gets lost is sent again and counts once", abort_lost),
    Scenario::on_all("a reset that gets lost is sent again and counts once", reset_lost),
    Scenario::on(
        &[Family::V4],
        "what comes after a connection that the peer closed first is a stray",
        peer_first,
    ),
];

fn linger_after_shutdown(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    pair.server.shutdown(Shutdown::Write)?;
    receive_end(&pair.client)?;
    oracle::until_state(pair.service_port, pair.client_port, state::FIN_WAIT2)?;
    abort(pair.server)?;
    wait_for_reset(&pair.client)?;
    stage.ledger.server(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

fn linger_in_close_wait(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    pair.client.shutdown(Shutdown::Write)?;
    receive_end(&pair.server)?;
    abort(pair.server)?;
    wait_for_reset(&pair.client)?;
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
    drop(pair.server);
    wait_for_reset(&pair.client)?;
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
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(0) });
    // Only a minisock was left of the client, and no tracepoint tells that a reset reached it.
    stage.ledger.client(&stage.place, ended(0));
    Ok(())
}

fn abort_lost(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    lose(&pair.client, Flags::RST)?;
    abort(pair.server)?;
    oracle::until_gone(pair.service_port, pair.client_port)?;
    pair.client.detach_filter()?;
    send(&pair.client, b"another")?;
    wait_for_reset(&pair.client)?;
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
    pair.client.detach_filter()?;
    send(&pair.client, b"another")?;
    wait_for_reset(&pair.client)?;
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 2, ..ended(0) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(0) });
    Ok(())
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
    stage.ledger.stray_sent(service_port, 1);
    stage.ledger.server(&stage.place, ended(1));
    stage.ledger.client(&stage.place, ended(1));
    Ok(())
}
