//! Advice where quiet connections end: timers that are not aligned, state that is lost on the way, peers that are gone.

use std::time::Duration;

use monitor_common::peer::Role;

use super::numbers::{MARGIN, Range, above, below, count, half, seconds};
use super::settings::{Setting, ending, keepalive, queues, retry};
use super::{Advice, Case};
use crate::event::Direction;

/// Retrying, in one sentence.
const RETRY: &str = "Retry such a request once if it is idempotent, and never blindly otherwise: a small race is left however well timeouts are aligned.";

/// The timeout of the side that closed, and how it was seen.
fn timeout(case: &Case) -> Option<(Duration, String)> {
    let closes = match case.direction {
        Direction::Received => case.peer_closes,
        Direction::Sent => case.own_closes,
    };
    let from_closes = closes.map(|closes| {
        // Who must give up before it goes by the earliest, as `timeouts` does.
        (closes.min, format!("{} (seen {})", seconds(closes.median), count(closes.count as u64, "time")))
    });
    // A request that met the closing came when the timeout was just over, or later.
    from_closes.or_else(|| {
        let idle = case.idle?;
        Some((idle.min, format!("at most {} (the shortest quiet before a reset)", seconds(idle.min))))
    })
}

/// So many events with the same number of exchanges look like a limit on them.
const LIKE_A_LIMIT: usize = 3;

/// The settings of both ends of a chain.
fn chain(client: Option<u64>, server: Option<u64>) -> Vec<Setting> {
    let mut all = keepalive::client_gives_up(client);
    all.extend(keepalive::server_waits(server));
    all.extend(retry::once());
    all
}

pub(super) fn reuse(case: &Case) -> Advice {
    let seen = timeout(case);
    let value = seen.as_ref().and_then(|(timeout, _)| below(*timeout));
    let longest = case.idle.map(|idle| above(idle.max));
    let after = seen.as_ref().map_or_else(String::new, |(_, text)| format!(" after {text}"));
    let happens = match (case.role, case.direction) {
        (Role::Client, Direction::Received) => {
            format!(
                "The peer closes quiet connections{after}, and this host sent its next request on one of them."
            )
        }
        (Role::Server, Direction::Sent) => {
            format!(
                "This host closes quiet connections{after}, and the client sent its next request on one of them."
            )
        }
        (Role::Server, Direction::Received) => {
            format!(
                "The client closes quiet connections{after}, and this host still sent data on one of them, late or unasked."
            )
        }
        (Role::Client, Direction::Sent) => {
            format!(
                "This host, as client, closes quiet connections{after}, and the server still sent data on one of them, late or unasked."
            )
        }
    };
    let change = match (case.role, case.direction, value) {
        (Role::Client, Direction::Received, Some(value)) => {
            format!("The client must give up first: let the pool on this host drop a connection after {value} s of quiet, {} below that.", margin(seen.as_ref(), value))
        }
        (Role::Server, Direction::Sent, Some(value)) => {
            format!("The client must give up first: let its pool drop a connection after {value} s of quiet, {} below that.", margin(seen.as_ref(), value))
        }
        (Role::Client, Direction::Received, None) | (Role::Server, Direction::Sent, None) => {
            format!("The client must give up first, {MARGIN} s before the server; {}.", unseen(case, seen.is_some()))
        }
        (Role::Server, Direction::Received, _) | (Role::Client, Direction::Sent, _) => {
            "The side that sends unasked must know how long the other one waits: send a ping more often than that, or let the client wait longer.".to_owned()
        }
    };
    let or_else = longest.map_or_else(String::new, |longest| {
        let max = case.idle.map(|idle| seconds(idle.max)).unwrap_or_default();
        let closer = match (case.role, case.direction) {
            (Role::Client, Direction::Received) => "the server",
            (Role::Server, Direction::Received) => "the client",
            (Role::Client | Role::Server, Direction::Sent) => "this host",
        };
        format!("Or let {closer} wait for {longest} s: the longest quiet before such a reset was {max}.")
    });
    let settings = match (case.role, case.direction) {
        (Role::Client, Direction::Received) | (Role::Server, Direction::Sent) => chain(value, longest),
        // Here it is the client whose time was over.
        (Role::Server, Direction::Received) | (Role::Client, Direction::Sent) => {
            keepalive::client_gives_up(longest)
        }
    };
    Advice::new([happens, change, or_else, RETRY.to_owned()], settings)
}

/// How far a value lies below the timeout.
fn margin(seen: Option<&(Duration, String)>, value: u64) -> String {
    let timeout = seen.map_or(Duration::ZERO, |(timeout, _)| *timeout);
    seconds(timeout.saturating_sub(Duration::from_secs(value)))
}

/// Why there is no value, and what to do about it.
fn unseen(case: &Case, too_short: bool) -> String {
    if too_short {
        "the timeout seen is too short for anything below it, so raise it, or keep no connections".to_owned()
    } else {
        format!(
            "its timeout was not seen yet, and `reset-monitor events --idle-closes{}` shows it when it runs out",
            case.options()
        )
    }
}

pub(super) fn late_data(case: &Case) -> Advice {
    let always =
        case.exchanges.filter(|Range { count, min, max }| *count >= LIKE_A_LIMIT && min == max && *max > 1);
    let (closer, sender) = match case.direction {
        Direction::Received => ("the peer", "this host"),
        Direction::Sent => ("this host", "the peer"),
    };
    let happens = format!(
        "{sender} was still sending when {closer} had closed the connection, and not because it was quiet: after a number of requests, or with an early answer."
    );
    let carried = match (always, case.exchanges) {
        (Some(Range { count: _, min: _, max }), _) => format!(
            "Each of these connections had carried {max} exchanges, which looks like a limit on requests per connection: let the client leave after {}, or raise the limit.",
            max - 1
        ),
        (None, Some(range)) => format!(
            "These connections had carried {} exchanges; a limit on requests per connection would end them at the same number.",
            range.text()
        ),
        (None, None) => format!(
            "How many exchanges they had carried is not known; `reset-monitor events --cause late_data{}` shows the segments of the next one.",
            case.options()
        ),
    };
    let uploads = "Large uploads should ask first (Expect: 100-continue), and a server that turns one down should read on, or answer before it closes; the client should read answers while it sends.";
    let limit = always.map(|range| range.max);
    let mut settings =
        ending::request_limits(limit.map(|max| max - 1), limit.map(|max| max.saturating_mul(2)));
    settings.extend(ending::early_answers());
    settings.extend(retry::once());
    Advice::new([capital(&happens), carried, uploads.to_owned(), RETRY.to_owned()], settings)
}

pub(super) fn abort(case: &Case) -> Advice {
    let sender = match case.direction {
        Direction::Received => "A reset came",
        Direction::Sent => "This host sent a reset",
    };
    let quiet = case.idle.map_or_else(
        || "after long quiet".to_owned(),
        |idle| format!("after {} of quiet (at least {})", seconds(idle.median), seconds(idle.min)),
    );
    let happens = format!(
        "{sender} {quiet} that nothing had asked for: load balancers and firewalls end idle flows so, in the peer's name."
    );
    Advice::new([happens, keep_alive(case), outlive(case)], path(case))
}

pub(super) fn stale(case: &Case) -> Advice {
    let quiet = case.idle.map_or_else(
        || "long quiet".to_owned(),
        |idle| format!("{} of quiet (the shortest was {})", seconds(idle.median), seconds(idle.min)),
    );
    let happens = format!(
        "The first data, or the first probe, after {quiet} met a reset, and no FIN was ever seen: a NAT, load balancer or connection-tracking table on the way had dropped the connection without a word, or the peer was replaced."
    );
    let silent = match case.conntrack {
        Some((entries, limit)) => format!(
            "This host tracks {entries} of at most {limit} connections; a full table, here or on the way, forgets connections in the same way."
        ),
        None => "Such a device sends no RST when it forgets, so nothing shows until the connection is used."
            .to_owned(),
    };
    let mut settings = path(case);
    if let Some((_, limit)) =
        case.conntrack.filter(|(entries, limit)| entries.saturating_mul(10) >= limit * 8)
    {
        settings.extend(queues::conntrack(limit));
    }
    settings.extend(retry::once());
    Advice::new([happens, silent, keep_alive(case), RETRY.to_owned()], settings)
}

/// Probes below the timeout of what is on the way.
fn keep_alive(case: &Case) -> String {
    case.idle.and_then(|idle| half(idle.min)).map_or_else(
        || format!(
            "Turn TCP keep-alives on for pooled connections, at an interval below that device's timeout: `reset-monitor events{}` shows after which quiet the resets come.",
            case.options()
        ),
        |half| format!(
            "Turn TCP keep-alives on for pooled connections, with a probe every {half} s, half the shortest quiet seen."
        ),
    )
}

/// Or not to need it.
fn outlive(case: &Case) -> String {
    case.idle.and_then(|idle| below(idle.min)).map_or_else(
        || "Or let the client's pool drop connections before that device does.".to_owned(),
        |value| {
            format!("Or let the client's pool drop connections after {value} s, before that device does.")
        },
    )
}

fn path(case: &Case) -> Vec<Setting> {
    let mut settings = keepalive::probes(case.idle.and_then(|idle| half(idle.min)));
    settings.extend(keepalive::state_on_the_way(case.idle.map(|idle| above(idle.max))));
    settings.extend(keepalive::client_gives_up(case.idle.and_then(|idle| below(idle.min))));
    settings
}

pub(super) fn middlebox(case: &Case) -> Advice {
    let ttl = case.ttl.map_or_else(
        || "The resets' TTL is not that of the peer's handshake".to_owned(),
        |(reset, baseline)| {
            format!(
                "The resets have TTL {reset}, and the peer's handshake had {baseline}, off by {}",
                reset.abs_diff(baseline)
            )
        },
    );
    let happens = format!(
        "{ttl}: a firewall, NAT or load balancer on the way probably built them in the peer's name, so do not debug the peer's code for it."
    );
    let confirm = format!(
        "Confirm with `tcpdump -nvi any '{}'` on both ends at once: a reset that arrives here and never left there was made between.",
        case.resets_in_tcpdump()
    );
    let doubt = "SYN proxies, and programs that set a TTL of their own, differ honestly.".to_owned();
    let idle = case.idle.filter(|idle| idle.min >= Duration::from_secs(1));
    let quiet = idle.map_or_else(
        || "Look for a policy that ends flows, and for a table that is full, on the devices between.".to_owned(),
        |idle| {
            let every = half(idle.min).map_or_else(String::new, |half| format!(" every {half} s"));
            format!(
                "They came after {} of quiet at least: keep the state alive with TCP keep-alives{every}, or raise the device's timeout.",
                seconds(idle.min)
            )
        },
    );
    let settings = if idle.is_some() { path(case) } else { Vec::new() };
    Advice::new([happens, confirm, quiet, doubt], settings)
}

pub(super) fn keepalive_timeout(case: &Case) -> Advice {
    let quiet =
        case.idle.map_or_else(String::new, |idle| format!(", {} after the last data", seconds(idle.median)));
    let happens = format!(
        "TCP keep-alive probes went unanswered{quiet}: the peer is gone without a FIN, or the path to it is cut."
    );
    let first = "Look whether its host lost power or network, and whether a device on the way drops idle flows without a reset."
        .to_owned();
    let sooner = "How soon that is noticed is tcp_keepalive_time + tcp_keepalive_intvl x tcp_keepalive_probes; TCP_USER_TIMEOUT does the same for data that nobody acknowledges."
        .to_owned();
    Advice::new([happens, first, sooner], keepalive::probes(None))
}

/// With a capital letter, as a sentence begins.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
