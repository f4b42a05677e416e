//! Every way to serve a signal: forced by an option, and arriving late with a module of the kernel.

use anyhow::{Result, ensure};
use monitor::view::SignalView;
use rustix::process;

use crate::api::Api;
use crate::daemon::Daemon;
use crate::needs::Need;
use crate::signals::{Sight, Signal, row};
use crate::sockets::Family;
use crate::{AloneWithOwn, WithOwn, modules, scenarios, wait};

pub(crate) const TRIALS: &[WithOwn] = &[
    ("by trampolines only, all is told that they see", || forced("fentry")),
    ("by probes only, all is told that they see", || forced("kprobe")),
    ("by tracepoints only, nothing is told that they do not see", || forced("tracepoint")),
];

pub(crate) const TRIALS_ALONE: &[AloneWithOwn] =
    &[("hooks in modules are attached when the modules come", Some(Need::Modules), with_modules)];

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
    for scenario in scenarios::for_any_backend() {
        for family in [Family::V4, Family::V6] {
            scenario.run(&daemon.api, family).map_err(|error| error.context(scenario.name))?;
        }
    }
    daemon.stop(process::Signal::TERM)
}

/// Kinds of hooks of a signal.
fn kinds(signal: &SignalView) -> Vec<&str> {
    signal.hook.split('+').filter_map(|part| Some(part.split_once(':')?.0)).collect()
}

fn with_modules() -> Result<()> {
    let daemon = Daemon::start(&[])?;
    arrives(&daemon.api, Signal::Reject, &["nft_reject_inet", "nft_reject_ipv4", "nft_reject_ipv6"])?;
    for &family in scenarios::REJECTS.families {
        scenarios::REJECTS.run(&daemon.api, family)?;
    }
    arrives(&daemon.api, Signal::Conntrack, &["nf_conntrack"])?;
    daemon.stop(process::Signal::TERM)
}

/// A signal awaits its modules, says so, and is served once they are there.
fn arrives(api: &Api, signal: Signal, names: &[&str]) -> Result<()> {
    ensure!(Sight::of(api)?.has(signal), "no function hook serves {signal:?} here");
    let view = api.signals()?;
    let before = row(&view.signals, signal)?;
    let awaits = before.why.as_deref().is_some_and(|why| why.contains("not loaded"));
    ensure!(awaits && before.status == "works", "it should await its modules: {before:?}");
    names.iter().try_for_each(|name| modules::load(name))?;
    wait::until("the hook to be attached", || {
        let view = api.signals()?;
        let now = row(&view.signals, signal)?;
        let attached = now.why.is_none() && now.status == "works" && now.hook == before.hook;
        Ok(if attached { Ok(()) } else { Err(format!("{now:?}")) })
    })
}
