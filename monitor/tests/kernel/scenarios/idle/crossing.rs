//! Requests that cross the closing of a quiet connection: the timer ran out while they were on their way.

use std::time::Duration;

use anyhow::Result;

use super::{Quiet, note_reset};
use crate::clock::{Bounds, Moment};
use crate::expected::inode_of;
use crate::ledger::Role;
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::packets::Flags;
use crate::scenarios::told::{late_to_orphan, received, unread};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{lose, lose_without, poll_for_reset, send, wait_for_data};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all(
        "a request that crosses the timer and is closed unread is the keep-alive race",
        unread_by_server,
    ),
    Scenario::on_all(
        "data that crosses the client's timer and is closed unread is the race, too",
        unread_by_client,
    ),
    Scenario::on_all("a request that crosses the FIN of an idle close is the keep-alive race", crossing_fin),
];

/// What the daemon takes for "has just arrived", less some jiffies: a slower machine shows something else.
const JUST_NOW: Duration = Duration::from_millis(80);

fn unread_by_server(stage: &mut Stage<'_>) -> Result<()> {
    closed_unread(stage, Role::Server)
}

fn unread_by_client(stage: &mut Stage<'_>) -> Result<()> {
    closed_unread(stage, Role::Client)
}

/// The closer's timer runs out when data has arrived that it has not read yet.
fn closed_unread(stage: &mut Stage<'_>, closer: Role) -> Result<()> {
    let Quiet { pair, ends, last } = Quiet::begin(stage)?;
    let (closing, other) = pair.split(closer);
    // Its data is not acknowledged before the reset, as on any way that is longer than this one.
    lose_without(&other, Flags::RST)?;
    let ((), asked) = Moment::of(|| {
        send(&other, b"request")?;
        wait_for_data(&closing)
    })?;
    let inode = inode_of(&closing)?;
    let ((), closed) = Moment::of(|| {
        drop(closing);
        poll_for_reset(&other)
    })?;
    let sent = unread(ends.of(closer))?.segments(2, 1).unread(7).inode(inode);
    let received = received(ends.of(closer.other()), "idle_reuse", &other)?.segments(1, 2);
    let quiet = Bounds::between(last, asked);
    if Bounds::up_to(asked, closed).is_below(JUST_NOW) {
        stage.expect([
            sent.of_cause("idle_reuse").likely().idle(quiet, "before_peers_data"),
            received.likely().unacked(7).idle(quiet, "before_our_data"),
        ]);
    } else {
        stage.expect([sent.any_cause(), received.any_cause()]);
    }
    note_reset(stage, closer, 1);
    Ok(())
}

fn crossing_fin(stage: &mut Stage<'_>) -> Result<()> {
    let Quiet { pair, ends, last } = Quiet::begin(stage)?;
    lose(&pair.client, Flags::FIN)?;
    let ((), closed) = Moment::of(|| {
        drop(pair.server);
        oracle::until_state(pair.service_port, pair.client_port, state::FIN_WAIT1)
    })?;
    let idle = Bounds::between(last, closed);
    stage.expect([ends.server().closed_idle().idle(idle, "before_fin").owner(&Owner::me()?)]);
    let ((), asked) = Moment::of(|| {
        send(&pair.client, b"crossing")?;
        poll_for_reset(&pair.client)
    })?;
    let quiet = Bounds::between(last, asked);
    stage.expect([
        late_to_orphan(ends.server(), "idle_reuse", "FIN_WAIT1", 8)?
            .idle(quiet, "before_peers_data")
            .acked(Bounds::up_to(asked, asked))
            .segments(2, 1)
            .bytes_in(7),
        received(ends.client(), "idle_reuse", &pair.client)?.idle(quiet, "before_our_data").unacked(8),
    ]);
    note_reset(stage, Role::Server, 1);
    Ok(())
}
