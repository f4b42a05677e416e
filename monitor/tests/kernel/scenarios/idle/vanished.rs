//! Connections whose other end is gone without a word, and resets that nobody on this host has sent.

use std::time::Duration;

use anyhow::Result;
use monitor::view::CountsView;
use socket2::{Socket, TcpKeepalive};

use crate::clock::{Bounds, Moment};
use crate::expected::{Ends, Expected};
use crate::ledger::ended;
use crate::needs::Need;
use crate::oracle::{self, state};
use crate::packets::{Flags, Numbers, RawSocket, Segment};
use crate::scenarios::told::{late, received, received_after_end};
use crate::scenarios::{Scenario, Stage};
use crate::scripted::Scripted;
use crate::sockets::{Family, poll_for_reset, port_of, receive, send};

/// Python takes an emulated machine so long that what is meant to be busy is quiet.
pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::on_all("the first request after the peer has vanished meets a stale connection", stale)
        .needing(Need::Pace),
    Scenario::on_all("a keep-alive probe after the peer has vanished meets a stale connection", probed)
        .needing(Need::Pace),
    Scenario::on_all(
        "a request right after the peer has vanished is no matter of idleness",
        vanished_while_busy,
    )
    .needing(Need::Pace),
    Scenario::on_all("a process that just exits is told at its idle closes and at the late request", exited)
        .needing(Need::Pace),
    Scenario::on(&[Family::V4], "a reset from elsewhere after long quiet is an idle abort", idle_abort)
        .needing(Need::Pace),
    Scenario::on(&[Family::V4], "a reset from elsewhere without quiet is the peer's abort", peer_abort)
        .needing(Need::Pace),
];

/// A connection after its one exchange, from this side.
struct Used {
    peer: Scripted,
    client: Socket,
    client_port: u16,
    ends: Ends,
    last: Moment,
}

impl Used {
    fn begin(stage: &Stage<'_>) -> Result<Self> {
        let target = stage.place.target();
        let arguments = [target.ip().to_string(), target.port().to_string()];
        let mut peer = Scripted::start(include_str!("vanished.py"), &[&arguments[0], &arguments[1]])?;
        peer.ask("listen")?;
        let client = stage.place.connect()?;
        let client_port = port_of(&client)?;
        peer.ask("accept")?;
        send(&client, b"request")?;
        let answered = peer.ask("answer")?.moment(0, 1)?;
        let ((), received) = Moment::of(|| receive(&client, 8))?;
        Ok(Self { peer, client_port, ends: stage.ends(client_port), client, last: answered.until(received) })
    }

    /// Its peer is gone; the sequence number that would have been the peer's next.
    fn vanish(&mut self, stage: &Stage<'_>) -> Result<u32> {
        let next = self.peer.ask("vanish")?.word(0)?.parse()?;
        oracle::until_gone(stage.place.port, self.client_port)?;
        Ok(next)
    }
}

fn stale(stage: &mut Stage<'_>) -> Result<()> {
    let mut used = Used::begin(stage)?;
    stage.quiet();
    used.vanish(stage)?;
    ask_nobody(stage, &used, "stale_idle")
}

fn probed(stage: &mut Stage<'_>) -> Result<()> {
    let mut used = Used::begin(stage)?;
    stage.quiet();
    used.vanish(stage)?;
    let ((), probed) = Moment::of(|| {
        // The time is over already, so the first probe goes out at once.
        used.client.set_tcp_keepalive(&TcpKeepalive::new().with_time(Duration::from_secs(1)))?;
        poll_for_reset(&used.client)
    })?;
    let stray =
        used.ends.server().stray_sent("other").possible().no_socket().reason("NO_SOCKET").segment(".", 0);
    stage.expect([
        stray,
        received(used.ends.client(), "stale_idle", &used.client)?
            .likely()
            .idle(Bounds::between(used.last, probed), "before_reset")
            .segments(1, 1)
            .probes(1),
    ]);
    stage.ledger.stray_sent(stage.place.port, 1);
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}

fn vanished_while_busy(stage: &mut Stage<'_>) -> Result<()> {
    let mut used = Used::begin(stage)?;
    used.vanish(stage)?;
    ask_nobody(stage, &used, "peer_abort")
}

/// Of an abort the TTL tells whether the peer itself was the one.
fn sure(received: Expected, cause: &str) -> Expected {
    if cause == "peer_abort" { received.likely_by_ttl() } else { received.likely() }
}

/// The next request, which finds no connection.
fn ask_nobody(stage: &mut Stage<'_>, used: &Used, cause: &str) -> Result<()> {
    let ((), asked) = Moment::of(|| {
        send(&used.client, b"request")?;
        poll_for_reset(&used.client)
    })?;
    let stray =
        used.ends.server().stray_sent("other").possible().no_socket().reason("NO_SOCKET").segment("P.", 7);
    stage.expect([
        stray,
        sure(received(used.ends.client(), cause, &used.client)?, cause)
            .idle(Bounds::between(used.last, asked), "before_our_data")
            .segments(1, 2)
            .unacked(7),
    ]);
    stage.ledger.stray_sent(stage.place.port, 1);
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}

fn exited(stage: &mut Stage<'_>) -> Result<()> {
    let mut used = Used::begin(stage)?;
    stage.quiet();
    let owner = used.peer.owner()?.exiting();
    let (service_port, client_port) = (stage.place.port, used.client_port);
    let ((), ended_at) = Moment::of(|| {
        used.peer.end("exit")?;
        oracle::until_state(client_port, service_port, state::CLOSE_WAIT)
    })?;
    oracle::until_minisock(service_port, client_port)?;
    let ((), asked) = Moment::of(|| {
        send(&used.client, b"late")?;
        poll_for_reset(&used.client)
    })?;
    let (idle, quiet) = (Bounds::between(used.last, ended_at), Bounds::between(used.last, asked));
    stage.expect([
        used.ends.server().closed_idle().idle(idle, "before_fin").owner(&owner),
        used.ends.client().saw_idle_close().idle(idle, "before_fin"),
        late(used.ends.server(), "process_exit", 4)?.cause_of_exit(&owner).idle(quiet, "before_peers_data"),
        received_after_end(used.ends.client(), "process_exit", &used.client)?.idle(quiet, "before_our_data"),
    ]);
    stage.ledger.server(&stage.place, CountsView { reset: 1, resets_sent: 1, ..ended(1) });
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

fn idle_abort(stage: &mut Stage<'_>) -> Result<()> {
    let used = Used::begin(stage)?;
    stage.quiet();
    reset_from_elsewhere(stage, used, "idle_abort", "idle_abort")
}

fn peer_abort(stage: &mut Stage<'_>) -> Result<()> {
    let used = Used::begin(stage)?;
    // Not to be told from the peer's own: it has the TTL that the peer's would have.
    reset_from_elsewhere(stage, used, "peer_abort", "middlebox")
}

/// A reset as a load balancer sends it, in the peer's name.
fn reset_from_elsewhere(
    stage: &mut Stage<'_>,
    mut used: Used,
    cause: &str,
    truth: &'static str,
) -> Result<()> {
    let sequence = used.vanish(stage)?;
    let segment = Segment {
        from: [127, 0, 0, 2].into(),
        from_port: stage.place.port,
        to: [127, 0, 0, 3].into(),
        port: used.client_port,
        flags: Flags::RST,
    };
    let ((), reset) = Moment::of(|| {
        RawSocket::open()?.send_with(segment, Numbers::at(sequence))?;
        poll_for_reset(&used.client)
    })?;
    stage.expect([sure(received(used.ends.client(), cause, &used.client)?, cause)
        .alone()
        .truly(truth)
        .idle(Bounds::between(used.last, reset), "before_reset")
        .segments(1, 1)
        .unacked(0)]);
    stage.ledger.client(&stage.place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    stage.ledger.server(&stage.place, ended(1));
    Ok(())
}
