//! Walks over open connections, on a thread of its own: reading fifty thousand sockets takes longer than the event loop may stand still.
//!
//! Always of the daemon's own network namespace. Others can be walked only from inside, and entering one takes `CAP_SYS_ADMIN`: a thread has its
//! own capabilities, so where that is wanted this thread alone keeps it.

mod enter;
mod walking;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::mpsc;

use self::walking::Walking;
use super::privileges;
use super::sock_diag::SockDiag;
use crate::live::Walk;
use crate::snapshot::{SignalRow, SignalStatus};

/// Name of the signal.
const SIGNAL: &str = "open_connections";

/// Which namespaces to walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Our own.
    pub own: Option<u32>,
    /// Others, each with a process in it. `None` repeats what was found there last: of each the kernel goes through the table of the
    /// whole host.
    pub others: Option<Vec<(u32, u32)>>,
}

/// What comes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was found; `None` when the thread has ended.
    pub walk: Option<Walk>,
    /// How well it works now.
    pub signal: SignalRow,
}

/// The other end of the thread.
#[derive(Debug)]
pub struct Walker {
    questions: SyncSender<Question>,
    answers: mpsc::Receiver<Answer>,
    signal: SignalRow,
}

impl Walker {
    /// Starts the thread, which opens its socket in the calling thread's namespace. To be called while there are still privileges; with
    /// `enter`, the thread keeps what entering other namespaces needs.
    pub fn start(enter: bool) -> std::io::Result<Self> {
        let (questions, asked) = sync_channel(1);
        let (answer, answers) = mpsc::channel(1);
        let (ready, signal) = sync_channel(1);
        thread::Builder::new().name("walker".to_owned()).spawn(move || {
            let (walking, signal) = Walking::open(enter, SockDiag::open);
            privileges::keep_only_to_enter(walking.enters());
            // An error only says that nobody waits for it.
            drop(ready.send(signal));
            answer_all(walking, &asked, &answer);
        })?;
        let signal = signal.recv().map_err(std::io::Error::other)?;
        Ok(Self { questions, answers, signal })
    }

    /// One whose thread has ended.
    #[cfg(test)]
    pub fn ended() -> Self {
        Self { questions: sync_channel(1).0, answers: mpsc::channel(1).1, signal: missing("") }
    }

    /// How well it worked at the start.
    pub const fn signal(&self) -> &SignalRow {
        &self.signal
    }

    /// Asks for a walk. `false` if the thread is gone, or has not finished the one before.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }

    /// The next answer. After one that says that the thread has ended there is nothing to wait for.
    pub async fn finished(&mut self) -> Answer {
        let ended = || Answer { walk: None, signal: missing("its thread ended unexpectedly") };
        self.answers.recv().await.unwrap_or_else(ended)
    }
}

/// How open connections are seen here, for who does not walk.
pub fn signal(enter: bool) -> SignalRow {
    Walking::open(enter, SockDiag::open).1
}

/// Until nobody asks any more, or it cannot go on.
fn answer_all(mut walking: Walking, asked: &Receiver<Question>, answer: &mpsc::Sender<Answer>) {
    while let Ok(question) = asked.recv() {
        let (answered, goes_on) = match walking.walk(&question) {
            Ok((walk, signal)) => (Answer { walk: Some(walk), signal }, true),
            // It is in a namespace that is not ours, where whatever it opens would be taken for ours.
            Err(error) => (Answer { walk: None, signal: missing(&error.to_string()) }, false),
        };
        if answer.blocking_send(answered).is_err() || !goes_on {
            return;
        }
    }
}

/// Nothing is seen any more.
fn missing(why: &str) -> SignalRow {
    SignalRow {
        signal: SIGNAL,
        hook: "none".to_owned(),
        status: SignalStatus::Missing,
        why: why.to_owned(),
        advice: "restart the daemon".to_owned(),
    }
}
