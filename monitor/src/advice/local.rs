//! Advice where this host, or the host at the other end, chose or was forced to reset.

use monitor_common::peer::Role;

use super::numbers::{count, seconds};
use super::settings::{ending, queues};
use super::{Advice, Case};
use crate::event::Direction;

/// Number of SIGKILL, on every architecture.
const SIGKILL: u8 = 9;
/// Number of SIGTERM, likewise.
const SIGTERM: u8 = 15;

/// Who sent the resets, as a subject.
fn sender(case: &Case) -> String {
    match case.direction {
        Direction::Sent => case.owner(),
        Direction::Received => "the program at the peer".to_owned(),
    }
}

pub(super) fn listen_overflow(case: &Case) -> Advice {
    let often = case
        .overflows
        .map_or_else(|| "was full".to_owned(), |times| format!("was full {}", count(times, "time")));
    let fullest = case.backlog.map_or_else(String::new, |(waiting, limit)| {
        format!(" (at the fullest {waiting} waited where the limit is {limit})")
    });
    let port = case.port.map_or_else(String::new, |port| format!(" of port {port}"));
    let happens = format!(
        "The accept queue{port} {often}{fullest}: the program accepts more slowly than clients connect, and the kernel drops their handshakes."
    );
    let faster = "Accept faster first: more workers or processes, no slow work between accept() and the next, enough CPU (a throttled container accepts nothing meanwhile).";
    let doubled = case.backlog.map(|(_, limit)| u64::from(limit).max(1).saturating_mul(2));
    let room = doubled.map_or_else(
        || "Then raise the backlog: `reset-monitor listeners` shows each listener's limit.".to_owned(),
        |doubled| {
            format!("Then give bursts room: {doubled}, twice the limit, in listen(); where net.core.somaxconn is lower, raise it to that, since it caps the limit.")
        },
    );
    let abort =
        "With tcp_abort_on_overflow = 0 clients try again after a second; with 1 they see a reset at once.";
    Advice::new([happens, faster.to_owned(), room, abort.to_owned()], queues::backlog(doubled))
}

pub(super) fn netfilter_reject(case: &Case) -> Advice {
    let happens = match case.direction {
        Direction::Sent => {
            "A rule of this host's netfilter with REJECT answered with a reset, so no program saw the segment."
        }
        Direction::Received => {
            "A rule with REJECT at the other end answered with a reset, so no program there saw the segment."
        }
    };
    let port = case.port.map_or_else(|| "its port".to_owned(), |port| format!("port {port}"));
    let find = format!(
        "Find it with `nft list ruleset | grep -n 'reject with tcp reset'` and `iptables-save | grep tcp-reset`, and look for {port}: a rule without these words answers with ICMP, which is not this."
    );
    Advice::new([happens.to_owned(), find], Vec::new())
}

pub(super) fn process_exit(case: &Case) -> Advice {
    let signal = match case.exit_signal {
        Some(signal) => format!(" of signal {signal}"),
        None => String::new(),
    };
    let happens = match &case.burst {
        Some(burst) => format!(
            "A process ({}) ended{signal} with connections open: {} within {}.",
            sender(case),
            count(burst.connections.into(), "connection"),
            seconds(burst.last.duration_since(burst.first).unsigned_abs()),
        ),
        None => format!("A process ({}) ended{signal} with connections open.", sender(case)),
    };
    let killed = case.exit_signal == Some(SIGKILL);
    let why = match case.exit_signal {
        Some(SIGKILL) if case.oom_killed == Some(true) => {
            "The kernel's OOM killer did it: raise the memory limit, or use less (`journalctl -k | grep -i oom` has what used how much)."
        }
        Some(SIGKILL) if case.oom_killed == Some(false) => {
            "It was no OOM kill, so somebody sent signal 9: an orchestrator whose grace period was over, or `kill -9`."
        }
        Some(SIGKILL) => {
            "Signal 9 comes from the OOM killer (`journalctl -k | grep -i oom`: raise the memory limit or use less), or from an orchestrator whose grace period was over."
        }
        Some(SIGTERM) => "It did not handle SIGTERM, which then ends a process at once.",
        Some(_) => "Unless somebody sent it, that is a crash: see its core dump or log.",
        None => "Compare the times with deploys, restarts and OOM kills there.",
    };
    let drain = "A graceful end is: stop accepting, answer what has begun, close idle connections, exit; the grace period must be longer than that takes.";
    let clients = "Clients should retry once what is idempotent.";
    let mut settings = ending::drain();
    if killed && case.oom_killed != Some(false) || case.exit_signal.is_none() {
        settings.extend(ending::memory_limit());
    }
    Advice::new([happens, why.to_owned(), drain.to_owned(), clients.to_owned()], settings)
}

pub(super) fn admin_abort(case: &Case) -> Advice {
    let whose = match case.direction {
        Direction::Sent => "Somebody on this host",
        Direction::Received => "Somebody at the other end",
    };
    let happens =
        format!("{whose} ended the connection by `ss -K`, or by another program that uses SOCK_DESTROY.");
    let who = "Service meshes and network plugins do so when a backend goes away (Cilium, for example), and Android on a change of network: it is deliberate, so look in their logs, and expect one such burst for each change.";
    Advice::new([happens, who.to_owned(), in_ratio(case).to_owned()], Vec::new())
}

pub(super) fn memory_pressure(case: &Case) -> Advice {
    let happens = match case.direction {
        Direction::Sent => {
            "This host's kernel ended connections that no process owned any more, because there were too many of them or TCP was short of memory."
        }
        Direction::Received => {
            "The peer's kernel ended connections that no process owned any more, because there were too many of them or TCP was short of memory."
        }
    };
    let orphans = case.orphans.map_or_else(
        || "`reset-monitor listeners` and `ss -s` show how many orphans there are.".to_owned(),
        |orphans| format!("This host has {} now.", count(orphans, "orphan")),
    );
    let change = "Compare with net.ipv4.tcp_max_orphans and with `mem` in /proc/net/sockstat against net.ipv4.tcp_mem; first find who closes connections with unsent data by the thousand, then raise the limit.";
    Advice::new([happens.to_owned(), orphans, change.to_owned()], queues::memory())
}

pub(super) fn listener_closed(case: &Case) -> Advice {
    let queue = case.backlog.map_or_else(String::new, |(waiting, _)| {
        format!(", {} at the most", count(waiting.into(), "connection"))
    });
    let happens = format!(
        "A listener was closed while connections waited in its queue that nobody had accepted{queue}: {}.",
        sender(case)
    );
    let change = "Before closing it, take the instance out of the load balancer, wait until no new connections come, and accept what is left; or hand the listening socket over to the next process (systemd socket units, SO_REUSEPORT with net.ipv4.tcp_migrate_req = 1 on Linux 5.14 and newer).";
    let clients = "Nothing was processed of these, so clients may retry whatever they sent.";
    Advice::new([happens, change.to_owned(), clients.to_owned()], ending::drain())
}

pub(super) fn unread_data(case: &Case) -> Advice {
    let unread = case.unread.map_or_else(String::new, |range| format!(" ({} bytes of it)", range.text()));
    let happens = format!(
        "A connection was closed while data lay unread{unread}, by {}: TCP then sends a reset, which also throws away an answer that is still on its way.",
        sender(case)
    );
    let usual = match (case.role, case.direction) {
        (Role::Server, Direction::Sent) | (Role::Client, Direction::Received) => {
            "Usually a server answers early (413, 401, a redirect) and closes before it has read the upload."
        }
        (Role::Client, Direction::Sent) | (Role::Server, Direction::Received) => {
            "Usually a client gives up on an answer: its own timeout, a cancelled request, or an error path that does not read the body."
        }
    };
    let change = "Read the rest before closing, or shut down sending, read on for a while and then close (nginx: lingering_close); let clients send Expect: 100-continue before large uploads, and read or drain answers on error paths.";
    Advice::new([happens, usual.to_owned(), change.to_owned()], ending::early_answers())
}

pub(super) fn linger_abort(case: &Case) -> Advice {
    let happens = format!(
        "The connection was closed with SO_LINGER 0 by {}, which asks for a reset instead of a FIN: it is deliberate.",
        sender(case)
    );
    let who = "Health checks of load balancers, connection pools that throw a broken connection away, port scanners and load generators that avoid TIME_WAIT do so.";
    let change = "Change it only where the reset cuts off data, by closing without SO_LINGER.";
    Advice::new([happens, who.to_owned(), in_ratio(case).to_owned(), change.to_owned()], ending::by_fin())
}

/// Only the end that resets on purpose knows that it does, when it counts.
const fn in_ratio(case: &Case) -> &'static str {
    match case.direction {
        Direction::Sent => "These connections count as aborted here, and are in no ratio.",
        Direction::Received => {
            "Where it was sent it counts as aborted; this end cannot know that when it counts, so the ratio here may have it."
        }
    }
}
