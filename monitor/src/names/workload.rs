//! From a pod's owner to what somebody wrote. Pure.

use std::sync::Arc;

use super::Workload;

/// What a pod with this controller is a part of. The controller of a Deployment's pods is a `ReplicaSet` that nobody wrote, called as the
/// Deployment with the hash that its pods have as the label `pod-template-hash`. A mirror of a static pod has the node as its owner, and is
/// a part of nothing.
pub fn of_controller(kind: &str, name: &str, template_hash: Option<&str>) -> Option<Workload> {
    let deployment = template_hash
        .filter(|_| kind == "ReplicaSet")
        .and_then(|hash| name.strip_suffix(hash)?.strip_suffix('-'))
        .filter(|name| !name.is_empty());
    let (kind, name) = deployment.map_or((kind, name), |name| ("Deployment", name));
    (kind != "Node").then(|| Workload { kind: Arc::from(kind), name: Arc::from(name) })
}

#[cfg(test)]
mod tests {
    use super::of_controller;

    #[test]
    fn a_replica_set_that_a_deployment_made_is_the_deployment() {
        let of = |kind, name, hash| {
            of_controller(kind, name, hash).map(|found| format!("{} {}", found.kind, found.name))
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(of("ReplicaSet", "orders-7d9f8", Some("7d9f8")), some("Deployment orders"));
        assert_eq!(of("ReplicaSet", "my-orders-7d9f8", Some("7d9f8")), some("Deployment my-orders"));
        // Written by hand, whatever it is called.
        assert_eq!(of("ReplicaSet", "orders-7d9f8", None), some("ReplicaSet orders-7d9f8"));
        assert_eq!(of("ReplicaSet", "orders", Some("7d9f8")), some("ReplicaSet orders"));
        assert_eq!(of("ReplicaSet", "-7d9f8", Some("7d9f8")), some("ReplicaSet -7d9f8"));
        assert_eq!(of("StatefulSet", "db-7d9f8", Some("7d9f8")), some("StatefulSet db-7d9f8"));
        assert_eq!(of("Node", "node-1", None), None);
    }
}
