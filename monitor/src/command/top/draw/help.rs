//! Help: keys, and what the columns mean.

use ratatui::text::Line;

use super::fit;
use super::palette::Palette;
use crate::terminal::table::Align;

/// What a key does, or a column means; an empty second part makes a heading.
const LINES: [(&str, &str); 20] = [
    ("KEYS", ""),
    ("arrows j k PgUp PgDn", "move; Home End (g G) go to the first and the last"),
    ("Enter", "all about a peer: verdict, fix, timeouts, live events"),
    ("< > or left right", "sort by another column; r turns the order round (v ^)"),
    ("/", "10.0.0.0/24, 10.0.0.5:8080, :443, client, or a part: idle"),
    ("p or space", "pause: nothing moves until it is pressed again"),
    ("q or Esc", "back, then out; Ctrl-C is out at once"),
    ("COLUMNS", ""),
    ("PEER, ROLE", "the other end; client: we connected, server: we accepted"),
    ("NEW/S", "resets in a second, between the last two answers"),
    ("RESETS, RECV, SENT", "resets since the daemon started: all, received, sent"),
    ("RATIO", "share of closed connections reset; ! if above 0.1%"),
    ("REFUSED", "connections that the peer refused; never part of the ratio"),
    ("RESET, ABORTED", "connections ended by resets; on purpose or without data"),
    ("CLOSED, EXCHANGES", "connections that ended; requests with answers, estimated"),
    ("OPEN, IDLE", "connections open now; those quiet for a second or longer"),
    ("TOP CAUSE", "the cause of most of its resets; NETNS: its namespace"),
    ("ALSO", ""),
    ("other, retired", "peers beyond the budget, and those gone for long"),
    ("reset-monitor", "explain PEER, timeouts, alerts, events -f: same as text"),
];

pub(super) fn lines(width: usize, height: usize, palette: Palette) -> Vec<Line<'static>> {
    LINES
        .into_iter()
        .take(height)
        .map(|(key, meaning)| {
            let text = fit(&format!("{key:<21}{meaning}"), width, Align::Left);
            if meaning.is_empty() { Line::styled(text, palette.title()) } else { Line::raw(text) }
        })
        .collect()
}
