//! An event as text for people: the cells of a table row, or one short line.

use jiff::Timestamp;

use crate::http::convert::names::named;
use crate::http::convert::{met_no_socket, reason_text, socket_address, whose_text};
use crate::terminal::table::{Cell, Column, cut};
use crate::terminal::{Medium, Style, painted, printable};
use crate::view::{EndView, EventView, IdleView, SocketView};

/// Columns of the table, with the widths that most events need: while following, the next event is not known.
pub(super) const COLUMNS: [Column; 11] = [
    Column::left("TIME"),
    Column::left("DIR").least(8),
    Column::left("PEER").least(15),
    Column::right("PORT").least(5),
    Column::left("ROLE").least(6).leave(5),
    Column::right("IDLE").least(7),
    Column::left("CAUSE").least(13),
    Column::left("REASON").least(14).leave(3),
    Column::right("IN/OUT").least(7).leave(2),
    Column::right("SEGS").least(4).leave(1),
    Column::left("OWNER").least(9).leave(4),
];

/// A terminal of so many columns has room for the year.
const WIDE: usize = 120;

/// The cells of an event's row.
pub(super) fn cells(event: &EventView, medium: Medium) -> [Cell; 11] {
    let time = time_on(event, medium);
    let socket = event.socket.as_ref();
    [
        Cell::new(time),
        Cell::new(&*event.direction),
        Cell::new(named(event.remote_name.as_ref(), address(event))),
        Cell::new(port(event).to_string()),
        Cell::new(role(event)),
        Cell::new(event.idle.as_ref().map_or_else(String::new, idle)),
        Cell::styled(cause(event), cause_style(event)),
        Cell::new(event.reason.as_ref().map_or_else(String::new, reason_text)),
        Cell::new(socket.map_or_else(String::new, bytes)),
        Cell::new(socket.map_or_else(String::new, |socket| {
            format!("{}/{}", socket.data_segments_in, socket.data_segments_out)
        })),
        Cell::new(whose_text(event)),
    ]
}

/// An event on one line: time, direction as an arrow, peer and port, role, cause, idle time, owner. What is not known is
/// `-`, so that the fields can be counted. Where the last field has our end, the peer's port is its own.
pub(crate) fn line(event: &EventView, medium: Medium) -> String {
    let arrow = match event.direction.as_str() {
        "sent" => "->",
        "received" => "<-",
        other => other,
    };
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    let remote = if met_no_socket(event) {
        socket_address(&event.remote)
    } else {
        socket_address(&EndView { addr: address(event).to_owned(), port: port(event) })
    };
    let peer = named(event.remote_name.as_ref(), &remote);
    // Painted after it is padded: escape sequences have no width.
    let cause = format!("{:<13}", printable(&cause(event)));
    let owner = or_dash(whose_text(event));
    let idle = or_dash(event.idle.as_ref().map_or_else(String::new, idle));
    let (time, role) = (time_on(event, medium), or_dash(role(event).to_owned()));
    let before = format!("{} {arrow} {:<20} {:<6} ", printable(&time), printable(&peer), printable(&role));
    let used = [&*before, &cause].iter().map(|part| part.chars().count()).sum::<usize>();
    let behind = format!(" {idle:>7} ");
    let room = medium.width.map(|width| width.saturating_sub(used + behind.chars().count()));
    let cause = painted(&cause, cause_style(event), medium.colour);
    format!("{before}{cause}{behind}{}", cut(&printable(&owner), room))
}

/// Without the year, which everybody knows, where there is little room.
fn time_on(event: &EventView, medium: Medium) -> String {
    let time = time(event);
    let is_narrow = medium.width.is_some_and(|width| width < WIDE);
    if is_narrow {
        time.split_once('-').map_or_else(|| time.clone(), |(_, rest)| rest.to_owned())
    } else {
        time
    }
}

/// UTC, as logs of several hosts are compared and as `--since` takes it; to the millisecond, as a person reads it.
pub(in crate::command) fn time(event: &EventView) -> String {
    event.time.parse::<Timestamp>().map_or_else(|_| event.time.clone(), |time| format!("{time:.3}"))
}

fn address(event: &EventView) -> &str {
    event.peer.as_ref().map_or(&event.remote.addr, |peer| &peer.peer)
}

/// The service port. Without a peer it was counted by our own.
fn port(event: &EventView) -> u16 {
    event.peer.as_ref().map_or(event.local.port, |peer| peer.port)
}

fn role(event: &EventView) -> &str {
    event.peer.as_ref().map_or("", |peer| &peer.role)
}

/// The cause, with a mark while it is provisional; for idle closes, which have none, who closed.
pub(in crate::command) fn cause(event: &EventView) -> String {
    let mark = if event.is_final { "" } else { "?" };
    match (&event.cause, event.direction.as_str()) {
        (Some(cause), _) => format!("{cause}{mark}"),
        (None, "sent") => "idle_close(local)".to_owned(),
        (None, _) => "idle_close(peer)".to_owned(),
    }
}

const fn cause_style(event: &EventView) -> Style {
    if event.cause.is_some() { Style::Yellow } else { Style::Plain }
}

fn bytes(socket: &SocketView) -> String {
    let count = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    format!("{}/{}", count(socket.bytes_in), count(socket.bytes_out))
}

/// How long it was quiet.
pub(in crate::command) fn idle(idle: &IdleView) -> String {
    let least = if idle.at_least { ">=" } else { "" };
    format!("{least}{}", duration(idle.seconds))
}

/// A time in its two largest units, as timeouts are configured: `4ms`, `59.9s`, `1m05s`, `2h07m`, `3d01h`.
fn duration(seconds: f64) -> String {
    // Rounded first: 59.96 s are a minute, and never `60.0s`.
    let tenths = std::time::Duration::try_from_secs_f64(seconds.max(0.0))
        .map_or(u128::MAX, |time| (time.as_millis() + 50) / 100);
    let (minutes, hours, days) = (tenths / 600, tenths / 36_000, tenths / 864_000);
    if days > 0 {
        format!("{days}d{:02}h", hours % 24)
    } else if hours > 0 {
        format!("{hours}h{:02}m", minutes % 60)
    } else if minutes > 0 {
        format!("{minutes}m{:02}s", tenths % 600 / 10)
    } else if tenths >= 10 {
        format!("{}.{}s", tenths / 10, tenths % 10)
    } else {
        format!("{:.0}ms", seconds * 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{duration, idle};
    use crate::view::IdleView;

    #[test]
    fn idle_times_read_as_timeouts_are_configured() {
        for (seconds, text) in [
            (0.0, "0ms"),
            (0.004, "4ms"),
            (0.25, "250ms"),
            (0.949, "949ms"),
            (0.999, "1.0s"),
            (1.0, "1.0s"),
            (59.94, "59.9s"),
            (59.996, "1m00s"),
            (65.0, "1m05s"),
            (350.2, "5m50s"),
            (3_599.99, "1h00m"),
            (7_620.0, "2h07m"),
            (263_000.0, "3d01h"),
        ] {
            assert_eq!(duration(seconds), text, "{seconds}");
        }
        assert!(!duration(f64::MAX).is_empty() && !duration(-1.0).is_empty());
        let least = IdleView { seconds: 75.0, basis: String::new(), at_least: true };
        assert_eq!(idle(&least), ">=1m15s");
    }
}
