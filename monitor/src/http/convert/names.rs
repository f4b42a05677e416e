//! What a cluster calls pods and addresses: to JSON, and to one word for people.

use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use crate::event::Event;
use crate::names::index::Index;
use crate::names::{Fullness, Name, Pod, Workload};
use crate::owners::cgroup::Cgroup;
use crate::publish::Known;
use crate::snapshot::{PeerLabel, Scope};
use crate::view::names::{NameView, NamesView, PodView, WorkloadView};

/// How much is known.
pub fn names_view(fullness: Fullness) -> NamesView {
    let Fullness { pods, addresses, capacity, left_out, stale } = fullness;
    NamesView { pods: pods as u64, addresses: addresses as u64, capacity: capacity as u64, left_out, stale }
}

/// The other end of an event.
pub fn remote_name(index: &Index, event: &Event) -> Option<NameView> {
    let end = event.remote;
    // Without a connection nobody's role is known, but for who was refused.
    let (port, role) = match event.role {
        Some(role) => (event.service_port(), Some(role)),
        None => (end.port(), (event.kind == Kind::RefusedReceived).then_some(Role::Client)),
    };
    index.name(end.ip(), Some(port), role).map(|name| name_view(&name))
}

/// A peer; networks and sums have no name.
pub fn peer_name(index: &Index, label: &PeerLabel) -> Option<NameView> {
    let Scope::Address(address) = label.scope else { return None };
    index.name(address, label.port, Some(label.role)).map(|name| name_view(&name))
}

/// The same of one whose label is not at hand.
pub fn scope_name(scope: Scope, port: Option<u16>, role: Role, known: Known<'_>) -> Option<NameView> {
    known.names?.read(|index| peer_name(index, &PeerLabel { scope, port, role }))
}

/// The pod that a cgroup's path names.
pub fn pod_view(index: &Index, cgroup: &Cgroup) -> Option<PodView> {
    let pod: &Pod = index.pod(cgroup.pod_uid.as_deref()?)?;
    Some(PodView {
        namespace: pod.namespace.as_ref().to_owned(),
        name: pod.name.as_ref().to_owned(),
        container: cgroup.container_id.as_deref().and_then(|id| Some(pod.container(id)?.as_ref().to_owned())),
        workload: pod.workload.as_ref().map(workload_view),
    })
}

/// `NAMESPACE/SERVICE`, else the pod.
pub fn name_text(name: &NameView) -> String {
    let NameView { namespace, service, pod, workload: _ } = name;
    let of = service.as_ref().or(pod.as_ref()).map(String::as_str).unwrap_or_default();
    format!("{namespace}/{of}")
}

/// An address, after its name if it has one: one word, so that fields can be counted.
pub fn named(name: Option<&NameView>, address: &str) -> String {
    name.map_or_else(|| address.to_owned(), |name| format!("{}@{address}", name_text(name)))
}

/// `NAMESPACE/POD`, with the container.
pub fn pod_text(pod: &PodView) -> String {
    let PodView { namespace, name, container, workload: _ } = pod;
    let container = container.as_ref().map(|container| format!(" ({container})")).unwrap_or_default();
    format!("{namespace}/{name}{container}")
}

fn name_view(name: &Name) -> NameView {
    let Name { namespace, service, pod, workload } = name;
    NameView {
        namespace: namespace.as_ref().to_owned(),
        service: service.as_deref().map(str::to_owned),
        pod: pod.as_deref().map(str::to_owned),
        workload: workload.as_ref().map(workload_view),
    }
}

fn workload_view(workload: &Workload) -> WorkloadView {
    WorkloadView { kind: workload.kind.as_ref().to_owned(), name: workload.name.as_ref().to_owned() }
}
