//! What happens to connections when their process or their listener goes away.

use anyhow::Result;
use monitor::view::CountsView;
use socket2::Socket;

use super::told::{late, received, received_after_end, unread};
use super::{Scenario, Stage};
use crate::expected::{End, Expected};
use crate::helper::Holder;
use crate::ledger::{ended, times};
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::sockets::{Family, port_of, receive, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("kill -9 resets the connections with unread data, and closes the others", kill),
    Scenario::on_all("a closed listener resets the connections nobody accepted", close_listener),
    Scenario::on(&[Family::V4], "late requests after kill -9 are resets", late_after_kill),
];

/// So many clients of a server in a process of its own, each answered once.
pub(super) fn answered(stage: &Stage<'_>, holder: &mut Holder, count: usize) -> Result<Vec<Socket>> {
    let ask = |_| -> Result<Socket> {
        let client = stage.place.connect()?;
        send(&client, b"request")?;
        receive(&client, 8)?;
        Ok(client)
    };
    let clients = (0..count).map(ask).collect::<Result<_>>()?;
    holder.wait_until_answered()?;
    Ok(clients)
}

/// One more request of each, which it does not read.
pub(super) fn leave_unread(stage: &Stage<'_>, clients: &[Socket]) -> Result<()> {
    for client in clients {
        send(client, b"another")?;
        oracle::until_unread(stage.place.port, port_of(client)?, 7)?;
    }
    Ok(())
}

fn kill(stage: &mut Stage<'_>) -> Result<()> {
    let mut holder = Holder::start(&stage.place, 5)?;
    let mut clients = answered(stage, &mut holder, 5)?;
    let killed = holder.owner()?.dying_of(9);
    let quiet = clients.split_off(3);
    leave_unread(stage, &clients)?;
    holder.kill()?;
    for client in &clients {
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            unread(ends.server())?.cause_of_exit(&killed).segments(2, 1).bytes_in(14).unread(7),
            received(ends.client(), "process_exit", client)?,
        ]);
    }
    for client in &quiet {
        oracle::until_state(port_of(client)?, stage.place.port, state::CLOSE_WAIT)?;
        oracle::until_state(stage.place.port, port_of(client)?, state::FIN_WAIT2)?;
    }
    drop(quiet);
    stage.ledger.server(&stage.place, times(CountsView { reset: 1, resets_sent: 1, ..ended(1) }, 3));
    stage.ledger.client(&stage.place, times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, 3));
    stage.ledger.server(&stage.place, times(ended(1), 2));
    stage.ledger.client(&stage.place, times(ended(1), 2));
    Ok(())
}

fn late_after_kill(stage: &mut Stage<'_>) -> Result<()> {
    let mut holder = Holder::start(&stage.place, 2)?;
    let clients = answered(stage, &mut holder, 2)?;
    let killed = holder.owner()?.dying_of(9);
    holder.kill()?;
    for client in &clients {
        oracle::until_state(port_of(client)?, stage.place.port, state::CLOSE_WAIT)?;
        oracle::until_minisock(stage.place.port, port_of(client)?)?;
        send(client, b"late")?;
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            late(ends.server(), "process_exit", 4)?.cause_of_exit(&killed),
            received_after_end(ends.client(), "process_exit", client)?,
        ]);
    }
    stage.ledger.server(&stage.place, times(CountsView { reset: 1, resets_sent: 1, ..ended(1) }, 2));
    stage.ledger.client(&stage.place, times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, 2));
    Ok(())
}

fn close_listener(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let silent = stage.place.connect()?;
    let asking = [stage.place.connect()?, stage.place.connect()?];
    for client in &asking {
        send(client, b"request")?;
        oracle::until_unread(stage.place.port, port_of(client)?, 7)?;
    }
    oracle::until_state(stage.place.port, port_of(&silent)?, state::ESTABLISHED)?;
    drop(service);
    let closed = |end: End| -> Result<Expected> {
        let closed =
            end.sent("listener_closed").certain().active("ESTABLISHED").fileless().reason("TCP_STATE");
        Ok(closed.shutdown("none").owner(&Owner::me()?))
    };
    for client in &asking {
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            closed(ends.server())?.segments(1, 0).unread(7),
            received(ends.client(), "listener_closed", client)?,
        ]);
    }
    let ends = stage.ends(port_of(&silent)?);
    stage.expect([
        closed(ends.server())?.aborted().segments(0, 0).unread(0),
        received(ends.client(), "listener_closed", &silent)?.aborted(),
    ]);
    // Those that had asked left their request unread: that is a reset as any other. The silent one carried no data.
    stage.ledger.server(&stage.place, times(CountsView { reset: 1, resets_sent: 1, ..ended(0) }, 2));
    stage.ledger.client(&stage.place, times(CountsView { reset: 1, resets_received: 1, ..ended(0) }, 2));
    stage.ledger.server(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(0) });
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_received: 1, ..ended(0) });
    Ok(())
}
