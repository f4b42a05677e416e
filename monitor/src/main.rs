//! `reset-monitor`.

use std::process::ExitCode;

fn main() -> ExitCode {
    monitor::program::main()
}
