//! `reset-monitor man`: the manual, made of the parser and of what its help says. A page of the program, and one of each command.
//!
//! Not by `clap_mangen`: it puts each of twenty causes on a line of its own, and knows neither examples nor exit codes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _, stderr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::builder::PossibleValue;
use roff::{Inline, Roff, bold, italic, roman};

use super::{EXIT_FAILURE, EXIT_KERNEL, EXIT_USAGE};
use crate::cli::help::{self, Help};
use crate::config::DEFAULT_LOCK_FILE;
use crate::terminal::ends_quietly;

/// What `man --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor man | man -l -", "read it"),
        ("reset-monitor man ~/.local/share/man/man1", "write it where `man` looks"),
    ],
    notes: "",
};

/// `reset-monitor man`
#[derive(Clone, Debug, clap::Args)]
pub struct ManArgs {
    /// Directory for all pages, made if it is not there; without it the first page goes to standard output
    #[arg(value_name = "DIR")]
    pub directory: Option<PathBuf>,
}

/// Files that somebody may look for.
const FILES: [(&str, &str); 3] = [
    (DEFAULT_LOCK_FILE, "Locked while a daemon watches this host (--lock-file)."),
    ("FILE of --config", "Settings of the daemon, in TOML. Unknown keys are errors."),
    (
        "FILE of --event-log",
        "Every reset and overflow as a line of JSON; FILE.1 and so on are older ones (--event-log-bytes, --event-log-files).",
    ),
];
/// What is no option's, and read by every command.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("NO_COLOR", "If it is set and not empty, nothing is coloured."),
    ("TERM", "`dumb` means no colour, and no `top`."),
];

/// What roff begins with: an apostrophe stays one.
const PREAMBLE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// Prints the program's page, or writes all of them.
pub fn man(args: &ManArgs) -> anyhow::Result<()> {
    let pages = pages();
    let Some(directory) = &args.directory else {
        let page = pages.get(&file_name("reset-monitor")).map(String::as_bytes).unwrap_or_default();
        return ends_quietly(io::stdout().lock().write_all(page)).context("write the page");
    };
    write(&pages, directory)?;
    // If stderr is closed there is nobody to tell.
    drop(writeln!(stderr(), "{} pages in {}", pages.len(), directory.display()));
    Ok(())
}

fn write(pages: &BTreeMap<String, String>, directory: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(directory)
        .with_context(|| format!("make the directory {}: name another one", directory.display()))?;
    for (name, text) in pages {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}

/// All pages by the names of their files.
pub fn pages() -> BTreeMap<String, String> {
    let mut program = help::command();
    program.build();
    let own = (program.clone(), &help::PROGRAM);
    let commands =
        help::COMMANDS.iter().filter_map(|(name, help)| Some((program.find_subcommand(name)?.clone(), help)));
    let all = std::iter::once(own).chain(commands);
    all.map(|(command, help)| {
        let name = command.get_display_name().unwrap_or("reset-monitor").to_owned();
        (file_name(&name), page(&name, &command, help))
    })
    .collect()
}

fn file_name(command: &str) -> String {
    format!("{command}.1")
}

fn page(name: &str, command: &clap::Command, help: &Help) -> String {
    let is_program = command.has_subcommands();
    let mut after = Roff::new();
    options(&mut after, command);
    if is_program {
        let about = |one: &clap::Command| one.get_about().map(ToString::to_string).unwrap_or_default();
        let commands =
            command.get_subcommands().map(|one| (format!("reset-monitor-{}(1)", one.get_name()), about(one)));
        section(&mut after, "COMMANDS", &commands.collect::<Vec<_>>());
    }
    notes(&mut after, help.notes);
    section(&mut after, "EXIT STATUS", &exits());
    section(&mut after, "ENVIRONMENT", &environment(command));
    if is_program || name == "reset-monitor-run" {
        section(&mut after, "FILES", &FILES.map(|(file, words)| (file.to_owned(), words.to_owned())));
    }
    see_also(&mut after, name);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut first = Roff::new();
    first.control("SH", ["NAME"]).text([roman(format!("{name} - {about}"))]);
    first.control("SH", ["SYNOPSIS"]).text([bold(usage)]);
    examples(&mut first, help.examples);
    // Without a date, so that the same version makes the same page.
    let version = env!("CARGO_PKG_VERSION");
    let title = format!(".TH {} 1 \"\" \"reset-monitor {version}\" reset-monitor\n", name.to_uppercase());
    // Each part brings the preamble.
    format!("{PREAMBLE}{title}{}", (first.render() + &after.render()).replace(PREAMBLE, ""))
}

/// Options by the group that help shows them in.
fn options(roff: &mut Roff, command: &clap::Command) {
    let mut groups: Vec<(&str, Vec<&clap::Arg>)> = Vec::new();
    for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
        let usual = if argument.is_positional() { "Arguments" } else { "Options" };
        let title = argument.get_help_heading().unwrap_or(usual);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, group)) => group.push(argument),
            None => groups.push((title, vec![argument])),
        }
    }
    roff.control("SH", ["OPTIONS"]);
    let several = groups.len() > 1;
    for (title, group) in groups {
        if several {
            roff.control("SS", [title]);
        }
        for argument in group {
            option(roff, argument);
        }
    }
}

fn option(roff: &mut Roff, argument: &clap::Arg) {
    let mut name: Vec<Inline> = Vec::new();
    if let Some(short) = argument.get_short() {
        name.extend([bold(format!("-{short}")), roman(", ")]);
    }
    name.extend(argument.get_long().map(|long| bold(format!("--{long}"))));
    let takes = argument.is_positional() || argument.get_action().takes_values();
    if let Some(value) = argument.get_value_names().and_then(|names| names.first()).filter(|_| takes) {
        let gap = if argument.is_positional() { "" } else { " " };
        name.extend([roman(gap), italic(&**value)]);
    }
    let mut words = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let defaults: Vec<_> =
        argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && takes {
        words.extend([" [default: ", &*defaults.join(" "), "]"]);
    }
    if let Some(variable) = argument.get_env() {
        words.extend([" [env: ", &*variable.to_string_lossy(), "]"]);
    }
    roff.control("TP", []).text(name).text([roman(words)]);
    let values: Vec<_> = argument.get_possible_values().into_iter().filter(|_| takes).collect();
    if values.is_empty() {
        return;
    }
    if values.iter().all(|value| value.get_help().is_none()) {
        let names: Vec<_> = values.iter().map(PossibleValue::get_name).collect();
        roff.control("IP", []).text([roman(format!("One of {}.", names.join(", ")))]);
        return;
    }
    roff.control("RS", []);
    for value in values {
        let help = value.get_help().map(ToString::to_string).unwrap_or_default();
        roff.control("TP", ["14"]).text([bold(value.get_name())]).text([roman(help)]);
    }
    roff.control("RE", []);
}

fn exits() -> [(String, String); 4] {
    [
        (0, "It went well."),
        (
            EXIT_FAILURE,
            "It failed while running: no daemon answers, a file cannot be read, nothing was learnt.",
        ),
        (EXIT_USAGE, "What was typed, or is set in the environment or the file, cannot be meant."),
        (EXIT_KERNEL, "The kernel or the privileges are not enough; `reset-monitor check` tells which."),
    ]
    .map(|(code, words)| (code.to_string(), words.to_owned()))
}

/// Variables of its options, and of its commands' if it has some.
fn environment(command: &clap::Command) -> Vec<(String, String)> {
    let all = std::iter::once(command).chain(command.get_subcommands());
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    for argument in all.flat_map(clap::Command::get_arguments) {
        if let (Some(variable), Some(flag)) = (argument.get_env(), argument.get_long()) {
            let words = format!("The same as --{flag}, which wins.");
            variables.insert(variable.to_string_lossy().into_owned(), words);
        }
    }
    variables
        .into_iter()
        .chain(ENVIRONMENT.map(|(name, words)| (name.to_owned(), words.to_owned())))
        .collect()
}

fn examples(roff: &mut Roff, examples: &[help::Example]) {
    roff.control("SH", ["EXAMPLES"]);
    for (place, (line, words)) in examples.iter().enumerate() {
        if place > 0 {
            roff.control("PP", []);
        }
        if !words.is_empty() {
            roff.text([roman(capital(words) + ":")]);
        }
        roff.control("RS", ["4"]).control("nf", []).text([bold(*line)]).control("fi", []).control("RE", []);
    }
}

/// As sentences begin.
fn capital(words: &str) -> String {
    let mut characters = words.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

fn notes(roff: &mut Roff, notes: &str) {
    if notes.is_empty() {
        return;
    }
    roff.control("SH", ["NOTES"]);
    for (place, paragraph) in notes.split("\n\n").enumerate() {
        if place > 0 {
            roff.control("PP", []);
        }
        for line in paragraph.lines() {
            // Columns stay as they are.
            if line.starts_with(' ') {
                roff.control("nf", []).text([roman(line)]).control("fi", []);
            } else {
                roff.text([roman(line)]);
            }
        }
    }
}

fn section(roff: &mut Roff, title: &str, items: &[(String, String)]) {
    roff.control("SH", [title]);
    for (name, words) in items {
        roff.control("TP", []).text([bold(&**name)]).text([roman(&**words)]);
    }
}

fn see_also(roff: &mut Roff, own: &str) {
    roff.control("SH", ["SEE ALSO"]);
    let names = help::COMMANDS.iter().map(|(name, _)| format!("reset-monitor-{name}"));
    let names: Vec<_> =
        std::iter::once("reset-monitor".to_owned()).chain(names).filter(|name| name != own).collect();
    let mut text: Vec<Inline> = Vec::new();
    for (place, name) in names.iter().enumerate() {
        let end = if place + 1 == names.len() { "(1)" } else { "(1), " };
        text.extend([italic(&**name), roman(end)]);
    }
    roff.text(text);
}

#[cfg(test)]
mod tests {
    use super::{help, pages};

    #[test]
    fn every_command_has_a_page_with_examples_exits_and_what_it_reads() {
        let pages = pages();
        assert_eq!(pages.len(), help::COMMANDS.len() + 1);
        for (name, text) in &pages {
            let sections =
                ["NAME", "SYNOPSIS", "EXAMPLES", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "SEE ALSO"];
            let places: Vec<_> = sections
                .iter()
                .map(|title| {
                    text.find(&format!(".SH \"{title}\"")).or_else(|| text.find(&format!(".SH {title}\n")))
                })
                .collect();
            assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{name}: {places:?}\n{text}");
        }
        assert!(pages["reset-monitor.1"].contains("RESET_MONITOR_LISTEN"));
        assert!(pages["reset-monitor-run.1"].contains("/run/reset\\-monitor.lock"));
    }
}
