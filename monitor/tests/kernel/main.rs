//! Real sockets and real resets: what the daemon counts against what the trials did and what the kernel counted.
//!
//! Every trial makes network namespaces of its own, so nothing is left behind and nothing disturbs it. Scenarios
//! share one daemon and run side by side; storms have a daemon of their own and run alone. Needs root.
//! Modules in reading order: `scenarios` and `ledger` show what is proved, the rest is how.

mod lab;
mod scenarios;
mod scrapes;

mod alerting;
mod backends;
mod budget;
mod capabilities;
mod checks;
mod fleet;
mod format;
mod lifecycle;
mod listeners;
mod live;
mod overload;
mod owners;
mod page;
mod recording;
mod residents;
mod retire;
mod spoof;
mod streams;
mod upgrade;
mod volume;

mod confusion;
mod expected;
mod ledger;
mod oracle;
mod story;

mod again;
mod api;
mod capture;
mod cgroups;
mod clock;
mod confinement;
mod container;
mod costs;
mod daemon;
mod event_log;
mod exposition;
mod guest;
mod helper;
mod machine;
mod modules;
mod needs;
mod netns;
mod owner;
mod packets;
#[path = "../browser/player.rs"]
mod player;
mod prometheus;
mod scripted;
mod service;
mod signals;
mod sockets;
mod systemd;
mod wait;
mod watch;

use std::io::{Write as _, stderr};
use std::process::ExitCode;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::{Context as _, Result};
use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::Signal;

use crate::api::Api;
use crate::daemon::{Daemon, Scratch};
use crate::needs::{Need, Selection};
use crate::netns::with_own_files;
use crate::scenarios::Scenario;

/// Options of the shared daemon: room for its trials' peers and closed connections whatever else this machine connects to meanwhile.
const ROOMY: [&str; 6] =
    ["--client-peers", "150000", "--server-peers", "150000", "--closed-memory", "262144"];

/// What a trial with the shared daemon, and one without, does.
type WithShared = (&'static str, fn(&Api) -> Result<()>);
type WithOwn = (&'static str, fn() -> Result<()>);
type WithNeed = (&'static str, Need, fn() -> Result<()>);
/// The same for trials that have the machine to themselves, with what they need of it.
type AloneWithShared = (&'static str, Option<Need>, fn(&Api) -> Result<()>);
type AloneWithOwn = (&'static str, Option<Need>, fn() -> Result<()>);

fn main() -> ExitCode {
    if guest::is_init() {
        return guest::run();
    }
    if machine::is_daemon() {
        return monitor::program::main();
    }
    if let Some(outcome) = helper::dispatch() {
        return finish(outcome);
    }
    if machine::is_virtual() {
        again::watch_ticks();
    }
    let mut arguments = Arguments::from_args();
    // Most of a trial's time is waiting, some of it for connections to be quiet: so many overlap on small machines, too. Emulated
    // ones have less time to spare.
    arguments.test_threads.get_or_insert(if machine::is_virtual() { 4 } else { 6 });
    let daemon = match start(&arguments) {
        Ok(daemon) => daemon,
        Err(error) => return finish(Err(error.context("cannot start the shared daemon"))),
    };
    let selection = trials(daemon.as_ref());
    selection.tell_what_is_left_out(&arguments);
    let conclusion = libtest_mimic::run(&arguments, selection.trials);
    if let Some(daemon) = daemon.as_ref().filter(|_| conclusion.has_failed()) {
        say(&format!("the shared daemon's log:\n{}", daemon.process().stderr().join("\n")));
        say(&format!("runs of its programs that the kernel skipped:\n{}", daemon.skipped_runs().join("\n")));
        let missed = daemon.api.status().map(|status| status.missed_runs);
        say(&format!("of which nobody took over: {missed:?}"));
    }
    let right = confusion::conclude();
    // Last, so that whatever any trial made happen is among them.
    let fits = daemon.as_ref().map_or(Ok(()), |daemon| format::events_fit_the_schema(&daemon.api));
    let stopped = daemon.and_then(Arc::into_inner).map_or(Ok(()), |daemon| daemon.stop(Signal::TERM));
    if conclusion.has_failed() { conclusion.exit_code() } else { finish(right.and(fits).and(stopped)) }
}

/// The shared daemon, unless there is nothing to run.
fn start(arguments: &Arguments) -> Result<Option<Arc<Daemon>>> {
    if arguments.list {
        return Ok(None);
    }
    Scratch::sweep()?;
    Ok(Some(Arc::new(Daemon::start(&ROOMY)?)))
}

fn finish(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("kernel trials: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Without a stderr there is nobody to tell.
fn say(what: &str) {
    drop(writeln!(stderr(), "{what}"));
}

fn trials(daemon: Option<&Arc<Daemon>>) -> Selection {
    let mut selection = Selection::default();
    for scenario in scenarios::on_loopback() {
        for &family in scenario.families {
            let name = format!("{} ({})", scenario.name, family.name());
            let trial = beside_others(name, shared(daemon, move |api| scenario.run(api, family)));
            selection.add(scenario.need, trial);
        }
    }
    for (name, run) in [scenarios::JOINED, scenarios::FORGED, scenarios::TWINS].concat() {
        selection.add(None, beside_others(name, shared(daemon, run)));
    }
    // In a virtual machine a trial that has loaded the modules plays them (`backends.rs`).
    let routed = if machine::is_virtual() { Vec::new() } else { lab::trials_with_a_router() };
    for (name, need, run) in lab::trials().into_iter().chain(routed) {
        selection.add(need, beside_others(format!("lab: {name}"), shared(daemon, run)));
    }
    for &(name, run) in residents::TRIALS {
        selection.add(None, beside_others(name, shared(daemon, run)));
    }
    for &(name, run) in recording::TRIALS {
        selection.add(Some(Need::OneKernel), beside_others(name, shared(daemon, run)));
    }
    let anywhere =
        [alerting::TRIALS, lifecycle::TRIALS, checks::TRIALS_OF_ONE_KERNEL, listeners::TRIALS_OF_ONE_KERNEL]
            .concat();
    for (name, run) in anywhere {
        selection.add(Some(Need::OneKernel), beside_others(name, run));
    }
    let everywhere = [
        capabilities::TRIALS,
        checks::TRIALS,
        backends::TRIALS,
        confinement::TRIALS,
        listeners::TRIALS,
        live::TRIALS,
    ];
    for (name, run) in everywhere.concat() {
        selection.add(None, beside_others(name, run));
    }
    for (name, need, run) in [container::TRIALS, event_log::TRIALS, systemd::TRIALS].concat() {
        selection.add(Some(need), beside_others(name, run));
    }
    for &family in scenarios::WITHOUT_ROOM.families {
        let Scenario { name, need, .. } = scenarios::WITHOUT_ROOM;
        let run = move |api: &Api| scenarios::WITHOUT_ROOM.run(api, family);
        selection.add(need, alone(format!("{name} ({})", family.name()), shared(daemon, run)));
    }
    for (name, need, run) in lab::trials_alone() {
        selection.add(need, alone(format!("lab: {name}"), shared(daemon, run)));
    }
    let storms = [volume::TRIALS, format::TRIALS, overload::TRIALS_WITH_SHARED, budget::TRIALS].concat();
    for (name, need, run) in storms {
        selection.add(need, alone(name, shared(daemon, run)));
    }
    let own = [
        overload::TRIALS,
        retire::TRIALS,
        scrapes::TRIALS,
        spoof::TRIALS,
        streams::TRIALS,
        checks::TRIALS_ALONE,
        backends::TRIALS_ALONE,
        capabilities::TRIALS_ALONE,
        owners::TRIALS,
        page::TRIALS,
        upgrade::TRIALS,
        fleet::TRIALS,
    ];
    for (name, need, run) in own.concat() {
        selection.add(need, alone(name, run));
    }
    selection
}

fn shared(
    daemon: Option<&Arc<Daemon>>,
    run: impl Fn(&Api) -> Result<()> + Send + Sync + 'static,
) -> impl Fn() -> Result<()> + Send + Sync + 'static {
    let daemon = daemon.map(Arc::clone);
    move || run(&daemon.as_ref().context("no daemon was started")?.api)
}

/// Readers run side by side; a writer has the machine and the daemon's counters to itself.
static MACHINE: RwLock<()> = RwLock::new(());

fn beside_others(name: impl Into<String>, run: impl Fn() -> Result<()> + Send + Sync + 'static) -> Trial {
    let name = name.into();
    Trial::test(name.clone(), move || {
        let _machine = MACHINE.read().unwrap_or_else(PoisonError::into_inner);
        machine::announce(&name);
        again::if_disturbed(&name, || with_own_files(&run)).map_err(failed)
    })
}

fn alone(name: impl Into<String>, run: impl Fn() -> Result<()> + Send + Sync + 'static) -> Trial {
    let name = name.into();
    Trial::test(name.clone(), move || {
        let _machine = MACHINE.write().unwrap_or_else(PoisonError::into_inner);
        machine::announce(&name);
        again::if_disturbed(&name, || with_own_files(&run)).map_err(failed)
    })
}

#[expect(clippy::needless_pass_by_value, reason = "map_err hands it over by value")]
fn failed(error: anyhow::Error) -> Failed {
    format!("{error:#}").into()
}
