//! What some trials need and not every machine has.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Write as _, stdout};
use std::path::Path;
use std::process::{Command, Stdio};

use libtest_mimic::{Arguments, Trial};
use socket2::{Domain, Protocol, Socket, Type};

use crate::cgroups::{Delegated, SmallCgroup};
use crate::{container, machine};

/// A need beside a kernel, root, the programs `ip`, `ss`, `sh`, `mount` and `unshare`, Python for peers of which Rust has no words
/// (`scripted.rs`), and the lab's servers, proxies and clients (`lab.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Node, which is used where it is: Debian's looks for parts of itself where only an installation puts them.
    Node,
    /// A kit for Java, likewise: it is some hundred megabytes.
    Java,
    /// A tool of Prometheus.
    Promtool,
    /// Prometheus itself.
    Prometheus,
    /// systemd's journal, which is used where it is, likewise.
    Journal,
    /// systemd itself, a cgroup for it, and an overlay for its root directory.
    Systemd,
    /// runc, what it makes containers of, and a cgroup.
    Runc,
    /// A processor of its own, for a storm that takes an emulated one minutes.
    Pace,
    /// A machine of its own, whose modules nobody else loads and whose limits nobody else needs; and `nft`.
    OwnMachine,
    /// A kernel that speaks Multipath TCP.
    Mptcp,
    /// A cgroup of its own with a limit of memory. Not everyone who is root may make one.
    MemoryLimits,
    /// Nothing of the kernel that another one lacks: it shows what the daemon does by itself.
    OneKernel,
}

impl Need {
    /// Whether this machine has it. Outside virtual machines every program is: what is missing there must be seen to be.
    pub(crate) fn is_met(self) -> bool {
        match self {
            Self::Promtool | Self::Prometheus | Self::Pace | Self::OneKernel => !machine::is_virtual(),
            Self::Journal => {
                !machine::is_virtual()
                    && ["journalctl", "setpriv"].into_iter().all(runs)
                    && Path::new("/usr/lib/systemd/systemd-journald").exists()
            }
            Self::Systemd => !machine::is_virtual() && can_boot_systemd(),
            Self::Runc => !machine::is_virtual() && container::can_run(),
            Self::Node => !machine::is_virtual() && runs("node"),
            Self::Java => !machine::is_virtual() && runs("javac"),
            Self::OwnMachine => machine::is_virtual(),
            Self::MemoryLimits => machine::is_virtual() || SmallCgroup::create().is_ok(),
            Self::Mptcp => Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).is_ok(),
        }
    }
}

/// Whether what its namespaces are made of is allowed here, as in few containers.
fn can_boot_systemd() -> bool {
    const LAID_OVER: &str = "mount -t tmpfs none /mnt && mkdir /mnt/u /mnt/w /mnt/r
        mount -t overlay -o lowerdir=/,upperdir=/mnt/u,workdir=/mnt/w none /mnt/r";
    let laid_over = || {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", LAID_OVER]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    Path::new("/usr/lib/systemd/systemd").exists()
        && ["systemctl", "nsenter"].into_iter().all(runs)
        && Delegated::create().is_ok()
        && laid_over()
}

fn runs(program: &str) -> bool {
    let version = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

impl fmt::Display for Need {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Node => "Node",
            Self::Java => "a kit for Java",
            Self::Promtool => "promtool",
            Self::Prometheus => "Prometheus",
            Self::Journal => "systemd's journal",
            Self::Systemd => "systemd, a cgroup and an overlay",
            Self::Runc => "runc, and leave to make containers",
            Self::OwnMachine => "a machine of their own",
            Self::Mptcp => "Multipath TCP",
            Self::MemoryLimits => "a cgroup that limits memory",
            Self::OneKernel => "one kernel only",
            Self::Pace => "the pace of a real processor",
        })
    }
}

/// The trials that can run here, and those that cannot.
#[derive(Default)]
pub(crate) struct Selection {
    pub(crate) trials: Vec<Trial>,
    left_out: Vec<(Need, Trial)>,
}

impl Selection {
    /// A trial, and what it needs.
    pub(crate) fn add(&mut self, need: Option<Need>, trial: Trial) {
        match need.filter(|need| !need.is_met()) {
            Some(need) => self.left_out.push((need, trial)),
            None => self.trials.push(trial),
        }
    }

    /// One line for each reason, of the trials that these arguments ask for.
    pub(crate) fn tell_what_is_left_out(&self, arguments: &Arguments) {
        let mut tally = BTreeMap::<Need, usize>::new();
        let filter = arguments.filter.as_deref().unwrap_or_default();
        for (need, _) in self.left_out.iter().filter(|(_, trial)| trial.name().contains(filter)) {
            *tally.entry(*need).or_default() += 1;
        }
        for (need, count) in tally {
            drop(writeln!(stdout(), "left out: {count} need {need}"));
        }
    }
}
