//! Keys and answers, and what follows from them.

use std::time::Duration;

use monitor_common::counters::Kind;

use super::detail::{About, EVENTS, Stream};
use super::table::{Asked, FRAME, Page};
use super::{News, Next, State};
use crate::command::top::column::Column;
use crate::command::top::input::Input;
use crate::event::{Event, Told};
use crate::http::convert::event_view;
use crate::http::filter::order::Order;
use crate::view::{CountsView, EndView, EventPeerView, EventView, PeerView, PeersView};

/// Rows of the table on this screen.
const ROWS: usize = 10;

fn state() -> State {
    let lines = u16::try_from(ROWS).unwrap() + FRAME;
    State::new("http://127.0.0.1:9777", Duration::from_secs(2), (80, lines), Duration::from_secs(100))
}

fn peer(number: u64, resets: u64) -> PeerView {
    PeerView {
        name: None,
        peer: format!("10.0.{}.{}", number / 250, number % 250),
        port: Some(80),
        role: "client".to_owned(),
        netns: Some(1),
        counts: CountsView { resets_received: resets, ..CountsView::default() },
        reset_ratio: None,
        causes_sent: [].into(),
        causes_received: [].into(),
        open: None,
        idle: None,
    }
}

/// What the daemon answers when it has these peers, in the order that was asked for.
fn answer(asked: Asked, seconds: u32, peers: &[PeerView]) -> News {
    let chosen = peers.iter().skip(asked.offset).take(asked.limit).cloned().collect();
    let answer = PeersView {
        time: format!("2026-11-20T03:00:{seconds:02}Z"),
        peers: chosen,
        matching: peers.len(),
        total: CountsView::default(),
        open: None,
        ports: Vec::new(),
        namespaces: Vec::new(),
    };
    News::Page(Box::new(Page { asked, answer }))
}

fn give(state: &mut State, seconds: u32, peers: &[PeerView]) {
    let asked = state.wanted().rows;
    state.news(answer(asked, seconds, peers));
}

fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        let input = if key == '\n' { Input::Enter } else { Input::Character(key) };
        assert_eq!(state.input(input), Next::Go, "{key:?} of {keys:?}");
    }
}

fn selected(state: &State) -> String {
    state.table.at_hand().map(|row| row.key.peer.clone()).unwrap_or_default()
}

#[test]
fn selection_moves_by_lines_and_screens_and_stays_within_what_there_is() {
    let mut state = state();
    let peers: Vec<_> = (0..25).map(|number| peer(number, 100 - number)).collect();
    give(&mut state, 0, &peers);
    for (input, place, first) in [
        (Input::Up, 0, 0),
        (Input::Down, 1, 0),
        (Input::Character('j'), 2, 0),
        (Input::Character('k'), 1, 0),
        (Input::PageDown, 11, 2),
        (Input::PageDown, 21, 12),
        (Input::PageDown, 24, 15),
        (Input::Up, 23, 15),
        (Input::Home, 0, 0),
        (Input::End, 24, 15),
        (Input::PageUp, 14, 14),
    ] {
        state.input(input);
        assert_eq!((state.table.selected, state.table.first), (place, first), "{input:?}");
    }
    state.input(Input::Resized(80, FRAME + 2));
    assert_eq!((state.table.selected, state.table.first), (14, 14));
    state.input(Input::Resized(80, FRAME + 25));
    assert_eq!((state.table.selected, state.table.first), (14, 0), "the screen is full again");
}

#[test]
fn a_selected_peer_is_followed_and_the_first_place_is_a_place() {
    let mut state = state();
    let (one, two, three) = (peer(1, 30), peer(2, 20), peer(3, 10));
    give(&mut state, 0, &[one.clone(), two.clone(), three.clone()]);
    give(&mut state, 2, &[two.clone(), one.clone(), three.clone()]);
    assert_eq!(selected(&state), "10.0.0.2", "nobody chose the one that was first");
    state.input(Input::Down);
    assert_eq!(selected(&state), "10.0.0.1");
    give(&mut state, 4, &[three, two, one]);
    assert_eq!((selected(&state).as_str(), state.table.selected), ("10.0.0.1", 2));
    state.input(Input::Enter);
    assert_eq!(state.wanted().detail.unwrap().peer, "10.0.0.1");
}

#[test]
fn of_ten_thousand_peers_a_window_is_asked_for_wherever_the_screen_is() {
    let mut state = state();
    let peers: Vec<_> = (0..10_000).map(|number| peer(number, 10_000 - number)).collect();
    give(&mut state, 0, &peers);
    state.input(Input::End);
    assert_eq!((state.table.selected, state.table.at_hand()), (9_999, None), "not at hand yet");
    let asked = state.wanted().rows;
    assert!(asked.limit <= 200 && asked.offset <= 9_990 && asked.offset + asked.limit >= 10_000, "{asked:?}");
    give(&mut state, 1, &peers);
    assert_eq!(selected(&state), "10.0.39.249");
    for _ in 0..300 {
        state.input(Input::PageUp);
        let Asked { offset, limit, .. } = state.wanted().rows;
        let table = &state.table;
        assert!(offset <= table.first && table.first + table.height <= offset + limit);
        give(&mut state, 1, &peers);
        assert!(state.table.at_hand().is_some());
    }
    state.input(Input::Down);
    let before = state.wanted();
    state.input(Input::Down);
    assert_eq!(state.wanted(), before, "a line more asks for nothing");
}

#[test]
fn an_answer_to_a_question_that_is_no_longer_asked_is_left_out() {
    let mut state = state();
    let asked = state.wanted().rows;
    press(&mut state, ">");
    state.news(answer(asked, 0, &[peer(1, 1)]));
    assert!(state.table.rows.is_empty() && !state.table.is_current());
    give(&mut state, 0, &[peer(1, 1)]);
    assert!(state.table.is_current());
}

#[test]
fn the_column_and_the_order_are_what_the_daemon_is_asked_for() {
    let mut state = state();
    for (keys, query) in [
        ("", "&sort=resets&order=desc"),
        ("r", "&sort=resets&order=asc"),
        (">", "&sort=received&order=desc"),
        ("<<<", "&sort=role&order=asc"),
        ("<", "&sort=peer&order=asc"),
        ("<", "&sort=cause&order=asc"),
    ] {
        press(&mut state, keys);
        assert!(state.wanted().rows.path().ends_with(query), "{keys}: {}", state.wanted().rows.path());
    }
}

#[test]
fn rates_are_differences_of_two_answers_and_are_sorted_here() {
    let mut state = state();
    press(&mut state, "<");
    assert_eq!((state.table.sort, state.wanted().rows.limit), (Column::Rate, 1_000));
    give(&mut state, 0, &[peer(1, 100), peer(2, 50), peer(3, 10)]);
    let rates = |state: &State| -> Vec<(String, Option<f64>)> {
        state.table.rows.iter().map(|row| (row.key.peer.clone(), row.rate)).collect()
    };
    assert!(rates(&state).iter().all(|(_, rate)| rate.is_none()), "one answer is no difference");
    give(&mut state, 2, &[peer(1, 100), peer(2, 60), peer(3, 11), peer(4, 1)]);
    let wanted = [("2", Some(5.0)), ("3", Some(0.5)), ("1", Some(0.0)), ("4", None)]
        .map(|(p, r)| (format!("10.0.0.{p}"), r));
    assert_eq!(rates(&state), wanted);
    press(&mut state, "r");
    assert_eq!(state.table.order, Order::Asc);
    // A moment later, too soon for another difference.
    give(&mut state, 2, &[peer(1, 100), peer(2, 61), peer(3, 11), peer(4, 1)]);
    assert_eq!(rates(&state)[0], ("10.0.0.1".to_owned(), Some(0.0)));
    assert_eq!(rates(&state)[2], ("10.0.0.2".to_owned(), Some(5.0)));
    // Another daemon has counts that are lower.
    give(&mut state, 4, &[peer(2, 1)]);
    assert_eq!(rates(&state), [("10.0.0.2".to_owned(), None)]);
}

#[test]
fn what_is_typed_is_looked_for_and_what_cannot_be_says_why() {
    let mut state = state();
    give(&mut state, 0, &[peer(1, 1)]);
    press(&mut state, "/web=1\n");
    assert!(state.typing.as_ref().unwrap().error.as_ref().unwrap().contains("web=1"));
    for _ in 0.."web=1".len() {
        state.input(Input::Backspace);
    }
    press(&mut state, "10.0.0.0/8 q\n");
    assert_eq!(state.typing, None);
    assert!(
        state.wanted().rows.path().contains("&peer=10.0.0.0/8&text=q&"),
        "{}",
        state.wanted().rows.path()
    );
    press(&mut state, "/");
    state.input(Input::Escape);
    assert!(!state.table.search.is_everything(), "leaving the line leaves the search");
    assert_eq!(state.input(Input::Escape), Next::Go);
    assert!(state.table.search.is_everything());
    assert_eq!(state.input(Input::Escape), Next::Quit);
    press(&mut state, "/");
    state.input(Input::Backspace);
    assert_eq!(state.typing, None);
    press(&mut state, &format!("/{}", "x".repeat(1_000)));
    assert_eq!(state.typing.unwrap().text.len(), 100, "bounded");
}

#[test]
fn interrupt_leaves_from_everywhere_and_q_goes_back_first() {
    for keys in ["", "/abc", "?", "\n", "p"] {
        let mut state = state();
        give(&mut state, 0, &[peer(1, 1)]);
        press(&mut state, keys);
        assert_eq!(state.input(Input::Interrupt), Next::Quit, "{keys:?}");
    }
    let mut state = state();
    give(&mut state, 0, &[peer(1, 1)]);
    press(&mut state, "\n?qq");
    assert!(state.detail.is_none() && !state.help);
    assert_eq!(state.input(Input::Character('q')), Next::Quit);
}

#[test]
fn a_daemon_that_does_not_answer_makes_the_picture_old_and_a_pause_does_not() {
    let mut state = state();
    state.received = Some(state.now);
    assert_eq!(state.is_old(), None);
    state.now += Duration::from_secs(6);
    assert_eq!(state.is_old(), Some(Duration::from_secs(6)));
    press(&mut state, "p");
    assert!(state.wanted().paused && state.is_old().is_none());
    press(&mut state, "p");
    state.received = Some(state.now);
    state.news(News::Trouble("gone".to_owned()));
    assert_eq!(state.is_old(), Some(Duration::ZERO));
}

fn event(id: u64, cause: &str, port: u16, role: &str) -> EventView {
    let told = Told { id, event: Event::of_kind(Kind::ResetReceived), verdict: None, burst: None };
    let mut event = event_view(&told);
    event.cause = Some(cause.to_owned());
    event.peer = Some(EventPeerView { peer: "10.0.0.1".to_owned(), port, role: role.to_owned() });
    event.netns = 1;
    event.remote = EndView { addr: "10.0.0.1".to_owned(), port };
    event
}

#[test]
fn events_of_the_peer_come_once_change_with_their_verdict_and_are_bounded() {
    let mut state = state();
    give(&mut state, 0, &[peer(1, 1)]);
    press(&mut state, "\n");
    let key = state.detail.as_ref().unwrap().key.clone();
    let tell = |state: &mut State, about| state.news(News::About(key.clone(), Box::new(about)));
    let past = vec![
        event(1, "other", 80, "client"),
        event(2, "other", 80, "server"),
        event(3, "other", 81, "client"),
    ];
    tell(&mut state, About::Past(past));
    tell(&mut state, About::Live);
    tell(&mut state, About::Event(Box::new(event(4, "peer_abort", 80, "client"))));
    tell(&mut state, About::Event(Box::new(event(4, "idle_reuse", 80, "client"))));
    let shown = |state: &State| -> Vec<(u64, String)> {
        let events = &state.detail.as_ref().unwrap().events;
        events.iter().map(|event| (event.id, event.cause.clone().unwrap())).collect()
    };
    assert_eq!(shown(&state), [(1, "other".to_owned()), (4, "idle_reuse".to_owned())]);
    for id in 5..2_000 {
        tell(&mut state, About::Event(Box::new(event(id, "other", 80, "client"))));
    }
    assert_eq!((shown(&state).len(), shown(&state)[0].0), (EVENTS, 1_500));
    tell(&mut state, About::Missed(7));
    tell(&mut state, About::Broken("gone".to_owned()));
    let detail = state.detail.as_ref().unwrap();
    assert_eq!((detail.missed, &detail.stream), (7, &Stream::Broken("gone".to_owned())));
    press(&mut state, "q");
    tell(&mut state, About::Missed(7));
    assert!(state.detail.is_none(), "news about one that was left");
}
