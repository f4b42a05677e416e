//! Quiet connections that one side ends by a reset of its own accord.

use anyhow::Result;
use monitor::view::CountsView;

use super::Quiet;
use crate::clock::{Bounds, Moment};
use crate::ledger::{Role, ended};
use crate::scenarios::told::{destroyed, lingering, received, ss_kill};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{abort, poll_for_reset, saw_reset};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("an abort after long quiet tells how long, and the receiver who chose it", by_server),
    Scenario::on_all("a client's abort after long quiet tells how long", by_client),
    Scenario::on_all("ss -K after long quiet tells how long", by_ss),
];

fn by_server(stage: &mut Stage<'_>) -> Result<()> {
    aborted(stage, Role::Server)
}

fn by_client(stage: &mut Stage<'_>) -> Result<()> {
    aborted(stage, Role::Client)
}

fn aborted(stage: &mut Stage<'_>, sender: Role) -> Result<()> {
    let Quiet { pair, ends, last } = Quiet::begin(stage)?;
    let (aborting, other) = pair.split(sender);
    let ((), at) = Moment::of(|| {
        abort(aborting)?;
        poll_for_reset(&other)
    })?;
    let quiet = Bounds::between(last, at);
    stage.expect([
        lingering(ends.of(sender))?.idle(quiet, "before_reset").segments(1, 1),
        received(ends.of(sender.other()), "linger_abort", &other)?.idle(quiet, "before_reset").segments(1, 1),
    ]);
    note(stage, sender);
    Ok(())
}

fn by_ss(stage: &mut Stage<'_>) -> Result<()> {
    let Quiet { pair, ends, last } = Quiet::begin(stage)?;
    let ((), at) = Moment::of(|| {
        ss_kill(&pair)?;
        poll_for_reset(&pair.server)
    })?;
    let quiet = Bounds::between(last, at);
    stage.expect([
        destroyed(ends.client(), saw_reset(&pair.client)?).idle(quiet, "before_reset"),
        received(ends.server(), "admin_abort", &pair.server)?.idle(quiet, "before_reset"),
    ]);
    note(stage, Role::Client);
    Ok(())
}

fn note(stage: &mut Stage<'_>, sender: Role) {
    let sent = CountsView { aborted: 1, resets_sent: 1, ..ended(1) };
    stage.ledger.end(&stage.place, sender, sent);
    stage.ledger.end(&stage.place, sender.other(), CountsView { reset: 1, resets_received: 1, ..ended(1) });
}
