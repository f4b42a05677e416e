//! Text for terminals: how wide they are, the decision about colour, and nothing that a hostile name could do to a screen.

use std::borrow::Cow;
use std::error::Error;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

pub mod table;

/// How a command writes its data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// Aligned columns for people.
    #[default]
    Table,
    /// JSON for programs.
    Json,
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

/// `text` with a look, where colour is allowed.
pub fn painted(text: &str, style: Style, colour: bool) -> Cow<'_, str> {
    match style.sequence().filter(|_| colour) {
        None => Cow::Borrowed(text),
        Some(sequence) => Cow::Owned([sequence, text, "\x1b[0m"].concat()),
    }
}

/// What is written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Whether colour is allowed.
    pub colour: bool,
    /// Columns of a terminal; `None` for anything else, where lines are as long as they are: programs read them.
    pub width: Option<usize>,
}

impl Medium {
    /// A file or a pipe.
    pub const PLAIN: Self = Self { colour: false, width: None };

    /// Standard output.
    pub fn stdout() -> Self {
        Self::of(&io::stdout())
    }

    /// Standard error.
    pub fn stderr() -> Self {
        Self::of(&io::stderr())
    }

    fn of(end: &(impl IsTerminal + AsFd)) -> Self {
        let terminal = end.is_terminal();
        let size = if terminal { rustix::termios::tcgetwinsize(end).ok() } else { None };
        let variable = |name| std::env::var_os(name);
        Self {
            colour: colour(terminal, variable("NO_COLOR").as_deref(), variable("TERM").as_deref()),
            // Some terminals do not know their size and say 0.
            width: size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0),
        }
    }
}

/// Whether a line can be written over: on a terminal that can place the cursor.
pub fn can_write_over(end: &impl IsTerminal) -> bool {
    end.is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

/// Colour for a terminal only, unless `NO_COLOR` is there and not empty (no-color.org), or the terminal is `dumb`.
fn colour(terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    terminal && no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

/// Lines of at most `width` columns, made safe, unless a word is longer. The first line begins with `first`, the others with `indent`.
pub fn wrapped(text: &str, width: usize, first: &str, indent: &str) -> Vec<String> {
    let text = printable(text);
    let mut lines = Vec::new();
    let (mut line, mut used, mut is_empty) = (first.to_owned(), first.chars().count(), true);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if !is_empty && used + 1 + length > width {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            (used, is_empty) = (indent.chars().count(), true);
        }
        if !is_empty {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
        is_empty = false;
    }
    lines.push(line);
    lines
}

/// A line for people, in as many lines as a terminal needs for it.
pub fn folded(text: &str, medium: Medium) -> String {
    medium.width.map_or_else(|| text.to_owned(), |width| wrapped(text, width, "", "").join("\n"))
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

    use super::{colour, printable, printable_json};

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
