//! The nodes of a fleet: network namespaces behind one router, each with an address and a daemon of its own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::daemon::{Daemon, Scratch};
use crate::machine;
use crate::netns::{Namespace, ip, sysctl};
use crate::oracle::Snmp;

/// What a daemon listens at, at its node's address.
const PORT: u16 = 9777;

/// A host of its own.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) namespace: Namespace,
    pub(super) address: IpAddr,
    /// The router's, on the way from here.
    pub(super) gateway: IpAddr,
}

impl Node {
    /// Where its daemon is.
    pub(super) fn daemon(&self) -> SocketAddr {
        SocketAddr::new(self.address, PORT)
    }

    /// Resets that it has sent, by its kernel's own count.
    pub(super) fn sent(&self) -> Result<u64> {
        self.namespace.enter(|| Ok(Snmp::read()?.out_resets))
    }
}

/// Three nodes, and a router that has no daemon.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) nodes: [Node; 3],
    pub(super) router: Namespace,
}

impl Fleet {
    /// Makes and joins them.
    pub(super) fn create() -> Result<Self> {
        let router = Namespace::create()?;
        router.enter(|| sysctl("ipv4/ip_forward", "1"))?;
        let nodes = [join(&router, 1)?, join(&router, 2)?, join(&router, 3)?];
        Ok(Self { nodes, router })
    }

    /// Runs `body` while each node has a daemon, with these options besides, and ends them.
    pub(super) fn watched<T: Send>(
        &self,
        options: &[Vec<String>; 3],
        body: impl FnOnce() -> Result<T> + Send,
    ) -> Result<T> {
        let waiting: Vec<_> = self.nodes.iter().zip(options).collect();
        watched(&waiting, body)
    }
}

/// A daemon ends with the thread that starts it, which must stay in its namespace: so these are one within the other.
fn watched<T: Send>(waiting: &[(&Node, &Vec<String>)], body: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let Some(((node, options), waiting)) = waiting.split_first() else { return body() };
    node.namespace.enter(|| {
        let lock = Scratch::create()?;
        // The programs see every namespace of this kernel; only what is its node's is told by name.
        let mut all = vec!["--metrics-namespace", "own"];
        all.extend(options.iter().map(String::as_str));
        let daemon = Daemon::start_at(machine::daemon(), node.daemon(), &lock.file("lock")?, &all)
            .with_context(|| format!("at {}", node.address))?;
        let done = watched(waiting, body)?;
        daemon.stop(Signal::TERM)?;
        Ok(done)
    })
}

/// Makes a node, behind the router.
fn join(router: &Namespace, number: u8) -> Result<Node> {
    let node = Namespace::create()?;
    let [address, gateway] = [1, 254].map(|host| Ipv4Addr::new(10, 78, number, host));
    let (path, name) = (node.path(), format!("node{number}"));
    router.enter(|| {
        ip(&format!(
            "link add {name} type veth peer name uplink netns {path}\naddr add {gateway}/24 dev {name}\nlink set {name} up\n"
        ))
    })?;
    node.enter(|| {
        ip(&format!(
            "addr add {address}/24 dev uplink\nlink set uplink up\nroute add default via {gateway}\n"
        ))
    })?;
    Ok(Node { namespace: node, address: address.into(), gateway: gateway.into() })
}
