//! A terminal's screen as a picture: text in SVG, so that it is sharp at any size and small.

use std::fmt::Write as _;

/// Size of a character.
const WIDTH: f32 = 8.4;
const HEIGHT: f32 = 18.0;
/// Around the text.
const MARGIN: f32 = 14.0;
/// Background and usual text.
const PAPER: &str = "#0d1117";
const INK: &str = "#d1d7e0";
/// The sixteen colours of a terminal.
const COLOURS: [&str; 16] = [
    "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4", "#6e7681",
    "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff",
];

/// How characters of a run look.
#[derive(Clone, Copy, PartialEq)]
struct Look {
    ink: vt100::Color,
    paper: vt100::Color,
    bold: bool,
    dim: bool,
    inverse: bool,
}

impl Look {
    fn of(cell: &vt100::Cell) -> Self {
        Self {
            ink: cell.fgcolor(),
            paper: cell.bgcolor(),
            bold: cell.bold(),
            dim: cell.dim(),
            inverse: cell.inverse(),
        }
    }

    /// Text and background.
    fn colours(self) -> (String, String) {
        let (ink, paper) = (colour(self.ink, INK), colour(self.paper, PAPER));
        if self.inverse { (paper, ink) } else { (ink, paper) }
    }
}

fn colour(colour: vt100::Color, usual: &str) -> String {
    match colour {
        vt100::Color::Default => usual.to_owned(),
        vt100::Color::Idx(index) => COLOURS.get(usize::from(index)).copied().unwrap_or(usual).to_owned(),
        vt100::Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
    }
}

/// The first rows of a screen.
pub(crate) fn draw(screen: &vt100::Screen, rows: u16) -> String {
    let (_, columns) = screen.size();
    let (width, height) =
        (f32::from(columns) * WIDTH + 2.0 * MARGIN, f32::from(rows) * HEIGHT + 2.0 * MARGIN);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"{PAPER}\"/>\n\
         <g font-family=\"ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace\" font-size=\"14\">\n"
    );
    for row in 0..rows {
        for (start, text, look) in runs(screen, row, columns) {
            background(&mut svg, row, start, &text, look);
            for (place, words) in apart(&text) {
                letters(&mut svg, row, start + place, words, look);
            }
        }
    }
    svg + "</g>\n</svg>\n"
}

/// What stands beside each other and looks the same.
fn runs(screen: &vt100::Screen, row: u16, columns: u16) -> Vec<(u16, String, Look)> {
    let mut runs: Vec<(u16, String, Look)> = Vec::new();
    for column in 0..columns {
        let Some(cell) = screen.cell(row, column) else { continue };
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some((_, run, look)) if *look == Look::of(cell) => run.push_str(text),
            Some(_) | None => runs.push((column, text.to_owned(), Look::of(cell))),
        }
    }
    runs
}

/// Words that stand together, with their places: what is further apart is placed by itself, since SVG makes one blank of several.
fn apart(text: &str) -> Vec<(u16, &str)> {
    let (mut parts, mut place) = (Vec::new(), 0);
    for part in text.split("  ") {
        let words = part.trim();
        if !words.is_empty() {
            let before = part.len() - part.trim_start().len();
            parts.push((columns(&text[..place + before]), words));
        }
        place += part.len() + 2;
    }
    parts
}

fn columns(text: &str) -> u16 {
    u16::try_from(text.chars().count()).unwrap_or(u16::MAX)
}

fn background(svg: &mut String, row: u16, start: u16, text: &str, look: Look) {
    let (_, paper) = look.colours();
    if paper != PAPER {
        let (x, y) = (f32::from(start) * WIDTH + MARGIN, f32::from(row) * HEIGHT + MARGIN);
        let width = f32::from(columns(text)) * WIDTH;
        writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{HEIGHT}\" fill=\"{paper}\"/>"
        )
        .expect("a string takes everything");
    }
}

fn letters(svg: &mut String, row: u16, start: u16, words: &str, look: Look) {
    let (ink, _) = look.colours();
    let (x, y) = (f32::from(start) * WIDTH + MARGIN, (f32::from(row) + 0.75) * HEIGHT + MARGIN);
    let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
    let dim = if look.dim { " opacity=\"0.6\"" } else { "" };
    let safe = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // Whatever letters a reader has: each piece is as long as it was in the terminal.
    let length = f32::from(columns(words)) * WIDTH;
    writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\" fill=\"{ink}\"{weight}{dim}>{safe}</text>",
    )
    .expect("a string takes everything");
}
