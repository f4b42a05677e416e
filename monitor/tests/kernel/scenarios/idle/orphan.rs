//! Orphans: whatever the late request touches on the closed side's socket, it is not taken for activity.

use anyhow::Result;

use super::{Closed, Quiet, note_reset};
use crate::capture::Capture;
use crate::clock::{Bounds, Moment};
use crate::ledger::Role;
use crate::netns::sysctl;
use crate::oracle::{self, state};
use crate::packets::Flags;
use crate::scenarios::told::{late_to_orphan, received_after_end};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{lose_without, poll_for_reset, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all(
        "a request to an orphan counts the quiet before it, though it brought an ACK",
        by_server,
    ),
    Scenario::on_all(
        "data to a client's orphan counts the quiet before it, though it brought an ACK",
        by_client,
    ),
    Scenario::on_all("a FIN that comes again does not shorten the quiet before a late request", fin_again),
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
    let closed = Quiet::begin(stage)?.close_unheard(stage, closer)?;
    oracle::until_state(closed.ours, closed.theirs, state::FIN_WAIT2)?;
    stage.quiet();
    let sent = send_late(&closed)?;
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

/// The request of the end that is left, until its answer.
fn send_late(closed: &Closed) -> Result<Moment> {
    let ((), sent) = Moment::of(|| {
        send(&closed.other, b"late")?;
        poll_for_reset(&closed.other)
    })?;
    Ok(sent)
}

fn fin_again(stage: &mut Stage<'_>) -> Result<()> {
    let quiet = Quiet::begin(stage)?;
    let capture = Capture::open()?;
    // Of what the client sends only its request arrives, so the FIN is sent until then.
    lose_without(&quiet.pair.server, Flags::PSH)?;
    let closed = quiet.close_unheard(stage, Role::Server)?;
    // On the loopback each passes on its way out and on its way in.
    for _ in 0..4 {
        capture.next(|passed| passed.from == closed.ends.server && passed.flags.has(Flags::FIN))?;
    }
    // And the answer that is lost: it would draw a reset of its own when the request is faster.
    for _ in 0..2 {
        capture.next(|passed| passed.from == closed.ends.client && passed.bytes == 0)?;
    }
    let sent = send_late(&closed)?;
    let quiet = Bounds::between(closed.last, sent);
    stage.expect([
        // The request acknowledges the FIN, and is no answer to it.
        late_to_orphan(closed.ends.server(), "idle_reuse", "FIN_WAIT2", 4)?
            .idle(quiet, "before_peers_data")
            .segments(2, 1),
        received_after_end(closed.ends.client(), "idle_reuse", &closed.other)?.idle(quiet, "before_our_data"),
    ]);
    note_reset(stage, Role::Server, 1);
    Ok(())
}
