//! Objects of Kubernetes to claims. Pure. What is missing in an object is not known; nothing in it can fail.

use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::names::index::{Claim, Index, Object};
use crate::names::workload::of_controller;
use crate::names::{self, Kind};

/// Of which service a slice has endpoints.
const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// What the kubelet puts into the mirror of a static pod: the uid that its cgroup has.
const STATIC_HASH: &str = "kubernetes.io/config.hash";
/// What a `ReplicaSet` of a Deployment is called after.
const TEMPLATE_HASH: &str = "pod-template-hash";

/// What is watched.
pub(super) trait Named {
    /// Which of them it is.
    const KIND: Kind;

    fn metadata(&self) -> &ObjectMeta;

    /// Puts it in under this name.
    fn put(&self, index: &mut Index, object: &Object);
}

/// `None` for one without a name: the API server has none.
pub(super) fn object_of<K: Named>(named: &K) -> Option<Object> {
    let ObjectMeta { namespace, name, .. } = named.metadata();
    let path = format!("{}/{}", namespace.as_deref().unwrap_or_default(), name.as_deref()?);
    Some(Object { kind: K::KIND, path: Arc::from(path) })
}

fn namespace(metadata: &ObjectMeta) -> Arc<str> {
    Arc::from(metadata.namespace.as_deref().unwrap_or_default())
}

fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// What can be parsed; `None` as a cluster IP of a headless service is not an address.
fn addresses<'a>(texts: impl IntoIterator<Item = &'a String>) -> impl Iterator<Item = IpAddr> {
    texts.into_iter().filter_map(|text| text.parse().ok())
}

fn ports(numbers: impl Iterator<Item = i32>) -> Arc<[u16]> {
    numbers.filter_map(|port| u16::try_from(port).ok()).collect()
}

impl Named for Pod {
    const KIND: Kind = Kind::Pods;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn put(&self, index: &mut Index, object: &Object) {
        let metadata = &self.metadata;
        let annotation = metadata.annotations.as_ref().and_then(|all| all.get(STATIC_HASH));
        let Some(uid) = annotation.or(metadata.uid.as_ref()) else { return };
        let controller =
            metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
        let workload = controller
            .and_then(|owner| of_controller(&owner.kind, &owner.name, label(metadata, TEMPLATE_HASH)));
        let name: Arc<str> = Arc::from(metadata.name.as_deref().unwrap_or_default());
        let status = self.status.as_ref();
        let containers = status.into_iter().flat_map(|status| {
            [
                &status.init_container_statuses,
                &status.container_statuses,
                &status.ephemeral_container_statuses,
            ]
            .into_iter()
            .flatten()
            .flatten()
        });
        let pod = names::Pod {
            namespace: namespace(metadata),
            name: Arc::clone(&name),
            uid: Arc::from(uid.as_str()),
            workload: workload.clone(),
            containers: containers.filter_map(container).collect(),
        };
        let claim = Claim {
            namespace: Arc::clone(&pod.namespace),
            service: None,
            pod: Some(name),
            workload,
            ports: Arc::from([]),
            whole: true,
        };
        // One in the network of its node has the node's address, as others do. One that has ended has none any more.
        let own_network = self.spec.as_ref().is_some_and(|spec| spec.host_network != Some(true));
        let phase = status.and_then(|status| status.phase.as_deref());
        let lives = own_network && !matches!(phase, Some("Succeeded" | "Failed"));
        let texts = status.filter(|_| lives).into_iter().flat_map(|status| status.pod_ips.iter().flatten());
        let claims = addresses(texts.map(|ip| &ip.ip)).map(|address| (address, claim.clone())).collect();
        index.put(object, claims, Some(pod));
    }
}

/// `containerd://ID`: the runtime, and the id that the cgroup has.
fn container(status: &ContainerStatus) -> Option<(Arc<str>, Arc<str>)> {
    let (_runtime, id) = status.container_id.as_deref()?.split_once("://")?;
    Some((Arc::from(id), Arc::from(status.name.as_str())))
}

impl Named for Service {
    const KIND: Kind = Kind::Services;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn put(&self, index: &mut Index, object: &Object) {
        let Some(spec) = &self.spec else { return };
        let claim = |whole| Claim {
            namespace: namespace(&self.metadata),
            service: self.metadata.name.as_deref().map(Arc::from),
            pod: None,
            workload: None,
            ports: ports(spec.ports.iter().flatten().map(|port| port.port)),
            whole,
        };
        let balancer = self.status.as_ref().and_then(|status| status.load_balancer.as_ref());
        let ingress = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
        // Several services may share these, by port.
        let shared =
            ingress.filter_map(|ingress| ingress.ip.as_ref()).chain(spec.external_ips.iter().flatten());
        let own = addresses(spec.cluster_ips.iter().flatten()).map(|address| (address, claim(true)));
        let claims = own.chain(addresses(shared).map(|address| (address, claim(false)))).collect();
        index.put(object, claims, None);
    }
}

impl Named for EndpointSlice {
    const KIND: Kind = Kind::EndpointSlices;

    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn put(&self, index: &mut Index, object: &Object) {
        let ports = ports(self.ports.iter().flatten().filter_map(|port| port.port));
        let service = label(&self.metadata, SERVICE_NAME).map(Arc::from);
        let claims = self.endpoints.iter().flat_map(|endpoint| {
            let pod = endpoint.target_ref.as_ref().filter(|target| target.kind.as_deref() == Some("Pod"));
            let claim = Claim {
                namespace: namespace(&self.metadata),
                service: service.clone(),
                pod: pod.and_then(|pod| pod.name.as_deref()).map(Arc::from),
                workload: None,
                ports: Arc::clone(&ports),
                whole: false,
            };
            addresses(&endpoint.addresses).map(move |address| (address, claim.clone()))
        });
        index.put(object, claims.collect(), None);
    }
}

#[cfg(test)]
mod tests;
