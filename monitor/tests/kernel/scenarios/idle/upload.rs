//! One-way traffic: the side that only receives, or answers slowly, has not sent for long, and nothing was quiet.

use std::time::Duration;

use anyhow::Result;

use super::{note_end, note_reset};
use crate::clock::{Bounds, Moment};
use crate::ledger::Role;
use crate::oracle::{self, state};
use crate::packets::Flags;
use crate::scenarios::told::{late, received, received_after_end, unread};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{Pair, lose_without, poll_for_reset, receive, send, wait_for_data};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all(
        "an upload that the server closes early is late data, not as old as the upload",
        closed_early,
    ),
    Scenario::on_all(
        "an upload that the server closes unread is unread data, not as old as the upload",
        closed_unread,
    ),
    Scenario::on_all("a slow answer right before the close is no quiet", slow_answer),
    Scenario::on_all("a slow first answer right before the close is no quiet", slow_first_answer),
];

/// Parts of the upload, and the pauses between them: more than a second in all, each much less.
const PARTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(220);

/// All but the last part of an upload, read by the server; when the last of them went.
fn upload(stage: &mut Stage<'_>) -> Result<(Pair, Moment)> {
    let pair = stage.place.listen()?.pair()?;
    stage.is_about_time();
    let mut last = None;
    for _ in 0..PARTS {
        wait::quiet_for(PAUSE);
        let ((), moment) = Moment::of(|| {
            send(&pair.client, &[0; 1000])?;
            receive(&pair.server, 1000)
        })?;
        last = Some(moment);
    }
    Ok((pair, last.unwrap_or(Moment { before: Duration::ZERO, after: Duration::ZERO })))
}

fn closed_early(stage: &mut Stage<'_>) -> Result<()> {
    let (pair, last) = upload(stage)?;
    let ends = stage.ends(pair.client_port);
    let left = pair.close_server()?;
    let ((), more) = Moment::of(|| {
        send(&left.client, &[0; 1000])?;
        poll_for_reset(&left.client)
    })?;
    let quiet = Bounds::between(last, more);
    stage.expect([
        late(ends.server(), "late_data", 1000)?
            .idle(quiet, "before_peers_data")
            .segments(PARTS, 0)
            .bytes_in(6000),
        received_after_end(ends.client(), "late_data", &left.client)?
            .idle(quiet, "before_our_data")
            .segments(0, PARTS + 1)
            .bytes_out(6000),
    ]);
    note_reset(stage, Role::Server, 0);
    Ok(())
}

fn closed_unread(stage: &mut Stage<'_>) -> Result<()> {
    let (pair, last) = upload(stage)?;
    let ends = stage.ends(pair.client_port);
    // As on a long way: nothing of the last part is acknowledged before the reset.
    lose_without(&pair.client, Flags::RST)?;
    let ((), more) = Moment::of(|| {
        send(&pair.client, &[0; 1000])?;
        wait_for_data(&pair.server)
    })?;
    let ((), closed) = Moment::of(|| {
        drop(pair.server);
        poll_for_reset(&pair.client)
    })?;
    stage.expect([
        unread(ends.server())?
            .idle(Bounds::between(more, closed), "before_reset")
            .segments(PARTS + 1, 0)
            .bytes_in(7000)
            .unread(1000),
        received(ends.client(), "unread_data", &pair.client)?
            .idle_within(Bounds::up_to(last, closed))
            .segments(0, PARTS + 1),
    ]);
    note_reset(stage, Role::Server, 0);
    Ok(())
}

fn slow_answer(stage: &mut Stage<'_>) -> Result<()> {
    answer_slowly(stage, 1)
}

fn slow_first_answer(stage: &mut Stage<'_>) -> Result<()> {
    answer_slowly(stage, 0)
}

fn answer_slowly(stage: &mut Stage<'_>, exchanges: usize) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(exchanges)?;
    send(&pair.client, b"request")?;
    receive(&pair.server, 7)?;
    stage.quiet();
    send(&pair.server, &[0; 1000])?;
    drop(pair.server);
    oracle::until_state(pair.client_port, pair.service_port, state::CLOSE_WAIT)?;
    receive(&pair.client, 1000)?;
    drop(pair.client);
    note_end(stage, u64::try_from(exchanges)? + 1);
    Ok(())
}
