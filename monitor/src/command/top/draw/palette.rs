//! How things look. Colour only repeats what a word or a mark says already, so without it nothing is lost.

use ratatui::style::{Color, Modifier, Style};

use crate::command::top::picture::Level;

/// Which looks there are.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    colour: bool,
}

impl Palette {
    /// With colour or without.
    pub const fn new(colour: bool) -> Self {
        Self { colour }
    }

    /// A heading.
    pub const fn title(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// The row that keys mean.
    pub const fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Something as bad as this.
    pub const fn level(self, level: Level) -> Style {
        match level {
            Level::Good => self.coloured(Style::new(), Color::Green),
            Level::Fair => self.coloured(Style::new(), Color::Yellow),
            Level::Bad => self.coloured(self.title(), Color::Red),
        }
    }

    const fn coloured(self, style: Style, colour: Color) -> Style {
        if self.colour { style.fg(colour) } else { style }
    }
}
