//! Whose network namespaces are: a pod's by the cgroup of a process in it, as long as there is one.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use monitor::view::owners::CgroupView;

use crate::WithShared;
use crate::api::Api;
use crate::cgroups::Delegated;
use crate::helper::Holder;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, abort, receive, send};
use crate::wait;

pub(crate) const TRIALS: &[WithShared] =
    &[("a network namespace is its pod's as long as a process of the pod is in it", of_a_pod)];

/// A pod's container as the runtime's cgroup driver for systemd names both.
const POD: &str = "7d1f4a52-93c0-4c5e-8a51-6f0d2b9e1c37";
const ID: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn of_a_pod(api: &Api) -> Result<()> {
    let delegated = Delegated::create()?;
    let pod = delegated.directory().join(format!("kubepods-pod{}.slice", POD.replace('-', "_")));
    let container = pod.join(format!("cri-containerd-{ID}.scope"));
    fs::create_dir_all(&container).with_context(|| format!("cannot make {}", container.display()))?;
    let namespace = Namespace::create()?;
    namespace.enter(|| {
        let place = Place::on_loopback(Family::V4);
        let mut holder = Holder::start_as_stranger(&place, 1, &container)?;
        let client = place.connect()?;
        send(&client, b"request")?;
        receive(&client, 8)?;
        holder.wait_until_answered()?;
        abort(client)?;
        let told = told(api, namespace.inum, true)?.context("nothing")?;
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", holder.pid()))?;
        let container = groups.lines().find_map(|line| line.strip_prefix("0::")).context("no cgroup")?;
        let (pod, _) = container.rsplit_once('/').context("no pod")?;
        // Its containers share the namespace, so no one of them is told.
        ensure!((&*told.path, told.pod_uid.as_deref()) == (pod, Some(POD)), "{told:?} for {container}");
        ensure!(told.container_id.is_none() && told.unit.is_none(), "{told:?}");
        let status = api.status()?.namespaces;
        let row = status.into_iter().find(|row| row.netns == namespace.inum).context("no account of it")?;
        ensure!(row.cgroup.as_ref() == Some(&told), "{row:?}");
        drop(holder);
        ensure!(self::told(api, namespace.inum, false)?.is_none());
        Ok(())
    })
}

/// What the daemon says of a namespace, once it says something or, without `known`, nothing any more.
fn told(api: &Api, netns: u32, known: bool) -> Result<Option<CgroupView>> {
    wait::until("whose namespace it is", || {
        let rows = api.peers_of(netns)?.namespaces;
        Ok(match rows.into_iter().find(|row| row.netns == netns) {
            Some(row) if row.cgroup.is_some() == known => Ok(row.cgroup),
            other => Err(format!("{other:?}")),
        })
    })
}
