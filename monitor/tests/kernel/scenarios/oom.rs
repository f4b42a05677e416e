//! What happens to connections when their process is killed for its memory.

use anyhow::{Result, ensure};
use monitor::view::CountsView;

use super::process::{answered, leave_unread};
use super::told::{late, received, received_after_end, unread};
use super::{Scenario, Stage};
use crate::cgroups::SmallCgroup;
use crate::helper::Holder;
use crate::ledger::{ended, times};
use crate::needs::Need;
use crate::oracle::{self, state};
use crate::sockets::{Family, port_of, send};

/// `kill -9` is told without it (`process.rs`).
pub(super) const SCENARIOS: &[Scenario] = &[Scenario::on(
    &[Family::V4, Family::V6],
    "an owner that the OOM killer killed is told as such by resets and late requests",
    killed,
)
.needing(Need::MemoryLimits)];

fn killed(stage: &mut Stage<'_>) -> Result<()> {
    // Dropped last.
    let cgroup = SmallCgroup::create()?;
    let mut holder = Holder::start(&stage.place, 3)?;
    let clients = answered(stage, &mut holder, 3)?;
    let killed = holder.owner()?.dying_of_oom();
    let (asking, quiet) = clients.split_at(1);
    leave_unread(stage, asking)?;
    holder.take_memory_in(&cgroup)?;
    ensure!(cgroup.oom_kills()? == 1, "the OOM killer killed {} processes", cgroup.oom_kills()?);
    for client in asking {
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            unread(ends.server())?.cause_of_exit(&killed).segments(2, 1).bytes_in(14).unread(7),
            received(ends.client(), "process_exit", client)?,
        ]);
    }
    for client in quiet {
        oracle::until_state(port_of(client)?, stage.place.port, state::CLOSE_WAIT)?;
        oracle::until_minisock(stage.place.port, port_of(client)?)?;
        send(client, b"late")?;
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            late(ends.server(), "process_exit", 4)?.cause_of_exit(&killed),
            received_after_end(ends.client(), "process_exit", client)?,
        ]);
    }
    stage.ledger.server(&stage.place, times(CountsView { reset: 1, resets_sent: 1, ..ended(1) }, 3));
    stage.ledger.client(&stage.place, times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, 3));
    Ok(())
}
