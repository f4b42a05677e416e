//! Who owned the sockets of events, against what `/proc` says of the process.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use monitor::view::EventView;
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};
use socket2::Socket;

use crate::AloneWithOwn;
use crate::api::Api;
use crate::daemon::Daemon;
use crate::helper::Holder;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::owner::{cgroup_mount, cgroup_of};
use crate::sockets::{Family, Place, abort, receive, send};
use crate::wait;

/// Alone and each with a daemon of its own: searches are paced by what they cost, so one that has been asked much, or that an emulated
/// processor makes dear, answers late.
pub(crate) const TRIALS: &[AloneWithOwn] = &[
    ("both ends of a reset name their process, its start and its cgroup", Some(Need::Pace), || {
        with_own(both_ends)
    }),
    ("another user's process is named where it is alone in its cgroup", Some(Need::Pace), || {
        with_own(stranger)
    }),
];

fn with_own(run: fn(&Api) -> Result<()>) -> Result<()> {
    let daemon = Daemon::start(&[])?;
    run(&daemon.api)?;
    daemon.stop(Signal::TERM)
}

/// What `/proc` and the clocks may differ by: a tick on either side, and adjustments of the wall clock meanwhile.
const CLOSE: SignedDuration = SignedDuration::from_millis(50);

fn both_ends(api: &Api) -> Result<()> {
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let place = Place::on_loopback(Family::V4);
        let mut holder = Holder::start(&place, 1)?;
        let client = asked(&place, &mut holder)?;
        // The holder keeps its socket open: who has it can be seen for as long as it takes to look.
        abort(client)?;
        let received = resolved(api, namespace.inum, "reset_received", "file")?;
        is_process(&received, holder.pid())?;
        // This thread must not end before: the kernel program has seen its name, and not that of the process.
        let sent = resolved(api, namespace.inum, "reset_sent", "hook")?;
        is_process(&sent, std::process::id())
    })
}

/// What it has open cannot be seen, for the daemon has given up the capability for that.
fn stranger(api: &Api) -> Result<()> {
    let namespace = Namespace::create()?;
    let unit = format!("reset-monitor-{}.scope", std::process::id());
    let directory = cgroup_mount()?.context("no cgroups of version 2")?.join(&unit);
    fs::create_dir(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let told = namespace.enter(|| {
        let place = Place::on_loopback(Family::V4);
        let mut holder = Holder::start_as_stranger(&place, 1, &directory)?;
        abort(asked(&place, &mut holder)?)?;
        let received = resolved(api, namespace.inum, "reset_received", "only_process_of_cgroup")?;
        is_process(&received, holder.pid())?;
        let told = received.cgroup.and_then(|cgroup| cgroup.unit);
        ensure!(told.as_ref() == Some(&unit), "unit {told:?}, and not {unit}");
        Ok(())
    });
    wait::until("the end of the cgroup", || {
        Ok(fs::remove_dir(&directory).map_err(|error| error.to_string()))
    })?;
    told
}

/// A client whose request the holder has answered.
fn asked(place: &Place, holder: &mut Holder) -> Result<Socket> {
    let client = place.connect()?;
    send(&client, b"request")?;
    receive(&client, 8)?;
    holder.wait_until_answered()?;
    Ok(client)
}

/// The only event of this kind in a namespace, once its owner is known in this way.
fn resolved(api: &Api, netns: u32, kind: &str, by: &str) -> Result<EventView> {
    wait::until("the owner of a socket", || {
        let events = api.events(&format!("limit=1000&kind={kind}"))?.events;
        let event = events.into_iter().find(|event| event.netns == netns && event.kind == kind);
        let known = event.as_ref().and_then(|event| event.process.as_ref());
        let known = known.is_some_and(|process| process.by == by && process.started.is_some());
        Ok(event.filter(|_| known).ok_or_else(|| format!("{by} of {kind}")))
    })
}

/// That its process is this one, and its cgroup this one's.
fn is_process(event: &EventView, pid: u32) -> Result<()> {
    let process = event.process.as_ref().context("no process")?;
    let comm = fs::read_to_string(format!("/proc/{pid}/comm"))?;
    ensure!((process.pid, &*process.comm) == (pid, comm.trim_end()), "not process {pid}: {event:?}");
    let started: Timestamp = process.started.as_ref().context("no start")?.parse()?;
    let expected = start_of(pid)?;
    ensure!(
        started.duration_since(expected).abs() <= CLOSE,
        "started at {expected}, and not at {started}: {event:?}"
    );
    let cgroup = cgroup_of(&pid.to_string())?;
    let told = event.cgroup_id.zip(event.cgroup.as_ref().map(|cgroup| cgroup.path.clone()));
    ensure!(told == cgroup, "cgroup {cgroup:?}, told {told:?}");
    Ok(())
}

/// By the ticks since boot that `/proc` tells, 100 a second.
fn start_of(pid: u32) -> Result<Timestamp> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = stat.rsplit_once(')').context("no name")?;
    let ticks: i64 = rest.split_whitespace().nth(19).context("no start")?.parse()?;
    let boot = clock_gettime(ClockId::Boottime);
    let age =
        SignedDuration::new(boot.tv_sec, boot.tv_nsec.try_into()?) - SignedDuration::from_millis(ticks * 10);
    Ok(monitor::clock::now().checked_sub(age)?)
}
