//! Many connections that end at once are told as one burst. What is none: `monitor/src/burst/tests.rs`.

use anyhow::Result;
use monitor::view::CountsView;

use super::process::{answered, leave_unread};
use super::told::{received, unread};
use super::{Scenario, Stage};
use crate::helper::Holder;
use crate::ledger::{ended, times};
use crate::sockets::port_of;
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] =
    &[Scenario::on_all("a server that dies with many connections is a burst at both ends", die)];

/// More than the five that make one.
const MANY: usize = 8;

/// A server is killed with requests unread.
fn die(stage: &mut Stage<'_>) -> Result<()> {
    let mut holder = Holder::start(&stage.place, MANY)?;
    let clients = answered(stage, &mut holder, MANY)?;
    let killed = holder.owner()?.dying_of(9);
    leave_unread(stage, &clients)?;
    holder.kill()?;
    for client in &clients {
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            unread(ends.server())?.cause_of_exit(&killed).in_burst(MANY),
            received(ends.client(), "process_exit", client)?.in_burst(MANY),
        ]);
    }
    let query = format!("port={}&limit=1000", stage.place.port);
    wait::until_true("the end of the burst", || {
        let events = stage.api.events(&query)?.events;
        Ok(events.iter().filter(|event| event.burst.is_some()).count() == 2 * MANY)
    })?;
    let many = MANY as u64;
    stage.ledger.server(&stage.place, times(CountsView { reset: 1, resets_sent: 1, ..ended(1) }, many));
    stage.ledger.client(&stage.place, times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, many));
    Ok(())
}
