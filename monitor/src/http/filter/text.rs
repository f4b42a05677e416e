//! A part of what is shown of a peer: its address or network, its names, its port, its role, its main cause.

use super::order::main_cause;
use crate::event::role_name;
use crate::http::query::form::Form;
use crate::snapshot::PeerRow;

/// Longest text: the longest address with a network's length is not longer.
const LONGEST: usize = 48;

/// What to look for: a few characters of which none needs escaping in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text {
    bytes: [u8; LONGEST],
    length: usize,
}

/// The text cannot be part of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not {}", Text::EXPECTED)]
pub struct TextError;

impl Text {
    /// What [`std::str::FromStr`] takes, for error texts.
    pub const EXPECTED: &'static str = "1 to 48 characters of a-z, 0-9, `.`, `:`, `/`, `_` and `-`";

    /// The same as a parameter.
    pub(in crate::http) const FORM: Form = Form::Text { words: Self::EXPECTED, example: "10.0.0." };

    /// As it was typed.
    pub fn as_str(&self) -> &str {
        // Only ASCII was let in.
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// `names` is what else is shown of a peer.
    pub(super) fn is_in(&self, row: &PeerRow, names: impl FnOnce() -> String) -> bool {
        let wanted = self.as_str();
        let cause = || row.causes.as_deref().and_then(main_cause);
        role_name(row.label.role).contains(wanted)
            || row.label.scope.to_string().contains(wanted)
            || row.label.port.is_some_and(|port| port.to_string().contains(wanted))
            || cause().is_some_and(|cause| cause.name().contains(wanted))
            || names().contains(wanted)
    }
}

impl std::fmt::Display for Text {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl std::str::FromStr for Text {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".:/_-".contains(&byte);
        let mut bytes = [0; LONGEST];
        match bytes.get_mut(..text.len()) {
            Some(place) if !text.is_empty() && text.bytes().all(allowed) => {
                place.copy_from_slice(text.as_bytes());
                Ok(Self { bytes, length: text.len() })
            }
            Some(_) | None => Err(TextError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Text;

    #[test]
    fn what_needs_no_escaping_is_taken_as_it_is_and_nothing_else() {
        for text in ["10.0.", "2001:db8::/32", "idle_reuse", "8080", "client", "shop/web-1", &"f".repeat(48)]
        {
            assert_eq!(text.parse::<Text>().unwrap().to_string(), text);
        }
        for text in ["", "a b", "A", "a&sort=peer", "%41", "#", "+", "é", "a\n", &"f".repeat(49)] {
            assert!(text.parse::<Text>().is_err(), "{text}");
        }
    }
}
