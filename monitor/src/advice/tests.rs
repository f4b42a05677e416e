//! Advice for every cause, role and direction: complete, and without a number that was not seen.

use std::time::Duration;

use monitor_common::peer::Role;

use super::numbers::{Range, Spread};
use super::settings::{Side, Software};
use super::{Advice, Case, advise};
use crate::burst::Burst;
use crate::cause::Cause;
use crate::event::Direction;

fn spread(seconds: f64) -> Spread {
    let time = Duration::from_secs_f64(seconds);
    Spread { count: 7, min: time, median: time, max: time }
}

/// Every cause for both roles and directions.
fn every(case: impl Fn(Role, Direction) -> Case) -> Vec<(Cause, Advice)> {
    let mut all = Vec::new();
    for cause in Cause::ALL {
        for role in Role::ALL {
            for direction in [Direction::Sent, Direction::Received] {
                all.push((cause, advise(cause, &case(role, direction))));
            }
        }
    }
    all
}

fn known(role: Role, direction: Direction) -> Case {
    let burst = Burst {
        id: 1,
        first: jiff::Timestamp::UNIX_EPOCH,
        last: jiff::Timestamp::UNIX_EPOCH + Duration::from_millis(250),
        connections: 17,
        restart: true,
    };
    Case {
        peer: Some("10.0.0.5".to_owned()),
        port: Some(8080),
        idle: Some(spread(61.2)),
        peer_closes: Some(spread(60.0)),
        own_closes: Some(spread(60.0)),
        exchanges: Some(Range { min: 100, max: 100 }),
        unread: Some(Range { min: 7, max: 70 }),
        backlog: Some((129, 128)),
        overflows: Some(34),
        conntrack: Some((900, 1024)),
        orphans: Some(12),
        owner: Some("nginx".to_owned()),
        exit_signal: Some(9),
        ttl: Some((55, 64)),
        burst: Some(burst),
        ..Case::of(role, direction)
    }
}

#[test]
fn every_cause_has_advice_of_two_to_five_sentences() {
    for (cause, Advice { text, .. }) in every(Case::of).into_iter().chain(every(known)) {
        let sentences = text.matches(". ").count() + 1;
        assert!(text.ends_with('.') && (2..=5).contains(&sentences), "{}: {text}", cause.name());
        assert!(text.starts_with(char::is_uppercase), "{}: {text}", cause.name());
        assert!(!text.contains("  ") && !text.contains(".."), "{}: {text}", cause.name());
    }
}

#[test]
fn no_number_is_made_up_where_none_was_seen() {
    for (cause, Advice { settings, .. }) in every(Case::of) {
        for setting in settings {
            assert_eq!(setting.value, None, "{}: {}", cause.name(), setting.setting);
        }
    }
}

#[test]
fn what_was_seen_is_named() {
    for (cause, numbers) in [
        (Cause::IdleReuse, &["60.0 s (7 closes seen)", "55 s", "67 s", "61.2 s"][..]),
        (Cause::LateData, &["100 exchanges", "leave after 99"]),
        (Cause::IdleAbort, &["61.2 s", "30 s", "56 s"]),
        (Cause::StaleIdle, &["61.2 s", "30 s", "900 of at most 1024"]),
        (Cause::Middlebox, &["TTL 55", "had 64", "off by 9", "host 10.0.0.5"]),
        (Cause::KeepaliveTimeout, &["61.2 s"]),
        (Cause::ListenOverflow, &["port 8080", "34 times", "129", "128", "256"]),
        (Cause::NetfilterReject, &["port 8080"]),
        (Cause::ProcessExit, &["signal 9", "17 connections", "250 ms"]),
        (Cause::MemoryPressure, &["12 orphans"]),
        (Cause::ListenerClosed, &["129 connections"]),
        (Cause::UnreadData, &["7 to 70 bytes"]),
        (Cause::Refused, &["port 8080"]),
        (Cause::PeerOverflow, &["61 s"]),
        (Cause::PeerAbort, &["100 exchanges", "17 connections"]),
    ] {
        let direction = if matches!(cause, Cause::MemoryPressure | Cause::ProcessExit) {
            Direction::Sent
        } else {
            Direction::Received
        };
        let text = advise(cause, &known(Role::Client, direction)).text;
        for number in numbers {
            assert!(text.contains(number), "{}: {number} is not in {text}", cause.name());
        }
    }
}

#[test]
fn the_client_is_told_to_give_up_first_on_whichever_side_it_is() {
    for (role, direction) in [(Role::Client, Direction::Received), (Role::Server, Direction::Sent)] {
        let advice = advise(Cause::IdleReuse, &known(role, direction));
        let of = |software, side, part: &str| {
            advice.settings.iter().any(|setting| {
                setting.software == software && setting.side == side && setting.setting.contains(part)
            })
        };
        assert!(of(Software::Nginx, Side::Client, "keepalive_timeout 55s;"));
        assert!(of(Software::Nginx, Side::Server, "keepalive_timeout 67s;"));
        assert!(of(Software::HaProxy, Side::Server, "timeout http-keep-alive 67s\ntimeout client 67s"));
        assert!(of(Software::Envoy, Side::Client, "idle_timeout: 55s"));
        assert!(of(Software::Go, Side::Client, "IdleConnTimeout: 55 * time.Second"));
        assert!(of(Software::Node, Side::Server, "keepAliveTimeout = 67000;"));
        assert!(of(Software::Node, Side::Server, "headersTimeout = 68000;"));
        assert!(of(Software::Node, Side::Client, "keepAliveTimeout: 55000"));
        assert!(of(Software::HttpClient, Side::Client, "evictIdleConnections(TimeValue.ofSeconds(55))"));
        assert!(of(Software::Tomcat, Side::Server, "keepAliveTimeout=\"67000\""));
        assert!(of(Software::IngressNginx, Side::Client, "upstream-keepalive-timeout: \"55\""));
        assert!(of(Software::Aws, Side::Server, "idle_timeout.timeout_seconds,Value=67"));
    }
}

#[test]
fn without_a_timeout_the_text_names_the_command_that_shows_it() {
    let case =
        Case { peer: Some("10.0.0.5".into()), port: Some(80), ..Case::of(Role::Client, Direction::Received) };
    let text = advise(Cause::IdleReuse, &case).text;
    assert!(text.contains("`reset-monitor events --idle-closes --peer 10.0.0.5 --port 80`"), "{text}");
    let short = Case { peer_closes: Some(spread(1.0)), ..case };
    assert!(advise(Cause::IdleReuse, &short).text.contains("too short"));
}

#[test]
fn an_out_of_memory_kill_leads_to_the_memory_limit_and_a_shutdown_to_draining() {
    let of = |signal| {
        let case = Case { exit_signal: Some(signal), ..Case::of(Role::Server, Direction::Sent) };
        advise(Cause::ProcessExit, &case)
    };
    let has = |advice: &Advice, part: &str| advice.settings.iter().any(|set| set.setting.contains(part));
    assert!(of(9).text.contains("OOM killer") && has(&of(9), "memory:"));
    let known = |oom_killed| {
        let case = Case {
            exit_signal: Some(9),
            oom_killed: Some(oom_killed),
            ..Case::of(Role::Server, Direction::Sent)
        };
        advise(Cause::ProcessExit, &case)
    };
    assert!(known(true).text.contains("OOM killer did it") && has(&known(true), "memory:"));
    assert!(known(false).text.contains("no OOM kill") && !has(&known(false), "memory:"));
    assert!(of(15).text.contains("SIGTERM") && !has(&of(15), "memory:"));
    assert!(has(&of(15), "terminationGracePeriodSeconds") && has(&of(15), "deregistration_delay"));
}
