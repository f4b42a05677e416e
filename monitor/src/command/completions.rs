//! `reset-monitor completions`: what completes commands, flags and their values in a shell, made of the parser itself.

use std::io::{self, Write as _};

use anyhow::Context as _;
use clap_complete::{Shell, generate};

use crate::cli::help::{self, Help};
use crate::terminal::ends_quietly;

/// What `completions --help` says besides the options.
pub const HELP: Help = Help {
    examples: &[
        ("reset-monitor completions bash > ~/.bash_completion", "if it is not there yet"),
        ("reset-monitor completions zsh > ~/.zfunc/_reset-monitor", "a directory of fpath"),
        ("reset-monitor completions fish > ~/.config/fish/completions/reset-monitor.fish", ""),
        ("source <(reset-monitor completions bash)", "for this shell alone"),
    ],
    notes: "",
};

/// `reset-monitor completions`
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that is to read it
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,
}

/// Prints it.
pub fn completions(args: CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut help::command(), "reset-monitor", &mut script);
    // clap_complete 4.6.11 calls a program with a hyphen one thing in bash and looks for it as another (clap-rs/clap#6421), so that only the names of
    // commands would be completed. Where it is right this changes nothing.
    let script = String::from_utf8_lossy(&script).replace("reset__subcmd__monitor", "reset__monitor");
    ends_quietly(io::stdout().lock().write_all(script.as_bytes())).context("write the completions")
}
