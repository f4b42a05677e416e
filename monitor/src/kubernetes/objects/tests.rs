//! Objects as an API server writes them, to names.

use monitor_common::peer::Role;
use serde_json::{Value, json};

use super::*;

fn index_with<K: Named + serde::de::DeserializeOwned>(objects: &[Value]) -> Index {
    let mut index = Index::default();
    for object in objects {
        let named: K = serde_json::from_value(object.clone()).unwrap();
        named.put(&mut index, &object_of(&named).unwrap());
    }
    index
}

fn pod(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({
        "metadata": {
            "name": "orders-7d9f8-abcde", "namespace": "shop", "uid": "1b2c3d4e-0000-4111-8222-333344445555",
            "labels": {"app": "orders", "pod-template-hash": "7d9f8"},
            "ownerReferences": [
                {"apiVersion": "v1", "kind": "Thing", "name": "t", "uid": "1"},
                {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "orders-7d9f8", "uid": "2", "controller": true}
            ]
        },
        "spec": {"nodeName": "node-1", "containers": [{"name": "app"}]},
        "status": {
            "phase": "Running", "hostIP": "192.0.2.1", "podIP": "10.1.0.7",
            "podIPs": [{"ip": "10.1.0.7"}, {"ip": "2001:db8::7"}],
            "initContainerStatuses": [status("init", Some("cri-o://1"))],
            "containerStatuses": [status("app", Some("containerd://2")), status("late", None)]
        }
    });
    change(&mut pod);
    pod
}

fn status(name: &str, id: Option<&str>) -> Value {
    json!({"name": name, "containerID": id, "image": "i", "imageID": "i", "ready": true, "restartCount": 0})
}

fn pod_at(index: &Index, address: &str) -> Option<String> {
    let name = index.name(address.parse().unwrap(), Some(1), Some(Role::Client))?;
    Some(format!("{}/{}", name.namespace, name.pod?))
}

#[test]
fn a_pod_has_its_addresses_containers_and_the_deployment_that_it_is_of() {
    let index = index_with::<Pod>(&[pod(|_| {})]);
    let found = index.pod("1b2c3d4e-0000-4111-8222-333344445555").unwrap();
    let workload = found.workload.as_ref().unwrap();
    assert_eq!((&*workload.kind, &*workload.name), ("Deployment", "orders"));
    let named = |id| found.container(id).map(AsRef::as_ref);
    assert_eq!([named("1"), named("2"), named("3")], [Some("init"), Some("app"), None]);
    for address in ["10.1.0.7", "2001:db8::7"] {
        assert_eq!(pod_at(&index, address).as_deref(), Some("shop/orders-7d9f8-abcde"));
    }
}

#[test]
fn a_pod_in_the_network_of_its_node_or_one_that_has_ended_has_no_address_of_its_own() {
    let hosts = pod(|pod| pod["spec"]["hostNetwork"] = json!(true));
    let ended = pod(|pod| pod["status"]["phase"] = json!("Succeeded"));
    for pod in [hosts, ended] {
        let index = index_with::<Pod>(&[pod]);
        assert_eq!(pod_at(&index, "10.1.0.7"), None);
        assert!(index.pod("1b2c3d4e-0000-4111-8222-333344445555").is_some());
    }
}

#[test]
fn a_static_pod_is_known_by_the_hash_that_its_cgroup_has() {
    let index = index_with::<Pod>(&[pod(|pod| {
        pod["metadata"]["annotations"] =
            json!({"kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef"});
        pod["metadata"]["ownerReferences"] =
            json!([{"apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "3", "controller": true}]);
    })]);
    let pod = index.pod("0123456789abcdef0123456789abcdef").unwrap();
    assert_eq!(pod.workload, None);
    assert!(index.pod("1b2c3d4e-0000-4111-8222-333344445555").is_none());
}

#[test]
fn a_service_has_its_cluster_addresses_and_those_outside_and_a_headless_one_none() {
    let service = json!({
        "metadata": {"name": "orders", "namespace": "shop"},
        "spec": {"clusterIP": "10.2.0.1", "clusterIPs": ["10.2.0.1", "2001:db8:2::1"], "externalIPs": ["198.51.100.1"],
                 "ports": [{"port": 80, "targetPort": "http"}, {"port": 443}, {"port": 70_000}]},
        "status": {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}, {"hostname": "a.example"}]}}
    });
    let headless = json!({"metadata": {"name": "db", "namespace": "shop"}, "spec": {"clusterIP": "None", "clusterIPs": ["None"]}});
    let index = index_with::<Service>(&[service, headless]);
    let at = |address: &str, port| {
        let name = index.name(address.parse().unwrap(), Some(port), Some(Role::Client));
        name.and_then(|name| Some(name.service?.as_ref().to_owned()))
    };
    for address in ["10.2.0.1", "2001:db8:2::1", "198.51.100.1", "198.51.100.2"] {
        assert_eq!(at(address, 443).as_deref(), Some("orders"), "{address}");
    }
    assert_eq!(at("10.2.0.1", 22).as_deref(), Some("orders"));
    assert_eq!(at("198.51.100.1", 22), None, "another service may have that port there");
    assert_eq!(index.fullness().addresses, 4);
}

#[test]
fn a_slice_has_the_pods_of_its_service_and_one_without_endpoints_nothing() {
    let slice = |name: &str, endpoints: Value| {
        json!({
            "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "orders"}},
            "addressType": "IPv4", "endpoints": endpoints, "ports": [{"name": "http", "port": 8080}, {"name": "any"}]
        })
    };
    let endpoints = json!([
        {"addresses": ["10.1.1.7"], "nodeName": "node-2", "targetRef": {"kind": "Pod", "name": "orders-1", "namespace": "shop"}},
        {"addresses": ["10.1.1.8"], "targetRef": {"kind": "Thing", "name": "thing-1"}},
        {"addresses": ["no address"]}
    ]);
    // Go writes an empty list so.
    let index = index_with::<EndpointSlice>(&[slice("orders-a", endpoints), slice("orders-b", Value::Null)]);
    let at = |address: &str| {
        let name = index.name(address.parse().unwrap(), Some(8080), Some(Role::Client)).unwrap();
        [name.service, name.pod].map(|part| part.map(|part| part.as_ref().to_owned()))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(at("10.1.1.7"), [some("orders"), some("orders-1")]);
    assert_eq!(at("10.1.1.8"), [some("orders"), None]);
    assert_eq!(index.fullness().addresses, 2);
}

#[test]
fn an_object_with_nothing_in_it_is_nothing() {
    let bare = json!({"metadata": {"name": "a"}});
    assert_eq!(index_with::<Pod>(std::slice::from_ref(&bare)).fullness().pods, 0);
    assert_eq!(index_with::<Service>(&[bare]).fullness().addresses, 0);
    assert_eq!(object_of(&Pod::default()), None);
}
