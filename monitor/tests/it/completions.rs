//! `completions`: a real bash reads what it prints, and completes what is typed.

use std::path::Path;
use std::process::Command;

use crate::terminal::Terminal;

/// A shell in a terminal that knows the completions, with the program on its path.
async fn bash() -> Terminal {
    let binary = Path::new(env!("CARGO_BIN_EXE_reset-monitor"));
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new("bash");
    command
        .args(["--norc", "--noprofile", "-i"])
        .env("PATH", format!("{}:{path}", binary.parent().unwrap().display()))
        .env("PS1", "shell> ")
        .env("TERM", "xterm")
        .env_remove("PROMPT_COMMAND");
    let mut bash = Terminal::start(&mut command, (100, 30));
    bash.shows(|text| text.contains("shell>")).await;
    // Its own settings may ring, page or ask.
    bash.press(
        "bind 'set bell-style none'; bind 'set page-completions off'; bind 'set show-all-if-ambiguous on'\r",
    );
    bash.press("source <(reset-monitor completions bash); clear; echo re''ady\r");
    bash.shows(|text| text.contains("ready")).await;
    bash
}

#[tokio::test]
async fn bash_completes_commands_flags_and_values() {
    for (typed, completed) in [
        ("reset-monitor time\t", "reset-monitor timeouts"),
        ("reset-monitor events --fol\t", "reset-monitor events --follow"),
        ("reset-monitor events --cause idle_r\t", "reset-monitor events --cause idle_reuse"),
        ("reset-monitor peers --sort exch\t", "reset-monitor peers --sort exchanges"),
        (
            "reset-monitor explain 10.0.0.5 --software hap\t",
            "reset-monitor explain 10.0.0.5 --software haproxy",
        ),
        ("reset-monitor completions zs\t", "reset-monitor completions zsh"),
    ] {
        let mut bash = bash().await;
        bash.press(typed);
        // Without a line: nothing that is typed here is run.
        bash.shows(move |text| text.lines().last().is_some_and(|line| line.trim_end().ends_with(completed)))
            .await;
    }
}

#[tokio::test]
async fn bash_lists_what_may_follow() {
    let mut bash = bash().await;
    bash.press("reset-monitor --output-that-is-not-there \t\x15reset-monitor \t");
    let commands = monitor::cli::help::COMMANDS.map(|(name, _)| name);
    bash.shows(|text| commands.iter().all(|name| text.contains(name))).await;
}

#[test]
fn every_shell_gets_a_script_and_another_word_the_list_of_shells() {
    let run = |shell: &str| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_reset-monitor")).args(["completions", shell]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let (code, script, said) = run(shell);
        assert_eq!((code, &*said), (Some(0), ""), "{shell}");
        assert!(script.contains("follow") && script.contains("listeners"), "{shell}");
    }
    let (code, script, said) = run("tcsh");
    assert_eq!((code, &*script, said.lines().count()), (Some(2), "", 1), "{said}");
    assert!(said.contains("bash, elvish, fish, powershell, zsh"), "{said}");
}
