//! Users who are not root, with some capabilities and no others: what they see, what they are told that they do not see, and what
//! they still hold once everything is attached.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use caps::{Capability, CapsHashSet};
use monitor::view::check::CheckView;
use monitor::view::{NamespaceView, SignalView};
use rustix::process::Signal;

use crate::api::Api;
use crate::checks::{self, explains, says_in_full};
use crate::daemon::{Daemon, Scratch};
use crate::event_log::{finals, make_resets_here};
use crate::exposition::Counters;
use crate::helper::Holder;
use crate::lifecycle;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::oracle::Snmp;
use crate::scenarios::SOCKETS_ONLY;
use crate::service::{Given, USER, granted};
use crate::sockets::{Family, Place};
use crate::{AloneWithOwn, WithOwn, machine, wait};

pub(crate) const TRIALS: &[WithOwn] = &[
    (
        "as a service with CAP_BPF and CAP_PERFMON the daemon counts real resets, and says what it lacks",
        two_capabilities,
    ),
    ("as a service without one capability of the shipped unit the daemon says which", one_less),
    ("as a service without more locked memory the daemon says so where the kernel counts it", locked_memory),
];

pub(crate) const TRIALS_ALONE: &[AloneWithOwn] = &[(
    "as a service where probes are for administrators the daemon says what that costs",
    Some(Need::OwnMachine),
    for_administrators,
)];

/// What nothing runs without.
const NEEDED: [&str; 2] = ["CAP_BPF", "CAP_PERFMON"];
/// What can be done without.
const DISPENSABLE: &str = "CAP_SYS_PTRACE";
/// Named where it keeps probes for administrators.
const SETTING: &str = "kernel.perf_event_paranoid is 3";
const RESETS: usize = 5;
/// Of all of them.
const CAUSE: &str = "linger_abort";

fn two_capabilities() -> Result<()> {
    let given = Given::only(&NEEDED);
    let said = says_in_full(check(&given, &["-o", "json"])?)?;
    explains(&said.served)?;
    lacks_by_name(&said)?;
    sees_what_root_sees(&said)?;
    let namespace = Namespace::create()?;
    // There, the kernel's counters are open to everyone, so the daemon's account is even.
    namespace.enter(|| {
        let daemon = Daemon::start_as_service(&given, &[])?;
        let signals = daemon.api.signals()?.signals;
        ensure!(attached(&signals) == attached(&said.served.signals), "{signals:?}\n{said:?}");
        counts_resets(&daemon.api, namespace.inum)?;
        SOCKETS_ONLY.run(&daemon.api, Family::V4)?;
        hold_no_more(daemon.process().pid(), USER, &[], &signals)?;
        logs_what_it_lacks(&daemon, true)?;
        daemon.stop(Signal::TERM)
    })
}

/// `check` as this service.
fn check(given: &Given<'_>, arguments: &[&str]) -> Result<Command> {
    let mut command = given.daemon("/")?;
    command.arg("check").args(arguments);
    Ok(command)
}

fn lacks_by_name(said: &CheckView) -> Result<()> {
    let [missing] = said.missing_capabilities.as_slice() else {
        anyhow::bail!("one is missing: {:?}", said.missing_capabilities)
    };
    ensure!(missing.capability == DISPENSABLE && missing.advice.contains(DISPENSABLE), "{missing:?}");
    ensure!(missing.lost.contains("other network namespaces"), "{missing:?}");
    ensure!(!missing.lost.contains('\n'), "more than a line: {missing:?}");
    Ok(())
}

/// How each signal is served.
fn attached(signals: &[SignalView]) -> BTreeSet<(&str, &str, &str)> {
    signals.iter().map(|row| (&*row.signal, &*row.hook, &*row.status)).collect()
}

/// Nothing that can be attached takes more than the two, but for probes where the kernel keeps them for administrators, which is said then.
fn sees_what_root_sees(said: &CheckView) -> Result<()> {
    let mut root = Command::new(machine::daemon());
    root.args(["check", "-o", "json"]);
    let root = says_in_full(root)?;
    ensure!(root.missing_capabilities.is_empty(), "root lacks nothing: {root:?}");
    let there = attached(&root.served.signals);
    ensure!(said.served.signals.len() == there.len(), "{said:?}\n{root:?}");
    for row in &said.served.signals {
        let is_same = attached(std::slice::from_ref(row)).is_subset(&there);
        let by_setting = row.why.as_deref().is_some_and(|why| why.contains(SETTING));
        ensure!(
            is_same || (by_setting && !row.hook.contains("raw_tracepoint")),
            "{row:?}, for root {root:?}"
        );
    }
    Ok(())
}

/// Real resets in this namespace: told once at each end with their causes, and counted as the kernel counts them.
fn counts_resets(api: &Api, netns: u32) -> Result<()> {
    let before = Snmp::read()?;
    let port = make_resets_here(RESETS)?;
    let told = finals(api, port, RESETS)?;
    let kernel = Snmp::read()?.since(before).out_resets;
    ensure!(kernel == RESETS as u64, "the kernel sent {kernel} resets");
    let mut causes: BTreeMap<(&str, Option<&str>), usize> = BTreeMap::new();
    for event in told.values() {
        *causes.entry((&event.kind, event.cause.as_deref())).or_default() += 1;
    }
    // Who receives one takes the cause of who sent it, when both are on this host.
    let expected = ["reset_received", "reset_sent"].map(|kind| ((kind, Some(CAUSE)), RESETS));
    ensure!(causes == BTreeMap::from(expected), "{causes:?}");
    let row = namespace_row(api, netns)?;
    ensure!(
        (row.resets_sent, row.kernel_out_resets, row.unattributed) == (kernel, Some(kernel), Some(0)),
        "{row:?}"
    );
    let metrics = Counters::parse(&api.metrics()?)?;
    for name in ["sent", "received"] {
        let name = format!("reset_monitor_resets_{name}_total{{");
        let labels = [format!("port=\"{port}\""), format!("cause=\"{CAUSE}\"")];
        let ours = metrics.0.iter().filter(|(key, _)| {
            key.starts_with(&name) && labels.iter().all(|label| key.contains(label.as_str()))
        });
        let sum: f64 = ours.map(|(_, value)| value).sum();
        ensure!((sum - f64::from(u32::try_from(RESETS)?)).abs() < 0.5, "{name} {labels:?}: {sum}");
    }
    Ok(())
}

/// The daemon's row of a namespace, once its resets are in it.
fn namespace_row(api: &Api, netns: u32) -> Result<NamespaceView> {
    wait::until("the namespace's row", || {
        let row = api.status()?.namespaces.into_iter().find(|row| row.netns == netns);
        Ok(row.filter(|row| row.resets_sent > 0).ok_or_else(|| "it has none".to_owned()))
    })
}

/// Every thread of this user's: of all capabilities at most those that are kept, and those for modules that are still to come, no way
/// to get others, and a filter of system calls.
pub(crate) fn hold_no_more(pid: u32, user: u32, kept: &[&str], signals: &[SignalView]) -> Result<()> {
    let awaits =
        signals.iter().any(|row| row.why.as_deref().is_some_and(|why| why.contains("not loaded, so")));
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = fs::read_to_string(thread?.path().join("status"))?;
        let allowed = match (field(&status, "Name")?, awaits) {
            // It walks over sockets.
            ("walker", _) => 0,
            (_, true) => bits(&NEEDED)? | bits(kept)?,
            (_, false) => bits(kept)?,
        };
        for (set, allowed) in [("CapPrm", allowed), ("CapEff", allowed), ("CapInh", 0), ("CapAmb", 0)] {
            let held = u64::from_str_radix(field(&status, set)?, 16)?;
            ensure!(held & !allowed == 0, "{set} is {held:x}, and {allowed:x} is needed:\n{status}");
        }
        ensure!(field(&status, "NoNewPrivs")? == "1", "{status}");
        ensure!(field(&status, "Seccomp")? == "2", "{status}");
        ensure!(field(&status, "Uid")? == user.to_string(), "{status}");
        threads += 1;
    }
    ensure!(threads > 1, "{threads} threads: the walker has one of its own");
    Ok(())
}

fn bits(names: &[&str]) -> Result<u64> {
    let capabilities: CapsHashSet =
        names.iter().map(|name| name.parse::<Capability>().context("no such")).collect::<Result<_>>()?;
    Ok(capabilities.iter().fold(0, |sum, capability| sum | capability.bitmask()))
}

/// The first word of a line of `/proc/PID/status`.
pub(crate) fn field<'a>(status: &'a str, name: &str) -> Result<&'a str> {
    let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|line| line.split_whitespace().next()).with_context(|| format!("no {name} in {status}"))
}

fn logs_what_it_lacks(daemon: &Daemon, lacks: bool) -> Result<()> {
    let log = daemon.process().stderr();
    let said = log.iter().filter(|line| line.contains(" WARN ") && line.contains(DISPENSABLE)).count();
    ensure!(said == usize::from(lacks), "{said} lines about {DISPENSABLE}:\n{}", log.join("\n"));
    Ok(())
}

fn one_less() -> Result<()> {
    let granted = granted()?;
    let expected: BTreeSet<&str> = NEEDED.into_iter().chain([DISPENSABLE]).collect();
    ensure!(granted.iter().copied().collect::<BTreeSet<_>>() == expected, "the unit gives {granted:?}");
    for missing in &granted {
        let rest: Vec<&str> = granted.iter().filter(|name| *name != missing).copied().collect();
        let given = Given::only(&rest);
        if *missing == DISPENSABLE {
            let table = checks::run(check(&given, &[])?)?;
            ensure!(table.0 == Some(0) && table.1.contains(DISPENSABLE), "{table:?}");
            // What it says is lost really is.
            ensure!(sees_other_namespaces(&given)?.is_none(), "without {missing}, they cannot be seen");
            continue;
        }
        let words = [*missing, "missing"];
        checks::refuses(check(&given, &[])?, &words)?;
        let scratch = Scratch::create()?;
        let mut run = given.daemon(&scratch.file("")?)?;
        lifecycle::refuses(run.args(["run", "--listen", "127.0.0.1:0", "--lock-file", "lock"]), 3, &words)?;
        ensure!(!Path::new(&scratch.file("lock")?).exists(), "it left its lock");
    }
    checks::refuses(check(&Given::only(&[]), &[])?, &NEEDED)?;
    let whole = Given::only(&granted);
    ensure!(says_in_full(check(&whole, &["-o", "json"])?)?.missing_capabilities.is_empty());
    ensure!(sees_other_namespaces(&whole)?.is_some(), "with {granted:?}, they can be seen");
    Ok(())
}

/// What such a daemon knows of the kernel's count of resets in a namespace with a process of root's, in which there is one.
fn sees_other_namespaces(given: &Given<'_>) -> Result<Option<u64>> {
    let (home, other) = (Namespace::current()?, Namespace::create()?);
    other.enter(|| {
        // Before the daemon, which looks around when it starts. Both end with the threads that started them.
        let _holder = Holder::start(&Place::on_loopback(Family::V4), 1)?;
        home.enter(|| {
            let daemon = Daemon::start_as_service(given, &[])?;
            other.enter(|| make_resets_here(1))?;
            let row = namespace_row(&daemon.api, other.inum)?;
            ensure!(row.unattributed == row.kernel_out_resets.map(|_| 0), "{row:?}");
            logs_what_it_lacks(&daemon, !given.capabilities.contains(&DISPENSABLE))?;
            daemon.stop(Signal::TERM)?;
            Ok(row.kernel_out_resets)
        })
    })
}

fn locked_memory() -> Result<()> {
    let given = Given { memory: false, ..Given::only(&NEEDED) };
    let command = check(&given, &["-o", "json"])?;
    if machine::counts_locked_memory() {
        return checks::refuses(command, &["RLIMIT_MEMLOCK", "LimitMEMLOCK"]);
    }
    says_in_full(command).map(drop)
}

/// Debian's default. Whether the modules were loaded by another trial or are still to come, each signal with a probe in one says why it is
/// not, or will not be, served by that.
fn for_administrators() -> Result<()> {
    const FILE: &str = "/proc/sys/kernel/perf_event_paranoid";
    let before = fs::read_to_string(FILE)?;
    fs::write(FILE, "3")?;
    let said = check(&Given::only(&NEEDED), &["-o", "json"]).and_then(says_in_full);
    fs::write(FILE, before)?;
    let said = said?.served;
    explains(&said)?;
    let mut named = 0;
    for row in &said.signals {
        let (why, advice) =
            (row.why.as_deref().unwrap_or_default(), row.advice.as_deref().unwrap_or_default());
        let (awaits, refused) = (why.contains("not loaded, so"), why.contains("kprobe: refused"));
        let told = |text: &str| text.contains(SETTING);
        ensure!(!awaits || told(advice), "it should say what is to come: {row:?}");
        ensure!(!refused || told(why), "it should say why: {row:?}");
        named += usize::from(awaits || refused);
    }
    ensure!(named > 0, "every kernel here has a probe in a module: {said:?}");
    Ok(())
}
