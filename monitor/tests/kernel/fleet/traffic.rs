//! What happens between the nodes of a fleet, and the trial's own account of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::Result;
use socket2::Socket;

use super::nodes::{Fleet, Node};
use crate::capture::Capture;
use crate::netns::Namespace;
use crate::packets::{Flags, Numbers, RawSocket, Segment};
use crate::sockets::{
    Pair, Place, Service, abort, poll_for_reset, receive_end, send, unique_port, wait_for_data,
    wait_for_reset,
};
use crate::wait;

/// After so much quiet each side gives up, and how often. The server is first: whoever gives up later is not contradicted by it.
const PATIENCE: [(Duration, usize); 2] = [(Duration::from_secs(3), 4), (Duration::from_secs(2), 6)];

/// Two ends and a port, and who sent: `client` or `server`.
pub(super) type Key = (IpAddr, IpAddr, u16, &'static str);

/// Resets that were made.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// That an end sent.
    pub(super) sent: BTreeMap<Key, u64>,
    /// That came in an end's name.
    pub(super) received: BTreeMap<Key, u64>,
    /// The one that a device sent.
    pub(super) forged: Option<Key>,
    /// The service of which both ends close quiet connections.
    pub(super) quiet: u16,
    /// Ends whose close would say something.
    held: Vec<Socket>,
}

impl Account {
    fn both(&mut self, pair: &Between<'_>, sender: &'static str, times: u64) {
        self.sent.insert(pair.key(sender), times);
        self.received.insert(pair.key(sender), times);
    }
}

/// A client's and a server's node, and the service.
struct Between<'a> {
    client: &'a Node,
    service: Service,
}

impl<'a> Between<'a> {
    fn new(client: &'a Node, server: &Node, port: u16) -> Result<Self> {
        Self::at(client, &server.namespace, server.address, port)
    }

    fn at(client: &'a Node, server: &Namespace, address: IpAddr, port: u16) -> Result<Self> {
        let place = Place::between(address, client.address).with_port(port);
        Ok(Self { client, service: server.enter(|| place.listen())? })
    }

    fn key(&self, sender: &'static str) -> Key {
        let Place { server, client, port, .. } = self.service.place;
        (client, server, port, sender)
    }

    /// A connection that was used.
    fn pair(&self) -> Result<Pair> {
        let pair = self.client.namespace.enter(|| self.service.pair())?;
        pair.exchange(1)?;
        Ok(pair)
    }

    /// The server closes with a request unread.
    fn server_resets(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            let Pair { client, server, .. } = self.pair()?;
            send(&client, b"unread")?;
            wait_for_data(&server)?;
            drop(server);
            wait_for_reset(&client)?;
        }
        Ok(())
    }

    /// The client ends it on purpose.
    fn client_resets(&self, times: u64) -> Result<()> {
        for _ in 0..times {
            let Pair { client, server, .. } = self.pair()?;
            abort(client)?;
            poll_for_reset(&server)?;
        }
        Ok(())
    }

    /// The router resets the client in the server's name. The server hears nothing of it as long as this is held.
    fn forged(&self, router: &Namespace) -> Result<Socket> {
        let capture = router.enter(Capture::open)?;
        let Pair { client, server, client_port, .. } = self.pair()?;
        let ends = self.service.place.ends(client_port);
        let data = capture
            .next(|passed| passed.from == ends.server && passed.to == ends.client && passed.bytes > 0)?;
        router.enter(|| {
            let segment = Segment::between(ends.server, ends.client, Flags::RST);
            RawSocket::open()?.send_with(segment, Numbers::at(data.next))
        })?;
        wait_for_reset(&client)?;
        Ok(server)
    }

    /// Each side closes what has been quiet.
    fn give_up(&self) -> Result<()> {
        let [(server_after, server_times), (client_after, client_times)] = PATIENCE;
        for _ in 0..server_times {
            let Pair { client, server, .. } = self.pair()?;
            wait::quiet_for(server_after);
            drop(server);
            receive_end(&client)?;
        }
        for _ in 0..client_times {
            let Pair { client, server, .. } = self.pair()?;
            wait::quiet_for(client_after);
            drop(client);
            receive_end(&server)?;
        }
        Ok(())
    }
}

/// Plays it. The second node's service at port `hidden` has no series at its own daemon.
pub(super) fn play(fleet: &Fleet, hidden: u16) -> Result<Account> {
    let [one, two, three] = &fleet.nodes;
    let mut account = Account::default();
    let pair = Between::new(one, two, unique_port())?;
    pair.server_resets(5)?;
    account.both(&pair, "server", 5);
    pair.client_resets(3)?;
    account.both(&pair, "client", 3);
    let pair = Between::new(two, three, unique_port())?;
    pair.server_resets(7)?;
    account.both(&pair, "server", 7);
    // Nothing but exchanges.
    Between::new(one, three, unique_port())?.pair()?.finish();
    // The server's end is in `other`.
    let pair = Between::new(three, two, hidden)?;
    pair.server_resets(6)?;
    account.received.insert(pair.key("server"), 6);
    // A host without a daemon.
    Between::at(one, &fleet.router, one.gateway, unique_port())?.server_resets(4)?;
    let pair = Between::new(three, one, unique_port())?;
    for _ in 0..3 {
        account.held.push(pair.forged(&fleet.router)?);
    }
    account.received.insert(pair.key("server"), 3);
    account.forged = Some(pair.key("server"));
    let pair = Between::new(one, three, unique_port())?;
    pair.give_up()?;
    account.quiet = pair.service.place.port;
    Ok(account)
}

/// What each node's kernel has sent: its own part of the account.
pub(super) fn sent_by(account: &Account, node: &Node, hidden: u16) -> u64 {
    let is_sender = |(client, server, _, sender): &Key| match *sender {
        "client" => *client == node.address,
        _ => *server == node.address,
    };
    let untold = account.received.iter().filter(|((_, _, port, _), _)| *port == hidden);
    let all = account.sent.iter().chain(untold);
    all.filter(|(key, _)| is_sender(key)).map(|(_, times)| times).sum()
}
