//! Quiet connections: how long they were quiet, by the trial's own clock, whatever has touched the socket's times since.

mod abort;
mod close;
mod crossing;
mod late;
mod orphan;
mod process;
mod tls;
mod upload;
mod vanished;

use anyhow::Result;
use monitor::view::CountsView;
use socket2::Socket;

use super::{Scenario, Stage};
use crate::clock::{Bounds, Moment};
use crate::expected::{Ends, inode_of};
use crate::ledger::{Role, ended};
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::sockets::Pair;

/// All of them.
pub(super) fn scenarios() -> Vec<Scenario> {
    [
        close::SCENARIOS,
        abort::SCENARIOS,
        late::SCENARIOS,
        crossing::SCENARIOS,
        upload::SCENARIOS,
        orphan::SCENARIOS,
        vanished::SCENARIOS,
        process::SCENARIOS,
        tls::SCENARIOS,
    ]
    .concat()
}

/// A connection that was quiet for more than a second after its one exchange.
struct Quiet {
    pair: Pair,
    ends: Ends,
    /// When its last data went.
    last: Moment,
}

impl Quiet {
    fn begin(stage: &mut Stage<'_>) -> Result<Self> {
        let pair = stage.place.listen()?.pair()?;
        let last = pair.last_exchange()?;
        let ends = stage.ends(pair.client_port);
        stage.quiet();
        Ok(Self { pair, ends, last })
    }

    /// One end closes, and both see an idle close.
    fn close(self, stage: &mut Stage<'_>, closer: Role) -> Result<Closed> {
        let closed = self.close_unheard(stage, closer)?;
        oracle::until_minisock(closed.ours, closed.theirs)?;
        Ok(closed)
    }

    /// The same where the closer may not hear that its FIN has come.
    fn close_unheard(self, stage: &mut Stage<'_>, closer: Role) -> Result<Closed> {
        let Self { pair, ends, last } = self;
        let (ours, theirs) = pair.ports(closer);
        let (closing, other) = pair.split(closer);
        let inodes = (inode_of(&closing)?, inode_of(&other)?);
        let ((), at) = Moment::of(|| {
            drop(closing);
            oracle::until_state(theirs, ours, state::CLOSE_WAIT)
        })?;
        let quiet = Bounds::between(last, at);
        let by_closer = ends.of(closer).closed_idle().idle(quiet, "before_fin").owner(&Owner::me()?);
        let by_other = ends.of(closer.other()).saw_idle_close().idle(quiet, "before_fin");
        stage.expect([
            by_closer.segments(1, 1).inode(inodes.0).our_cgroup()?,
            by_other.segments(1, 1).inode(inodes.1).our_cgroup()?,
        ]);
        Ok(Closed { other, ours, theirs, ends, last })
    }
}

/// What is left of it after one end has closed.
struct Closed {
    other: Socket,
    /// The closer's port, and the other's.
    ours: u16,
    theirs: u16,
    ends: Ends,
    last: Moment,
}

/// Notes a connection of which one end sent a reset and the other received it.
fn note_reset(stage: &mut Stage<'_>, sender: Role, exchanges: u64) {
    let (sent, received) = (
        CountsView { reset: 1, resets_sent: 1, ..ended(exchanges) },
        CountsView { reset: 1, resets_received: 1, ..ended(exchanges) },
    );
    stage.ledger.end(&stage.place, sender, sent);
    stage.ledger.end(&stage.place, sender.other(), received);
}

/// Notes a connection that ended well.
fn note_end(stage: &mut Stage<'_>, exchanges: u64) {
    stage.ledger.client(&stage.place, ended(exchanges));
    stage.ledger.server(&stage.place, ended(exchanges));
}
