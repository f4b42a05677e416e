//! What is typed after `/`: words, each a peer as the API's filters take it, a port, a role, or a part of what is shown.

use monitor_common::peer::Role;

use crate::http::filter::target::Target;
use crate::http::filter::text::Text;
use crate::http::filter::{PeerFilter, role_from_name};

/// Most characters that are taken.
pub const LONGEST: usize = 100;

/// What is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// As it was typed.
    pub typed: String,
    target: Option<Target>,
    role: Option<Role>,
    text: Option<Text>,
}

/// What was typed cannot be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SearchError {
    /// It is no part of a peer.
    #[error(
        "`{word}` cannot be part of a peer: try 10.0.0.0/24, 10.0.0.5:8080, :443, client, or a part such as 10.0. or idle"
    )]
    Word {
        /// The word.
        word: String,
    },
    /// There is one of its kind already.
    #[error(
        "`{word}` is one too many: one peer or port, one role and one other word can be looked for at a time"
    )]
    Twice {
        /// The word.
        word: String,
    },
}

impl Search {
    /// Reads what was typed; nothing means all peers.
    pub fn read(typed: &str) -> Result<Self, SearchError> {
        let mut search = Self { typed: typed.trim().to_owned(), ..Self::default() };
        for word in typed.split_whitespace() {
            let lower = word.to_ascii_lowercase();
            let is_first = if let Some(role) = role_from_name(&lower) {
                search.role.replace(role).is_none()
            } else if let Ok(target) = lower.parse::<Target>() {
                search.target.replace(target).is_none()
            } else if let Ok(text) = lower.parse::<Text>() {
                search.text.replace(text).is_none()
            } else {
                return Err(SearchError::Word { word: word.to_owned() });
            };
            if !is_first {
                return Err(SearchError::Twice { word: word.to_owned() });
            }
        }
        Ok(search)
    }

    /// Whether all peers are meant.
    pub const fn is_everything(&self) -> bool {
        self.target.is_none() && self.role.is_none() && self.text.is_none()
    }

    /// As the API's filter, in the default order.
    pub fn filter(&self) -> PeerFilter {
        let Self { typed: _, target, role, text } = self;
        PeerFilter {
            peer: target.and_then(|target| target.peer),
            port: target.and_then(|target| target.port),
            role: *role,
            text: *text,
            ..PeerFilter::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Search, SearchError};

    #[test]
    fn words_become_what_the_daemon_filters_by() {
        for (typed, query) in [
            ("", "&sort=resets"),
            (" 10.0.0.5 ", "&peer=10.0.0.5&sort=resets"),
            ("10.0.0.5:8080", "&peer=10.0.0.5&port=8080&sort=resets"),
            ("10.0.0.0/24 client", "&peer=10.0.0.0/24&role=client&sort=resets"),
            (":443 Server", "&port=443&role=server&sort=resets"),
            ("[2001:db8::7]:443", "&peer=2001:db8::7&port=443&sort=resets"),
            ("10.0. IDLE", ""),
            ("8080", "&text=8080&sort=resets"),
            ("idle_reuse other", "&peer=other&text=idle_reuse&sort=resets"),
        ] {
            match Search::read(typed) {
                Ok(search) => {
                    assert_eq!(search.filter().to_query(), query, "{typed}");
                    assert_eq!(search.is_everything(), typed.is_empty());
                }
                Err(error) => {
                    assert_eq!((error, query), (SearchError::Twice { word: "IDLE".to_owned() }, ""));
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_part_of_a_peer_is_refused_by_name() {
        for typed in ["web=1", "10.0.0.5 &x", "\u{202e}"] {
            let error = Search::read(typed).unwrap_err();
            assert!(matches!(error, SearchError::Word { .. }), "{typed}");
            assert!(error.to_string().contains(typed.split(' ').next_back().unwrap()));
        }
    }
}
