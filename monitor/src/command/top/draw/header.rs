//! Three lines on the daemon: who it is, how much it counts, and whether anything is wrong, or why it does not answer.

use ratatui::style::Style;
use ratatui::text::Line;

use super::palette::Palette;
use super::{both_ends, fit};
use crate::command::peers::NOTABLE_RATIO;
use crate::command::top::peer::resets;
use crate::command::top::picture::{Level, Picture, age};
use crate::command::top::state::State;
use crate::terminal::percent;
use crate::terminal::table::Align;

pub(super) fn lines(state: &State, width: usize, palette: Palette) -> Vec<Line<'static>> {
    // Who asks several daemons has several terminals: the name first.
    let (node, about) = state.picture.as_ref().map_or_else(Default::default, |Picture { status, .. }| {
        (format!(" on {}", status.node), format!(", {} up {}", status.version, age(status.uptime_seconds)))
    });
    let mode = if state.paused { "PAUSED, p goes on".to_owned() } else { format!("every {}", every(state)) };
    let who = both_ends(&format!("reset-monitor{node} at {}{about}", state.server), &mode, width);
    let (level, verdict) = verdict(state);
    vec![
        Line::styled(who, palette.title()),
        Line::styled(fit(&counts(state), width, Align::Left), Style::new()),
        Line::styled(fit(&verdict, width, Align::Left), palette.level(level)),
    ]
}

/// The interval without needless zeros.
pub(super) fn every(state: &State) -> String {
    format!("{} s", state.interval.as_secs_f64())
}

fn counts(state: &State) -> String {
    let Some(picture) = &state.picture else { return String::new() };
    let total = &picture.status.total;
    let more =
        picture.since.map_or_else(String::new, |since| format!(" +{} ({:.1}/s)", since.resets, since.rate()));
    let now = match picture.since.map(|since| since.ratio) {
        Some(Some(ratio)) => {
            format!("{}{} now, ", if ratio > NOTABLE_RATIO { "!" } else { "" }, percent(ratio))
        }
        Some(None) => "none closed now, ".to_owned(),
        None => String::new(),
    };
    let closed = total.closed;
    #[expect(clippy::cast_precision_loss, reason = "a share is rounded anyway")]
    let all = if closed > 0 { percent(total.reset as f64 / closed as f64) } else { "-".to_owned() };
    let parts = [
        format!("resets {}{more}", resets(total)),
        format!("ratio {now}{all} all"),
        format!("alerts {}", picture.alerts.matching),
        format!("lost {}", picture.lost()),
    ];
    parts.join("  ")
}

/// Whether anything is wrong; first of all, whether that is known.
fn verdict(state: &State) -> (Level, String) {
    let why = state.trouble.as_deref();
    match (&state.picture, state.is_old()) {
        (None, _) => (Level::Fair, String::new()),
        (Some(_), Some(old)) => {
            let old = age(old.as_secs_f64());
            let why = why.map_or_else(|| "no answer yet".to_owned(), str::to_owned);
            (Level::Bad, format!("OLD, from {old} ago, asking again: {why}"))
        }
        (Some(picture), None) => {
            let (level, text) = picture.verdict(state.table.open);
            let mark = match level {
                Level::Good => "ok",
                Level::Fair => "look",
                Level::Bad => "ACT",
            };
            (level, format!("{mark}: {text}"))
        }
    }
}
