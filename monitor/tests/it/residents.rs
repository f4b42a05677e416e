//! Whose network namespaces are, as readers see it: pods where the cluster names them, else what a cgroup's path says, else a number.

use std::collections::HashMap;
use std::sync::Arc;

use monitor::cause::Cause;
use monitor::command::explain::text::{self, Look};
use monitor::command::{listeners, peers, timeouts};
use monitor::event::{Event, Told};
use monitor::names::{Kind, Names};
use monitor::owners::Owners;
use monitor::owners::cgroup::Cgroup;
use monitor::publish;
use monitor::residents::Residents;
use monitor::terminal::{Medium, Output};
use monitor::view::explain::ExplainView;
use monitor::view::listeners::ListenersView;
use monitor::view::timeouts::TimeoutsView;
use monitor::view::{EventsView, PeersView, StatusView};

use crate::names::{UID, object, pod, service};
use crate::support::{Daemon, finally, hooked_snapshot, signals};

/// Another namespace than the daemon's, in which the snapshot has a peer, overflows and resets.
const NETNS: u32 = 2;

/// A daemon that looks everything up.
fn looking() -> (Daemon, Names, Residents) {
    let (publisher, published, _) = publish::channel(Arc::new(hooked_snapshot()), signals().into());
    let (names, residents) = (Names::default(), Residents::default());
    let (owners, _questions) = Owners::new();
    let published = published.with_owners(owners).with_names(Some(names.clone()));
    (Daemon::of(publisher, published.with_residents(residents.clone())), names, residents)
}

fn put(residents: &Residents, path: &str) {
    residents.replace(HashMap::from([(NETNS, Arc::new(Cgroup::of_path(path)))]));
}

fn know_the_pod(names: &Names) {
    names.change(|index| index.put(&object(Kind::Pods, "shop/orders-1"), Vec::new(), Some(pod("orders-1"))));
}

/// A command's table.
fn printed(print: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> String {
    let mut out = Vec::new();
    print(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn peers_of_other_namespaces_say_whose_they_are() {
    let (daemon, names, residents) = looking();
    let cell = async || {
        let answer: PeersView = daemon.get("/api/v1/peers").await.json();
        // The daemon's own is no other one.
        assert_eq!(answer.namespaces.iter().map(|other| other.netns).collect::<Vec<_>>(), [NETNS]);
        let table = printed(|out| peers::print(&answer, Output::Table, Medium::PLAIN, out));
        let column = table.find("OUR END").unwrap();
        let whose = |peer: &str| {
            let line = table.lines().find(|line| line.starts_with(peer)).unwrap();
            line[column..].split("  ").next().unwrap().to_owned()
        };
        assert_eq!(whose("10.0.0.1 "), "-", "{table}");
        whose("192.0.2.0/24 ")
    };
    assert_eq!(cell().await, "netns 2");
    put(&residents, "/system.slice/web.service");
    assert_eq!(cell().await, "web.service");
    put(&residents, &format!("/docker/{}", "0123456789abcdef".repeat(4)));
    assert_eq!(cell().await, "container 0123456789ab");
    put(&residents, &format!("/kubepods/burstable/pod{UID}"));
    assert_eq!(cell().await, format!("pod {UID}"));
    know_the_pod(&names);
    assert_eq!(cell().await, "shop/orders-1");
    for (text, found) in [("shop/orders", 1), ("orders-1", 1), ("shop/db", 0)] {
        let answer: PeersView = daemon.get(&format!("/api/v1/peers?text={text}")).await.json();
        assert_eq!(answer.matching, found, "{text}");
    }
    residents.forget(NETNS);
    assert_eq!(cell().await, "netns 2");

    // Of one namespace alone nothing is said.
    let own: PeersView = daemon.get("/api/v1/peers?netns=1").await.json();
    let table = printed(|out| peers::print(&own, Output::Table, Medium::PLAIN, out));
    assert!(own.namespaces.is_empty() && !table.contains("OUR END"), "{table}");
}

#[tokio::test]
async fn full_queues_and_the_account_of_a_namespace_say_whose_they_are() {
    let (daemon, names, residents) = looking();
    put(&residents, &format!("/kubepods/burstable/pod{UID}"));
    know_the_pod(&names);
    let answer: ListenersView = daemon.get("/api/v1/listeners").await.json();
    let of_pod: Vec<_> =
        answer.overflows.iter().flatten().map(|row| (row.netns, row.cgroup.is_some())).collect();
    assert_eq!(of_pod, [(1, false), (NETNS, true), (1, false)]);
    let of_pod: Vec<_> = answer.namespaces.iter().map(|row| (row.netns, row.cgroup.is_some())).collect();
    assert_eq!(of_pod, [(Some(1), false), (Some(NETNS), true), (None, false)]);
    let table = printed(|out| listeners::print(&answer, Output::Table, Medium::PLAIN, out));
    assert!(table.contains("0.0.0.0:80 (shop/orders-1) "), "{table}");
    let status: StatusView = daemon.get("/api/v1/status").await.json();
    let names: Vec<_> = status
        .namespaces
        .iter()
        .map(|row| row.cgroup.as_ref().and_then(|cgroup| Some(&*cgroup.pod.as_ref()?.name)))
        .collect();
    assert_eq!(names, [None, Some("orders-1")]);
}

/// A segment that nobody has a socket for is of the pod all the same.
#[tokio::test]
async fn an_event_without_a_socket_is_of_its_namespaces_pod() {
    let (daemon, names, residents) = looking();
    let Told { event, .. } = finally(1, Cause::Refused);
    let event = Event { netns: NETNS, cgroup_id: None, socket_inode: None, ..event };
    daemon.publisher.event(Arc::new(Told { event, ..finally(1, Cause::Refused) }));
    let cgroup = async || daemon.get("/api/v1/events").await.json::<EventsView>().events.remove(0).cgroup;
    assert_eq!(cgroup().await, None);
    put(&residents, &format!("/kubepods/burstable/pod{UID}"));
    know_the_pod(&names);
    assert_eq!(cgroup().await.unwrap().pod.unwrap().name, "orders-1");
}

#[tokio::test]
async fn explanations_and_timeouts_have_names_beside_addresses() {
    let (daemon, names, residents) = looking();
    let look = Look { width: 100, colour: false, software: &[] };
    let explained = async |target: &str| {
        let answer: ExplainView = daemon.get(&format!("/api/v1/explain?{target}")).await.json();
        (printed(|out| text::print(&answer, look, out)), answer.diagnoses.into_iter().next().unwrap())
    };
    let (plain, unnamed) = explained("peer=10.0.0.1").await;
    assert!(unnamed.name.is_none() && !plain.contains("10.0.0.1 is"), "{plain}");
    names.change(|index| {
        index.put(&object(Kind::Services, "shop/db"), vec![service("10.0.0.1", "shop", "db", 8080)], None);
    });
    put(&residents, &format!("/kubepods/burstable/pod{UID}"));
    know_the_pod(&names);
    let (text, _) = explained("peer=10.0.0.1").await;
    assert!(text.contains("\n10.0.0.1 is shop/db.\n"), "{text}");
    let (text, _) = explained("port=443&netns=2").await;
    assert!(text.contains("\nThis end is shop/orders-1 (network namespace 2).\n"), "{text}");

    let audit: TimeoutsView = daemon.get("/api/v1/timeouts").await.json();
    let table = printed(|out| timeouts::print(&audit, Output::Table, Medium::PLAIN, out));
    assert!(table.contains("\nshop/db@10.0.0.1 "), "{table}");
    assert!(table.contains("us to shop/db@10.0.0.1:8080 "), "{table}");
}
