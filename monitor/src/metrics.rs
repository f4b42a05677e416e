//! A snapshot as Prometheus metrics: names, types and help texts are here and in the submodules, and nowhere else.
//!
//! Every value is created at the scrape from one snapshot, so vanished peers leave no stale series and two scrapes
//! cannot disturb each other. Nothing here reads a clock or the kernel, except [`process`], which reads `/proc/self`.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "native-histograms")]
use prometheus_client::encoding::prometheus_protobuf::EncodeError;

use self::family::Output;
use self::negotiate::Format;
use self::process::ProcessRow;
use self::text::{Dialect, Text};
use crate::alerts::report::Report;
use crate::event_log::Account as Logged;
use crate::names;
use crate::push::Account;
use crate::snapshot::{SignalRow, Snapshot};

pub mod negotiate;
pub mod process;

mod alerts;
mod daemon;
mod event_log;
mod family;
mod labels;
mod listening;
mod live;
mod peers;
mod ports;
#[cfg(feature = "native-histograms")]
mod protobuf;
mod stories;
mod text;
mod timeouts;

/// First part of every name that is ours.
const PREFIX: &str = "reset_monitor";
/// Usual length of a line in bytes, to allocate the text once.
const LINE_BYTES: usize = 110;

/// Everything that one scrape shows.
#[derive(Clone, Debug)]
pub struct Page {
    /// The counts.
    pub snapshot: Arc<Snapshot>,
    /// How each signal is served.
    pub signals: Arc<[SignalRow]>,
    /// Alerts, as of their last evaluation.
    pub alerts: Arc<Report>,
    /// What was told to each Alertmanager.
    pub pushed: Arc<[Arc<Account>]>,
    /// What was sent to a receiver of OTLP, if there is one.
    pub exported: Option<Arc<Account>>,
    /// What was written to the event log, if there is one.
    pub logged: Option<Arc<Logged>>,
    /// What is known of a cluster's names, if it is asked.
    pub names: Option<names::Fullness>,
    /// Version of the daemon.
    pub version: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// The daemon's own process; `None` hides it.
    pub process: Option<ProcessRow>,
}

/// The text of one scrape.
pub fn encode(page: &Page, format: Format) -> Result<String, fmt::Error> {
    let lines = 200
        + page.snapshot.series.len() * 10
        + page.snapshot.timeout_series.len() * 3
        + page.snapshot.open_series.len() * 2
        + page.snapshot.ports.len() * 4
        + page.snapshot.listening.series.len() * 3
        + page.snapshot.listening.overflows.as_ref().map_or(0, |overflows| overflows.series.len() * 2);
    let dialect = match format {
        Format::Classic => Dialect::Classic,
        Format::OpenMetrics100 | Format::OpenMetrics001 => Dialect::Open,
    };
    let mut text = Text::new(dialect, PREFIX, lines * LINE_BYTES);
    // 0.0.4 has no exemplars.
    families(page, dialect == Dialect::Open, &mut Output::Text(&mut text))?;
    text.without_prefix();
    process(page, &mut Output::Text(&mut text))?;
    Ok(text.finish())
}

/// The same in protobuf: each family with its length before it.
#[cfg(feature = "native-histograms")]
pub fn encode_protobuf(page: Page) -> Result<Vec<u8>, EncodeError> {
    let page = Arc::new(page);
    let of_process = Arc::clone(&page);
    let mut bytes = protobuf::encode(Some(PREFIX), move |out| families(&page, true, out))?;
    bytes.append(&mut protobuf::encode(None, move |out| process(&of_process, out))?);
    Ok(bytes)
}

/// What is ours. `exemplars` name events.
fn families(page: &Page, exemplars: bool, out: &mut Output<'_>) -> fmt::Result {
    let snapshot = &page.snapshot;
    peers::encode(out, &snapshot.series, exemplars)?;
    timeouts::encode(out, &snapshot.timeout_series)?;
    live::encode(out, snapshot)?;
    ports::encode(out, &snapshot.ports, snapshot.hooked)?;
    stories::encode(out, snapshot)?;
    listening::encode(out, &snapshot.listening)?;
    alerts::encode(out, &page.alerts)?;
    alerts::encode_pushed(out, &page.pushed)?;
    alerts::encode_exported(out, page.exported.as_deref())?;
    event_log::encode(out, page.logged.as_deref())?;
    daemon::encode(out, page)
}

/// What every exporter has.
fn process(page: &Page, out: &mut Output<'_>) -> fmt::Result {
    page.process.as_ref().map_or(Ok(()), |row| row.encode(out))
}
