//! Trials that are played again, because the kernel did not run our programs, the machine stood still, or the sockets did otherwise
//! than the trial meant, and that is known. What happens every time is no accident.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::fs;
use std::io::{ErrorKind, Write as _, stdout};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

use crate::api::Api;
use crate::{machine, wait};

/// Plays it again where the daemon says that the kernel skipped runs meanwhile: of programs at functions, which have no second one.
pub(crate) fn if_skipped(api: &Api, what: &str, play: impl Fn() -> Result<()>) -> Result<()> {
    let before = skipped(api)?;
    match play() {
        Err(error) if skipped(api)? > before => {
            tell(&format!("the kernel skipped runs of our programs: {what}: {error:#}"));
            play()
        }
        outcome => outcome,
    }
}

/// Runs of programs that nobody took over.
fn skipped(api: &Api) -> Result<u64> {
    Ok(api.status()?.missed_runs.values().flatten().sum())
}

/// So often a trial is played at most: in virtual machines, which may share their two processors with whatever else this host does, and
/// on a host.
const PLAYS: [usize; 2] = [3, 2];

/// Plays a trial again where something beside the daemon kept it from seeing or timing what happened.
pub(crate) fn if_disturbed(trial: &str, play: impl Fn() -> Result<()>) -> Result<()> {
    let [virtually, really] = PLAYS;
    for _ in 1..if machine::is_virtual() { virtually } else { really } {
        let stalls = STALLS.load(Ordering::Relaxed);
        let Err(error) = play() else { return Ok(()) };
        let Some(why) = disturbance(stalls, &error) else { return Err(error) };
        tell(&format!("{why}: {trial}: {error:#}"));
    }
    play()
}

fn disturbance(stalls_before: u64, error: &anyhow::Error) -> Option<&'static str> {
    if STALLS.load(Ordering::Relaxed) > stalls_before {
        Some("this machine stood still meanwhile")
    } else if hides_its_first_process() {
        Some("this kernel runs no programs in the time of process 1")
    } else if error.is::<NotAsMeant>() {
        Some("by the kernel's own count something else happened")
    } else {
        None
    }
}

/// What the kernel counted is not what a trial did, whatever the daemon says. A FIN that is sent twice on a machine that is slow for a
/// moment is enough: the second one finds no socket, and is answered by a reset (seen on 7.2).
#[derive(Debug)]
pub(crate) struct NotAsMeant(pub(crate) String);

impl Error for NotAsMeant {}

impl Display for NotAsMeant {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "the trial is wrong: {}", self.0)
    }
}

/// How often a virtual machine, or its ticks alone, was seen to stand still.
static STALLS: AtomicU64 = AtomicU64::new(0);
/// For how long, to count: several times what bounds of times leave open.
const STALL: Duration = Duration::from_millis(50);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// How late a thread may be woken that has nothing to wait for. Beside 4 trials on two processors it is milliseconds.
const LATE: Duration = Duration::from_millis(250);

/// Watches a virtual machine's ticks, and whether its processors are given time at all. One of its processors makes jiffies for all of them: where the host gives that one no time, the
/// others go on, and connections are as old as they were (seen with eight processors on a host of two: 0.4 s of quiet
/// instead of 1.2 s).
pub(crate) fn watch_ticks() {
    thread::spawn(|| {
        // As long as the process lives.
        for _ in 0_u64.. {
            // The coarse clock is moved by the same tick.
            let [now, tick] = [ClockId::Monotonic, ClockId::MonotonicCoarse]
                .map(|clock| Duration::try_from(clock_gettime(clock)).unwrap_or_default());
            if now.saturating_sub(tick) > STALL {
                STALLS.fetch_add(1, Ordering::Relaxed);
            }
            wait::quiet_for(LOOK);
            let woken = Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap_or_default();
            if woken.saturating_sub(now) > LOOK + LATE {
                STALLS.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
}

/// Whether this kernel runs no programs in the time of its first process.
///
/// Seen on a locked-down 6.18.44 under Firecracker: of 6,003 moves from `FIN_WAIT2` to CLOSE that the kernel's own tracepoint
/// listed, ten came in softirqs that had interrupted a thread of process 1, and for just these ten no program was run, nor counted
/// as skipped. What happens then nobody can count. Such a kernel is told by how it protects that process in other ways: even
/// root may not ask which program it runs.
fn hides_its_first_process() -> bool {
    static HIDES: LazyLock<bool> = LazyLock::new(|| {
        fs::read_link("/proc/1/exe").is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
    });
    *HIDES
}

fn tell(why: &str) {
    // Without a stdout there is nobody to tell.
    drop(writeln!(stdout(), "again: {why}"));
}
