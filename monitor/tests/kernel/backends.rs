//! Every way to serve a signal: forced by an option, and arriving late with a module of the kernel.

use std::fs;
use std::panic::resume_unwind;
use std::thread;

use anyhow::{Context as _, Result, ensure};
use monitor::view::SignalView;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::process;

use crate::again;
use crate::api::Api;
use crate::daemon::Daemon;
use crate::ledger::Sent;
use crate::needs::Need;
use crate::netns::{Namespace, with_own_files};
use crate::oracle::Snmp;
use crate::signals::{Sight, Signal, row};
use crate::sockets::{Family, Place};
use crate::{AloneWithOwn, WithOwn, lab, machine, modules, scenarios, wait};

pub(crate) const TRIALS: &[WithOwn] = &[
    ("by trampolines only, all is told that they see", || forced("fentry")),
    ("by probes only, all is told that they see", || forced("kprobe")),
    ("by tracepoints only, nothing is told that they do not see", || forced("tracepoint")),
];

pub(crate) const TRIALS_ALONE: &[AloneWithOwn] =
    &[("hooks in modules are attached when the modules come", Some(Need::OwnMachine), with_modules)];

/// What no option takes away.
const ALWAYS: [&str; 3] = ["raw_tracepoint", "counters", "socket"];

fn forced(backend: &str) -> Result<()> {
    let daemon = Daemon::start(&["--backend", backend])?;
    for signal in daemon.api.signals()?.signals {
        for kind in kinds(&signal) {
            let means = match kind {
                "fexit" => "fentry",
                "kretprobe" => "kprobe",
                kind => kind,
            };
            ensure!(means == backend || ALWAYS.contains(&means), "not by {backend}: {signal:?}");
        }
    }
    let view = daemon.api.signals()?;
    if view.signals.iter().any(|row| row.signal == "reset_sent_passive" && row.status != "works") {
        answers_are_not_seen(&daemon.api)?;
        return daemon.stop(process::Signal::TERM);
    }
    for (number, scenario) in scenarios::for_any_backend().into_iter().enumerate() {
        let both = [Family::V4, Family::V6];
        // Where time is dear, they take turns: what they have in common is the backend.
        let families = if machine::is_virtual() { &both[number % 2..=number % 2] } else { &both[..] };
        for &family in families {
            scenario.run(&daemon.api, family).map_err(|error| error.context(scenario.name))?;
        }
    }
    daemon.stop(process::Signal::TERM)
}

/// Before 6.10 the tracepoint is silent for what meets no socket: the kernel sends it, and we know nothing of it.
fn answers_are_not_seen(api: &Api) -> Result<()> {
    let namespace = Namespace::create()?;
    let sent = || -> Result<Sent> { Ok(Sent::of(&api.status()?.namespaces, namespace.inum)) };
    let refused = || -> Result<u64> {
        Ok(api.peers_of(namespace.inum)?.peers.iter().map(|row| row.counts.refused_received).sum())
    };
    // Of a trial beside this one that was here with the same number.
    let (sent_before, refused_before) = (sent()?, refused()?);
    namespace.enter(|| {
        let before = Snmp::read()?;
        ensure!(Place::on_loopback(Family::V4).connect().is_err(), "the port is not closed");
        ensure!(Snmp::read()?.since(before).out_resets == 1, "the kernel sent no reset");
        Ok(())
    })?;
    wait::until_true("the refusal, from the other end", || Ok(refused()? == refused_before + 1))?;
    let sent = sent()?.minus(sent_before);
    ensure!(sent == Sent::default(), "it is not silent: {sent:?}");
    scenarios::SOCKETS_ONLY.run(api, Family::V4)
}

/// Kinds of hooks of a signal.
fn kinds(signal: &SignalView) -> Vec<&str> {
    signal.hook.split('+').filter_map(|part| Some(part.split_once(':')?.0)).collect()
}

fn with_modules() -> Result<()> {
    // Debian's default.
    perf_events_for_others("3")?;
    let unaided = without_tracefs(|| Daemon::start(&[]))?;
    let daemon = Daemon::start(&[])?;
    arrives(&daemon.api, Signal::Reject, &["nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6"])?;
    for &family in scenarios::REJECTS.families {
        scenarios::REJECTS.run(&daemon.api, family)?;
    }
    arrives(&daemon.api, Signal::Conntrack, &["nf_conntrack", "nft_ct"])?;
    scenarios::conntrack_full(&daemon.api)?;
    lab::ROUTER_MODULES.iter().try_for_each(|name| modules::load(name))?;
    with_a_router(&daemon.api)?;
    let ours = format!("reset_monitor/pid{}_", daemon.process().pid());
    let defined =
        || -> Result<bool> { Ok(fs::read_to_string("/sys/kernel/tracing/kprobe_events")?.contains(&ours)) };
    ensure!(defined()?, "no probe of ours was defined");
    daemon.stop(process::Signal::TERM)?;
    wait::until_true("the end of our probes", || Ok(!defined()?))?;
    for signal in [Signal::Reject, Signal::Conntrack] {
        is_refused(&unaided.api, signal)?;
    }
    unaided.stop(process::Signal::TERM)
}

/// The lab's trials with a router, side by side.
fn with_a_router(api: &Api) -> Result<()> {
    thread::scope(|scope| {
        let trials: Vec<_> = lab::trials_with_a_router()
            .into_iter()
            .map(|(name, _, run)| {
                // Each for itself: modules come only once.
                let play = move || again::if_disturbed(name, || with_own_files(|| run(api)));
                (name, scope.spawn(play))
            })
            .collect();
        trials.into_iter().try_for_each(|(name, trial)| {
            let outcome = trial.join().unwrap_or_else(|panic| resume_unwind(panic));
            outcome.with_context(|| format!("lab: {name}"))
        })
    })
}

/// Hides what probes of modules to come are defined in.
fn without_tracefs<T>(body: impl FnOnce() -> Result<T>) -> Result<T> {
    const PLACES: [(&str, &str); 2] = [("debugfs", "/sys/kernel/debug"), ("tracefs", "/sys/kernel/tracing")];
    for (_, place) in PLACES {
        unmount(place, UnmountFlags::DETACH)?;
    }
    let outcome = body();
    for (kind, place) in PLACES {
        mount(kind, place, kind, MountFlags::empty(), None)?;
    }
    outcome
}

/// Debian's kernels have a third step, on which only `CAP_SYS_ADMIN` may open what a late probe needs.
fn perf_events_for_others(step: &str) -> Result<()> {
    Ok(fs::write("/proc/sys/kernel/perf_event_paranoid", step)?)
}

/// A signal awaits its modules, says so, and is served once they are there.
fn arrives(api: &Api, signal: Signal, names: &[&str]) -> Result<()> {
    awaits(api, signal)?;
    names.iter().try_for_each(|name| modules::load(name))?;
    wait::until("the hook to be attached", || Ok(is_served(api, signal).map_err(|error| error.to_string())))
}

/// The kernel did not let it attach when the modules came, and it says what to do.
fn is_refused(api: &Api, signal: Signal) -> Result<()> {
    wait::until("the advice", || {
        let view = api.signals()?;
        let now = row(&view.signals, signal)?;
        let told = now.advice.as_deref().is_some_and(|advice| advice.contains("kernel.perf_event_paranoid"));
        Ok(if told && now.status == "degraded" { Ok(()) } else { Err(format!("{now:?}")) })
    })
}

fn awaits(api: &Api, signal: Signal) -> Result<()> {
    ensure!(Sight::of(api)?.has(signal), "no function hook serves {signal:?} here");
    let view = api.signals()?;
    let now = row(&view.signals, signal)?;
    let awaits = now.why.as_deref().is_some_and(|why| why.contains("not loaded"));
    ensure!(awaits && now.status == "works", "it should await its modules: {now:?}");
    Ok(())
}

fn is_served(api: &Api, signal: Signal) -> Result<()> {
    let view = api.signals()?;
    let now = row(&view.signals, signal)?;
    ensure!(Sight::of(api)?.has(signal) && now.why.is_none() && now.status == "works", "it is {now:?}");
    Ok(())
}
