//! The metrics page: its text in both formats, and that its numbers add up.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use monitor::metrics::negotiate::Format;
use monitor::metrics::{Page, encode};
use monitor::snapshot::Snapshot;
use monitor::snapshot::listening::Listening;
use tower::ServiceExt;

use crate::exposition::{page, pushed, sample, samples};
use crate::support::{Daemon, hooked_snapshot, request, snapshot};

/// Line by line, so that a difference is one line of output and not the page.
#[track_caller]
fn assert_golden(text: &str, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/golden").join(name);
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        fs::write(&path, text).unwrap();
    }
    let golden = fs::read_to_string(&path).unwrap();
    for (number, (ours, wanted)) in text.lines().zip(golden.lines()).enumerate() {
        assert_eq!(ours, wanted, "line {}", number + 1);
    }
    assert_eq!(text.lines().count(), golden.lines().count());
}

#[test]
fn the_text_format_is_as_promised() {
    let text = encode(&page(snapshot()), Format::Classic).unwrap();
    assert_golden(&text, "metrics.txt");
}

#[test]
fn the_openmetrics_format_is_as_promised() {
    let text = encode(&page(snapshot()), Format::OpenMetrics100).unwrap();
    assert_golden(&text, "metrics.openmetrics.txt");
}

#[test]
fn sums_over_peers_are_the_snapshots_totals_and_sums_over_causes_the_kernels_count() {
    let snapshot = snapshot();
    let total = snapshot.total;
    let ports = snapshot.ports_total;
    let samples = samples(&encode(&page(snapshot), Format::Classic).unwrap());
    for (name, expected) in [
        ("connections_opened", total.opened),
        ("connections_closed", total.closed),
        ("connections_reset", total.reset),
        ("connections_aborted", total.aborted),
        ("exchanges", total.exchanges),
        ("refused_received", total.refused_received),
        ("resets_sent", total.resets_sent),
        ("resets_received", total.resets_received),
        ("refused_sent", ports.refused_sent),
        ("stray_sent", ports.stray_sent),
        ("stray_received", ports.stray_received),
    ] {
        let name = format!("reset_monitor_{name}_total");
        let sum: f64 = samples.iter().filter(|sample| sample.name == name).map(|sample| sample.value).sum();
        assert_eq!(sum.to_string(), expected.to_string(), "{name}");
    }
}

#[test]
fn a_cause_without_resets_has_no_series() {
    let samples = samples(&encode(&page(snapshot()), Format::Classic).unwrap());
    let causes: BTreeSet<&str> =
        samples.iter().filter_map(|sample| sample.labels.get("cause")).map(|cause| &**cause).collect();
    assert_eq!(causes, BTreeSet::from(["idle_reuse", "linger_abort", "other", "unclassified"]));
}

#[test]
fn every_line_of_either_format_is_preceded_by_its_own_metadata() {
    for (format, suffixes) in [
        (Format::Classic, ["", "_bucket", "_sum", "_count"].as_slice()),
        (Format::OpenMetrics001, &["", "_total", "_info", "_bucket", "_sum", "_count"]),
    ] {
        let text = encode(&page(hooked_snapshot()), format).unwrap();
        let mut seen = BTreeSet::new();
        let mut family = String::new();
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.ends_with('.') && !help.contains(['\\', '"']), "{help}");
                assert!(seen.insert(name.to_owned()), "{name} comes twice");
                name.clone_into(&mut family);
            } else if let Some(rest) = line.strip_prefix("# TYPE ").or_else(|| line.strip_prefix("# UNIT ")) {
                assert_eq!(rest.split_once(' ').unwrap().0, family);
            } else if line != "# EOF" {
                let name = sample(line).name;
                assert!(
                    suffixes.iter().any(|suffix| name == format!("{family}{suffix}")),
                    "{name} under {family}"
                );
            }
        }
    }
}

#[test]
fn what_is_unknown_of_listeners_and_tables_has_no_series() {
    let unknown = Snapshot { listening: Listening::default(), ..snapshot() };
    let text = encode(&page(unknown), Format::Classic).unwrap();
    for name in [
        "listen_overflows",
        "listener_",
        "conntrack_",
        "challenge_acks",
        "orphan_sockets",
        "time_wait_sockets",
    ] {
        assert!(!text.contains(&format!("reset_monitor_{name}")), "{name}");
    }
}

#[test]
fn what_only_function_hooks_count_has_series_where_they_are() {
    let unhooked = encode(&page(snapshot()), Format::Classic).unwrap();
    for line in [
        "reset_monitor_reject_sent_total",
        "reset_monitor_conntrack_full_total",
        "reset_monitor_unattributed{counter=\"ListenOverflows\"}",
    ] {
        assert!(!unhooked.contains(line), "{line}");
    }
    let hooked = encode(&page(hooked_snapshot()), Format::Classic).unwrap();
    for line in [
        "reset_monitor_listen_overflows_total{listener=\"[::]:443\",stage=\"syn\"} 29",
        "reset_monitor_listen_overflows_total{listener=\"[::]:443\",stage=\"ack\"} 4",
        "reset_monitor_listen_overflows_total{listener=\"other\",stage=\"syn\"} 1",
        "reset_monitor_listen_overflows_total{listener=\"other\",stage=\"ack\"} 0",
        "reset_monitor_listen_overflows_total{listener=\"other\",stage=\"unknown\"} 2",
        "reset_monitor_reject_sent_total{port=\"other\"} 4",
        "reset_monitor_conntrack_full_total 7",
        "reset_monitor_challenge_acks_total 21",
        "reset_monitor_unattributed{counter=\"OutRsts\"} 1",
        "reset_monitor_unattributed{counter=\"ListenOverflows\"} 1",
    ] {
        assert!(hooked.lines().any(|shown| shown == line), "{line} is not in {hooked}");
    }
    assert!(!hooked.contains("listener=\"unknown\""));
}

#[test]
fn overflows_over_listeners_are_the_total_however_they_are_counted() {
    for (snapshot, total) in [(snapshot(), 43.0), (hooked_snapshot(), 36.0 + 5.0 + 2.0)] {
        let samples = samples(&encode(&page(snapshot), Format::Classic).unwrap());
        let overflows = samples.iter().filter(|sample| sample.name == "reset_monitor_listen_overflows_total");
        assert_eq!(overflows.map(|sample| sample.value).sum::<f64>().to_string(), total.to_string());
    }
}

#[test]
fn drops_over_listeners_are_the_total_of_the_api() {
    let snapshot = snapshot();
    let total = snapshot.listening.listener_drops().unwrap();
    let samples = samples(&encode(&page(snapshot), Format::Classic).unwrap());
    let drops = samples.iter().filter(|sample| sample.name == "reset_monitor_listener_drops_total");
    assert_eq!(drops.map(|sample| sample.value).sum::<f64>().to_string(), total.to_string());
}

#[test]
fn an_alertmanager_has_series_where_one_is_told_and_none_elsewhere() {
    let pushed = pushed(&["http://am-0:9093", "http://am-1:9093"]);
    let plain = encode(&page(snapshot()), Format::Classic).unwrap();
    assert!(!plain.contains("reset_monitor_alertmanager_"));
    let text = encode(&Page { pushed, ..page(snapshot()) }, Format::Classic).unwrap();
    for line in [
        "reset_monitor_alertmanager_alerts_sent_total{alertmanager=\"am-0:9093\"} 0",
        "reset_monitor_alertmanager_failures_total{alertmanager=\"am-1:9093\"} 0",
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} is not in {text}");
    }
}

#[test]
fn no_series_comes_twice() {
    let mut seen = BTreeSet::new();
    for sample in samples(&encode(&page(hooked_snapshot()), Format::Classic).unwrap()) {
        assert!(seen.insert((sample.name.clone(), sample.labels.clone())), "{sample:?}");
    }
}

#[test]
fn hostile_label_values_stay_inside_their_quotes() {
    let hostile = "a\"} 1\nreset_monitor_evil_total{x=\"\\";
    let mut page = page(snapshot());
    page.kernel = hostile.to_owned();
    for format in [Format::Classic, Format::OpenMetrics100] {
        let samples = samples(&encode(&page, format).unwrap());
        let build = samples.iter().find(|sample| sample.name == "reset_monitor_build_info").unwrap();
        assert_eq!(build.labels["kernel"], hostile);
        assert!(!samples.iter().any(|sample| sample.name.contains("evil")));
    }
}

#[tokio::test]
async fn the_format_is_the_one_the_scraper_asks_for() {
    let daemon = Daemon::new();
    let classic = daemon.get("/metrics").await;
    assert_eq!(classic.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    assert_eq!(classic.header("content-length"), classic.text.len().to_string());
    assert!(!classic.text.contains("# EOF"));
    let accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
    let open = daemon.ask(request(Method::GET, "/metrics").header(header::ACCEPT, accept)).await;
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text.ends_with("# EOF\n"));
}

#[tokio::test]
async fn scrapes_beyond_the_limit_are_sent_away_until_a_place_is_free() {
    let daemon = Daemon::new();
    let scrape = || async {
        daemon
            .router
            .clone()
            .oneshot(request(Method::GET, "/metrics").body(Body::empty()).unwrap())
            .await
            .unwrap()
    };
    let mut open = Vec::new();
    for _ in 0..40 {
        open.push(scrape().await);
    }
    let refused = daemon.get("/metrics").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    open.pop();
    assert_eq!(daemon.get("/metrics").await.status, StatusCode::OK);
}
