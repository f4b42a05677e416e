//! The event log of a real daemon: a file that turns, and a real journal.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use monitor::view::EventView;
use rustix::process::Signal;
use serde_json::Value;

use crate::api::Api;
use crate::daemon::{Daemon, Scratch};
use crate::exposition::Counters;
use crate::needs::Need;
use crate::netns::Namespace;
use crate::sockets::{Family, Place, abort, wait_for_reset};
use crate::{WithNeed, wait};

pub(crate) const TRIALS: &[WithNeed] = &[
    ("the event log has every reset once, in files of bounded size", Need::OneKernel, to_files),
    ("a real journal has every reset, and finds them by cause", Need::Journal, to_the_journal),
];

const RESETS: usize = 120;
/// With a journal of its own in a mount namespace of its own; it ends with the daemon.
const WITH_JOURNAL: &str = "mount -t tmpfs none /run
    mkdir -p /run/systemd/journal
    setpriv --pdeathsig KILL /usr/lib/systemd/systemd-journald &
    until test -S /run/systemd/journal/socket; do sleep 0.02; done
    exec \"$0\" \"$@\"";

/// Resets of connections with data, in a namespace of their own, and the port they are at.
pub(crate) fn make_resets(count: usize) -> Result<u16> {
    Namespace::create()?.enter(|| make_resets_here(count))
}

/// The same in the calling thread's namespace.
pub(crate) fn make_resets_here(count: usize) -> Result<u16> {
    let service = Place::on_loopback(Family::V4).listen()?;
    for _ in 0..count {
        let pair = service.pair()?;
        pair.exchange(1)?;
        abort(pair.client)?;
        wait_for_reset(&pair.server)?;
    }
    Ok(service.place.port)
}

/// What the API tells of a port, once all of it is final: each reset at both ends.
pub(crate) fn finals(api: &Api, port: u16, resets: usize) -> Result<BTreeMap<u64, EventView>> {
    wait::until("the final verdicts", || {
        let view = api.events(&format!("port={port}&limit=10000"))?;
        let events: BTreeMap<u64, EventView> =
            view.events.into_iter().map(|event| (event.id, event)).collect();
        let found = events.values().filter(|event| event.is_final).count();
        Ok(if found == 2 * resets { Ok(events) } else { Err(format!("{found} of {}", 2 * resets)) })
    })
}

/// What tells one event from another, and does not depend on when it was asked for.
fn essence(event: &EventView) -> (u64, &str, Option<&str>, &str, u16, bool) {
    (event.id, &event.kind, event.cause.as_deref(), &event.remote.addr, event.remote.port, event.is_final)
}

fn to_files() -> Result<()> {
    let files = Scratch::create()?;
    let log = files.file("events.jsonl")?;
    let daemon =
        Daemon::start(&["--event-log", &log, "--event-log-bytes", "65536", "--event-log-files", "900"])?;
    let port = make_resets(RESETS)?;
    let told = finals(&daemon.api, port, RESETS)?;
    let written = wait::until("every event in the log", || {
        let written: Vec<EventView> = lines(&log)
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|event: &EventView| told.contains_key(&event.id))
            .collect();
        Ok(if written.len() >= told.len() { Ok(written) } else { Err(written.len().to_string()) })
    })?;
    ensure!(written.len() == told.len(), "{} lines for {} events", written.len(), told.len());
    for event in &written {
        let same = told.get(&event.id).context("no such event")?;
        ensure!(essence(event) == essence(same), "{event:?}\n{same:?}");
    }
    let ids: Vec<u64> = written.iter().map(|event| event.id).collect();
    ensure!(ids.is_sorted(), "not in the order of ids: {ids:?}");
    let turned = format!("{log}.1");
    for file in [&log, &turned] {
        let bytes = fs::metadata(file)?.len();
        ensure!(bytes <= 65_536, "{file} has {bytes} bytes");
    }
    let counters = Counters::parse(&daemon.api.metrics()?)?;
    let [written, lost, failures] = ["events_written", "events_lost", "failures"]
        .map(|name| counters.sum(&format!("reset_monitor_event_log_{name}_total")));
    ensure!(written >= f64::from(u32::try_from(told.len())?), "{written} written by its own account");
    ensure!(lost + failures == 0.0, "{lost} lost, {failures} failures");
    daemon.stop(Signal::TERM)
}

/// Of all files, the oldest first.
fn lines(log: &str) -> Vec<String> {
    let older = (1..).map(|number| format!("{log}.{number}")).take_while(|name| Path::new(name).exists());
    let mut names: Vec<String> = older.collect();
    names.reverse();
    names.push(log.to_owned());
    let mut lines = Vec::new();
    for name in names {
        // One that has just turned has another name by now; the next try finds it.
        let text = fs::read_to_string(&name).unwrap_or_default();
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

fn to_the_journal() -> Result<()> {
    let wrapper = ["unshare", "--mount", "sh", "-ec", WITH_JOURNAL];
    let daemon = Daemon::start_by(&wrapper, &["--event-log", "journald"])?;
    let port = make_resets(5)?;
    let told = finals(&daemon.api, port, 5)?;
    // As the daemon sees it: its mount namespace is its own.
    let seen = Path::new("/proc").join(daemon.process().pid().to_string()).join("root");
    let journal = seen.join("run/log/journal").display().to_string();
    let found = wait::until("every event in the journal", || {
        let mut found = BTreeMap::new();
        for cause in ["linger_abort", "peer_abort"] {
            for entry in entries(&journal, &format!("RESET_MONITOR_CAUSE={cause}"))? {
                let event: EventView = serde_json::from_str(text(&entry, "RESET_MONITOR_EVENT")?)?;
                if told.contains_key(&event.id) {
                    found.insert(event.id, (event, entry));
                }
            }
        }
        Ok(if found.len() == told.len() {
            Ok(found)
        } else {
            Err(format!("{} of {}", found.len(), told.len()))
        })
    })?;
    for (id, (event, entry)) in &found {
        let same = told.get(id).context("no such event")?;
        ensure!(essence(event) == essence(same), "{event:?}\n{same:?}");
        ensure!(text(entry, "SYSLOG_IDENTIFIER")? == "reset-monitor", "{entry}");
        ensure!(text(entry, "RESET_MONITOR_PORT")? == port.to_string(), "{entry}");
        ensure!(text(entry, "MESSAGE")?.contains(event.cause.as_deref().unwrap_or("no cause")), "{entry}");
    }
    daemon.stop(Signal::TERM)
}

fn entries(journal: &str, matching: &str) -> Result<Vec<Value>> {
    let output =
        Command::new("journalctl").args(["--output=json", "--directory", journal, matching]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| serde_json::from_str(line).with_context(|| line.to_owned())).collect()
}

fn text<'a>(entry: &'a Value, field: &str) -> Result<&'a str> {
    entry.get(field).and_then(Value::as_str).with_context(|| format!("no {field} in {entry}"))
}
