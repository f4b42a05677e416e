//! The pure way of a story: decode -> enrich -> classify -> settle, the same for a live record and for a recorded one.
//!
//! No I/O, no clock, no locks: bytes and times go in, events and verdicts come out.

use std::time::Duration;

use crate::burst::Bursts;
use crate::classify::classify;
use crate::clock::Timebase;
use crate::decode::{DecodeError, decode};
use crate::enrich::Enricher;
use crate::event::{Event, Told};
use crate::settle::{Settled, Settler};

/// The stages with what they keep.
#[derive(Debug)]
pub struct Stages {
    timebase: Timebase,
    enricher: Enricher,
    settler: Settler,
    bursts: Bursts,
    next_id: u64,
}

impl Stages {
    /// Events are numbered from 1.
    pub fn new(timebase: Timebase, enricher: Enricher) -> Self {
        Self { timebase, enricher, settler: Settler::default(), bursts: Bursts::default(), next_id: 1 }
    }

    /// Replaces how the kernel's times are turned into ours: the wall clock may have been set.
    pub const fn set_timebase(&mut self, timebase: Timebase) {
        self.timebase = timebase;
    }

    /// How the kernel's times are turned into ours.
    pub const fn timebase(&self) -> Timebase {
        self.timebase
    }

    /// Takes one record that arrived `now`. Returns what it was, for the account of stories.
    pub fn take(
        &mut self,
        bytes: &[u8],
        now: Duration,
        out: &mut impl FnMut(Settled),
    ) -> Result<Account, DecodeError> {
        let event = self.enricher.enrich(decode(bytes, &self.timebase)?);
        let account = Account::of(&event);
        let told = Told { id: self.next_id, verdict: classify(&event), event, burst: None };
        self.next_id += 1;
        self.advance(now, out);
        let Self { settler, bursts, .. } = self;
        settler.push(told, now, &mut through(bursts, now, out));
        Ok(account)
    }

    /// Lets time pass, from deadline to deadline: what is told does not depend on how late timers are.
    pub fn advance(&mut self, now: Duration, out: &mut impl FnMut(Settled)) {
        while let Some(due) = self.deadline().filter(|due| *due <= now) {
            let Self { settler, bursts, .. } = self;
            // What becomes final at the moment at which a burst would end is still a part of it.
            settler.advance(due, &mut through(bursts, due, out));
            bursts.advance(due, out);
        }
    }

    /// When time has something to do next.
    pub fn deadline(&self) -> Option<Duration> {
        self.settler.deadline().into_iter().chain(self.bursts.deadline()).min()
    }

    /// The end, `now`: nothing is provisional any more. What has waited long enough by then is told as if its timer had been
    /// in time, so that what is told depends on nothing but the arguments.
    pub fn finish(&mut self, now: Duration, out: &mut impl FnMut(Settled)) {
        self.advance(now, out);
        let Self { settler, bursts, .. } = self;
        settler.finish(&mut through(bursts, now, out));
        bursts.finish(out);
    }
}

/// Settled events go on their way, and those that are final are looked at for bursts.
fn through(bursts: &mut Bursts, now: Duration, out: &mut impl FnMut(Settled)) -> impl FnMut(Settled) {
    move |settled| {
        bursts.observe(&settled, now);
        out(settled);
    }
}

/// What of a story is counted as soon as it is decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// What it is about.
    pub kind: monitor_common::counters::Kind,
    /// The kernel's name for the reason.
    pub reason: Option<std::sync::Arc<str>>,
}

impl Account {
    fn of(event: &Event) -> Self {
        let reason = event.reason.as_ref().and_then(|reason| reason.name.as_ref()).map(std::sync::Arc::clone);
        Self { kind: event.kind, reason }
    }
}
