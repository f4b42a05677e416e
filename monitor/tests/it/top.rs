//! `top`: what it shows for the answers of the API, frame by frame, and the program itself in a terminal.

use std::sync::Arc;
use std::time::Duration;

use monitor::command::top::draw::draw;
use monitor::command::top::draw::palette::Palette;
use monitor::command::top::input::Input;
use monitor::command::top::picture::Answers;
use monitor::command::top::state::detail::About;
use monitor::command::top::state::table::Page;
use monitor::command::top::state::{News, Next, State};
use monitor::event::{Event, Told};
use monitor::snapshot::{PeerRow, Snapshot};
use monitor::terminal::is_hostile;
use monitor::view::alerts::{AlertView, AnnotationsView};
use monitor::view::timeouts::TimeoutsView;
use monitor::view::{EventsView, PeersView};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use crate::explain::race_as_client;
use crate::metrics_page::golden;
use crate::support::{Daemon, owner, signals, snapshot, told};

mod live;

const SIZES: [(u16, u16); 2] = [(80, 24), (200, 50)];
/// Acts on a terminal, reorders what follows, and is too long.
const HOSTILE: &str = "\x1b[2J\x1b]0;owned\x07\u{9b}31m\u{202e}evil\nname\u{200b}";

fn state(size: (u16, u16)) -> State {
    State::new("http://127.0.0.1:9777", Duration::from_secs(2), size, Duration::from_secs(1_000))
}

/// What the daemon answers to the regular questions.
async fn answers(daemon: &Daemon, state: &State) -> (Answers, Page) {
    let asked = state.wanted().rows;
    let page = Page { asked, answer: daemon.get(&asked.path()).await.json::<PeersView>() };
    let answers = Answers {
        status: daemon.get("/api/v1/status").await.json(),
        alerts: daemon.get("/api/v1/alerts?state=firing&limit=3").await.json(),
        events: daemon.get("/api/v1/events?limit=1").await.json(),
    };
    (answers, page)
}

async fn ask(daemon: &Daemon, state: &mut State) {
    let (answers, page) = answers(daemon, state).await;
    state.news(News::Picture(Box::new(answers), Box::new(page)));
}

/// What the daemon tells of the peer that is looked at.
async fn ask_about(daemon: &Daemon, state: &mut State) {
    let key = state.wanted().detail.expect("a peer is looked at");
    let query = key.to_query();
    let timeouts: TimeoutsView = daemon.get(&format!("/api/v1/timeouts?limit=1{query}")).await.json();
    let peer = format!("peer={}&port={}", key.peer, key.port.unwrap());
    let events: EventsView = daemon.get(&format!("/api/v1/events?{peer}")).await.json();
    for about in [
        About::Explained(Box::new(daemon.get(&format!("/api/v1/explain?limit=1{query}")).await.json())),
        About::Timeouts(timeouts.timeouts),
        About::Past(events.events),
        About::Live,
    ] {
        state.news(News::About(key.clone(), Box::new(about)));
    }
}

fn press(state: &mut State, keys: &str) {
    for key in keys.chars() {
        let input = if key == '\n' { Input::Enter } else { Input::Character(key) };
        assert_eq!(state.input(input), Next::Go);
    }
}

fn frame(state: &mut State, colour: bool) -> Terminal<TestBackend> {
    let mut terminal = Terminal::new(TestBackend::new(state.size.0, state.size.1)).unwrap();
    let mut most = 0;
    terminal.draw(|frame| most = draw(frame, state, Palette::new(colour))).unwrap();
    state.limit_scroll(most);
    terminal
}

fn text(state: &mut State) -> String {
    let terminal = frame(state, false);
    let buffer = terminal.backend().buffer();
    let width = usize::from(buffer.area.width);
    let line = |cells: &[ratatui::buffer::Cell]| {
        let text: String = cells.iter().map(ratatui::buffer::Cell::symbol).collect();
        format!("{}\n", text.trim_end())
    };
    buffer.content.chunks(width.max(1)).map(line).collect()
}

#[track_caller]
fn compare(name: &str, state: &mut State) {
    let (columns, rows) = state.size;
    golden(&format!("monitor/tests/it/golden/top/{name}-{columns}x{rows}.txt"), &text(state));
}

/// The same daemon two seconds later, when its first peer had some more resets.
fn later(before: &Snapshot, resets: u64) -> Snapshot {
    let mut peers: Vec<PeerRow> = before.peers.clone().unwrap();
    let (mut total, mut after) = (before.total, before.clone());
    for counts in [&mut peers[0].counts, &mut total] {
        counts.resets_received += resets;
        counts.reset += resets;
        counts.closed += 1_000;
    }
    (after.peers, after.total) = (Some(peers), total);
    after.taken += Duration::from_secs(2);
    after
}

#[tokio::test]
async fn peers_stand_in_a_table_with_what_two_answers_tell() {
    for size in SIZES {
        let mut state = state(size);
        let first = snapshot();
        ask(&Daemon::with(first.clone(), signals()), &mut state).await;
        ask(&Daemon::with(later(&first, 5), signals()), &mut state).await;
        state.input(Input::Down);
        compare("peers", &mut state);
        press(&mut state, "/server");
        compare("typing", &mut state);
    }
}

#[tokio::test]
async fn one_peer_has_verdict_fix_idle_times_timeouts_and_events() {
    for size in SIZES {
        let daemon = race_as_client();
        let mut state = state(size);
        ask(&daemon, &mut state).await;
        press(&mut state, "\n");
        compare("asking", &mut state);
        ask_about(&daemon, &mut state).await;
        compare("detail", &mut state);
        state.input(Input::End);
        compare("detail-end", &mut state);
        // Beyond the end and up by one is one line above it, and not where the key was pressed last.
        let end = state.detail.as_ref().unwrap().scroll;
        state.input(Input::PageDown);
        drop(text(&mut state));
        state.input(Input::Up);
        assert_eq!(state.detail.as_ref().unwrap().scroll, end - 1);
    }
}

#[tokio::test]
async fn help_is_one_key_away_and_fits_the_smallest_usual_terminal() {
    for size in SIZES {
        let mut state = state(size);
        ask(&Daemon::new(), &mut state).await;
        press(&mut state, "?");
        compare("help", &mut state);
        assert!(!text(&mut state).lines().skip(3).any(|line| line.ends_with('~')), "nothing is cut");
    }
}

#[tokio::test]
async fn a_screen_without_peers_says_why_and_what_to_do() {
    let nobody = Snapshot { peers: Some(Vec::new()), ..snapshot() };
    for size in SIZES {
        let mut state = state(size);
        assert!(text(&mut state).contains("Waiting for the first answer"));
        state.news(News::Trouble(
            "cannot reach reset-monitor at http://127.0.0.1:9777: Connection refused".to_owned(),
        ));
        compare("never", &mut state);
        ask(&Daemon::with(nobody.clone(), signals()), &mut state).await;
        compare("nobody", &mut state);
        press(&mut state, "/10.0.0.9\n");
        ask(&Daemon::new(), &mut state).await;
        assert!(text(&mut state).contains("No peer matches `10.0.0.9`"));
    }
}

#[tokio::test]
async fn a_lost_daemon_leaves_the_last_picture_marked_as_old() {
    let mut state = state(SIZES[0]);
    ask(&Daemon::new(), &mut state).await;
    state.now += Duration::from_secs(75);
    state.news(News::Trouble("cannot reach reset-monitor".to_owned()));
    let lost = text(&mut state);
    assert!(lost.contains("OLD, from 1 min 15 s ago, asking again: cannot reach"), "{lost}");
    assert!(lost.contains("> 10.0.0.1:8080"), "{lost}");
    ask(&Daemon::new(), &mut state).await;
    assert!(!text(&mut state).contains("OLD"));
}

#[tokio::test]
async fn hostile_names_are_shown_and_do_nothing() {
    for size in SIZES {
        let mut state = state(size);
        state.server = HOSTILE.to_owned();
        let (mut answers, mut page) = answers(&Daemon::new(), &state).await;
        for peer in &mut page.answer.peers {
            (peer.peer, peer.role) = (HOSTILE.to_owned(), HOSTILE.to_owned());
            peer.causes_sent = [(HOSTILE.to_owned(), 1_000)].into();
        }
        answers.status.version = HOSTILE.to_owned();
        answers.status.node = HOSTILE.to_owned();
        answers.alerts.matching = 1;
        answers.alerts.alerts = vec![AlertView {
            alert: HOSTILE.to_owned(),
            severity: "critical".to_owned(),
            state: "firing".to_owned(),
            labels: [("listener".to_owned(), HOSTILE.to_owned())].into(),
            value: None,
            threshold: None,
            since: String::new(),
            fired: None,
            resolved: None,
            annotations: AnnotationsView {
                summary: String::new(),
                description: String::new(),
                runbook: String::new(),
            },
        }];
        state.news(News::Picture(Box::new(answers), Box::new(page)));
        compare("hostile", &mut state);
        press(&mut state, &format!("/{HOSTILE}").replace('\n', ""));
        harmless(&mut state);
        press(&mut state, "\n");
        harmless(&mut state);
        state.input(Input::Escape);

        let daemon = race_as_client();
        ask(&daemon, &mut state).await;
        press(&mut state, "\n");
        ask_about(&daemon, &mut state).await;
        let key = state.wanted().detail.unwrap();
        let Told { id, event, verdict, burst } = told(1_000);
        let port = key.port.unwrap();
        let remote = (key.peer.parse::<std::net::IpAddr>().unwrap(), port).into();
        let event = Event {
            owner: Some(owner(HOSTILE)),
            remote,
            role: Some(monitor_common::peer::Role::Client),
            ..event
        };
        let told = Told { id, event, verdict, burst };
        let mut view = monitor::http::convert::event_view(&told);
        view.netns = key.netns.unwrap();
        view.cause = Some(HOSTILE.to_owned());
        state.news(News::About(key.clone(), Box::new(About::Event(Box::new(view)))));
        let shown = harmless(&mut state);
        assert!(shown.contains("?[2J"), "{shown}");
        for about in [About::Unknown(HOSTILE.to_owned()), About::Broken(HOSTILE.to_owned())] {
            state.news(News::About(key.clone(), Box::new(about)));
            harmless(&mut state);
        }
        press(&mut state, "q");
        state.news(News::Trouble(HOSTILE.to_owned()));
        harmless(&mut state);
    }
}

/// No character of the frame acts on a terminal, and none is missing.
#[track_caller]
fn harmless(state: &mut State) -> String {
    let shown = text(state);
    assert!(shown.lines().all(|line| !line.contains(is_hostile)), "{shown:?}");
    assert_eq!(shown.lines().count(), usize::from(state.size.1));
    shown
}

#[tokio::test]
async fn without_colour_nothing_is_lost() {
    let mut state = state(SIZES[0]);
    ask(&Daemon::new(), &mut state).await;
    let plain = frame(&mut state, false);
    assert!(
        plain
            .backend()
            .buffer()
            .content
            .iter()
            .all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
    );
    let coloured = frame(&mut state, true);
    assert!(coloured.backend().buffer().content.iter().any(|cell| cell.fg != Color::Reset));
    let symbols = |terminal: &Terminal<TestBackend>| -> Vec<String> {
        terminal.backend().buffer().content.iter().map(|cell| cell.symbol().to_owned()).collect()
    };
    assert_eq!(symbols(&plain), symbols(&coloured));
}

#[tokio::test]
async fn any_size_is_drawn_without_a_panic() {
    let daemon = race_as_client();
    for (columns, rows) in
        (0..220).step_by(7).flat_map(|columns| (0..60).step_by(3).map(move |rows| (columns, rows)))
    {
        let mut state = state((columns, rows));
        drop(text(&mut state));
        ask(&daemon, &mut state).await;
        for keys in ["", "?", "q", "/x", "\n"] {
            press(&mut state, keys);
            drop(text(&mut state));
        }
        state.typing = None;
        press(&mut state, "\n");
        drop(text(&mut state));
    }
}

/// A daemon whose events are about this row of its peers.
fn event_of_the_first_peer(id: u64) -> Arc<Told> {
    let Told { event, verdict, .. } = told(id);
    let event = Event {
        netns: 1,
        local: "10.0.0.9:40000".parse().unwrap(),
        remote: "10.0.0.1:8080".parse().unwrap(),
        role: Some(monitor_common::peer::Role::Client),
        ..event
    };
    Arc::new(Told { id, event, verdict, burst: None })
}
