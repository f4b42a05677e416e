//! What runs beside a load: nothing, our daemon, or another tool that watches TCP. Started and stopped outside the
//! timed parts, each as its manual says, with its findings going nowhere.

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;

use crate::clock;
use crate::daemon::Daemon;
use crate::load::Load;
use crate::netns::Namespace;
use crate::process::Process;

/// Where tools look for tracepoints.
const TRACEFS: &str = "/sys/kernel/tracing";
/// Counts state changes and resets: as little as a bpftrace program can do with the same three tracepoints.
const COUNTER: &str = "tracepoint:sock:inet_sock_set_state { @states[args->newstate] = count(); } \
     tracepoint:tcp:tcp_send_reset { @sent = count(); } \
     tracepoint:tcp:tcp_receive_reset { @received = count(); }";
/// Looks in a row at which a tool must have slept to count as started.
const LOOKS_ASLEEP: u32 = 10;
/// bpftrace compiles its program first.
const LONGEST_START: Duration = Duration::from_secs(30);

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Nothing, measured like the others: what is left of the ratio's distance from 1 is noise.
    Nothing,
    /// The daemon.
    Daemon,
    /// bpftrace with [`COUNTER`].
    Bpftrace,
    /// tcpdump on resets.
    Tcpdump,
    /// tcplife of libbpf-tools.
    Tcplife,
    /// tcpstates of libbpf-tools.
    Tcpstates,
}

impl Subject {
    /// In the order of the report.
    pub(crate) const ALL: [Self; 6] =
        [Self::Nothing, Self::Daemon, Self::Bpftrace, Self::Tcpdump, Self::Tcplife, Self::Tcpstates];

    /// For people.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing (control)",
            Self::Daemon => "reset-monitor",
            Self::Bpftrace => "bpftrace, three counters",
            Self::Tcpdump => "tcpdump, resets only",
            Self::Tcplife => "tcplife",
            Self::Tcpstates => "tcpstates",
        }
    }

    /// Whether it is another's tool, and one that has something to do with such operations: no connection of ours changes its
    /// state in a storm of raw SYNs.
    pub(crate) const fn is_a_tool_for(self, load: Load) -> bool {
        match self {
            Self::Nothing | Self::Daemon => false,
            Self::Bpftrace | Self::Tcpdump => true,
            Self::Tcplife | Self::Tcpstates => !matches!(load, Load::Storm),
        }
    }

    const fn program(self) -> Option<&'static str> {
        match self {
            Self::Nothing | Self::Daemon => None,
            Self::Bpftrace => Some("bpftrace"),
            Self::Tcpdump => Some("tcpdump"),
            Self::Tcplife => Some("tcplife"),
            Self::Tcpstates => Some("tcpstates"),
        }
    }

    /// Why it cannot be measured here, if it cannot: it is tried.
    pub(crate) fn obstacle(self, daemon: &Path) -> Option<String> {
        if let Some(program) = self.program()
            && find(program).is_none()
        {
            return Some(format!("{program} is not installed and could not be fetched"));
        }
        let tried =
            Namespace::create().and_then(|namespace| self.start(daemon, &namespace)).and_then(Running::stop);
        tried.err().map(|error| format!("{error:#}"))
    }

    /// Starts it; it watches when this returns.
    pub(crate) fn start(self, daemon: &Path, namespace: &Namespace) -> Result<Running> {
        let Some(program) = self.program() else {
            return Ok(match self {
                Self::Daemon => Running::Daemon(Box::new(Daemon::start(daemon, &[])?)),
                Self::Nothing | Self::Bpftrace | Self::Tcpdump | Self::Tcplife | Self::Tcpstates => {
                    Running::Nothing
                }
            });
        };
        let path = find(program).with_context(|| format!("no {program}"))?;
        let path = path.to_str().context("a path that is not UTF-8")?;
        let options: &[&str] = match self {
            Self::Bpftrace => &["-e", COUNTER],
            Self::Tcpdump => {
                &["-i", "lo", "-n", "-U", "-Z", "root", "-w", "/dev/null", "tcp[tcpflags] & tcp-rst != 0"]
            }
            Self::Nothing | Self::Daemon | Self::Tcplife | Self::Tcpstates => &[],
        };
        let network = format!("--net={}", namespace.path());
        // tracefs is mounted for the tool alone, where the machine has it nowhere.
        let mount = format!("[ -e {TRACEFS}/events ] || mount -t tracefs none {TRACEFS}; exec \"$@\"");
        let around = ["nsenter", &network, "unshare", "--mount", "sh", "-c", &mount, "sh", path];
        let mut process = Process::spawn(&[&around, options].concat())?;
        let mut looks = 0;
        clock::until(&format!("{program} to have started"), LONGEST_START, || {
            process.ensure_alive().with_context(|| program.to_owned())?;
            // Its work at start is done once it waits for events. It may wake up now and then to look for some.
            looks = if process.is_asleep()? && process.name()? == program { looks + 1 } else { 0 };
            Ok((looks >= LOOKS_ASLEEP).then_some(()))
        })?;
        Ok(Running::Tool(process))
    }
}

/// A subject at work.
#[derive(Debug)]
pub(crate) enum Running {
    /// None.
    Nothing,
    /// Ours.
    Daemon(Box<Daemon>),
    /// Another.
    Tool(Process),
}

impl Running {
    /// CPU time that its own process has taken so far.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        match self {
            Self::Nothing => Ok(Duration::ZERO),
            Self::Daemon(daemon) => daemon.process.cpu(),
            Self::Tool(process) => process.cpu(),
        }
    }

    /// Ends it.
    pub(crate) fn stop(self) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Daemon(daemon) => daemon.stop(),
            Self::Tool(mut process) => {
                process.ensure_alive()?;
                // Not every one of them ends with success when it is asked to end, and some do not hear it while they
                // start. One that does not end is killed: how it ends is not what is measured.
                if let Err(error) = process.stop(Signal::INT) {
                    crate::interrupt::check()?;
                    eprintln!("    a tool was killed: {error:#}");
                }
                Ok(())
            }
        }
    }
}

fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}
