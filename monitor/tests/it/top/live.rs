//! The program itself, against a server of the tests.

use std::net::SocketAddr;
use std::process::Command;

use monitor::command::top::screen::Screen;
use monitor::http::server::serve;
use rustix::process::Signal;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::event_of_the_first_peer;
use crate::support::Daemon;
use crate::terminal::Terminal;

/// A daemon at an address.
struct Running {
    address: SocketAddr,
    publisher: monitor::publish::Publisher,
    shutdown: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Running {
    async fn start(address: SocketAddr) -> Self {
        let Daemon { router, publisher, shutdown } = Daemon::new();
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut task = JoinSet::new();
        task.spawn(serve(listener, router, shutdown.subscribe()));
        Self { address, publisher, shutdown, task }
    }

    async fn here() -> Self {
        Self::start("127.0.0.1:0".parse().unwrap()).await
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn stop(mut self) -> SocketAddr {
        self.shutdown.send_replace(true);
        self.task.join_next().await.unwrap().unwrap();
        self.address
    }
}

/// `top` in a terminal of its own.
fn top(server: &str, size: (u16, u16)) -> Terminal {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    command.args(["top", "--interval", "0.2", "--server", server]);
    Terminal::start(command.env("TERM", "xterm-256color").env_remove("NO_COLOR"), size)
}

#[tokio::test]
async fn it_shows_sorts_filters_explains_resizes_and_gives_the_terminal_back() {
    let daemon = Running::here().await;
    let mut top = top(&daemon.url(), (80, 24));
    let shown = top.selects("10.0.0.1:8080").await;
    assert!(shown.contains("resets 68") && shown.contains("RESETSv") && top.is_raw(), "{shown}");

    top.press("r");
    top.selects("other").await;
    top.press("<<<");
    top.shows(|text| text.contains("PEER^")).await;
    top.press("r");
    top.selects("retired").await;

    top.press("/2001:db8::/32\r");
    let shown = top.selects("[2001:db8::7]:443").await;
    assert!(!shown.contains("10.0.0.1:8080") && shown.contains("1/1 2001:db8::/32"), "{shown}");
    top.press("/\u{7f}");
    top.shows(|text| text.contains("filter: 2001:db8::/3 ")).await;
    // Escape alone, once it is seen that nothing follows it.
    top.press("\x1b");
    top.shows(|text| !text.contains("filter:")).await;
    top.press("\x1b");
    top.shows(|text| text.contains("10.0.0.1:8080")).await;

    top.press("/10.0.0.1\r");
    top.selects("10.0.0.1:8080").await;
    top.press("\r");
    let shown = top.shows(|text| text.contains("Idle timeouts") || text.contains("Fix")).await;
    assert!(shown.contains("10.0.0.1:8080 (client, network namespace 1)"), "{shown}");
    top.shows(|text| text.contains("live, the newest first")).await;
    daemon.publisher.event(event_of_the_first_peer(1));
    top.shows(|text| text.contains("03:00:00.123 sent     unread_data")).await;

    top.resize(200, 50);
    top.shows(|text| text.contains("APP SAW") && text.contains(" | Causes")).await;
    top.resize(100, 30);
    top.shows(|text| !text.contains(" | Causes")).await;
    top.press("q");
    top.selects("10.0.0.1:8080").await;
    top.press("p");
    top.shows(|text| text.contains("PAUSED")).await;
    top.press("q");
    assert_eq!(top.ends().await.code(), Some(0));
    daemon.stop().await;
}

#[tokio::test]
async fn a_daemon_that_goes_and_comes_back_is_asked_again() {
    let daemon = Running::here().await;
    let mut top = top(&daemon.url(), (200, 50));
    top.press("\r");
    top.selects("10.0.0.1:8080").await;
    top.press("\r");
    top.shows(|text| text.contains("live, the newest first")).await;
    let address = daemon.stop().await;
    top.shows(|text| text.contains("OLD, from") && text.contains("not live, asking again")).await;
    top.press("q");
    let old = top.selects("10.0.0.1:8080").await;
    assert!(old.contains("Connection refused") && old.contains("asking again"), "{old}");
    top.press("\r");
    let daemon = Running::start(address).await;
    top.shows(|text| !text.contains("OLD, from") && text.contains("live, the newest first")).await;
    daemon.publisher.event(event_of_the_first_peer(1));
    top.shows(|text| text.contains("03:00:00.123 sent     unread_data")).await;
    top.press("\u{3}");
    assert_eq!(top.ends().await.code(), Some(0));
    daemon.stop().await;
}

#[tokio::test]
async fn one_that_never_answered_says_what_to_do_and_waits() {
    let daemon = Running::here().await;
    let url = daemon.url();
    let address = daemon.stop().await;
    let mut top = top(&url, (80, 24));
    let shown = top.shows(|text| text.contains("No answer, asking again every 0.2 s")).await;
    assert!(shown.contains("is it running?") && shown.contains("sudo"), "{shown}");
    let daemon = Running::start(address).await;
    top.selects("10.0.0.1:8080").await;
    drop(daemon);
    top.press("q");
    assert_eq!(top.ends().await.code(), Some(0));
}

#[tokio::test]
async fn a_signal_ends_it_and_the_terminal_is_as_before() {
    let daemon = Running::here().await;
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut top = top(&daemon.url(), (80, 24));
        top.selects("10.0.0.1:8080").await;
        top.signal(signal);
        assert_eq!(top.ends().await.code(), Some(0), "{signal:?}");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_use_instead() {
    let run = |arguments: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_reset-monitor")).arg("top").args(arguments).output().unwrap();
        assert!(output.stdout.is_empty());
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, message) = run(&[]);
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("needs a terminal") && message.contains("reset-monitor peers"), "{message}");
    assert_eq!(message.lines().count(), 1);
    for interval in ["0", "-1", "soon", "nan", "1e9"] {
        let (code, message) = run(&[&format!("--interval={interval}")]);
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains("between 0.2 and 3600"), "{message}");
    }
}

/// Tells the test's program, when it is started anew in a terminal, to be the one that panics.
const PANICS: &str = "RESET_MONITOR_TEST_TOP_PANICS";

/// What `top` shows is drawn in one place, so a panic there stands for one anywhere: there is no word by which the product could be made to.
#[tokio::test]
async fn a_panic_gives_the_terminal_back_before_it_is_told() {
    if std::env::var_os(PANICS).is_some() {
        let mut screen = Screen::open().unwrap();
        screen.draw(|frame| frame.render_widget("shown", frame.area())).unwrap();
        screen.draw(|_| panic!("the frame is broken")).unwrap();
        unreachable!("it has panicked");
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "top::live::a_panic_gives_the_terminal_back_before_it_is_told", "--nocapture"]);
    command.env(PANICS, "1").env("TERM", "xterm-256color").env("RUST_BACKTRACE", "0");
    let (status, screen, written) = Terminal::start(&mut command, (100, 30)).ended().await;
    assert!(!status.success());
    let place = |part: &str| written.find(part).unwrap_or_else(|| panic!("no {part:?} in {written:?}"));
    let (entered, frame, left, told) =
        (place("\x1b[?1049h"), place("shown"), place("\x1b[?1049l"), place("the frame is broken"));
    assert!(entered < frame && frame < left && left < told, "{written:?}");
    // Once: a second time would put the cursor back on the message.
    assert_eq!(written.matches("\x1b[?1049l").count(), 1, "{written:?}");
    // The message is on the shell's screen and not on one that is gone, in lines that begin at the left.
    assert!(!screen.alternate_screen() && !screen.hide_cursor(), "{written:?}");
    assert!(
        screen.contents().lines().any(|line| line.starts_with("the frame is broken")),
        "{}",
        screen.contents()
    );
}
