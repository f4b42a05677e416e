//! Who owns the socket of an event: to JSON, and to one word for people.

use std::sync::Arc;

use super::event_view;
use crate::event::{Event, Told};
use crate::owners::cgroup::Cgroup;
use crate::owners::{Answer, By, Fullness, Owners};
use crate::view::EventView;
use crate::view::owners::{CgroupView, OwnersView, ProcessView};

/// Digits of a container's id that people use.
const SHORT_ID: usize = 12;

/// One event, with what was found out about its socket so far. Where nothing is looked up, as in a replay, [`event_view`] is all.
pub fn resolved_view(told: &Told, owners: Option<&Owners>) -> EventView {
    let view = event_view(told);
    let Some(owners) = owners else { return view };
    let Answer { process, cgroup, searching: _ } = owners.of(told.id).unwrap_or_default();
    let process = process.map(|(process, by)| ProcessView {
        pid: process.pid,
        comm: process.comm.clone(),
        started: Some(format!("{:.2}", process.started)),
        by: by.name().to_owned(),
    });
    EventView {
        process: process.or_else(|| seen_by_hook(&told.event)),
        cgroup: cgroup.map(|cgroup| cgroup_view(&cgroup)),
        ..view
    }
}

/// Whose sockets these events were about, each once, in the words of `events`.
pub fn whose(events: &[Arc<Told>], ids: &[u64], owners: Option<&Owners>) -> Vec<String> {
    let told = |id: &u64| {
        let place = events.partition_point(|told| told.id < *id);
        events.get(place).filter(|told| told.id == *id)
    };
    let mut whose: Vec<String> = Vec::new();
    for told in ids.iter().filter_map(told) {
        let text = resolved_text(&resolved_view(told, owners));
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

/// The process that has the socket; else the unit or the container.
pub(super) fn resolved_text(event: &EventView) -> String {
    if let Some(ProcessView { pid, comm, started: _, by: _ }) = &event.process {
        return format!("{comm}[{pid}]");
    }
    let Some(CgroupView { path: _, container_id, pod_uid: _, unit }) = &event.cgroup else {
        return String::new();
    };
    match (unit, container_id) {
        (_, Some(id)) => format!("container {}", id.get(..SHORT_ID).unwrap_or(id)),
        (Some(unit), None) => unit.clone(),
        (None, None) => String::new(),
    }
}

/// Known at once, but for when it started.
fn seen_by_hook(event: &Event) -> Option<ProcessView> {
    let owner = event.owner.as_ref()?;
    let by = By::Hook.name().to_owned();
    Some(ProcessView { pid: owner.pid, comm: owner.comm.clone(), started: None, by })
}

fn cgroup_view(cgroup: &Cgroup) -> CgroupView {
    let Cgroup { path, container_id, pod_uid, unit } = cgroup.clone();
    CgroupView { path, container_id, pod_uid, unit }
}
