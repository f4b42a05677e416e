//! Who owns the socket of an event: to JSON, and to one word for people.

use std::sync::Arc;

use super::event_view;
use super::names::{pod_text, pod_view, remote_name};
use crate::event::{Event, Told};
use crate::names::Names;
use crate::owners::cgroup::Cgroup;
use crate::owners::{Answer, By, Fullness};
use crate::publish::Known;
use crate::view::EventView;
use crate::view::owners::{CgroupView, OwnersView, ProcessView};

/// Digits of a container's id that people use.
const SHORT_ID: usize = 12;

/// One event, with what was found out about its socket so far, and what a cluster calls its ends. Where nothing is looked up, as in a
/// replay, [`event_view`] is all.
pub fn resolved_view(told: &Told, known: Known<'_>) -> EventView {
    let mut view = event_view(told);
    let Known { owners, names, residents } = known;
    view.remote_name = names.and_then(|names| names.read(|index| remote_name(index, &told.event)));
    let Some(owners) = owners else { return view };
    let Answer { process, cgroup, searching: _ } = owners.of(told.id).unwrap_or_default();
    // What is known of its namespace is less, and enough for its pod: of a segment that nobody has a socket for there is no more.
    let cgroup = cgroup.or_else(|| residents?.of(told.event.netns));
    let process = process.map(|(process, by)| ProcessView {
        pid: process.pid,
        comm: process.comm.clone(),
        started: Some(format!("{:.2}", process.started)),
        by: by.name().to_owned(),
    });
    EventView {
        process: process.or_else(|| seen_by_hook(&told.event)),
        cgroup: cgroup.map(|cgroup| cgroup_view(&cgroup, names)),
        ..view
    }
}

/// Whose sockets these events were about, each once, in the words of `events`.
pub fn whose(events: &[Arc<Told>], ids: &[u64], known: Known<'_>) -> Vec<String> {
    let told = |id: &u64| {
        let place = events.partition_point(|told| told.id < *id);
        events.get(place).filter(|told| told.id == *id)
    };
    let mut whose: Vec<String> = Vec::new();
    for told in ids.iter().filter_map(told) {
        let text = resolved_text(&resolved_view(told, known));
        if !text.is_empty() && !whose.contains(&text) {
            whose.push(text);
        }
    }
    whose
}

/// How full the lists are.
pub fn owners_view(fullness: Fullness) -> OwnersView {
    let Fullness { answers, capacity, not_asked } = fullness;
    OwnersView { answers: answers as u64, capacity: capacity as u64, not_asked }
}

/// The pod that has the socket, and the process; without a pod's name and a process the unit or the container.
pub(super) fn resolved_text(event: &EventView) -> String {
    let cgroup = event.cgroup.as_ref();
    let pod = cgroup.and_then(|cgroup| cgroup.pod.as_ref()).map(pod_text);
    let process =
        event.process.as_ref().map(|ProcessView { pid, comm, started: _, by: _ }| format!("{comm}[{pid}]"));
    if pod.is_some() || process.is_some() {
        return [pod, process].into_iter().flatten().collect::<Vec<_>>().join(" ");
    }
    cgroup.and_then(without_names).unwrap_or_default()
}

/// The pod, container or unit that a namespace belongs to.
pub fn resident_text(cgroup: &CgroupView) -> Option<String> {
    let named = cgroup.pod.as_ref().map(|pod| format!("{}/{}", pod.namespace, pod.name));
    named.or_else(|| without_names(cgroup))
}

/// Container, else unit, else the uid of the pod.
fn without_names(cgroup: &CgroupView) -> Option<String> {
    let CgroupView { path: _, container_id, pod_uid, pod: _, unit } = cgroup;
    let container = container_id.as_ref().map(|id| format!("container {}", id.get(..SHORT_ID).unwrap_or(id)));
    container.or_else(|| unit.clone()).or_else(|| pod_uid.as_ref().map(|uid| format!("pod {uid}")))
}

/// Known at once, but for when it started.
fn seen_by_hook(event: &Event) -> Option<ProcessView> {
    let owner = event.owner.as_ref()?;
    let by = By::Hook.name().to_owned();
    Some(ProcessView { pid: owner.pid, comm: owner.comm.clone(), started: None, by })
}

/// Whose network namespace it is.
pub fn namespace_cgroup(netns: u32, known: Known<'_>) -> Option<CgroupView> {
    let Known { owners: _, names, residents } = known;
    residents?.of(netns).map(|cgroup| cgroup_view(&cgroup, names))
}

fn cgroup_view(cgroup: &Cgroup, names: Option<&Names>) -> CgroupView {
    let pod = names.and_then(|names| names.read(|index| pod_view(index, cgroup)));
    let Cgroup { path, container_id, pod_uid, unit } = cgroup.clone();
    CgroupView { path, container_id, pod_uid, pod, unit }
}
