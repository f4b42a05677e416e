//! Walks over open connections, on a thread of its own: reading fifty thousand sockets takes longer than the event loop may stand still.
//!
//! Always of the daemon's own network namespace. Others can be walked only from inside, and entering one takes `CAP_SYS_ADMIN`: a thread has its
//! own capabilities, so where that is wanted this thread alone keeps it.

mod enter;

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use tokio::sync::mpsc;

use self::enter::Home;
use super::privileges;
use super::sock_diag::{SockDiag, SockDiagError};
use crate::clock;
use crate::live::{Listeners, Live, Walk};
use crate::snapshot::{SignalRow, SignalStatus};

/// Name of the signal.
const SIGNAL: &str = "open_connections";

/// Which namespaces to walk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Question {
    /// Our own.
    pub own: Option<u32>,
    /// Others, each with a process in it.
    pub others: Vec<(u32, u32)>,
}

/// The other end of the thread.
#[derive(Debug)]
pub struct Walker {
    questions: SyncSender<Question>,
    answers: mpsc::Receiver<Walk>,
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
            let (walking, signal) = Walking::open(enter);
            privileges::keep_only_to_enter(walking.home.is_some());
            // An error only says that nobody waits for it.
            drop(ready.send(signal));
            walking.answer(&asked, &answer);
        })?;
        let signal = signal.recv().map_err(std::io::Error::other)?;
        Ok(Self { questions, answers, signal })
    }

    /// How well it works here.
    pub const fn signal(&self) -> &SignalRow {
        &self.signal
    }

    /// Asks for a walk. `false` if the thread is gone, or has not finished the one before.
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }

    /// The next walk that is finished; `None` when the thread is gone.
    pub async fn finished(&mut self) -> Option<Walk> {
        self.answers.recv().await
    }
}

/// How open connections are seen here, for who does not walk.
pub fn signal(enter: bool) -> SignalRow {
    Walking::open(enter).1
}

/// What the thread has.
struct Walking {
    diag: Option<SockDiag>,
    /// Where to come back to; `None` where no other namespace is entered.
    home: Option<Home>,
    /// One warning per life; the missing series tell the rest.
    warned: bool,
}

impl Walking {
    fn open(enter: bool) -> (Self, SignalRow) {
        let diag = SockDiag::open().and_then(|mut diag| diag.connections(|_| {}).map(|()| diag));
        let home = if enter { Home::here().map(Some) } else { Ok(None) };
        let (status, why, advice) = match (&diag, &home) {
            (Err(error), _) => {
                (SignalStatus::Missing, error.to_string(), "load the kernel module tcp_diag".to_owned())
            }
            (Ok(_), Ok(Some(_))) => (SignalStatus::Works, String::new(), String::new()),
            (Ok(_), Ok(None)) => (
                SignalStatus::Degraded,
                "only those of the daemon's own network namespace".to_owned(),
                "run it with --enter-namespaces, which keeps CAP_SYS_ADMIN on one thread".to_owned(),
            ),
            (Ok(_), Err(error)) => (
                SignalStatus::Degraded,
                format!("only those of the daemon's own network namespace: {error}"),
                "give it CAP_SYS_ADMIN at the start".to_owned(),
            ),
        };
        let hook = if diag.is_ok() { "counters:sock_diag" } else { "none" }.to_owned();
        let signal = SignalRow { signal: SIGNAL, hook, status, why, advice };
        (Self { diag: diag.ok(), home: home.ok().flatten(), warned: false }, signal)
    }

    /// Until nobody asks any more.
    fn answer(mut self, asked: &Receiver<Question>, answer: &mpsc::Sender<Walk>) {
        while let Ok(question) = asked.recv() {
            let walk = self.walk(&question);
            if answer.blocking_send(walk).is_err() {
                return;
            }
        }
    }

    fn walk(&mut self, question: &Question) -> Walk {
        let (at, spent) = (clock::monotonic(), clock::spent_by_thread());
        let Question { own, others } = question;
        let (mut live, mut left_out) = (Live::default(), 0);
        let own = own.zip(self.diag.as_mut()).map(|(netns, diag)| one(diag, netns, &mut live));
        if let Some(Err(error)) = own {
            self.warn(&error.to_string());
        }
        for (netns, process) in others {
            let Some(home) = &self.home else {
                left_out += 1;
                continue;
            };
            // Its socket is closed before the next one: an open one would keep a dead container's namespace alive.
            let walked = home.visit(*netns, *process, || one(&mut SockDiag::open()?, *netns, &mut live));
            match walked {
                Ok(Ok(())) => {}
                // Its last process may have ended since, which is no news.
                Ok(Err(_)) | Err(enter::EnterError::Gone(_)) => left_out += 1,
                Err(error @ enter::EnterError::Return(_)) => {
                    self.warn(&error.to_string());
                    self.home = None;
                    left_out += 1;
                }
                Err(error @ (enter::EnterError::Home(_) | enter::EnterError::Refused(_))) => {
                    self.warn(&error.to_string());
                    left_out += 1;
                }
            }
        }
        Walk {
            live,
            at,
            took: clock::monotonic().saturating_sub(at),
            cpu: clock::spent_by_thread().saturating_sub(spent),
            left_out,
        }
    }

    fn warn(&mut self, error: &str) {
        if !self.warned {
            self.warned = true;
            tracing::warn!(error, "open connections are unknown, or some of them");
        }
    }
}

/// All open connections of a namespace. Those that were read before it failed stay: they are open.
fn one(diag: &mut SockDiag, netns: u32, live: &mut Live) -> Result<(), SockDiagError> {
    let listeners = diag.listeners()?;
    let listeners = Listeners::of(listeners.sockets.iter().map(|socket| socket.address));
    diag.connections(|connection| live.add(netns, &listeners, connection))?;
    live.walk(netns);
    Ok(())
}
