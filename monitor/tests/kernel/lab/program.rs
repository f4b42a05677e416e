//! Programs of the lab, and what speaks HTTP with them.

use std::fs;
use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use socket2::Socket;

use crate::daemon::Watched;
use crate::helper::dying_with_parent;
use crate::oracle::{self, state};
use crate::sockets::{Place, port_of, receive_end, send};
use crate::wait;

/// A running program, with whatever it has started.
#[derive(Debug)]
pub(crate) struct Program {
    process: Watched,
    name: String,
    is_family: bool,
}

impl Program {
    /// Starts one that is a single process, in the calling thread's namespace. It ends with the thread at the latest.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = dying_with_parent(program)?;
        let process = Watched::spawn(command.args(arguments))?;
        Ok(Self { process, name: program.to_owned(), is_family: false })
    }

    /// Starts one that starts others: with its end all of them end.
    pub(super) fn start_family(program: &str, arguments: &[&str]) -> Result<Self> {
        let mut command = dying_with_parent("unshare")?;
        command.args(["--pid", "--fork", "--kill-child=KILL", "--", program]);
        let process = Watched::spawn(command.args(arguments))?;
        Ok(Self { process, name: program.to_owned(), is_family: true })
    }

    /// Waits until it listens there.
    pub(crate) fn until_listening(&mut self, port: u16) -> Result<()> {
        let listens = wait::until("a program to listen", || {
            Ok(if oracle::listening(port)?.is_empty() { Err("no listener".to_owned()) } else { Ok(()) })
        });
        listens.with_context(|| format!("{} says:\n{}", self.name, self.process.stderr().join("\n")))
    }

    /// What it has written to stderr.
    pub(super) fn said(&self) -> String {
        self.process.stderr().join("\n")
    }

    /// Its process.
    pub(super) fn pid(&self) -> Result<u32> {
        if !self.is_family {
            return Ok(self.process.pid());
        }
        Ok(*children(self.process.pid())?.first().context("the program is not running")?)
    }

    /// The processes it has started.
    pub(super) fn children(&self) -> Result<Vec<u32>> {
        children(self.pid()?)
    }

    /// Sends it a signal.
    pub(super) fn signal(&self, signal: Signal) -> Result<()> {
        send_signal(self.pid()?, signal)
    }

    /// Stops it in the middle of what it does, and waits until it stands.
    pub(super) fn freeze(&self) -> Result<()> {
        freeze(self.pid()?)
    }

    /// Lets it go on.
    pub(super) fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self) -> Result<()> {
        self.process.wait().map(drop)
    }
}

/// Sends a signal to a process.
pub(super) fn send_signal(pid: u32, signal: Signal) -> Result<()> {
    let pid = Pid::from_raw(pid.try_into()?).context("no process id")?;
    kill_process(pid, signal).with_context(|| format!("cannot signal {pid:?}"))
}

/// Stops a process that has nothing to do, and waits until it stands. One that is about to end a request would go on with that
/// later, and see the signals that came meanwhile: nginx then closes what it would have kept.
pub(super) fn freeze(pid: u32) -> Result<()> {
    until_in_state(pid, 'S')?;
    send_signal(pid, Signal::STOP)?;
    until_in_state(pid, 'T')
}

/// Waits until the process is in a state, as `/proc` calls it.
fn until_in_state(pid: u32, state: char) -> Result<()> {
    wait::until_true("a process to sleep or to stand", || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        Ok(stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with(state)))
    })
}

fn children(pid: u32) -> Result<Vec<u32>> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    text.split_whitespace().map(|pid| Ok(pid.parse()?)).collect()
}

/// A request as browsers send it, less what nobody reads.
pub(super) const GET: &[u8] = b"GET / HTTP/1.1\r\nHost: lab\r\n\r\n";

/// A client of an HTTP server, with one connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) socket: Socket,
    pub(super) port: u16,
    service: u16,
}

impl Client {
    /// Connects.
    pub(super) fn connect(place: &Place) -> Result<Self> {
        Self::of(place.connect()?, place)
    }

    /// Of a socket that is connected.
    pub(super) fn of(socket: Socket, place: &Place) -> Result<Self> {
        Ok(Self { port: port_of(&socket)?, socket, service: place.port })
    }

    /// Connects, asks, and reads the answer.
    pub(super) fn served(place: &Place) -> Result<Self> {
        let client = Self::connect(place)?;
        client.get()?;
        Ok(client)
    }

    /// A request with its answer.
    pub(super) fn get(&self) -> Result<()> {
        self.get_at("/")
    }

    /// The same with a path.
    pub(super) fn get_at(&self, path: &str) -> Result<()> {
        self.ask_at(path)?;
        self.is_answered()
    }

    /// A request.
    pub(super) fn ask_at(&self, path: &str) -> Result<()> {
        send(&self.socket, format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n").as_bytes())
    }

    /// Its answer.
    pub(super) fn is_answered(&self) -> Result<()> {
        let status = self.answer()?;
        ensure!(status == 200, "status {status}");
        Ok(())
    }

    /// Reads an answer with its body; its status.
    pub(super) fn answer(&self) -> Result<u16> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            (&self.socket).read_exact(&mut byte).context("no answer")?;
            head.extend(byte);
        }
        let head = String::from_utf8(head)?.to_lowercase();
        if let Some((_, rest)) = head.split_once("content-length: ") {
            let length: usize = rest.lines().next().unwrap_or_default().parse()?;
            (&self.socket).read_exact(&mut vec![0; length]).context("no body")?;
        }
        let status = head.split_whitespace().nth(1).context("no status")?;
        Ok(status.parse()?)
    }

    /// Waits until the server has closed, and its end is gone but for a minisock.
    pub(super) fn until_closed(&self) -> Result<()> {
        receive_end(&self.socket)?;
        oracle::until_closed(self.service, self.port)?;
        oracle::until_acknowledged(self.service, self.port)
    }

    /// Waits until the server has closed, though its FIN does not arrive.
    pub(super) fn until_closed_unheard(&self) -> Result<()> {
        oracle::until_state(self.service, self.port, state::FIN_WAIT1)
    }

    /// Uses the connection once more, and waits for the reset.
    pub(super) fn ask_too_late(&self) -> Result<()> {
        send(&self.socket, GET)?;
        crate::sockets::wait_for_reset(&self.socket)
    }

    /// Waits for the reset that ended the server's end while this one's window was closed, which may have kept it out: reading opens
    /// the window, and what says so is answered.
    pub(super) fn until_reset_at_a_closed_window(&self) -> Result<()> {
        oracle::until_gone(self.service, self.port)?;
        let _read = drain(&self.socket, usize::MAX);
        crate::sockets::wait_for_reset(&self.socket)
    }

    /// Waits until the server's end has accepted it.
    pub(super) fn until_accepted(&self) -> Result<()> {
        oracle::until_accepted(self.service, self.port)
    }
}

/// Reads until the end of what comes, at most so many bytes.
pub(super) fn drain(socket: &Socket, most: usize) -> Result<usize> {
    let (mut buffer, mut read) = (vec![0; 65_536], 0);
    loop {
        match (&*socket).read(&mut buffer)? {
            0 => return Ok(read),
            bytes => read += bytes,
        }
        if read > most {
            bail!("more than {most} bytes");
        }
    }
}

/// More than a second, from which on a connection counts as idle.
pub(super) const QUIET: Duration = Duration::from_millis(1_200);
