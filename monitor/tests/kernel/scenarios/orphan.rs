//! Orphans: the server has closed, but its full socket is still there. Here the kernel's own tracepoint of received
//! resets also fires for data, and here resets are really received. Nothing may be mistaken for the other.

use std::fs;

use anyhow::Result;
use monitor::view::CountsView;

use super::told::{
    late_to_orphan, late_without_socket, lingering, received, received_after_end, received_by_orphan,
    received_in_vain,
};
use super::{Scenario, Stage};
use crate::ledger::ended;
use crate::needs::Need;
use crate::netns::{Namespace, sysctl};
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::packets::Flags;
use crate::sockets::{Family, Left, Pair, Service, abort, lose, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("data that crosses the FIN is one reset sent and none received", data_in_fin_wait1),
    Scenario::on_all(
        "a first request that crosses the FIN is one reset sent and none received",
        first_data_in_fin_wait1,
    ),
    Scenario::on_all("many segments that cross the FIN are one reset", many_segments_in_fin_wait1),
    Scenario::on(
        &[Family::V4, Family::V6],
        "data to an orphan in FIN_WAIT2 is one reset sent and none received",
        data_in_fin_wait2,
    ),
    Scenario::on_all("a reset received by an orphan in FIN_WAIT1 is one received", reset_in_fin_wait1),
    Scenario::on(
        &[Family::V4, Family::V6],
        "a reset received by an orphan in FIN_WAIT2 is one received",
        reset_in_fin_wait2,
    ),
    Scenario::on(
        &[Family::V4],
        "a reset received by a half-closed socket is one received",
        reset_after_shutdown,
    ),
    Scenario::on(
        &[Family::V4, Family::V6],
        "an orphan in FIN_WAIT2 that is waited for no longer is reset",
        timer_in_fin_wait2,
    ),
    Scenario::on(&[Family::V4, Family::V6], "orphans in the same place in memory are told apart", in_turn),
];

/// Changes a limit of the whole machine.
pub(crate) const WITHOUT_ROOM: Scenario = Scenario::on(
    &[Family::V4, Family::V6],
    "an orphan for which there is no room is reset for want of memory",
    without_room,
)
.needing(Need::OwnMachine);

/// The server closes, and its FIN gets lost.
fn close_in_fin_wait1(service: &Service, exchanges: usize) -> Result<Left> {
    let pair = service.pair()?;
    let Pair { client_port, service_port, .. } = pair;
    pair.exchange(exchanges)?;
    // Its FIN gets lost, so the server stays in FIN_WAIT1.
    lose(&pair.client, Flags::FIN)?;
    drop(pair.server);
    oracle::until_state(service_port, client_port, state::FIN_WAIT1)?;
    oracle::until_state(client_port, service_port, state::ESTABLISHED)?;
    Ok(Left { client: pair.client, client_port, service_port })
}

/// The server closes, its FIN is acknowledged, and its socket stays a full one: for what the timeout is above the 60 s of `TIME_WAIT`.
fn close_in_fin_wait2(stage: &Stage<'_>, timeout: &str) -> Result<Left> {
    sysctl("ipv4/tcp_fin_timeout", timeout)?;
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    pair.close_server_to_orphan()
}

/// Data met an orphan: the server sent one reset, the client received it.
fn note_data(stage: &mut Stage<'_>, exchanges: u64) {
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(exchanges) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(exchanges) });
}

/// Data crossed the FIN, which the client has not seen.
fn send_crossing(stage: &mut Stage<'_>, left: &Left) -> Result<()> {
    let ends = stage.ends(left.client_port);
    send(&left.client, b"crossing")?;
    stage.expect([
        late_to_orphan(ends.server(), "late_data", "FIN_WAIT1", 8)?,
        received(ends.client(), "late_data", &left.client)?.unacked(8),
    ]);
    Ok(())
}

/// The client aborts, and the orphan receives it.
fn abort_to_orphan(stage: &mut Stage<'_>, left: Left, [client, server]: [&str; 2]) -> Result<()> {
    let ends = stage.ends(left.client_port);
    let lingering = lingering(ends.client())?.state("CLOSE", client);
    stage.expect([
        if client == "CLOSE_WAIT" { lingering.fin("peer") } else { lingering },
        received_by_orphan(ends.server(), "linger_abort", server).certain().fin("local").owner(&Owner::me()?),
    ]);
    abort(left.client)?;
    oracle::until_gone(left.service_port, left.client_port)?;
    note_reset(stage);
    Ok(())
}

/// The client aborted: the orphan received one reset.
fn note_reset(stage: &mut Stage<'_>) {
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
}

fn data_in_fin_wait1(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait1(&stage.place.listen()?, 1)?;
    send_crossing(stage, &left)?;
    note_data(stage, 1);
    Ok(())
}

fn first_data_in_fin_wait1(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait1(&stage.place.listen()?, 0)?;
    send_crossing(stage, &left)?;
    note_data(stage, 0);
    Ok(())
}

fn many_segments_in_fin_wait1(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait1(&stage.place.listen()?, 1)?;
    let ends = stage.ends(left.client_port);
    drop(send(&left.client, &vec![0; 200_000]));
    let saw = received(ends.client(), "late_data", &left.client)?;
    let drawn = stage.ledger.resets_by_kernel()?;
    let server = ends.server().sent("late_data").certain().fin("local").owner(&Owner::me()?);
    let first = server.clone().state("CLOSE", "FIN_WAIT1").reason("TCP_ABORT_ON_DATA").orphan().in_sequence();
    let others = server.no_socket().reason("NO_SOCKET").remembered("our_fin").no_sequence().uncounted();
    stage.expect([first, saw]);
    stage.expect((1..drawn).map(|_| others.clone()));
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: drawn, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    received_in_vain(stage, ends.client(), drawn - 1);
    Ok(())
}

fn data_in_fin_wait2(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait2(stage, "100")?;
    let ends = stage.ends(left.client_port);
    send(&left.client, b"late")?;
    stage.expect([
        late_to_orphan(ends.server(), "late_data", "FIN_WAIT2", 4)?.segments(2, 1).bytes_in(7).bytes_out(8),
        received_after_end(ends.client(), "late_data", &left.client)?.unacked(4),
    ]);
    note_data(stage, 1);
    Ok(())
}

fn reset_in_fin_wait1(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait1(&stage.place.listen()?, 1)?;
    abort_to_orphan(stage, left, ["ESTABLISHED", "FIN_WAIT1"])
}

fn reset_in_fin_wait2(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait2(stage, "100")?;
    abort_to_orphan(stage, left, ["CLOSE_WAIT", "FIN_WAIT2"])
}

fn reset_after_shutdown(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    pair.server.shutdown(std::net::Shutdown::Both)?;
    oracle::until_state(pair.service_port, pair.client_port, state::FIN_WAIT2)?;
    let ends = stage.ends(pair.client_port);
    abort(pair.client)?;
    // Until then its application sees no more than the end that it asked for.
    oracle::until_gone(pair.service_port, pair.client_port)?;
    stage.expect([
        lingering(ends.client())?.state("CLOSE", "CLOSE_WAIT").fin("peer"),
        received(ends.server(), "linger_abort", &pair.server)?
            .state("FIN_WAIT2", "FIN_WAIT2")
            .fin("local")
            .owner(&Owner::me()?)
            .shutdown("both"),
    ]);
    note_reset(stage);
    Ok(())
}

fn timer_in_fin_wait2(stage: &mut Stage<'_>) -> Result<()> {
    let left = close_in_fin_wait2(stage, "61")?;
    let ends = stage.ends(left.client_port);
    // When the second above 60 is over there is no time left, not even for a minisock.
    sysctl("ipv4/tcp_fin_timeout", "10")?;
    let saw = received_after_end(ends.client(), "other", &left.client)?;
    stage.expect([
        ends.server()
            .sent("other")
            .possible()
            .active("FIN_WAIT2")
            .state("FIN_WAIT2", "FIN_WAIT2")
            .reason("TCP_STATE")
            .orphan()
            .fin("local")
            .owner(&Owner::me()?)
            .app_saw_unknown(),
        saw.any_cause().truly("other"),
    ]);
    note_data(stage, 1);
    Ok(())
}

fn without_room(stage: &mut Stage<'_>) -> Result<()> {
    const LIMIT: &str = "ipv4/tcp_max_orphans";
    let machine = Namespace::first()?;
    let usual = machine.enter(|| Ok(fs::read_to_string(format!("/proc/sys/net/{LIMIT}"))?))?;
    let left = close_in_fin_wait1(&stage.place.listen()?, 1)?;
    let ends = stage.ends(left.client_port);
    machine.enter(|| sysctl(LIMIT, "0"))?;
    // The timer that sends its FIN again finds that it is one too many.
    let saw = received(ends.client(), "memory_pressure", &left.client);
    machine.enter(|| sysctl(LIMIT, usual.trim()))?;
    stage.expect([
        ends.server()
            .sent("memory_pressure")
            .certain_by_reason("possible")
            .active("FIN_WAIT1")
            .state("FIN_WAIT1", "FIN_WAIT1")
            .reason("TCP_ABORT_ON_MEMORY")
            .orphan()
            .fin("local")
            .owner(&Owner::me()?),
        // That one stands behind the FIN that got lost, so the client asks back, and nobody is there any more.
        late_without_socket(ends.server(), "other", 0)?.possible().uncounted().segment(".", 0),
        // Without the kernel's reason the sender is not sure enough to say it for both.
        saw?.any_cause().truly("memory_pressure"),
    ]);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 2, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

fn in_turn(stage: &mut Stage<'_>) -> Result<()> {
    // The kernel gives a new socket the memory that the last one left.
    let service = stage.place.listen()?;
    for number in 0..300 {
        let left = close_in_fin_wait1(&service, 1)?;
        if number % 3 == 0 {
            send_crossing(stage, &left)?;
            note_data(stage, 1);
        } else {
            abort_to_orphan(stage, left, ["ESTABLISHED", "FIN_WAIT1"])?;
        }
    }
    Ok(())
}
