//! The table's state: order, search, the rows that are at hand, and which of them is selected.
//!
//! Only a window of rows is asked for, so that ten thousand peers cost no more than a screen of them.

use std::cmp::Ordering;
use std::time::Duration;

use crate::command::top::column::Column;
use crate::command::top::input::Input;
use crate::command::top::peer::{Key, Rates, Row};
use crate::command::top::search::Search;
use crate::http::filter::PeerFilter;
use crate::http::filter::order::Order;
use crate::view::PeersView;

/// Lines of the screen that are no rows: three above, the titles, the keys.
pub const FRAME: u16 = 5;
/// Rows are asked for in steps of so many, so that scrolling by one line asks for nothing.
const STEP: usize = 50;
/// Rows among which the fastest are looked for: those with the most resets.
const FASTEST_OF: usize = 1_000;

/// Rows to ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which, in which order.
    pub filter: PeerFilter,
    /// From which on.
    pub offset: usize,
    /// How many at most.
    pub limit: usize,
}

/// Rows that came.
#[derive(Clone, Debug)]
pub struct Page {
    /// For this question.
    pub asked: Asked,
    /// What came.
    pub answer: PeersView,
}

impl Asked {
    /// As a path.
    pub fn path(&self) -> String {
        let Self { filter, offset, limit } = self;
        format!("/api/v1/peers?limit={limit}&offset={offset}{}", filter.to_query())
    }
}

/// The peers.
#[derive(Clone, Debug)]
pub struct Table {
    /// By which column.
    pub sort: Column,
    /// Which way round.
    pub order: Order,
    /// What is looked for.
    pub search: Search,
    /// Rows at hand.
    pub rows: Vec<Row>,
    /// Place of the first of them among all that match.
    pub offset: usize,
    /// How many match.
    pub matching: usize,
    /// Of them, those that are beyond what can be sorted here.
    pub beyond: usize,
    /// Open connections of all peers.
    pub open: Option<u64>,
    /// Place of the first row on the screen.
    pub first: usize,
    /// Place of the selected one.
    pub selected: usize,
    /// Rows on the screen.
    pub height: usize,
    /// Question that the rows answer.
    shown: Option<PeerFilter>,
    /// Who was selected by hand, to be followed wherever the order takes it.
    followed: Option<Key>,
    rates: Rates,
}

impl Default for Table {
    fn default() -> Self {
        Self {
            sort: Column::default(),
            order: Column::default().usual_order(),
            search: Search::default(),
            rows: Vec::new(),
            offset: 0,
            matching: 0,
            beyond: 0,
            open: None,
            first: 0,
            selected: 0,
            height: 0,
            shown: None,
            followed: None,
            rates: Rates::default(),
        }
    }
}

impl Table {
    /// What to ask for.
    pub fn wanted(&self) -> Asked {
        let filter = self.search.filter();
        if self.sort == Column::Rate {
            // The daemon keeps no rates.
            return Asked { filter, offset: 0, limit: FASTEST_OF };
        }
        Asked {
            filter: PeerFilter { sort: self.sort.sort(), order: Some(self.order), ..filter },
            offset: (self.first / STEP).saturating_sub(1) * STEP,
            limit: (self.height / STEP + 4) * STEP,
        }
    }

    /// Whether the rows are those that are wanted.
    pub fn is_current(&self) -> bool {
        self.shown == Some(self.wanted().filter)
    }

    /// The row at a place, if it is at hand.
    pub fn row(&self, place: usize) -> Option<&Row> {
        self.rows.get(place.checked_sub(self.offset)?)
    }

    /// The selected row, if it is at hand.
    pub fn at_hand(&self) -> Option<&Row> {
        self.row(self.selected)
    }

    /// The terminal has so many lines.
    pub fn resize(&mut self, lines: u16) {
        self.height = usize::from(lines.saturating_sub(FRAME));
        self.scroll();
    }

    /// Looks for something else.
    pub fn search(&mut self, search: Search) {
        self.search = search;
        self.go_to_top();
    }

    /// Takes rows, unless others are wanted by now.
    pub fn show(&mut self, page: Page, interval: Duration) {
        let Page { asked, answer } = page;
        if asked.filter != self.wanted().filter {
            return;
        }
        let PeersView { time, peers, matching, total: _, open, ports: _, namespaces: _ } = answer;
        let whole = asked.offset == 0 && peers.len() == matching;
        let taken = time.parse().unwrap_or_default();
        let mut rows = self.rates.rows(peers, taken, interval.as_secs_f64() / 2.0);
        if whole {
            rows.retain(Row::is_news);
        }
        let matching = if whole { rows.len() } else { matching };
        self.open = open;
        self.beyond = 0;
        self.matching = matching;
        if self.sort == Column::Rate {
            rows.sort_by(|one, other| by_rate(one, other, self.order));
            self.beyond = matching.saturating_sub(rows.len());
            self.matching = rows.len();
        }
        self.rows = rows;
        self.offset = asked.offset;
        self.shown = Some(asked.filter);
        let place = self.followed.as_ref().and_then(|key| self.rows.iter().position(|row| row.key == *key));
        if let Some(place) = place {
            self.selected = self.offset + place;
        }
        self.scroll();
    }

    /// Takes a key.
    pub fn input(&mut self, input: Input) {
        let page = self.height.max(1);
        match input {
            Input::Up | Input::Character('k') => self.select(self.selected.saturating_sub(1)),
            Input::Down | Input::Character('j') => self.select(self.selected.saturating_add(1)),
            Input::PageUp => self.select(self.selected.saturating_sub(page)),
            Input::PageDown => self.select(self.selected.saturating_add(page)),
            Input::Home | Input::Character('g') => self.go_to_top(),
            Input::End | Input::Character('G') => self.select(usize::MAX),
            Input::Left | Input::Character('<') => self.sort_by(self.sort.beside(false)),
            Input::Right | Input::Character('>') => self.sort_by(self.sort.beside(true)),
            Input::Character('r') => {
                self.order = self.order.reversed();
                self.go_to_top();
            }
            Input::Enter
            | Input::Escape
            | Input::Backspace
            | Input::Help
            | Input::Interrupt
            | Input::Character(_)
            | Input::Resized(..) => {}
        }
    }

    fn sort_by(&mut self, column: Column) {
        self.sort = column;
        self.order = column.usual_order();
        self.go_to_top();
    }

    /// The first row, whoever that is.
    fn go_to_top(&mut self) {
        (self.first, self.selected, self.followed) = (0, 0, None);
    }

    fn select(&mut self, place: usize) {
        self.selected = place.min(self.matching.saturating_sub(1));
        self.followed = self.at_hand().map(|row| row.key.clone());
        self.scroll();
    }

    /// Keeps the selected row on the screen, and the screen full.
    fn scroll(&mut self) {
        self.selected = self.selected.min(self.matching.saturating_sub(1));
        let height = self.height.max(1);
        let lowest = self.selected.saturating_sub(height - 1);
        self.first = self.first.clamp(lowest, self.selected.max(lowest));
        self.first = self.first.min(self.matching.saturating_sub(height));
    }
}

/// Unknown ones last; those that are alike stay as they came: most resets first.
fn by_rate(one: &Row, other: &Row, order: Order) -> Ordering {
    match (one.rate, other.rate) {
        (Some(one), Some(other)) => match order {
            Order::Asc => one.total_cmp(&other),
            Order::Desc => other.total_cmp(&one),
        },
        (one, other) => other.is_some().cmp(&one.is_some()),
    }
}
