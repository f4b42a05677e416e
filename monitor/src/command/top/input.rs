//! What the terminal sends, as the few keys that mean something here.

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Something that a person did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Up by one.
    Up,
    /// Down by one.
    Down,
    /// Up by a screen.
    PageUp,
    /// Down by a screen.
    PageDown,
    /// To the beginning.
    Home,
    /// To the end.
    End,
    /// To the left.
    Left,
    /// To the right.
    Right,
    /// Enter.
    Enter,
    /// Back.
    Escape,
    /// Take the last character back.
    Backspace,
    /// Help.
    Help,
    /// End the program, whatever is shown.
    Interrupt,
    /// A character.
    Character(char),
    /// The terminal has another size: columns and rows.
    Resized(u16, u16),
}

/// What an event means; `None` for nothing.
pub fn read(event: &Event) -> Option<Input> {
    match event {
        Event::Key(key) if key.kind != KeyEventKind::Release => from_key(key),
        Event::Resize(columns, rows) => Some(Input::Resized(*columns, *rows)),
        // Neither is asked for.
        Event::Key(_) | Event::FocusGained | Event::FocusLost | Event::Mouse(_) | Event::Paste(_) => None,
    }
}

fn from_key(key: &KeyEvent) -> Option<Input> {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    match (key.code, control) {
        (KeyCode::Char('c' | 'C'), true) => Some(Input::Interrupt),
        // As less and vi have them.
        (KeyCode::Char('f'), true) | (KeyCode::PageDown, _) => Some(Input::PageDown),
        (KeyCode::Char('b'), true) | (KeyCode::PageUp, _) => Some(Input::PageUp),
        // What some terminals send for Backspace.
        (KeyCode::Char('h'), true) | (KeyCode::Backspace, _) => Some(Input::Backspace),
        (KeyCode::Char(character), false) => Some(Input::Character(character)),
        (KeyCode::Up, _) => Some(Input::Up),
        (KeyCode::Down, _) => Some(Input::Down),
        (KeyCode::Home, _) => Some(Input::Home),
        (KeyCode::End, _) => Some(Input::End),
        (KeyCode::Left, _) => Some(Input::Left),
        (KeyCode::Right, _) => Some(Input::Right),
        (KeyCode::Enter, _) => Some(Input::Enter),
        (KeyCode::Esc, _) => Some(Input::Escape),
        (KeyCode::F(1), _) => Some(Input::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_and_others_mean_nothing() {
        let key = |code, modifiers| read(&Event::Key(KeyEvent::new(code, modifiers)));
        let plain = KeyModifiers::NONE;
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Input::Interrupt));
        assert_eq!(key(KeyCode::Char('c'), plain), Some(Input::Character('c')));
        assert_eq!(key(KeyCode::Char('G'), KeyModifiers::SHIFT), Some(Input::Character('G')));
        assert_eq!(key(KeyCode::Char('x'), KeyModifiers::CONTROL), None);
        assert_eq!(key(KeyCode::F(1), plain), Some(Input::Help));
        assert_eq!(key(KeyCode::F(5), plain), None);
        assert_eq!(read(&Event::Resize(80, 24)), Some(Input::Resized(80, 24)));
        assert_eq!(read(&Event::Paste("q".to_owned())), None);
        let mut released = KeyEvent::new(KeyCode::Enter, plain);
        released.kind = KeyEventKind::Release;
        assert_eq!(read(&Event::Key(released)), None);
    }
}
