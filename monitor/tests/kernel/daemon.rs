//! Daemons under test: started on a free port, watched, and never left behind.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::api::Api;
use crate::service::{self, Given};
use crate::{helper, machine, wait};

/// A directory of a trial, removed with it.
#[derive(Debug)]
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Removes what runs left behind that were killed.
    pub(crate) fn sweep() -> Result<()> {
        for entry in fs::read_dir(machine::scratch()).into_iter().flatten() {
            let entry = entry?;
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix("kernel-")?.split('-').next());
            if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// A new one among the build's own temporary files.
    pub(crate) fn create() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("kernel-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = machine::scratch().join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Leaves it to a user and the group with the same number.
    fn give_to(&self, user: u32) -> Result<()> {
        chown(&self.0, Some(user), Some(user))
            .with_context(|| format!("cannot give {} away", self.0.display()))
    }

    /// The path of a file in it.
    pub(crate) fn file(&self, name: &str) -> Result<String> {
        self.0.join(name).into_os_string().into_string().ok().context("a path that is not UTF-8")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A child process whose stderr is kept line by line.
#[derive(Debug)]
pub(crate) struct Watched {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Watched {
    /// Starts it.
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        Self::spawn_to(command, Stdio::null())
    }

    /// Starts it with this as its standard output.
    pub(crate) fn spawn_to(command: &mut Command, stdout: Stdio) -> Result<Self> {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("RESET_MONITOR_") {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
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

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("no process id")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Whether it has ended.
    pub(crate) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end; the exit code, or `None` if a signal ended it.
    pub(crate) fn wait(&mut self) -> Result<Option<i32>> {
        let lines = Arc::clone(&self.lines);
        let status = wait::until("the end of the daemon", || {
            Ok(self.child.try_wait()?.ok_or_else(|| "it is still running".to_owned()))
        })?;
        // The reader drops its half at the end of the file; only then are all lines there.
        wait::until_true("the end of stderr", || Ok(Arc::strong_count(&lines) <= 2))?;
        Ok(status.code())
    }
}

impl Drop for Watched {
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

/// A running daemon.
#[derive(Debug)]
pub(crate) struct Daemon {
    process: Watched,
    /// Its HTTP interface.
    pub(crate) api: Api,
    directory: Scratch,
}

impl Daemon {
    /// Starts one in the calling thread's namespace, with these options besides the usual ones.
    pub(crate) fn start(options: &[&str]) -> Result<Self> {
        Self::start_in(Scratch::create()?, options)
    }

    /// [`Self::start`] with the lock file in this directory.
    pub(crate) fn start_in(directory: Scratch, options: &[&str]) -> Result<Self> {
        let lock = directory.file("lock")?;
        Self::spawn(helper::dying_with_parent(machine::daemon())?, directory, &lock, options)
    }

    /// [`Self::start`] by a command that becomes the daemon.
    pub(crate) fn start_by(wrapper: &[&str], options: &[&str]) -> Result<Self> {
        let [program, arguments @ ..] = wrapper else { bail!("no command") };
        let mut command = helper::dying_with_parent(program)?;
        command.args(arguments).arg(machine::daemon());
        let directory = Scratch::create()?;
        let lock = directory.file("lock")?;
        Self::spawn(command, directory, &lock, options)
    }

    /// [`Self::start`] as a service that is given this much.
    pub(crate) fn start_as_service(given: &Given<'_>, options: &[&str]) -> Result<Self> {
        let directory = Scratch::create()?;
        directory.give_to(service::USER)?;
        // Where it starts: its path may lead through directories closed to others.
        Self::spawn(given.daemon(&directory.file("")?)?, directory, "lock", options)
    }

    /// Starts this program at this address, with this lock file: in the place of the one that was there before.
    pub(crate) fn start_at(program: &str, address: SocketAddr, lock: &str, options: &[&str]) -> Result<Self> {
        let command = helper::dying_with_parent(program)?;
        Self::spawn_at(&address.to_string(), command, Scratch::create()?, lock, options)
    }

    fn spawn(command: Command, directory: Scratch, lock: &str, options: &[&str]) -> Result<Self> {
        Self::spawn_at("127.0.0.1:0", command, directory, lock, options)
    }

    fn spawn_at(
        listen: &str,
        mut command: Command,
        directory: Scratch,
        lock: &str,
        options: &[&str],
    ) -> Result<Self> {
        command.args(["run", "--listen", listen, "--log-level", "info", "--lock-file", lock]).args(options);
        let mut process = Watched::spawn(&mut command)?;
        let address = wait::until("the daemon to listen", || {
            let lines = process.stderr();
            if let Some(status) = process.ended()? {
                bail!("the daemon ended at start ({status}):\n{}", lines.join("\n"));
            }
            Ok(lines.iter().find_map(|line| listening_at(line)).ok_or_else(|| lines.join("\n")))
        })?;
        Ok(Self { process, api: Api::at(address)?, directory })
    }

    /// Its process.
    pub(crate) fn process(&self) -> &Watched {
        &self.process
    }

    /// Its lock file.
    pub(crate) fn lock_file(&self) -> Result<String> {
        self.directory.file("lock")
    }

    /// Ends it by a signal, as a service manager or a terminal does, and checks that it ends well.
    pub(crate) fn stop(mut self, signal: Signal) -> Result<()> {
        self.process.signal(signal)?;
        let code = self.process.wait()?;
        ensure!(
            code == Some(0),
            "exit code {code:?} after {signal:?}:\n{}",
            self.process.stderr().join("\n")
        );
        Ok(())
    }

    /// What the kernel tells of each of its programs: name by id, and how many runs were skipped because one was under way.
    pub(crate) fn skipped_runs(&self) -> Vec<String> {
        let directory = format!("/proc/{}/fdinfo", self.process.pid());
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| fs::read_to_string(entry.path()).ok());
        let programs = texts.filter(|text| text.contains("recursion_misses"));
        let told = |line: &&str| line.starts_with("prog_id") || line.starts_with("recursion_misses");
        programs.map(|text| text.lines().filter(told).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{}/status", self.process.pid()))?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kilobytes = line.split_whitespace().next().context("no number in VmRSS")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// The same without the pages of its executable.
    pub(crate) fn resident_data_bytes(&self) -> Result<u64> {
        let process = format!("/proc/{}", self.process.pid());
        let executable = fs::read_link(format!("{process}/exe"))?;
        let executable = executable.to_str().context("not UTF-8")?;
        let mut is_code = false;
        let mut kilobytes = 0;
        for line in fs::read_to_string(format!("{process}/smaps"))?.lines() {
            if let Some(size) = line.strip_prefix("Rss:") {
                let size: u64 = size.trim().trim_end_matches(" kB").parse()?;
                kilobytes += if is_code { 0 } else { size };
            } else if line.split_whitespace().next().is_some_and(|first| !first.ends_with(':')) {
                is_code = line.ends_with(executable);
            }
        }
        ensure!(kilobytes > 0, "no Rss in smaps");
        Ok(kilobytes * 1024)
    }
}

/// The address in a log line that tells where the daemon listens.
fn listening_at(line: &str) -> Option<SocketAddr> {
    let (_, address) = line.split_once("listening on http://")?;
    let end = address.find(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).unwrap_or(address.len());
    address.get(..end)?.parse().ok()
}
