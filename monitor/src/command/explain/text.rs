//! A diagnosis as text for somebody at three in the morning: verdict, evidence, fix. No tables; settings are lines to paste.

use std::io::{self, Write};

use crate::advice::numbers::count;
use crate::advice::settings::Software;
use crate::http::convert::names::name_text;
use crate::http::convert::owners::resident_text;
use crate::terminal::{Style, painted, percent, printable, wrapped};
use crate::view::CountsView;
use crate::view::event::{BacklogView, BurstView};
use crate::view::explain::{
    CauseView, DiagnosisView, ExplainView, FixView, IdleClosesView, ListenerFactsView, RangeView,
    SettingView, SpreadView, UnseenView, VerdictView,
};
use crate::view::names::{NameView, WorkloadView};

/// Share from which on resets need action: the 0.1 % of the shipped alerts.
const NOTABLE_RATIO: f64 = 0.001;

/// How it is printed.
#[derive(Clone, Copy, Debug)]
pub struct Look<'a> {
    /// Columns.
    pub width: usize,
    /// Whether colour is allowed.
    pub colour: bool,
    /// Settings of these only; of all when there are none.
    pub software: &'a [Software],
}

impl Look<'_> {
    /// Columns that nobody reads beyond.
    pub const WIDEST: usize = 100;
    /// Columns below which wrapping makes nothing better.
    pub const NARROWEST: usize = 40;
}

/// Prints every diagnosis of an answer.
pub fn print(answer: &ExplainView, look: Look<'_>, out: &mut impl Write) -> io::Result<()> {
    for (number, diagnosis) in answer.diagnoses.iter().enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        one(answer, diagnosis, look, out)?;
    }
    Ok(())
}

fn one(
    answer: &ExplainView,
    diagnosis: &DiagnosisView,
    look: Look<'_>,
    out: &mut impl Write,
) -> io::Result<()> {
    let style = if diagnosis.verdict.finding == "resets" { Style::Red } else { Style::Bold };
    for line in wrapped(&diagnosis.verdict.sentence, look.width, "", "") {
        writeln!(out, "{}", painted(&line, style, look.colour))?;
    }
    for names in [peer_named(diagnosis), ours(diagnosis)].into_iter().flatten() {
        paragraph(&names, look, "", out)?;
    }
    paragraph(&ratios(answer, diagnosis), look, "", out)?;
    let evidence = evidence(answer, diagnosis);
    if !evidence.is_empty() {
        title("Evidence", look, out)?;
        evidence.iter().try_for_each(|line| item(line, look, out))?;
    }
    for (number, fix) in diagnosis.fixes.iter().enumerate() {
        let of = if diagnosis.fixes.len() > 1 {
            format!("Fix {} of {}: ", number + 1, diagnosis.fixes.len())
        } else {
            "Fix: ".to_owned()
        };
        title(&format!("{of}{}", fix.cause), look, out)?;
        print_fix(fix, look, out)?;
    }
    if !diagnosis.unseen.is_empty() {
        title("What this host cannot see", look, out)?;
        diagnosis.unseen.iter().map(unseen).try_for_each(|line| item(&line, look, out))?;
    }
    Ok(())
}

/// What the cluster calls the peer.
fn peer_named(diagnosis: &DiagnosisView) -> Option<String> {
    let (peer, name) = diagnosis.peer.as_ref().zip(diagnosis.name.as_ref())?;
    let NameView { namespace: _, service, pod, workload } = name;
    let pod = pod.as_ref().filter(|_| service.is_some()).map(|pod| format!("pod {pod}"));
    let workload = workload.as_ref().map(|WorkloadView { kind, name }| format!("{kind} {name}"));
    let more: Vec<_> = pod.into_iter().chain(workload).collect();
    let more = if more.is_empty() { String::new() } else { format!(" ({})", more.join(", ")) };
    Some(format!("{peer} is {}{more}.", name_text(name)))
}

/// Whose end this is, where it is not the daemon's namespace.
fn ours(diagnosis: &DiagnosisView) -> Option<String> {
    let (cgroup, netns) = diagnosis.cgroup.as_ref().zip(diagnosis.netns)?;
    Some(format!("This end is {} (network namespace {netns}).", resident_text(cgroup)?))
}

/// How much it is, against what is much.
fn ratios(answer: &ExplainView, diagnosis: &DiagnosisView) -> String {
    let DiagnosisView { verdict, counts, .. } = diagnosis;
    let VerdictView { connection_ratio, exchange_ratio, .. } = verdict;
    let CountsView { closed, reset, exchanges, .. } = counts;
    let since = format!("since {}", short(&answer.since));
    let Some(connections) = connection_ratio else {
        return format!("No connection has ended {since}.");
    };
    let asked = exchange_ratio.map_or_else(String::new, |ratio| {
        format!(", {} of about {}", percent(ratio), count(*exchanges, "exchange"))
    });
    let much =
        if exchange_ratio.unwrap_or(*connections).max(*connections) > NOTABLE_RATIO { "" } else { "not " };
    let ended = count(*closed, "connection");
    let were = if *reset == 1 { "was" } else { "were" };
    format!(
        "{reset} of {ended} that ended {since} {were} reset ({}{asked}): {much}above the 0.1 % that alerts take for too many.",
        percent(*connections)
    )
}

fn evidence(answer: &ExplainView, diagnosis: &DiagnosisView) -> Vec<String> {
    let mut lines: Vec<String> = diagnosis.evidence.iter().map(cause).collect();
    lines.extend(closes(&diagnosis.idle_closes));
    lines.extend(diagnosis.listener.as_ref().and_then(|facts| listener(diagnosis.port, facts)));
    if let Some(since) = answer.events_since.as_ref().filter(|_| !diagnosis.evidence.is_empty()) {
        lines.push(format!("Counts are complete; the rest is from the events kept, since {}.", short(since)));
    }
    lines
}

/// All that was seen of a cause, in sentences.
fn cause(seen: &CauseView) -> String {
    let mut text = format!("{}, {}: {} counted", seen.cause, seen.direction, seen.count);
    let mut also = |more: String| text.extend(["; ", more.as_str()]);
    if seen.events == 0 {
        also("no event of it is kept".to_owned());
        return text + ".";
    }
    if seen.events as u64 != seen.count {
        also(format!("{} kept", count(seen.events as u64, "event")));
    }
    if !seen.confidence.is_empty() {
        also(parts(&seen.confidence));
    }
    if let Some(idle) = seen.idle {
        also(format!("quiet before: {}", spread(idle)));
    }
    if !seen.app_saw.is_empty() {
        also(format!("the application here saw {}", parts(&seen.app_saw)));
    }
    if !seen.owners.is_empty() {
        let owners: Vec<String> = seen
            .owners
            .iter()
            .map(|owner| format!("{}[{}] {}", owner.comm, owner.pid, owner.count))
            .collect();
        also(format!("closed by {}", owners.join(", ")));
    }
    if seen.owners.is_empty() && !seen.here.is_empty() {
        also(format!("here it was {}", seen.here.join(", ")));
    }
    if !seen.exit_signals.is_empty() {
        let signals: Vec<String> =
            seen.exit_signals.iter().map(|(signal, count)| format!("signal {signal} {count}")).collect();
        let by_oom = match seen.oom_kills {
            0 => String::new(),
            kills => format!(" (the OOM killer's: {kills})"),
        };
        also(format!("died of {}{by_oom}", signals.join(", ")));
    }
    if let Some(ttl) = seen.ttl {
        also(format!(
            "TTL of resets {}, of the handshake {}: {} of {} apart",
            range(ttl.reset),
            range(ttl.baseline),
            ttl.apart,
            ttl.compared
        ));
    }
    if let Some(exchanges) = seen.exchanges {
        also(format!("exchanges carried: {}", range(exchanges)));
    }
    if let Some(unread) = seen.unread_bytes {
        also(format!("bytes unread: {}", range(unread)));
    }
    if !seen.reasons.is_empty() {
        also(format!("the kernel's reason: {}", parts(&seen.reasons)));
    }
    if seen.other_ends > 0 {
        also(format!("of {} the other end is on this host, too, and was asked", seen.other_ends));
    }
    for BurstView { id, first, last: _, connections, restart } in &seen.bursts {
        let restart = if *restart { ", a restart by the look of it" } else { "" };
        also(format!(
            "burst {id} at {}: {}{restart}",
            short(first),
            count((*connections).into(), "connection")
        ));
    }
    if let (Some(first), Some(last)) = (&seen.first, &seen.last) {
        also(if first == last {
            format!("at {}", short(first))
        } else {
            format!("from {} to {}", short(first), short(last))
        });
    }
    let examples: Vec<String> = seen.examples.iter().map(u64::to_string).collect();
    also(format!("event {}", examples.join(", ")));
    text + "."
}

fn closes(closes: &IdleClosesView) -> Vec<String> {
    let line = |who: &str, spread: SpreadView| {
        let SpreadView { count: seen, min, median, max } = spread;
        let range = if seen > 1 { format!(", {} to {}", seconds(min), seconds(max)) } else { String::new() };
        format!("{who} idle connections after {} ({seen} seen{range}).", seconds(median))
    };
    let IdleClosesView { peer, local } = *closes;
    peer.map(|spread| line("The peer closes", spread))
        .into_iter()
        .chain(local.map(|spread| line("This host closes", spread)))
        .collect()
}

fn listener(port: Option<u16>, facts: &ListenerFactsView) -> Option<String> {
    let ListenerFactsView { overflows, queue, drops } = *facts;
    let mut known = Vec::new();
    known.extend(overflows.map(|times| format!("queue full {}", count(times, "time"))));
    known.extend(
        queue.map(|BacklogView { waiting, limit }| format!("at the fullest {waiting} waiting of {limit}")),
    );
    known.extend(drops.map(|drops| count(drops, "drop")));
    let port = port?;
    (!known.is_empty()).then(|| format!("Listener on port {port}: {}.", known.join(", ")))
}

fn print_fix(fix: &FixView, look: Look<'_>, out: &mut impl Write) -> io::Result<()> {
    paragraph(&fix.advice, look, "  ", out)?;
    let wanted = |setting: &&SettingView| {
        look.software.is_empty() || look.software.iter().any(|software| software.name() == setting.software)
    };
    for side in ["client", "server", "path"] {
        let of_side: Vec<&SettingView> =
            fix.settings.iter().filter(|setting| setting.side == side).filter(wanted).collect();
        if of_side.is_empty() {
            continue;
        }
        let where_ = match side {
            "client" => "On the client's side, what applies:",
            "server" => "On the server's side, what applies:",
            _ => "On the way, or at either end, what applies:",
        };
        writeln!(out, "\n  {where_}")?;
        of_side.into_iter().try_for_each(|setting| print_setting(setting, look, out))?;
    }
    Ok(())
}

/// A setting's lines are never broken: they are there to be pasted.
fn print_setting(setting: &SettingView, look: Look<'_>, out: &mut impl Write) -> io::Result<()> {
    let SettingView { software, side: _, setting, value: _, place } = setting;
    for line in wrapped(&format!("{software}: {place}"), look.width, "  # ", "  # ") {
        writeln!(out, "{line}")?;
    }
    setting
        .lines()
        .try_for_each(|line| writeln!(out, "      {}", painted(&printable(line), Style::Bold, look.colour)))
}

fn unseen(unseen: &UnseenView) -> String {
    let UnseenView { signal, status, why, advice } = unseen;
    let why = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
    let advice = advice.as_ref().map_or_else(String::new, |advice| format!("; {advice}"));
    format!("{signal} is {status}{why}{advice}.")
}

fn title(text: &str, look: Look<'_>, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}", painted(&printable(text), Style::Bold, look.colour))
}

fn item(text: &str, look: Look<'_>, out: &mut impl Write) -> io::Result<()> {
    wrapped(text, look.width, "  - ", "    ").iter().try_for_each(|line| writeln!(out, "{line}"))
}

fn paragraph(text: &str, look: Look<'_>, indent: &str, out: &mut impl Write) -> io::Result<()> {
    wrapped(text, look.width, indent, indent).iter().try_for_each(|line| writeln!(out, "{line}"))
}

/// `31 certain, 2 likely`.
pub(in crate::command) fn parts(split: &std::collections::BTreeMap<String, usize>) -> String {
    let mut split: Vec<(&String, &usize)> = split.iter().collect();
    split.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let split: Vec<String> = split.into_iter().map(|(name, count)| format!("{name} {count}")).collect();
    split.join(", ")
}

pub(in crate::command) fn spread(spread: SpreadView) -> String {
    let SpreadView { count, min, median, max } = spread;
    if count == 1 || seconds(min) == seconds(max) {
        return seconds(median);
    }
    format!("{} to {}, half of them below {}", seconds(min), seconds(max), seconds(median))
}

fn seconds(seconds: f64) -> String {
    std::time::Duration::try_from_secs_f64(seconds.max(0.0))
        .map_or_else(|_| "forever".to_owned(), crate::advice::numbers::seconds)
}

fn range(range: RangeView) -> String {
    let RangeView { min, max } = range;
    crate::advice::numbers::range(min, max)
}

/// A time to the second: who wants more looks the event up.
fn short(time: &str) -> String {
    time.parse::<jiff::Timestamp>().map_or_else(|_| time.to_owned(), |time| format!("{time:.0}"))
}
