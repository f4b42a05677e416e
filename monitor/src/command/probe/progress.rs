//! How far it is, on standard error: one line that changes on a terminal, and now and then a line elsewhere.

use std::io::{Write as _, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::advice::numbers::seconds;
use crate::terminal::can_write_over;

/// On a terminal.
const OFTEN: Duration = Duration::from_secs(1);
/// In a log.
const SELDOM: Duration = Duration::from_mins(1);

/// The state of a run.
#[derive(Debug)]
pub struct Progress {
    terminal: bool,
    shown: bool,
    all: usize,
    ended: usize,
    /// Connections that were made, counted by who makes them.
    pub opened: Arc<AtomicUsize>,
    began: Duration,
}

impl Progress {
    /// Of so many connections, since a monotonic moment.
    pub fn new(all: usize, began: Duration) -> Self {
        Self {
            terminal: can_write_over(&stderr()),
            shown: false,
            all,
            ended: 0,
            opened: Arc::default(),
            began,
        }
    }

    /// How often to tell.
    pub const fn period(&self) -> Duration {
        if self.terminal { OFTEN } else { SELDOM }
    }

    /// One connection has told its story.
    pub fn one_ended(&mut self) {
        self.ended += 1;
    }

    /// Tells.
    pub fn show(&mut self, now: Duration) {
        let opened = self.opened.load(Ordering::Relaxed);
        let after = seconds(Duration::from_secs(now.saturating_sub(self.began).as_secs()).max(OFTEN));
        let Self { all, ended, .. } = *self;
        let line = format!("{after}: {opened} of {all} connections made, {ended} done");
        // If standard error is closed there is nobody to tell.
        drop(if self.terminal { write!(stderr(), "\r\x1b[K{line}") } else { writeln!(stderr(), "{line}") });
        self.shown = true;
    }

    /// Makes room for another line.
    pub fn clear(&mut self) {
        if self.terminal && std::mem::take(&mut self.shown) {
            drop(write!(stderr(), "\r\x1b[K"));
        }
    }

    /// A line of its own.
    pub fn tell(&mut self, line: &str) {
        self.clear();
        drop(writeln!(stderr(), "{line}"));
    }
}
