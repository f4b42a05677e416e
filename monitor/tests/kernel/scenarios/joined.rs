//! Two namespaces joined by a cable, and a namespace as such.

use std::net::IpAddr;

use anyhow::{Context as _, Result, bail, ensure};
use monitor::view::CountsView;
use socket2::Protocol;

use crate::WithShared;
use crate::api::Api;
use crate::helper::Holder;
use crate::ledger::{Ledger, Role, ended};
use crate::netns::{Joined, Namespace};
use crate::oracle::{Snmp, state, until_quiet, until_state};
use crate::scenarios::told::{lingering, received, unread};
use crate::sockets::{Family, Pair, Place, abort, error_name, port_of, receive, send, wait_for_data};
use crate::story::Story;
use crate::wait;

pub(crate) const SCENARIOS: &[WithShared] = &[
    ("each namespace counts its own end of a connection", one_end_each),
    ("sockets that connect to each other at once are one connection each", simultaneous_open),
    ("a namespace with a process in it is compared with its own OutRsts", reconciled),
];

fn one_end_each(api: &Api) -> Result<()> {
    let joined = Joined::create()?;
    let [addresses_one, addresses_two] = Joined::ADDRESSES;
    for (server, client) in addresses_two.into_iter().zip(addresses_one) {
        let mut ours = Ledger::open(api, &joined.one)?;
        let mut theirs = Ledger::open(api, &joined.two)?;
        let mut our_story = Story::open(api, &joined.one)?;
        let mut their_story = Story::open(api, &joined.two)?;
        let place = Place::between(server.parse()?, client.parse()?);
        let closed = Place::between(server.parse()?, client.parse()?);
        let service = joined.two.enter(|| place.listen())?;
        joined.one.enter(|| {
            // The server resets, the client receives; then the other way round; then a refusal.
            let pair = service.pair()?;
            pair.exchange(1)?;
            send(&pair.client, b"unread")?;
            wait_for_data(&pair.server)?;
            let ends = place.ends(pair.client_port);
            drop(pair.server);
            our_story.expect([received(ends.client(), "unread_data", &pair.client)?]);
            their_story.expect([unread(ends.server())?.unread(6)]);
            let pair = service.pair()?;
            pair.exchange(1)?;
            let ends = place.ends(pair.client_port);
            abort(pair.client)?;
            our_story.expect([lingering(ends.client())?]);
            their_story.expect([received(ends.server(), "linger_abort", &pair.server)?]);
            let refused = closed.client_socket(Protocol::TCP, 0)?;
            let ends = closed.ends(port_of(&refused)?);
            let error = refused.connect(&closed.target().into()).err().context("the port is not closed")?;
            our_story.expect([ends.client().refused_received().app_saw(error_name(&error)?)]);
            their_story.expect([ends.server().refused_sent().no_socket()]);
            Ok(())
        })?;
        drop(service);
        ours.client(&place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
        ours.client(&place, CountsView { aborted: 1, resets_sent: 1, ..ended(1) });
        ours.client(&closed, CountsView { refused_received: 1, ..CountsView::default() });
        theirs.server(&place, CountsView { reset: 1, resets_sent: 1, ..ended(1) });
        theirs.server(&place, CountsView { reset: 1, resets_received: 1, ..ended(1) });
        theirs.refused_sent(closed.port, 1);
        ours.balance()?;
        theirs.balance()?;
        our_story.compare()?;
        their_story.compare()?;
    }
    Ok(())
}

fn simultaneous_open(api: &Api) -> Result<()> {
    let joined = Joined::create()?;
    let [link_one, link_two] = Joined::LINKS;
    let [[one, _], [two, _]] = Joined::ADDRESSES;
    let (one, two): (IpAddr, IpAddr) = (one.parse()?, two.parse()?);
    let mut ledgers = [Ledger::open(api, &joined.one)?, Ledger::open(api, &joined.two)?];
    let stories = [Story::open(api, &joined.one)?, Story::open(api, &joined.two)?];
    // Each side is the server of the other; neither ever listens.
    let (to_one, to_two) = (Place::between(one, two), Place::between(two, one));

    // Both SYNs get lost, so that both sockets are in SYN_SENT when a SYN comes at last.
    joined.believe(["02:00:00:00:77:ff", "02:00:00:00:77:fe"])?;
    let connecting = |namespace: &Namespace, to: Place, from_port| {
        namespace.enter(|| {
            let socket = to.client_socket(Protocol::TCP, from_port)?;
            socket.set_nonblocking(true)?;
            ensure!(socket.connect(&to.target().into()).is_err(), "connected at once");
            until_state(from_port, to.port, state::SYN_SENT)?;
            Ok(socket)
        })
    };
    let client = connecting(&joined.one, to_two, to_one.port)?;
    let server = connecting(&joined.two, to_one, to_two.port)?;
    joined.believe([link_one, link_two])?;
    joined.one.enter(|| until_state(to_one.port, to_two.port, state::ESTABLISHED))?;
    joined.two.enter(|| until_state(to_two.port, to_one.port, state::ESTABLISHED))?;
    for socket in [&client, &server] {
        socket.set_nonblocking(false)?;
    }
    let pair = Pair { client, server, client_port: to_one.port, service_port: to_two.port };
    pair.exchange(1)?;
    pair.finish();

    // Both sides connected, so both are clients.
    let [ours, theirs] = &mut ledgers;
    ours.note(two, to_two.port, Role::Client, ended(1));
    theirs.note(one, to_one.port, Role::Client, ended(1));
    ledgers.into_iter().try_for_each(Ledger::balance)?;
    stories.into_iter().try_for_each(Story::compare)
}

fn reconciled(api: &Api) -> Result<()> {
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let ledger = Ledger::open(api, &namespace)?;
        let mut story = Story::open(api, &namespace)?;
        let place = Place::on_loopback(Family::V4);
        let mut holder = Holder::start(&place, 2)?;
        let clients = [place.connect()?, place.connect()?];
        for client in &clients {
            send(client, b"request")?;
            receive(client, 8)?;
        }
        holder.wait_until_answered()?;
        for client in clients {
            let ends = place.ends(port_of(&client)?);
            let at_server = ends.server().received("linger_abort").certain().app_saw("ECONNRESET");
            story.expect([lingering(ends.client())?, at_server]);
            abort(client)?;
        }
        ensure!(ledger.resets_by_kernel()? == 2, "the trial is wrong");
        // The holder keeps the namespace visible in /proc, which is where the daemon finds the kernel's counter.
        wait::until("a comparison without difference", || {
            let status = api.status()?;
            let Some(view) = status.namespaces.iter().find(|view| view.netns == namespace.inum) else {
                return Ok(Err("the namespace is not in the status".to_owned()));
            };
            let (theirs, difference) = (view.kernel_out_resets, view.unattributed);
            Ok(match (theirs, difference) {
                (Some(theirs), Some(0)) if theirs >= 2 => Ok(()),
                _ => Err(format!("{view:?}, OutRsts {}", Snmp::read()?.out_resets)),
            })
        })?;
        if let Err(error) = holder.kill() {
            bail!("cannot kill the holder: {error}");
        }
        until_quiet()?;
        story.compare()
    })
}
