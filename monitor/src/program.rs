//! The whole program: parse, run, and say by the exit code how it went.
//!
//! Not in `main.rs`, since the kernel tests in virtual machines are one binary that is also the daemon.

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{ColorChoice, FromArgMatches as _};

use crate::cli::{Cli, Command, help};
use crate::command;
use crate::terminal::Medium;

/// What `main` does, with the arguments of this process.
pub fn main() -> ExitCode {
    // Left alone, the parser's library colours its help for a dumb terminal where `CI` is set.
    let colour = if Medium::stdout().colour { ColorChoice::Auto } else { ColorChoice::Never };
    let matches = help::command().color(colour).try_get_matches();
    let cli = match matches.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(help) if help.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            drop(help.print());
            return ExitCode::from(command::EXIT_USAGE);
        }
        Err(error) if error.use_stderr() => {
            complain(&one_line(&error));
            return ExitCode::from(command::EXIT_USAGE);
        }
        Err(help) => {
            // Help or version, to stdout. Nobody reads it if that is closed.
            drop(help.print());
            return ExitCode::SUCCESS;
        }
    };
    let result = match &cli.command {
        Command::Run(args) => command::run::run(args),
        Command::Check(args) => command::check::check(*args),
        Command::Events(args) if args.local => command::local::events(args),
        Command::Events(args) => command::block_on(command::events::run(args)),
        Command::Top(args) => command::client::block_on(command::top::run(args)),
        Command::Peers(args) => command::block_on(command::peers::run(args)),
        Command::Explain(args) => command::block_on(command::explain::run(args)),
        Command::Timeouts(args) => command::block_on(command::timeouts::run(args)),
        Command::Alerts(args) => command::block_on(command::alerts::run(args)),
        Command::Probe(args) => command::client::block_on(command::probe::run(args)),
        Command::Listeners(args) => command::block_on(command::listeners::run(args)),
        Command::Record(args) => command::record::record(args),
        Command::Replay(args) => command::replay::replay(args),
        Command::Completions(args) => command::completions::completions(*args),
        Command::Man(args) => command::man::man(args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}").replace('\n', " "));
            command::exit_code(&error)
        }
    }
}

/// One line on stderr. If that is closed there is nobody to tell.
fn complain(message: &str) {
    drop(writeln!(std::io::stderr(), "reset-monitor: {message}"));
}

/// clap's message without its usage block: what is wrong, a tip if there is one, and where to read on.
fn one_line(error: &clap::Error) -> String {
    let text = error.to_string();
    let mut parts = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let what = parts.next().unwrap_or("bad usage").trim_start_matches("error: ").to_owned();
    let more: Vec<_> =
        parts.take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more")).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(" ")) };
    let first = std::env::args().nth(1).unwrap_or_default();
    let command = help::COMMANDS.iter().find(|(name, _)| *name == first);
    let command = command.map_or_else(String::new, |(name, _)| format!(" {name}"));
    format!("{what}{more}; see reset-monitor{command} --help")
}
