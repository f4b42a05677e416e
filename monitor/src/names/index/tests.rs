//! Who has an address, when several do, and when nobody does any more.

use super::*;

const POD: &str = "10.1.0.7";
const NODE: &str = "192.0.2.1";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn object(kind: Kind, name: &str) -> Object {
    Object { kind, path: Arc::from(format!("shop/{name}")) }
}

fn claim(service: Option<&str>, pod: Option<&str>, ports: &[u16], whole: bool) -> Claim {
    let workload =
        pod.filter(|_| whole).map(|_| Workload { kind: "Deployment".into(), name: "orders".into() });
    Claim {
        namespace: "shop".into(),
        service: service.map(Arc::from),
        pod: pod.map(Arc::from),
        workload,
        ports: ports.into(),
        whole,
    }
}

fn put_service(index: &mut Index, name: &str, address: &str, ports: &[u16]) {
    let claims = vec![(ip(address), claim(Some(name), None, ports, true))];
    index.put(&object(Kind::Services, name), claims, None);
}

fn put_endpoints(index: &mut Index, service: &str, pods: &[(&str, &str)], ports: &[u16]) {
    let claims = pods.iter().map(|(pod, at)| (ip(at), claim(Some(service), Some(pod), ports, false)));
    index.put(&object(Kind::EndpointSlices, &format!("{service}-x")), claims.collect(), None);
}

fn put_pod(index: &mut Index, name: &str, address: &str) {
    let uid: Arc<str> = Arc::from(format!("uid of {name}"));
    let pod = Pod {
        namespace: "shop".into(),
        name: name.into(),
        uid,
        workload: None,
        containers: vec![("c1".into(), "app".into())],
    };
    index.put(&object(Kind::Pods, name), vec![(ip(address), claim(None, Some(name), &[], true))], Some(pod));
}

/// `SERVICE|POD`, of what has a name.
fn named(index: &Index, address: &str, port: u16, role: Option<Role>) -> Option<String> {
    let name = index.name(ip(address), Some(port), role)?;
    assert_eq!(&*name.namespace, "shop");
    Some([name.service, name.pod].map(|part| part.as_deref().unwrap_or("-").to_owned()).join("|"))
}

fn as_client(index: &Index, address: &str, port: u16) -> String {
    named(index, address, port, Some(Role::Client)).unwrap_or_default()
}

fn as_server(index: &Index, address: &str) -> String {
    named(index, address, 80, Some(Role::Server)).unwrap_or_default()
}

#[test]
fn a_service_is_known_by_its_own_address_and_by_those_of_its_pods() {
    let mut index = Index::default();
    put_service(&mut index, "orders", "10.2.0.1", &[80]);
    put_endpoints(&mut index, "orders", &[("orders-1", POD)], &[8080]);
    assert_eq!(as_client(&index, "10.2.0.1", 80), "orders|-");
    // Refused there, too, it is that service's address.
    assert_eq!(as_client(&index, "10.2.0.1", 81), "orders|-");
    assert_eq!(as_client(&index, POD, 8080), "orders|orders-1");
    assert_eq!(as_client(&index, &format!("::ffff:{POD}"), 8080), "orders|orders-1");
    assert_eq!(as_server(&index, POD), "orders|orders-1");
    assert_eq!(as_client(&index, "10.9.9.9", 80), "");
}

#[test]
fn a_pod_of_this_node_is_known_at_every_port_with_its_workload() {
    let mut index = Index::default();
    put_pod(&mut index, "orders-1", POD);
    put_endpoints(&mut index, "orders", &[("orders-1", POD)], &[8080]);
    assert_eq!(as_client(&index, POD, 9090), "-|orders-1");
    assert_eq!(as_client(&index, POD, 8080), "orders|orders-1");
    let workload = index.name(ip(POD), Some(8080), Some(Role::Client)).unwrap().workload.unwrap();
    assert_eq!((&*workload.kind, &*workload.name), ("Deployment", "orders"));
    assert_eq!(&**index.pod("uid of orders-1").unwrap().container("c1").unwrap(), "app");
}

#[test]
fn pods_that_share_an_address_are_told_apart_by_port_or_not_at_all() {
    let mut index = Index::default();
    put_endpoints(&mut index, "ingress", &[("ingress-1", NODE)], &[443]);
    put_endpoints(&mut index, "exporter", &[("exporter-1", NODE)], &[9100]);
    assert_eq!(as_client(&index, NODE, 443), "ingress|ingress-1");
    assert_eq!(as_client(&index, NODE, 9100), "exporter|exporter-1");
    assert_eq!(as_client(&index, NODE, 10_250), "", "the kubelet is neither");
    assert_eq!(as_server(&index, NODE), "");
}

#[test]
fn of_two_services_for_one_port_the_first_by_name_is_told_and_of_a_client_none() {
    let mut index = Index::default();
    put_endpoints(&mut index, "b", &[("p", POD)], &[80]);
    put_endpoints(&mut index, "a", &[("p", POD)], &[80]);
    assert_eq!(as_client(&index, POD, 80), "a|p");
    assert_eq!(as_server(&index, POD), "-|p");
}

#[test]
fn a_name_is_kept_until_somebody_else_has_the_address() {
    let mut index = Index::default();
    put_endpoints(&mut index, "orders", &[("orders-1", POD)], &[80]);
    put_endpoints(&mut index, "orders", &[], &[80]);
    assert_eq!(as_client(&index, POD, 80), "orders|orders-1", "resets come when pods go");
    put_endpoints(&mut index, "carts", &[("carts-1", POD)], &[80]);
    assert_eq!(as_client(&index, POD, 80), "carts|carts-1");
    index.remove(&object(Kind::EndpointSlices, "carts-x"));
    index.remove(&object(Kind::EndpointSlices, "carts-x"));
    assert_eq!(as_client(&index, POD, 80), "carts|carts-1");
}

#[test]
fn a_pod_that_is_gone_is_still_known_by_its_uid_and_a_new_one_of_its_name_is_another() {
    let mut index = Index::default();
    put_pod(&mut index, "db-0", POD);
    let object = object(Kind::Pods, "db-0");
    let again = Pod { uid: "new".into(), ..Pod::clone(index.pod("uid of db-0").unwrap()) };
    index.put(&object, Vec::new(), Some(again));
    assert!(index.pod("uid of db-0").is_some() && index.pod("new").is_some());
    assert_eq!(index.fullness().pods, 1);
    index.remove(&object);
    assert!(index.pod("new").is_some());
    assert_eq!(index.fullness().pods, 0);
}

#[test]
fn a_list_that_is_read_anew_takes_away_what_is_not_in_it_and_nothing_before_it_ends() {
    let mut index = Index::default();
    index.begin(Kind::Services);
    put_service(&mut index, "a", "10.2.0.1", &[80]);
    put_service(&mut index, "b", "10.2.0.2", &[80]);
    put_endpoints(&mut index, "a", &[("p", POD)], &[80]);
    index.end(Kind::Services);
    index.begin(Kind::Services);
    put_service(&mut index, "b", "10.2.0.3", &[80]);
    assert!(index.objects.contains_key(&object(Kind::Services, "a")));
    index.end(Kind::Services);
    assert!(!index.objects.contains_key(&object(Kind::Services, "a")));
    assert_eq!(as_client(&index, "10.2.0.3", 80), "b|-");
    assert_eq!(as_client(&index, POD, 80), "a|p", "of another kind");
}

#[test]
fn names_are_stale_until_all_is_listed_and_while_the_server_does_not_answer() {
    let mut index = Index::default();
    for kind in Kind::ALL {
        assert!(index.fullness().stale);
        index.begin(kind);
        index.end(kind);
    }
    assert!(!index.fullness().stale);
    index.failed(Kind::Pods);
    assert!(index.fullness().stale);
    index.answered(Kind::Services);
    assert!(index.fullness().stale, "that was about something else");
    index.answered(Kind::Pods);
    assert!(!index.fullness().stale);
}

#[test]
fn nothing_grows_beyond_its_bound() {
    let mut index = Index::default();
    let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
    let all: Vec<_> = (0..=u32::try_from(ADDRESSES).unwrap())
        .map(|number| (address(number), claim(Some("a"), None, &[80], false)))
        .collect();
    index.put(&object(Kind::EndpointSlices, "a"), all, None);
    let fullness = index.fullness();
    assert_eq!((fullness.addresses, fullness.left_out), (ADDRESSES, 1));
    index.remove(&object(Kind::EndpointSlices, "a"));
    assert_eq!(index.fullness().addresses, FORMER);
    for number in 0..=PODS {
        put_pod(&mut index, &number.to_string(), POD);
    }
    assert_eq!(index.fullness().pods, PODS);
    for number in 0..=PODS {
        index.remove(&object(Kind::Pods, &number.to_string()));
    }
    assert_eq!((index.fullness().pods, index.former_pods.len()), (0, FORMER));
    assert!(index.former_addresses.len() <= FORMER);
}

#[test]
fn whoever_claims_an_address_again_and_again_only_gets_so_far() {
    let mut index = Index::default();
    for number in 0..CLAIMS_EACH + 2 {
        put_endpoints(&mut index, &format!("s{number:03}"), &[("p", POD)], &[80]);
    }
    assert_eq!(index.fullness().left_out, 2);
    assert_eq!(as_client(&index, POD, 80), "s000|p");
    // Objects without an address count, too; what is gone makes room.
    for number in index.objects.len()..=OBJECTS {
        put_endpoints(&mut index, &format!("t{number}"), &[], &[80]);
    }
    assert_eq!(index.objects.len(), OBJECTS);
    put_service(&mut index, "late", "10.2.0.1", &[80]);
    assert_eq!(as_client(&index, "10.2.0.1", 80), "");
    index.remove(&object(Kind::EndpointSlices, "s000-x"));
    put_service(&mut index, "late", "10.2.0.1", &[80]);
    assert_eq!(as_client(&index, "10.2.0.1", 80), "late|-");
    for number in 1..CLAIMS_EACH + 2 {
        index.remove(&object(Kind::EndpointSlices, &format!("s{number:03}-x")));
    }
    assert_eq!(index.claimed, 1);
}
