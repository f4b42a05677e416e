//! One connection from its beginning to its report.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::connect::{Connector, Stream};
use super::exchange::{Ask, Unanswered, exchange};
use super::failure::Failure;
use super::hold::{Held, Idle};
use super::outcome::{Answer, Outcome, Report};

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
        let answer = match exchange(&mut stream, address, &self.ask, self.time).await {
            Ok(answer) => answer,
            // Some protocols answer nothing, and are idle from then on all the same.
            Err(Unanswered::Late) if matches!(self.ask, Ask::Bytes(_)) => Answer::Bytes(0),
            Err(unanswered) => return Err(unanswered.of_first(address, self.time)),
        };
        if let Answer::Http(head) = &answer
            && let Some(why) = head.not_kept
        {
            return Err(Failure::NotKept { address, status: head.status, why });
        }
        Ok(Used { stream, local, answer })
    }

    /// Holds it, and reports.
    pub async fn go_on(mut self, number: u32, used: Used, plan: Plan) -> Report {
        let Used { mut stream, local, answer } = used;
        let address = self.connector.address;
        let mut idle = Idle::new(&mut stream, address);
        let outcome = match plan {
            Plan::Hold { most } => match idle.until_ended(most, &mut self.stop).await {
                Held::Ended(end) => Outcome::Ended(end),
                Held::Open(after) | Held::Stopped(after) => Outcome::Open { after },
                Held::Failed(failure) => Outcome::Failed(failure),
            },
            Plan::Reuse { idle: wanted } => self.reuse(&mut idle, wanted).await,
        };
        let unasked = idle.unasked;
        stream.close().await;
        Report { number, local: Some(local), wanted: plan.wanted(), answer: Some(answer), unasked, outcome }
    }

    async fn reuse(&mut self, idle: &mut Idle<'_>, wanted: Duration) -> Outcome {
        let before = match idle.until_quiet(wanted, &mut self.stop).await {
            Held::Open(_) => None,
            Held::Stopped(_) => return Outcome::Stopped,
            Held::Failed(failure) => return Outcome::Failed(failure),
            Held::Ended(end) => {
                // A client that does not look uses it all the same, and so does this one.
                tokio::select! {
                    () = sleep(idle.left_of(wanted)) => Some(end),
                    () = stopped(&mut self.stop) => return Outcome::Ended(end),
                }
            }
        };
        match idle.reuse(&self.ask, before, self.time).await {
            (idle, Ok(reuse)) => Outcome::Reused { idle, before, reuse },
            (_, Err(failure)) => Outcome::Failed(failure),
        }
    }
}

/// Returns when Ctrl-C came.
pub async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that nobody can press it any more.
    drop(stop.wait_for(|stop| *stop).await);
}
