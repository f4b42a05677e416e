//! Peers by what the output shows for them, so that what was printed can be asked for.

use std::net::IpAddr;

use crate::http::query::form::Form;
use crate::http::query::parse_address;
use crate::snapshot::Scope;

/// Peers by what the output shows for them: an address, a network, `other` or `retired`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPattern(Scope);

impl PeerPattern {
    /// What [`std::str::FromStr`] takes, for error texts.
    pub const EXPECTED: &'static str = "an address, a network such as 10.0.0.0/24, `other` or `retired`";

    /// The same as a parameter.
    pub(in crate::http) const FORM: Form = Form::Text { words: Self::EXPECTED, example: "10.0.0.1" };

    /// Who is shown like this.
    pub const fn of(scope: Scope) -> Self {
        Self(scope)
    }

    /// Whether the address is, or lies in, what is asked for.
    pub(crate) fn has_address(self, address: IpAddr) -> bool {
        match self.0 {
            Scope::Address(wanted) => wanted == address,
            Scope::Network(network, bits) => is_within(address, network, bits),
            Scope::Other | Scope::Retired => false,
        }
    }

    /// Whether a row of counts belongs to what is asked for.
    pub(crate) fn has_scope(self, scope: Scope) -> bool {
        match scope {
            Scope::Address(address) => self.has_address(address),
            Scope::Network(network, bits) => match self.0 {
                Scope::Network(wanted, wanted_bits) => {
                    bits >= wanted_bits && is_within(network, wanted, wanted_bits)
                }
                Scope::Address(_) | Scope::Other | Scope::Retired => false,
            },
            Scope::Other | Scope::Retired => self.0 == scope,
        }
    }
}

impl std::fmt::Display for PeerPattern {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

/// The text is not a [`PeerPattern`].
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("not {}", PeerPattern::EXPECTED)]
pub struct PeerPatternError;

impl std::str::FromStr for PeerPattern {
    type Err = PeerPatternError;

    fn from_str(text: &str) -> Result<Self, PeerPatternError> {
        let scope = match text {
            "other" => Some(Scope::Other),
            "retired" => Some(Scope::Retired),
            _ => match text.split_once('/') {
                None => parse_address(text).map(Scope::Address),
                Some((address, bits)) => parse_network(address, bits),
            },
        };
        scope.map(Self).ok_or(PeerPatternError)
    }
}

fn parse_network(address: &str, bits: &str) -> Option<Scope> {
    let address = parse_address(address)?;
    let bits: u8 = bits.parse().ok()?;
    (bits <= width(address)).then_some(Scope::Network(address, bits))
}

/// Bits of an address.
const fn width(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    // A shift by the full width happens for /0 of IPv6 only, and means that nothing is left to differ.
    let differs =
        (number(address) ^ number(network)).checked_shr(u32::from(width(network) - bits)).unwrap_or(0);
    address.is_ipv4() == network.is_ipv4() && differs == 0
}

#[cfg(test)]
mod tests {
    use super::PeerPattern;
    use crate::snapshot::Scope;

    fn pattern(text: &str) -> PeerPattern {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_has_the_addresses_inside_it_and_no_other() {
        let inside = |network: &str, address: &str| pattern(network).has_address(address.parse().unwrap());
        assert!(inside("10.1.2.0/24", "10.1.2.255"));
        assert!(!inside("10.1.2.0/24", "10.1.3.0"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "::1"));
        assert!(inside("::/0", "2001:db8::1"));
        assert!(inside("2001:db8::/64", "2001:db8::ffff"));
        assert!(!inside("2001:db8::/64", "2001:db8:0:1::1"));
    }

    #[test]
    fn a_mapped_address_means_the_ipv4_one() {
        assert_eq!(pattern("::ffff:10.0.0.1"), pattern("10.0.0.1"));
    }

    #[test]
    fn text_that_the_output_shows_selects_the_row_it_was_shown_for() {
        for scope in [
            Scope::Other,
            Scope::Retired,
            Scope::Address("2001:db8::7".parse().unwrap()),
            Scope::Network("192.0.2.0".parse().unwrap(), 24),
        ] {
            assert!(pattern(&scope.to_string()).has_scope(scope), "{scope}");
        }
    }

    #[test]
    fn what_is_no_peer_is_refused() {
        for text in ["", "10.0.0", "10.0.0.0/33", "::1/129", "10.0.0.0/x", "web.example", "10.0.0.1:80"] {
            assert!(text.parse::<PeerPattern>().is_err(), "{text}");
        }
    }
}
