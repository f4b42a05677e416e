//! A trial's own book of what it did, and its comparison with the kernel's counters and with the daemon's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use anyhow::Result;
use monitor::view::{CountsView, NamespaceView, PeerView, PortView};

use crate::again::NotAsMeant;
use crate::api::Api;
use crate::netns::Namespace;
use crate::oracle::{self, Snmp};
use crate::signals::{Sight, Signal};
use crate::sockets::Place;
use crate::wait;

/// Our role in a connection, as the JSON names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Role {
    Client,
    Server,
}

impl Role {
    /// The other end's.
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }

    /// As the JSON spells it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
        }
    }
}

/// A peer within a namespace: address, service port, role.
type PeerKey = (String, u16, &'static str);

/// Counts of a connection that was opened, had these exchanges and ended, without any reset.
pub(crate) const fn ended(exchanges: u64) -> CountsView {
    CountsView {
        opened: 1,
        closed: 1,
        exchanges,
        reset: 0,
        aborted: 0,
        resets_sent: 0,
        resets_received: 0,
        refused_received: 0,
    }
}

/// The counts times a number.
pub(crate) const fn times(counts: CountsView, number: u64) -> CountsView {
    let CountsView {
        opened,
        closed,
        reset,
        aborted,
        exchanges,
        resets_sent,
        resets_received,
        refused_received,
    } = counts;
    CountsView {
        opened: opened * number,
        closed: closed * number,
        reset: reset * number,
        aborted: aborted * number,
        exchanges: exchanges * number,
        resets_sent: resets_sent * number,
        resets_received: resets_received * number,
        refused_received: refused_received * number,
    }
}

/// Applies `change` to each pair of counters.
pub(crate) fn zip(one: CountsView, two: CountsView, change: impl Fn(u64, u64) -> u64) -> CountsView {
    CountsView {
        opened: change(one.opened, two.opened),
        closed: change(one.closed, two.closed),
        reset: change(one.reset, two.reset),
        aborted: change(one.aborted, two.aborted),
        exchanges: change(one.exchanges, two.exchanges),
        resets_sent: change(one.resets_sent, two.resets_sent),
        resets_received: change(one.resets_received, two.resets_received),
        refused_received: change(one.refused_received, two.refused_received),
    }
}

/// Resets sent as a namespace's totals sort them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sent {
    pub(crate) resets: u64,
    pub(crate) refusals: u64,
    pub(crate) strays: u64,
}

impl Sent {
    /// Of a namespace in the daemon's status.
    pub(crate) fn of(namespaces: &[NamespaceView], netns: u32) -> Self {
        namespaces.iter().find(|view| view.netns == netns).map_or_else(Self::default, |view| Self {
            resets: view.resets_sent,
            refusals: view.refused_sent,
            strays: view.stray_sent,
        })
    }

    pub(crate) const fn sum(self) -> u64 {
        self.resets + self.refusals + self.strays
    }

    pub(crate) const fn minus(self, other: Self) -> Self {
        Self {
            resets: self.resets - other.resets,
            refusals: self.refusals - other.refusals,
            strays: self.strays - other.strays,
        }
    }
}

/// The book of one namespace, opened before the first packet.
#[derive(Debug)]
pub(crate) struct Ledger<'a> {
    api: &'a Api,
    namespace: &'a Namespace,
    rows: BTreeMap<PeerKey, CountsView>,
    refused_sent: BTreeMap<u16, u64>,
    stray_sent: BTreeMap<u16, u64>,
    stray_received: BTreeMap<u16, u64>,
    reject_sent: BTreeMap<u16, u64>,
    unanswered: u64,
    /// Every reset here ends what it meets, so the kernel's counters of such moves mean the same as ours.
    ends_at_once: bool,
    /// Resets that may have been received besides.
    perhaps_received: BTreeMap<PeerKey, u64>,
    sight: Sight,
    kernel_before: Snmp,
    // An inode number returns once its namespace is gone, so a daemon may have counts under it already.
    rows_before: BTreeMap<PeerKey, CountsView>,
    // Ports are the host's: a trial that forges segments to random ones may have met these.
    ports_before: Vec<PortView>,
    sent_before: Sent,
}

impl<'a> Ledger<'a> {
    /// Opens the book.
    pub(crate) fn open(api: &'a Api, namespace: &'a Namespace) -> Result<Self> {
        let kernel_before = namespace.enter(Snmp::read)?;
        let before = api.peers_of(namespace.inum)?;
        let sent_before = Sent::of(&api.status()?.namespaces, namespace.inum);
        Ok(Self {
            api,
            namespace,
            rows: BTreeMap::new(),
            refused_sent: BTreeMap::new(),
            stray_sent: BTreeMap::new(),
            stray_received: BTreeMap::new(),
            reject_sent: BTreeMap::new(),
            unanswered: 0,
            ends_at_once: false,
            perhaps_received: BTreeMap::new(),
            sight: Sight::of(api)?,
            kernel_before,
            rows_before: rows_of(&before.peers),
            ports_before: before.ports,
            sent_before,
        })
    }

    /// Notes counts of one end.
    pub(crate) fn note(&mut self, peer: IpAddr, port: u16, role: Role, counts: CountsView) {
        let row = self.rows.entry((peer.to_string(), port, role.name())).or_default();
        *row = zip(*row, counts, |one, two| one + two);
    }

    /// Notes counts of the end with this role.
    pub(crate) fn end(&mut self, place: &Place, role: Role, counts: CountsView) {
        match role {
            Role::Client => self.client(place, counts),
            Role::Server => self.server(place, counts),
        }
    }

    /// Notes counts of the client's end of connections at this place.
    pub(crate) fn client(&mut self, place: &Place, counts: CountsView) {
        self.note(place.server, place.port, Role::Client, counts);
    }

    /// Notes counts of the server's end.
    pub(crate) fn server(&mut self, place: &Place, counts: CountsView) {
        self.note(place.client, place.port, Role::Server, counts);
    }

    /// Notes resets that answered SYNs to a local port.
    pub(crate) fn refused_sent(&mut self, port: u16, number: u64) {
        *self.refused_sent.entry(port).or_default() += number;
    }

    /// Notes resets that answered segments of no connection at a local port.
    pub(crate) fn stray_sent(&mut self, port: u16, number: u64) {
        *self.stray_sent.entry(port).or_default() += number;
    }

    /// Notes resets that came to a local port and belonged to no connection, if this signal is seen.
    pub(crate) fn stray_received(&mut self, signal: Signal, port: u16, number: u64) {
        *self.stray_received.entry(port).or_default() += self.sight.count(signal, number);
    }

    /// Notes resets that netfilter sent in the name of a port, if that is seen.
    pub(crate) fn reject_sent(&mut self, port: u16, number: u64) {
        *self.reject_sent.entry(port).or_default() += self.sight.count(Signal::Reject, number);
    }

    /// Notes resets that an end received when its connection had ended already, if this signal is seen.
    pub(crate) fn received_belated(&mut self, place: &Place, role: Role, signal: Signal, number: u64) {
        let resets_received = self.sight.count(signal, number);
        self.end(place, role, CountsView { resets_received, ..CountsView::default() });
    }

    /// The same of which it depends on the moment whether they are seen: one that comes while its socket is in use meets that
    /// socket, closed or not.
    pub(crate) fn perhaps_belated(&mut self, place: &Place, number: u64) {
        let key = (place.server.to_string(), place.port, Role::Client.name());
        *self.perhaps_received.entry(key).or_default() += self.sight.count(Signal::Stray, number);
    }

    /// Notes attempts to connect that came to nothing.
    pub(crate) const fn unanswered(&mut self, number: u64) {
        self.unanswered += number;
    }

    /// Whatever ends here is ended by a reset and on the spot, so `EstabResets` and `AttemptFails` judge, too.
    pub(crate) const fn ends_at_once(&mut self) {
        self.ends_at_once = true;
    }

    /// What the kernel has counted in this namespace since the book was opened.
    fn by_kernel(&self) -> Result<Snmp> {
        Ok(self.namespace.enter(Snmp::read)?.since(self.kernel_before))
    }

    /// How many resets the kernel has sent in this namespace since the book was opened.
    pub(crate) fn resets_by_kernel(&self) -> Result<u64> {
        Ok(self.by_kernel()?.out_resets)
    }

    /// What the namespace's totals must be.
    fn sent(&self) -> Sent {
        Sent {
            resets: self.rows.values().map(|counts| counts.resets_sent).sum(),
            refusals: self.refused_sent.values().sum(),
            strays: self.stray_sent.values().sum(),
        }
    }

    /// Closes the book once every socket of the namespace is gone: the trial's own count equals the kernel's, and
    /// the daemon's equals both, row by row and nothing besides.
    pub(crate) fn balance(mut self) -> Result<()> {
        self.namespace.enter(oracle::until_quiet)?;
        self.check_trial().map_err(|error| error.context(self.surroundings()))?;
        self.rows.retain(|_, counts| *counts != CountsView::default());
        let balanced = wait::until("the daemon's counts to be the trial's", || {
            Ok(self.compare()?.map_err(|wrong| wrong.join("\n")))
        });
        balanced.map_err(|error| error.context(self.surroundings()))
    }

    /// Where a count may have gone instead: rows with a port of ours anywhere, and counts without a row of their own.
    fn surroundings(&self) -> String {
        let ports: BTreeSet<u16> = self.rows.keys().map(|(_, port, _)| *port).collect();
        let rows = self.api.peers().map(|view| {
            let near = |row: &&PeerView| row.port.is_none_or(|port| ports.contains(&port));
            view.peers.iter().filter(near).map(|row| format!("{row:?}")).collect::<Vec<_>>().join("\n")
        });
        let status = self.api.status().map(|status| {
            (status.over_budget, status.failed_reads, status.missed_runs, status.total, status.kernel_total)
        });
        let told = self.api.events("limit=1000").map(|view| {
            let ours = view.events.iter().filter(|event| event.netns == self.namespace.inum);
            ours.map(|event| format!("{event:?}")).collect::<Vec<_>>().join("\n")
        });
        format!(
            "rows with these ports:\n{}\nover budget, failed reads, missed runs, sums: {status:?}\nevents:\n{}\n",
            rows.unwrap_or_else(|error| format!("{error:#}")),
            told.unwrap_or_else(|error| format!("{error:#}"))
        )
    }

    /// Whether the trial did what it says it did.
    fn check_trial(&self) -> Result<()> {
        let kernel = self.by_kernel()?;
        let total = |role: Role| {
            let rows = self.rows.iter().filter(|((_, _, of), _)| *of == role.name());
            rows.fold(CountsView::default(), |sum, (_, counts)| zip(sum, *counts, |one, two| one + two))
        };
        let (client, server, sent) = (total(Role::Client), total(Role::Server), self.sent());
        let attempt_fails = client.refused_received;
        let established_resets = [client, server].map(|role| role.reset + role.aborted).iter().sum();
        let trial = Snmp {
            out_resets: sent.sum(),
            active_opens: client.opened + client.refused_received + self.unanswered,
            passive_opens: server.opened,
            attempt_fails: if self.ends_at_once { attempt_fails } else { kernel.attempt_fails },
            established_resets: if self.ends_at_once {
                established_resets
            } else {
                kernel.established_resets
            },
        };
        if trial != kernel {
            return Err(NotAsMeant(format!("it counts {trial:?}, the kernel {kernel:?}")).into());
        }
        Ok(())
    }

    fn compare(&self) -> Result<std::result::Result<(), Vec<String>>> {
        let view = self.api.peers_of(self.namespace.inum)?;
        let mut wrong = Vec::new();
        let now = rows_of(&view.peers);
        let keys: BTreeSet<_> = now.keys().chain(self.rows.keys()).chain(self.rows_before.keys()).collect();
        for key in keys {
            let of = |rows: &BTreeMap<PeerKey, CountsView>| rows.get(key).copied().unwrap_or_default();
            let expected = zip(of(&self.rows), of(&self.rows_before), |one, two| one + two);
            let found = of(&now);
            let besides = found.resets_received.saturating_sub(expected.resets_received);
            let allowed = self.perhaps_received.get(key).copied().unwrap_or_default();
            let certain =
                CountsView { resets_received: found.resets_received - besides.min(allowed), ..found };
            if certain != expected {
                wrong.push(format!("{key:?}:\n  expected {expected:?}\n  found    {found:?}"));
            }
        }
        for peer in &view.peers {
            let (sent, received) = (sum(&peer.causes_sent), sum(&peer.causes_received));
            if (sent, received) != (peer.counts.resets_sent, peer.counts.resets_received) {
                wrong.push(format!("the causes do not add up: {peer:?}"));
            }
        }
        let tables = [&self.refused_sent, &self.stray_sent, &self.stray_received, &self.reject_sent];
        let ports: BTreeSet<u16> = tables.iter().flat_map(|table| table.keys().copied()).collect();
        for port in ports {
            let expected = tables.map(|table| table.get(&port).copied().unwrap_or_default());
            let (before, now) = (of_port(&self.ports_before, port), of_port(&view.ports, port));
            let found: [u64; 4] = std::array::from_fn(|count| now[count] - before[count]);
            if found != expected {
                wrong.push(format!(
                    "port {port}: expected refused, strays sent and received, and rejected {expected:?}, found {found:?}"
                ));
            }
        }
        let status = self.api.status()?;
        let found = Sent::of(&status.namespaces, self.namespace.inum).minus(self.sent_before);
        if found != self.sent() {
            wrong.push(format!("the namespace: expected {:?}, found {found:?}", self.sent()));
        }
        if !wrong.is_empty() && status.over_budget > 0 {
            wrong.push(
                "the daemon is over its budgets: does anything else here connect to many peers?".to_owned(),
            );
        }
        let missed = status.missed_runs.iter().filter(|(_, runs)| runs.is_some_and(|runs| runs > 0));
        let missed: Vec<_> = missed.collect();
        if !wrong.is_empty() && !missed.is_empty() {
            wrong.push(format!("runs of the programs that nobody took over: {missed:?}"));
        }
        Ok(if wrong.is_empty() { Ok(()) } else { Err(wrong) })
    }
}

fn sum(causes: &BTreeMap<String, u64>) -> u64 {
    causes.values().sum()
}

/// Resets of a local port: refused, strays sent and received, and rejected.
fn of_port(ports: &[PortView], port: u16) -> [u64; 4] {
    let view = ports.iter().find(|view| view.port == Some(port));
    view.map_or([0; 4], |view| {
        [view.refused_sent, view.stray_sent, view.stray_received, view.reject_sent.unwrap_or(0)]
    })
}

/// The rows of peers and networks; the two sums that belong to no namespace are left out.
fn rows_of(peers: &[PeerView]) -> BTreeMap<PeerKey, CountsView> {
    let row = |peer: &PeerView| {
        let role = if peer.role == Role::Client.name() { Role::Client } else { Role::Server };
        Some(((peer.peer.clone(), peer.port?, role.name()), peer.counts))
    };
    peers.iter().filter_map(row).collect()
}
