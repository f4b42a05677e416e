//! Idle closes without any reset: who closed, and after how much quiet.

use std::net::Shutdown;
use std::time::Duration;

use anyhow::Result;

use super::{Quiet, note_end};
use crate::clock::{Bounds, Moment};
use crate::ledger::Role;
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{receive, receive_end, send};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("a server that closes a quiet connection is named, and for how long it was", by_server),
    Scenario::on_all("a client that closes a quiet connection is named, and for how long it was", by_client),
    Scenario::on_all("a connection that was never used is quiet from its beginning", unused),
    Scenario::on_all("a quiet connection is closed once, though both sides close", by_both),
    Scenario::on_all("a half close ends the quiet, and what is said after it is no quiet", half_close),
];

fn by_server(stage: &mut Stage<'_>) -> Result<()> {
    drop(Quiet::begin(stage)?.close(stage, Role::Server)?.other);
    note_end(stage, 1);
    Ok(())
}

fn by_client(stage: &mut Stage<'_>) -> Result<()> {
    drop(Quiet::begin(stage)?.close(stage, Role::Client)?.other);
    note_end(stage, 1);
    Ok(())
}

fn unused(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let (pair, opened) = Moment::of(|| service.pair())?;
    stage.quiet();
    let ends = stage.ends(pair.client_port);
    let ((), closed) = Moment::of(|| {
        drop(pair.server);
        receive_end(&pair.client)
    })?;
    let quiet = Bounds::between(opened, closed);
    stage.expect([
        ends.server().closed_idle().idle(quiet, "before_fin").owner(&Owner::me()?).segments(0, 0),
        ends.client().saw_idle_close().idle(quiet, "before_fin").segments(0, 0),
    ]);
    note_end(stage, 0);
    Ok(())
}

fn by_both(stage: &mut Stage<'_>) -> Result<()> {
    let closed = Quiet::begin(stage)?.close(stage, Role::Server)?;
    // It was quiet for longer still when the client closes; but it was closed before.
    stage.quiet();
    drop(closed.other);
    note_end(stage, 1);
    Ok(())
}

fn half_close(stage: &mut Stage<'_>) -> Result<()> {
    let Quiet { pair, ends, last } = Quiet::begin(stage)?;
    let ((), shut) = Moment::of(|| {
        pair.client.shutdown(Shutdown::Write)?;
        receive_end(&pair.server)
    })?;
    let quiet = Bounds::between(last, shut);
    stage.expect([
        ends.client().closed_idle().idle(quiet, "before_fin").owner(&Owner::me()?).shutdown("send"),
        ends.server().saw_idle_close().idle(quiet, "before_fin"),
    ]);
    // The server goes on, later than the same jiffy.
    wait::quiet_for(Duration::from_millis(50));
    let ((), more) = Moment::of(|| {
        send(&pair.server, b"response")?;
        receive(&pair.client, 8)
    })?;
    oracle::until_state(pair.client_port, pair.service_port, state::FIN_WAIT2)?;
    drop(pair.client);
    super::late::send_late(stage, &pair.server, ends, Role::Client, more, &super::late::AFTER_HALF_CLOSE)?;
    super::note_reset(stage, Role::Client, 1);
    Ok(())
}
