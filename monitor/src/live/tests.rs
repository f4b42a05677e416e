//! Roles, sums and bounds.

use super::*;

const NETNS: u32 = 1;

fn connection(local: &str, remote: &str, quiet_ms: u32) -> Connection {
    Connection {
        local: local.parse().unwrap(),
        remote: remote.parse().unwrap(),
        established: true,
        quiet_ms,
        exchanges: 10,
        last_word: LastWord::Both,
        caller: None,
    }
}

fn listeners(addresses: &[&str]) -> Listeners {
    Listeners::of(addresses.iter().map(|address| address.parse().unwrap()))
}

fn service(peer: &str, port: u16, role: Role) -> Service {
    Service { netns: NETNS, peer: Some(peer.parse().unwrap()), port, role }
}

fn live(listeners: &Listeners, connections: &[Connection]) -> Live {
    let mut live = Live::default();
    live.walk(NETNS);
    for connection in connections {
        live.add(NETNS, listeners, connection);
    }
    live
}

#[test]
fn who_listens_accepted_and_without_a_listener_the_socket_tells() {
    let listeners = listeners(&["10.0.0.9:80", "[::]:443", "0.0.0.0:22"]);
    for (local, caller, expected) in [
        ("10.0.0.9:80", Some(Role::Client), Role::Server),
        ("10.0.0.9:443", None, Role::Server),
        ("10.0.0.8:22", None, Role::Server),
        // Another address of ours, and other ports around those.
        ("10.0.0.8:80", None, Role::Client),
        ("10.0.0.9:81", Some(Role::Server), Role::Server),
        ("10.0.0.9:79", Some(Role::Client), Role::Client),
        ("10.0.0.9:8080", None, Role::Client),
    ] {
        let connection = Connection { caller, ..connection(local, "10.0.0.1:5000", 0) };
        assert_eq!(role(&listeners, &connection), expected, "{local} {caller:?}");
    }
}

#[test]
fn a_service_is_the_others_port_for_a_client_and_ours_for_a_server() {
    let connections = [
        connection("10.0.0.9:40000", "10.0.0.7:443", 10),
        connection("10.0.0.9:40001", "10.0.0.7:443", 1_000),
        connection("10.0.0.9:80", "10.0.0.1:5000", 999),
        connection("10.0.0.9:80", "10.0.0.1:5001", 7_000),
        connection("10.0.0.9:80", "10.0.0.2:5001", 8_000),
    ];
    let live = live(&listeners(&["0.0.0.0:80"]), &connections);
    let told = |service: &Service| {
        live.of(service).map(|open| (open.open, open.idle, open.exchanges, open.longest(), open.third()))
    };
    let ms = Duration::from_millis;
    assert_eq!(told(&service("10.0.0.7", 443, Role::Client)), Some((2, 1, 20, Some(ms(1_000)), None)));
    assert_eq!(told(&service("10.0.0.1", 80, Role::Server)), Some((2, 1, 20, Some(ms(7_000)), None)));
    assert_eq!(told(&service("10.0.0.3", 80, Role::Server)), Some((0, 0, 0, None, None)));
    assert_eq!(told(&Service { netns: 2, ..service("10.0.0.7", 443, Role::Client) }), None, "not walked");
    let port = Service { peer: None, ..service("10.0.0.1", 80, Role::Server) };
    let ports = live.ports();
    assert_eq!(ports.len(), 1);
    assert_eq!((ports[&port].open, ports[&port].idle, ports[&port].longest()), (3, 2, Some(ms(8_000))));
    assert_eq!(live.total(Role::Client).open + live.total(Role::Server).open, 5);
}

#[test]
fn three_longest_quiets_are_known_in_whatever_order_they_come() {
    let quiets = [3, 9, 1, 7, 8, 2, 6];
    let connections: Vec<_> =
        quiets.iter().map(|seconds| connection("10.0.0.9:40000", "10.0.0.7:443", seconds * 1_000)).collect();
    let open = live(&Listeners::default(), &connections).of(&service("10.0.0.7", 443, Role::Client)).unwrap();
    assert_eq!((open.longest(), open.third()), (Some(Duration::from_secs(9)), Some(Duration::from_secs(7))));
}

#[test]
fn what_the_peer_has_closed_is_not_held_but_its_exchanges_count() {
    let half = Connection { established: false, ..connection("10.0.0.9:40000", "10.0.0.7:443", 60_000) };
    let open = live(&Listeners::default(), &[half]).of(&service("10.0.0.7", 443, Role::Client)).unwrap();
    assert_eq!((open.open, open.idle, open.longest(), open.exchanges), (0, 0, None, 10));
}

#[test]
fn memory_is_bounded_and_sums_are_exact() {
    let mut live = Live::default();
    live.walk(NETNS);
    let most = u32::try_from(MOST_SERVICES).unwrap();
    for number in 0..most + 100 {
        let remote = SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), 443);
        for _ in 0..2 {
            live.add(
                NETNS,
                &Listeners::default(),
                &Connection { remote, ..connection("10.0.0.9:40000", "10.0.0.7:443", 2_000) },
            );
        }
    }
    assert_eq!(live.len(), MOST_SERVICES);
    let total = live.total(Role::Client);
    assert_eq!((total.open, total.idle), (u64::from(most + 100) * 2, u64::from(most + 100) * 2));
    assert_eq!(total.exchanges, u64::from(most + 100) * 20);
    assert_eq!(live.of(&service("10.255.0.0", 443, Role::Client)), None, "it may be among those beyond");
    assert!(!live.is_whole(Role::Client) && live.is_whole(Role::Server));
    // Hash tables are filled to seven eighths of a power of two at most.
    let bytes = (size_of::<(Service, Open)>() + 1) * (MOST_SERVICES * 2);
    assert!(bytes <= 3 << 20, "{bytes}");
}

#[test]
fn a_dump_that_fails_midway_leaves_nothing_of_its_namespace_and_all_of_others() {
    let found = connection("10.0.0.9:40000", "10.0.0.7:443", 2_000);
    let mut live = Live::default();
    let whole = |hand_on: &mut dyn FnMut(&Connection)| -> Result<(), ()> {
        (0..3).for_each(|_| hand_on(&found));
        Ok(())
    };
    live.take_in(NETNS, &Listeners::default(), whole).unwrap();
    let elsewhere = Service { netns: 2, ..service("10.0.0.7", 443, Role::Client) };
    let half = |hand_on: &mut dyn FnMut(&Connection)| {
        hand_on(&found);
        Err("gone")
    };
    assert_eq!(live.take_in(2, &Listeners::default(), half), Err("gone"));
    assert_eq!((live.of(&elsewhere), live.namespaces().collect::<Vec<_>>()), (None, vec![NETNS]));
    assert_eq!(live.total(Role::Client).open, 3);
    // What an earlier walk found is no better than nothing.
    assert_eq!(live.take_in(NETNS, &Listeners::default(), half), Err("gone"));
    assert_eq!(live, Live::default());
}

#[test]
fn services_of_all_namespaces_together_are_bounded() {
    let mut live = Live::default();
    let most = u32::try_from(MOST_SERVICES).unwrap();
    for netns in [1, 2] {
        let dump = |hand_on: &mut dyn FnMut(&Connection)| -> Result<(), ()> {
            for number in 0..most * 3 / 4 {
                let remote = SocketAddr::new(std::net::Ipv4Addr::from(0x0a00_0000 + number).into(), 443);
                hand_on(&Connection { remote, ..connection("10.0.0.9:40000", "10.0.0.7:443", 0) });
            }
            Ok(())
        };
        live.take_in(netns, &Listeners::default(), dump).unwrap();
    }
    assert_eq!(live.len(), MOST_SERVICES);
    assert_eq!(live.total(Role::Client).open, u64::from(most) * 3 / 2);
    // The first has all its sums, so what it does not show is not there.
    let absent = service("10.255.0.0", 443, Role::Client);
    assert_eq!(live.of(&absent), Some(Open::default()));
    assert_eq!(live.of(&Service { netns: 2, ..absent }), None);
    assert_eq!(live.clone().without(Some(1)).len(), MOST_SERVICES / 4);
}
