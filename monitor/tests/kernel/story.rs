//! The story of one namespace: the events a trial expects against those the daemon tells, all of them and no others.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use monitor::view::event::SegmentView;
use monitor::view::{EventView, PeerView, StatusView};
use serde_json::Value;

use crate::api::Api;
use crate::clock;
use crate::confusion::{self, Case};
use crate::expected::{Expected, at};
use crate::netns::Namespace;
use crate::signals::Sight;
use crate::wait;
use crate::watch::Watch;

/// From here on a connection counts as idle.
const IDLE: Duration = Duration::from_secs(1);

/// Causes that only the time before tells apart: on a machine that stopped for a second the one becomes the other.
const SLOW: [(&str, &str); 4] = [
    ("late_data", "idle_reuse"),
    ("unread_data", "idle_reuse"),
    ("peer_abort", "idle_abort"),
    ("peer_abort", "stale_idle"),
];

/// Resets by cause, per peer, port, role and direction.
type Causes = BTreeMap<(String, u16, String, &'static str), BTreeMap<String, u64>>;

/// What a trial expects to be told.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    api: &'a Api,
    netns: u32,
    expected: Vec<Expected>,
    /// The daemon's last event before.
    after: u64,
    causes_before: Causes,
    opened: Duration,
    quiet: bool,
    sight: Sight,
    watch: Watch,
}

impl<'a> Story<'a> {
    /// Begins before the first packet.
    pub(crate) fn open(api: &'a Api, namespace: &Namespace) -> Result<Self> {
        let after = last_event(&api.status()?);
        Ok(Self {
            api,
            netns: namespace.inum,
            expected: Vec::new(),
            after,
            causes_before: causes_of(&api.peers_of(namespace.inum)?.peers),
            opened: clock::now(),
            quiet: false,
            sight: Sight::of(api)?,
            watch: Watch::start(api.clone(), after),
        })
    }

    /// Expects events.
    pub(crate) fn expect(&mut self, events: impl IntoIterator<Item = Expected>) {
        self.expected.extend(events);
    }

    /// From here on, time is part of what the trial expects.
    pub(crate) const fn is_about_time(&mut self) {
        self.quiet = true;
    }

    /// Compares at rest: after the ledger's balance, when nothing can happen any more.
    pub(crate) fn compare(mut self) -> Result<()> {
        let last = last_event(&self.api.status()?);
        wait::until_true("the last event", || {
            let query = format!("after={}&limit=1&idle_closes=true", last.saturating_sub(1));
            // After a number from the future all that is kept is new.
            Ok(last == self.after || self.api.events(&query)?.events.iter().any(|event| event.id >= last))
        })?;
        let all = self.watch.finish()?;
        let mut cases = Vec::new();
        let mut wrong = self.differences(&all, &mut cases)?;
        wrong.extend(self.causes_differences(&all)?);
        let told = last - self.after;
        anyhow::ensure!(
            wrong.is_empty(),
            "not the expected events among {told} on this host:\n{}",
            wrong.join("\n")
        );
        confusion::take(cases);
        Ok(())
    }

    fn differences(&self, all: &[EventView], cases: &mut Vec<Case>) -> Result<Vec<String>> {
        let mut wrong = Vec::new();
        let mut by_key: BTreeMap<_, Vec<&EventView>> = BTreeMap::new();
        for event in all.iter().filter(|event| event.netns == self.netns) {
            by_key.entry(key(event)).or_default().push(event);
            wrong.extend(inconsistencies(event, all)?);
        }
        let mut expected_by_key: BTreeMap<_, Vec<&Expected>> = BTreeMap::new();
        for expected in self.expected.iter().filter(|expected| expected.is_told(&self.sight)) {
            expected_by_key.entry(expected.key()).or_default().push(expected);
        }
        for (key, expected) in expected_by_key {
            let found = by_key.remove(&key).unwrap_or_default();
            let optional = expected.iter().rev().take_while(|expected| expected.is_optional()).count();
            if !(expected.len() - optional..=expected.len()).contains(&found.len()) {
                wrong.push(format!("{key:?}: expected {} events, found {}", expected.len(), found.len()));
            }
            for (expected, event) in expected.into_iter().zip(found) {
                let event = serde_json::to_value(event)?;
                let stated = expected.expected_cause().unwrap_or_default();
                let different =
                    expected.differences(&event, &self.sight, |cause| self.is_slow(stated, cause))?;
                // A machine that stood still has made another truth.
                let named = event["cause"].as_str().filter(|named| self.is_slow(stated, named));
                cases.extend(named.or(expected.truth()).and_then(|truth| Case::of(truth, &event)));
                if !different.is_empty() {
                    wrong.push(format!("{key:?}:\n  {}\n  {event}", different.join("\n  ")));
                }
            }
        }
        let unexpected = by_key.into_values().flatten();
        for event in unexpected.filter(|event| !(self.was_slow() && event.kind.starts_with("idle_close"))) {
            wrong.push(format!("not expected: {}", serde_json::to_string(event)?));
        }
        Ok(wrong)
    }

    /// The counts of causes are those of the events.
    fn causes_differences(&self, all: &[EventView]) -> Result<Vec<String>> {
        let mut told = self.causes_before.clone();
        for event in all.iter().filter(|event| event.netns == self.netns) {
            let direction = match event.kind.as_str() {
                "reset_sent" => "sent",
                "reset_received" => "received",
                _ => continue,
            };
            let peer = event.peer.clone().context("a reset without a peer")?;
            let cause = event.cause.clone().context("a reset without a cause")?;
            let causes = told.entry((peer.peer, peer.port, peer.role, direction)).or_default();
            *causes.entry(cause).or_default() += 1;
        }
        let counted = causes_of(&self.api.peers_of(self.netns)?.peers);
        Ok(if counted == told {
            Vec::new()
        } else {
            vec![format!("causes counted: {counted:?}\ncauses told: {told:?}")]
        })
    }

    /// The trial was not about time, and something made it wait.
    fn was_slow(&self) -> bool {
        !self.quiet && clock::now().saturating_sub(self.opened) >= IDLE
    }

    fn is_slow(&self, stated: &str, found: &str) -> bool {
        self.was_slow() && SLOW.contains(&(stated, found))
    }
}

/// What must hold for every event by itself.
fn inconsistencies(event: &EventView, all: &[EventView]) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let value = serde_json::to_value(event)?;
    for path in &event.evidence {
        // Without a socket there is no state, and that is evidence, too.
        if at(&value, path) == &Value::Null && path != "state" {
            wrong.push(format!("evidence that is not there, {path}: {value}"));
        }
    }
    if event.cause.is_some() && event.evidence.is_empty() {
        wrong.push(format!("a verdict without evidence: {value}"));
    }
    if let Some(id) = event.other_end {
        let other = all.iter().find(|other| other.id == id);
        let fits = other.is_some_and(|other| {
            other.direction == "sent" && (&other.local, &other.remote) == (&event.remote, &event.local)
        });
        if !fits || !event.evidence.iter().any(|fact| fact == "other_end") {
            wrong.push(format!("not its other end: {value}\n  {other:?}"));
        }
        // A reset acknowledges unless it answers a segment that did so itself.
        let flags = other.map(|sent| {
            let answers = |segment: &SegmentView| segment.flags.contains('.');
            if !sent.active && sent.segment.as_ref().is_none_or(answers) { "R" } else { "R." }
        });
        if event.segment.as_ref().is_some_and(|segment| flags != Some(&*segment.flags)) {
            wrong.push(format!("not a reset as its other end sent it: {value}\n  {other:?}"));
        }
    }
    Ok(wrong)
}

/// Events have numbers without gaps from 1 on, so the last one's is how many were decoded.
fn last_event(status: &StatusView) -> u64 {
    status.stories.values().map(|story| story.decoded).sum()
}

/// Whose event of which kind it is.
pub(crate) fn key(event: &EventView) -> (String, String, String) {
    let end = |end: &monitor::view::EndView| match end.addr.parse() {
        Ok(addr) => std::net::SocketAddr::new(addr, end.port).to_string(),
        Err(_) => format!("{end:?}"),
    };
    (event.kind.clone(), end(&event.local), end(&event.remote))
}

fn causes_of(peers: &[PeerView]) -> Causes {
    let mut causes = Causes::new();
    for peer in peers {
        let Some(port) = peer.port else { continue };
        for (direction, counts) in [("sent", &peer.causes_sent), ("received", &peer.causes_received)] {
            if !counts.is_empty() {
                causes.insert((peer.peer.clone(), port, peer.role.clone(), direction), counts.clone());
            }
        }
    }
    causes
}
