//! Orphans: whatever the late request touches on the closed side's socket, it is not taken for activity.

use anyhow::Result;

use super::{Quiet, note_reset};
use crate::clock::{Bounds, Moment};
use crate::ledger::Role;
use crate::netns::sysctl;
use crate::oracle::{self, state};
use crate::scenarios::told::{late_to_orphan, received_after_end};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{poll_for_reset, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all(
        "a request to an orphan counts the quiet before it, though it brought an ACK",
        by_server,
    ),
    Scenario::on_all(
        "data to a client's orphan counts the quiet before it, though it brought an ACK",
        by_client,
    ),
];

fn by_server(stage: &mut Stage<'_>) -> Result<()> {
    to_orphan(stage, Role::Server)
}

fn by_client(stage: &mut Stage<'_>) -> Result<()> {
    to_orphan(stage, Role::Client)
}

fn to_orphan(stage: &mut Stage<'_>, closer: Role) -> Result<()> {
    // Beyond the 60 s of TIME_WAIT the kernel keeps the socket itself for the rest.
    sysctl("ipv4/tcp_fin_timeout", "100")?;
    let closed = Quiet::begin(stage)?.close(stage, closer)?;
    oracle::until_state(closed.ours, closed.theirs, state::FIN_WAIT2)?;
    stage.quiet();
    let ((), sent) = Moment::of(|| {
        send(&closed.other, b"late")?;
        poll_for_reset(&closed.other)
    })?;
    let quiet = Bounds::between(closed.last, sent);
    stage.expect([
        late_to_orphan(closed.ends.of(closer), "idle_reuse", "FIN_WAIT2", 4)?
            .idle(quiet, "before_peers_data")
            .acked(Bounds::up_to(sent, sent))
            .segments(2, 1),
        received_after_end(closed.ends.of(closer.other()), "idle_reuse", &closed.other)?
            .idle(quiet, "before_our_data"),
    ]);
    note_reset(stage, closer, 1);
    Ok(())
}
