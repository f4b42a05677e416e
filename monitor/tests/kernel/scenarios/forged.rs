//! Resets that a router forges in the name of an end: how they look beside genuine ones.

use anyhow::{Result, ensure};
use monitor::view::CountsView;
use socket2::Socket;

use super::QUIET;
use super::told::{lingering, received};
use crate::WithShared;
use crate::api::Api;
use crate::capture::Capture;
use crate::expected::{End, Ends};
use crate::ledger::{Ledger, Role, ended};
use crate::netns::{Namespace, Routed};
use crate::packets::{Flags, Numbers, RawSocket, Segment};
use crate::signals::Signal;
use crate::sockets::{Place, Service, abort, lose_everything, send};
use crate::story::{Story, key};
use crate::wait;

pub(crate) const SCENARIOS: &[WithShared] = &[
    ("a forged reset has another TTL than its connection, at the client (IPv4)", |api| {
        play(api, 0, Role::Client)
    }),
    ("a forged reset has another TTL than its connection, at the client (IPv6)", |api| {
        play(api, 1, Role::Client)
    }),
    ("a forged reset has another TTL than its connection, at the server (IPv4)", |api| {
        play(api, 0, Role::Server)
    }),
    ("a forged reset has another TTL than its connection, at the server (IPv6)", |api| {
        play(api, 1, Role::Server)
    }),
    ("a device on the way that ends an idle flow by a reset is an idle abort (IPv4)", |api| {
        on_the_way(api, 0, Flow::Ended)
    }),
    ("a device on the way that ends an idle flow by a reset is an idle abort (IPv6)", |api| {
        on_the_way(api, 1, Flow::Ended)
    }),
    ("a device on the way that has forgotten an idle flow leaves it stale (IPv4)", |api| {
        on_the_way(api, 0, Flow::Forgotten)
    }),
    ("a device on the way that has forgotten an idle flow leaves it stale (IPv6)", |api| {
        on_the_way(api, 1, Flow::Forgotten)
    }),
];

/// What a device does to a flow that has been idle for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    /// It ends it at both ends, unasked.
    Ended,
    /// It forgets it, and answers what comes next.
    Forgotten,
}

/// What is left of 64 behind one router.
const AFAR: u8 = 63;
/// Of a device further away.
const FORGED: u8 = 40;

/// One end, with its book and its story.
struct Side<'a> {
    namespace: &'a Namespace,
    ledger: Ledger<'a>,
    story: Story<'a>,
}

impl<'a> Side<'a> {
    fn open(api: &'a Api, namespace: &'a Namespace) -> Result<Self> {
        let (ledger, story) = (Ledger::open(api, namespace)?, Story::open(api, namespace)?);
        Ok(Self { namespace, ledger, story })
    }
}

fn play(api: &Api, family: usize, victim: Role) -> Result<()> {
    let routed = Routed::create()?;
    let place = Place::between(Routed::SERVER[family].parse()?, Routed::CLIENT[family].parse()?);
    let (client, server) = (Side::open(api, &routed.client)?, Side::open(api, &routed.server)?);
    let service = routed.server.enter(|| place.listen())?;
    let (mut hit, mut other) = match victim {
        Role::Client => (client, server),
        Role::Server => (server, client),
    };
    genuine(&service, &routed, victim, &mut hit, &mut other)?;
    forged(api, service, &routed, victim, &mut hit, &mut other)?;
    for Side { namespace: _, ledger, story } in [hit, other] {
        ledger.balance()?;
        story.compare()?;
    }
    Ok(())
}

/// The other end resets: the victim receives it with the TTL of its handshake.
fn genuine(
    service: &Service,
    routed: &Routed,
    victim: Role,
    hit: &mut Side<'_>,
    other: &mut Side<'_>,
) -> Result<()> {
    let place = service.place;
    let pair = routed.client.enter(|| service.pair())?;
    pair.exchange(1)?;
    let ends = place.ends(pair.client_port);
    let (theirs, aborting) = pair.split(victim);
    let sent = other.namespace.enter(|| {
        let sent = lingering(ends.of(victim.other()))?;
        abort(aborting)?;
        Ok(sent.at_distance(AFAR))
    })?;
    other.story.expect([sent]);
    hit.story.expect([received(ends.of(victim), "linger_abort", &theirs)?.at_distance(AFAR)]);
    other.ledger.end(&place, victim.other(), CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    hit.ledger.end(&place, victim, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    Ok(())
}

/// The router resets in the other end's name, which still holds its connection.
fn forged(
    api: &Api,
    service: Service,
    routed: &Routed,
    victim: Role,
    hit: &mut Side<'_>,
    other: &mut Side<'_>,
) -> Result<()> {
    let place = service.place;
    let pair = routed.client.enter(|| service.pair())?;
    // A listener would take what comes too late, and say nothing.
    drop(service);
    let ends = place.ends(pair.client_port);
    let (from, to) = match victim {
        Role::Client => (ends.server, ends.client),
        Role::Server => (ends.client, ends.server),
    };
    let capture = routed.router.enter(Capture::open)?;
    pair.exchange(1)?;
    let data = capture.next(|passed| passed.from == from && passed.bytes > 0)?;
    ensure!(data.to == to, "{data:?} is of another connection");
    routed.router.enter(|| {
        let numbers = Numbers { sequence: data.next, ttl: FORGED };
        RawSocket::open()?.send_with(Segment::between(from, to, Flags::RST), numbers)
    })?;
    let (theirs, aborting) = pair.split(victim);
    let saw = received(ends.of(victim), "peer_abort", &theirs)?;
    hit.story.expect([saw.built_on_the_way().alone().at_distance(AFAR).ttl(FORGED)]);
    hit.ledger.end(&place, victim, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    until_final(api, ends.of(victim), place.port)?;
    end_other(ends, &place, victim, aborting, hit, other)
}

/// The other end never heard of it. What it says then comes too late, to be the sender, too.
fn end_other(
    ends: Ends,
    place: &Place,
    victim: Role,
    aborting: Socket,
    hit: &mut Side<'_>,
    other: &mut Side<'_>,
) -> Result<()> {
    let sent = other.namespace.enter(|| {
        let sent = lingering(ends.of(victim.other()))?;
        abort(aborting)?;
        Ok(sent.at_distance(AFAR))
    })?;
    other.story.expect([sent]);
    other.ledger.end(place, victim.other(), CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
    hit.story.expect([ends.of(victim).received_belated("peers_reset").at_distance(AFAR)]);
    hit.ledger.received_belated(place, victim, Signal::Stray, 1);
    Ok(())
}

/// The router resets the client in the server's name and with its TTL, after quiet.
fn on_the_way(api: &Api, family: usize, flow: Flow) -> Result<()> {
    let routed = Routed::create()?;
    let place = Place::between(Routed::SERVER[family].parse()?, Routed::CLIENT[family].parse()?);
    let (mut hit, mut other) = (Side::open(api, &routed.client)?, Side::open(api, &routed.server)?);
    let service = routed.server.enter(|| place.listen())?;
    let pair = routed.client.enter(|| service.pair())?;
    // A listener would take what comes too late, and say nothing.
    drop(service);
    let ends = place.ends(pair.client_port);
    let capture = routed.router.enter(Capture::open)?;
    pair.exchange(1)?;
    let data = capture.next(|passed| passed.from == ends.server && passed.bytes > 0)?;
    // Else the server would send again what nobody acknowledges any more.
    for _ in 0..2 {
        capture.next(|passed| passed.from == ends.client && passed.bytes == 0)?;
    }
    lose_everything(&pair.server)?;
    hit.story.is_about_time();
    other.story.is_about_time();
    wait::quiet_for(QUIET);
    if flow == Flow::Forgotten {
        send(&pair.client, b"request")?;
        capture.next(|passed| passed.from == ends.client && passed.bytes == 7)?;
    }
    routed.router.enter(|| {
        let numbers = Numbers { sequence: data.next, ttl: AFAR };
        RawSocket::open()?.send_with(Segment::between(ends.server, ends.client, Flags::RST), numbers)
    })?;
    let (theirs, aborting) = pair.split(Role::Client);
    let (cause, unacked) = match flow {
        Flow::Ended => ("idle_abort", 0),
        Flow::Forgotten => ("stale_idle", 7),
    };
    let saw = received(ends.client(), cause, &theirs)?;
    hit.story.expect([saw.likely().alone().at_distance(AFAR).unacked(unacked)]);
    hit.ledger.end(&place, Role::Client, CountsView { reset: 1, resets_received: 1, ..ended(1) });
    until_final(api, ends.client(), place.port)?;
    end_other(ends, &place, Role::Client, aborting, &mut hit, &mut other)?;
    for Side { namespace: _, ledger, story } in [hit, other] {
        ledger.balance()?;
        story.compare()?;
    }
    Ok(())
}

/// Waits until nobody is looked for any more who might have sent what this end received.
fn until_final(api: &Api, end: End, port: u16) -> Result<()> {
    let wanted = end.received("peer_abort").key();
    wait::until_true("a final verdict", || {
        let events = api.events(&format!("kind=reset_received&port={port}&limit=1000"))?.events;
        Ok(events.iter().any(|event| event.is_final && key(event) == wanted))
    })
}
