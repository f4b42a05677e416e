//! Accept queues that are full, for a SYN and for the last ACK of a handshake.

use anyhow::{Result, ensure};
use socket2::{Protocol, Socket};

use super::{Scenario, Stage};
use crate::expected::Ends;
use crate::ledger::{ended, times};
use crate::oracle::{Netstat, listening};
use crate::packets::Flags;
use crate::signals::Signal;
use crate::sockets::{Place, lose, port_of, receive, send, unique_port};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[AT_SYN, AT_ACK];

/// Also played in two namespaces at once.
pub(super) const AT_SYN: Scenario =
    Scenario::on_all("a backlog of N admits N + 1, and each SYN beyond is an overflow", at_syn);
const AT_ACK: Scenario = Scenario::on_all("each last ACK that finds the queue full is an overflow", at_ack);

fn at_syn(stage: &mut Stage<'_>) -> Result<()> {
    let mut place = stage.place;
    for limit in [1_u32, 0, 3] {
        let admitted = limit + 1;
        let before = Netstat::read()?;
        let service = place.listen_with(limit.try_into()?)?;
        let others = (0..admitted).map(|_| place.connect()).collect::<Result<Vec<_>>>()?;
        until_waiting(&place, admitted)?;
        ensure!(overflows_since(before)? == 0, "the queue was full too early");
        let late = connecting(&place)?;
        let ends = place.ends(port_of(&late)?);
        until_overflow(before)?;
        drop(late);
        stage.ledger.unanswered(1);
        for client in others {
            service.pair_of(client)?.finish();
        }
        told(stage, ends, Signal::OverflowSyn, limit, overflows_since(before)?);
        stage.ledger.client(&place, times(ended(0), admitted.into()));
        stage.ledger.server(&place, times(ended(0), admitted.into()));
        place = place.with_port(unique_port());
    }
    Ok(())
}

fn at_ack(stage: &mut Stage<'_>) -> Result<()> {
    let place = stage.place;
    let before = Netstat::read()?;
    let service = place.listen()?;
    service.socket.listen(1)?;
    // The answer to its SYN gets lost, and the queue is filled meanwhile.
    let late = place.client_socket(Protocol::TCP, 0)?;
    lose(&late, Flags::SYN)?;
    begin_to_connect(&late, &place)?;
    let others = [place.connect()?, place.connect()?];
    // Its SYN is not answered once more, but its SYN-ACK comes again, and then its ACK finds the queue full.
    lose(&service.socket, Flags::SYN)?;
    late.detach_filter()?;
    until_overflow(before)?;
    let ends = stage.ends(port_of(&late)?);
    for client in others {
        service.pair_of(client)?.finish();
    }
    // Now that there is room, its first data completes the handshake.
    late.set_nonblocking(false)?;
    send(&late, b"request")?;
    let pair = service.pair_of(late)?;
    receive(&pair.server, 7)?;
    pair.finish();
    told(stage, ends, Signal::OverflowAck, 1, overflows_since(before)?);
    stage.ledger.client(&place, times(ended(0), 3));
    stage.ledger.server(&place, times(ended(0), 3));
    Ok(())
}

/// Each overflow that the kernel counted is told once, where it can be seen.
fn told(stage: &mut Stage<'_>, ends: Ends, signal: Signal, limit: u32, overflows: u64) {
    stage.expect((0..overflows).map(|_| ends.server().listen_overflow(signal).backlog(limit + 1, limit)));
}

fn connecting(place: &Place) -> Result<Socket> {
    let client = place.client_socket(Protocol::TCP, 0)?;
    begin_to_connect(&client, place)?;
    Ok(client)
}

fn begin_to_connect(client: &Socket, place: &Place) -> Result<()> {
    client.set_nonblocking(true)?;
    ensure!(client.connect(&place.target().into()).is_err(), "connected at once");
    Ok(())
}

fn overflows_since(before: Netstat) -> Result<u64> {
    Ok(Netstat::read()?.since(before).listen_overflows)
}

fn until_overflow(before: Netstat) -> Result<()> {
    wait::until_true("an overflow", || Ok(overflows_since(before)? > 0))
}

fn until_waiting(place: &Place, number: u32) -> Result<()> {
    wait::until_true("connections in the accept queue", || {
        Ok(listening(place.port)?.iter().any(|listener| listener.backlog == u64::from(number)))
    })
}
