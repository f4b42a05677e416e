//! One connection from its beginning to its report.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::connect::{Connector, Stream};
use super::exchange::{Ask, Unanswered, exchange};
use super::failure::Failure;
use super::hold::{Held, Idle};
use super::outcome::{Answer, Outcome, Report, Reuse};

/// For an answer to bytes: some protocols answer nothing, and are idle from then on all the same. An answer that comes later is seen as well.
const SILENT: Duration = Duration::from_secs(2);
/// Who does not understand what was said ends the connection sooner, after a round trip; timers are set to whole seconds.
const AT_ONCE: Duration = Duration::from_secs(1);

/// What to do with a connection after its first use.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// Hold it until its peer ends it, at most so long.
    Hold {
        /// At most.
        most: Duration,
    },
    /// Leave it alone for so long, and use it again.
    Reuse {
        /// So long.
        idle: Duration,
    },
}

impl Plan {
    /// The quiet that is asked for.
    pub const fn wanted(self) -> Option<Duration> {
        match self {
            Self::Hold { most: _ } => None,
            Self::Reuse { idle } => Some(idle),
        }
    }
}

/// What all connections of a run have in common.
#[derive(Clone, Debug)]
pub struct Task {
    /// How to connect.
    pub connector: Connector,
    /// What to say.
    pub ask: Ask,
    /// Time for each answer.
    pub time: Duration,
    /// Ctrl-C.
    pub stop: watch::Receiver<bool>,
}

/// A connection that was used once.
#[derive(Debug)]
pub struct Used {
    stream: Stream,
    local: SocketAddr,
    answer: Answer,
    /// When it began to be quiet; monotonic.
    quiet_from: Duration,
}

impl Used {
    /// What it was answered.
    pub const fn answer(&self) -> &Answer {
        &self.answer
    }
}

impl Task {
    /// Connects and uses the connection once; `None` when Ctrl-C came before.
    pub async fn open(&self) -> Result<Option<Used>, Failure> {
        let mut stop = self.stop.clone();
        tokio::select! {
            used = self.connect_and_use() => used.map(Some),
            () = stopped(&mut stop) => Ok(None),
        }
    }

    async fn connect_and_use(&self) -> Result<Used, Failure> {
        let address = self.connector.address;
        let (mut stream, local) = self.connector.connect().await?;
        let (time, may_be_silent) = match self.ask {
            Ask::Bytes(_) => (self.time.min(SILENT), true),
            Ask::Http { .. } | Ask::Nothing => (self.time, false),
        };
        let (answer, quiet_from) = match exchange(&mut stream, address, &self.ask, time).await {
            Ok(answer) => (answer, stream.tap().moved),
            Err(Unanswered::Late) if may_be_silent => (Answer::Bytes(0), stream.tap().moved),
            Err(Unanswered::Ended { said, at, end: _ }) if may_be_silent && at >= said + AT_ONCE => {
                // Whoever holds the connection reads its end once more.
                (Answer::Bytes(0), said)
            }
            Err(unanswered) => return Err(unanswered.of_first(address, time)),
        };
        if let Answer::Http(head) = &answer
            && let Some(why) = head.not_kept
        {
            return Err(Failure::NotKept { address, status: head.status, why });
        }
        Ok(Used { stream, local, answer, quiet_from })
    }

    /// Holds it, and reports.
    pub async fn go_on(mut self, number: u32, used: Used, plan: Plan) -> Report {
        let Used { mut stream, local, answer, quiet_from } = used;
        let address = self.connector.address;
        let mut idle = Idle::new(&mut stream, address, quiet_from);
        let outcome = match plan {
            Plan::Hold { most } => match idle.until_ended(most, &mut self.stop).await {
                Held::Ended(end) => Outcome::Ended(end),
                Held::Open(after) | Held::Stopped(after) => Outcome::Open { after },
                Held::NeverQuiet { longest } => Outcome::NeverQuiet { longest },
                Held::Failed(failure) => Outcome::Failed(failure),
            },
            Plan::Reuse { idle: wanted } => self.reuse(&mut idle, wanted, &answer).await,
        };
        let unasked = idle.unasked;
        tokio::select! {
            biased;
            () = stream.close() => {}
            () = stopped(&mut self.stop) => {}
        }
        Report { number, local: Some(local), wanted: plan.wanted(), answer: Some(answer), unasked, outcome }
    }

    async fn reuse(&mut self, idle: &mut Idle<'_>, wanted: Duration, first: &Answer) -> Outcome {
        let before = match idle.until_quiet(wanted, &mut self.stop).await {
            Held::Open(_) => None,
            Held::Stopped(_) => return Outcome::Stopped,
            Held::NeverQuiet { longest } => return Outcome::NeverQuiet { longest },
            Held::Failed(failure) => return Outcome::Failed(failure),
            Held::Ended(end) => {
                // A client that does not look uses it all the same, and so does this one.
                tokio::select! {
                    () = sleep(idle.left_of(wanted)) => Some(end),
                    () = stopped(&mut self.stop) => return Outcome::Ended(end),
                }
            }
        };
        let (idle, reuse) = tokio::select! {
            biased;
            used = idle.reuse(&self.ask, before, self.time) => used,
            // What the use would have told is unknown, and is not told as if it were lost.
            () = stopped(&mut self.stop) => return before.map_or(Outcome::Stopped, Outcome::Ended),
        };
        match reuse {
            Ok(Reuse::Nothing) if is_silent(&self.ask, first) => {
                Outcome::Failed(Failure::Silent { address: self.connector.address })
            }
            Ok(reuse) => Outcome::Reused { idle, before, reuse },
            Err(failure) => Outcome::Failed(failure),
        }
    }
}

/// Whether something was said that was not answered even when the connection was new.
const fn is_silent(ask: &Ask, first: &Answer) -> bool {
    match (ask, first) {
        (Ask::Bytes(_), Answer::Bytes(0)) => true,
        (Ask::Bytes(_) | Ask::Http { .. } | Ask::Nothing, Answer::Bytes(_) | Answer::Http(_)) => false,
    }
}

/// Returns when Ctrl-C came.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can press it any more.
    drop(stop.wait_for(|stop| *stop).await);
}
