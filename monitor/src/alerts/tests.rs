//! Each alert below, at and above its threshold, and what must never be one. Time is a number here: nothing waits.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use jiff::Timestamp;
use monitor_common::counters::Kind;
use monitor_common::peer::Role;

use super::book::{AlertRow, Measure, State};
use super::catalog::{Alert, Of};
use super::rules::Rules;
use super::subject::{Listener, Subject};
use super::{Engine, PairReading, PeerReading, Reading};
use crate::clock::WallClock;
use crate::counts::Stories;
use crate::snapshot::listening::{ConntrackRow, ListenerOverflows, Listening, OverflowRow, StageCounts};
use crate::snapshot::{PeerLabel, Scope, SignalRow, SignalStatus};
use crate::timeouts::Service;

mod random;
mod windows;

/// When the daemon of these tests started.
const STARTED: Duration = Duration::from_secs(1_000);
const EVERY: u64 = 15;

/// What a test lets happen: counts as they stand.
#[derive(Clone, Default)]
struct Host {
    peers: Vec<PeerReading>,
    pairs: Vec<PairReading>,
    listening: Listening,
    stories: Stories,
    signals: Vec<SignalRow>,
}

/// An engine and its time.
struct Run {
    engine: Engine,
    now: Duration,
    host: Host,
}

impl Run {
    fn new(host: Host) -> Self {
        Self::with(Rules::default(), host)
    }

    fn with(rules: Rules, host: Host) -> Self {
        Self { engine: Engine::new(rules, STARTED), now: STARTED, host }
    }

    /// Evaluates so many times, 15 s after each other, with counts as they are.
    fn ticks(&mut self, count: u64) -> &mut Self {
        self.ticks_while(count, |_| ())
    }

    /// The same, with a change of counts before each.
    fn ticks_while(&mut self, count: u64, mut change: impl FnMut(&mut Host)) -> &mut Self {
        for _ in 0..count {
            change(&mut self.host);
            self.now += Duration::from_secs(EVERY);
            self.evaluate(self.now);
        }
        self
    }

    fn evaluate(&mut self, now: Duration) {
        let Host { peers, pairs, listening, stories, signals } = &self.host;
        let peers = peers.iter().copied();
        self.engine.evaluate(Reading { peers, pairs: pairs.clone(), listening, stories, signals }, now);
    }

    fn rows(&self) -> Vec<AlertRow> {
        self.engine.report(WallClock::from_pair(Timestamp::UNIX_EPOCH, Duration::ZERO)).rows
    }

    /// The only row of an alert, or none.
    #[track_caller]
    fn row(&self, alert: Alert) -> Option<AlertRow> {
        let mut rows = self.rows();
        rows.retain(|row| row.identity.alert == alert);
        assert!(rows.len() < 2, "{rows:?}");
        rows.pop()
    }

    fn state(&self, alert: Alert) -> Option<State> {
        self.row(alert).map(|row| row.state())
    }
}

fn minutes(minutes: u64) -> u64 {
    minutes * 60 / EVERY
}

fn label(number: u32) -> PeerLabel {
    let address = Ipv4Addr::from_bits(0x0a00_0000 + number);
    PeerLabel { scope: Scope::Address(IpAddr::V4(address)), port: Some(5432), role: Role::Client }
}

/// A peer in a slot, without any count.
fn peer(slot: u32) -> PeerReading {
    PeerReading {
        slot,
        netns: Some(1),
        label: label(slot),
        reset: 0,
        closed: 0,
        exchanges: 0,
        idle_reuse: 0,
        middlebox: 0,
    }
}

fn host(peer: PeerReading) -> Host {
    Host { peers: vec![peer], ..Host::default() }
}

/// Whether an alert holds of such a peer, at the first evaluation after the start.
fn holds(alert: Alert, peer: PeerReading) -> bool {
    Run::new(host(peer)).ticks(1).state(alert).is_some()
}

#[test]
fn a_ratio_of_a_thousandth_is_no_alert_and_one_above_is() {
    let exchanges = |reset, exchanges| PeerReading { reset, exchanges, ..peer(0) };
    let closed = |reset, closed| PeerReading { reset, closed, ..peer(0) };
    for (reset, whole, expected) in [
        (3, 3_001, false),
        (3, 3_000, false),
        (3, 2_999, true),
        (5, 10_000, false),
        (10, 10_000, false),
        (30, 10_000, true),
        (100, 100, true),
    ] {
        assert_eq!(holds(Alert::ResetRatioHigh, exchanges(reset, whole)), expected, "{reset}/{whole}");
        assert_eq!(holds(Alert::ConnectionResetRatioHigh, closed(reset, whole)), expected, "{reset}/{whole}");
        assert!(!holds(Alert::ResetRatioHigh, closed(reset, whole)), "without exchanges");
    }
}

#[test]
fn little_volume_is_no_alert_however_high_the_ratio() {
    for (reset, whole) in [(1, 3), (2, 1_000), (3, 99), (99, 99), (50, 0), (0, 100_000)] {
        let peer = PeerReading { reset, closed: whole, exchanges: whole, ..peer(0) };
        assert!(!holds(Alert::ResetRatioHigh, peer), "{reset} of {whole}");
        assert!(!holds(Alert::ConnectionResetRatioHigh, peer), "{reset} of {whole}");
    }
    let enough = PeerReading { reset: 3, closed: 100, exchanges: 100, ..peer(0) };
    assert!(holds(Alert::ResetRatioHigh, enough) && holds(Alert::ConnectionResetRatioHigh, enough));
}

#[test]
fn counts_alert_from_their_threshold_on() {
    for (alert, below) in [
        (Alert::IdleReuseResets, PeerReading { idle_reuse: 2, ..peer(0) }),
        (Alert::MiddleboxResets, PeerReading { middlebox: 2, ..peer(0) }),
        (Alert::ResetBurst, PeerReading { reset: 49, ..peer(0) }),
    ] {
        let one_more = PeerReading {
            idle_reuse: below.idle_reuse + 1,
            middlebox: below.middlebox + 1,
            reset: below.reset + 1,
            ..below
        };
        assert!(!holds(alert, below), "{}", alert.name());
        let mut run = Run::new(host(one_more));
        assert_eq!(run.ticks(1).state(alert), Some(State::Firing), "{}: it fires at once", alert.name());
    }
}

#[test]
fn deliberate_closes_refusals_and_scans_are_in_none_of_these_counts() {
    // They are counted, but not as connections reset: nothing that alerts read has a place for them.
    let run = &mut Run::new(host(PeerReading { closed: 10_000, exchanges: 10_000, ..peer(0) }));
    assert_eq!(run.ticks(minutes(30)).rows(), []);
}

#[test]
fn a_margin_below_zero_is_misaligned_and_none_is_not() {
    let peer = Some("10.0.0.7".parse().unwrap());
    let pair = |margin_ms| PairReading {
        service: Service { netns: 1, peer, port: 80, role: Role::Client },
        margin_ms,
    };
    for (margin_ms, expected) in [(-1, Some(State::Pending)), (0, None), (5_000, None)] {
        let mut run = Run::new(Host { pairs: vec![pair(margin_ms)], ..Host::default() });
        assert_eq!(run.ticks(1).state(Alert::KeepAliveMisaligned), expected, "{margin_ms}");
    }
    let mut run = Run::new(Host { pairs: vec![pair(-28)], ..Host::default() });
    assert_eq!(run.ticks(minutes(5)).state(Alert::KeepAliveMisaligned), Some(State::Pending));
    let row = run.ticks(1).row(Alert::KeepAliveMisaligned).unwrap();
    assert_eq!((row.state(), row.measure), (State::Firing, Measure::Margin { milliseconds: -28 }));
}

fn overflowed(count: u64) -> Listening {
    let address = "10.0.0.9:80".parse().unwrap();
    let counts = StageCounts { syn: count / 2, ack: count - count / 2 };
    let rows = vec![OverflowRow { netns: 1, address, counts }];
    Listening {
        overflows: Some(ListenerOverflows { rows, ..ListenerOverflows::default() }),
        listen_overflows: Some(count),
        ..Listening::default()
    }
}

#[test]
fn ten_overflows_of_a_listener_in_five_minutes_are_an_alert() {
    for (count, expected) in [(9, None), (10, Some(State::Firing))] {
        let mut run = Run::new(Host { listening: overflowed(count), ..Host::default() });
        assert_eq!(run.ticks(1).state(Alert::ListenOverflow), expected, "{count}");
    }
    // Nine in each window are not ten.
    let mut run = Run::new(Host::default());
    let mut count = 0;
    run.ticks_while(20, |host| {
        count += 9;
        host.listening = overflowed(count);
    });
    assert_eq!(run.state(Alert::ListenOverflow), Some(State::Firing), "but nine every 15 s are");
    let unhooked = Listening { listen_overflows: Some(10), ..Listening::default() };
    let mut run = Run::new(Host { listening: unhooked, ..Host::default() });
    let subject = run.ticks(1).row(Alert::ListenOverflow).unwrap().identity.subject;
    assert_eq!(subject, Subject::Listener { netns: None, listener: Listener::Unknown });
}

#[test]
fn a_listener_that_is_gone_and_comes_again_begins_anew() {
    let mut run = Run::new(Host { listening: overflowed(9), ..Host::default() });
    run.ticks(1).ticks_while(1, |host| host.listening = Listening::default());
    run.ticks_while(1, |host| host.listening = overflowed(5));
    assert_eq!(run.state(Alert::ListenOverflow), None);
    run.ticks_while(1, |host| host.listening = overflowed(2));
    assert_eq!(run.state(Alert::ListenOverflow), None, "nor is a count that went back an increase");
}

#[test]
fn conntrack_is_nearly_full_above_nine_tenths() {
    for (entries, expected) in [(900, None), (901, Some(State::Pending))] {
        let conntrack = Some(ConntrackRow { entries: Some(entries), limit: Some(1_000), drops: None });
        let listening = Listening { conntrack, ..Listening::default() };
        let mut run = Run::new(Host { listening, ..Host::default() });
        assert_eq!(run.ticks(1).state(Alert::ConntrackNearlyFull), expected, "{entries}");
    }
    let conntrack = Some(ConntrackRow { entries: Some(5), limit: Some(0), drops: None });
    let mut run =
        Run::new(Host { listening: Listening { conntrack, ..Listening::default() }, ..Host::default() });
    assert_eq!(run.ticks(1).state(Alert::ConntrackNearlyFull), None, "a limit of 0 is none");
}

#[test]
fn any_lost_story_is_an_alert_and_a_suppressed_one_is_not() {
    let mut run = Run::new(Host::default());
    run.host.stories.kinds[Kind::StraySent as usize].suppressed = 5;
    assert_eq!(run.ticks(1).state(Alert::EventsLost), None);
    run.host.stories.kinds[Kind::StraySent as usize].lost = 1;
    assert_eq!(run.ticks(1).state(Alert::EventsLost), Some(State::Firing));
    // It is in the window for ten minutes, and held for five more.
    assert_eq!(run.ticks(minutes(14)).state(Alert::EventsLost), Some(State::Firing));
    assert_eq!(run.ticks(minutes(2)).state(Alert::EventsLost), Some(State::Resolved));
}

#[test]
fn a_signal_that_is_missing_for_five_minutes_is_an_alert_of_its_own() {
    let signal = |signal, status| SignalRow {
        signal,
        hook: "none".to_owned(),
        status,
        why: String::new(),
        advice: String::new(),
    };
    let signals = vec![
        signal("reset_sent", SignalStatus::Works),
        signal("conntrack", SignalStatus::Degraded),
        signal("reject", SignalStatus::Missing),
    ];
    let mut run = Run::new(Host { signals, ..Host::default() });
    assert_eq!(run.ticks(minutes(5)).state(Alert::SignalMissing), Some(State::Pending));
    let row = run.ticks(1).row(Alert::SignalMissing).unwrap();
    assert_eq!((row.state(), row.identity.subject), (State::Firing, Subject::Signal("reject")));
}

#[test]
fn it_fires_after_its_time_and_not_when_it_held_with_a_break() {
    let bad = |host: &mut Host| {
        host.peers[0].reset += 3;
        host.peers[0].exchanges += 1_000;
    };
    let mut run = Run::new(host(peer(0)));
    run.ticks_while(minutes(10), bad);
    let row = run.row(Alert::ResetRatioHigh).unwrap();
    assert_eq!((row.state(), row.since), (State::Pending, STARTED + Duration::from_secs(EVERY)));
    run.ticks_while(1, bad);
    let row = run.row(Alert::ResetRatioHigh).unwrap();
    assert_eq!((row.state(), row.fired), (State::Firing, Some(run.now)));
    assert_eq!(row.since, STARTED + Duration::from_secs(EVERY), "since when it holds is not when it fired");

    // Enough good traffic, for one evaluation, and it begins again.
    let mut run = Run::new(host(peer(0)));
    run.ticks_while(minutes(9), bad).ticks_while(1, |host| host.peers[0].exchanges += 1_000_000);
    assert_eq!(run.state(Alert::ResetRatioHigh), None);
    let mut run = Run::new(host(peer(0)));
    run.ticks_while(minutes(3), |_| ()).ticks_while(minutes(10), bad);
    assert_eq!(run.state(Alert::ResetRatioHigh), Some(State::Pending), "it counts from when it holds");
}

#[test]
fn it_is_held_for_five_minutes_and_one_that_comes_back_meanwhile_goes_on() {
    let burst = |host: &mut Host| host.peers[0].reset += 50;
    let mut run = Run::new(host(peer(0)));
    run.ticks_while(1, burst);
    let fired = run.row(Alert::ResetBurst).unwrap().fired;
    assert!(fired.is_some());
    // In the window for a minute, then held.
    run.ticks(minutes(1) + minutes(5) - 1);
    assert_eq!(run.state(Alert::ResetBurst), Some(State::Firing));
    run.ticks_while(1, burst).ticks(minutes(1) + minutes(5) - 1);
    let row = run.row(Alert::ResetBurst).unwrap();
    assert_eq!((row.state(), row.fired), (State::Firing, fired), "the same one, without a break");
    run.ticks(2);
    let row = run.row(Alert::ResetBurst).unwrap();
    assert_eq!((row.state(), row.fired), (State::Resolved, fired));
    // One that fires again is not over.
    run.ticks_while(1, burst);
    assert_eq!(run.state(Alert::ResetBurst), Some(State::Firing));
    run.ticks(minutes(7));
    assert_eq!(run.state(Alert::ResetBurst), Some(State::Resolved));
    run.ticks(minutes(15));
    assert_eq!(run.row(Alert::ResetBurst), None, "it is not kept for ever");
}

#[test]
fn a_time_that_goes_back_is_no_alert_and_no_end_of_one() {
    let mut run = Run::new(host(PeerReading { reset: 3, exchanges: 1_000, ..peer(0) }));
    run.ticks(2);
    let before = run.rows();
    // The engine takes monotonic times only; wall clocks reach it nowhere. Should one go back all the same, it stands still.
    for seconds in [0, 1, 1_000, 1_020] {
        run.evaluate(Duration::from_secs(seconds));
        assert_eq!(run.rows(), before);
    }
    let report = |year: &str| {
        let wall: Timestamp = format!("{year}-01-01T00:00:00Z").parse().unwrap();
        run.engine.report(WallClock::from_pair(wall, run.now))
    };
    assert_eq!(report("1999").rows, report("2040").rows, "the wall clock is for readers alone");
}

#[test]
fn identity_is_in_the_labels_and_numbers_are_not() {
    let mut run = Run::new(host(PeerReading { reset: 60, exchanges: 1_000, closed: 200, ..peer(0) }));
    let labels = |run: &Run| run.rows().iter().map(|row| row.identity.subject.labels()).collect::<Vec<_>>();
    let first = labels(run.ticks(1));
    let expected = [("peer", "10.0.0.0"), ("port", "5432"), ("role", "client"), ("netns", "1")]
        .map(|(name, value)| (name, value.to_owned()));
    assert!(first.len() == 3 && first.iter().all(|labels| *labels == expected), "{first:?}");
    run.ticks_while(1, |host| host.peers[0].reset += 1);
    assert_eq!(labels(&run), first);
    assert!(Alert::ALL.iter().any(|alert| alert.of() == Of::Host));
}
