//! Text for terminals: aligned tables, the decision about colour, and nothing that a hostile name could do to a screen.

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};

/// How a command writes its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Aligned columns for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
}

/// Where a cell's text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// How a cell looks where colour is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As is.
    Plain,
    /// A title.
    Bold,
    /// To look at.
    Yellow,
    /// To act on.
    Red,
}

impl Style {
    /// Escape sequence that starts it.
    const fn sequence(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Bold => Some("\x1b[1m"),
            Self::Yellow => Some("\x1b[33m"),
            Self::Red => Some("\x1b[31m"),
        }
    }
}

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Its title.
    pub title: &'static str,
    /// Where its cells stand.
    pub align: Align,
    /// Characters it has at least.
    pub width: usize,
}

/// A cell of a row.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// One that shows `text`, made safe.
    pub fn new(text: impl Into<String>) -> Self {
        Self::styled(text, Style::Plain)
    }

    /// One with a look.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        let text = text.into();
        Self { text: if text.is_empty() { "-".to_owned() } else { printable(&text).into_owned() }, style }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// A table that is printed row by row. A column grows when a row needs it, and never shrinks.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    colour: bool,
    titled: bool,
}

impl Table {
    /// An empty one.
    pub fn new(columns: &[Column], colour: bool) -> Self {
        Self { columns: columns.to_vec(), colour, titled: false }
    }

    /// Makes the columns wide enough for a row that is printed later.
    pub fn fit(&mut self, cells: &[Cell]) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.width = column.width.max(cell.width());
        }
    }

    /// Prints a row, and the titles before the first one.
    pub fn row(&mut self, out: &mut impl Write, cells: &[Cell]) -> io::Result<()> {
        self.fit(cells);
        if !self.titled {
            self.titled = true;
            let titles: Vec<Cell> =
                self.columns.iter().map(|column| Cell::styled(column.title, Style::Bold)).collect();
            self.fit(&titles);
            self.line(out, &titles)?;
        }
        self.line(out, cells)
    }

    fn line(&self, out: &mut impl Write, cells: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        // Blanks are written before the next text only, so that no line ends with some.
        let mut blanks = 0;
        for (column, cell) in self.columns.iter().zip(cells) {
            let padding = column.width.saturating_sub(cell.width());
            let (before, after) = match column.align {
                Align::Left => (0, padding),
                Align::Right => (padding, 0),
            };
            line.extend(std::iter::repeat_n(' ', blanks + before));
            line.push_str(&painted(&cell.text, cell.style, self.colour));
            blanks = after + 2;
        }
        line.push('\n');
        out.write_all(line.as_bytes())
    }
}

/// `text` with a look, where colour is allowed.
pub fn painted(text: &str, style: Style, colour: bool) -> Cow<'_, str> {
    match style.sequence().filter(|_| colour) {
        None => Cow::Borrowed(text),
        Some(sequence) => Cow::Owned([sequence, text, "\x1b[0m"].concat()),
    }
}

/// Whether to colour what goes to standard output.
pub fn colour_stdout() -> bool {
    colour(
        io::stdout().is_terminal(),
        std::env::var_os("NO_COLOR").as_deref(),
        std::env::var_os("TERM").as_deref(),
    )
}

/// Colour for a terminal only, unless `NO_COLOR` is there and not empty (no-color.org), or the terminal is `dumb`.
fn colour(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// `text` with each character that acts on a terminal instead of being seen replaced by `?`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.contains(is_hostile) { Cow::Owned(text.replace(is_hostile, "?")) } else { Cow::Borrowed(text) }
}

/// JSON with the same characters escaped. They occur in strings only, where an escape means the same character.
pub fn printable_json(json: &str) -> Cow<'_, str> {
    if !json.contains(is_hostile) {
        return Cow::Borrowed(json);
    }
    let mut safe = String::with_capacity(json.len() + 16);
    for character in json.chars() {
        if is_hostile(character) {
            // All of them lie in the basic plane, where four digits are enough.
            safe.extend(["\\u", &format!("{:04x}", u32::from(character))]);
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Control characters (C0, DEL, C1), and the invisible ones that reorder or hide text.
pub fn is_hostile(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

/// A ratio between 0 and 1 as a percentage. One that is small but not zero does not look like zero.
pub fn percent(ratio: f64) -> String {
    match ratio * 100.0 {
        none if none <= 0.0 => "0%".to_owned(),
        small if small < 0.01 => "<0.01%".to_owned(),
        other => format!("{other:.2}%"),
    }
}

/// Prints to standard output until it is closed: a reader such as `head` that has seen enough is no failure.
pub fn ends_quietly(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// The first cause of an error: the outer ones name layers of libraries.
pub fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.downcast_ref::<io::Error>().map_or_else(|| inner.to_string(), words)
}

/// What the system says, without the number of the error.
pub fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::{Align, Cell, Column, Style, Table, colour, printable, printable_json};

    const COLUMNS: [Column; 3] = [
        Column { title: "NAME", align: Align::Left, width: 0 },
        Column { title: "COUNT", align: Align::Right, width: 0 },
        Column { title: "NOTE", align: Align::Left, width: 0 },
    ];

    fn print(colour: bool, rows: &[[Cell; 3]]) -> String {
        let mut table = Table::new(&COLUMNS, colour);
        for row in rows {
            table.fit(row);
        }
        let mut out = Vec::new();
        for row in rows {
            table.row(&mut out, row).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [
            [Cell::new("a"), Cell::new("1"), Cell::new("x")],
            [Cell::new("longer"), Cell::new("123456"), Cell::new("")],
        ];
        assert_eq!(print(false, &rows), "NAME     COUNT  NOTE\na            1  x\nlonger  123456  -\n");
    }

    #[test]
    fn colour_changes_no_width() {
        let rows = [[Cell::styled("a", Style::Red), Cell::new("1"), Cell::new("x")]];
        let coloured = print(true, &rows);
        assert!(coloured.contains("\x1b[31ma\x1b[0m"));
        let mut plain = coloured;
        for style in [Style::Red, Style::Bold] {
            plain = plain.replace(style.sequence().unwrap(), "").replace("\x1b[0m", "");
        }
        assert_eq!(plain, print(false, &rows));
    }

    #[test]
    fn colour_is_for_terminals_whose_user_wants_it() {
        let set = Some(OsStr::new("1"));
        assert!(colour(true, None, None));
        assert!(colour(true, Some(OsStr::new("")), Some(OsStr::new("xterm"))));
        assert!(!colour(false, None, None));
        assert!(!colour(true, set, None));
        assert!(!colour(true, None, Some(OsStr::new("dumb"))));
    }

    #[test]
    fn hostile_names_are_shown_without_their_effect() {
        assert_eq!(printable("nginx: worker é"), "nginx: worker é");
        assert_eq!(printable("\x1b[2Jx\n\u{9b}31m\u{202e}txt\u{7f}"), "?[2Jx??31m?txt?");
    }

    #[test]
    fn escaped_json_reads_back_the_same() {
        let name = "a\u{9b}b\u{202e}c\"\\\u{7f}";
        let json = serde_json::to_string(name).unwrap();
        let safe = printable_json(&json);
        assert!(!safe.contains(super::is_hostile));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), name);
    }
}
