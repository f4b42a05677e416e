//! Cause and observed numbers to advice: one paragraph for people, and settings to paste. Pure.
//!
//! A number in it was seen on this host, or follows from one that was. What was not seen stays a blank, and the text names the command
//! that shows it. The rule behind most of it: the client gives up first (client < proxy < server), by a margin.

mod idle;
mod local;
mod peers;

pub mod numbers;
pub mod settings;

use monitor_common::peer::Role;

use self::numbers::{Range, Spread};
use self::settings::Setting;
use crate::burst::Burst;
use crate::cause::Cause;
use crate::event::Direction;

/// What to do about a cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advice {
    /// A few sentences: what happens, what to change, on which side.
    pub text: String,
    /// How that is written, in the syntax of each software.
    pub settings: Vec<Setting>,
}

impl Advice {
    fn new<const N: usize>(sentences: [String; N], settings: Vec<Setting>) -> Self {
        let said: Vec<String> = sentences.into_iter().filter(|sentence| !sentence.is_empty()).collect();
        Self { text: said.join(" "), settings }
    }
}

/// Whose resets, and what was seen of them. `None` is unknown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Our role.
    pub role: Role,
    /// Who sent the reset.
    pub direction: Direction,
    /// The peer as it can be typed after `--peer`, when it is one.
    pub peer: Option<String>,
    /// The service port.
    pub port: Option<u16>,
    /// Quiet before these resets.
    pub idle: Option<Spread>,
    /// Quiet before the peer closed connections without a reset.
    pub peer_closes: Option<Spread>,
    /// Quiet before we closed connections without a reset.
    pub own_closes: Option<Spread>,
    /// Exchanges that the connections had carried.
    pub exchanges: Option<Range>,
    /// Bytes that nobody had read.
    pub unread: Option<Range>,
    /// The fullest accept queue: waiting, limit.
    pub backlog: Option<(u32, u32)>,
    /// How often it was full.
    pub overflows: Option<u64>,
    /// Connections that this host tracks now, and how many it may.
    pub conntrack: Option<(u64, u64)>,
    /// Sockets that nobody owns.
    pub orphans: Option<u64>,
    /// Name of the program that closed most of the connections. Chosen by it, so hostile.
    pub owner: Option<String>,
    /// The signal that it died of.
    pub exit_signal: Option<u8>,
    /// Whether that signal was the OOM killer's.
    pub oom_killed: Option<bool>,
    /// TTL of a reset that differs, and of the handshake.
    pub ttl: Option<(u8, u8)>,
    /// The latest burst.
    pub burst: Option<Burst>,
}

impl Case {
    /// One of which nothing more is known.
    pub const fn of(role: Role, direction: Direction) -> Self {
        Self {
            role,
            direction,
            peer: None,
            port: None,
            idle: None,
            peer_closes: None,
            own_closes: None,
            exchanges: None,
            unread: None,
            backlog: None,
            overflows: None,
            conntrack: None,
            orphans: None,
            owner: None,
            exit_signal: None,
            oom_killed: None,
            ttl: None,
            burst: None,
        }
    }

    /// `--peer` and `--port` of commands that show more of it.
    fn options(&self) -> String {
        let peer = self.peer.as_ref().map_or_else(String::new, |peer| format!(" --peer {peer}"));
        let port = self.port.map_or_else(String::new, |port| format!(" --port {port}"));
        peer + &port
    }

    /// A filter for `tcpdump`: segments of this peer.
    fn in_tcpdump(&self) -> Option<String> {
        let peer = self.peer.as_ref()?;
        let kind = if peer.contains('/') { "net" } else { "host" };
        Some(format!("{kind} {peer}"))
    }

    /// The same of resets alone. Of an IPv6 packet it sees no TCP header: the flags are the 14th byte after the 40 of IPv6 (RFC 8200).
    fn resets_in_tcpdump(&self) -> String {
        const V4: &str = "tcp[tcpflags] & tcp-rst != 0";
        const V6: &str = "ip6[6] = 6 and ip6[53] & 4 != 0";
        match self.in_tcpdump() {
            Some(of) if of.contains(':') => format!("{of} and {V6}"),
            Some(of) => format!("{of} and {V4}"),
            None => format!("({V4}) or ({V6})"),
        }
    }

    /// The program behind our end.
    fn owner(&self) -> String {
        self.owner
            .as_ref()
            .map_or_else(|| "the program on this host".to_owned(), |name| format!("`{name}` on this host"))
    }
}

/// What to do about a cause.
pub fn advise(cause: Cause, case: &Case) -> Advice {
    match cause {
        Cause::IdleReuse => idle::reuse(case),
        Cause::LateData => idle::late_data(case),
        Cause::IdleAbort => idle::abort(case),
        Cause::StaleIdle => idle::stale(case),
        Cause::Middlebox => idle::middlebox(case),
        Cause::KeepaliveTimeout => idle::keepalive_timeout(case),
        Cause::ListenOverflow => local::listen_overflow(case),
        Cause::NetfilterReject => local::netfilter_reject(case),
        Cause::ProcessExit => local::process_exit(case),
        Cause::AdminAbort => local::admin_abort(case),
        Cause::MemoryPressure => local::memory_pressure(case),
        Cause::ListenerClosed => local::listener_closed(case),
        Cause::UnreadData => local::unread_data(case),
        Cause::LingerAbort => local::linger_abort(case),
        Cause::Refused => peers::refused(case),
        Cause::PeerOverflow => peers::peer_overflow(case),
        Cause::Protocol => peers::protocol(case),
        Cause::PeerAbort => peers::peer_abort(case),
        Cause::Other => peers::other(case),
        Cause::Unclassified => peers::unclassified(case),
    }
}

#[cfg(test)]
mod tests;
