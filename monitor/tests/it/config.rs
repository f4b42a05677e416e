//! Configuration as a user meets it: the binary itself, stopped by a value that is out of range before it touches anything.

use std::path::Path;
use std::process::{Command, Output};

use clap::Parser as _;
use monitor::cli::{Cli, Command as Subcommand};
use monitor::config::Config;

/// A file in the system's temporary directory that is gone with the test.
struct Written(std::path::PathBuf);

impl Drop for Written {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn write(name: &str, text: &str) -> Written {
    let path = std::env::temp_dir().join(format!("reset-monitor-it-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    Written(path)
}

fn run(command: &mut Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    assert!(stdout.is_empty(), "stdout is for data");
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let file = write("precedence", "client_peers = 0\n");
    let daemon = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
        command.args(["run", "--config"]).arg(&file.0);
        command
    };
    let (code, message) = run(&mut daemon());
    assert_eq!((code, message.contains("client-peers is 0:")), (Some(2), true), "{message}");
    let (code, message) = run(daemon().env("RESET_MONITOR_CLIENT_PEERS", "2000000"));
    assert_eq!((code, message.contains("client-peers is 2000000:")), (Some(2), true), "{message}");
    let both = &mut daemon();
    both.env("RESET_MONITOR_CLIENT_PEERS", "2000000").args(["--client-peers", "3000000"]);
    let (code, message) = run(both);
    assert_eq!((code, message.contains("client-peers is 3000000:")), (Some(2), true), "{message}");
}

#[test]
fn numbers_of_alerts_and_addresses_to_push_to_that_cannot_be_meant_end_the_start_by_name() {
    for (name, text, wanted) in [
        ("alerts", "[alerts.ResetBurst]\nthreshold = 0\n", "alerts.ResetBurst.threshold: it is 0"),
        (
            "push",
            "[[push.alertmanagers]]\nurl = \"am-0\"\n",
            "push.alertmanagers, number 1.url: `am-0` is not",
        ),
    ] {
        let file = write(name, text);
        let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
        let (code, message) = run(command.args(["run", "--config"]).arg(&file.0));
        assert_eq!(code, Some(2), "{message}");
        assert!(message.contains(wanted) && message.contains(file.0.to_str().unwrap()), "{message}");
        assert_eq!(message.trim_end().lines().count(), 1, "{message}");
    }
}

#[test]
fn bad_usage_is_one_line_with_what_is_wrong() {
    for (words, wanted) in [
        (vec!["run", "--lisen", "x"], "--lisen"),
        (vec!["run", "--listen", "nowhere"], "nowhere"),
        (vec!["events", "--cause", "bad_luck"], "linger_abort"),
        (vec!["peers", "--role", "both"], "role"),
        (vec!["explain"], "PEER"),
        (vec!["explain", "web.example:80"], "host names are not looked up"),
        (vec!["explain", "10.0.0.5", "--software", "iis"], "iis"),
        (vec!["alerts", "--state", "open"], "firing, pending, resolved"),
        (vec!["alerts", "--alert", "Burst"], "ResetRatioHigh"),
        (vec!["run", "--alertmanager", "nowhere"], "--alertmanager: `nowhere` is not a URL such as"),
        #[cfg(not(feature = "otlp"))]
        (vec!["run", "--otlp-endpoint", "http://a"], "--otlp-endpoint"),
        #[cfg(feature = "otlp")]
        (vec!["run", "--otlp-endpoint", "http://us:secret@a"], "--otlp-endpoint: it has a name or password"),
        (vec!["fly"], "fly"),
    ] {
        let (code, message) = run(Command::new(env!("CARGO_BIN_EXE_reset-monitor")).args(&words));
        assert_eq!(code, Some(2), "{words:?}: {message}");
        assert!(message.contains(wanted) && message.trim_end().lines().count() == 1, "{words:?}: {message}");
    }
}

#[test]
fn without_a_word_it_says_what_can_be_typed() {
    let (code, message) = run(&mut Command::new(env!("CARGO_BIN_EXE_reset-monitor")));
    assert_eq!(code, Some(2));
    assert!(message.contains("Usage: reset-monitor <COMMAND>") && message.contains("check"), "{message}");
}

/// Text of a document between a line "```toml" and the next "```".
fn examples(document: &str) -> Vec<String> {
    let blocks = document.split("\n```toml\n").skip(1);
    blocks.map(|block| block.split("\n```").next().unwrap().to_owned()).collect()
}

#[test]
fn examples_in_the_documentation_are_configurations() {
    let mut examples = examples(include_str!("../../../README.md"));
    assert!(examples.len() >= 2);
    if cfg!(feature = "otlp") {
        examples.extend(self::examples(include_str!("../../../docs/otlp.md")));
    }
    let whole = examples.join("\n");
    for text in examples.iter().chain([&whole]) {
        let Cli { command: Subcommand::Run(args) } = Cli::try_parse_from(["reset-monitor", "run"]).unwrap()
        else {
            panic!("`run` is another command");
        };
        Config::resolve_text(&args, Path::new("README.md"), text)
            .unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
}
