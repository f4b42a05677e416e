//! `/`: the page for people, rendered here, without script. It reloads itself.
//!
//! All text that comes from outside goes through [`Text`].

use std::fmt::{self, Write};

use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Html;

use super::error::ApiError;
use super::filter::{PeerFilter, PeerSort};
use super::{AppState, Settings, convert};
use crate::counts::PortCounts;
use crate::snapshot::listening::{OverflowRow, StageCounts};
use crate::snapshot::{PeerRow, SignalRow, SignalStatus, Snapshot};
use crate::terminal::{is_hostile, percent};
use crate::view::EventView;

/// Peers and ports on the page; the API has the rest.
const ROWS: usize = 20;
/// Events on the page.
const EVENTS: usize = 20;

/// A file of the page, which may be kept as long as it is asked about each time: it changes with the version.
type Asset = ([(HeaderName, HeaderValue); 2], &'static str);

/// `/assets/page.css`.
pub(super) async fn style() -> Asset {
    asset("text/css; charset=utf-8", include_str!("../../assets/page.css"))
}

/// `/assets/icon.svg`.
pub(super) async fn icon() -> Asset {
    asset("image/svg+xml", include_str!("../../assets/icon.svg"))
}

const fn asset(kind: &'static str, text: &'static str) -> Asset {
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static(kind));
    ([kind, (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))], text)
}

/// `/`.
pub(super) async fn page(State(state): State<AppState>) -> Result<Html<String>, ApiError> {
    let snapshot = state.fresh_with_peers().await;
    let events: Vec<EventView> = state
        .published
        .history_before(u64::MAX, EVENTS)
        .iter()
        .map(|told| convert::owners::resolved_view(told, state.published.owners()))
        .collect();
    let signals = state.published.signals();
    let page = Page { snapshot: &snapshot, signals: &signals, events: &events, settings: &state.settings };
    page.render().map(Html).or(Err(ApiError::Internal))
}

/// Text from outside, as HTML that shows it and does nothing else. Also fit for a quoted attribute.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => out.write_str("&amp;"),
            '<' => out.write_str("&lt;"),
            '>' => out.write_str("&gt;"),
            '"' => out.write_str("&quot;"),
            '\'' => out.write_str("&#39;"),
            hostile if is_hostile(hostile) => out.write_char('\u{fffd}'),
            plain => out.write_char(plain),
        })
    }
}

/// What the page shows.
struct Page<'a> {
    snapshot: &'a Snapshot,
    signals: &'a [SignalRow],
    /// Newest first.
    events: &'a [EventView],
    settings: &'a Settings,
}

impl Page<'_> {
    fn render(&self) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(32 * 1024);
        self.head(&mut out)?;
        self.health(&mut out)?;
        self.peers(&mut out)?;
        self.ports(&mut out)?;
        self.listeners(&mut out)?;
        self.events(&mut out)?;
        self.signals(&mut out)?;
        out.write_str("</main></body></html>\n")?;
        Ok(out)
    }

    fn head(&self, out: &mut String) -> fmt::Result {
        let Settings { allowed_hosts: _, kernel, version } = self.settings;
        writeln!(
            out,
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width\"><meta http-equiv=\"refresh\" content=\"5\">\
             <title>reset-monitor</title><link rel=\"stylesheet\" href=\"/assets/page.css\">\
             <link rel=\"icon\" href=\"/assets/icon.svg\"></head><body>\
             <header><h1>reset-monitor</h1><p>{} on kernel {}, up {}</p>\
             <nav><a href=\"/metrics\">metrics</a> <a href=\"/api/v1/status\">status</a> \
             <a href=\"/api/v1/peers\">peers</a> <a href=\"/api/v1/listeners\">listeners</a> \
             <a href=\"/api/v1/events\">events</a> <a href=\"/api/v1/signals\">signals</a></nav></header><main>",
            Text(version),
            Text(kernel),
            Text(&duration(self.snapshot.uptime_seconds)),
        )
    }

    fn health(&self, out: &mut String) -> fmt::Result {
        let count = |status| self.signals.iter().filter(|row| row.status == status).count();
        let (works, degraded, missing) =
            (count(SignalStatus::Works), count(SignalStatus::Degraded), count(SignalStatus::Missing));
        let lost: u64 = self.snapshot.stories.kinds.iter().map(|kind| kind.lost).sum();
        // Red is for what is wrong now, not for what this kernel cannot show.
        let overflows = self.snapshot.unattributed_overflows;
        let class = if lost > 0 || self.snapshot.unattributed > 0 || overflows > Some(0) {
            "bad"
        } else if missing + degraded > 0 {
            "fair"
        } else {
            "good"
        };
        writeln!(
            out,
            "<p class=\"health {class}\">Resets sent that the kernel counted differently: {}{}. Stories lost: {lost}. \
             <a href=\"#signals\">Signals</a>: {works} work, {degraded} degraded, {missing} missing.</p>",
            self.snapshot.unattributed,
            overflows.map_or_else(String::new, |overflows| format!("; overflows: {overflows}")),
        )
    }

    fn signals(&self, out: &mut String) -> fmt::Result {
        let less: Vec<&SignalRow> =
            self.signals.iter().filter(|row| row.status != SignalStatus::Works).collect();
        if less.is_empty() {
            return Ok(());
        }
        out.write_str("<h2 id=\"signals\">Signals this kernel does not serve in full</h2>\n")?;
        open_table(out, &["signal", "status", "hook", "why", "what to do"])?;
        for SignalRow { signal, hook, status, why, advice } in less {
            row(out, &[signal, status.name(), hook, why, advice])?;
        }
        out.write_str("</tbody></table>\n")
    }

    fn peers(&self, out: &mut String) -> fmt::Result {
        out.write_str("<h2>Peers with the most resets</h2>\n")?;
        let with_resets = |row: &&PeerRow| {
            row.counts.resets_sent + row.counts.resets_received + row.counts.refused_received > 0
        };
        let order = PeerFilter { sort: PeerSort::Resets, ..PeerFilter::default() };
        let rows: Vec<&PeerRow> = order
            .select(self.snapshot.peers.as_deref().unwrap_or_default())
            .into_iter()
            .filter(with_resets)
            .take(ROWS)
            .collect();
        if rows.is_empty() {
            return writeln!(
                out,
                "<p class=\"empty\">No reset on any connection yet, of {} opened. To see one, refuse yourself a connection: \
                 <code>curl http://127.0.0.1:1</code></p>",
                self.snapshot.total.opened
            );
        }
        open_table(
            out,
            &[
                "peer",
                "port",
                "role",
                "resets received",
                "sent",
                "refused",
                "connections closed",
                "reset",
                "ratio",
                "main cause",
            ],
        )?;
        for peer in rows.into_iter().map(convert::peer_view) {
            let counts = peer.counts;
            row(
                out,
                &[
                    &peer.peer,
                    &peer.port.map_or_else(String::new, |port| port.to_string()),
                    &peer.role,
                    &counts.resets_received.to_string(),
                    &counts.resets_sent.to_string(),
                    &counts.refused_received.to_string(),
                    &counts.closed.to_string(),
                    &counts.reset.to_string(),
                    &peer.reset_ratio.map_or_else(String::new, percent),
                    convert::main_cause(&peer).unwrap_or_default(),
                ],
            )?;
        }
        out.write_str("</tbody></table>\n")
    }

    fn ports(&self, out: &mut String) -> fmt::Result {
        out.write_str("<h2>Local ports with refusals, strays or rejections</h2>\n")?;
        let mut rows: Vec<&(u16, PortCounts)> =
            self.snapshot.port_rows.iter().filter(|(_, counts)| !counts.is_zero()).collect();
        rows.sort_by_key(|(_, counts)| std::cmp::Reverse(convert::port_sum(counts)));
        if rows.is_empty() {
            return out.write_str(
                "<p class=\"empty\">None: every SYN met a listener, and no segment came too late.</p>\n",
            );
        }
        let known = self.snapshot.hooked.rejections;
        open_table(out, &["port", "refused, sent", "stray, sent", "stray, received", "rejected"])?;
        for (port, counts) in rows.into_iter().take(ROWS) {
            row(
                out,
                &[
                    &port.to_string(),
                    &counts.refused_sent.to_string(),
                    &counts.stray_sent.to_string(),
                    &counts.stray_received.to_string(),
                    &if known { counts.reject_sent.to_string() } else { "unknown".to_owned() },
                ],
            )?;
        }
        out.write_str("</tbody></table>\n")
    }

    /// Nothing to show as long as no queue was full.
    fn listeners(&self, out: &mut String) -> fmt::Result {
        let Some(overflows) = self.snapshot.listening.overflows.as_ref().filter(|all| !all.rows.is_empty())
        else {
            return Ok(());
        };
        out.write_str("<h2>Listeners whose accept queue was full</h2>\n")?;
        open_table(out, &["listener", "network namespace", "at the SYN", "at the last ACK"])?;
        for OverflowRow { netns, address, counts: StageCounts { syn, ack } } in
            overflows.rows.iter().take(ROWS)
        {
            row(out, &[&address.to_string(), &netns.to_string(), &syn.to_string(), &ack.to_string()])?;
        }
        out.write_str("</tbody></table>\n")
    }

    fn events(&self, out: &mut String) -> fmt::Result {
        out.write_str("<h2>Last events</h2>\n")?;
        if self.events.is_empty() {
            return out.write_str(
                "<p class=\"empty\">None yet. Try <code>curl http://127.0.0.1:1</code>, and follow them with \
                 <code>reset-monitor events -f</code></p>\n",
            );
        }
        open_table(out, &["time", "direction", "peer", "port", "cause", "reason", "owner or listener"])?;
        for event in self.events {
            let peer = event.peer.as_ref();
            row(
                out,
                &[
                    &event.time,
                    &event.direction,
                    peer.map_or(&event.remote.addr, |peer| &peer.peer),
                    &peer.map_or(event.local.port, |peer| peer.port).to_string(),
                    event.cause.as_deref().unwrap_or("idle close"),
                    &event.reason.as_ref().map_or_else(String::new, convert::reason_text),
                    &convert::whose_text(event),
                ],
            )?;
        }
        out.write_str("</tbody></table>\n")
    }
}

fn open_table(out: &mut String, titles: &[&str]) -> fmt::Result {
    out.write_str("<table><thead><tr>")?;
    titles.iter().try_for_each(|title| write!(out, "<th>{}</th>", Text(title)))?;
    out.write_str("</tr></thead><tbody>\n")
}

fn row(out: &mut String, cells: &[&str]) -> fmt::Result {
    out.write_str("<tr>")?;
    cells.iter().try_for_each(|cell| write!(out, "<td>{}</td>", Text(cell)))?;
    out.write_str("</tr>\n")
}

/// The two largest units of a time in seconds.
fn duration(seconds: f64) -> String {
    let seconds = std::time::Duration::try_from_secs_f64(seconds).unwrap_or_default().as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days} d {} h", hours % 24),
        () if hours > 0 => format!("{hours} h {} min", minutes % 60),
        () if minutes > 0 => format!("{minutes} min {} s", seconds % 60),
        () => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Text, duration};

    #[test]
    fn hostile_text_is_shown_and_does_nothing() {
        let hostile = "<img src=x onerror=alert(1)>\"'&\u{202e}\x1b";
        let html = Text(hostile).to_string();
        assert_eq!(html, "&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}");
    }

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (seconds, text) in
            [(0.4, "0 s"), (61.0, "1 min 1 s"), (7260.0, "2 h 1 min"), (180_000.0, "2 d 2 h")]
        {
            assert_eq!(duration(seconds), text);
        }
    }
}
