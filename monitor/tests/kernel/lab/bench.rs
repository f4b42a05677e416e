//! What a trial of the lab says is true of its connections, against what the daemon tells of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail, ensure};
use monitor::view::{CountsView, EventView};
use serde_json::Value;
use socket2::Socket;

use crate::again::NotAsMeant;
use crate::api::Api;
use crate::confusion::{self, Case};
use crate::ledger::Role;
use crate::netns::Namespace;
use crate::signals::{Sight, Signal};
use crate::sockets::{Family, Place};
use crate::wait;
use crate::watch::Watch;

/// What is true of the events of one kind at one end.
#[derive(Clone, Debug)]
pub(super) struct Truth {
    kind: &'static str,
    role: Role,
    service: u16,
    /// Any client's without.
    client: Option<u16>,
    cause: &'static str,
    /// What this end may name instead, if not as certain.
    perhaps: &'static [&'static str],
    /// How often it happens at least, and at most.
    times: (usize, usize),
    /// Nothing is told of it unless this is seen.
    signal: Option<Signal>,
    owner: Vec<(&'static str, Value)>,
}

impl Truth {
    /// So many times, or less, or not at all.
    pub(super) const fn at_most(mut self, times: usize) -> Self {
        self.times = (0, times);
        self
    }

    /// Once or more often.
    pub(super) const fn repeatedly(mut self) -> Self {
        self.times = (1, usize::MAX);
        self
    }

    /// This end cannot know it: where it is not certain, it may name one of these.
    pub(super) const fn or_perhaps(mut self, causes: &'static [&'static str]) -> Self {
        self.perhaps = causes;
        self
    }

    /// Only where this is seen.
    pub(super) const fn only_with(mut self, signal: Signal) -> Self {
        self.signal = Some(signal);
        self
    }

    /// And its owner shows this.
    pub(super) fn owner(mut self, field: &'static str, value: impl Into<Value>) -> Self {
        self.owner.push((field, value.into()));
        self
    }

    fn is_about(&self, event: &EventView) -> bool {
        let (ours, theirs) = match self.role {
            Role::Server => (event.local.port, event.remote.port),
            Role::Client => (event.remote.port, event.local.port),
        };
        event.kind == self.kind && ours == self.service && self.client.is_none_or(|client| client == theirs)
    }

    /// What of the event is not as this says.
    fn differences(&self, event: &Value) -> Vec<String> {
        let (named, confidence) = (&event["cause"], &event["confidence"]);
        let mut wrong = Vec::new();
        let excused = confidence != "certain" && self.perhaps.iter().any(|cause| named == cause);
        if named != self.cause && !excused {
            wrong.push(format!("{} is true, and {named} is named, {confidence}", self.cause));
        }
        let owner = |(field, value): &&(&str, Value)| event["owner"][*field] != *value;
        wrong.extend(
            self.owner.iter().filter(owner).map(|(field, value)| format!("owner.{field} is not {value}")),
        );
        wrong
    }
}

/// Where a trial of the lab happens, and what is true of it.
#[derive(Debug)]
pub(super) struct Bench<'a> {
    pub(super) api: &'a Api,
    /// The service that it is about.
    pub(super) place: Place,
    namespaces: Vec<u32>,
    /// Events before it are of others.
    pub(super) after: u64,
    sight: Sight,
    truths: Vec<Truth>,
    watch: Watch,
    /// What is not to end before all was judged.
    pub(super) kept: Vec<Socket>,
}

impl<'a> Bench<'a> {
    /// Plays in a namespace of its own, with a service on loopback, and judges.
    pub(super) fn play(api: &'a Api, play: impl FnOnce(&mut Self) -> Result<()> + Send) -> Result<()> {
        let namespace = Namespace::create()?;
        let place = Place::on_loopback(Family::V4);
        namespace.enter(|| {
            let mut bench = Self::open(api, place, &[&namespace])?;
            play(&mut bench)?;
            bench.judge()
        })
    }

    /// The same, of what is not known to the last event: nothing is judged but what `play` itself looks at.
    pub(super) fn watch(api: &'a Api, play: impl FnOnce(&mut Self) -> Result<()> + Send) -> Result<()> {
        let namespace = Namespace::create()?;
        let place = Place::on_loopback(Family::V4);
        namespace.enter(|| play(&mut Self::open(api, place, &[&namespace])?))
    }

    /// Begins before the first packet.
    pub(super) fn open(api: &'a Api, place: Place, namespaces: &[&Namespace]) -> Result<Self> {
        let after = decoded(api)?;
        Ok(Self {
            api,
            place,
            namespaces: namespaces.iter().map(|namespace| namespace.inum).collect(),
            after,
            sight: Sight::of(api)?,
            truths: Vec::new(),
            watch: Watch::start(api.clone(), after),
            kept: Vec::new(),
        })
    }

    /// States the cause of a kind of event at one end of the connection from this client port, once. What is stated first goes first.
    pub(super) fn truth(&self, client: u16, role: Role, kind: &'static str, cause: &'static str) -> Truth {
        Truth { client: Some(client), ..self.truth_of_all(role, kind, cause) }
    }

    /// The same for whichever client.
    pub(super) fn truth_of_all(&self, role: Role, kind: &'static str, cause: &'static str) -> Truth {
        Truth {
            kind,
            role,
            service: self.place.port,
            client: None,
            cause,
            perhaps: &[],
            times: (1, 1),
            signal: None,
            owner: Vec::new(),
        }
    }

    /// Whether this kernel shows it.
    pub(super) fn sees(&self, signal: Signal) -> bool {
        self.sight.has(signal)
    }

    /// Takes statements in.
    pub(super) fn state(&mut self, truths: impl IntoIterator<Item = Truth>) {
        let sight = &self.sight;
        self.truths
            .extend(truths.into_iter().filter(|truth| truth.signal.is_none_or(|signal| sight.has(signal))));
    }

    /// One end resets the connection from this client port, and the other end receives it, for the same cause.
    pub(super) fn reset(&mut self, client: u16, sender: Role, cause: &'static str) {
        self.state([
            self.truth(client, sender, "reset_sent", cause),
            self.truth(client, sender.other(), "reset_received", cause),
        ]);
    }

    /// The same where the receiver cannot know, and may name one of these, not as certain.
    pub(super) fn reset_unknown(
        &mut self,
        client: u16,
        sender: Role,
        cause: &'static str,
        perhaps: &'static [&'static str],
    ) {
        self.state([
            self.truth(client, sender, "reset_sent", cause),
            self.truth(client, sender.other(), "reset_received", cause).or_perhaps(perhaps),
        ]);
    }

    /// The counts of this role's ends, over all peers of the service.
    pub(super) fn counts(&self, role: Role) -> Result<CountsView> {
        let mut sum = CountsView::default();
        for namespace in &self.namespaces {
            let peers = self.api.peers_of(*namespace)?.peers;
            for peer in
                peers.iter().filter(|peer| peer.port == Some(self.place.port) && peer.role == role.name())
            {
                sum.opened += peer.counts.opened;
                sum.reset += peer.counts.reset;
                sum.aborted += peer.counts.aborted;
                sum.closed += peer.counts.closed;
                sum.refused_received += peer.counts.refused_received;
            }
        }
        Ok(sum)
    }

    /// So many connections have ended, and none by a reset.
    pub(super) fn ended_well(&self, number: u64) -> Result<()> {
        for role in [Role::Server, Role::Client] {
            wait::until_true("closes to be counted", || Ok(self.counts(role)?.closed == number))?;
            let counts = self.counts(role)?;
            ensure!(counts.reset == 0 && counts.aborted == 0, "{}: {counts:?}", role.name());
        }
        Ok(())
    }

    /// Compares when all that was stated is told, and whatever else was under way.
    pub(super) fn judge(mut self) -> Result<()> {
        let outcome = wait::until("what is true to be told", || {
            let events = self.told_so_far()?;
            let missing: Vec<_> =
                self.truths.iter().filter(|truth| self.count(truth, &events) < truth.times.0).collect();
            Ok(if missing.is_empty() { Ok(()) } else { Err(format!("{missing:?}")) })
        });
        let last = decoded(self.api)?;
        wait::until_true("the last event", || {
            let query = format!("after={}&limit=10000&idle_closes=true", self.after);
            let events = self.api.events(&query)?.events;
            let is_ours = |event: &&EventView| self.namespaces.contains(&event.netns);
            let is_all_there = last == self.after || events.iter().any(|event| event.id >= last);
            Ok(is_all_there && events.iter().filter(is_ours).all(|event| event.is_final))
        })?;
        let mut events = self.watch.finish()?;
        events.retain(|event| self.namespaces.contains(&event.netns));
        let (cases, wrong) = self.compare(&events)?;
        let told = || serde_json::to_string(&events);
        if !wrong.is_empty() && events.iter().any(|event| self.missed_its_socket(event)) {
            return Err(NotAsMeant(format!("a segment of a connection found its listener: {wrong:?}")).into());
        }
        if let Err(error) = outcome {
            bail!("{error:#}; not what is true:\n{}\ntold was {}", wrong.join("\n"), told()?);
        }
        ensure!(wrong.is_empty(), "not what is true:\n{}\ntold was {}", wrong.join("\n"), told()?);
        confusion::take(cases);
        Ok(())
    }

    /// Whether the kernel looked for a socket while it put that in the place of another one, found none, and reset a connection that was
    /// well: until mainline commit 1532ed0d0753 `inet_ehash_insert` in `net/ipv4/inet_hashtables.c` takes the request out before it
    /// puts the connection in, and who looks takes no lock (seen once on 6.1, a FIN that came with the last ACK of its handshake).
    fn missed_its_socket(&self, event: &EventView) -> bool {
        let is_listener = event.state.as_deref() == Some("LISTEN") && event.local.port == self.place.port;
        event.kind == "stray_sent" && is_listener && event.cause.as_deref() == Some("other")
    }

    fn compare(&self, events: &[EventView]) -> Result<(Vec<Case>, Vec<String>)> {
        let (mut cases, mut wrong) = (Vec::new(), Vec::new());
        for event in events.iter().filter(|event| event.cause.is_some()) {
            let json = serde_json::to_value(event)?;
            let Some(truth) = self.truths.iter().find(|truth| truth.is_about(event)) else {
                wrong.push(format!("nothing of the kind was done: {json}"));
                continue;
            };
            let different = truth.differences(&json);
            if !different.is_empty() {
                wrong.push(format!("{}: {json}", different.join("; ")));
            }
            cases.extend(Case::of(truth.cause, &json));
        }
        for truth in &self.truths {
            let found = self.count(truth, events);
            if found > truth.times.1 {
                wrong.push(format!("{found} times: {truth:?}"));
            }
        }
        Ok((cases, wrong))
    }

    /// How many of the events are of this truth, and of none stated before.
    fn count(&self, truth: &Truth, events: &[EventView]) -> usize {
        let first = |event: &&EventView| self.truths.iter().find(|truth| truth.is_about(event));
        events.iter().filter(|event| first(event).is_some_and(|found| std::ptr::eq(found, truth))).count()
    }

    /// Those of the services that are final.
    fn told_so_far(&self) -> Result<Vec<EventView>> {
        let services: BTreeSet<_> = self.truths.iter().map(|truth| truth.service).collect();
        // What the daemon has given up since is in the watch, and what the watch has not seen yet is with the daemon.
        let mut events: BTreeMap<u64, EventView> = BTreeMap::new();
        let mut take = |told: Vec<EventView>| events.extend(told.into_iter().map(|event| (event.id, event)));
        take(self.watch.so_far());
        for service in &services {
            take(self.api.events(&format!("after={}&limit=10000&port={service}", self.after))?.events);
        }
        events.retain(|_, event| event.is_final && self.namespaces.contains(&event.netns));
        Ok(events.into_values().collect())
    }
}

/// Events have numbers without gaps from 1 on, so the last one's is how many were decoded.
fn decoded(api: &Api) -> Result<u64> {
    Ok(api.status()?.stories.values().map(|story| story.decoded).sum())
}
