//! Whose events are whose, what comes first, and nothing twice.

use std::sync::Arc;
use std::time::Duration;

use monitor_common::counters::Kind;

use super::*;
use crate::event::{Event, Segment, Told};
use crate::http::filter::PeerFilter;
use crate::idle::{Basis, Idle};
use crate::snapshot::{CauseCounts, PeerLabel, SignalStatus};
use crate::verdict::Confidence;

fn row(peer: Scope, port: u16, role: Role, netns: u32) -> PeerRow {
    PeerRow {
        label: PeerLabel { scope: peer, port: Some(port), role },
        netns: Some(netns),
        counts: PeerCounts { closed: 10, ..PeerCounts::default() },
        causes: None,
        open: None,
    }
}

fn address(text: &str) -> Scope {
    Scope::Address(text.parse().unwrap())
}

/// A reset received from a peer by us as client.
fn received(id: u64, peer: &str, port: u16, netns: u32, cause: Cause) -> Arc<Told> {
    let event = Event {
        netns,
        remote: (peer.parse::<std::net::IpAddr>().unwrap(), port).into(),
        role: Some(Role::Client),
        slot: Some(1),
        idle: Some(Idle { time: Duration::from_secs(id), basis: Basis::BeforeReset, at_least: false }),
        ..Event::of_kind(Kind::ResetReceived)
    };
    let verdict = crate::verdict::Verdict::of(cause, Confidence::Likely, &[], None);
    Arc::new(Told { id, event, verdict: Some(verdict), burst: None })
}

fn host<'a>(rows: &'a [PeerRow], listening: &'a Listening, signals: &'a [SignalRow]) -> Host<'a> {
    Host { rows, ports: &[], listening, signals, timeouts: &[], since: Timestamp::UNIX_EPOCH }
}

#[test]
fn a_peer_gets_its_own_events_and_no_others() {
    let rows = [
        row(address("10.0.0.5"), 80, Role::Client, 1),
        row(Scope::Network("10.0.0.0".parse().unwrap(), 24), 80, Role::Client, 1),
    ];
    let kept = [
        received(1, "10.0.0.5", 80, 1, Cause::IdleReuse),
        received(2, "::ffff:10.0.0.5", 80, 1, Cause::IdleReuse),
        received(3, "10.0.0.5", 81, 1, Cause::IdleReuse),
        received(4, "10.0.0.5", 80, 2, Cause::IdleReuse),
        received(5, "10.0.0.6", 80, 1, Cause::IdleReuse),
    ];
    let listening = Listening::default();
    let host = host(&rows, &listening, &[]);
    let ids = |peer: &str| {
        let filter = PeerFilter { peer: Some(peer.parse().unwrap()), ..PeerFilter::default() };
        let (subjects, _) = select(&filter, &host, &kept, 10);
        let mut ids: Vec<Vec<u64>> =
            subjects.iter().map(|subject| subject.events.iter().map(|told| told.id).collect()).collect();
        ids.sort();
        ids
    };
    assert_eq!(ids("10.0.0.5"), [[1, 2]]);
    // The network's are those without a row of their own.
    assert_eq!(ids("10.0.0.0/24"), [vec![1, 2], vec![5]]);
    assert_eq!(ids("10.0.0.7"), [[0; 0]; 0]);
}

#[test]
fn what_hurts_comes_before_what_was_meant_however_often_that_was() {
    let mut peer = row(address("10.0.0.5"), 80, Role::Client, 1);
    let mut causes = CauseCounts::default();
    causes.received[Cause::LingerAbort as usize] = 500;
    causes.received[Cause::IdleReuse as usize] = 2;
    causes.received[Cause::PeerAbort as usize] = 3;
    peer.counts = PeerCounts { resets_received: 505, refused_received: 90, ..peer.counts };
    peer.causes = Some(Box::new(causes));
    let rows = [peer];
    let listening = Listening::default();
    let host = host(&rows, &listening, &[]);
    let kept: [Arc<Told>; 0] = [];
    let filter = PeerFilter { peer: Some("10.0.0.5".parse().unwrap()), ..PeerFilter::default() };
    let (subjects, found) = select(&filter, &host, &kept, 10);
    let diagnosis = diagnose(&subjects[0], &host);
    let order: Vec<Cause> = diagnosis.causes.iter().map(|seen| seen.cause).collect();
    assert_eq!(order, [Cause::PeerAbort, Cause::IdleReuse, Cause::Refused, Cause::LingerAbort]);
    assert_eq!((diagnosis.fixes.len(), found), (3, 1));
    assert_eq!((diagnosis.verdict.count, diagnosis.verdict.of), (3, 505));
    assert_eq!(diagnosis.verdict.confidence, None, "no event is kept");
}

#[test]
fn no_setting_comes_twice() {
    let mut peer = row(address("10.0.0.5"), 80, Role::Client, 1);
    let mut causes = CauseCounts::default();
    causes.received[Cause::IdleReuse as usize] = 2;
    causes.sent[Cause::IdleReuse as usize] = 1;
    causes.received[Cause::LateData as usize] = 1;
    peer.causes = Some(Box::new(causes));
    let rows = [peer];
    let listening = Listening::default();
    let host = host(&rows, &listening, &[]);
    let kept: [Arc<Told>; 0] = [];
    let filter = PeerFilter { peer: Some("10.0.0.5".parse().unwrap()), ..PeerFilter::default() };
    let (subjects, _) = select(&filter, &host, &kept, 10);
    let fixes = diagnose(&subjects[0], &host).fixes;
    assert_eq!(fixes.iter().map(|fix| fix.cause).collect::<Vec<_>>(), [Cause::IdleReuse, Cause::LateData]);
    let settings: Vec<_> = fixes.iter().flat_map(|fix| &fix.advice.settings).collect();
    for (place, setting) in settings.iter().enumerate() {
        let twice = settings.iter().skip(place + 1).any(|other| {
            (other.software, other.side, &other.setting) == (setting.software, setting.side, &setting.setting)
        });
        assert!(!twice, "{setting:?}");
    }
}

#[test]
fn ttls_are_compared_where_both_are_known() {
    let with = |ttl: u8, baseline: Option<u8>| {
        let told = received(1, "10.0.0.5", 80, 1, Cause::Middlebox);
        let segment = Segment { flags: 4, bytes: 0, ttl, ifindex: 1, sequence_distance: None };
        let event = Event { segment: Some(segment), baseline_ttl: baseline, ..told.event.clone() };
        Arc::new(Told { event, ..Told::clone(&told) })
    };
    let kept = [with(64, Some(64)), with(62, Some(64)), with(55, Some(64)), with(1, None)];
    let mut peer = row(address("10.0.0.5"), 80, Role::Client, 1);
    let mut causes = CauseCounts::default();
    causes.received[Cause::Middlebox as usize] = 4;
    peer.causes = Some(Box::new(causes));
    let rows = [peer];
    let signals = [SignalRow {
        signal: "ttl_baseline_client",
        hook: "none".to_owned(),
        status: SignalStatus::Missing,
        why: "no TTL".to_owned(),
        advice: String::new(),
    }];
    let listening = Listening::default();
    let host = host(&rows, &listening, &signals);
    let filter = PeerFilter { peer: Some("10.0.0.5".parse().unwrap()), ..PeerFilter::default() };
    let (subjects, _) = select(&filter, &host, &kept, 10);
    let diagnosis = diagnose(&subjects[0], &host);
    let ttl = diagnosis.causes[0].ttl.unwrap();
    assert_eq!((ttl.compared, ttl.apart, ttl.example), (3, 1, Some((55, 64))));
    assert_eq!((ttl.reset.text(), ttl.baseline.text()), ("55 to 64".into(), "64".into()));
    assert_eq!(diagnosis.unseen[0].signal, "ttl_baseline_client");
}

fn one<'a>(kept: &'a [Arc<Told>], rows: &'a [PeerRow], listening: &'a Listening) -> Diagnosis {
    let host = host(rows, listening, &[]);
    let (subjects, _) = select(&PeerFilter::default(), &host, kept, 10);
    diagnose(&subjects[0], &host)
}

fn with(label: PeerLabel, counts: PeerCounts, causes: &[(Cause, u64)]) -> PeerRow {
    let mut all = CauseCounts::default();
    for (cause, count) in causes {
        all.received[*cause as usize] = *count;
    }
    PeerRow {
        label,
        netns: Some(1),
        counts: PeerCounts { closed: 10, ..counts },
        causes: Some(Box::new(all)),
        open: None,
    }
}

#[test]
fn only_is_not_said_where_there_was_more() {
    let sentence = |resets_received, causes: &[(Cause, u64)]| {
        let counts = PeerCounts { resets_received, refused_received: 5, ..PeerCounts::default() };
        let rows = [with(row(address("10.0.0.5"), 80, Role::Server, 1).label, counts, causes)];
        let verdict = one(&[], &rows, &Listening::default()).verdict;
        (verdict.finding, verdict.sentence)
    };
    let (finding, text) = sentence(0, &[]);
    assert!(finding == Finding::RefusedOnly && text.starts_with("Refused only: 5 "), "{text}");
    let (finding, text) = sentence(9, &[(Cause::LingerAbort, 9)]);
    assert!(finding == Finding::Resets && text.contains("beside 9 resets"), "{text}");
    let (finding, text) = sentence(3, &[(Cause::ListenOverflow, 100), (Cause::IdleReuse, 3)]);
    assert!(finding == Finding::Resets && text.contains("full 100 times, beside 3 resets"), "{text}");
}

#[test]
fn a_queue_of_our_namespace_is_not_shown_for_another() {
    use crate::snapshot::listening::ListenerRow;
    let socket = ListenerRow {
        address: "0.0.0.0:80".parse().unwrap(),
        interface: None,
        only_v6: None,
        queue: Queue { backlog: 9, limit: 8 },
        drops: Some(7),
        inode: 1,
        uid: 0,
    };
    let listening = Listening { own: Some(1), sockets: Some([socket].into()), ..Listening::default() };
    let listener = |netns| {
        let rows = [row(address("10.0.0.5"), 80, Role::Server, netns)];
        one(&[], &rows, &listening).listener.unwrap()
    };
    assert_eq!((listener(1).queue, listener(1).drops), (Some(socket.queue), Some(7)));
    assert_eq!(listener(2), ListenerFacts { overflows: None, queue: None, drops: None });
    let unknown = Listening { own: None, ..listening.clone() };
    let rows = [row(address("10.0.0.5"), 80, Role::Server, 1)];
    assert_eq!(one(&[], &rows, &unknown).listener.unwrap().drops, None);
}

#[test]
fn an_overflow_that_was_also_reset_counts_once() {
    let event = |id, kind| {
        let event = Event {
            netns: 1,
            local: "10.0.0.1:80".parse().unwrap(),
            remote: "10.0.0.5:4000".parse().unwrap(),
            ..Event::of_kind(kind)
        };
        let verdict = crate::verdict::Verdict::of(Cause::ListenOverflow, Confidence::Certain, &[], None);
        Arc::new(Told { id, event, verdict: Some(verdict), burst: None })
    };
    let rows = [row(address("10.0.0.5"), 80, Role::Server, 1)];
    let count = |kept: &[Arc<Told>]| one(kept, &rows, &Listening::default()).causes[0].count;
    assert_eq!(count(&[event(1, Kind::ListenOverflow), event(2, Kind::StraySent)]), 1);
    assert_eq!(count(&[event(2, Kind::StraySent)]), 1, "where only the reset is seen");
}

#[test]
fn a_cause_in_both_directions_takes_the_place_of_no_other() {
    let mut causes = CauseCounts::default();
    for (cause, count) in [(Cause::IdleReuse, 9), (Cause::LateData, 8), (Cause::PeerAbort, 1)] {
        causes.received[cause as usize] = count;
        causes.sent[cause as usize] = count;
    }
    let mut peer = row(address("10.0.0.5"), 80, Role::Server, 1);
    peer.causes = Some(Box::new(causes));
    let fixes = one(&[], &[peer], &Listening::default()).fixes;
    let causes: Vec<_> = fixes.iter().map(|fix| fix.cause).collect();
    assert_eq!(causes, [Cause::IdleReuse, Cause::LateData, Cause::PeerAbort]);
}

#[test]
fn of_many_peers_the_worst_are_chosen_and_all_are_counted() {
    let rows: Vec<_> = (0..200u16)
        .map(|number| {
            let counts = PeerCounts { reset: number.into(), ..PeerCounts::default() };
            with(row(address("10.0.0.1"), 1_000 + number, Role::Client, 1).label, counts, &[])
        })
        .collect();
    let listening = Listening::default();
    let host = host(&rows, &listening, &[]);
    let kept: [Arc<Told>; 0] = [];
    let filter = PeerFilter { peer: Some("10.0.0.1".parse().unwrap()), ..PeerFilter::default() };
    let (subjects, found) = select(&filter, &host, &kept, 3);
    assert_eq!(found, 200);
    assert_eq!(subjects.iter().map(|subject| subject.counts.reset).collect::<Vec<_>>(), [199, 198, 197]);
}

#[test]
fn a_timer_is_the_one_that_timeouts_are_inferred_from() {
    let mut timeouts = crate::timeouts::Timeouts::default();
    // One client leaves after 5 s each time, another after any quiet; the port of ours has both.
    for (id, idles) in [(1, [5, 11]), (3, [5, 24]), (5, [5, 38]), (7, [5, 47])] {
        for (peer, idle) in ["10.0.0.5", "10.0.1.6"].into_iter().zip(idles) {
            let event = Event {
                netns: 1,
                monotonic_ns: id * 1_000_000_000,
                local: "10.0.0.9:80".parse().unwrap(),
                remote: (peer.parse::<std::net::IpAddr>().unwrap(), 40_000).into(),
                role: Some(Role::Server),
                idle: Some(Idle {
                    time: Duration::from_secs(idle),
                    basis: Basis::BeforeFin,
                    at_least: false,
                }),
                ..Event::of_kind(Kind::IdleCloseReceived)
            };
            timeouts.observe(&Told { id, event, verdict: None, burst: None });
        }
    }
    let timeouts = timeouts.rows(Duration::from_secs(100));
    let rows = ["10.0.0.5", "10.0.1.6"].map(|peer| row(address(peer), 80, Role::Server, 1));
    let networks = ["10.0.0.0", "10.0.1.0"]
        .map(|network| row(Scope::Network(network.parse().unwrap(), 24), 80, Role::Server, 1));
    let rows = [rows, networks].concat();
    let listening = Listening::default();
    let host = Host { timeouts: &timeouts, ..host(&rows, &listening, &[]) };
    let peer_closes = |query: PeerFilter| {
        let (subjects, _) = select(&query, &host, &[] as &[Arc<Told>], 10);
        let closes =
            |subject| diagnose(subject, &host).peer_closes.map(|spread| (spread.count, spread.median));
        subjects.iter().map(closes).collect::<Vec<_>>()
    };
    let of = |peer: &str| {
        peer_closes(PeerFilter { peer: Some(peer.parse().unwrap()), port: Some(80), ..PeerFilter::default() })
    };
    let seen = Some((4, Duration::from_secs(5)));
    assert_eq!((of("10.0.0.5"), of("10.0.1.6")), (vec![seen], vec![None]));
    assert_eq!(of("10.0.0.0/24"), [seen, seen], "the network's row, too");
    assert_eq!(of("10.0.1.0/24"), [None, None]);
    let port = |role| PeerFilter { port: Some(80), role, ..PeerFilter::default() };
    assert_eq!(peer_closes(port(None)), [seen]);
    assert_eq!(peer_closes(port(Some(Role::Client))), []);
}
