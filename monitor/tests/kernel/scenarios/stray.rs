//! Resets that are received where no connection is, or none any more: in a handshake, by a minisock, by nobody.

use anyhow::{Result, ensure};
use monitor::view::CountsView;
use socket2::Protocol;

use super::told::{lingering, received};
use super::{Scenario, Stage};
use crate::capture::Capture;
use crate::ledger::{Role, ended};
use crate::oracle::{self, state};
use crate::owner::Owner;
use crate::packets::{Flags, Numbers, RawSocket, Segment};
use crate::signals::Signal;
use crate::sockets::{Family, abort, lose, port_of, unique_port};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("a reset that answers a SYN-ACK is a stray of the listener's port", in_handshake),
    Scenario::on(
        &[Family::V4, Family::V6],
        "a second SYN within a handshake is answered by a reset",
        syn_in_handshake,
    ),
    Scenario::on(&[Family::V4, Family::V6], "a reset that meets TIME_WAIT ends nothing", in_time_wait),
    Scenario::on(&[Family::V4, Family::V6], "a reset after the end of its connection ends nothing", belated),
    Scenario::on(&[Family::V4, Family::V6], "a reset that is challenged is none", challenged),
];

fn in_handshake(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    let before = oracle::counter("EmbryonicRsts")?;
    // Nobody has asked for the SYN-ACK that this draws, so it is answered by a reset.
    let client_port = unique_port();
    let ends = stage.ends(client_port);
    RawSocket::open()?.send(Segment::between(ends.client, ends.server, Flags::SYN))?;
    wait::until_true("the reset in the handshake", || Ok(oracle::counter("EmbryonicRsts")? == before + 1))?;
    drop(service);
    stage.expect([
        ends.client().stray_sent("other").possible().no_socket().reason("NO_SOCKET").segment("S.", 0),
        ends.server().stray_received(Signal::SynRecv).in_handshake().in_sequence(),
    ]);
    stage.ledger.stray_sent(client_port, 1);
    stage.ledger.stray_received(Signal::SynRecv, stage.place.port, 1);
    Ok(())
}

fn syn_in_handshake(stage: &mut Stage<'_>) -> Result<()> {
    let _service = stage.place.listen()?;
    let capture = Capture::open()?;
    // The SYN-ACK gets lost, so the handshake goes on.
    let client = stage.place.client_socket(Protocol::TCP, 0)?;
    lose(&client, Flags::SYN)?;
    client.set_nonblocking(true)?;
    ensure!(client.connect(&stage.place.target().into()).is_err(), "connected at once");
    let ends = stage.ends(port_of(&client)?);
    let first = capture.next(|passed| passed.from == ends.client && passed.flags.has(Flags::SYN))?;
    capture.next(|passed| passed.from == ends.server && passed.flags.has(Flags::SYN | Flags::ACK))?;
    // Or it would send its SYN again.
    drop(client);
    let second = Segment::between(ends.client, ends.server, Flags::SYN);
    RawSocket::open()?.send_with(second, Numbers::at(first.next))?;
    capture.next(|passed| passed.from == ends.server && passed.flags.has(Flags::RST))?;
    stage.expect([
        ends.server().refused_sent().listening().reason("INVALID_SYN"),
        ends.client().stray_received(Signal::Stray).no_socket().no_sequence(),
    ]);
    stage.ledger.unanswered(1);
    stage.ledger.stray_received(Signal::Stray, ends.client.port(), 1);
    stage.ledger.refused_sent(stage.place.port, 1);
    Ok(())
}

fn in_time_wait(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let capture = Capture::open()?;
    let left = pair.close_server()?;
    let ends = stage.ends(left.client_port);
    drop(left.client);
    let end = capture.next(|passed| passed.from == ends.client && passed.flags.has(Flags::FIN))?;
    oracle::until_state(left.service_port, left.client_port, state::TIME_WAIT)?;
    oracle::until_gone(left.client_port, left.service_port)?;
    let reset = Segment::between(ends.client, ends.server, Flags::RST);
    RawSocket::open()?.send_with(reset, Numbers::at(end.next))?;
    oracle::until_gone(left.service_port, left.client_port)?;
    let received = ends.server().received_by_minisock("other").any_cause().truly("other").alone().uncounted();
    stage.expect([received.owner(&Owner::me()?)]);
    stage.ledger.received_belated(&stage.place, Role::Server, Signal::TimeWait, 1);
    stage.ledger.client(&stage.place, ended(1));
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}

fn belated(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    pair.exchange(1)?;
    let ends = stage.ends(pair.client_port);
    abort(pair.client)?;
    stage.expect([lingering(ends.client())?, received(ends.server(), "linger_abort", &pair.server)?]);
    drop(pair.server);
    oracle::until_gone(pair.service_port, pair.client_port)?;
    let raw = RawSocket::open()?;
    raw.send(Segment::between(ends.server, ends.client, Flags::RST))?;
    raw.send(Segment::between(ends.client, ends.server, Flags::RST))?;
    stage.expect([
        ends.client().received_belated("linger").owner(&Owner::me()?),
        ends.server().received_belated("peers_reset"),
    ]);
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    for role in [Role::Client, Role::Server] {
        stage.ledger.received_belated(&stage.place, role, Signal::Stray, 1);
    }
    Ok(())
}

fn challenged(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    let ends = stage.ends(pair.client_port);
    let capture = Capture::open()?;
    pair.exchange(1)?;
    let response = capture.next(|passed| passed.from == ends.server && passed.bytes > 0)?;
    let before = oracle::counter("TCPChallengeACK")?;
    // Within the window, and not the next one (RFC 5961).
    let reset = Segment::between(ends.server, ends.client, Flags::RST);
    RawSocket::open()?.send_with(reset, Numbers::at(response.next.wrapping_add(1)))?;
    wait::until_true("the challenge", || Ok(oracle::counter("TCPChallengeACK")? == before + 1))?;
    pair.exchange(1)?;
    pair.finish();
    stage.ledger.client(&stage.place, ended(2));
    stage.ledger.server(&stage.place, ended(2));
    Ok(())
}
