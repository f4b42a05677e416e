//! The container of the `DaemonSet` under a real runtime: what it sees of the host, and what it does without its mounts.

mod bundle;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use monitor::view::EventView;
use serde_json::Value;
use socket2::Socket;

use self::bundle::Pod;
use crate::api::Api;
use crate::capabilities::hold_no_more;
use crate::cgroups::Delegated;
use crate::daemon::{Scratch, Watched};
use crate::event_log::{finals, make_resets_here};
use crate::exposition::Counters;
use crate::helper::{self, Holder};
use crate::needs::Need;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, abort, receive, send};
use crate::{WithNeed, machine, wait};

pub(crate) const TRIALS: &[WithNeed] = &[
    ("the DaemonSet's container watches its host, and ends in time", Need::Runc, as_shipped),
    ("the DaemonSet's container does without the cgroups of its host", Need::Runc, without_cgroups),
    ("the DaemonSet's container locks elsewhere without its /run", Need::Runc, without_run),
];

const RESETS: usize = 5;
/// Before the number of the process that made it.
const PREFIX: &str = "reset-monitor-trial-";
/// A pod's container as the runtime's cgroup driver for systemd names both.
const POD: &str = "0f7ed0cb-5f3c-4e52-8a3f-5a4b6f1e2d3c";
const ID: &str = "5c0d7e3a9b1f4c6d8e2a0b9c7d5e3f1a2b4c6d8e0f1a3b5c7d9e1f2a4b6c8d0e";

/// runc, where it keeps what it knows of the trials' containers.
fn runc() -> Command {
    let mut command = Command::new("runc");
    command.arg("--root").arg(state());
    command
}

fn state() -> PathBuf {
    machine::scratch().join("runc")
}

/// Whether a container can be made here that has nothing of the pod's but a limit of memory.
pub(crate) fn can_run() -> bool {
    fn create() -> Result<bool> {
        let bundle = Scratch::create()?;
        bundle::write_plain(Path::new(&bundle.file("")?), &name("plain"))?;
        let mut create = runc();
        create.args(["create", "--bundle", &bundle.file("")?, &name("plain")]);
        create.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let created = create.status().is_ok_and(|status| status.success());
        delete(&name("plain"));
        Ok(created)
    }
    static CAN: LazyLock<bool> =
        LazyLock::new(|| Delegated::create().is_ok() && create().unwrap_or_default());
    *CAN
}

fn name(what: &str) -> String {
    format!("{PREFIX}{}-{what}", std::process::id())
}

/// However far it has come. Of one that is not there nothing needs to be known.
fn delete(name: &str) {
    drop(runc().args(["delete", "--force", name]).stdout(Stdio::null()).stderr(Stdio::null()).status());
}

/// Ends what runs left behind that were killed.
fn sweep() {
    for entry in fs::read_dir(state()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let process = name.strip_prefix(PREFIX).and_then(|name| name.split('-').next());
        if process.is_some_and(|process| !Path::new("/proc").join(process).exists()) {
            delete(&name);
        }
    }
}

/// A running container, which goes with this.
#[derive(Debug)]
struct Container {
    name: String,
    runc: Watched,
    /// Where the daemon answers.
    api: Api,
    _bundle: Scratch,
}

impl Drop for Container {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

impl Container {
    /// Starts it, and waits until it is started by the probe of the manifest.
    fn start(pod: &Pod, what: &str) -> Result<Self> {
        sweep();
        let node = node_address();
        let variables = pod.variables(&node)?;
        let address: SocketAddr =
            variables.get("RESET_MONITOR_LISTEN").context("it listens nowhere")?.parse()?;
        let (name, bundle) = (name(what), Scratch::create()?);
        pod.write_to(Path::new(&bundle.file("")?), &name, &node)?;
        let mut run = helper::dying_with_parent("runc")?;
        run.arg("--root").arg(state()).args(["run", "--bundle", &bundle.file("")?, &name]);
        let mut container =
            Self { name, runc: Watched::spawn(&mut run)?, api: Api::at(address)?, _bundle: bundle };
        let probe = pod.probe("startupProbe")?;
        wait::until("the container to be started", || {
            if let Some(status) = container.runc.ended()? {
                bail!("it ended ({status}):\n{}", container.runc.stderr().join("\n"));
            }
            Ok(container.api.get(probe, "*/*").map(drop).map_err(|error| format!("{error:#}")))
        })?;
        Ok(container)
    }

    /// Of its first process, which is the daemon.
    fn pid(&self) -> Result<u32> {
        let output = runc().args(["state", &self.name]).output()?;
        let state: Value = serde_json::from_slice(&output.stdout).context("runc knows nothing of it")?;
        Ok(state["pid"].as_u64().context("no process")?.try_into()?)
    }

    /// Ends it as a kubelet does, which kills it after the grace period.
    fn stop(mut self, pod: &Pod) -> Result<()> {
        let told = runc().args(["kill", &self.name, "TERM"]).status()?;
        ensure!(told.success(), "runc cannot send a signal");
        let status = wait::at_most(Duration::from_secs(pod.grace()?), "the end of the container", || {
            Ok(self.runc.ended()?.ok_or_else(|| "it is still running".to_owned()))
        })?;
        ensure!(status.code() == Some(0), "it ended with {status}:\n{}", self.runc.stderr().join("\n"));
        Ok(())
    }
}

/// One of loopback's that nobody else has, since the port is the manifest's.
fn node_address() -> String {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    format!("127.{}.{high}.{low}", 128 | NEXT.fetch_add(1, Ordering::Relaxed))
}

fn as_shipped() -> Result<()> {
    let pod = Pod::shipped()?;
    let container = Container::start(&pod, "shipped")?;
    for probe in ["readinessProbe", "livenessProbe"] {
        container.api.get(pod.probe(probe)?, "*/*")?;
    }
    let api = &container.api;
    let port = make_resets_here(RESETS)?;
    finals(api, port, RESETS)?;
    let own = Namespace::current()?.inum;
    let row = wait::until("an even account of the host", || {
        let row = api.status()?.namespaces.into_iter().find(|row| row.netns == own).context("no row")?;
        Ok(if row.unattributed == Some(0) { Ok(row) } else { Err(format!("{row:?}")) })
    })?;
    ensure!(row.resets_sent >= RESETS as u64 && row.kernel_out_resets >= Some(RESETS as u64), "{row:?}");
    let metrics = api.metrics()?;
    let sent = Counters::parse(&metrics)?.sum("reset_monitor_resets_sent_total");
    ensure!(sent >= f64::from(u32::try_from(RESETS)?), "{sent} resets in the metrics");

    let reset = reset_of_a_pod(api, true)?;
    let cgroup = reset.event.cgroup.as_ref().context("no cgroup")?;
    ensure!(cgroup.path == reset.cgroup, "it is in {}: {cgroup:?}", reset.cgroup);
    ensure!(cgroup.container_id.as_deref() == Some(ID), "{cgroup:?}");
    ensure!(cgroup.pod_uid.as_deref() == Some(POD), "{cgroup:?}");
    let process = reset.event.process.as_ref().context("no process")?;
    ensure!((process.pid, &*process.by) == (reset.pid, "only_process_of_cgroup"), "{process:?}");

    hold_no_more(container.pid()?, pod.user()?, &["CAP_SYS_PTRACE"], &api.signals()?.signals)?;
    container.stop(&pod)
}

/// Everything else is told.
fn without_cgroups() -> Result<()> {
    let pod = Pod::shipped()?.without("cgroups")?;
    let container = Container::start(&pod, "cgroups")?;
    let port = make_resets_here(RESETS)?;
    finals(&container.api, port, RESETS)?;
    let reset = reset_of_a_pod(&container.api, false)?;
    ensure!(reset.event.cgroup.is_none() && reset.event.cgroup_id.is_some(), "{:?}", reset.event);
    container.stop(&pod)
}

fn without_run() -> Result<()> {
    let pod = Pod::shipped()?.without("run")?;
    let refusal = Container::start(&pod, "nowhere").map(drop);
    let said = refusal.err().context("it has no place for its lock, and runs")?.to_string();
    ensure!(said.contains("--lock-file"), "it should name the remedy: {said}");
    let pod = pod.with("RESET_MONITOR_LOCK_FILE", "/dev/shm/reset-monitor.lock")?;
    let container = Container::start(&pod, "elsewhere")?;
    let port = make_resets_here(1)?;
    finals(&container.api, port, 1)?;
    container.stop(&pod)
}

/// A reset that a process in a pod's cgroup received.
#[derive(Debug)]
struct OfPod {
    event: EventView,
    /// Its path, as the host sees it.
    cgroup: String,
    pid: u32,
}

/// With `known`, waits until it is known whose it was.
fn reset_of_a_pod(api: &Api, known: bool) -> Result<OfPod> {
    let delegated = Delegated::create()?;
    let pod = format!("kubepods-pod{}.slice", POD.replace('-', "_"));
    let directory = delegated.directory().join(&pod).join(format!("cri-containerd-{ID}.scope"));
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let place = Place::on_loopback(Family::V4);
    let mut holder = Holder::start_as_stranger(&place, 1, &directory)?;
    let client: Socket = place.connect()?;
    send(&client, b"request")?;
    receive(&client, 8)?;
    holder.wait_until_answered()?;
    let groups = fs::read_to_string(format!("/proc/{}/cgroup", holder.pid()))?;
    let cgroup = groups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup")?.to_owned();
    abort(client)?;
    let event = wait::until("the event with its owner", || {
        let events = api.events(&format!("limit=10&kind=reset_received&port={}", place.port))?.events;
        let event = events.into_iter().find(|event| event.is_final && (event.process.is_some() || !known));
        Ok(event.ok_or_else(|| "it is not there".to_owned()))
    })?;
    Ok(OfPod { event, cgroup, pid: holder.pid() })
}
