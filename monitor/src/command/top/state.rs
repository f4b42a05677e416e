//! What the screen shows, as a function of keys, answers and time. Pure: no terminal, no network, no clock.
//!
//! [`super::fetch`] asks for what [`State::wanted`] says, [`super::draw`] shows what is here.

pub mod detail;
pub mod table;

use std::time::Duration;

use self::detail::{About, Detail};
use self::table::{Asked, Page, Table};
use super::input::Input;
use super::peer::Key;
use super::picture::{Answers, Picture};
use super::search::{LONGEST, Search};

/// A picture is old when so many more intervals than one have passed.
const LATE: u32 = 2;

/// All that is shown.
#[derive(Clone, Debug)]
pub struct State {
    /// Whom is asked, as it was typed.
    pub server: String,
    /// Time between two questions.
    pub interval: Duration,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// Monotonic time.
    pub now: Duration,
    /// The peers.
    pub table: Table,
    /// The one that is looked at.
    pub detail: Option<Detail>,
    /// Help lies over it.
    pub help: bool,
    /// Nothing is asked unless a key needs it.
    pub paused: bool,
    /// What is being typed after `/`, and what is wrong with it.
    pub typing: Option<Typing>,
    /// The last answers.
    pub picture: Option<Picture>,
    /// When they came.
    pub received: Option<Duration>,
    /// Why there were none since.
    pub trouble: Option<String>,
}

/// A line that is being typed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Typing {
    /// So far.
    pub text: String,
    /// Why it cannot be looked for.
    pub error: Option<String>,
}

/// What is to be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which rows.
    pub rows: Asked,
    /// About whom everything.
    pub detail: Option<Key>,
    /// Nothing again until something else is wanted.
    pub paused: bool,
}

/// What came.
#[derive(Clone, Debug)]
pub enum News {
    /// A regular picture.
    Picture(Box<Answers>, Box<Page>),
    /// Other rows in between.
    Page(Box<Page>),
    /// About the one peer.
    About(Key, Box<About>),
    /// The daemon did not answer.
    Trouble(String),
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Yes.
    Go,
    /// Somebody has seen enough.
    Quit,
}

impl State {
    /// Before the first answer.
    pub fn new(server: &str, interval: Duration, size: (u16, u16), now: Duration) -> Self {
        let mut state = Self {
            server: server.to_owned(),
            interval,
            size,
            now,
            table: Table::default(),
            detail: None,
            help: false,
            paused: false,
            typing: None,
            picture: None,
            received: None,
            trouble: None,
        };
        state.table.resize(size.1);
        state
    }

    /// What is to be asked for now.
    pub fn wanted(&self) -> Wanted {
        Wanted {
            rows: self.table.wanted(),
            detail: self.detail.as_ref().map(|detail| detail.key.clone()),
            paused: self.paused,
        }
    }

    /// How long ago the last picture came, if that is longer than it should be.
    pub fn is_old(&self) -> Option<Duration> {
        let age = self.now.saturating_sub(self.received?);
        let late = age > self.interval * LATE + Duration::from_secs(1);
        (!self.paused && (self.trouble.is_some() || late)).then_some(age)
    }

    /// Takes what came.
    pub fn news(&mut self, news: News) {
        match news {
            News::Picture(answers, page) => {
                let taken = page.answer.time.parse().unwrap_or_default();
                self.picture = Some(Picture::new(*answers, taken, self.picture.as_ref()));
                self.received = Some(self.now);
                self.trouble = None;
                self.table.show(*page, self.interval);
            }
            News::Page(page) => {
                self.trouble = None;
                self.table.show(*page, self.interval);
            }
            News::About(key, about) => {
                // One that was left meanwhile is not asked for any more.
                if let Some(detail) = self.detail.as_mut().filter(|detail| detail.key == key) {
                    detail.learn(*about);
                }
            }
            News::Trouble(why) => self.trouble = Some(why),
        }
    }

    /// Takes what somebody did.
    pub fn input(&mut self, input: Input) -> Next {
        match input {
            Input::Interrupt => return Next::Quit,
            Input::Resized(columns, rows) => {
                self.size = (columns, rows);
                self.table.resize(rows);
                return Next::Go;
            }
            Input::Up
            | Input::Down
            | Input::PageUp
            | Input::PageDown
            | Input::Home
            | Input::End
            | Input::Left
            | Input::Right
            | Input::Enter
            | Input::Escape
            | Input::Backspace
            | Input::Help
            | Input::Character(_) => {}
        }
        if self.typing.is_some() {
            self.typed(input);
            Next::Go
        } else if self.help {
            // Any key: who reads help is looking for the way out of it.
            self.help = false;
            Next::Go
        } else {
            self.command(input)
        }
    }

    /// How far the detail can be scrolled down, as drawing found out.
    pub fn limit_scroll(&mut self, most: usize) {
        if let Some(detail) = &mut self.detail {
            detail.scroll = detail.scroll.min(most);
        }
    }

    fn typed(&mut self, input: Input) {
        let Some(typing) = &mut self.typing else { return };
        match input {
            Input::Character(character) => {
                typing.error = None;
                if typing.text.chars().count() < LONGEST {
                    typing.text.push(character);
                }
            }
            Input::Backspace => {
                typing.error = None;
                // Beyond the beginning leads out, as in vi and less.
                if typing.text.pop().is_none() {
                    self.typing = None;
                }
            }
            Input::Enter => match Search::read(&typing.text) {
                Ok(search) => {
                    self.typing = None;
                    self.table.search(search);
                }
                Err(error) => typing.error = Some(error.to_string()),
            },
            Input::Escape => self.typing = None,
            Input::Up
            | Input::Down
            | Input::PageUp
            | Input::PageDown
            | Input::Home
            | Input::End
            | Input::Left
            | Input::Right
            | Input::Help
            | Input::Interrupt
            | Input::Resized(..) => {}
        }
    }

    fn command(&mut self, input: Input) -> Next {
        match input {
            Input::Help | Input::Character('?' | 'h') => self.help = true,
            Input::Character('p' | ' ') => self.paused = !self.paused,
            Input::Character('q') | Input::Escape => return self.back(input),
            Input::Up
            | Input::Down
            | Input::PageUp
            | Input::PageDown
            | Input::Home
            | Input::End
            | Input::Left
            | Input::Right
            | Input::Enter
            | Input::Backspace
            | Input::Interrupt
            | Input::Character(_)
            | Input::Resized(..) => match &mut self.detail {
                Some(detail) => detail.input(input, usize::from(self.size.1)),
                None => self.in_table(input),
            },
        }
        Next::Go
    }

    /// From one peer to all that match, from these (Escape alone) to all there are, and then out.
    fn back(&mut self, input: Input) -> Next {
        if self.detail.take().is_some() {
            return Next::Go;
        }
        if input == Input::Escape && !self.table.search.is_everything() {
            self.table.search(Search::default());
            return Next::Go;
        }
        Next::Quit
    }

    fn in_table(&mut self, input: Input) {
        if input == Input::Enter {
            self.detail = self.table.at_hand().map(|row| Detail::new(row.key.clone()));
        } else if input == Input::Character('/') {
            let text = self.table.search.typed.clone();
            self.typing = Some(Typing { text, error: None });
        } else {
            self.table.input(input);
        }
    }
}

#[cfg(test)]
mod tests;
