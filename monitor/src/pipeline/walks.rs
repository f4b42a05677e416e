//! When open connections are walked, and who waits for it.

use std::time::Duration;

use crate::kernel::walker::{Answer, Question, Walker};
use crate::publish::RefreshRequest;
use crate::snapshot::SignalRow;

/// Readers that may wait for a walk. Those beyond get what the last one found.
const MOST_WAITING: usize = 64;
/// How long they wait before they get that, too: ten walks over 50,000 sockets, and well below what a reader takes for an outage.
const PATIENCE: Duration = Duration::from_millis(500);
/// Walks at regular times are apart by this many times the CPU time of the last one: they take no more than 1 % of a core, however large
/// the host's table is and however many namespaces are entered.
const APART: u32 = 100;

/// The walker and its walk. Without one, as for commands that only show events, nothing is ever under way.
#[derive(Debug, Default)]
pub(super) struct Walks {
    walker: Option<Walker>,
    signal: Option<SignalRow>,
    /// What it was asked and has not answered.
    under_way: Option<Kind>,
    /// When it was asked last, monotonic.
    asked: Option<Duration>,
    /// No regular walk before.
    not_before: Duration,
    /// A regular one was due while another one was under way.
    owed: bool,
    /// Readers that want to know what is open; [`MOST_WAITING`] at most.
    waiting: Vec<RefreshRequest>,
    /// Until when they wait.
    patience: Option<Duration>,
}

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was time for one, of every namespace.
    Regular,
    /// A reader wants to know, now: of our own namespace.
    Asked,
}

impl Walks {
    /// By this one.
    pub(super) fn by(walker: Walker) -> Self {
        let signal = Some(walker.signal().clone());
        Self { walker: Some(walker), signal, ..Self::default() }
    }

    /// How well it works.
    pub(super) const fn signal(&self) -> Option<&SignalRow> {
        self.signal.as_ref()
    }

    /// Whether one could begin now.
    pub(super) const fn can_begin(&self) -> bool {
        self.walker.is_some() && self.under_way.is_none()
    }

    /// Whether a regular one is to begin. One for which there is no time now is owed.
    pub(super) fn is_due(&mut self, now: Duration) -> bool {
        let due = now >= self.not_before;
        self.owed = due && self.under_way.is_some();
        due && !self.owed
    }

    /// The same of one that is owed.
    pub(super) const fn take_owed(&mut self) -> bool {
        std::mem::replace(&mut self.owed, false)
    }

    /// Begins one, if it can.
    pub(super) fn begin(&mut self, question: Question, now: Duration) {
        let kind = if question.others.is_some() { Kind::Regular } else { Kind::Asked };
        let begun = self.walker.as_ref().is_some_and(|walker| walker.ask(question));
        self.under_way = begun.then_some(kind);
        self.asked = Some(now);
    }

    /// Whether one has begun and not ended.
    pub(super) const fn is_under_way(&self) -> bool {
        self.under_way.is_some()
    }

    /// Whether the last one began longer ago, if any did.
    pub(super) fn is_older_than(&self, age: Duration, now: Duration) -> bool {
        self.asked.is_none_or(|asked| now.saturating_sub(asked) >= age)
    }

    /// Keeps readers until the walk has ended, or they have waited for long enough. Those for whom there is no room come back.
    pub(super) fn wait(&mut self, mut readers: Vec<RefreshRequest>, now: Duration) -> Vec<RefreshRequest> {
        let room = MOST_WAITING.saturating_sub(self.waiting.len());
        let beyond = readers.split_off(room.min(readers.len()));
        if !readers.is_empty() {
            self.patience.get_or_insert(now + PATIENCE);
        }
        self.waiting.extend(readers);
        beyond
    }

    /// When the first of them has waited for long enough.
    pub(super) const fn patience(&self) -> Option<Duration> {
        self.patience
    }

    /// Those that waited for it.
    pub(super) fn take_waiting(&mut self) -> Vec<RefreshRequest> {
        self.patience = None;
        std::mem::take(&mut self.waiting)
    }

    /// The answer, when it is there, and whether it works as well as before. With an answer that has no walk the walker is gone.
    pub(super) async fn finished(&mut self) -> (Answer, bool) {
        let Some(walker) = &mut self.walker else { return std::future::pending().await };
        let answer = walker.finished().await;
        let kind = self.under_way.take();
        match &answer.walk {
            Some(walk) if kind == Some(Kind::Regular) => {
                self.not_before = walk.began + walk.cpu.saturating_mul(APART);
            }
            Some(_) => {}
            None => self.walker = None,
        }
        let same = self.signal.as_ref() == Some(&answer.signal);
        self.signal = Some(answer.signal.clone());
        (answer, same)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::snapshot::SignalStatus;

    fn regular() -> Question {
        Question { own: Some(1), others: Some(vec![]) }
    }

    #[tokio::test]
    async fn a_walker_that_has_ended_is_told_and_not_asked_again() {
        let mut walks = Walks::by(Walker::ended());
        assert!(walks.can_begin());
        let (answer, same) = walks.finished().await;
        assert_eq!((answer.walk, same), (None, false));
        let signal = walks.signal().unwrap();
        assert!(signal.status == SignalStatus::Missing && !signal.why.is_empty(), "{signal:?}");
        assert!(!walks.can_begin() && !walks.is_under_way());
    }

    #[tokio::test]
    async fn regular_walks_take_a_hundredth_of_the_time_at_most() {
        let mut walks = Walks::by(Walker::start(false).unwrap());
        assert!(walks.is_due(Duration::ZERO));
        walks.begin(regular(), Duration::ZERO);
        assert!(!walks.is_due(Duration::ZERO), "one is under way");
        let walk = walks.finished().await.0.walk.unwrap();
        assert!(walk.cpu > Duration::ZERO && walks.take_owed() && !walks.take_owed());
        let next = walk.began + walk.cpu * 100;
        assert!(!walks.is_due(next.saturating_sub(Duration::from_nanos(1))) && walks.is_due(next));
        // One for a reader changes nothing.
        walks.begin(Question { others: None, ..regular() }, next);
        walks.finished().await.0.walk.unwrap();
        assert!(walks.is_due(next) && !walks.take_owed());
    }

    #[test]
    fn readers_wait_for_half_a_second_and_only_so_many() {
        let mut walks = Walks::default();
        let readers =
            |count| (0..count).map(|_| RefreshRequest { with_peers: true, answer: oneshot::channel().0 });
        let at = Duration::from_secs(9);
        assert_eq!((walks.wait(vec![], at).len(), walks.patience()), (0, None));
        assert_eq!(walks.wait(readers(60).collect(), at).len(), 0);
        assert_eq!(walks.wait(readers(10).collect(), at + PATIENCE / 2).len(), 6);
        assert_eq!(walks.patience(), Some(at + Duration::from_millis(500)), "as the first of them came");
        assert_eq!((walks.take_waiting().len(), walks.patience()), (MOST_WAITING, None));
    }
}
