//! Child processes: run them, and when one fails say which command it was.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

/// Pauses between the tries of a download: long enough for a mirror to finish its update, short enough to watch.
const PAUSES: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(10)];

/// How many lines a failed command may say; the cause is at the end.
const MOST_SAID: usize = 15;

/// Announces a step.
pub(crate) fn step(text: &str) {
    eprintln!("==> {text}");
}

/// Says one thing about the step at hand.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// Runs a command whose output is for the reader.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start: {}", show(command)))?;
    if !status.success() {
        bail!("{status}: {}", show(command));
    }
    Ok(())
}

/// Runs a command and returns its standard output; what it said otherwise is shown only if it fails.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("cannot start: {}", show(command)))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        let said = if complaint.trim().is_empty() { text } else { complaint };
        let lines: Vec<_> = said.trim_end().lines().collect();
        let end = &lines[lines.len().saturating_sub(MOST_SAID)..];
        bail!("{}: {}\n{}", output.status, show(command), end.join("\n"));
    }
    Ok(text)
}

/// Tries a download up to three times.
pub(crate) fn retry<T>(what: &str, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    for pause in PAUSES {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(error) => {
                let reason = format!("{error:#}");
                let last = reason.lines().last().unwrap_or_default();
                note(&format!("{what} failed, trying again in {pause:?}: {last}"));
            }
        }
        pause_for(pause);
    }
    attempt().with_context(|| format!("{what}: failed three times"))
}

#[expect(clippy::disallowed_methods, reason = "a network that just failed offers no condition to wait for")]
fn pause_for(pause: Duration) {
    thread::sleep(pause);
}

/// The command as one could type it, with the environment that was set for it.
pub(crate) fn show(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        // The encoded form of the flags cannot be typed; the plain one means the same.
        let name = name.to_string_lossy().replace("CARGO_ENCODED_RUSTFLAGS", "RUSTFLAGS");
        Some(format!("{name}={}", quote(value?)))
    });
    // Cargo calls us with the full path of the real cargo behind rustup's; nobody types that.
    let program = command.get_program();
    let is_cargo = env::var_os("CARGO").is_some_and(|cargo| cargo == program);
    let program = if is_cargo { OsStr::new("cargo") } else { program };
    let words = [program].into_iter().chain(command.get_args()).map(quote);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quote(word: &OsStr) -> String {
    // The separator of encoded flags.
    let word = word.to_string_lossy().replace('\u{1f}', " ");
    if word.is_empty() || word.contains(|c: char| c.is_whitespace() || "'\"$&;()<>|*?\\`".contains(c)) {
        format!("'{}'", word.replace('\'', r"'\''"))
    } else {
        word
    }
}

/// Where a program lies: on PATH, or where distributions put what only root has on PATH.
pub(crate) fn find_program(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// A variable that lists directories, with ours in front of what it had.
pub(crate) fn prefixed(variable: &str, ours: &[PathBuf]) -> Result<std::ffi::OsString> {
    let inherited = env::var_os(variable).unwrap_or_default();
    let rest = env::split_paths(&inherited).filter(|path| !path.as_os_str().is_empty());
    env::join_paths(ours.iter().cloned().chain(rest)).with_context(|| format!("cannot extend {variable}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_one_would_type_it() {
        let mut command = Command::new("cargo");
        command.args(["test", "--", "two words", "it's"]).env("RUSTC", "/a/rustc");
        assert_eq!(show(&command), r"RUSTC=/a/rustc cargo test -- 'two words' 'it'\''s'");
    }

    #[test]
    fn a_failed_command_is_named_with_what_it_said() {
        let error = capture(Command::new("sh").args(["-c", "echo broken >&2; exit 4"])).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("exit status: 4: sh -c"), "{text}");
        assert!(text.contains("broken"), "{text}");
    }
}
