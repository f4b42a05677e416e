//! One peer: verdict and fix, then what they rest on; below, its events. A wide terminal has both side by side.

use ratatui::text::{Line, Span};

use super::palette::Palette;
use super::{both_ends, fit};
use crate::command::events::text::{cause, idle, time};
use crate::command::explain::text::{parts, spread};
use crate::command::timeouts::{changed, side, signed, text as seconds};
use crate::command::top::histogram::{self, Mark};
use crate::command::top::picture::Level;
use crate::command::top::state::detail::{Detail, Stream};
use crate::http::convert::whose_text;
use crate::terminal::table::Align;
use crate::terminal::{percent, wrapped};
use crate::view::EventView;
use crate::view::explain::{CauseView, DiagnosisView};
use crate::view::timeouts::{SideView, TimeoutView};

/// From this width on there are two columns.
const WIDE: usize = 140;
/// Between them.
const BETWEEN: &str = " | ";
/// Longest bars of the histogram, in a narrow column and in a wide one: what marks them stands behind.
const SHORT_BAR: usize = 12;
const LONG_BAR: usize = 30;
const LONG_FROM: usize = 90;
/// From this width on an event has all its columns.
const FULL_EVENT: usize = 100;

/// The lines of the view, and how far it can be scrolled.
pub(super) fn lines(
    detail: &Detail,
    width: usize,
    height: usize,
    palette: Palette,
) -> (Vec<Line<'static>>, usize) {
    // A third for what happens, titles included.
    let below = (height / 3).max(3).min(height);
    let above = height - below;
    let (mut top, most) = if width >= WIDE {
        let left = (width - BETWEEN.len()) / 2;
        let right = width - BETWEEN.len() - left;
        let mut verdict = verdict(detail, left, palette);
        verdict.extend(settings(detail, left, palette));
        let facts = facts(detail, right, palette);
        side_by_side(&verdict, &facts, left, above, detail.scroll)
    } else {
        let mut all = verdict(detail, width, palette);
        all.push(Line::default());
        all.extend(facts(detail, width, palette));
        all.extend(settings(detail, width, palette));
        window(&all, above, detail.scroll)
    };
    top.resize(above, Line::default());
    let more = most.saturating_sub(detail.scroll);
    top.extend(events(detail, width, below, more, palette));
    (top, most)
}

/// So many lines from `scroll` on; the last one says if there are more.
fn window(all: &[Line<'static>], height: usize, scroll: usize) -> (Vec<Line<'static>>, usize) {
    let most = all.len().saturating_sub(height);
    let first = scroll.min(most);
    (all.iter().skip(first).take(height).cloned().collect(), most)
}

fn side_by_side(
    left: &[Line<'static>],
    right: &[Line<'static>],
    width: usize,
    height: usize,
    scroll: usize,
) -> (Vec<Line<'static>>, usize) {
    let (left, most_left) = window(left, height, scroll);
    let (right, most_right) = window(right, height, scroll);
    let mut rows = Vec::new();
    for place in 0..height {
        let one = left.get(place).cloned().unwrap_or_default();
        let padding = width.saturating_sub(one.width());
        let mut spans: Vec<Span<'static>> =
            one.iter().cloned().map(|span| span.patch_style(one.style)).collect();
        spans.push(Span::raw(format!("{}{BETWEEN}", " ".repeat(padding))));
        let other = right.get(place).cloned().unwrap_or_default();
        spans.extend(other.iter().cloned().map(|span| span.patch_style(other.style)));
        rows.push(Line::from(spans));
    }
    (rows, most_left.max(most_right))
}

fn title(text: &str, width: usize, palette: Palette) -> Line<'static> {
    Line::styled(fit(text, width, Align::Left).trim_end().to_owned(), palette.title())
}

fn plain(text: &str, width: usize) -> Line<'static> {
    Line::raw(fit(text, width, Align::Left).trim_end().to_owned())
}

fn paragraph(text: &str, width: usize, indent: &str) -> Vec<Line<'static>> {
    wrapped(text, width, indent, indent).iter().map(|line| plain(line, width)).collect()
}

/// Who, what is wrong, and what to change.
fn verdict(detail: &Detail, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let netns = detail.key.netns.map_or_else(String::new, |netns| format!(", network namespace {netns}"));
    let who = format!("{} ({}{netns})", detail.key, detail.key.role);
    let mut lines = vec![title(&who, width, palette)];
    let Some(diagnosis) = diagnosis(detail) else {
        let text = detail.unknown.as_deref().unwrap_or("Asking ...");
        lines.extend(paragraph(text, width, ""));
        return lines;
    };
    let level = if diagnosis.verdict.finding == "resets" { Level::Bad } else { Level::Good };
    for line in wrapped(&diagnosis.verdict.sentence, width, "", "") {
        lines.push(plain(&line, width).style(palette.level(level)));
    }
    let counts = &diagnosis.counts;
    lines.push(plain(
        &format!(
            "{} of {} closed connections reset ({}); {} exchanges ({}).",
            counts.reset,
            counts.closed,
            diagnosis.verdict.connection_ratio.map_or_else(|| "-".to_owned(), percent),
            counts.exchanges,
            diagnosis.verdict.exchange_ratio.map_or_else(|| "-".to_owned(), percent)
        ),
        width,
    ));
    if let Some(why) = &detail.unknown {
        lines.extend(paragraph(&format!("This may be old: {why}"), width, ""));
    }
    let several = diagnosis.fixes.len() > 1;
    for (number, fix) in diagnosis.fixes.iter().enumerate() {
        let of =
            if several { format!(" {} of {}", number + 1, diagnosis.fixes.len()) } else { String::new() };
        lines.push(Line::default());
        lines.push(title(&format!("Fix{of}: {}, {}", fix.cause, fix.direction), width, palette));
        lines.extend(paragraph(&fix.advice, width, "  "));
    }
    lines
}

fn diagnosis(detail: &Detail) -> Option<&DiagnosisView> {
    detail.explained.as_ref()?.diagnoses.first()
}

fn facts(detail: &Detail, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let mut lines = causes(detail, width, palette);
    lines.push(Line::default());
    lines.extend(idle_times(detail, width, palette));
    lines.push(Line::default());
    lines.extend(timeouts(detail, width, palette));
    lines
}

fn causes(detail: &Detail, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let mut lines = vec![title("Causes", width, palette)];
    let Some(diagnosis) = diagnosis(detail) else { return lines };
    for CauseView { cause, direction, count, confidence, idle, app_saw, owners, .. } in &diagnosis.evidence {
        let mut text = format!("{count:>6} {direction:<8} {cause:<17} {}", parts(confidence));
        if let Some(idle) = idle {
            text.extend(["; quiet ", &spread(*idle)]);
        }
        if !app_saw.is_empty() {
            text.extend(["; the application saw ", &parts(app_saw)]);
        }
        if let Some(owner) = owners.first() {
            text.extend(["; by ", &owner.comm, "[", &owner.pid.to_string(), "]"]);
        }
        lines.extend(wrapped_after(&text, width));
    }
    if diagnosis.evidence.is_empty() {
        lines.push(plain("  none: no reset was counted for it", width));
    }
    lines
}

/// Wrapped without losing the blanks that align its beginning.
fn wrapped_after(text: &str, width: usize) -> Vec<Line<'static>> {
    const ALIGNED: usize = 34;
    let head: String = text.chars().take(ALIGNED).collect();
    let rest: String = text.chars().skip(ALIGNED).collect();
    let lines = wrapped(&rest, width, &" ".repeat(ALIGNED), "         ");
    lines
        .iter()
        .enumerate()
        .map(|(number, line)| {
            if number > 0 {
                return plain(line, width);
            }
            let rest: String = line.chars().skip(ALIGNED).collect();
            plain(&format!("{head}{rest}"), width)
        })
        .collect()
}

fn idle_times(detail: &Detail, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let known: Vec<f64> =
        detail.events.iter().filter_map(|event| Some(event.idle.as_ref()?.seconds)).collect();
    let heading = match known.len() {
        0 => "Quiet before resets: not known of any event kept".to_owned(),
        1 => "Quiet before resets, of 1 event".to_owned(),
        known => format!("Quiet before resets, of {known} events"),
    };
    let mut lines = vec![title(&heading, width, palette)];
    let marks = detail.timeouts.as_ref().map(marks).unwrap_or_default();
    lines.extend(
        histogram::lines(known, &marks, if width < LONG_FROM { SHORT_BAR } else { LONG_BAR })
            .iter()
            .map(|line| plain(line, width)),
    );
    lines
}

/// What each side does when its time is up.
const fn gives_up(is_client: bool) -> &'static str {
    if is_client { "gives up" } else { "closes" }
}

fn marks(view: &TimeoutView) -> Vec<Mark> {
    let is_client = view.role == "client";
    let of = |who: &str, is_client, side: &SideView| -> Vec<Mark> {
        side.timeouts
            .iter()
            .map(|timeout| Mark {
                seconds: timeout.seconds,
                text: format!("{who} {} after {}", gives_up(is_client), seconds(timeout.seconds)),
            })
            .collect()
    };
    let mut marks = of("this host", is_client, &view.local);
    marks.extend(of("the peer", !is_client, &view.remote));
    marks
}

fn timeouts(detail: &Detail, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let mut lines = vec![title("Idle timeouts", width, palette)];
    let Some(view) = &detail.timeouts else {
        lines.push(plain("  not known: nobody has closed a quiet connection yet", width));
        return lines;
    };
    let known = |side_view: &SideView| {
        let text = side(side_view);
        if text.is_empty() { "not known".to_owned() } else { text }
    };
    let margin = view.margin_seconds.map_or_else(|| "not known".to_owned(), signed);
    let is_bad = view.verdict == "misaligned";
    lines.push(plain(
        &format!("  this host {:<9} {}", gives_up(view.role == "client"), known(&view.local)),
        width,
    ));
    lines.push(plain(
        &format!("  the peer  {:<9} {}", gives_up(view.role != "client"), known(&view.remote)),
        width,
    ));
    let margin = plain(&format!("  margin              {margin}: {}", view.verdict), width);
    lines.push(if is_bad { margin.style(palette.level(Level::Bad)) } else { margin });
    if let Some(change) = &view.change {
        lines.push(plain(&format!("  change              {}", changed(change)), width));
    }
    if let (Some(held), Some(idle)) = (view.held_seconds, view.idle) {
        lines.push(plain(&format!("  quiet now           {idle}, the longest for {}", seconds(held)), width));
    }
    lines
}

/// Lines to paste, never broken; what is too long is cut on the screen, and whole in `explain`.
fn settings(detail: &Detail, width: usize, palette: Palette) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    let Some(diagnosis) = diagnosis(detail) else { return lines };
    let all: Vec<_> = diagnosis.fixes.iter().flat_map(|fix| &fix.settings).collect();
    if all.is_empty() {
        return lines;
    }
    lines.push(Line::default());
    let to_paste = format!("Settings, to paste from: reset-monitor explain {}", detail.key);
    lines.push(title(&to_paste, width, palette));
    for setting in all {
        lines.extend(paragraph(
            &format!("{} ({}): {}", setting.software, setting.side, setting.place),
            width,
            "  # ",
        ));
        lines.extend(setting.setting.lines().map(|line| plain(&format!("      {line}"), width)));
    }
    lines
}

/// The newest first, as many as there is room for.
fn events(detail: &Detail, width: usize, height: usize, more: usize, palette: Palette) -> Vec<Line<'static>> {
    let state = match &detail.stream {
        Stream::Opening => "asking ...".to_owned(),
        Stream::Live => "live, the newest first".to_owned(),
        Stream::Broken(why) => format!("not live, asking again: {why}"),
    };
    let missed = if detail.missed > 0 { format!(", {} missed", detail.missed) } else { String::new() };
    let heading = format!("Events: {}{missed}; {state}", detail.events.len());
    let more = if more > 0 { format!("{more} more lines, j scrolls") } else { String::new() };
    let mut lines = vec![title(&both_ends(&heading, &more, width), width, palette)];
    lines.push(Line::raw(fit(&titles(width), width, Align::Left)));
    if detail.events.is_empty() {
        lines.push(plain("  none is kept; the next one comes here", width));
    }
    lines.extend(detail.events.iter().rev().map(|event| plain(&event_line(event, width), width)));
    lines.truncate(height);
    lines
}

fn titles(width: usize) -> String {
    columns(["TIME (UTC)", "DIR", "CAUSE", "IDLE", "SURE", "APP SAW", "WHOSE"], width)
}

fn event_line(event: &EventView, width: usize) -> String {
    let time = time(event);
    let time = time.split_once('T').map_or(time.as_str(), |(_, clock)| clock.trim_end_matches('Z'));
    let or_dash = |text: String| if text.is_empty() { "-".to_owned() } else { text };
    columns(
        [
            time,
            &event.direction,
            &cause(event),
            &or_dash(event.idle.as_ref().map_or_else(String::new, idle)),
            event.confidence.as_deref().unwrap_or("-"),
            event.app_saw.as_deref().unwrap_or("-"),
            &or_dash(whose_text(event)),
        ],
        width,
    )
}

fn columns([time, direction, cause, idle, sure, saw, whose]: [&str; 7], width: usize) -> String {
    let short = format!("  {time:<12} {direction:<8} {cause:<18} {idle:>8}");
    if width < FULL_EVENT {
        return format!("{short} {whose}");
    }
    format!("{short} {sure:<8} {saw:<12} {whose}")
}
