//! What this binary does as a helper process of its own trials.

use std::fs;
use std::hint::black_box;
use std::io::{Read as _, Write as _, stdin, stdout};
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use caps::CapSet;
use rustix::process::{Pid, Signal, getppid, kill_process, set_parent_process_death_signal};
use socket2::{Domain, Protocol, Socket, Type};

use crate::cgroups::SmallCgroup;
use crate::confinement::{self, CONFINED};
use crate::costs;
use crate::owner::Owner;
use crate::service::{self, AS_SERVICE};
use crate::sockets::{Place, receive, send};

/// First argument: run the rest of the arguments as a command that dies with its parent.
const DIE_WITH_PARENT: &str = "die-with-parent";
/// First argument: run the rest without the capabilities that the second names.
const WITHOUT: &str = "without-capabilities";
/// First argument: run the rest of the arguments as another user, in the cgroup that the second names.
const AS_STRANGER: &str = "as-stranger";
/// That user: nobody.
const STRANGER: u32 = 65_534;
/// First argument: a server that accepts, answers once each, and then neither reads nor closes.
const SERVE_AND_HOLD: &str = "serve-and-hold";
/// First argument: tell what each backend's programs cost. `cargo xtask kernel-test --costs` asks for it.
const COSTS: &str = "costs";

/// Does a helper's work if the arguments ask for one; `None` if this is the test run itself.
pub(crate) fn dispatch() -> Option<Result<()>> {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some(DIE_WITH_PARENT) => Some(die_with_parent(arguments.get(2..).unwrap_or_default())),
        Some(WITHOUT) => Some(run_without(arguments.get(2..).unwrap_or_default())),
        Some(AS_SERVICE) => Some(service::become_service(arguments.get(2..).unwrap_or_default())),
        Some(AS_STRANGER) => Some(as_stranger(arguments.get(2..).unwrap_or_default())),
        Some(SERVE_AND_HOLD) => Some(serve_and_hold(arguments.get(2..).unwrap_or_default())),
        Some(CONFINED) => Some(confinement::attempt()),
        Some(COSTS) => Some(costs::measure()),
        _ => None,
    }
}

/// A command whose process is killed when the thread that started it ends, however that happens.
pub(crate) fn dying_with_parent(program: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([DIE_WITH_PARENT, &std::process::id().to_string(), program]);
    Ok(command)
}

fn die_with_parent(arguments: &[String]) -> Result<()> {
    let [parent, program, arguments @ ..] = arguments else {
        bail!("usage: {DIE_WITH_PARENT} PID COMMAND...")
    };
    bind_life_to(parent)?;
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("cannot run {program}"))
}

/// A command of root's that lacks these capabilities for good.
pub(crate) fn without_capabilities(names: &[&str], program: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args([WITHOUT, &names.join(","), program]).args(arguments);
    Ok(command)
}

fn run_without(arguments: &[String]) -> Result<()> {
    let [names, program, arguments @ ..] = arguments else { bail!("usage: {WITHOUT} NAME,... COMMAND...") };
    for name in names.split(',') {
        // What is not in the bounding set does not come back with the next program.
        let capability = name.parse().with_context(|| format!("no capability {name}"))?;
        caps::drop(None, CapSet::Bounding, capability)?;
    }
    Err(Command::new(program).args(arguments).exec()).with_context(|| format!("cannot run {program}"))
}

fn as_stranger(arguments: &[String]) -> Result<()> {
    let [cgroup, arguments @ ..] = arguments else { bail!("usage: {AS_STRANGER} CGROUP ARGUMENT...") };
    fs::write(Path::new(cgroup).join("cgroup.procs"), "0").context("cannot enter the cgroup")?;
    Err(Command::new(std::env::current_exe()?).args(arguments).uid(STRANGER).exec())
        .context("cannot run this binary as another user")
}

/// Has this process killed when the thread of this process that started it ends.
pub(crate) fn bind_life_to(parent: &str) -> Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let now = getppid().map_or(0, |pid| pid.as_raw_nonzero().get());
    ensure!(parent.parse() == Ok(now), "the parent is gone already");
    Ok(())
}

/// What a server that was told to takes at most: far more than a small cgroup allows, and less than any machine has.
const TAKEN_BYTES: usize = 256 << 20;
/// In pieces.
const PIECE_BYTES: usize = 1 << 20;

/// The server process of the kill trials.
#[derive(Debug)]
pub(crate) struct Holder {
    child: Child,
    output: ChildStdout,
}

impl Holder {
    /// Starts it in the calling thread's namespace; it listens when this returns.
    pub(crate) fn start(place: &Place, connections: usize) -> Result<Self> {
        Self::start_by(Command::new(std::env::current_exe()?), place, connections)
    }

    /// The same as another user's process, the first one in this cgroup.
    pub(crate) fn start_as_stranger(place: &Place, connections: usize, cgroup: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(AS_STRANGER).arg(cgroup);
        Self::start_by(command, place, connections)
    }

    fn start_by(mut command: Command, place: &Place, connections: usize) -> Result<Self> {
        let mut child = command
            .args([SERVE_AND_HOLD, &std::process::id().to_string(), &place.target().to_string()])
            .arg(connections.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().context("no stdout")?;
        let mut holder = Self { child, output };
        holder.hear(*b"listening\n")?;
        Ok(holder)
    }

    /// Waits until it has answered every connection.
    pub(crate) fn wait_until_answered(&mut self) -> Result<()> {
        self.hear(*b"answered\n")
    }

    fn hear<const N: usize>(&mut self, expected: [u8; N]) -> Result<()> {
        let mut line = [0; N];
        self.output.read_exact(&mut line).context("the helper process ended early")?;
        ensure!(line == expected, "unexpected word from the helper process");
        Ok(())
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// As the owner of its sockets.
    pub(crate) fn owner(&self) -> Result<Owner> {
        Owner::of_process(self.pid())
    }

    /// Ends it by a signal, and waits for its end.
    pub(crate) fn end(&mut self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.child.id().try_into()?).context("no process id")?;
        kill_process(pid, signal)?;
        self.child.wait()?;
        Ok(())
    }

    /// Has it take memory in the cgroup until it is killed for it, and waits for its end.
    pub(crate) fn take_memory_in(&mut self, cgroup: &SmallCgroup) -> Result<()> {
        cgroup.admit(self.child.id())?;
        self.child.stdin.as_mut().context("no stdin")?.write_all(b"!")?;
        let status = self.child.wait()?;
        ensure!(status.signal() == Some(Signal::KILL.as_raw()), "not killed for its memory: {status}");
        Ok(())
    }

    /// Kills it as `kill -9` does, and waits for its end.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // After a failed trial there is nothing better to do with an error.
        drop(self.kill());
    }
}

fn serve_and_hold(arguments: &[String]) -> Result<()> {
    let [parent, address, connections] = arguments else {
        bail!("usage: {SERVE_AND_HOLD} PID ADDRESS NUMBER")
    };
    bind_life_to(parent)?;
    let address: SocketAddr = address.parse()?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.bind(&address.into())?;
    socket.listen(128)?;
    stdout().write_all(b"listening\n")?;
    stdout().flush()?;
    let mut held = Vec::new();
    for _ in 0..connections.parse()? {
        let (connection, _) = socket.accept()?;
        receive(&connection, 7)?;
        send(&connection, b"response")?;
        held.push(connection);
    }
    stdout().write_all(b"answered\n")?;
    stdout().flush()?;
    // Held until the trial kills this process, has it take memory, or is itself at its end.
    if stdin().read(&mut [0])? > 0 {
        take_memory()?;
    }
    drop(held);
    Ok(())
}

fn take_memory() -> Result<()> {
    // Whoever started the trials may have protected them.
    fs::write("/proc/self/oom_score_adj", "1000")?;
    let mut taken = Vec::new();
    for _ in 0..TAKEN_BYTES / PIECE_BYTES {
        taken.push(vec![1_u8; PIECE_BYTES]);
        black_box(&taken);
    }
    bail!("nobody minds {TAKEN_BYTES} bytes")
}
