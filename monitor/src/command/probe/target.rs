//! What is probed, as a person types it: a URL, or `HOST:PORT`. Pure: nothing is looked up.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::uri::PathAndQuery;

/// Longest host name (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 253;
/// What is before a zone in a URL: `%` in percent-encoding (RFC 6874, 2).
const ZONE_IN_URL: &str = "%25";

/// What is spoken to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP/1.1.
    Http,
    /// HTTP/1.1 over TLS.
    Https,
    /// Whatever is sent.
    Tcp,
}

/// Whom to talk to, and nobody else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What is spoken.
    pub scheme: Scheme,
    /// A name, or an address without brackets, which may have a zone: `fe80::1%eth0`.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Path with its query; `/` where none was typed.
    pub path: String,
}

/// The text is no [`Target`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Another protocol.
    #[error("`{0}://` is not spoken here: give http://, https://, or HOST:PORT for plain TCP")]
    Scheme(String),
    /// A name or password before the host.
    #[error("credentials in a URL are not sent: leave them out, and use --header 'Authorization: ...'")]
    Credentials,
    /// No name and no address.
    #[error("`{0}` is neither a host name nor an address")]
    Host(String),
    /// Letters that the name system does not have.
    #[error("`{0}` has letters beyond ASCII: give the name in the form that begins with xn--")]
    NotAscii(String),
    /// Which colon begins the port cannot be told.
    #[error("put an IPv6 address in brackets: [{0}]:PORT")]
    Brackets(String),
    /// There is no usual one.
    #[error("a port is missing: {0}:PORT, or a URL such as https://{0}/")]
    NoPort(String),
    /// Not between 1 and 65535.
    #[error("`{0}` is no port: give a number from 1 to 65535")]
    Port(String),
    /// Cannot be sent as it is.
    #[error("`{0}` is no path of a URL: write blanks and letters beyond ASCII in percent-encoding")]
    Path(String),
}

impl Target {
    /// Whether requests and answers are HTTP.
    pub const fn is_http(&self) -> bool {
        match self.scheme {
            Scheme::Http | Scheme::Https => true,
            Scheme::Tcp => false,
        }
    }

    /// Host and port as a request's `Host` has them: without a port that its scheme implies, and without a zone, which is of this host only
    /// (RFC 6874, 4).
    pub fn authority(&self) -> String {
        self.with_port(self.without_zone())
    }

    /// Whom it names to others.
    pub fn without_zone(&self) -> &str {
        self.host.split('%').next().unwrap_or_default()
    }

    fn with_port(&self, host: &str) -> String {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        match (self.scheme, self.port) {
            (Scheme::Http, 80) | (Scheme::Https, 443) => host,
            (Scheme::Http | Scheme::Https | Scheme::Tcp, port) => format!("{host}:{port}"),
        }
    }
}

/// As it could be typed.
impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host) = match self.scheme {
            Scheme::Http => ("http://", self.host.replace('%', ZONE_IN_URL)),
            Scheme::Https => ("https://", self.host.replace('%', ZONE_IN_URL)),
            Scheme::Tcp => ("", self.host.clone()),
        };
        write!(formatter, "{scheme}{}{}", self.with_port(&host), self.path)
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let plain = |text: &str| {
            let (host, port) = host_and_port(text)?;
            let port = port.ok_or_else(|| TargetError::NoPort(text.to_owned()))?;
            Ok(Self { scheme: Scheme::Tcp, host, port, path: String::new() })
        };
        let Some((scheme, rest)) = text.split_once("://") else { return plain(text) };
        let (scheme, usual) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, 80),
            "https" => (Scheme::Https, 443),
            "tcp" => return plain(&rest.trim_end_matches('/').replacen(ZONE_IN_URL, "%", 1)),
            other => return Err(TargetError::Scheme(other.to_owned())),
        };
        // What follows `#` is for whoever shows a page, and never sent.
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(TargetError::Credentials);
        }
        // Many write the zone as it is, which is taken, too.
        let (host, port) = host_and_port(&authority.replacen(ZONE_IN_URL, "%", 1))?;
        Ok(Self { scheme, host, port: port.unwrap_or(usual), path: sendable(path)? })
    }
}

/// With the slash that it must begin with.
fn sendable(path: &str) -> Result<String, TargetError> {
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let fits = path.bytes().all(|byte| byte.is_ascii_graphic()) && path.parse::<PathAndQuery>().is_ok();
    if fits { Ok(path) } else { Err(TargetError::Path(path)) }
}

fn host_and_port(text: &str) -> Result<(String, Option<u16>), TargetError> {
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((host, rest))) => {
            let address = host.split('%').next().unwrap_or_default();
            let zone = host.split_once('%').is_none_or(|(_, zone)| is_name(zone));
            if address.parse::<Ipv6Addr>().is_err() || !zone {
                return Err(TargetError::Host(text.to_owned()));
            }
            let port = match rest.strip_prefix(':') {
                Some(port) => Some(port),
                None if rest.is_empty() => None,
                None => return Err(TargetError::Host(text.to_owned())),
            };
            (host, port)
        }
        Some(None) => return Err(TargetError::Host(text.to_owned())),
        None if text.matches(':').count() > 1 => {
            let address = text.parse::<IpAddr>().is_ok();
            let error = if address { TargetError::Brackets } else { TargetError::Host };
            return Err(error(text.to_owned()));
        }
        None => {
            let (host, port) = text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)));
            if !host.is_ascii() {
                return Err(TargetError::NotAscii(host.to_owned()));
            }
            if !is_name(host) {
                return Err(TargetError::Host(host.to_owned()));
            }
            (host, port)
        }
    };
    let number = |port: &str| {
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let number = port.parse().ok().filter(|number: &u16| digits && *number > 0);
        number.ok_or_else(|| TargetError::Port(port.to_owned()))
    };
    Ok((host.to_owned(), port.map(number).transpose()?))
}

/// What the name system can be asked, an IPv4 address among it. Underscores are in use.
fn is_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    begins && text.len() <= LONGEST_NAME && text.bytes().all(letter) && !text.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<(Scheme, String, u16, String), TargetError> {
        let Target { scheme, host, port, path } = text.parse()?;
        Ok((scheme, host, port, path))
    }

    #[test]
    fn urls_and_plain_targets_are_told_apart_and_have_their_usual_ports() {
        for (text, scheme, host, port, path) in [
            ("http://web.example", Scheme::Http, "web.example", 80, "/"),
            ("HTTPS://web.example:8443/a?b=c#d", Scheme::Https, "web.example", 8443, "/a?b=c"),
            ("https://10.0.0.1?x", Scheme::Https, "10.0.0.1", 443, "/?x"),
            ("http://[::1]:8080/", Scheme::Http, "::1", 8080, "/"),
            ("[fe80::1%eth0]:6379", Scheme::Tcp, "fe80::1%eth0", 6379, ""),
            ("http://[fe80::1%25eth0]/", Scheme::Http, "fe80::1%eth0", 80, "/"),
            ("https://[fe80::1%eth0.5]:8443", Scheme::Https, "fe80::1%eth0.5", 8443, "/"),
            ("tcp://[fe80::1%25eth0]:1", Scheme::Tcp, "fe80::1%eth0", 1, ""),
            ("redis:6379", Scheme::Tcp, "redis", 6379, ""),
            ("tcp://redis:6379/", Scheme::Tcp, "redis", 6379, ""),
            ("_srv.pool.local.:1", Scheme::Tcp, "_srv.pool.local.", 1, ""),
        ] {
            assert_eq!(read(text), Ok((scheme, host.to_owned(), port, path.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed_again() {
        for text in [
            "http://web.example/a?b",
            "https://[::1]:8443/",
            "https://[fe80::1%25eth0]:8443/",
            "redis:6379",
            "[::1]:6379",
            "[fe80::1%eth0]:6379",
            "http://a:443/",
        ] {
            assert_eq!(text.parse::<Target>().unwrap().to_string(), text);
        }
        assert_eq!("http://a:80".parse::<Target>().unwrap().authority(), "a");
    }

    #[test]
    fn a_zone_is_never_told_to_the_target() {
        for (text, wanted) in [
            ("http://[fe80::1%25eth0]/", "[fe80::1]"),
            ("http://[fe80::1%25eth0]:8080/", "[fe80::1]:8080"),
            ("https://[fe80::1%eth0]/", "[fe80::1]"),
        ] {
            assert_eq!(text.parse::<Target>().unwrap().authority(), wanted, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_meant_says_what_to_type() {
        for (text, wanted) in [
            ("", "neither"),
            (":80", "neither"),
            ("web.example", "a port is missing: web.example:PORT"),
            ("web.example:", "no port"),
            ("web.example:0", "1 to 65535"),
            ("web.example:65536", "1 to 65535"),
            ("web.example:+80", "1 to 65535"),
            ("http://web.example:http/", "1 to 65535"),
            ("http:///x", "neither"),
            ("ftp://web.example/", "`ftp://` is not spoken"),
            ("tcp://http://x:1", "neither"),
            ("http://user:secret@web.example/", "Authorization"),
            ("::1:80", "[::1:80]:PORT"),
            ("[::1]80", "neither"),
            ("[::1", "neither"),
            ("[10.0.0.1]:80", "neither"),
            ("http://[fe80::1%25]/", "neither"),
            ("http://[fe80::1%25a%20b]/", "neither"),
            ("http://a%25b/", "neither"),
            ("a:b:c", "neither"),
            ("b\u{fc}cher.example:80", "xn--"),
            ("http://web.example/a b", "percent-encoding"),
            ("http://web.example/\u{fc}", "percent-encoding"),
            ("http://web.example/\r\nX: y", "percent-encoding"),
            ("web..example:80", "neither"),
            ("web example:80", "neither"),
            ("-rf:80", "neither"),
        ] {
            let error = text.parse::<Target>().expect_err(text).to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
        assert!(format!("{}:80", "a".repeat(254)).parse::<Target>().is_err());
    }
}
