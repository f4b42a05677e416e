//! The table of peers, or why there is none.

use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::fit;
use super::header::every;
use super::palette::Palette;

use crate::command::top::column::{Column, GAP, fitting, is_notable};
use crate::command::top::peer::Row;
use crate::command::top::picture::Level;
use crate::command::top::state::State;
use crate::http::filter::order::Order;
use crate::terminal::table::Align;
use crate::terminal::wrapped;

/// Before the selected row, so that it is seen without colour; as wide as before the others.
const SELECTED: &str = "> ";
const OTHERS: &str = "  ";

pub(super) fn lines(state: &State, width: usize, height: usize, palette: Palette) -> Vec<Line<'static>> {
    let table = &state.table;
    let rows: Vec<Option<&Row>> =
        (table.first..table.matching).take(height.saturating_sub(1)).map(|place| table.row(place)).collect();
    if rows.is_empty() {
        let text = |line: String| Line::raw(fit(&line, width, Align::Left));
        return wrapped(&nothing(state), width, "  ", "  ").into_iter().map(text).collect();
    }
    let longest = rows.iter().flatten().map(|row| row.key.to_string().chars().count()).max();
    let columns = fitting(width.saturating_sub(SELECTED.len()), table.sort, longest.unwrap_or(0));
    let mut lines = vec![titles(state, &columns, palette)];
    lines.extend(rows.into_iter().enumerate().map(|(number, row)| {
        let is_selected = table.first + number == table.selected;
        row.map_or_else(|| Line::raw("  ..."), |row| line(row, &columns, is_selected, palette))
    }));
    lines
}

/// Which rows are shown, of how many.
pub(super) fn place(state: &State) -> String {
    let table = &state.table;
    if !table.is_current() {
        return "asking ...".to_owned();
    }
    let shown = match table.matching {
        0 => "none".to_owned(),
        all => format!("{}/{all}", table.selected + 1),
    };
    let beyond = if table.beyond > 0 { format!(" (+{})", table.beyond) } else { String::new() };
    let search =
        if table.search.is_everything() { String::new() } else { format!(" {}", table.search.typed) };
    format!("{shown}{beyond}{search}")
}

fn titles(state: &State, columns: &[(Column, usize)], palette: Palette) -> Line<'static> {
    let mark = match state.table.order {
        Order::Asc => "^",
        Order::Desc => "v",
    };
    let titles = columns.iter().map(|(column, width)| {
        let mark = if *column == state.table.sort { mark } else { "" };
        fit(&format!("{}{mark}", column.title()), *width, column.align())
    });
    let titles: Vec<String> = titles.collect();
    Line::styled(format!("{OTHERS}{}", titles.join(&" ".repeat(GAP))), palette.title())
}

fn line(row: &Row, columns: &[(Column, usize)], is_selected: bool, palette: Palette) -> Line<'static> {
    let mut spans = vec![Span::raw(if is_selected { SELECTED } else { OTHERS })];
    for (place, (column, width)) in columns.iter().enumerate() {
        if place > 0 {
            spans.push(Span::raw(" ".repeat(GAP)));
        }
        let look = if *column == Column::Ratio && is_notable(row) {
            palette.level(Level::Bad)
        } else {
            Style::new()
        };
        spans.push(Span::styled(fit(&column.cell(row), *width, column.align()), look));
    }
    let line = Line::from(spans);
    if is_selected { line.patch_style(palette.selected()) } else { line }
}

/// Why no row is there, and what to do.
fn nothing(state: &State) -> String {
    let table = &state.table;
    match (&state.picture, &state.trouble) {
        (None, Some(why)) => {
            format!("No answer, asking again every {}: {why}. q quits.", every(state))
        }
        (None, None) => "Waiting for the first answer ...".to_owned(),
        (Some(_), _) if !table.is_current() => "Asking ...".to_owned(),
        (Some(_), _) if !table.search.is_everything() => format!(
            "No peer matches `{}`. Esc shows all of them again, / looks for something else.",
            table.search.typed
        ),
        (Some(_), _) => {
            "No peers yet: one appears with its first connection, and none was made or accepted since the daemon started. \
             To see one, refuse yourself a connection: curl http://127.0.0.1:1"
                .to_owned()
        }
    }
}
