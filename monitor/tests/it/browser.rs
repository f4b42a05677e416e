//! The page in a browser: a headless Chromium, driven by `tests/browser`, looks at what our server serves.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;

use monitor::cause::Cause;
use monitor::counts::PeerCounts;
use monitor::event::{Event, Told};
use monitor::http::server::serve;
use monitor::owners::By;
use monitor::snapshot::listening::Listening;
use monitor::snapshot::{PeerRow, Scope, Snapshot};
use monitor_common::counters::Kind;
use monitor_common::peer::Role;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::history::watching;
use crate::names::named;
use crate::player::prepare;
use crate::support::{
    Daemon, answer, finally, hooked_snapshot, label, owner, provisional, refusal, signals, snapshot, told,
};

/// Names that a process may give itself: markup, an escape sequence, a line turned around, and all of the 16 bytes that the kernel keeps.
const HOSTILE: [&str; 4] =
    ["<img src=x onerr", "\u{1b}[31mred\n", "exe.\u{202e}gnp\u{200f}", "<script>alert(1)"];

#[tokio::test]
async fn every_view_shows_what_the_api_says_and_is_accessible_in_light_and_dark() {
    let daemon = watching(hooked_snapshot());
    daemon.publish([1]);
    play(daemon, "views", 2).await;
}

#[tokio::test]
async fn events_come_as_they_happen_can_be_held_filtered_and_opened() {
    play(Daemon::with(hooked_snapshot(), signals()), "stream", 1).await;
}

#[tokio::test]
async fn a_shared_link_opens_the_same_view_and_the_keyboard_is_enough() {
    play(watching(hooked_snapshot()), "links", 1).await;
}

#[tokio::test]
async fn hostile_names_are_text() {
    let (daemon, owners, _questions) = Daemon::asking();
    // One is only looked up when the event has happened.
    daemon.publisher.event(Arc::new(finally(1, Cause::IdleReuse)));
    owners.answer([(1, answer("<b onclick=a>\u{2066}", By::OnlyProcessOfCgroup))]);
    play(daemon, "hostile", 2).await;
}

#[tokio::test]
async fn names_stand_beside_addresses() {
    let (daemon, owners) = named();
    daemon.publisher.event(Arc::new(finally(1, Cause::IdleReuse)));
    owners.answer([(1, answer("app", By::File))]);
    play(daemon, "names", 2).await;
}

#[tokio::test]
async fn a_daemon_that_is_gone_is_told_of_and_one_that_is_back_is_live() {
    let daemon = watching(hooked_snapshot());
    daemon.publish([1]);
    play(daemon, "lost", 2).await;
}

#[tokio::test]
async fn a_quiet_host_says_what_it_watches() {
    let quiet = Snapshot {
        peers: Some(Vec::new()),
        timeouts: Some(Vec::new()),
        timeout_series: Vec::new(),
        series: Vec::new(),
        listening: Listening { sockets: None, ..Listening::default() },
        ..snapshot()
    };
    play(Daemon::with(quiet, signals()), "empty", 1).await;
}

#[tokio::test]
async fn a_crowd_of_peers_and_events_is_shown_in_part_and_the_page_still_answers() {
    let row = |number: u32| PeerRow {
        label: label(
            Scope::Address(std::net::Ipv4Addr::from(0x0a00_0000 + number).into()),
            Some(443),
            Role::Server,
        ),
        netns: Some(1),
        counts: PeerCounts {
            opened: 100,
            closed: 100,
            resets_sent: u64::from(number),
            ..PeerCounts::default()
        },
        causes: None,
        open: None,
    };
    let crowd = Snapshot { peers: Some((0..10_000).map(row).collect()), ..snapshot() };
    play(Daemon::with(crowd, signals()), "crowd", 1).await;
}

/// Serves the daemon, plays a scenario, and does to the daemon what it asks for. `next` is the id of the next event.
async fn play(daemon: Daemon, scenario: &str, mut next: u64) {
    let mut server = Server::start(&daemon, "127.0.0.1:0".parse().unwrap()).await;
    let mut player = player(server.address, scenario);
    let (lines, mut said) = mpsc::channel(16);
    let output = BufReader::new(player.stdout.take().unwrap());
    let reader = tokio::task::spawn_blocking(move || {
        for line in output.lines() {
            if lines.blocking_send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    let mut answers = player.stdin.take().unwrap();
    let mut played = false;
    while let Some(line) = said.recv().await {
        let Some(command) = line.strip_prefix("> ") else {
            println!("{scenario}: {line}");
            played |= line == "played";
            continue;
        };
        match command {
            "stop" => server.stop().await,
            "start" => server = Server::start(&daemon, server.address).await,
            "final" => daemon.publisher.revise(Arc::new(finally(next - 1, Cause::PeerAbort))),
            other => {
                let events = asked(other, next);
                next += u64::try_from(events.len()).unwrap();
                for told in events {
                    daemon.publisher.event(Arc::new(told));
                }
            }
        }
        writeln!(answers, "done").unwrap();
    }
    reader.await.unwrap();
    let status = player.wait().unwrap();
    assert!(status.success() && played, "{scenario}: {status}; what it said is above");
    server.stop().await;
}

/// The events that a scenario asks for, from this id on.
fn asked(command: &str, next: u64) -> Vec<Told> {
    if let Some(count) = command.strip_prefix("publish ") {
        return (next..next + count.parse::<u64>().unwrap()).map(told).collect();
    }
    match command {
        "hostile" => (next..)
            .zip(HOSTILE)
            .map(|(id, name)| {
                let told = told(id);
                Told { event: Event { owner: Some(owner(name)), ..told.event }, ..told }
            })
            .collect(),
        "provisional" => vec![provisional(next)],
        "refused" => {
            let told = refusal(next);
            vec![Told { event: Event { kind: Kind::RefusedReceived, ..told.event }, ..told }]
        }
        unknown => panic!("a scenario asks for {unknown}"),
    }
}

/// Our server, at a place that it can be started at again.
struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Server {
    async fn start(daemon: &Daemon, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, daemon.router.clone(), stopping));
        Self { address, stop, task }
    }

    async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.task.join_next().await.is_some() {}
    }
}

/// The browser, which looks at our server.
#[track_caller]
fn player(server: SocketAddr, scenario: &str) -> Child {
    let mut node = Command::new("node");
    prepare(&mut node, server, scenario).unwrap();
    match node.spawn() {
        Ok(child) => child,
        Err(error) => {
            panic!("not run: node, which drives the browser: {error}; on Debian: apt-get install nodejs")
        }
    }
}
