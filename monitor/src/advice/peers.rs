//! Advice where the peer is to be looked at, and where little is known.

use monitor_common::peer::Role;

use super::numbers::count;
use super::settings::{ending, queues, retry};
use super::{Advice, Case};
use crate::event::Direction;

pub(super) fn refused(case: &Case) -> Advice {
    let port = case.port.map_or_else(|| "the port".to_owned(), |port| format!("port {port}"));
    let (happens, look) = match case.direction {
        Direction::Received => (
            format!(
                "The peer refused the connection: nothing listens on {port} there, or a firewall rejects it."
            ),
            format!(
                "Look there whether the server runs (`ss -lntp`), listens on the right address and on {port}, and whether a REJECT rule is in the way; a crashed or still starting server looks the same."
            ),
        ),
        Direction::Sent => (
            format!(
                "This host refused the connection: nothing listens on {port} at the address that was asked for."
            ),
            format!(
                "See `ss -lntp` for {port}: is the server down, bound to 127.0.0.1 only, or on another port; else somebody has a wrong address, or scans ports."
            ),
        ),
    };
    let another = "It is another bug than a reset: no connection was established, so timeouts and keep-alives have no part in it, and it is in no ratio.";
    Advice::new([happens, look, another.to_owned()], Vec::new())
}

pub(super) fn peer_overflow(case: &Case) -> Advice {
    let quiet = case.idle.map_or_else(String::new, |idle| format!(" after {} s", idle.median.as_secs()));
    let happens = match case.direction {
        Direction::Received => format!(
            "The peer never took a byte and reset{quiet}: its accept queue was probably full, so the connection existed on this side only."
        ),
        Direction::Sent => format!(
            "The other end never saw this host take a byte, and met a reset{quiet}: the accept queue was probably full."
        ),
    };
    let there = "Confirm on the server: `nstat -az TcpExtListenOverflows` grows, or `reset-monitor listeners` there shows the queue and its limit.";
    let change = "It must accept faster (workers, CPU), or have a longer backlog, which is the smaller of listen()'s and net.core.somaxconn; a client notices sooner with a timeout for the answer.";
    Advice::new([happens, there.to_owned(), change.to_owned()], queues::backlog(None))
}

pub(super) fn protocol(case: &Case) -> Advice {
    let happens = match case.direction {
        Direction::Sent => {
            "A segment broke the protocol (a wrong ACK, wrong flags, an old timestamp), and this host answered with a reset."
        }
        Direction::Received => {
            "The peer found that a segment broke the protocol (a wrong ACK, wrong flags, an old timestamp), and reset."
        }
    };
    let look = format!(
        "A NAT or load balancer that gives a port or address to somebody else too soon does so, a firewall that rewrites sequence numbers or timestamps, and a cloned or restarted host; `reset-monitor events --cause protocol{} -o json` has the kernel's reason, flags and sequence distance.",
        case.options()
    );
    let time_wait = "Turn asymmetric sequence rewriting off on such a device, and do not shorten TIME_WAIT on either end.";
    Advice::new([happens.to_owned(), look, time_wait.to_owned()], Vec::new())
}

pub(super) fn peer_abort(case: &Case) -> Advice {
    let carried = case.exchanges.map_or_else(String::new, |range| {
        format!(" (the connections had carried {} exchanges)", range.text())
    });
    let happens = match case.direction {
        Direction::Received => {
            format!(
                "The peer reset the connection in the middle of a transfer{carried}; why, only its own end knows."
            )
        }
        Direction::Sent => {
            format!("This end reset the connection in the middle of a transfer{carried}.")
        }
    };
    let usual = match case.role {
        Role::Client => {
            "A server does so when it crashes or is restarted, closes with the upload unread, or hits its own timeout: compare the times with its log."
        }
        Role::Server => {
            "A client does so when its user leaves, its own timeout is over, or it dies: compare how long answers take with its timeout."
        }
    };
    let run = "Run `reset-monitor` on the peer's host, too: its event names the process and the cause.";
    let restart = case.burst.as_ref().filter(|burst| burst.restart);
    let bursts = restart.map_or_else(String::new, |burst| {
        format!("{} at once look like a restart of it.", count(burst.connections.into(), "connection"))
    });
    let mut settings = retry::once();
    settings.extend(ending::drain());
    Advice::new([happens, usual.to_owned(), bursts, run.to_owned()], settings)
}

pub(super) fn other(case: &Case) -> Advice {
    let happens = "What this host saw of these resets fits no cause that is known here.".to_owned();
    let next = format!(
        "See `reset-monitor events --cause other{} -o json` for state, flags and the kernel's reason, and `reset-monitor check` for what this kernel does not tell.",
        case.options()
    );
    let capture = case.in_tcpdump().map_or_else(String::new, |peer| {
        format!("Then capture both directions: `tcpdump -ni any -w reset.pcap {peer}`.")
    });
    Advice::new([happens, next, capture], Vec::new())
}

pub(super) fn unclassified(case: &Case) -> Advice {
    let happens = "These resets were counted, but their stories were lost (the ring was full) or held back, so their cause is not known.".to_owned();
    let next = format!(
        "`reset_monitor_events_lost_total` says how many: raise --ring-bytes if it grows, and see `reset-monitor events -f{}` for the next ones.",
        case.options()
    );
    Advice::new([happens, next], Vec::new())
}
