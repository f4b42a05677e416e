//! Small scenarios on real sockets: each knows exactly what it did, and everything must agree with it.

mod abort;
mod closing;
mod idle;
mod joined;
mod late;
mod orphan;
mod plain;
mod process;
pub(crate) mod told;

use std::time::Duration;

use anyhow::Result;

pub(crate) use self::joined::SCENARIOS as JOINED;

use crate::api::Api;
use crate::expected::{Ends, Expected};
use crate::ledger::Ledger;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::signals::Sight;
use crate::sockets::{Family, Place};
use crate::story::Story;
use crate::wait;

/// What a scenario works with: a place of its own, in a namespace of its own, the book of counts and the expected story.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) place: Place,
    pub(crate) ledger: Ledger<'a>,
    /// What is seen here, and so what to expect.
    pub(crate) sight: Sight,
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
        let namespace = Namespace::create()?;
        namespace.enter(|| {
            let place = Place::on_loopback(family);
            let (ledger, story) = (Ledger::open(api, &namespace)?, Story::open(api, &namespace)?);
            let mut stage = Stage { place, ledger, sight: Sight::of(api)?, story };
            (self.play)(&mut stage)?;
            stage.ledger.balance()?;
            stage.story.compare()
        })
    }
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
    ]
    .concat()
    .into_iter()
    .chain(idle::scenarios())
    .collect()
}
