//! Help of every command, made one way: what it does, examples, usage, options by group, notes. Pages of the manual are made of the same.
//!
//! A command states its [`Help`] beside its arguments; here it is put on the parser. Examples come first, since they are what most readers
//! look for (clig.dev). That each of them can be typed as it stands is a test.

use clap::{CommandFactory as _, builder::StyledStr};

use super::Cli;
use crate::command::{
    alerts, check, completions, events, explain, listeners, man, peers, probe, record, replay, run, timeouts,
    top,
};

/// Columns of the narrowest usual terminal, which examples fit.
const NARROW: usize = 80;
/// Before an example, and between it and its words.
const INDENT: &str = "  ";
const GAP: &str = "   ";

/// Where the parts stand.
const TEMPLATE: &str = "\
{about-with-newline}
{before-help}{usage-heading} {usage}

{all-args}{after-help}
";

/// A command line, and what it shows; without words where the line speaks for itself.
pub type Example = (&'static str, &'static str);

/// What help has besides the options.
#[derive(Clone, Copy, Debug)]
pub struct Help {
    /// The most usual first.
    pub examples: &'static [Example],
    /// What follows the options: paragraphs, and lines that begin with blanks where they stand as they are.
    pub notes: &'static str,
}

/// The program without a command.
pub const PROGRAM: Help = Help {
    examples: &[
        ("sudo reset-monitor run", "watch this host"),
        ("reset-monitor events -f", "resets as they happen"),
        ("reset-monitor explain 10.0.0.5:8080", "what is wrong with a peer, and the fix"),
        ("reset-monitor timeouts", "which keep-alive timeouts are misaligned"),
        ("reset-monitor top", "all of it, live in a terminal"),
    ],
    notes: "Every command has examples in its own help: reset-monitor COMMAND --help. Data goes to standard output, messages to standard error. \
            Colour is for terminals, and for none where NO_COLOR is set.",
};

/// Every command's, in the order in which they are listed.
pub const COMMANDS: [(&str, Help); 14] = [
    ("run", run::HELP),
    ("check", check::HELP),
    ("events", events::HELP),
    ("top", top::HELP),
    ("peers", peers::HELP),
    ("explain", explain::HELP),
    ("timeouts", timeouts::HELP),
    ("alerts", alerts::HELP),
    ("probe", probe::HELP),
    ("listeners", listeners::HELP),
    ("record", record::HELP),
    ("replay", replay::HELP),
    ("completions", completions::HELP),
    ("man", man::HELP),
];

/// The parser with its help.
pub fn command() -> clap::Command {
    let command = dress(Cli::command(), &PROGRAM);
    COMMANDS.iter().fold(command, |command, (name, help)| {
        command.mut_subcommand(*name, |subcommand| dress(subcommand, help))
    })
}

fn dress(command: clap::Command, help: &Help) -> clap::Command {
    let notes = help.notes.trim_end();
    let command = command.help_template(TEMPLATE).before_help(StyledStr::from(listed(help.examples)));
    let command = if notes.is_empty() { command } else { command.after_help(notes) };
    // What is set on this machine is no part of the help.
    command.mut_args(|argument| argument.hide_env_values(true))
}

/// One a line, with its words in a column behind; those of a line that is longer than most stand where it ends.
fn listed(examples: &[Example]) -> String {
    let with_words = examples.iter().filter(|(_, words)| !words.is_empty());
    let widest_words = with_words.clone().map(|(_, words)| words.len()).max().unwrap_or_default();
    let room = NARROW.saturating_sub(widest_words + INDENT.len() + GAP.len());
    let column = with_words.map(|(line, _)| line.len()).filter(|length| *length <= room).max();
    let column = column.unwrap_or_default();
    let mut text = "Examples:".to_owned();
    for (line, words) in examples {
        text.extend(["\n", INDENT]);
        let width = if words.is_empty() { line.len() } else { column };
        let gap = if words.is_empty() { "" } else { GAP };
        text.extend([line, &*" ".repeat(width.saturating_sub(line.len())), gap, words]);
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches as _;

    use super::{COMMANDS, NARROW, PROGRAM, command, listed};
    use crate::cli::Cli;

    /// A line's words as a shell splits it, up to the first pipe and after `sudo`.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted) = (Vec::new(), String::new(), false);
        let line = line.split(" | ").next().unwrap().split(" > ").next().unwrap();
        for character in line.trim_start_matches("sudo ").chars() {
            match character {
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                other => word.push(other),
            }
        }
        words.push(word);
        words
    }

    #[test]
    fn every_command_has_help_and_every_help_a_command() {
        command().debug_assert();
        let listed: Vec<_> = command().get_subcommands().map(|one| one.get_name().to_owned()).collect();
        assert_eq!(listed, COMMANDS.map(|(name, _)| name));
        assert!(COMMANDS.iter().all(|(_, help)| !help.examples.is_empty()));
    }

    #[test]
    fn every_example_can_be_typed_and_fits_a_narrow_terminal() {
        let mine =
            COMMANDS.iter().flat_map(|(name, help)| help.examples.iter().map(move |one| (*name, *one)));
        let all = mine.chain(PROGRAM.examples.iter().map(|one| ("reset-monitor", *one)));
        for (name, (line, _)) in all {
            let words = words(line.split("<(").last().unwrap().trim_end_matches(')'));
            let matches =
                command().try_get_matches_from(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
            Cli::from_arg_matches(&matches).unwrap();
            assert!(line.contains(name), "{line} is an example of {name}");
        }
        for (_, help) in COMMANDS.iter().chain([&("", PROGRAM)]) {
            let text = listed(help.examples);
            assert!(text.lines().all(|line| line.chars().count() <= NARROW), "{text}");
        }
    }

    #[test]
    fn help_begins_with_examples_and_has_no_value_of_this_machine() {
        for (name, help) in COMMANDS {
            let error = command().try_get_matches_from(["reset-monitor", name, "--help"]).unwrap_err();
            let text = error.to_string();
            let places = ["\nExamples:\n  ", help.examples[0].0, "\nUsage:", "\nOptions:"];
            let places: Vec<_> = places.iter().map(|part| text.find(part)).collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{name}: {text}");
            assert!(!text.contains("=]"), "{name}: {text}");
        }
    }
}
