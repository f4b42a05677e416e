//! What a command says when it cannot do what was typed: one line, in which stands what to do; and no escape sequence where none is wanted.

use std::process::{Command, Output};

use axum::Router;
use axum::routing::get;
use monitor::cli::help;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::Daemon;
use crate::terminal::Terminal;

/// Everything that asks a daemon. `top` stays and waits for one, so it has tests of its own.
const ASKING: [&[&str]; 7] = [
    &["events"],
    &["events", "-f", "--last", "0"],
    &["peers"],
    &["explain", "10.0.0.1"],
    &["timeouts"],
    &["alerts"],
    &["listeners"],
];

fn program(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    command
        .args(words)
        .env_remove("RESET_MONITOR_SERVER")
        .env_remove("NO_COLOR")
        .env("TERM", "xterm-256color");
    command
}

/// Runs it on another thread, since the server that it asks is on this one.
async fn run(words: &[&str], server: &str) -> (Option<i32>, String) {
    let mut command = program(words);
    command.args(["--server", server]);
    let Output { status, stdout, stderr } =
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(stdout.is_empty(), "stdout is for data: {words:?}");
    let said = String::from_utf8(stderr).unwrap();
    assert_eq!(said.lines().count(), 1, "{words:?}: {said}");
    (status.code(), said)
}

/// Another server at an address of its own.
pub(crate) async fn serve(router: Router) -> (String, watch::Sender<bool>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (shutdown, stop) = watch::channel(false);
    let mut task = JoinSet::new();
    task.spawn(monitor::http::server::serve(listener, router, stop));
    (url, shutdown, task)
}

#[track_caller]
fn says(said: &str, parts: &[&str]) {
    assert!(parts.iter().all(|part| said.contains(part)), "{parts:?} are not all in {said}");
}

#[tokio::test]
async fn without_a_daemon_each_command_says_how_to_start_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for words in ASKING {
        let (code, said) = run(words, &url).await;
        assert_eq!(code, Some(1), "{words:?}");
        says(&said, &[&url, "onnection refused", "sudo reset-monitor run", "--server"]);
    }
}

#[tokio::test]
async fn another_web_server_is_recognised_whatever_it_answers() {
    let page = || async { "<html>Welcome</html>" };
    for router in [Router::new().fallback(get(page)), Router::new()] {
        let (url, _shutdown, _task) = serve(router).await;
        // A stream of something else is no stream of events either, but may be one that says nothing yet.
        for words in ASKING.into_iter().filter(|words| !words.contains(&"-f")) {
            let (code, said) = run(words, &url).await;
            assert_eq!(code, Some(1), "{words:?}");
            says(&said, &[&url, "is not reset-monitor", "--server", "ss -ltnp"]);
        }
    }
}

#[tokio::test]
async fn a_server_that_does_not_speak_http_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut task = JoinSet::new();
    task.spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            drop(stream.write_all(b"-ERR unknown command\r\n").await);
            drop(stream.shutdown().await);
            // Held until it is read, so that no reset overtakes the answer.
            drop(tokio::io::copy(&mut stream, &mut tokio::io::sink()).await);
        }
    });
    for words in ASKING {
        let (code, said) = run(words, &url).await;
        assert_eq!(code, Some(1), "{words:?}");
        says(&said, &[&url, "is not reset-monitor: it does not answer in HTTP"]);
    }
}

#[tokio::test]
async fn a_daemon_of_another_version_is_named_with_both_versions() {
    let status = || async { r#"{"version":"99.0.0","something":"new"}"# };
    let router = Router::new()
        .route("/api/v1/status", get(status))
        .fallback(get(|| async { r#"{"everything":"is different"}"# }));
    let (url, _shutdown, _task) = serve(router).await;
    for words in ASKING.into_iter().filter(|words| !words.contains(&"-f")) {
        let (code, said) = run(words, &url).await;
        assert_eq!(code, Some(1), "{words:?}");
        says(&said, &[&url, "is reset-monitor 99.0.0", env!("CARGO_PKG_VERSION"), "daemon's version"]);
    }
}

#[tokio::test]
async fn a_stream_that_an_older_daemon_does_not_have_is_no_mystery() {
    let status = || async { r#"{"version":"0.0.1"}"# };
    let missing = || async { (axum::http::StatusCode::NOT_FOUND, r#"{"error":"nothing at that path"}"#) };
    let router = Router::new().route("/api/v1/status", get(status)).fallback(get(missing));
    let (url, _shutdown, _task) = serve(router).await;
    for words in ASKING {
        let (_, said) = run(words, &url).await;
        says(&said, &["is reset-monitor 0.0.1"]);
    }
}

#[test]
fn a_wrong_word_is_answered_with_the_nearest() {
    for (words, wanted) in [
        (&["evnts"][..], "'events'"),
        (&["time-outs"], "'timeouts'"),
        (&["peers", "--sotr", "x"], "'--sort'"),
        (&["run", "--lisen", "x"], "'--listen'"),
        (&["events", "--cause", "idle_reus"], "'idle_reuse'"),
        (&["events", "--kind", "reset_recieved"], "'reset_received'"),
        (&["events", "--direction", "send"], "'sent'"),
        (&["replay", "file", "--cause", "linger"], "'linger_abort'"),
        (&["peers", "--role", "clent"], "'client'"),
        (&["peers", "--sort", "ratoi"], "'ratio'"),
        (&["peers", "--output", "jsn"], "'json'"),
        (&["explain", "10.0.0.1", "--software", "haprox"], "'haproxy'"),
        (&["alerts", "--state", "fire"], "'firing'"),
        (&["alerts", "--alert", "ResetRatio"], "'ResetRatioHigh'"),
        (&["completions", "bsh"], "'bash'"),
    ] {
        let Output { status, stdout, stderr } = program(words).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!((status.code(), stdout.len(), said.lines().count()), (Some(2), 0, 1), "{words:?}: {said}");
        assert!(said.contains("similar") && said.contains(wanted), "{words:?}: {said}");
        let help = help::COMMANDS.iter().find(|(name, _)| *name == words[0]);
        let help = help
            .map_or("reset-monitor --help".to_owned(), |(name, _)| format!("reset-monitor {name} --help"));
        assert!(said.trim_end().ends_with(&help), "{words:?}: {said}");
    }
}

#[tokio::test]
async fn escape_sequences_are_for_terminals_whose_user_wants_them() {
    let daemon = Daemon::new();
    daemon.publish(1..=2);
    let (url, _shutdown, _task) = serve(daemon.router).await;
    let all = [
        &["peers"][..],
        &["events"],
        &["timeouts"],
        &["explain", "10.0.0.1"],
        &["listeners"],
        &["events", "--cause", "refused"],
    ];
    let ours = all.map(|words| [words, &["--server", &url]].concat());
    let helps = help::COMMANDS.iter().map(|(name, _)| vec![*name, "--help"]);
    for words in ours.into_iter().chain(helps).chain([vec!["--help"]]) {
        for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
            let (status, written) =
                Terminal::start(program(&words).env("CI", "true").env(name, value), (80, 24)).written().await;
            assert!(status.success(), "{words:?}: {written}");
            assert!(!written.is_empty() && !written.contains('\x1b'), "{name}: {words:?}: {written:?}");
        }
        let mut command = program(&words);
        let piped = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert!(!piped.stdout.contains(&b'\x1b') && !piped.stderr.contains(&b'\x1b'), "{words:?}");
    }
    let (_, coloured) = Terminal::start(&mut program(&["peers", "--server", &url]), (80, 24)).written().await;
    assert!(coloured.contains("\x1b["), "{coloured:?}");
}

#[tokio::test]
async fn no_help_is_wider_than_a_narrow_terminal() {
    for words in help::COMMANDS.map(|(name, _)| vec![name, "--help"]).into_iter().chain([vec!["--help"]]) {
        let (_, written) = Terminal::start(program(&words).env("NO_COLOR", "1"), (80, 24)).written().await;
        for line in written.lines() {
            assert!(line.chars().count() <= 80, "{words:?}: {line}");
        }
    }
}
