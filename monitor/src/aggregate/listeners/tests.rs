//! The rules of listeners' drops, tried on histories of sockets.

use super::*;

/// A socket at 0.0.0.0:`port`.
fn socket(cookie: u64, port: u16, drops: u32) -> ListenSocket {
    ListenSocket {
        address: ([0, 0, 0, 0], port).into(),
        interface: None,
        only_v6: None,
        backlog: 0,
        limit: 128,
        drops: Some(drops),
        inode: 1,
        uid: 0,
        cookie,
    }
}

fn dump(sockets: &[ListenSocket]) -> Dump {
    Dump { sockets: sockets.to_vec(), ..Dump::default() }
}

/// After a first reading of these.
fn after(sockets: &[ListenSocket]) -> Listeners {
    let mut listeners = Listeners::default();
    listeners.read(Some(&dump(sockets)));
    listeners
}

fn read(listeners: &mut Listeners, sockets: &[ListenSocket]) -> Vec<ListenerSeries> {
    listeners.read(Some(&dump(sockets))).1
}

fn of(series: &[ListenerSeries], port: u16) -> Option<ListenerSeries> {
    series.iter().find(|series| series.address == Some(([0, 0, 0, 0], port).into())).copied()
}

#[track_caller]
fn drops(series: &[ListenerSeries], port: u16) -> u64 {
    of(series, port).unwrap().drops.unwrap()
}

fn other(series: &[ListenerSeries]) -> ListenerSeries {
    series.iter().find(|series| series.address.is_none()).copied().unwrap()
}

fn sum(series: &[ListenerSeries]) -> u64 {
    series.iter().filter_map(|series| series.drops).sum()
}

#[test]
fn drops_before_the_start_do_not_count_and_those_of_later_sockets_do() {
    let mut listeners = after(&[socket(1, 80, 1000)]);
    let series = read(&mut listeners, &[socket(1, 80, 1004), socket(2, 443, 3)]);
    assert_eq!((drops(&series, 80), drops(&series, 443)), (4, 3));
    let (rows, _) = listeners.read(Some(&dump(&[socket(1, 80, 1005)])));
    assert_eq!(rows.unwrap()[0].drops, Some(5));
}

#[test]
fn a_listener_that_is_opened_again_goes_on_where_it_was() {
    let mut listeners = after(&[socket(1, 80, 0)]);
    read(&mut listeners, &[socket(1, 80, 7)]);
    let closed = read(&mut listeners, &[]);
    assert_eq!(drops(&closed, 80), 7);
    assert_eq!(of(&closed, 80).unwrap().queue, None, "no socket has no backlog");
    assert_eq!(drops(&read(&mut listeners, &[socket(2, 80, 2)]), 80), 9);
}

#[test]
fn a_socket_that_comes_back_does_not_count_its_drops_twice() {
    let mut listeners = after(&[socket(1, 80, 0)]);
    read(&mut listeners, &[socket(1, 80, 7)]);
    read(&mut listeners, &[]);
    assert_eq!(drops(&read(&mut listeners, &[socket(1, 80, 8)]), 80), 8);
}

#[test]
fn sockets_of_one_address_are_summed_up_and_the_fullest_is_shown() {
    let full = ListenSocket { backlog: 5, limit: 4, ..socket(1, 80, 0) };
    let wide = ListenSocket { backlog: 9, limit: 128, ..socket(2, 80, 0) };
    let mut listeners = after(&[full, wide]);
    let series = read(
        &mut listeners,
        &[ListenSocket { drops: Some(2), ..full }, ListenSocket { drops: Some(3), ..wide }],
    );
    assert_eq!(of(&series, 80).unwrap().queue, Some(Queue { backlog: 5, limit: 4 }));
    assert_eq!(drops(&series, 80), 5);
    assert_eq!(drops(&read(&mut listeners, &[ListenSocket { drops: Some(4), ..wide }]), 80), 6);
}

#[test]
fn a_socket_that_comes_twice_in_an_answer_counts_once() {
    let mut listeners = after(&[]);
    let (rows, series) = listeners.read(Some(&dump(&[socket(1, 80, 4), socket(1, 80, 4)])));
    assert_eq!((rows.unwrap().len(), sum(&series)), (1, 4));
}

#[test]
fn until_an_answer_is_complete_nothing_is_taken_for_new() {
    let mut listeners = Listeners::default();
    let interrupted = Dump { interrupted: true, ..dump(&[socket(1, 80, 10)]) };
    listeners.read(Some(&interrupted));
    let series = read(&mut listeners, &[socket(1, 80, 11), socket(2, 443, 500)]);
    assert_eq!((drops(&series, 80), drops(&series, 443)), (1, 0));
}

#[test]
fn without_an_answer_counters_stay_and_gauges_go() {
    let mut listeners = Listeners::default();
    assert_eq!(listeners.read(None), (None, vec![]));
    read(&mut listeners, &[socket(1, 80, 0)]);
    read(&mut listeners, &[socket(1, 80, 3)]);
    let (rows, series) = listeners.read(None);
    assert_eq!(rows, None);
    assert_eq!(of(&series, 80).map(|series| (series.queue, series.drops)), Some((None, Some(3))));
    assert_eq!(drops(&read(&mut listeners, &[socket(1, 80, 4)]), 80), 4);
}

#[test]
fn a_kernel_that_does_not_tell_drops_gives_none() {
    let mut listeners = Listeners::default();
    let (rows, series) = listeners.read(Some(&dump(&[ListenSocket { drops: None, ..socket(1, 80, 0) }])));
    assert_eq!(rows.unwrap()[0].drops, None);
    assert!(series.iter().all(|series| series.drops.is_none()));
}

#[test]
fn a_program_that_opens_ports_without_end_leaves_room_for_a_listener_in_trouble() {
    let quiet: Vec<_> = (1..=200).map(|port| socket(port.into(), port, 0)).collect();
    let mut listeners = after(&quiet);
    let first = read(&mut listeners, &quiet);
    assert_eq!(first.len(), EASY + 1);
    assert_eq!(other(&first).queue, Some(Queue { backlog: 0, limit: 128 }));
    let mut now = quiet;
    now[189].drops = Some(6);
    now[190].backlog = 129;
    let second = read(&mut listeners, &now);
    assert_eq!((drops(&second, 190), drops(&second, 191)), (0, 0), "what other was shown with stays there");
    assert_eq!((other(&second).drops, sum(&second)), (Some(6), 6));
    now[189].drops = Some(8);
    assert_eq!(drops(&read(&mut listeners, &now), 190), 2);
}

#[test]
fn a_newcomer_takes_the_place_of_the_one_closed_longest() {
    let first: Vec<_> = (1..=80).map(|port| socket(port.into(), port, 0)).collect();
    let mut listeners = after(&first);
    let mut dropped = first;
    dropped[0].drops = Some(5);
    read(&mut listeners, &dropped);
    read(&mut listeners, &dropped[1..]);
    read(&mut listeners, &dropped[2..]);
    let mut now = dropped[2..].to_vec();
    now.push(socket(1000, 1000, 0));
    let series = read(&mut listeners, &now);
    assert_eq!((of(&series, 1), of(&series, 2).is_some(), of(&series, 1000).is_some()), (None, true, true));
    assert_eq!((other(&series).drops, sum(&series)), (Some(5), 5));
}

#[test]
fn whatever_comes_and_goes_memory_is_bounded_and_no_sum_goes_down() {
    let mut listeners = after(&[]);
    let mut state = 0x2545_f491_u32;
    let mut random = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state % below
    };
    let mut open: Vec<ListenSocket> = Vec::new();
    let mut before: Vec<ListenerSeries> = Vec::new();
    let mut dropped = 0;
    for round in 0..300_u64 {
        open.retain(|_| random(3) > 0);
        for number in 0..u64::from(random(60)) {
            let port = u16::try_from(random(3000)).unwrap() + 1;
            open.push(socket(round * 1000 + number + 1, port, 0));
        }
        for socket in &mut open {
            let more = if random(4) == 0 { random(5) } else { 0 };
            socket.drops = socket.drops.map(|drops| drops + more);
            dropped += u64::from(more);
        }
        let series = read(&mut listeners, &open);
        assert_eq!(sum(&series), dropped, "round {round}");
        assert!(series.len() <= MOST + 1);
        assert!(other(&series).drops >= before.last().and_then(|other| other.drops));
        for earlier in &before {
            let later = series.iter().find(|series| series.address == earlier.address);
            let fell = later.is_some_and(|later| later.drops < earlier.drops);
            assert!(!fell, "{earlier:?} became {later:?}");
        }
        assert!(listeners.sockets.len() <= open.len() + CLOSED_SOCKETS);
        assert!(listeners.by_address.len() <= open.len() + CLOSED_LISTENERS);
        before = series;
    }
}
