//! Child processes that end with this one, and what the kernel says about a process's time and memory.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};

use crate::clock;

/// First argument: run the rest as a command that dies with its parent.
pub(crate) const DIE_WITH_PARENT: &str = "die-with-parent";
/// How long an asked process may take to end before it is killed.
const LONGEST_END: Duration = Duration::from_secs(10);

/// Becomes the command in `arguments`, as a process that is killed when the one that started it ends, however it does.
pub(crate) fn die_with_parent(arguments: &[String]) -> Result<()> {
    let [parent, program, arguments @ ..] = arguments else {
        bail!("usage: {DIE_WITH_PARENT} PID COMMAND...")
    };
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    ensure!(parent.parse() == Ok(now), "the parent is gone already");
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("cannot run {program}"))
}

/// A child whose stderr is kept. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a command. Its stdout goes nowhere: what a tool does with its findings is not measured.
    /// Call it from the main thread: the child dies with the thread that started it.
    pub(crate) fn spawn(words: &[&str]) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([DIE_WITH_PARENT, &std::process::id().to_string()]).args(words);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESET_MONITOR_") {
                command.env_remove(name);
            }
        }
        // A group of its own: Ctrl-C is for us, and we stop it then.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().with_context(|| format!("cannot start {}", words.join(" ")))?;
        let stderr = child.stderr.take().context("no stderr")?;
        let lines = Arc::default();
        let sink = Arc::clone(&lines);
        thread::spawn(move || keep_lines(stderr, &sink));
        Ok(Self { child, lines })
    }

    /// What it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// An error, with what it said, if it has ended.
    pub(crate) fn ensure_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!("it ended ({status}): {}", self.stderr().join("; "));
        }
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<ExitStatus> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("no process id")?;
        kill_process(pid, signal)?;
        clock::until("a child to end", LONGEST_END, || Ok(self.child.try_wait()?))
    }

    /// Whether it waits for something.
    pub(crate) fn is_asleep(&self) -> Result<bool> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        Ok(stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('S')))
    }

    /// What the kernel calls it.
    pub(crate) fn name(&self) -> Result<String> {
        Ok(fs::read_to_string(format!("/proc/{}/comm", self.pid()))?.trim_end().to_owned())
    }

    /// CPU time of all its threads so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        cpu_of(self.pid())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail when it ended already, which is the usual case.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn keep_lines(stderr: impl Read, sink: &Mutex<Vec<String>>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }
}

/// CPU time of a process, to the nanosecond where the kernel keeps it so, else in clock ticks.
fn cpu_of(pid: u32) -> Result<Duration> {
    let mut sum = Duration::ZERO;
    for thread in fs::read_dir(format!("/proc/{pid}/task")).context("the process is gone")? {
        let Ok(text) = fs::read_to_string(thread?.path().join("schedstat")) else { return ticks_of(pid) };
        let nanoseconds = text.split_whitespace().next().unwrap_or_default();
        sum += Duration::from_nanos(nanoseconds.parse().context("no time in schedstat")?);
    }
    Ok(sum)
}

fn ticks_of(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // Fields 14 and 15, counted after the name, which may hold anything but ends at the last parenthesis.
    let (_, fields) = stat.rsplit_once(") ").context("no name in /proc/PID/stat")?;
    let ticks: u64 = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second()))
}

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resident {
    /// All of it.
    pub(crate) total: u64,
    /// Heap and stacks.
    pub(crate) anonymous: u64,
    /// The program, its libraries, and the kernel maps as far as they were looked at.
    pub(crate) file: u64,
    /// Shared memory of other kinds.
    pub(crate) shared: u64,
}

/// What a process holds now.
pub(crate) fn resident(pid: u32) -> Result<Resident> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let bytes = |name: &str| -> Result<u64> {
        let line =
            text.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        let kilobytes = line.split_whitespace().next().context("no number")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    };
    Ok(Resident {
        total: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
        file: bytes("RssFile:")?,
        shared: bytes("RssShmem:")?,
    })
}
