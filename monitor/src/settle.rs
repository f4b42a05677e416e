//! Verdicts settle: a provisional one waits a moment for the other end of its connection, which may be on this host.
//!
//! Pure: time comes in. Every event is shown once, in order, and every event is final once. A provisional event is shown
//! when its other end has come or after [`GRACE`]; its verdict is settled then or after [`HOLD`], and only then counted.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use monitor_common::counters::Kind;

use crate::cause::Cause;
use crate::classify::reconsider;
use crate::event::{Event, Told};
use crate::past::{Hints, Past};
use crate::verdict::{Confidence, Fact, Verdict};

/// How long a provisional event waits before it is shown: both ends of a connection on one host are told within
/// microseconds, and a person at a terminal sees no difference.
pub const GRACE: Duration = Duration::from_millis(20);
/// How long a verdict may stay provisional.
pub const HOLD: Duration = Duration::from_secs(1);
/// How long a sender is remembered: a reset received by an orphan is told a second or two after it.
const REMEMBER: Duration = Duration::from_secs(3);
/// TCP's flag bit.
const ACK: u8 = 0x10;
/// Events that wait, and senders remembered, at most. What is beyond is settled early.
const ROOM: usize = 4_096;

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// An event, for the first time.
    Shown(Arc<Told>),
    /// One that was shown with a provisional verdict has its final one now.
    Revised(Arc<Told>),
    /// One that was shown was part of a burst, which is over now.
    InBurst(Arc<Told>),
    /// An event with its final verdict, to be counted. Once for each event, shown before or not.
    Final(Arc<Told>),
}

/// Both ends of a connection as one of them sees it. Every namespace has a loopback of its own, so there it is one of them; elsewhere
/// addresses lead from one to another, and 0 stands for all.
type Ends = (SocketAddr, SocketAddr, u32);

fn ends(event: &Event) -> Ends {
    (event.local, event.remote, if event.remote.ip().is_loopback() { event.netns } else { 0 })
}

/// As the other end sees it.
const fn mirrored((local, remote, netns): Ends) -> Ends {
    (remote, local, netns)
}

/// An event in the queue.
#[derive(Debug)]
struct Waiting {
    told: Arc<Told>,
    arrived: Duration,
}

/// What a sender's event said.
#[derive(Clone, Copy, Debug)]
struct Sender {
    id: u64,
    netns: u32,
    verdict: Verdict,
    /// Monotonic nanoseconds of the hook.
    sent_ns: u64,
    /// Whether its reset acknowledges, if that is known.
    acknowledges: Option<bool>,
    since: Duration,
    /// A receiver has joined it. The next one belongs to the next connection between the two ends.
    joined: bool,
}

/// The queue. One owner, the pipeline.
#[derive(Debug, Default)]
pub struct Settler {
    /// In the order of their numbers: first those that were shown and wait for their verdict, then those not shown.
    queue: VecDeque<Waiting>,
    /// How many of the queue were shown.
    shown: usize,
    /// Received resets that wait for their sender, by number.
    received: HashMap<Ends, u64>,
    /// Senders of the last moments, one for each connection that these ends had.
    senders: HashMap<Ends, Vec<Sender>>,
    senders_by_age: VecDeque<(Duration, Ends)>,
    /// What peers have done before.
    past: Past,
}

impl Settler {
    /// Takes the next event.
    pub fn push(&mut self, mut told: Told, now: Duration, out: &mut impl FnMut(Settled)) {
        self.advance(now, out);
        self.past.observe(&told.event);
        let ends = ends(&told.event);
        let mirrored = mirrored(ends);
        match (told.event.kind, told.verdict) {
            // A refusal waits for nobody: a rule that rejects is told of before its reset arrives.
            (Kind::ResetReceived | Kind::RefusedReceived, _) => {
                let senders = self.senders.get_mut(&mirrored).into_iter().flatten();
                let candidates = senders.filter(|sender| !sender.joined && is_same(&told.event, sender));
                // Ports are used again while an orphan's reset is held. A reset takes no time to get from end to end.
                let apart = |sender: &&mut Sender| sender.sent_ns.abs_diff(told.event.monotonic_ns);
                if let Some(sender) = candidates.min_by_key(apart) {
                    sender.joined = true;
                    join(&mut told, sender);
                }
            }
            // A stray or rejected segment has no connection at this end, but may have one at the other.
            (Kind::ResetSent | Kind::StraySent | Kind::RejectSent, Some(verdict)) => {
                let mut sender = Sender {
                    id: told.id,
                    netns: told.event.netns,
                    verdict,
                    sent_ns: told.event.monotonic_ns,
                    acknowledges: sent_acknowledges(&told.event),
                    since: now,
                    joined: false,
                };
                if told.event.counted.is_none() {
                    self.take_over(&ends, &mut sender);
                }
                sender.joined = self.tell_receiver(mirrored, &sender, out);
                self.remember(ends, sender, told.event.counted.is_some());
            }
            (
                Kind::ResetSent
                | Kind::StraySent
                | Kind::RefusedSent
                | Kind::StrayReceived
                | Kind::IdleCloseSent
                | Kind::IdleCloseReceived
                | Kind::RejectSent
                | Kind::ListenOverflow,
                _,
            ) => {}
        }
        let told = Arc::new(told);
        if told.is_final() {
            out(Settled::Final(Arc::clone(&told)));
        } else {
            self.received.insert(ends, told.id);
        }
        if told.is_final() && self.shown == self.queue.len() {
            out(Settled::Shown(told));
        } else {
            self.queue.push_back(Waiting { told, arrived: now });
            self.show(now, out);
        }
        while self.queue.len() > ROOM {
            self.settle_first(out);
        }
    }

    /// Shows and settles what has waited long enough by `now`.
    pub fn advance(&mut self, now: Duration, out: &mut impl FnMut(Settled)) {
        self.show(now, out);
        while let Some(first) = self.queue.front() {
            if !first.told.is_final() && now.saturating_sub(first.arrived) < HOLD {
                break;
            }
            self.settle_first(out);
        }
        while let Some((since, ends)) = self.senders_by_age.front() {
            if now.saturating_sub(*since) < REMEMBER && self.senders_by_age.len() < ROOM {
                break;
            }
            if let Entry::Occupied(mut senders) = self.senders.entry(*ends) {
                senders.get_mut().retain(|sender| sender.since > *since);
                if senders.get().is_empty() {
                    senders.remove();
                }
            }
            self.senders_by_age.pop_front();
        }
    }

    /// When [`Settler::advance`] has something to do next.
    pub fn deadline(&self) -> Option<Duration> {
        let unshown = self.queue.get(self.shown).map(|waiting| waiting.arrived + GRACE);
        let first = self.queue.front().map(|waiting| waiting.arrived + HOLD);
        unshown.into_iter().chain(first).min()
    }

    /// Settles everything, for the end.
    pub fn finish(&mut self, out: &mut impl FnMut(Settled)) {
        while !self.queue.is_empty() {
            self.settle_first(out);
        }
    }

    /// Shows in order: nothing overtakes an event that is not shown yet.
    fn show(&mut self, now: Duration, out: &mut impl FnMut(Settled)) {
        while let Some(Waiting { told, arrived }) = self.queue.get(self.shown) {
            if !told.is_final() && now.saturating_sub(*arrived) < GRACE {
                break;
            }
            out(Settled::Shown(Arc::clone(told)));
            self.shown += 1;
        }
    }

    fn remember(&mut self, ends: Ends, sender: Sender, is_first: bool) {
        // A connection may be reset more than once; its first reset, the one that counts, is the one that told the peer, unless
        // the other kind of reset is what the peer has seen.
        let senders = self.senders.entry(ends).or_default();
        if is_first || senders.iter().all(|known| known.acknowledges != sender.acknowledges) {
            self.senders_by_age.push_back((sender.since, ends));
            senders.push(sender);
        }
    }

    /// A reset that follows another of the same connection is as sure as that one was, if it is for the same cause; and if it
    /// has none of its own, it is for that one's.
    fn take_over(&self, ends: &Ends, sender: &mut Sender) {
        let before = self.senders.get(ends).into_iter().flatten();
        let ours = &sender.verdict;
        let alike = |verdict: &Verdict| verdict.cause == ours.cause || !ours.cause.is_specific();
        let surest = before
            .filter(|before| before.netns == sender.netns && alike(&before.verdict))
            .max_by_key(|before| before.verdict.confidence);
        if let Some(surest) = surest {
            sender.verdict.cause = surest.verdict.cause;
            sender.verdict.confidence = sender.verdict.confidence.max(surest.verdict.confidence);
        }
    }

    /// The receiver was first: its tracepoint fires while an active sender's segment is still on its way out.
    /// Whether there was one.
    fn tell_receiver(&mut self, ends: Ends, sender: &Sender, out: &mut impl FnMut(Settled)) -> bool {
        let Some(id) = self.received.get(&ends).copied() else { return false };
        let place = self.queue.partition_point(|waiting| waiting.told.id < id);
        let waiting = self.queue.get_mut(place).filter(|waiting| waiting.told.id == id);
        let Some(waiting) = waiting.filter(|waiting| is_same(&waiting.told.event, sender)) else {
            return false;
        };
        join(Arc::make_mut(&mut waiting.told), sender);
        finalize(&waiting.told, place < self.shown, out);
        self.received.remove(&ends);
        true
    }

    /// A later one between the same ends still waits.
    fn forget(&mut self, ends: &Ends, id: u64) {
        if self.received.get(ends) == Some(&id) {
            self.received.remove(ends);
        }
    }

    fn settle_first(&mut self, out: &mut impl FnMut(Settled)) {
        let Some(Waiting { mut told, arrived: _ }) = self.queue.pop_front() else { return };
        let was_shown = self.shown > 0;
        self.shown = self.shown.saturating_sub(1);
        if !told.is_final() {
            self.forget(&ends(&told.event), told.id);
            let Told { event, verdict, .. } = Arc::make_mut(&mut told);
            let hints = self.past.hints(event);
            if hints != Hints::default() {
                *verdict = Some(reconsider(event, hints));
            }
            if let Some(verdict) = verdict {
                verdict.settled = true;
            }
            finalize(&told, was_shown, out);
        }
        if !was_shown {
            out(Settled::Shown(told));
        }
    }
}

fn finalize(told: &Arc<Told>, was_shown: bool, out: &mut impl FnMut(Settled)) {
    if was_shown {
        out(Settled::Revised(Arc::clone(told)));
    }
    out(Settled::Final(Arc::clone(told)));
}

/// Whether an event can be the other end of a sender's. Addresses lead across namespaces, but every namespace has a loopback of
/// its own. What is received is what was sent, by its flags, too: a device on the way may have been first.
fn is_same(event: &Event, sender: &Sender) -> bool {
    let received = event.segment.as_ref().map(|segment| segment.flags & ACK != 0);
    let may_refuse = event.kind != Kind::RefusedReceived || sender.verdict.cause == Cause::NetfilterReject;
    let as_sent = received.zip(sender.acknowledges).is_none_or(|(received, sent)| received == sent);
    may_refuse && as_sent && (event.netns == sender.netns || !event.remote.ip().is_loopback())
}

/// A reset that answers a segment acknowledges only if the segment did not (RFC 9293, 3.10.7.1); one that answers none does.
fn sent_acknowledges(event: &Event) -> Option<bool> {
    if event.active {
        return Some(true);
    }
    event.segment.as_ref().map(|segment| segment.flags & ACK == 0)
}

/// The sender knows why.
fn join(told: &mut Told, sender: &Sender) {
    let Some(verdict) = &mut told.verdict else { return };
    verdict.other_end = Some(sender.id);
    verdict.evidence = verdict.evidence.with(Fact::OtherEnd);
    verdict.settled = true;
    if !sender.verdict.cause.is_specific() {
        return;
    }
    if sender.verdict.confidence > Confidence::Possible {
        verdict.cause = sender.verdict.cause;
        verdict.confidence = sender.verdict.confidence;
    } else if verdict.cause != sender.verdict.cause {
        // What even the sender is not sure of, this end cannot know better.
        verdict.confidence = Confidence::Possible;
    }
}

#[cfg(test)]
mod tests;
