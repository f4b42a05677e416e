//! `/proc/PID/stat` to a process that was there when an event happened: its number alone may be another's by now.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::clock;
use crate::owners::{Process, Suspect, shown};

/// Processes remembered, so that events of one share it.
const KNOWN: usize = 1_024;
/// Resolution of start times as the kernel shows them: a hundredth of a second, on every architecture of ours (`USER_HZ`).
const TICK_MS: u64 = 10;

/// Processes seen of late.
#[derive(Debug, Default)]
pub(super) struct Processes {
    /// With the ticks from boot to their start.
    known: HashMap<u32, (u64, Arc<Process>)>,
    /// What was read since [`Self::forget_states`]: the process, and the monotonic time of its start.
    states: HashMap<u32, Option<(Duration, Arc<Process>)>>,
}

impl Processes {
    /// Reads every process anew from now on.
    pub(super) fn forget_states(&mut self) {
        self.states.clear();
    }

    /// The process with this number, if it was there at a monotonic time: then it had the number then, too.
    pub(super) fn at(&mut self, pid: u32, monotonic_ns: u64) -> Option<Arc<Process>> {
        if !self.states.contains_key(&pid) {
            let state = self.read(pid);
            self.states.insert(pid, state);
        }
        let (started, process) = self.states.get(&pid)?.as_ref()?;
        (*started <= Duration::from_nanos(monotonic_ns)).then(|| Arc::clone(process))
    }

    /// The process whom a kernel program saw, if it is still there and has that name, as a whole or the thread: in a PID namespace of ours, the
    /// number would be another's.
    pub(super) fn suspect(&mut self, suspect: &Suspect, monotonic_ns: u64) -> Option<Arc<Process>> {
        let Suspect { pid, tid, comm } = suspect;
        let process = self.at(*pid, monotonic_ns)?;
        let of_thread = || {
            let name = std::fs::read(format!("/proc/{pid}/task/{tid}/comm")).ok()?;
            Some(shown(String::from_utf8_lossy(&name).trim_end_matches('\n')) == *comm)
        };
        (process.comm == *comm || of_thread() == Some(true)).then_some(process)
    }

    fn read(&mut self, pid: u32) -> Option<(Duration, Arc<Process>)> {
        let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
        let (comm, ticks) = parse(&String::from_utf8_lossy(&stat))?;
        let age = clock::since_boot().saturating_sub(Duration::from_millis(ticks.saturating_mul(TICK_MS)));
        let started = clock::monotonic().saturating_sub(age);
        let known = self.known.get(&pid).filter(|(known, process)| *known == ticks && process.comm == comm);
        let process = match known {
            Some((_, process)) => Arc::clone(process),
            None => Arc::new(Process { pid, comm, started: before_now(age) }),
        };
        if self.known.len() >= KNOWN {
            self.known.clear();
        }
        self.known.insert(pid, (ticks, Arc::clone(&process)));
        Some((started, process))
    }
}

/// The wall-clock time so long ago, to a tick.
fn before_now(age: Duration) -> Timestamp {
    let age = SignedDuration::try_from(age).unwrap_or(SignedDuration::ZERO);
    let time = clock::now().checked_sub(age).unwrap_or(Timestamp::UNIX_EPOCH);
    let ticks = (time.as_millisecond() + 5).div_euclid(10);
    Timestamp::from_millisecond(ticks * 10).unwrap_or(time)
}

/// Name, and ticks from boot to the start: the second field and the 22nd. A name may hold anything, so it ends at the last parenthesis.
fn parse(stat: &str) -> Option<(String, u64)> {
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    Some((shown(name), rest.split_ascii_whitespace().nth(19)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(comm: &str) -> String {
        format!("12 ({comm}) S 1 12 12 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 9 8 7\n")
    }

    #[test]
    fn a_name_may_hold_whatever_it_likes() {
        for comm in ["nginx", "a b", ") R 1 2", "((", "x) S 1 (y", ""] {
            assert_eq!(parse(&stat(comm)), Some((comm.to_owned(), 4711)), "{comm}");
        }
        assert_eq!(parse(&stat("a\x1bb")), Some(("a\u{fffd}b".to_owned(), 4711)));
        for text in ["", "12", "12 (a", "12 a) S", "12 (a) S 1", ")(", &stat("a").replace("4711", "x")] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    fn now_ns() -> u64 {
        u64::try_from(clock::monotonic().as_nanos()).unwrap()
    }

    #[test]
    fn a_process_that_came_after_the_event_is_another_one() {
        let mut processes = Processes::default();
        let own = std::process::id();
        let process = processes.at(own, now_ns()).unwrap();
        assert_eq!(process.pid, own);
        assert!(process.started <= clock::now());
        assert_eq!(processes.at(own, 0), None, "at boot it was not there");
        assert_eq!(processes.at(u32::MAX, now_ns()), None);
        processes.forget_states();
        assert!(Arc::ptr_eq(&process, &processes.at(own, now_ns()).unwrap()), "events share it");
    }

    #[test]
    fn a_process_with_another_name_is_another_one_unless_it_is_the_threads() {
        let mut processes = Processes::default();
        let pid = std::process::id();
        let tid = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
        let name = |path: &str| std::fs::read_to_string(path).unwrap().trim_end().to_owned();
        let mut suspect = |comm: String| processes.suspect(&Suspect { pid, tid, comm }, now_ns()).is_some();
        assert!(suspect(name("/proc/self/comm")));
        assert!(suspect(name("/proc/thread-self/comm")));
        assert!(!suspect("somebody else".to_owned()));
    }
}
