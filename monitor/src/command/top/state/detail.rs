//! All that is known of one peer: what the daemon says of it, and its events, as they come.

use std::collections::VecDeque;

use crate::command::top::input::Input;
use crate::command::top::peer::Key;
use crate::view::EventView;
use crate::view::explain::ExplainView;
use crate::view::timeouts::TimeoutView;

/// Events that are kept: more than anybody scrolls through, about 1 kB each.
pub const EVENTS: usize = 500;

/// Whether events come as they happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Stream {
    /// Not yet.
    #[default]
    Opening,
    /// They do.
    Live,
    /// They did, and will be asked for again.
    Broken(String),
}

/// Something about the peer.
#[derive(Clone, Debug)]
pub enum About {
    /// Verdict, fix and evidence.
    Explained(Box<ExplainView>),
    /// What is known of timeouts.
    Timeouts(Vec<TimeoutView>),
    /// What happened before.
    Past(Vec<EventView>),
    /// Events come as they happen from now on.
    Live,
    /// An event, or one again whose verdict has become final.
    Event(Box<EventView>),
    /// So many will not come.
    Missed(u64),
    /// Events will not come for a while.
    Broken(String),
    /// The daemon has no answer about it.
    Unknown(String),
}

/// One peer.
#[derive(Clone, Debug)]
pub struct Detail {
    /// Who.
    pub key: Key,
    /// Verdict, fix and evidence; `None` until the answer comes.
    pub explained: Option<ExplainView>,
    /// Why there is none.
    pub unknown: Option<String>,
    /// What is known of timeouts; `None` until the answer comes.
    pub timeouts: Option<TimeoutView>,
    /// Its events, the oldest first.
    pub events: VecDeque<EventView>,
    /// Events that were missed.
    pub missed: u64,
    /// Whether more come.
    pub stream: Stream,
    /// Lines that are scrolled out at the top.
    pub scroll: usize,
}

impl Detail {
    /// Before anything is known.
    pub const fn new(key: Key) -> Self {
        Self {
            key,
            explained: None,
            unknown: None,
            timeouts: None,
            events: VecDeque::new(),
            missed: 0,
            stream: Stream::Opening,
            scroll: 0,
        }
    }

    /// Takes something.
    pub fn learn(&mut self, about: About) {
        match about {
            About::Explained(answer) => {
                self.explained = Some(*answer);
                self.unknown = None;
            }
            About::Timeouts(rows) => self.timeouts = rows.into_iter().next(),
            About::Past(events) => {
                self.events = events.into_iter().filter(|event| self.key.has(event)).collect();
                self.forget();
            }
            About::Live => self.stream = Stream::Live,
            About::Event(event) => self.event(*event),
            About::Missed(missed) => self.missed = self.missed.saturating_add(missed),
            About::Broken(why) => self.stream = Stream::Broken(why),
            About::Unknown(why) => self.unknown = Some(why),
        }
    }

    /// Takes a key; `page` is a screen's lines.
    pub fn input(&mut self, input: Input, page: usize) {
        // Drawing knows where the end is.
        self.scroll = match input {
            Input::Up | Input::Character('k') => self.scroll.saturating_sub(1),
            Input::Down | Input::Character('j') => self.scroll.saturating_add(1),
            Input::PageUp => self.scroll.saturating_sub(page / 2),
            Input::PageDown => self.scroll.saturating_add(page / 2),
            Input::Home | Input::Character('g') => 0,
            Input::End | Input::Character('G') => usize::MAX,
            Input::Left
            | Input::Right
            | Input::Enter
            | Input::Escape
            | Input::Backspace
            | Input::Help
            | Input::Interrupt
            | Input::Character(_)
            | Input::Resized(..) => self.scroll,
        };
    }

    fn event(&mut self, event: EventView) {
        if !self.key.has(&event) {
            return;
        }
        // Revisions are of events of the last second, so from the newest on.
        match self.events.iter_mut().rev().find(|kept| kept.id == event.id) {
            Some(kept) => *kept = event,
            None => self.events.push_back(event),
        }
        self.forget();
    }

    fn forget(&mut self) {
        let over = self.events.len().saturating_sub(EVENTS);
        drop(self.events.drain(..over));
    }
}

impl Key {
    /// Whether an event belongs to it, of those that its address and port let through. Refusals have no peer of their own.
    fn has(&self, event: &EventView) -> bool {
        let is_ours = self.role == "server";
        let (port, role) = match &event.peer {
            Some(peer) => (peer.port, peer.role.as_str()),
            None if is_ours => (event.local.port, "server"),
            None => (event.remote.port, "client"),
        };
        self.port.is_none_or(|wanted| wanted == port)
            && self.role == role
            && self.netns.is_none_or(|netns| netns == event.netns)
    }
}
