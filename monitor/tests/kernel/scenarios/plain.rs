//! Connections that end well, refusals, strays, and unusual ways to connect.

use anyhow::{Context as _, Result, ensure};
use monitor::view::CountsView;
use socket2::{Protocol, SockAddr};

use super::told::{lingering, received};
use super::{Scenario, Stage};
use crate::expected::{End, Expected};
use crate::ledger::{ended, times};
use crate::needs::Need;
use crate::netns::sysctl;
use crate::oracle::{self, state};
use crate::packets::{Flags, RawSocket, Segment};
use crate::signals::Signal;
use crate::sockets::{
    Family, Place, abort, error_name, lose, lose_everything, port_of, receive, receive_end, send,
    unique_port, wait_for_reset,
};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("requests and responses are exchanges and no reset", exchanges),
    Scenario::on_all("a half-closed connection that ends well is no reset", half_close),
    CLOSED_PORT,
    Scenario::on(&[Family::V4, Family::V6], "segments of no connection are strays of their port", strays),
    Scenario::on(&[Family::V4], "a reset that answers a bad SYN-ACK is a stray", bad_answer),
    Scenario::on(&[Family::V4], "a spoofed reset that misses its connection counts nothing", missing_reset),
    Scenario::on_all("a reset for want of room in the accept queue is a stray", no_room),
    Scenario::on(&[Family::V4, Family::V6], "an MPTCP connection counts its TCP subflow once", mptcp)
        .needing(Need::Mptcp),
    Scenario::on(&[Family::V4], "an aborted MPTCP connection counts its TCP subflow once", mptcp_abort)
        .needing(Need::Mptcp),
    Scenario::on(&[Family::V4, Family::V6], "a socket connected to itself is one connection", self_connect),
    Scenario::on(&[Family::V4], "a connection with data in its SYN counts as any other", fast_open),
    Scenario::on(&[Family::V4, Family::Mapped], "an IPv4 and a v4-mapped client are one peer", one_peer),
];

/// Refusals, sent and received.
pub(super) const CLOSED_PORT: Scenario =
    Scenario::on_all("a closed port refuses, and both sides count it", closed_port);

fn exchanges(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    for number in [0, 1, 10] {
        let pair = service.pair()?;
        pair.exchange(number)?;
        pair.finish();
        stage.ledger.client(&stage.place, ended(number.try_into()?));
        stage.ledger.server(&stage.place, ended(number.try_into()?));
    }
    Ok(())
}

fn half_close(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    send(&pair.client, b"request")?;
    pair.client.shutdown(std::net::Shutdown::Write)?;
    receive(&pair.server, 7)?;
    receive_end(&pair.server)?;
    send(&pair.server, b"response")?;
    receive(&pair.client, 8)?;
    pair.finish();
    stage.ledger.client(&stage.place, ended(1));
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}

fn closed_port(stage: &mut Stage<'_>) -> Result<()> {
    for _ in 0..3 {
        let client = stage.place.client_socket(Protocol::TCP, 0)?;
        let ends = stage.ends(port_of(&client)?);
        let refused = client.connect(&stage.place.target().into()).err().context("the port is not closed")?;
        let received = ends.client().refused_received().app_saw(error_name(&refused)?);
        stage.expect([received, ends.server().refused_sent().no_socket()]);
    }
    stage.ledger.client(&stage.place, CountsView { refused_received: 3, ..CountsView::default() });
    stage.ledger.refused_sent(stage.place.port, 3);
    stage.ledger.ends_at_once();
    Ok(())
}

fn strays(stage: &mut Stage<'_>) -> Result<()> {
    let closed = Place::on_loopback(stage.place.family);
    let raw = RawSocket::open()?;
    // Nobody is there either, so that what strays draw are strays, too.
    let from_port = unique_port();
    let segment = |place: Place, flags| {
        let ends = place.ends(from_port);
        Segment::between(ends.client, ends.server, flags)
    };
    // To a port without a socket.
    raw.send(segment(closed, Flags::ACK))?;
    raw.send(segment(closed, Flags::FIN | Flags::ACK))?;
    stage.ledger.stray_sent(closed.port, 2);
    // To a listener: an ACK that completes no handshake.
    let service = stage.place.listen()?;
    raw.send(segment(stage.place, Flags::ACK))?;
    stage.ledger.stray_sent(stage.place.port, 1);
    let stray = |place: Place| place.ends(from_port).server().stray_sent("other").possible();
    let drawn =
        |place: Place| place.ends(from_port).client().stray_received(Signal::Stray).no_socket().no_sequence();
    stage.expect([
        stray(closed).no_socket().reason("NO_SOCKET").segment(".", 0),
        stray(closed).no_socket().reason("NO_SOCKET").segment("F.", 0),
        stray(stage.place).listening().reason("TCP_FLAGS").segment(".", 0).backlog(0, 1024),
    ]);
    // An RST for nothing is answered by nothing; one that meets a listener is not even looked at.
    raw.send(segment(closed, Flags::RST))?;
    raw.send(segment(stage.place, Flags::RST))?;
    stage.expect([
        drawn(closed),
        drawn(closed),
        drawn(stage.place),
        closed.ends(from_port).server().stray_received(Signal::Stray).no_socket().no_sequence(),
    ]);
    stage.ledger.stray_received(Signal::Stray, from_port, 3);
    stage.ledger.stray_received(Signal::Stray, closed.port, 1);
    drop(service);
    Ok(())
}

fn bad_answer(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen()?;
    // The SYN gets lost, and an answer comes that acknowledges something else.
    lose_everything(&service.socket)?;
    let client = stage.place.client_socket(Protocol::TCP, 0)?;
    client.set_nonblocking(true)?;
    ensure!(client.connect(&stage.place.target().into()).is_err(), "connected at once");
    let client_port = port_of(&client)?;
    oracle::until_state(client_port, stage.place.port, state::SYN_SENT)?;
    let before = stage.ledger.resets_by_kernel()?;
    RawSocket::open()?.send(Segment {
        from: [127, 0, 0, 2].into(),
        from_port: stage.place.port,
        to: [127, 0, 0, 3].into(),
        port: client_port,
        flags: Flags::SYN | Flags::ACK,
    })?;
    // A busy machine takes it later, and the client must still be there.
    wait::until_true("the answer to it", || Ok(stage.ledger.resets_by_kernel()? > before))?;
    let stray =
        stage.ends(client_port).client().stray_sent("protocol").certain_by_reason("likely").connecting();
    stage.expect([stray.reason("TCP_INVALID_ACK_SEQUENCE").segment("S.", 0)]);
    stage.ledger.unanswered(1);
    stage.ledger.stray_sent(client_port, 1);
    Ok(())
}

fn missing_reset(stage: &mut Stage<'_>) -> Result<()> {
    let pair = stage.place.listen()?.pair()?;
    let raw = RawSocket::open()?;
    let (client, server) = ([127, 0, 0, 3].into(), [127, 0, 0, 2].into());
    let (client_port, service_port) = (pair.client_port, pair.service_port);
    for flags in [Flags::RST, Flags::RST | Flags::ACK] {
        raw.send(Segment { from: client, from_port: client_port, to: server, port: service_port, flags })?;
        raw.send(Segment { from: server, from_port: service_port, to: client, port: client_port, flags })?;
    }
    pair.exchange(1)?;
    pair.finish();
    stage.ledger.client(&stage.place, ended(1));
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}

fn no_room(stage: &mut Stage<'_>) -> Result<()> {
    sysctl("ipv4/tcp_abort_on_overflow", "1")?;
    let service = stage.place.listen()?;
    // A backlog of 1 admits two.
    service.socket.listen(1)?;
    let late = stage.place.client_socket(Protocol::TCP, 0)?;
    lose(&late, Flags::SYN)?;
    late.set_nonblocking(true)?;
    ensure!(late.connect(&stage.place.target().into()).is_err(), "connected at once");
    let others = [stage.place.connect()?, stage.place.connect()?];
    // Its SYN is not answered once more, but its SYN-ACK comes again, and then its ACK finds the queue full.
    lose(&service.socket, Flags::SYN)?;
    late.detach_filter()?;
    let ends = stage.ends(port_of(&late)?);
    stage.expect([
        ends.server()
            .stray_sent("listen_overflow")
            .certain_by_reason("likely")
            .listening()
            .reason("INVALID_SYN")
            .segment(".", 0)
            .backlog(2, 1),
        ends.server().listen_overflow(Signal::OverflowAck).backlog(2, 1),
        received(ends.client(), "listen_overflow", &late)?
            .certain_by_reason("likely")
            .aborted()
            .segments(0, 0),
    ]);
    for client in others {
        service.pair_of(client)?.finish();
    }
    stage.ledger.stray_sent(stage.place.port, 1);
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_received: 1, ..ended(0) });
    stage.ledger.client(&stage.place, times(ended(0), 2));
    stage.ledger.server(&stage.place, times(ended(0), 2));
    Ok(())
}

fn mptcp(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen_as(Protocol::MPTCP)?;
    let client = stage.place.client_socket(Protocol::MPTCP, 0)?;
    client.connect(&stage.place.target().into())?;
    let pair = service.pair_of(client)?;
    pair.exchange(2)?;
    drop(pair.client);
    receive_end(&pair.server)?;
    drop(pair.server);
    drop(service);
    stage.ledger.client(&stage.place, ended(2));
    stage.ledger.server(&stage.place, ended(2));
    Ok(())
}

fn mptcp_abort(stage: &mut Stage<'_>) -> Result<()> {
    let service = stage.place.listen_as(Protocol::MPTCP)?;
    let client = stage.place.client_socket(Protocol::MPTCP, 0)?;
    client.connect(&stage.place.target().into())?;
    let pair = service.pair_of(client)?;
    pair.exchange(1)?;
    let ends = stage.ends(pair.client_port);
    abort(pair.client)?;
    stage.expect([
        // Its subflow is reset before it is closed, and not in the name of a task: at once, or, as was seen on 6.18.15, when a
        // minute of waiting is over and no file is left.
        lingering(ends.client())?
            .state("ESTABLISHED", "ESTABLISHED")
            .reason("TCP_ABORT_ON_CLOSE")
            .no_owner()
            .any_file(),
        received_by_subflow(ends.server(), "linger_abort"),
    ]);
    wait_for_reset(&pair.server)?;
    stage.ledger.client(&stage.place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

/// Its application reads from another socket, over all subflows.
fn received_by_subflow(end: End, cause: &str) -> Expected {
    end.received(cause).certain().state("ESTABLISHED", "ESTABLISHED").app_saw("ECONNRESET")
}

fn self_connect(stage: &mut Stage<'_>) -> Result<()> {
    let place = Place { client: stage.place.server, ..stage.place };
    let socket = place.client_socket(Protocol::TCP, place.port)?;
    socket.connect(&place.target().into())?;
    send(&socket, b"note to self")?;
    receive(&socket, 12)?;
    drop(socket);
    stage.ledger.client(&place, ended(1));
    Ok(())
}

fn fast_open(stage: &mut Stage<'_>) -> Result<()> {
    const MSG_FASTOPEN: i32 = 0x2000_0000;
    // Client and server, both without cookies, and every listener takes part.
    sysctl("ipv4/tcp_fastopen", "1543")?;
    let service = stage.place.listen()?;
    let client = stage.place.client_socket(Protocol::TCP, 0)?;
    let sent = client.send_to_with_flags(b"request", &SockAddr::from(stage.place.target()), MSG_FASTOPEN)?;
    ensure!(sent == 7, "the SYN took {sent} bytes");
    let pair = service.pair_of(client)?;
    receive(&pair.server, 7)?;
    send(&pair.server, b"response")?;
    receive(&pair.client, 8)?;
    pair.finish();
    stage.ledger.client(&stage.place, ended(1));
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}

fn one_peer(stage: &mut Stage<'_>) -> Result<()> {
    // The service is dual-stack even when the stage is IPv4; both clients reach it over IPv4.
    let mapped = Place::on_loopback(Family::Mapped);
    let plain = Place::on_loopback(Family::V4);
    let (first, second) = if stage.place.family == Family::V4 { (plain, mapped) } else { (mapped, plain) };
    let service = mapped.listen()?;
    for place in [first, second] {
        let pair = service.pair_of(place.with_port(mapped.port).connect()?)?;
        pair.exchange(1)?;
        pair.finish();
    }
    stage.ledger.client(&mapped, times(ended(1), 2));
    stage.ledger.server(&mapped, times(ended(1), 2));
    Ok(())
}
