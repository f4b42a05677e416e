//! What strangers can send: spoofed handshakes, backscatter and stray resets. None of it makes a peer, all of it is
//! counted by port, and none of it costs the story of an established connection.

use std::net::Ipv4Addr;
use std::thread;

use anyhow::{Result, ensure};
use monitor::view::{CountsView, EventView, PeerView};
use rustix::process::Signal;

use crate::AloneWithOwn;
use crate::api::Api;
use crate::daemon::Daemon;
use crate::ledger::{Ledger, Sent, ended};
use crate::needs::Need;
use crate::netns::Namespace;
use crate::oracle::Snmp;
use crate::overload::{story, wait_for_books};
use crate::packets::{Flags, RawSocket, Segment};
use crate::sockets::{Family, Pair, Place, abort, port_of, unique_port, wait_for_reset};
use crate::wait;

pub(crate) const TRIALS: &[AloneWithOwn] = &[
    ("a million spoofed SYNs and RSTs make no peer and cost no story", Some(Need::Pace), spoofed),
    ("spoofed handshakes with a listener make no peer", None, backscatter),
];

const SYNS: u32 = 1_000_000;
const RESETS: u32 = 200_000;
const SOURCES: u32 = 100_000;
const CONVERSATIONS: usize = 20;
const SERVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// One of [`SOURCES`] loopback addresses.
fn source(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 16, 0, 1).to_bits() + number % SOURCES)
}

/// A source port that changes with each round over all sources.
fn source_port(number: u32) -> Result<u16> {
    Ok(u16::try_from(1024 + number / SOURCES)?)
}

fn spoofed() -> Result<()> {
    let daemon = Daemon::start(&[])?;
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let mut ledger = Ledger::open(&daemon.api, &namespace)?;
        let (closed, place) = (unique_port(), Place::on_loopback(Family::V4));
        let service = place.listen()?;
        thread::scope(|scope| {
            let syns = scope.spawn(|| -> Result<()> {
                let raw = RawSocket::open()?;
                for number in 0..SYNS {
                    raw.send(spoof(number, closed, Flags::SYN)?)?;
                    if number % (SYNS / RESETS) == 0 {
                        let port = if number % 2 == 0 { closed } else { place.port };
                        raw.send(spoof(number, port, Flags::RST)?)?;
                    }
                }
                Ok(())
            });
            for number in 0..CONVERSATIONS {
                ensure!(
                    number == 0 || !syns.is_finished(),
                    "the storm was over before conversation {number}"
                );
                let pair = service.pair()?;
                pair.exchange(1)?;
                let Pair { client, server, .. } = pair;
                let client_port = port_of(&client)?;
                abort(client)?;
                wait_for_reset(&server)?;
                told(&daemon.api, client_port, place.port)?;
            }
            syns.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        drop(service);
        let conversations = CONVERSATIONS.try_into()?;
        ledger.client(
            &place,
            crate::ledger::times(CountsView { aborted: 1, resets_sent: 1, ..ended(1) }, conversations),
        );
        ledger.server(
            &place,
            crate::ledger::times(CountsView { reset: 1, resets_received: 1, ..ended(1) }, conversations),
        );
        ledger.refused_sent(closed, SYNS.into());
        ledger.balance()
    })?;
    let after = wait_for_books(&daemon.api)?;
    for kind in ["reset_sent", "reset_received"] {
        let story = story(&after, kind)?;
        ensure!(story.lost == 0 && story.suppressed == 0, "{kind}: {story:?}");
    }
    ensure!(story(&after, "refused_sent")?.suppressed > 0, "the storm was no storm");
    daemon.stop(Signal::TERM)
}

fn spoof(number: u32, port: u16, flags: Flags) -> Result<Segment> {
    Ok(Segment {
        from: source(number).into(),
        from_port: source_port(number)?,
        to: SERVER.into(),
        port,
        flags,
    })
}

/// Waits until both ends of a connection have told of its reset.
fn told(api: &Api, client_port: u16, service_port: u16) -> Result<()> {
    for (kind, local, remote) in
        [("reset_sent", client_port, service_port), ("reset_received", service_port, client_port)]
    {
        wait::until("the story of a reset", || {
            let events = api.events(&format!("kind={kind}&limit=1000"))?.events;
            let is_it = |event: &EventView| event.local.port == local && event.remote.port == remote;
            let told = events.iter().any(is_it);
            Ok(if told {
                Ok(())
            } else {
                Err(format!("no {kind} of {local} -> {remote} in {}", events.len()))
            })
        })?;
    }
    Ok(())
}

fn backscatter() -> Result<()> {
    const HANDSHAKES: u32 = 20_000;
    let daemon = Daemon::start(&[])?;
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let place = Place::on_loopback(Family::V4);
        let service = place.listen()?;
        let before = (daemon.api.status()?, Snmp::read()?.out_resets);
        let raw = RawSocket::open()?;
        for number in 0..HANDSHAKES {
            // The SYN-ACK goes to an address of this host where nobody asked for it, so an RST comes back.
            raw.send(spoof(number, place.port, Flags::SYN)?)?;
        }
        drop(service);
        wait::until("the daemon to count what the kernel counted", || {
            let kernel = Snmp::read()?.out_resets - before.1;
            let sent = Sent::of(&daemon.api.status()?.namespaces, namespace.inum)
                .minus(Sent::of(&before.0.namespaces, namespace.inum));
            // A busy machine's queue before TCP overflows, and what is lost there is answered by nobody.
            let right = sent.resets == 0 && sent.sum() == kernel && kernel >= u64::from(HANDSHAKES / 2);
            Ok(if right { Ok(()) } else { Err(format!("{sent:?}, OutRsts {kernel}")) })
        })?;
        let peers = daemon.api.peers_of(namespace.inum)?.peers;
        // Of an earlier trial, whose namespace had the same number, connections may end as late as now (seen on 6.18).
        let ours = |peer: &&PeerView| peer.netns == Some(namespace.inum) && peer.peer.starts_with("127.");
        let rows: Vec<_> = peers.iter().filter(ours).collect();
        ensure!(rows.is_empty(), "{} peers were made: {:?}", rows.len(), rows.first());
        Ok(())
    })?;
    daemon.stop(Signal::TERM)
}
