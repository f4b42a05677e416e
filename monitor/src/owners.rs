//! Who owns the sockets of events: questions to `kernel/owners.rs`, and its answers by event, both bounded. No I/O.
//!
//! Beside the event's way and not on it: what the stages show is a function of recorded bytes, and what `/proc` says is not. An
//! answer is looked up when an event becomes JSON; until there is one, and for ever if it cannot be found out, it is unknown.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use self::cgroup::Cgroup;
use crate::clock;
use crate::event::{Event, Told};
use crate::publish::history::HISTORY;

pub mod cgroup;

/// Answers kept: one for each event that is. About 40 bytes each, besides the processes and cgroups that they share.
const ANSWERS: usize = HISTORY;
/// Questions that may wait; those beyond are not asked. What comes in a second at 1,000 resets a second, both ends here, since
/// answers may take that long.
pub const QUESTIONS: usize = 2_048;

/// How long after it happened an event is held back from who follows events, for its owner to be shown with it. After quiet an answer
/// takes milliseconds; in a crowd of events, where answers are late, a reader sees them all so much later.
const PATIENCE: Duration = Duration::from_millis(250);

/// How a process is known to be the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// It ran when the kernel program did, and closed the connection.
    Hook,
    /// It has the socket open.
    File,
    /// It is the only one in the socket's cgroup.
    OnlyProcessOfCgroup,
}

impl By {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Hook, Self::File, Self::OnlyProcessOfCgroup];

    /// As JSON spells it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hook => "hook",
            Self::File => "file",
            Self::OnlyProcessOfCgroup => "only_process_of_cgroup",
        }
    }
}

/// A process, as `/proc` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// Process id.
    pub pid: u32,
    /// Its name, with control characters replaced; chosen by the process, so hostile until shown as text.
    pub comm: String,
    /// When it started, to a hundredth of a second.
    pub started: Timestamp,
}

/// What was found out about the socket of an event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The process that owned it when the event happened.
    pub process: Option<(Arc<Process>, By)>,
    /// Its cgroup.
    pub cgroup: Option<Arc<Cgroup>>,
    /// The process is still looked for.
    pub searching: bool,
}

/// What is known of an owner from the hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// Process id.
    pub pid: u32,
    /// Thread id.
    pub tid: u32,
    /// Name of the thread.
    pub comm: String,
}

/// Whose is the socket of this event?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Id of the event.
    pub id: u64,
    /// Monotonic nanoseconds of the event.
    pub monotonic_ns: u64,
    /// Who closed it.
    pub suspect: Option<Suspect>,
    /// Its inode number, when nobody is known to have closed it.
    pub socket_inode: Option<u64>,
    /// Its cgroup's id.
    pub cgroup_id: Option<u64>,
}

impl Question {
    /// `None` for an event of which nothing can be found out.
    pub fn about(told: &Told) -> Option<Self> {
        let Event { monotonic_ns, owner, socket_inode, cgroup_id, .. } = &told.event;
        let suspect =
            owner.as_ref().map(|owner| Suspect { pid: owner.pid, tid: owner.tid, comm: owner.comm.clone() });
        let socket_inode = socket_inode.filter(|_| suspect.is_none());
        let some = suspect.is_some() || socket_inode.is_some() || cgroup_id.is_some();
        some.then_some(Self {
            id: told.id,
            monotonic_ns: *monotonic_ns,
            suspect,
            socket_inode,
            cgroup_id: *cgroup_id,
        })
    }
}

/// How full both lists are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fullness {
    /// Answers that are kept.
    pub answers: usize,
    /// How many can be.
    pub capacity: usize,
    /// Questions that were not asked, or not to the end, because too many waited.
    pub not_asked: u64,
}

/// Questions and answers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Owners {
    answers: Arc<Mutex<BTreeMap<u64, Answer>>>,
    questions: mpsc::Sender<Question>,
    not_asked: Arc<AtomicU64>,
    news: watch::Sender<()>,
}

impl Owners {
    /// Knows nothing; the questions are for whoever finds answers.
    pub fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, receiver) = mpsc::channel(QUESTIONS);
        let (news, _) = watch::channel(());
        let (answers, not_asked) = (Arc::default(), Arc::default());
        (Self { answers, questions, not_asked, news }, receiver)
    }

    /// Asks about an event. Never waits.
    pub fn ask(&self, told: &Told) {
        let Some(question) = Question::about(told) else { return };
        if self.questions.try_send(question).is_err() {
            self.not_asked.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts questions that could not wait for what would have answered them.
    pub fn count_unsearched(&self, questions: u64) {
        self.not_asked.fetch_add(questions, Ordering::Relaxed);
    }

    /// Keeps answers by the ids of their events; those about the oldest events make room.
    pub fn answer(&self, found: impl IntoIterator<Item = (u64, Answer)>) {
        let mut answers = lock(&self.answers);
        for (id, answer) in found {
            answers.insert(id, answer);
            if answers.len() > ANSWERS {
                answers.pop_first();
            }
        }
        drop(answers);
        self.news.send_replace(());
    }

    /// What was found out about the socket of an event; `None` as long as nobody has looked.
    pub fn of(&self, id: u64) -> Option<Answer> {
        lock(&self.answers).get(&id).cloned()
    }

    /// Waits for the answer about an event that has just happened, if there is to be one, and no longer than [`PATIENCE`].
    pub async fn known_or_late(&self, told: &Told) {
        let mut news = self.news.subscribe();
        while let Some(left) = self.patience(told, clock::monotonic()) {
            tokio::select! {
                // An error is impossible while we hold the sender.
                changed = news.changed() => drop(changed),
                () = tokio::time::sleep(left) => return,
            }
        }
    }

    /// How much longer to wait for the answer about an event; `None` when there is nothing to wait for.
    pub fn patience(&self, told: &Told, now: Duration) -> Option<Duration> {
        let left = (Duration::from_nanos(told.event.monotonic_ns) + PATIENCE).checked_sub(now)?;
        (!left.is_zero()
            && Question::about(told).is_some()
            && self.of(told.id).is_none_or(|answer| answer.searching))
        .then_some(left)
    }

    /// How full both lists are.
    pub fn fullness(&self) -> Fullness {
        let not_asked = self.not_asked.load(Ordering::Relaxed);
        Fullness { answers: lock(&self.answers).len(), capacity: ANSWERS, not_asked }
    }
}

/// A name that a process or an administrator chose, with control characters replaced.
pub fn shown(name: &str) -> String {
    name.chars().map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// The map is valid after each statement that changes it, so a panic elsewhere does not spoil it.
fn lock(answers: &Mutex<BTreeMap<u64, Answer>>) -> MutexGuard<'_, BTreeMap<u64, Answer>> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use monitor_common::counters::Kind;

    use super::*;
    use crate::event::Owner;

    fn told(id: u64, event: Event) -> Told {
        Told { id, event, verdict: None, burst: None }
    }

    fn of_cgroup(id: u64) -> Told {
        told(id, Event { cgroup_id: Some(7), ..Event::of_kind(Kind::ResetReceived) })
    }

    #[test]
    fn an_event_is_asked_about_by_all_that_its_socket_has() {
        assert_eq!(Question::about(&told(1, Event::of_kind(Kind::StraySent))), None);
        let socket = Event { socket_inode: Some(5), cgroup_id: Some(7), ..of_cgroup(2).event };
        let question = Question::about(&told(2, socket.clone())).unwrap();
        assert_eq!((question.id, question.socket_inode, question.cgroup_id), (2, Some(5), Some(7)));
        // Who closed it is known: nobody has to be looked for.
        let owner = Owner {
            pid: 4,
            tid: 5,
            comm: "a".to_owned(),
            exiting: false,
            exit_signal: None,
            oom_killed: false,
        };
        let question = Question::about(&told(3, Event { owner: Some(owner), ..socket })).unwrap();
        assert_eq!(question.suspect, Some(Suspect { pid: 4, tid: 5, comm: "a".to_owned() }));
        assert_eq!((question.socket_inode, question.cgroup_id), (None, Some(7)));
    }

    #[test]
    fn a_full_queue_of_questions_is_counted_and_nobody_waits() {
        let (owners, mut questions) = Owners::new();
        let more = QUESTIONS as u64 + 3;
        (1..=more).for_each(|id| owners.ask(&of_cgroup(id)));
        assert_eq!(owners.fullness().not_asked, 3);
        assert_eq!(questions.try_recv().unwrap().id, 1);
        owners.ask(&of_cgroup(more + 1));
        assert_eq!(owners.fullness().not_asked, 3);
    }

    #[test]
    fn answers_about_the_oldest_events_make_room_in_whatever_order_they_come() {
        let (owners, _questions) = Owners::new();
        let newest = ANSWERS as u64 + 2;
        owners.answer((1..=newest).rev().map(|id| (id, Answer::default())));
        assert_eq!(owners.fullness(), Fullness { answers: ANSWERS, capacity: ANSWERS, not_asked: 0 });
        assert!(owners.of(2).is_none() && owners.of(3).is_some() && owners.of(newest).is_some());
    }

    #[test]
    fn only_a_young_event_whose_answer_is_to_come_is_waited_for() {
        let (owners, _questions) = Owners::new();
        let happened = Duration::from_secs(10);
        let mut young = of_cgroup(1);
        young.event.monotonic_ns = 10_000_000_000;
        assert_eq!(owners.patience(&young, happened), Some(PATIENCE));
        assert_eq!(owners.patience(&young, happened + PATIENCE), None);
        assert_eq!(
            owners.patience(&told(1, Event { cgroup_id: None, ..young.event.clone() }), happened),
            None
        );
        owners.answer([(1, Answer { searching: true, ..Answer::default() })]);
        assert_eq!(owners.patience(&young, happened), Some(PATIENCE), "more is to come");
        owners.answer([(1, Answer::default())]);
        assert_eq!(owners.patience(&young, happened), None);
    }

    #[tokio::test]
    async fn an_answer_ends_the_wait() {
        let (owners, _questions) = Owners::new();
        let mut young = of_cgroup(1);
        // An hour from now, so that only the answer can end it.
        young.event.monotonic_ns = u64::try_from(clock::monotonic().as_nanos()).unwrap() + 3_600_000_000_000;
        let answer = async { owners.answer([(1, Answer::default())]) };
        tokio::join!(owners.known_or_late(&young), answer);
    }

    #[test]
    fn names_cannot_act_on_a_terminal() {
        assert_eq!(shown("a\x1b[2Jb\u{9b}\n"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}");
    }
}
