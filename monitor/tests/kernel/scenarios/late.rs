//! Late requests: the server has closed, its socket is a minisock or gone, and the client still sends.

use std::net::Shutdown;

use anyhow::{Result, ensure};
use monitor::view::CountsView;
use socket2::Protocol;

use super::told::{
    late, late_without_socket, lingering, received_after_end, received_by_orphan, received_in_vain,
};
use super::{Scenario, Stage};
use crate::expected::{End, Ends, Expected};
use crate::ledger::{ended, times};
use crate::netns::sysctl;
use crate::oracle;
use crate::owner::Owner;
use crate::signals::Signal;
use crate::sockets::{Family, Left, abort, saw_reset, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("a late request to a minisock is a reset", to_minisock),
    Scenario::on_all("a late first request is a reset though no data was carried before", first_request),
    Scenario::on_all("a late request without a socket is a reset", without_socket),
    Scenario::on(&[Family::V4], "a late request is a reset after FIN_WAIT2 has timed out", after_timeout),
    Scenario::on_all("a late request of many segments is one reset", many_segments),
    Scenario::on_all(
        "a late request of many segments without a socket is one reset",
        many_segments_without_socket,
    ),
    Scenario::on_all("a late request of a client that closes at once is a reset", with_its_end),
    Scenario::on_all("a client that sends its request and its end at once sees an end, too", with_half_close),
    Scenario::on(&[Family::V4, Family::V6], "a tuple used again is a connection of its own", tuple_again),
    Scenario::on(
        &[Family::V4, Family::V6],
        "a reset to a minisock ends nothing a second time",
        reset_to_minisock,
    ),
    Scenario::on(&[Family::V4], "a late end without data is no late request", late_end),
];

/// The two ends of a connection whose late request was answered by one reset.
fn note_late(stage: &mut Stage<'_>, exchanges: u64) {
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(exchanges) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(exchanges) });
}

/// From here on, closed sockets leave no minisock behind in this namespace.
fn without_minisocks() -> Result<()> {
    sysctl("ipv4/tcp_max_tw_buckets", "0")
}

fn to_minisock(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    send_late(stage, &left, |server| {
        late(server, "late_data", 4).map(|late| late.segments(1, 1).bytes_in(7))
    })?;
    note_late(stage, 1);
    Ok(())
}

/// Sends a late request and expects its story at both ends.
fn send_late(
    stage: &mut Stage<'_>,
    left: &Left,
    at_server: impl FnOnce(End) -> Result<Expected>,
) -> Result<()> {
    let ends = stage.ends(left.client_port);
    send(&left.client, b"late")?;
    stage.expect([
        at_server(ends.server())?,
        received_after_end(ends.client(), "late_data", &left.client)?.unacked(4),
    ]);
    Ok(())
}

fn first_request(stage: &mut Stage<'_>) -> Result<()> {
    let left = stage.place.listen()?.pair()?.close_server()?;
    send_late(stage, &left, |server| {
        Ok(late(server, "late_data", 4)?.segments(0, 0).bytes_in(0).bytes_out(0))
    })?;
    note_late(stage, 0);
    Ok(())
}

fn without_socket(stage: &mut Stage<'_>) -> Result<()> {
    without_minisocks()?;
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let (client_port, service_port) = (pair.client_port, pair.service_port);
    drop(pair.server);
    oracle::until_gone(service_port, client_port)?;
    let left = Left { client: pair.client, client_port, service_port };
    send_late(stage, &left, |server| late_without_socket(server, "late_data", 4))?;
    note_late(stage, 1);
    Ok(())
}

fn after_timeout(stage: &mut Stage<'_>) -> Result<()> {
    sysctl("ipv4/tcp_fin_timeout", "1")?;
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    oracle::until_gone(left.service_port, left.client_port)?;
    send_late(stage, &left, |server| late_without_socket(server, "late_data", 4))?;
    note_late(stage, 1);
    Ok(())
}

/// Each segment of the request may draw a reset of its own; the client accepts the first.
fn note_many(
    stage: &mut Stage<'_>,
    ends: Ends,
    first: Expected,
    others: &Expected,
    saw: Expected,
) -> Result<()> {
    let drawn = stage.ledger.resets_by_kernel()?;
    ensure!(drawn > 1, "the request drew {drawn} resets, so it shows nothing");
    stage.expect([first, saw]);
    stage.expect((1..drawn).map(|_| others.clone()));
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: drawn, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    received_in_vain(stage, ends.client(), drawn - 1);
    Ok(())
}

fn many_segments(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    let ends = stage.ends(left.client_port);
    // The reset may come while it is still sending.
    drop(send(&left.client, &vec![0; 200_000]));
    let saw = received_after_end(ends.client(), "late_data", &left.client)?;
    let server =
        ends.server().sent("late_data").certain().fin("local").remembered("our_fin").owner(&Owner::me()?);
    let first = server.clone().state("TIME_WAIT", "ESTABLISHED").reason("TCP_TIMEWAIT_SOCKET").in_sequence();
    let others = server.no_socket().reason("NO_SOCKET").no_sequence().uncounted();
    note_many(stage, ends, first, &others, saw)
}

fn many_segments_without_socket(stage: &mut Stage<'_>) -> Result<()> {
    without_minisocks()?;
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let ends = stage.ends(pair.client_port);
    drop(pair.server);
    oracle::until_gone(pair.service_port, pair.client_port)?;
    drop(send(&pair.client, &vec![0; 200_000]));
    let saw = received_after_end(ends.client(), "late_data", &pair.client)?;
    let server =
        ends.server().sent("late_data").certain().fin("local").remembered("our_fin").owner(&Owner::me()?);
    let first = server.no_socket().reason("NO_SOCKET").no_sequence();
    note_many(stage, ends, first.clone(), &first.uncounted(), saw)
}

fn with_its_end(stage: &mut Stage<'_>) -> Result<()> {
    const MSG_MORE: i32 = 0x8000;
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    // Data and FIN leave in one segment, and the reset finds an orphan.
    left.client.send_with_flags(b"late", MSG_MORE)?;
    drop(left.client);
    oracle::until_gone(left.client_port, left.service_port)?;
    let ends = stage.ends(left.client_port);
    stage.expect([
        late(ends.server(), "late_data", 4)?.segment("F.", 4),
        received_by_orphan(ends.client(), "late_data", "LAST_ACK").fin("peer").unacked(5),
    ]);
    note_late(stage, 1);
    Ok(())
}

fn with_half_close(stage: &mut Stage<'_>) -> Result<()> {
    const MSG_MORE: i32 = 0x8000;
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    let ends = stage.ends(left.client_port);
    left.client.send_with_flags(b"late", MSG_MORE)?;
    left.client.shutdown(Shutdown::Write)?;
    let saw = saw_reset(&left.client)?;
    stage.expect([
        late(ends.server(), "late_data", 4)?.segment("F.", 4),
        ends.client().received("late_data").certain().state("LAST_ACK", "LAST_ACK").fin("peer").app_saw(saw),
    ]);
    note_late(stage, 1);
    Ok(())
}

fn tuple_again(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let mut port = 0;
    for _ in 0..3 {
        let client = stage.place.client_socket(Protocol::TCP, port)?;
        client.connect(&stage.place.target().into())?;
        let pair = service.pair_of(client)?;
        pair.exchange(1)?;
        port = pair.client_port;
        // The reset ends the minisock, and so frees the tuple at once.
        let left = pair.close_server()?;
        send_late(stage, &left, |server| late(server, "late_data", 4))?;
        note_late(stage, 1);
    }
    Ok(())
}

fn reset_to_minisock(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let left = pair.close_server()?;
    abort(left.client)?;
    oracle::until_gone(left.service_port, left.client_port)?;
    let ends = stage.ends(left.client_port);
    stage.expect([
        lingering(ends.client())?.state("CLOSE", "CLOSE_WAIT").fin("peer"),
        ends.server().received_by_minisock("linger_abort").certain().owner(&Owner::me()?),
    ]);
    // The server's connection had ended before; that a reset reached its minisock no tracepoint tells.
    let reset = stage.sight.count(Signal::TimeWait, 1);
    stage.ledger.server(&stage.place, CountsView { reset, resets_received: reset, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    Ok(())
}

fn late_end(stage: &mut Stage<'_>) -> Result<()> {
    without_minisocks()?;
    let service = stage.place.listen()?;
    for _ in 0..2 {
        let pair = service.pair()?;
        pair.exchange(1)?;
        drop(pair.server);
        oracle::until_gone(pair.service_port, pair.client_port)?;
        // Its FIN finds no socket, and the answer ends the client's closing.
        drop(pair.client);
        let ends = stage.ends(pair.client_port);
        stage.expect([
            late_without_socket(ends.server(), "other", 0)?
                .possible()
                .uncounted()
                .state("LISTEN", "ESTABLISHED")
                // Once on 5.10 the listener was not found for it.
                .any_state()
                .reason("TCP_FLAGS")
                .segment("F.", 0),
            received_by_orphan(ends.client(), "other", "LAST_ACK").possible().fin("peer").unacked(1),
        ]);
    }
    stage.ledger.server(&stage.place, CountsView { resets_sent: 2, ..times(ended(1), 2) });
    stage.ledger.client(&stage.place, CountsView { reset: 2, resets_received: 2, ..times(ended(1), 2) });
    Ok(())
}
