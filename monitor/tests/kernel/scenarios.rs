//! Small scenarios on real sockets: each knows exactly what it did, and everything must agree with it.

mod abort;
mod closing;
mod joined;
mod late;
mod orphan;
mod plain;
mod process;

use anyhow::Result;

pub(crate) use self::joined::SCENARIOS as JOINED;

use crate::api::Api;
use crate::ledger::Ledger;
use crate::netns::Namespace;
use crate::sockets::{Family, Place};

/// What a scenario works with: a place of its own, in a namespace of its own, and the book.
#[derive(Debug)]
pub(crate) struct Stage<'a> {
    pub(crate) place: Place,
    pub(crate) ledger: Ledger<'a>,
}

/// A scenario and the families it runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scenario {
    /// What it shows, as a sentence.
    pub(crate) name: &'static str,
    /// One trial each.
    pub(crate) families: &'static [Family],
    play: fn(&mut Stage<'_>) -> Result<()>,
}

impl Scenario {
    const fn on_all(name: &'static str, play: fn(&mut Stage<'_>) -> Result<()>) -> Self {
        Self { name, families: &Family::ALL, play }
    }

    const fn on(
        families: &'static [Family],
        name: &'static str,
        play: fn(&mut Stage<'_>) -> Result<()>,
    ) -> Self {
        Self { name, families, play }
    }

    /// Plays it on loopback in a new namespace and balances the book.
    pub(crate) fn run(&self, api: &Api, family: Family) -> Result<()> {
        let namespace = Namespace::create()?;
        namespace.enter(|| {
            let place = Place::on_loopback(family);
            let mut stage = Stage { place, ledger: Ledger::open(api, &namespace)? };
            (self.play)(&mut stage)?;
            stage.ledger.balance()
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
}
