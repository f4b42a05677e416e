//! Small scenarios on real sockets: each knows exactly what it did, and everything must agree with it.

mod abort;
mod burst;
mod closing;
mod conntrack;
mod forged;
mod idle;
mod joined;
mod late;
mod oom;
mod orphan;
mod overflow;
mod plain;
mod process;
mod reject;
mod stray;
pub(crate) mod told;

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::Result;

pub(crate) use self::conntrack::full as conntrack_full;
pub(crate) use self::forged::SCENARIOS as FORGED;
pub(crate) use self::joined::SCENARIOS as JOINED;
pub(crate) use self::orphan::WITHOUT_ROOM;
pub(crate) use self::reject::{REJECTS, nft};

use crate::api::Api;
use crate::expected::{Ends, Expected};
use crate::ledger::Ledger;
use crate::needs::Need;
use crate::netns::{Namespace, with_own_files};
use crate::signals::Sight;
use crate::sockets::{Family, Place};
use crate::story::Story;
use crate::{WithShared, again, wait};

/// What a scenario works with: a place of its own, in a namespace of its own, the book of counts and the expected story.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) place: Place,
    pub(crate) ledger: Ledger<'a>,
    /// What is seen here, and so what to expect.
    pub(crate) sight: Sight,
    pub(crate) api: &'a Api,
    story: Story<'a>,
}

/// More than the second from which on a connection counts as idle.
const QUIET: Duration = Duration::from_millis(1_200);

impl Stage<'_> {
    /// Both ends of the connection from this port of the client.
    pub(crate) const fn ends(&self, client_port: u16) -> Ends {
        self.place.ends(client_port)
    }

    /// Expects events. Those of one kind and end come in this order.
    pub(crate) fn expect(&mut self, events: impl IntoIterator<Item = Expected>) {
        self.story.expect(events);
    }

    /// Time is part of what this scenario expects.
    pub(crate) const fn is_about_time(&mut self) {
        self.story.is_about_time();
    }

    /// Lets every connection be quiet for more than a second.
    pub(crate) fn quiet(&mut self) {
        self.is_about_time();
        wait::quiet_for(QUIET);
    }
}

/// A scenario and the families it runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// What it shows, as a sentence.
    pub(crate) name: &'static str,
    /// One trial each.
    pub(crate) families: &'static [Family],
    /// What it needs of the machine.
    pub(crate) need: Option<Need>,
    play: fn(&mut Stage<'_>) -> Result<()>,
}

impl Scenario {
    const fn on_all(name: &'static str, play: fn(&mut Stage<'_>) -> Result<()>) -> Self {
        Self { name, families: &Family::ALL, need: None, play }
    }

    const fn on(
        families: &'static [Family],
        name: &'static str,
        play: fn(&mut Stage<'_>) -> Result<()>,
    ) -> Self {
        Self { name, families, need: None, play }
    }

    /// The same, on machines that have this.
    const fn needing(self, need: Need) -> Self {
        Self { need: Some(need), ..self }
    }

    /// Plays it on loopback in a new namespace, balances the book and compares the story.
    pub(crate) fn run(&self, api: &Api, family: Family) -> Result<()> {
        self.run_at(api, Place::on_loopback(family))
    }

    /// The same at a place that another namespace may have, too.
    fn run_at(&self, api: &Api, place: Place) -> Result<()> {
        again::if_skipped(api, self.name, || {
            let namespace = Namespace::create()?;
            namespace.enter(|| {
                let (ledger, story) = (Ledger::open(api, &namespace)?, Story::open(api, &namespace)?);
                let mut stage = Stage { place, ledger, sight: Sight::of(api)?, api, story };
                (self.play)(&mut stage)?;
                stage.ledger.balance()?;
                stage.story.compare()
            })
        })
    }
}

/// Two namespaces in which the same happens at the same time, at places with the same addresses and ports.
pub(crate) const TWINS: &[WithShared] = &[
    ("two namespaces overflow at once, and each is told of its own (IPv4)", |api| twins(api, Family::V4)),
    ("two namespaces overflow at once, and each is told of its own (IPv6)", |api| twins(api, Family::V6)),
];

fn twins(api: &Api, family: Family) -> Result<()> {
    let place = Place::on_loopback(family);
    let play = || with_own_files(|| overflow::AT_SYN.run_at(api, place));
    thread::scope(|scope| {
        let (one, two) = (scope.spawn(play), scope.spawn(play));
        let [one, two] = [one, two].map(|side| side.join().unwrap_or_else(|panic| resume_unwind(panic)));
        one.and(two)
    })
}

/// One in which every reset has a socket.
pub(crate) const SOCKETS_ONLY: Scenario = abort::BY_CLIENT;

/// A few that take every hook, on IPv4 and IPv6.
pub(crate) fn for_any_backend() -> Vec<Scenario> {
    [stray::SCENARIOS, overflow::SCENARIOS, &[plain::CLOSED_PORT, abort::BY_CLIENT, closing::OF_CLOSED]]
        .concat()
}

/// Scenarios on loopback.
pub(crate) fn on_loopback() -> Vec<Scenario> {
    [
        plain::SCENARIOS,
        abort::SCENARIOS,
        closing::SCENARIOS,
        late::SCENARIOS,
        orphan::SCENARIOS,
        process::SCENARIOS,
        burst::SCENARIOS,
        oom::SCENARIOS,
        overflow::SCENARIOS,
        stray::SCENARIOS,
    ]
    .concat()
    .into_iter()
    .chain(idle::scenarios())
    .collect()
}
