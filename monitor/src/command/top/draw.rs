//! State to frame: three lines on the daemon, then the peers, or one peer, or help; below, the keys. Pure.
//!
//! Only ASCII is drawn, so that no locale breaks it, and all text that comes from outside goes through [`crate::terminal::printable`].

pub mod palette;

mod detail;
mod header;
mod help;
mod table;

use ratatui::Frame;
use ratatui::layout::Position;
use ratatui::style::Style;
use ratatui::text::Line;

use self::palette::Palette;
use super::state::{State, Typing};
use crate::terminal::printable;
use crate::terminal::table::Align;

/// What less than this shows is of no use.
const SMALLEST: (u16, u16) = (40, 8);
/// Lines of the header.
const HEADER: usize = 3;
/// What the last line begins with while somebody types.
const PROMPT: &str = "filter: ";

/// Draws the state. Returns how far the detail can be scrolled down.
pub fn draw(frame: &mut Frame<'_>, state: &State, palette: Palette) -> usize {
    let area = frame.area();
    if area.width < SMALLEST.0 || area.height < SMALLEST.1 {
        let text = format!("too small: {}x{} at least", SMALLEST.0, SMALLEST.1);
        put(frame, 0, &Line::raw(fit(&text, area.width.into(), Align::Left)));
        return 0;
    }
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let body = height - HEADER - 1;
    let header = header::lines(state, width, palette);
    let (lines, most) = match &state.detail {
        _ if state.help => (help::lines(width, body, palette), 0),
        Some(detail) => detail::lines(detail, width, body, palette),
        None => (table::lines(state, width, body, palette), 0),
    };
    for (place, line) in header.into_iter().chain(lines.into_iter().take(body)).enumerate() {
        put(frame, place, &line);
    }
    put(frame, height - 1, &footer(state, width, palette));
    if let Some(Typing { text, error: _ }) = &state.typing {
        let column = (PROMPT.len() + text.chars().count()).min(width - 1);
        frame.set_cursor_position(Position::new(u16::try_from(column).unwrap_or(0), area.height - 1));
    }
    most
}

fn put(frame: &mut Frame<'_>, row: usize, line: &Line<'_>) {
    let area = frame.area();
    if let Ok(row) = u16::try_from(row)
        && row < area.height
    {
        frame.buffer_mut().set_line(area.x, area.y + row, line, area.width);
    }
}

fn footer(state: &State, width: usize, palette: Palette) -> Line<'static> {
    if let Some(Typing { text, error }) = &state.typing {
        let hint = error.as_deref().unwrap_or("Enter looks for it, Esc leaves");
        return Line::styled(fit(&format!("{PROMPT}{text}  {hint}"), width, Align::Left), palette.title());
    }
    let keys = match &state.detail {
        _ if state.help => "any key goes back",
        Some(_) => "q back  arrows PgUp PgDn scroll  p pause  ? help",
        None => "q quit  Enter detail  / filter  < > sort  r reverse  ? help",
    };
    let place = if state.detail.is_none() && !state.help { table::place(state) } else { String::new() };
    Line::styled(both_ends(keys, &place, width), Style::new())
}

/// One text at the left and one at the right; the right one is worth more.
fn both_ends(left: &str, right: &str, width: usize) -> String {
    let right = fit(right, right.chars().count().min(width), Align::Left);
    let room = width.saturating_sub(right.chars().count());
    let left = if right.is_empty() {
        fit(left, room, Align::Left)
    } else {
        format!("{} ", fit(left, room.saturating_sub(1), Align::Left))
    };
    format!("{left}{right}")
}

/// Text in exactly so many characters, made safe; `~` where something is missing.
fn fit(text: &str, width: usize, align: Align) -> String {
    let text = printable(text);
    let length = text.chars().count();
    if length > width {
        let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
        if width > 0 {
            cut.push('~');
        }
        return cut;
    }
    match align {
        Align::Left => format!("{text:<width$}"),
        Align::Right => format!("{text:>width$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{both_ends, fit};
    use crate::terminal::table::Align;

    #[test]
    fn text_is_cut_where_it_does_not_fit_and_never_acts() {
        assert_eq!(fit("abc", 5, Align::Left), "abc  ");
        assert_eq!(fit("abc", 5, Align::Right), "  abc");
        assert_eq!(fit("abcdef", 5, Align::Right), "abcd~");
        assert_eq!(fit("a\x1b[2J\u{202e}b", 8, Align::Left), "a?[2J?b ");
        assert_eq!((fit("abc", 0, Align::Left).as_str(), fit("abc", 1, Align::Left).as_str()), ("", "~"));
    }

    #[test]
    fn two_texts_share_a_line() {
        assert_eq!(both_ends("left", "right", 12), "left   right");
        assert_eq!(both_ends("left", "right", 8), "l~ right");
        assert_eq!(both_ends("left", "", 6), "left  ");
    }
}
