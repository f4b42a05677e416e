//! What to explain, as it is typed: a peer, a peer and its port, or a port of ours.

use super::PeerPattern;
use crate::snapshot::PeerLabel;

/// A peer, a port, or both; never neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which peers; `None` for all peers of the port.
    pub peer: Option<PeerPattern>,
    /// Service port.
    pub port: Option<u16>,
}

impl Target {
    /// Whether a peer is meant by it.
    pub(crate) fn has(&self, label: &PeerLabel) -> bool {
        let Self { peer, port } = *self;
        peer.is_none_or(|peer| peer.has_scope(label.scope))
            && port.is_none_or(|port| label.port == Some(port))
    }
}

/// The text is not a [`Target`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error(
    "not an address, a network such as 10.0.0.0/24, `ADDRESS:PORT`, `[IPV6]:PORT`, or `:PORT` for all peers of a port of ours; host names are not looked up"
)]
pub struct TargetError;

impl std::fmt::Display for Target {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let peer = self.peer.map(|peer| peer.to_string()).unwrap_or_default();
        match self.port {
            None => out.write_str(&peer),
            Some(port) if peer.contains(':') => write!(out, "[{peer}]:{port}"),
            Some(port) => write!(out, "{peer}:{port}"),
        }
    }
}

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let peer = |text: &str| text.parse::<PeerPattern>().or(Err(TargetError)).map(Some);
        // An IPv6 address is one before it is an address with a port.
        if let Ok(peer) = text.parse() {
            return Ok(Self { peer: Some(peer), port: None });
        }
        if let Some((address, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(number(port)?),
                None if rest.is_empty() => None,
                None => return Err(TargetError),
            };
            return Ok(Self { peer: peer(address)?, port });
        }
        let (address, port) = text.rsplit_once(':').ok_or(TargetError)?;
        if address.contains(':') {
            return Err(TargetError);
        }
        let peer = if address.is_empty() { None } else { peer(address)? };
        Ok(Self { peer, port: Some(number(port)?) })
    }
}

/// A port, without the sign that `parse` would take.
fn number(text: &str) -> Result<u16, TargetError> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or(TargetError)
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn what_people_type_is_understood_and_shown_alike() {
        for (typed, shown, port) in [
            ("10.0.0.5", "10.0.0.5", None),
            ("10.0.0.5:8080", "10.0.0.5:8080", Some(8080)),
            ("10.0.0.0/24", "10.0.0.0/24", None),
            ("10.0.0.0/24:443", "10.0.0.0/24:443", Some(443)),
            ("::1", "::1", None),
            ("[::1]", "::1", None),
            ("[::1]:80", "[::1]:80", Some(80)),
            ("[2001:db8::/64]:443", "[2001:db8::/64]:443", Some(443)),
            ("::ffff:10.0.0.5", "10.0.0.5", None),
            (":8080", ":8080", Some(8080)),
            ("other", "other", None),
        ] {
            let target: Target = typed.parse().unwrap();
            assert_eq!((target.to_string().as_str(), target.port), (shown, port), "{typed}");
        }
    }

    #[test]
    fn what_is_neither_peer_nor_port_is_refused() {
        for text in [
            "",
            ":",
            "8080",
            "web.example:80",
            "10.0.0.5:",
            "10.0.0.5:65536",
            "10.0.0.5:+1",
            "[::1",
            "[::1]80",
        ] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }
}
