//! Timeouts from closes: found among others, forgotten when they change, and who gives up first.

use super::alignment::Verdict;
use super::*;
use crate::event::{Fin, Owner};
use crate::idle::{Basis, Idle};
use crate::live::{Connection, LastWord, Listeners};

const S: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);

/// A memory, with a clock.
#[derive(Default)]
struct Host {
    timeouts: Timeouts,
    now: Duration,
    role: Option<Role>,
}

impl Host {
    fn as_server() -> Self {
        Self { role: Some(Role::Server), ..Self::default() }
    }

    fn close(&mut self, by: Side, idle: Duration) {
        let kind = match by {
            Side::Local => Kind::IdleCloseSent,
            Side::Peer => Kind::IdleCloseReceived,
        };
        let event = self.event(kind, idle);
        self.timeouts.observe(&told(event));
    }

    fn event(&self, kind: Kind, idle: Duration) -> Event {
        Event {
            netns: 1,
            role: Some(self.role.unwrap_or(Role::Client)),
            local: "10.0.0.1:80".parse().unwrap(),
            remote: "10.0.0.2:80".parse().unwrap(),
            monotonic_ns: u64::try_from(self.now.as_nanos()).unwrap(),
            idle: Some(Idle { time: idle, basis: Basis::BeforeFin, at_least: false }),
            fin: Some(Fin { by: Side::Peer, quiet: None }),
            ..Event::of_kind(kind)
        }
    }

    /// One close in each of several moments, apart by so much.
    fn closes(&mut self, by: Side, apart: Duration, idles: impl IntoIterator<Item = Duration>) {
        for idle in idles {
            self.now += apart;
            self.close(by, idle);
        }
    }

    /// A walk that finds connections open, quiet for so long each.
    fn open(&mut self, quiets: &[Duration]) {
        let (local, remote, listeners) = match self.role.unwrap_or(Role::Client) {
            Role::Client => ("10.0.0.1:40000", "10.0.0.2:80", Listeners::default()),
            Role::Server => {
                let address = "0.0.0.0:80".parse().unwrap();
                ("10.0.0.1:80", "10.0.0.2:40000", Listeners::of(std::iter::once(address)))
            }
        };
        let mut walk = Walk { at: self.now, ..Walk::default() };
        walk.live.walk(1);
        for quiet in quiets {
            let connection = Connection {
                local: local.parse().unwrap(),
                remote: remote.parse().unwrap(),
                established: true,
                quiet_ms: u32::try_from(quiet.as_millis()).unwrap(),
                exchanges: 1,
                last_word: LastWord::Both,
                caller: None,
            };
            walk.live.add(1, &listeners, &connection);
        }
        self.timeouts.hold(&Arc::new(walk));
    }

    fn row(&mut self) -> TimeoutRow {
        let rows = self.timeouts.rows(self.now + 2 * S);
        rows.into_iter().find(|row| row.service.peer.is_some()).expect("nothing is known")
    }

    fn peers(&mut self) -> Vec<(f64, usize)> {
        let estimates = self.row().peer.estimates;
        estimates.iter().map(|estimate| (estimate.timeout.as_secs_f64(), estimate.samples)).collect()
    }

    fn verdict(&mut self) -> (Verdict, Option<i64>) {
        let alignment = self.row().alignment;
        (alignment.verdict, alignment.margin_ms)
    }
}

fn told(event: Event) -> Told {
    Told { id: 1, event, verdict: None, burst: None }
}

#[test]
fn three_moments_alike_are_a_timeout_and_two_are_not() {
    let mut host = Host::default();
    host.closes(Side::Peer, 90 * S, [60 * S, 60 * S + 12 * MS]);
    assert_eq!(host.peers(), []);
    host.closes(Side::Peer, 90 * S, [60 * S + 40 * MS]);
    assert_eq!(host.peers(), [(60.012, 3)]);
    let estimate = host.row().peer.estimates[0];
    assert_eq!((estimate.earliest, estimate.latest), (60 * S, 60 * S + 40 * MS));
    assert_eq!(host.row().local.at_least, Some(60 * S + 40 * MS), "we held them as long");
}

#[test]
fn timers_that_tick_late_and_jitter_are_one_timeout() {
    let mut host = Host::default();
    // Node checks once a second: 20 s becomes anything up to 21 s.
    let ticks = [20_050, 20_900, 20_400, 21_000, 20_700].map(|ms| ms * MS);
    host.closes(Side::Peer, 5 * S, ticks);
    assert_eq!(host.peers(), [(20.7, 5)]);
    // Of the same closes less than 5 s after the last use, too many would be as close by chance.
    let mut short = Host::default();
    short.closes(Side::Peer, 5 * S, ticks.map(|tick| tick.checked_sub(18 * S).unwrap()));
    assert_eq!(short.peers(), []);
}

#[test]
fn people_who_leave_are_no_timer_and_hide_none() {
    let mut host = Host::default();
    host.closes(Side::Peer, 10 * S, [3, 9, 17, 31, 55, 80, 120].map(|seconds| seconds * S));
    assert_eq!(host.peers(), []);
    host.closes(Side::Peer, 10 * S, [75 * S; 4]);
    assert_eq!(host.peers(), [(75.0, 4)]);
}

#[test]
fn two_timeouts_behind_one_address_are_both_told() {
    let mut host = Host::default();
    host.closes(Side::Peer, 10 * S, [5 * S, 60 * S, 5 * S, 60 * S, 5 * S, 60 * S, 5 * S]);
    assert_eq!(host.peers(), [(5.0, 4), (60.0, 3)]);
    assert_eq!(host.row().alignment.server, Some(5 * S), "the shorter one is the danger");
}

#[test]
fn what_ends_in_one_moment_is_no_timer_however_much_it_is() {
    let mut host = Host::default();
    // A process ends with a hundred connections that had been quiet for up to 50 s.
    for quiet in 0..100 {
        host.close(Side::Peer, quiet * S / 2);
    }
    host.now += 30 * S;
    assert_eq!(host.row().peer, SideFacts::default());
    // And with a hundred that had all been used just before: one moment.
    for _ in 0..100 {
        host.close(Side::Peer, 7 * S);
    }
    host.now += 30 * S;
    assert_eq!(host.peers(), []);
    assert_eq!(host.row().peer.moments.len(), 1);
    // A timer that closes many at a time does so again and again.
    for _ in 0..4 {
        host.now += 30 * S;
        (0..10).for_each(|_| host.close(Side::Peer, 20 * S));
    }
    assert_eq!(host.peers(), [(20.0, 4)]);
}

#[test]
fn a_process_of_ours_that_exits_teaches_nothing() {
    let mut host = Host::default();
    for _ in 0..4 {
        host.now += 10 * S;
        let owner = Owner {
            pid: 4,
            tid: 4,
            comm: "a".into(),
            exiting: true,
            exit_signal: Some(9),
            oom_killed: false,
        };
        let event = Event { owner: Some(owner), ..host.event(Kind::IdleCloseSent, 30 * S) };
        host.timeouts.observe(&told(event));
    }
    assert_eq!(host.timeouts.rows(host.now + 2 * S), []);
}

#[test]
fn a_device_that_ends_idle_flows_by_a_reset_has_a_timeout_too() {
    let mut host = Host::default();
    for _ in 0..3 {
        host.now += 400 * S;
        let event = host.event(Kind::ResetReceived, 350 * S);
        let verdict =
            crate::verdict::Verdict::of(Cause::IdleAbort, crate::verdict::Confidence::Likely, &[], None);
        host.timeouts.observe(&Told { verdict: Some(verdict), ..told(event) });
    }
    assert_eq!(host.peers(), [(350.0, 3)]);
}

#[test]
fn a_raised_timeout_makes_the_old_one_untrue_and_so_does_a_lowered_one() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [60 * S; 6]);
    host.closes(Side::Peer, 130 * S, [120 * S; 3]);
    assert_eq!(host.peers(), [(120.0, 3)]);
    host.closes(Side::Peer, 10 * S, [5 * S; 4]);
    assert_eq!(host.peers(), [(5.0, 4), (120.0, 3)]);
    host.closes(Side::Peer, 10 * S, [5 * S]);
    assert_eq!(host.peers(), [(5.0, 5)]);
}

#[test]
fn connections_that_outlive_a_timeout_make_it_untrue_without_another_close() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [60 * S; 4]);
    host.closes(Side::Local, 100 * S, [90 * S; 3]);
    let row = host.row();
    assert_eq!(row.peer.estimates, []);
    assert_eq!(row.peer.at_least, Some(90 * S));
}

#[test]
fn the_server_that_closes_first_is_misaligned_before_any_reset() {
    let mut client = Host::default();
    client.closes(Side::Peer, 70 * S, [60 * S; 3]);
    assert_eq!(client.verdict(), (Verdict::Misaligned, Some(-1)));
    let mut server = Host::as_server();
    server.closes(Side::Local, 70 * S, [60 * S; 3]);
    assert_eq!(server.verdict(), (Verdict::Misaligned, Some(-1)));
}

#[test]
fn a_client_that_was_fixed_is_aligned_and_stays_so_though_the_server_closes_no_more() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [60 * S; 4]);
    host.closes(Side::Local, 70 * S, [54_980 * MS; 2]);
    assert_eq!(host.verdict().0, Verdict::Misaligned, "not yet");
    host.closes(Side::Local, 70 * S, [54_980 * MS; 2]);
    assert_eq!(host.verdict(), (Verdict::Aligned, Some(5_020)));
    host.closes(Side::Local, 3600 * S, [54_980 * MS; 40]);
    assert_eq!(host.verdict(), (Verdict::Aligned, Some(5_020)));
    // Another client of the same address knows nothing of it.
    host.closes(Side::Peer, 70 * S, [60 * S]);
    assert_eq!(host.verdict().0, Verdict::Misaligned);
}

#[test]
fn less_than_the_margin_is_tight_and_what_was_never_seen_is_unknown() {
    let mut host = Host::default();
    host.closes(Side::Local, 70 * S, [58 * S; 4]);
    assert_eq!(host.verdict(), (Verdict::Unknown, None), "the server may wait for another millisecond only");
    host.closes(Side::Peer, 70 * S, [60 * S; 3]);
    host.closes(Side::Local, 70 * S, [58 * S; 4]);
    assert_eq!(host.verdict(), (Verdict::Tight, Some(2_000)));
}

#[test]
fn busy_pairs_that_close_at_once_are_never_called_misaligned() {
    let mut host = Host::default();
    // After a second or two, as clients do that are done; never twice alike for the server.
    host.closes(Side::Local, S, (0..500).map(|number| (1_000 + number * 37 % 900) * MS));
    assert_eq!(host.verdict().0, Verdict::Unknown);
}

/// So many different hours.
const SEEDS: u64 = 100;

/// Numbers that look random, and are the same in every run.
struct Dice(u64);

impl Dice {
    fn between(&mut self, least: u64, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        least + (self.0 >> 33) % (most - least)
    }
}

#[test]
fn an_hour_of_mixed_traffic_of_an_aligned_pair_raises_no_alarm_whatever_else_ends_connections() {
    for seed in 0..SEEDS {
        let (mut host, mut dice) = (Host::default(), Dice(seed));
        while host.now < 3_600 * S {
            host.now += Duration::from_millis(dice.between(1_000, 20_000));
            match dice.between(0, 100) {
                // The pool's timer, which ticks once a second; the server would wait for 75 s.
                0..60 => host.close(Side::Local, 30 * S + Duration::from_millis(dice.between(0, 1_000))),
                // Clients that are done, after any quiet.
                60..85 => host.close(Side::Local, Duration::from_millis(dice.between(1_000, 29_000))),
                // A process behind the peer ends, with the connection that it had.
                85..93 => host.close(Side::Peer, Duration::from_millis(dice.between(1_000, 29_000))),
                // A deployment, with all that were open.
                _ => {
                    for _ in 0..dice.between(2, 30) {
                        host.now += Duration::from_millis(dice.between(0, 30));
                        host.close(Side::Peer, Duration::from_millis(dice.between(1_000, 30_000)));
                    }
                }
            }
            let (verdict, margin) = host.verdict();
            assert!(verdict == Verdict::Unknown || verdict == Verdict::Aligned, "{seed}: {:?}", host.row());
            assert!(margin.is_none_or(|margin| margin >= 5_000), "alerts go by the margin: {margin:?}");
        }
        assert!(!host.row().local.estimates.is_empty(), "{seed}: the pool's timer was not found");
    }
}

#[test]
fn an_hour_in_which_nobody_has_a_timer_raises_no_alarm() {
    // Any quiet up to five minutes alike, and short ones as much more often as they are shorter.
    let alike = |dice: &mut Dice| Duration::from_millis(dice.between(1_000, 300_000));
    let shorter = |dice: &mut Dice| {
        let share = f64::from(u32::try_from(dice.between(0, 1_000_000)).unwrap()) / 1e6;
        Duration::from_secs_f64(300f64.powf(share))
    };
    for seed in 0..2 * SEEDS {
        let (mut host, mut dice) = (Host::default(), Dice(seed));
        while host.now < 3_600 * S {
            host.now += Duration::from_millis(dice.between(1_000, 20_000));
            let by = if dice.between(0, 100) < 70 { Side::Local } else { Side::Peer };
            let quiet = if seed % 2 == 0 { alike(&mut dice) } else { shorter(&mut dice) };
            host.close(by, quiet);
            let verdict = host.verdict().0;
            assert!(verdict == Verdict::Unknown || verdict == Verdict::Aligned, "{seed}: {:?}", host.row());
        }
    }
}

#[test]
fn a_port_knows_what_all_its_clients_did_and_memory_is_bounded() {
    let mut host = Host::as_server();
    for number in 0..3_000u32 {
        host.now += S;
        let mut event = host.event(Kind::IdleCloseSent, 60 * S);
        event.remote = (std::net::Ipv4Addr::from(0x0a00_0000 + number), 4_000).into();
        host.timeouts.observe(&told(event));
    }
    let rows = host.timeouts.rows(host.now + 2 * S);
    assert_eq!(rows.iter().filter(|row| row.service.peer.is_some()).count(), PEERS);
    let ports: Vec<_> = rows.iter().filter(|row| row.service.peer.is_none()).collect();
    assert_eq!(ports.len(), 1);
    assert_eq!(ports[0].local.estimates[0].timeout, 60 * S);
    for port in 1..=1_000 {
        let mut event = host.event(Kind::IdleCloseSent, 60 * S);
        event.local.set_port(port);
        host.timeouts.observe(&told(event));
    }
    assert_eq!(host.timeouts.ports.values().count(), PORTS);
}

#[test]
fn what_three_open_connections_are_quiet_for_both_sides_have_let_pass() {
    let mut host = Host { now: 1_000 * S, ..Host::default() };
    // Nobody has closed any, so they have a row as long as they are quiet. One or two may be of a kind that has no timer.
    host.open(&[90 * S, 500 * MS, 40 * S]);
    let row = host.row();
    assert_eq!((row.local.at_least, row.peer.at_least), (None, None));
    let open = row.open.unwrap();
    assert_eq!((open.open, open.idle, open.longest()), (3, 2, Some(90 * S)));
    host.open(&[90 * S, 30 * S, 40 * S]);
    let row = host.row();
    assert_eq!((row.local.at_least, row.peer.at_least), (Some(30 * S), Some(30 * S)));
    assert_eq!((row.alignment.verdict, row.alignment.margin_ms), (Verdict::Unknown, None));
    assert!(row.badness() > (false, Verdict::Aligned, 0), "behind all of which more is known");
    host.open(&[MS; 3]);
    assert!(host.timeouts.rows(host.now).is_empty());
    // Of a service that is known, it stays known when they are used again, and nothing is held now.
    host.closes(Side::Local, S, [2 * S]);
    host.open(&[90 * S, 30 * S, 40 * S]);
    host.now += 15 * S;
    host.open(&[MS, MS, MS]);
    let row = host.row();
    assert_eq!(row.peer.at_least, Some(30 * S));
    assert_eq!((row.open.unwrap().idle, row.open.unwrap().longest()), (0, None));
    // But not for ever: addresses get other owners.
    host.now += 4_000 * S;
    assert_eq!(host.row().peer.at_least, Some(2 * S));
}

#[test]
fn nothing_is_said_of_what_is_not_looked_at() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [60 * S; 3]);
    assert_eq!(host.row().open, None);
    host.open(&[]);
    assert_eq!(host.row().open, Some(Open::default()));
}

#[test]
fn a_port_of_ours_is_held_by_all_its_clients() {
    let mut host = Host { now: 1_000 * S, ..Host::as_server() };
    host.open(&[90 * S, 80 * S, 85 * S]);
    let rows = host.timeouts.rows(host.now);
    let port = rows.iter().find(|row| row.service.peer.is_none()).unwrap();
    assert_eq!((port.local.at_least, port.open.unwrap().open), (Some(80 * S), 3));
}

#[test]
fn three_open_connections_that_outlive_a_timeout_make_it_untrue_and_two_do_not() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [60 * S; 4]);
    host.now += 200 * S;
    // Later ones, and within what a timer that ticks once a second allows.
    for open in [[190 * S, 180 * S, 500 * MS], [190 * S, 180 * S, 62_900 * MS]] {
        host.open(&open);
        assert_eq!(host.peers().len(), 1, "{open:?}");
    }
    // Two that were quiet before it was seen last are somebody else's, whatever a third does.
    host.open(&[900 * S, 800 * S, 63_100 * MS]);
    assert_eq!(host.peers().len(), 1);
    host.open(&[190 * S, 180 * S, 63_100 * MS]);
    assert_eq!(host.peers(), []);
    assert_eq!(host.row().peer.at_least, Some(63_100 * MS));
    // It does not come back when they are used again, nor with closes that count the same connections.
    host.now += 15 * S;
    host.open(&[MS; 3]);
    assert_eq!(host.peers(), []);
    // It does when it is seen again.
    host.closes(Side::Peer, 70 * S, [60 * S]);
    assert_eq!(host.peers(), [(60.0, 5)]);
    assert_eq!(host.row().peer.at_least, None, "what was held before belongs to another setting");
}

#[test]
fn connections_that_were_held_for_long_before_say_nothing_against_a_timeout() {
    let mut host = Host::default();
    host.now += 10_000 * S;
    // A pool that never closes, beside one that does.
    for _ in 0..4 {
        host.closes(Side::Local, 70 * S, [60 * S]);
        host.open(&[9_000 * S; 5]);
    }
    let row = host.row();
    assert_eq!(row.local.estimates.len(), 1);
    assert_eq!(row.peer.at_least, Some(9_000 * S), "the peer has let pass what our other pool held");
    assert_eq!(row.alignment.verdict, Verdict::Aligned);
}

#[test]
fn what_is_held_and_closed_later_is_one_connection() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [60 * S; 4]);
    host.now += 100 * S;
    host.open(&[90 * S, 80 * S]);
    // The same two are closed, and nobody else contradicts.
    host.closes(Side::Local, S, [91 * S, 82 * S]);
    assert_eq!(host.peers().len(), 1);
}

#[test]
fn a_walk_pushes_out_nothing_that_closes_have_taught() {
    let mut host = Host::default();
    host.closes(Side::Peer, 70 * S, [65 * S]);
    // Before our timeout was what it is.
    host.open(&[70 * S; 3]);
    host.closes(Side::Local, 70 * S, [55 * S; 3]);
    for _ in 0..100 {
        host.now += 15 * S;
        host.open(&[2 * S; 3]);
    }
    let row = host.row();
    assert_eq!(row.peer.at_least, Some(70 * S));
    assert_eq!((row.alignment.verdict, row.alignment.margin_ms), (Verdict::Aligned, Some(15_000)));
    // Nor do peers that are merely open, of which there are rows as long as there is room.
    let mut walk = Walk { at: host.now, ..Walk::default() };
    for number in 0..10_000u32 {
        let connection = Connection {
            local: "10.0.0.1:40000".parse().unwrap(),
            remote: (std::net::Ipv4Addr::from(0x0b00_0000 + number), 80).into(),
            established: true,
            quiet_ms: 5_000,
            exchanges: 1,
            last_word: LastWord::Peer,
            caller: None,
        };
        walk.live.add(1, &Listeners::default(), &connection);
    }
    host.timeouts.hold(&Arc::new(walk));
    let rows = host.timeouts.rows(host.now);
    assert_eq!(rows.len(), MOST_ROWS);
    assert!(rows.iter().any(|row| !row.local.estimates.is_empty()));
    host.closes(Side::Local, S, [2 * S]);
    assert_eq!(host.row().peer.at_least, Some(70 * S), "and none of them makes room");
}

#[test]
fn a_lowered_timeout_ends_what_was_held_under_the_old_one() {
    let mut host = Host { now: 10_000 * S, ..Host::default() };
    host.open(&[600 * S; 3]);
    host.closes(Side::Peer, 70 * S, [60 * S; 3]);
    assert_eq!(host.row().peer.at_least, None);
    host.now += 15 * S;
    host.open(&[50 * S; 3]);
    assert_eq!(host.row().peer.at_least, Some(50 * S));
    // And raised again: the old quiet is in nobody's way.
    host.now += 300 * S;
    host.open(&[200 * S; 3]);
    assert_eq!(host.peers(), []);
    assert_eq!(host.row().peer.at_least, Some(200 * S));
}
