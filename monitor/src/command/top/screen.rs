//! The terminal itself: the alternate screen while this lives, and the shell's again whatever ends it.

use std::io::{self, IsTerminal as _};

use crossterm::cursor::Show;
use crossterm::execute;
use crossterm::terminal::is_raw_mode_enabled;
use ratatui::{DefaultTerminal, Frame};

/// `top` cannot be shown here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopUsageError {
    /// Standard output goes somewhere else.
    #[error(
        "top needs a terminal, and standard output is none: for text use `reset-monitor peers`, `explain PEER` or `events -f`, which write JSON, too (-o json)"
    )]
    NoTerminal,
    /// Nothing can be placed on it.
    #[error(
        "top needs a terminal that can place the cursor, and TERM is `dumb`: set TERM to what the terminal is, or use `reset-monitor peers` and `events -f -o compact`"
    )]
    Dumb,
}

/// The alternate screen of a terminal.
#[derive(Debug)]
pub struct Screen {
    terminal: DefaultTerminal,
}

impl Screen {
    /// Whether there can be one.
    pub fn check() -> Result<(), TopUsageError> {
        if !io::stdout().is_terminal() {
            return Err(TopUsageError::NoTerminal);
        }
        if std::env::var_os("TERM").is_some_and(|term| term == "dumb") {
            return Err(TopUsageError::Dumb);
        }
        Ok(())
    }

    /// Takes the terminal: keys come one by one, and what was shown is kept for later. A panic gives it back before it is told.
    pub fn open() -> io::Result<Self> {
        match ratatui::try_init() {
            Ok(terminal) => Ok(Self { terminal }),
            Err(error) => {
                ratatui::restore();
                Err(error)
            }
        }
    }

    /// Columns and rows.
    pub fn size(&self) -> io::Result<(u16, u16)> {
        let size = self.terminal.size()?;
        Ok((size.width, size.height))
    }

    /// Shows a frame; only what changed is written.
    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // A panic has given it back already. To do so again would put the cursor where it was before, on the message. A terminal that has
        // gone away needs nothing any more.
        if is_raw_mode_enabled().unwrap_or(true) {
            drop(ratatui::try_restore());
        }
        drop(execute!(io::stdout(), Show));
    }
}
