//! Processes that die with connections open: idle ones, busy ones, and those whose next request comes after the death.

use anyhow::{Result, bail};
use monitor::view::CountsView;
use rustix::process::Signal;

use crate::clock::{Bounds, Moment};
use crate::helper::Holder;
use crate::ledger::{ended, times};
use crate::oracle::{self, state};
use crate::packets::Flags;
use crate::scenarios::told::{late, late_to_orphan, received, received_after_end, unread};
use crate::scenarios::{Scenario, Stage};
use crate::sockets::{lose, poll_for_reset, port_of, receive, send};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("kill -9 is told for idle, busy and later used connections", killed),
    Scenario::on_all("SIGTERM is told for idle, busy and later used connections", terminated),
];

fn killed(stage: &mut Stage<'_>) -> Result<()> {
    end_process(stage, Signal::KILL, 9)
}

fn terminated(stage: &mut Stage<'_>) -> Result<()> {
    end_process(stage, Signal::TERM, 15)
}

fn end_process(stage: &mut Stage<'_>, signal: Signal, number: u8) -> Result<()> {
    let mut holder = Holder::start(&stage.place, 4)?;
    let mut clients = Vec::new();
    let ((), last) = Moment::of(|| {
        for _ in 0..4 {
            let client = stage.place.connect()?;
            send(&client, b"request")?;
            receive(&client, 8)?;
            clients.push(client);
        }
        holder.wait_until_answered()
    })?;
    let [idle, used, crossed, busy] = clients.as_slice() else { bail!("not four clients") };
    stage.quiet();
    let dying = holder.owner()?.dying_of(number);
    lose(crossed, Flags::FIN)?;
    let ((), asked) = Moment::of(|| {
        send(busy, b"another")?;
        oracle::until_unread(stage.place.port, port_of(busy)?, 7)
    })?;
    let ((), died) = Moment::of(|| {
        holder.end(signal)?;
        for client in [idle, used] {
            oracle::until_state(port_of(client)?, stage.place.port, state::CLOSE_WAIT)?;
        }
        poll_for_reset(busy)
    })?;
    oracle::until_minisock(stage.place.port, port_of(used)?)?;

    let quiet = Bounds::between(last, died);
    for client in [idle, used] {
        let ends = stage.ends(port_of(client)?);
        stage.expect([
            ends.server().closed_idle().idle(quiet, "before_fin").owner(&dying),
            ends.client().saw_idle_close().idle(quiet, "before_fin"),
        ]);
    }
    let ends = stage.ends(port_of(crossed)?);
    stage.expect([ends.server().closed_idle().idle(quiet, "before_fin").owner(&dying)]);
    let ends = stage.ends(port_of(busy)?);
    stage.expect([
        unread(ends.server())?
            .cause_of_exit(&dying)
            .segments(2, 1)
            .unread(7)
            .idle_within(Bounds::up_to(last, died)),
        received(ends.client(), "process_exit", busy)?.segments(1, 2).idle_within(Bounds::up_to(last, asked)),
    ]);

    let ends = stage.ends(port_of(used)?);
    let ((), sent) = Moment::of(|| {
        send(used, b"late")?;
        poll_for_reset(used)
    })?;
    let quiet = Bounds::between(last, sent);
    stage.expect([
        late(ends.server(), "process_exit", 4)?.cause_of_exit(&dying).idle(quiet, "before_peers_data"),
        received_after_end(ends.client(), "process_exit", used)?.idle(quiet, "before_our_data"),
    ]);
    let ends = stage.ends(port_of(crossed)?);
    let ((), sent) = Moment::of(|| {
        send(crossed, b"late")?;
        poll_for_reset(crossed)
    })?;
    let quiet = Bounds::between(last, sent);
    stage.expect([
        late_to_orphan(ends.server(), "process_exit", "FIN_WAIT1", 4)?
            .cause_of_exit(&dying)
            .idle(quiet, "before_peers_data"),
        received(ends.client(), "process_exit", crossed)?.idle(quiet, "before_our_data"),
    ]);

    stage.ledger.server(&stage.place, times(CountsView { reset: 1, resets_sent: 1, ..ended(1) }, 3));
    stage.ledger.client(&stage.place, times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, 2));
    // What the busy client sent last was never answered.
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    stage.ledger.server(&stage.place, ended(1));
    stage.ledger.client(&stage.place, ended(1));
    Ok(())
}
