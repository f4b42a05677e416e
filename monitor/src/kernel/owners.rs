//! Questions about the owners of sockets to answers, out of `/proc` and the cgroup file system.
//!
//! Looked for on another thread, so that nothing waits, and only while there are questions. Each kind of search is paced by
//! the CPU time it takes, so that on no host, however many processes it has, more than a share of a CPU is spent; questions wait
//! meanwhile, and one search serves all of them.

mod cgroups;
mod pace;
mod processes;
mod sockets;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, spawn_blocking};

use self::cgroups::Cgroups;
use self::pace::{AnswerPace, SearchPace};
use self::processes::Processes;
use crate::clock;
use crate::owners::{Answer, By, Owners, Process, QUESTIONS, Question};

/// Questions taken at a time: all that can wait.
const BATCH: usize = QUESTIONS;
/// Questions that may wait for a search. Those beyond get what is known without one.
const OPEN: usize = 4_096;

/// Answers questions until `shutdown` becomes true or its sender is gone.
pub async fn run(
    questions: mpsc::Receiver<Question>,
    owners: Owners,
    mut shutdown: watch::Receiver<bool>,
) -> Result<(), JoinError> {
    tokio::select! {
        biased;
        _ = shutdown.wait_for(|stop| *stop) => Ok(()),
        // What is being looked for is not waited for: it is bounded, and nobody will read it.
        ended = find(questions, owners) => ended,
    }
}

async fn find(mut questions: mpsc::Receiver<Question>, owners: Owners) -> Result<(), JoinError> {
    let mut finder = spawn_blocking(Finder::start).await?;
    loop {
        let mut asked = Vec::new();
        tokio::select! {
            biased;
            count = questions.recv_many(&mut asked, BATCH) => if count == 0 { return Ok(()) },
            () = until(finder.due()) => {}
        }
        let (back, answers) = spawn_blocking(move || {
            let answers = finder.answer(asked);
            (finder, answers)
        })
        .await?;
        finder = back;
        owners.answer(answers);
        owners.count_unsearched(std::mem::take(&mut finder.unsearched));
        until(Some(finder.rest.next())).await;
    }
}

/// Never, without a time.
async fn until(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time.saturating_sub(clock::monotonic())).await,
        None => std::future::pending().await,
    }
}

/// A question, and what is known so far.
struct Open {
    question: Question,
    process: Option<(Arc<Process>, By)>,
    /// Its cgroup is neither known nor known to be gone.
    strange: bool,
    /// The socket was looked for.
    searched: bool,
    /// What is known was told.
    told: bool,
}

/// What is remembered between questions.
struct Finder {
    cgroups: Cgroups,
    processes: Processes,
    open: Vec<Open>,
    /// When sockets may be looked for again.
    searches: SearchPace,
    /// When to take questions again.
    rest: AnswerPace,
    /// Questions that could not wait for a search.
    unsearched: u64,
}

impl Finder {
    /// Looks at all cgroups once: that of the first process to die would not be there any more.
    fn start() -> Self {
        Self {
            cgroups: Cgroups::start(),
            processes: Processes::default(),
            open: Vec::new(),
            searches: SearchPace::default(),
            rest: AnswerPace::default(),
            unsearched: 0,
        }
    }

    /// When to go on without a new question.
    fn due(&self) -> Option<Duration> {
        let search = self.open.iter().any(|open| !open.searched).then(|| self.searches.next());
        let walk = self.open.iter().any(|open| open.strange).then(|| self.cgroups.next_walk());
        search.into_iter().chain(walk).min()
    }

    fn answer(&mut self, asked: Vec<Question>) -> Vec<(u64, Answer)> {
        self.processes.forget_states();
        self.cgroups.forget_processes();
        let Self { cgroups, open, .. } = self;
        open.extend(asked.into_iter().map(|question| {
            let searched = question.socket_inode.is_none();
            let strange = is_strange(cgroups, &question);
            Open { question, process: None, strange, searched, told: false }
        }));
        let walked = self.open.iter().any(|open| open.strange) && self.walk();
        let waits = self.open.iter().any(|open| !open.searched);
        let searched = waits && self.searches.is_due(clock::monotonic());
        if searched {
            let begin = clock::spent_by_thread();
            self.search();
            self.searches.pay(clock::monotonic(), clock::spent_by_thread().saturating_sub(begin));
        }
        let begin = clock::spent_by_thread();
        let mut answers = Vec::new();
        let mut open = std::mem::take(&mut self.open);
        for open in open.iter_mut().filter(|open| !open.told || walked || searched) {
            answers.push((open.question.id, self.known(open)));
            open.told = true;
        }
        open.retain(|open| !open.searched || open.strange);
        self.unsearched += open.len().saturating_sub(OPEN) as u64;
        open.truncate(OPEN);
        self.open = open;
        self.rest.pay(clock::monotonic(), clock::spent_by_thread().saturating_sub(begin));
        answers
    }

    fn walk(&mut self) -> bool {
        let Self { cgroups, open, .. } = self;
        let wanted: Vec<u64> = open.iter().filter_map(|open| open.question.cgroup_id).collect();
        let walked = cgroups.walk(&wanted);
        if walked {
            for open in open {
                open.strange = is_strange(cgroups, &open.question);
            }
        }
        walked
    }

    /// Looks for every socket that waits, in its own cgroup first.
    fn search(&mut self) {
        let Self { cgroups, processes, open, .. } = self;
        let wanted = open.iter().filter(|open| !open.searched);
        let found = sockets::search(
            wanted.clone().filter_map(|open| open.question.socket_inode),
            wanted.filter_map(|open| open.question.cgroup_id),
            cgroups,
        );
        for open in open.iter_mut().filter(|open| !open.searched) {
            open.searched = true;
            let pid = open.question.socket_inode.and_then(|inode| found.get(&inode));
            let process = pid.and_then(|pid| processes.at(*pid, open.question.monotonic_ns));
            open.process = process.map(|process| (process, By::File));
        }
    }

    fn known(&mut self, open: &mut Open) -> Answer {
        let Self { cgroups, processes, .. } = self;
        let Question { id: _, monotonic_ns, suspect, socket_inode, cgroup_id } = &open.question;
        let process = open.process.clone().or_else(|| {
            if let Some(suspect) = suspect {
                return Some((processes.suspect(suspect, *monotonic_ns)?, By::Hook));
            }
            // Without a file nobody owns it, or nobody yet.
            let pid = socket_inode.and(*cgroup_id).and_then(|id| cgroups.only_process(id))?;
            Some((processes.at(pid, *monotonic_ns)?, By::OnlyProcessOfCgroup))
        });
        let searching = !open.searched && open.process.is_none();
        Answer { process, cgroup: cgroup_id.and_then(|id| cgroups.get(id)), searching }
    }
}

fn is_strange(cgroups: &Cgroups, question: &Question) -> bool {
    question.cgroup_id.is_some_and(|id| cgroups.is_strange(id))
}

#[cfg(test)]
mod tests;
