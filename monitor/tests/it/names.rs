//! What a cluster calls peers and pods, as readers see it: beside addresses, never in their place.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use monitor::cause::Cause;
use monitor::command::events::{EventOutput, EventPrinter};
use monitor::command::peers;
use monitor::event::{Event, Told};
use monitor::http::filter::EventFilter;
use monitor::names::index::{Claim, Object};
use monitor::names::{Kind, Names, Pod, Workload};
use monitor::owners::cgroup::Cgroup;
use monitor::owners::{By, Owners};
use monitor::publish;
use monitor::residents::Residents;
use monitor::terminal::{Medium, Output};
use monitor::view::names::{NameView, PodView, WorkloadView};
use monitor::view::{EventsView, PeersView, StatusView};

use crate::support::{Daemon, answer, finally, signals, snapshot};

pub(crate) const UID: &str = "1b2c3d4e-0000-4111-8222-333344445555";

/// A daemon in a cluster that nothing is known of yet.
fn in_cluster() -> (Daemon, Owners, Names) {
    let (publisher, published, _) = publish::channel(Arc::new(snapshot()), signals().into());
    let (owners, _questions) = Owners::new();
    let names = Names::default();
    let published = published.with_owners(owners.clone()).with_names(Some(names.clone()));
    (Daemon::of(publisher.with_owners(owners.clone()), published), owners, names)
}

pub(crate) fn object(kind: Kind, path: &str) -> Object {
    Object { kind, path: Arc::from(path) }
}

pub(crate) fn service(address: &str, namespace: &str, name: &str, port: u16) -> (IpAddr, Claim) {
    let claim = Claim {
        namespace: Arc::from(namespace),
        service: Some(Arc::from(name)),
        pod: None,
        workload: None,
        ports: Arc::from([port]),
        whole: true,
    };
    (address.parse().unwrap(), claim)
}

pub(crate) fn pod(name: &str) -> Pod {
    Pod {
        namespace: Arc::from("shop"),
        name: Arc::from(name),
        uid: Arc::from(UID),
        workload: Some(Workload { kind: Arc::from("Deployment"), name: Arc::from("orders") }),
        containers: vec![(Arc::from("0123456789abcdef".repeat(4)), Arc::from("app"))],
    }
}

/// The same, which knows a service, another one with a hostile name, a pod, and which namespace is that pod's.
pub(crate) fn named() -> (Daemon, Owners) {
    let (publisher, published, _) = publish::channel(Arc::new(snapshot()), signals().into());
    let (owners, _questions) = Owners::new();
    let (names, residents) = (Names::default(), Residents::default());
    let published = published.with_owners(owners.clone()).with_names(Some(names.clone()));
    let published = published.with_residents(residents.clone());
    let daemon = Daemon::of(publisher.with_owners(owners.clone()), published);
    let pod_cgroup = Cgroup::of_path(&format!("/kubepods/burstable/pod{UID}"));
    residents.replace(HashMap::from([(2, Arc::new(pod_cgroup))]));
    names.change(|index| {
        index.put(&object(Kind::Services, "shop/db"), vec![service("10.0.0.1", "shop", "db", 8080)], None);
        let hostile = service("2001:db8::7", "shop", "<img src=x>", 8443);
        index.put(&object(Kind::Services, "shop/hostile"), vec![hostile], None);
        index.put(&object(Kind::Pods, "shop/orders-1"), Vec::new(), Some(pod("orders-1")));
    });
    (daemon, owners)
}

/// All there is to know of an event's ends.
pub(crate) fn knowing(event: &Event) -> Names {
    let names = Names::default();
    let address = event.remote.ip().to_string();
    let (_, of_service) = service(&address, "shop", "orders", event.service_port());
    let claim = Claim { pod: Some(Arc::from("orders-1")), workload: pod("orders-1").workload, ..of_service };
    names.change(|index| {
        index.put(
            &object(Kind::Pods, "shop/orders-1"),
            vec![(event.remote.ip(), claim)],
            Some(pod("orders-1")),
        );
    });
    names
}

/// A received reset of a pod's socket.
fn received(id: u64) -> Told {
    let Told { event, .. } = finally(id, Cause::PeerAbort);
    Told { event: Event { cgroup_id: Some(7), ..event }, ..finally(id, Cause::PeerAbort) }
}

#[tokio::test]
async fn a_peer_has_the_name_of_its_service_and_keeps_its_address() {
    let (daemon, _owners, names) = in_cluster();
    let before: PeersView = daemon.get("/api/v1/peers").await.json();
    assert!(before.peers.iter().all(|peer| peer.name.is_none()));
    names.change(|index| {
        index.put(&object(Kind::Services, "shop/db"), vec![service("10.0.0.1", "shop", "db", 8080)], None);
    });
    let after: PeersView = daemon.get("/api/v1/peers").await.json();
    let named: Vec<_> =
        after.peers.iter().filter_map(|peer| Some((&*peer.peer, peer.name.as_ref()?))).collect();
    let name =
        NameView { namespace: "shop".to_owned(), service: Some("db".to_owned()), pod: None, workload: None };
    assert_eq!(named, [("10.0.0.1", &name)]);

    let mut out = Vec::new();
    let medium = Medium { width: None, colour: false };
    peers::print(&after, Output::Table, medium, &mut out).unwrap();
    let table = String::from_utf8(out).unwrap();
    assert!(table.lines().any(|line| line.starts_with("shop/db@10.0.0.1 ")), "{table}");
    assert!(table.lines().any(|line| line.starts_with("2001:db8::7 ")), "{table}");
}

#[tokio::test]
async fn an_event_names_its_pod_and_its_remote_end() {
    let (daemon, owners, names) = in_cluster();
    daemon.publisher.event(Arc::new(received(1)));
    owners.answer([(1, answer("app", By::File))]);
    let event = async || daemon.get("/api/v1/events").await.json::<EventsView>().events.remove(0);
    let early = event().await;
    assert_eq!((&early.remote_name, &early.cgroup.as_ref().unwrap().pod), (&None, &None));
    names.change(|index| {
        index.put(&object(Kind::Services, "shop/db"), vec![service("2001:db8::7", "shop", "db", 8443)], None);
        index.put(&object(Kind::Pods, "shop/orders-1"), Vec::new(), Some(pod("orders-1")));
    });
    let late = event().await;
    let pod = PodView {
        namespace: "shop".to_owned(),
        name: "orders-1".to_owned(),
        container: Some("app".to_owned()),
        workload: Some(WorkloadView { kind: "Deployment".to_owned(), name: "orders".to_owned() }),
    };
    assert_eq!(late.cgroup.as_ref().unwrap().pod.as_ref(), Some(&pod));
    assert_eq!(late.remote_name.as_ref().unwrap().service.as_deref(), Some("db"));
    let mut out = Vec::new();
    EventPrinter::new(EventOutput::Table, EventFilter::default(), &mut out).print(&late).unwrap();
    let line = String::from_utf8(out).unwrap();
    assert!(line.contains("shop/db@2001:db8::7") && line.contains("shop/orders-1 (app) app[4711]"), "{line}");
}

#[tokio::test]
async fn status_and_metrics_say_when_names_are_stale_and_nothing_where_nobody_is_asked() {
    let (daemon, _owners, names) = in_cluster();
    let stale = async || {
        let status: StatusView = daemon.get("/api/v1/status").await.json();
        status.names.unwrap().stale
    };
    assert!(stale().await);
    let page = daemon.get("/metrics").await.text;
    assert!(page.contains("\nreset_monitor_metadata_stale 1\n"), "{page}");
    names.change(|index| Kind::ALL.into_iter().for_each(|kind| index.end(kind)));
    assert!(!stale().await);
    let alone = Daemon::new();
    assert!(!alone.get("/metrics").await.text.contains("metadata_stale"));
    assert_eq!(alone.get("/api/v1/status").await.json::<StatusView>().names, None);
}

/// No API server lets one make such a name. Whoever answers in its place may.
#[tokio::test]
async fn a_hostile_name_is_text() {
    let (daemon, owners, names) = in_cluster();
    let hostile = "<img src=x onerror=alert(1)>\x1b[2J\"\n\u{202e}";
    names.change(|index| {
        index.put(&object(Kind::Services, "a/b"), vec![service("2001:db8::7", hostile, hostile, 8443)], None);
        index.put(&object(Kind::Pods, "a/c"), Vec::new(), Some(pod(hostile)));
    });
    daemon.publisher.event(Arc::new(received(1)));
    owners.answer([(1, answer("app", By::File))]);
    let peers: PeersView = daemon.get("/api/v1/peers").await.json();
    assert!(peers.peers.iter().any(|peer| peer.name.as_ref().is_some_and(|name| name.namespace == hostile)));
    let event = daemon.get("/api/v1/events").await.json::<EventsView>().events.remove(0);
    for output in [EventOutput::Table, EventOutput::Json] {
        let mut out = Vec::new();
        EventPrinter::new(output, EventFilter::default(), &mut out).print(&event).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("onerror"), "{text:?}");
        let harmless = text.trim_end_matches('\n').lines().all(|line| !line.chars().any(char::is_control));
        assert!(harmless && !text.contains('\u{202e}'), "{text:?}");
    }
}
