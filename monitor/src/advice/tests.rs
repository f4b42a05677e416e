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
        exchanges: Some(Range { count: 7, min: 100, max: 100 }),
        unread: Some(Range { count: 7, min: 7, max: 70 }),
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
        (Cause::IdleReuse, &["60.0 s (seen 7 times)", "55 s", "67 s", "61.2 s"][..]),
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
    // The client must be earlier than the earliest close, not than most of them.
    let early = Spread { min: Duration::from_secs(58), ..spread(60.0) };
    let text = advise(Cause::IdleReuse, &Case { peer_closes: Some(early), ..short }).text;
    assert!(text.contains("after 60.0 s (seen 7 times)") && text.contains("after 53 s of quiet"), "{text}");
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

fn setting_with(advice: &Advice, part: &str) -> String {
    let found = advice.settings.iter().find(|setting| setting.setting.contains(part));
    found.unwrap_or_else(|| panic!("{part} is not among the settings")).setting.clone()
}

#[test]
fn limits_of_the_whole_host_are_never_lowered() {
    let memory = advise(Cause::MemoryPressure, &known(Role::Server, Direction::Sent));
    assert_eq!(setting_with(&memory, "tcp_max_orphans"), "net.ipv4.tcp_max_orphans = <entries>");
    let stale = advise(Cause::StaleIdle, &known(Role::Client, Direction::Received));
    assert!(setting_with(&stale, "tcp_timeout_established").ends_with("= <seconds>"));
    assert_eq!(setting_with(&stale, "nf_conntrack_max"), "net.netfilter.nf_conntrack_max = 2048");
    let room = Case { conntrack: Some((100, 1_024)), ..known(Role::Client, Direction::Received) };
    let with_room = advise(Cause::StaleIdle, &room);
    assert!(!with_room.settings.iter().any(|setting| setting.setting.contains("nf_conntrack_max")));
    for (limit, nginx) in [(128, "<entries>"), (511, "1022")] {
        let case = Case { backlog: Some((limit + 1, limit)), ..known(Role::Server, Direction::Received) };
        let overflow = advise(Cause::ListenOverflow, &case);
        assert!(setting_with(&overflow, "somaxconn").contains("somaxconn = <entries>"));
        assert_eq!(setting_with(&overflow, "listen <port>"), format!("listen <port> backlog={nginx};"));
        assert!(overflow.text.contains(&(limit * 2).to_string()), "{}", overflow.text);
    }
}

#[test]
fn a_balancer_gets_no_number_that_it_does_not_take() {
    for (quiet, nlb) in [(30.0, "<seconds>"), (61.2, "67"), (7_200.0, "<seconds>")] {
        let case = Case { idle: Some(spread(quiet)), ..known(Role::Client, Direction::Received) };
        let abort = advise(Cause::IdleAbort, &case);
        assert!(setting_with(&abort, "tcp.idle_timeout.seconds").ends_with(&format!("Value={nlb}")));
        let reuse = advise(Cause::IdleReuse, &case);
        let alb = if quiet > 4_000.0 { "<seconds>".to_owned() } else { format!("{}", quiet.ceil() + 5.0) };
        assert!(setting_with(&reuse, "modify-load-balancer").ends_with(&format!("Value={alb}")));
    }
}

#[test]
fn where_the_clients_timer_was_over_it_is_the_client_that_must_wait_longer() {
    for (role, direction) in [(Role::Server, Direction::Received), (Role::Client, Direction::Sent)] {
        let advice = advise(Cause::IdleReuse, &known(role, direction));
        assert!(advice.settings.iter().all(|setting| setting.side == Side::Client), "{:?}", advice.settings);
        assert_eq!(setting_with(&advice, "IdleConnTimeout"), "IdleConnTimeout: 67 * time.Second,");
    }
}

#[test]
fn probes_come_as_often_as_they_begin() {
    let of = |seconds: f64| {
        let case = Case { idle: Some(spread(seconds)), ..known(Role::Client, Direction::Received) };
        setting_with(&advise(Cause::IdleAbort, &case), "tcp_keepalive_time")
    };
    assert_eq!(of(61.2), "net.ipv4.tcp_keepalive_time = 30\nnet.ipv4.tcp_keepalive_intvl = 30");
    assert!(of(1.5).contains("= <seconds>"), "less than a second is no setting");
}

#[test]
fn once_is_no_limit_on_requests() {
    for (count, value) in [(1, "<requests>"), (3, "99")] {
        let exchanges = Some(Range { count, min: 100, max: 100 });
        let case = Case { exchanges, ..known(Role::Client, Direction::Received) };
        let advice = advise(Cause::LateData, &case);
        assert_eq!(advice.text.contains("looks like a limit"), count == 3, "{}", advice.text);
        assert_eq!(setting_with(&advice, "keepalive_requests"), format!("keepalive_requests {value};"));
    }
}

#[test]
fn filters_of_tcpdump_see_what_they_are_for() {
    let of = |cause, peer: Option<&str>| {
        let case = Case { peer: peer.map(str::to_owned), ..known(Role::Server, Direction::Received) };
        advise(cause, &case).text
    };
    let v6 = "'host fd00::1 and ip6[6] = 6 and ip6[53] & 4 != 0'";
    assert!(of(Cause::Middlebox, Some("fd00::1")).contains(v6));
    assert!(of(Cause::Middlebox, Some("10.0.0.0/24")).contains("'net 10.0.0.0/24 and tcp[tcpflags]"));
    assert!(of(Cause::Middlebox, None).contains(") or ("));
    assert!(of(Cause::Other, Some("10.0.0.0/24")).contains("reset.pcap net 10.0.0.0/24"));
}

#[test]
fn a_burst_that_is_no_restart_is_not_called_one() {
    let case = known(Role::Client, Direction::Received);
    let of = |restart| {
        let burst = case.burst.map(|burst| Burst { restart, ..burst });
        advise(Cause::PeerAbort, &Case { burst, ..case.clone() }).text
    };
    assert!(of(true).contains("restart of it") && !of(false).contains("restart of it"));
}
