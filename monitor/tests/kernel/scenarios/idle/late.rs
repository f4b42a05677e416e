//! Late requests: one side has closed, and the other sends all the same. The keep-alive race, where the close was for idleness.

use anyhow::Result;
use socket2::Socket;

use super::{Quiet, note_reset};
use crate::clock::{Bounds, Moment};
use crate::expected::Ends;
use crate::ledger::Role;
use crate::netns::sysctl;
use crate::oracle;
use crate::scenarios::told::{late, late_without_socket, received_after_end};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{poll_for_reset, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("a request that meets a server's idle close is the keep-alive race", race_with_server),
    Scenario::on_all("data that meets a client's idle close is the keep-alive race", race_with_client),
    Scenario::on_all("a request long after an idle close counts all the quiet", long_after),
    Scenario::on_all("a request that meets no socket after an idle close is the keep-alive race", no_socket),
    Scenario::on_all("a request after a busy close is late data, however late it comes", busy_close),
];

/// What is told of a late request besides the times.
pub(super) struct Late {
    cause: &'static str,
    has_minisock: bool,
    /// Data segments that the closer had received and sent.
    segments: (u32, u32),
}

const RACE: Late = Late { cause: "idle_reuse", has_minisock: true, segments: (1, 1) };
const WITHOUT_SOCKET: Late = Late { has_minisock: false, ..RACE };
const BUSY: Late = Late { cause: "late_data", ..RACE };
pub(super) const AFTER_HALF_CLOSE: Late = Late { segments: (2, 1), ..BUSY };

/// Sends data to the end that has closed, and expects what is told of it at both ends.
pub(super) fn send_late(
    stage: &mut Stage<'_>,
    socket: &Socket,
    ends: Ends,
    closer: Role,
    last: Moment,
    late_data: &Late,
) -> Result<()> {
    let Late { cause, has_minisock, segments } = *late_data;
    let ((), sent) = Moment::of(|| {
        send(socket, b"late")?;
        // Before anything is taken from the socket.
        poll_for_reset(socket)
    })?;
    let quiet = Bounds::between(last, sent);
    let closed = ends.of(closer);
    let told = if has_minisock { late(closed, cause, 4)? } else { late_without_socket(closed, cause, 4)? };
    stage.expect([
        told.idle(quiet, "before_peers_data").segments(segments.0, segments.1),
        received_after_end(ends.of(closer.other()), cause, socket)?.idle(quiet, "before_our_data").unacked(4),
    ]);
    Ok(())
}

fn race(stage: &mut Stage<'_>, closer: Role) -> Result<()> {
    let closed = Quiet::begin(stage)?.close(stage, closer)?;
    send_late(stage, &closed.other, closed.ends, closer, closed.last, &RACE)?;
    note_reset(stage, closer, 1);
    Ok(())
}

fn race_with_server(stage: &mut Stage<'_>) -> Result<()> {
    race(stage, Role::Server)
}

fn race_with_client(stage: &mut Stage<'_>) -> Result<()> {
    race(stage, Role::Client)
}

fn long_after(stage: &mut Stage<'_>) -> Result<()> {
    let closed = Quiet::begin(stage)?.close(stage, Role::Server)?;
    stage.quiet();
    send_late(stage, &closed.other, closed.ends, Role::Server, closed.last, &RACE)?;
    note_reset(stage, Role::Server, 1);
    Ok(())
}

fn no_socket(stage: &mut Stage<'_>) -> Result<()> {
    sysctl("ipv4/tcp_fin_timeout", "1")?;
    let closed = Quiet::begin(stage)?.close(stage, Role::Server)?;
    oracle::until_gone(closed.ours, closed.theirs)?;
    send_late(stage, &closed.other, closed.ends, Role::Server, closed.last, &WITHOUT_SOCKET)?;
    note_reset(stage, Role::Server, 1);
    Ok(())
}

fn busy_close(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    let ends = stage.ends(pair.client_port);
    let last = pair.last_exchange()?;
    let left = pair.close_server()?;
    stage.quiet();
    send_late(stage, &left.client, ends, Role::Server, last, &BUSY)?;
    note_reset(stage, Role::Server, 1);
    Ok(())
}
