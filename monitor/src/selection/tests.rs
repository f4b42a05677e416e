//! Who has series, under which labels.

use clap::Parser as _;
use monitor_common::peer::Role;

use super::settings::{MetricsArgs, MetricsFile, SelectionError};
use super::*;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    metrics: MetricsArgs,
}

fn selection(flags: &[&str]) -> Selection {
    resolve(flags, "").unwrap()
}

fn resolve(flags: &[&str], file: &str) -> Result<Selection, SelectionError> {
    let line = Line::try_parse_from(["line"].iter().chain(flags)).unwrap();
    toml::from_str::<MetricsFile>(file).unwrap().selection(&line.metrics)
}

/// How a peer of namespace 7 is labelled.
fn told(selection: &Selection, peer: &str, port: u16) -> Option<String> {
    let service = Service { netns: 7, peer: Some(peer.parse().unwrap()), port, role: Role::Server };
    selection.of_service(&service).map(|key| format!("{}:{}", key.label.scope, key.label.port.unwrap()))
}

#[test]
fn without_options_everyone_is_told_by_address_and_namespaces_are_merged() {
    let all = selection(&[]);
    assert_eq!(told(&all, "10.0.0.1", 80).unwrap(), "10.0.0.1:80");
    let service = Service { netns: 7, peer: None, port: 80, role: Role::Server };
    assert_eq!(all.of_service(&service), None, "a port is no peer");
    let service = Service { peer: Some([10, 0, 0, 1].into()), ..service };
    assert_eq!(all.of_service(&service).unwrap().netns, None);
    let apart = selection(&["--metrics-namespace-label"]);
    assert_eq!(apart.of_service(&service).unwrap().netns, Some(7));
}

#[test]
fn lists_of_peers_and_ports_choose_and_exceptions_win() {
    let some = selection(&["--metrics-peer", "10.0.0.0/8,fd00::/8", "--metrics-except-peer", "10.9.0.0/16"]);
    for (peer, is_told) in [
        ("10.1.0.1", true),
        ("fd00::1", true),
        ("10.9.0.1", false),
        ("192.0.2.1", false),
        ("2001:db8::1", false),
    ] {
        assert_eq!(told(&some, peer, 80).is_some(), is_told, "{peer}");
    }
    let some =
        selection(&["--metrics-port", "443", "--metrics-port", "8000-8099", "--metrics-except-port", "8080"]);
    for (port, is_told) in
        [(443, true), (8000, true), (8099, true), (8080, false), (80, false), (8100, false)]
    {
        assert_eq!(told(&some, "10.0.0.1", port).is_some(), is_told, "{port}");
    }
}

#[test]
fn peers_of_a_network_are_told_together_and_the_longest_network_decides() {
    let some = selection(&["--metrics-network", "0.0.0.0/0@24,10.0.0.0/8,10.0.0.5,::/0@64"]);
    for (peer, label) in [
        ("192.0.2.77", "192.0.2.0/24:80"),
        ("10.200.3.4", "10.0.0.0/8:80"),
        ("10.0.0.5", "10.0.0.5:80"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64:80"),
    ] {
        assert_eq!(told(&some, peer, 80).unwrap(), label, "{peer}");
    }
}

#[test]
fn the_kernel_sides_own_networks_go_by_the_same_rules() {
    let key = |scope| PeerKey {
        addr: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0],
        netns: 7,
        port: 80,
        role: Role::Server as u8,
        scope,
    };
    let told =
        |flags: &[&str], scope| selection(flags).of_key(&key(scope)).map(|key| key.label.scope.to_string());
    assert_eq!(told(&[], SCOPE_V4_NETWORK).unwrap(), "192.0.2.0/24");
    assert_eq!(told(&["--metrics-network", "192.0.0.0/16"], SCOPE_V4_NETWORK).unwrap(), "192.0.0.0/16");
    assert_eq!(
        told(&["--metrics-network", "0.0.0.0/0@28"], SCOPE_V4_NETWORK).unwrap(),
        "192.0.2.0/24",
        "what was not kept apart cannot be told apart"
    );
    assert_eq!(told(&["--metrics-peer", "192.0.2.7"], SCOPE_V4_NETWORK), None, "only a part of it is wanted");
    assert_eq!(told(&[], SCOPE_OTHER), None);
}

#[test]
fn namespaces_are_chosen_by_number_or_as_ones_own() {
    let own = Selection { own: Some(7), ..selection(&["--metrics-namespace", "own"]) };
    assert!(told(&own, "10.0.0.1", 80).is_some());
    let elsewhere = Selection { own: Some(8), ..own.clone() };
    assert_eq!(told(&elsewhere, "10.0.0.1", 80), None);
    let unknown = Selection { own: None, ..own };
    assert_eq!(told(&unknown, "10.0.0.1", 80), None);
    assert!(told(&selection(&["--metrics-namespace", "6,7"]), "10.0.0.1", 80).is_some());
}

#[test]
fn the_file_says_the_same_and_flags_win_list_by_list() {
    let file = "peers = [\"10.0.0.0/8\"]\nexcept_peers = [\"10.9.0.0/16\"]\nnetworks = [\"10.0.0.0/8@16\"]\n\
                ports = [443, \"8000-8099\"]\nexcept_ports = [8080]\nnamespaces = [\"own\", 4026531840]\nnamespace_label = true\n";
    let written = resolve(&[], file).unwrap();
    assert_eq!(written.ports, [443..=443, 8000..=8099]);
    assert_eq!(written.namespaces, [Namespace::Own, Namespace::Number(4_026_531_840)]);
    assert!(written.namespace_label);
    let typed = resolve(&["--metrics-port", "80", "--metrics-namespace-label=false"], file).unwrap();
    assert_eq!((&*typed.ports, typed.namespace_label), (&[80..=80][..], false));
    assert_eq!((typed.peers, typed.networks), (written.peers, written.networks));
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_name() {
    for (flag, text, wanted) in [
        ("metrics-peer", "10.1.2.3/8", "bits beyond its length"),
        ("metrics-peer", "example.org", "no address and no network"),
        ("metrics-except-peer", "", "no address"),
        ("metrics-network", "10.0.0.0/8@7", "fewer bits"),
        ("metrics-network", "10.0.0.0/8@33", "more or of fewer bits"),
        ("metrics-network", "10.0.0.0/8@", "number of bits"),
        ("metrics-port", "0", "no port"),
        ("metrics-port", "99-9", "ends before it begins"),
        ("metrics-except-port", "http", "no port"),
        ("metrics-namespace", "host", "neither `own`"),
    ] {
        let error = resolve(&[&format!("--{flag}={text}")], "").unwrap_err().to_string();
        assert!(error.starts_with(&format!("--{flag} (")) && error.contains(wanted), "{error}");
    }
    let many = vec!["1"; 1_001].join(",");
    let error = resolve(&["--metrics-port", &many], "").unwrap_err().to_string();
    assert!(error.contains("1001 entries"), "{error}");
}
