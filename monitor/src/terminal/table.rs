//! Aligned tables that fit their terminal: columns that matter least are left out, sentences go over several lines, and nothing is broken by the
//! terminal itself. What is no terminal gets every column, one line a row.

use std::io::{self, Write};

use super::{Medium, Style, painted, printable, wrapped};

/// Columns between two cells.
const GAP: usize = 2;
/// What a sentence needs to be read: less, and another column is left out.
const SENTENCE: usize = 20;
/// What tells behind the titles how many columns are left out: two blanks, `+` and a digit.
const LEFT_OUT: usize = 4;
/// The end of a text that is cut.
const CUT: char = '~';

/// Where a cell's text stands in its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Text.
    Left,
    /// Numbers.
    Right,
}

/// What becomes of a column where a terminal has no room for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Narrow {
    /// It stays.
    Keep,
    /// It is left out, those with the lowest number first.
    Leave(u8),
    /// Its texts go over several lines.
    Wrap,
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
    /// What becomes of it on a narrow terminal.
    pub narrow: Narrow,
}

impl Column {
    /// One of texts.
    pub const fn left(title: &'static str) -> Self {
        Self { title, align: Align::Left, width: 0, narrow: Narrow::Keep }
    }

    /// One of numbers.
    pub const fn right(title: &'static str) -> Self {
        Self { title, align: Align::Right, width: 0, narrow: Narrow::Keep }
    }

    /// The same, so wide at least.
    #[must_use]
    pub const fn least(self, width: usize) -> Self {
        Self { width, ..self }
    }

    /// The same, to be left out after those with lower numbers.
    #[must_use]
    pub const fn leave(self, order: u8) -> Self {
        Self { narrow: Narrow::Leave(order), ..self }
    }

    /// The same, of sentences.
    #[must_use]
    pub const fn wrap(self) -> Self {
        Self { narrow: Narrow::Wrap, ..self }
    }
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

/// A table that is printed row by row. A column grows when a row needs it, and never shrinks; which ones are left out is decided once.
#[derive(Debug)]
pub struct Table {
    columns: Vec<Column>,
    /// Places of the columns that are shown.
    shown: Vec<usize>,
    medium: Medium,
    titled: bool,
}

impl Table {
    /// An empty one.
    pub fn new(columns: &[Column], medium: Medium) -> Self {
        Self { columns: columns.to_vec(), shown: (0..columns.len()).collect(), medium, titled: false }
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
            self.leave_out();
            let tail = match self.columns.len() - self.shown.len() {
                0 => String::new(),
                some => format!("  +{some}"),
            };
            out.write_all(self.text(&titles, &tail).as_bytes())?;
        }
        out.write_all(self.text(cells, "").as_bytes())
    }

    /// Leaves out what does not fit, as far as that may be left out.
    fn leave_out(&mut self) {
        let Some(room) = self.medium.width else { return };
        while self.needed() + self.told() > room {
            let order = |place: &usize| match self.columns[*place].narrow {
                Narrow::Leave(order) => Some((order, *place)),
                Narrow::Keep | Narrow::Wrap => None,
            };
            let Some((_, least)) = self.shown.iter().filter_map(order).min() else { return };
            self.shown.retain(|place| *place != least);
        }
    }

    /// Columns of what tells that some are left out.
    const fn told(&self) -> usize {
        if self.shown.len() < self.columns.len() { LEFT_OUT } else { 0 }
    }

    /// Columns that a row takes at least.
    fn needed(&self) -> usize {
        let width = |place: &usize| match self.columns[*place] {
            Column { narrow: Narrow::Wrap, width, .. } => width.min(SENTENCE),
            Column { narrow: Narrow::Keep | Narrow::Leave(_), width, .. } => width,
        };
        self.shown.iter().map(width).sum::<usize>() + GAP * self.shown.len().saturating_sub(1)
    }

    /// How wide each shown column is: sentences share what the others leave, the shorter ones first.
    fn widths(&self) -> Vec<usize> {
        let mut widths: Vec<usize> = self.shown.iter().map(|place| self.columns[*place].width).collect();
        let Some(room) = self.medium.width else { return widths };
        let is_wrapped = |at: &usize| self.columns[self.shown[*at]].narrow == Narrow::Wrap;
        let mut sentences: Vec<usize> = (0..widths.len()).filter(is_wrapped).collect();
        let gaps = GAP * widths.len().saturating_sub(1);
        let others: usize = (0..widths.len()).filter(|at| !is_wrapped(at)).map(|at| widths[at]).sum();
        let mut left = room.saturating_sub(gaps + others + self.told());
        sentences.sort_by_key(|at| widths[*at]);
        for (number, at) in sentences.iter().enumerate() {
            widths[*at] = widths[*at].min(left / (sentences.len() - number)).max(1);
            left = left.saturating_sub(widths[*at]);
        }
        widths
    }

    /// A row in as many lines as its longest sentence takes, and what stands behind the first one.
    fn text(&self, cells: &[Cell], tail: &str) -> String {
        let widths = self.widths();
        let parts: Vec<Vec<String>> = self
            .shown
            .iter()
            .zip(&widths)
            .map(|(place, width)| match (self.medium.width, self.columns[*place].narrow) {
                (Some(_), Narrow::Wrap) => {
                    let lines = wrapped(&cells[*place].text, *width, "", "");
                    lines.iter().flat_map(|line| broken(line, *width)).collect()
                }
                (None, _) | (Some(_), Narrow::Keep | Narrow::Leave(_)) => vec![cells[*place].text.clone()],
            })
            .collect();
        let height = parts.iter().map(Vec::len).max().unwrap_or_default();
        let tail = |number| if number == 0 { tail } else { "" };
        (0..height).map(|number| self.line(&widths, &parts, cells, number, tail(number))).collect()
    }

    fn line(
        &self,
        widths: &[usize],
        parts: &[Vec<String>],
        cells: &[Cell],
        number: usize,
        tail: &str,
    ) -> String {
        let mut line = String::new();
        // Blanks are written before the next text only, so that no line ends with some.
        let (mut blanks, mut used) = (0, 0);
        for ((place, width), texts) in self.shown.iter().zip(widths).zip(parts) {
            let text = texts.get(number).map_or("", String::as_str);
            let padding = width.saturating_sub(text.chars().count());
            let (before, after) = match self.columns[*place].align {
                Align::Left => (0, padding),
                Align::Right => (padding, 0),
            };
            blanks += before;
            if !text.is_empty() {
                let room = self.medium.width.map(|room| room.saturating_sub(used + blanks));
                let text = cut(text, room);
                if text.is_empty() {
                    break;
                }
                line.extend(std::iter::repeat_n(' ', blanks));
                line.push_str(&painted(&text, cells[*place].style, self.medium.colour));
                used += blanks + text.chars().count();
                blanks = 0;
            }
            blanks += after + GAP;
        }
        if self.medium.width.is_none_or(|room| used + tail.len() <= room) {
            line.push_str(tail);
        }
        line.push('\n');
        line
    }
}

/// A line in pieces of that length: a word that is longer than its column has no other place to go on.
fn broken(line: &str, width: usize) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    if characters.len() <= width {
        return vec![line.to_owned()];
    }
    characters.chunks(width.max(1)).map(|piece| piece.iter().collect()).collect()
}

/// As much of a text as there is room for.
pub fn cut(text: &str, room: Option<usize>) -> String {
    match room {
        Some(0) => String::new(),
        Some(room) if text.chars().count() > room => text.chars().take(room - 1).chain([CUT]).collect(),
        Some(_) | None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Column, Table};
    use crate::terminal::{Medium, Style};

    const COLUMNS: [Column; 3] = [Column::left("NAME"), Column::right("COUNT"), Column::left("NOTE")];

    fn print(colour: bool, rows: &[[Cell; 3]]) -> String {
        print_on(&COLUMNS, Medium { colour, ..Medium::PLAIN }, rows)
    }

    fn print_on<const N: usize>(columns: &[Column; N], medium: Medium, rows: &[[Cell; N]]) -> String {
        let mut table = Table::new(columns, medium);
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

    const NARROWING: [Column; 5] = [
        Column::left("WHO"),
        Column::right("MANY").leave(2),
        Column::right("MORE").leave(1),
        Column::left("WHY").wrap(),
        Column::left("WHAT TO DO").wrap(),
    ];

    fn sentences() -> [[Cell; 5]; 2] {
        let why = "the kernel refuses this kind of hook altogether";
        [
            ["a", "1", "2", why, "nothing"].map(Cell::new),
            ["somebody", "100", "200", "a/word/that/is/longer/than/any/column/is", ""].map(Cell::new),
        ]
    }

    fn on(width: usize) -> String {
        print_on(&NARROWING, Medium { colour: false, width: Some(width) }, &sentences())
    }

    #[test]
    fn sentences_go_over_lines_and_the_least_columns_are_left_out() {
        let expected = "\
WHO       MANY  WHY                    WHAT TO DO  +1
a            1  the kernel refuses     nothing
                this kind of hook
                altogether
somebody   100  a/word/that/is/longer  -
                /than/any/column/is
";
        assert_eq!(on(53), expected, "{}", on(53));
        assert!(on(50).contains("WHO") && on(50).contains("+2") && !on(50).contains("MANY"), "{}", on(50));
        assert_eq!(on(500).lines().count(), 3);
        assert!(on(500).starts_with("WHO       MANY  MORE  WHY"));
    }

    #[test]
    fn no_line_is_wider_than_its_terminal() {
        for width in 1..200 {
            let text = on(width);
            assert!(text.lines().all(|line| line.chars().count() <= width), "{width}:\n{text}");
        }
    }

    #[test]
    fn a_row_that_comes_later_and_is_wider_is_cut() {
        let mut table = Table::new(&COLUMNS, Medium { colour: false, width: Some(20) });
        let mut out = Vec::new();
        for row in [["a", "1", "x"], ["a", "1", "much too long for it"]] {
            table.row(&mut out, &row.map(Cell::new)).unwrap();
        }
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text.lines().last().unwrap(), "a         1  much t~");
    }
}
