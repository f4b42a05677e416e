//! A snapshot as Prometheus metrics: names, types and help texts are here and in the submodules, and nowhere else.
//!
//! Every value is created at the scrape from one snapshot, so vanished peers leave no stale series and two scrapes
//! cannot disturb each other. Nothing here reads a clock or the kernel, except [`process`], which reads `/proc/self`.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
#[cfg(feature = "native-histograms")]
use prometheus_client::encoding::prometheus_protobuf;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;

use self::negotiate::Format;
use self::process::ProcessRow;
use crate::alerts::report::Report;
use crate::event_log::Account as Logged;
use crate::push::Account;
use crate::snapshot::{SignalRow, Snapshot};

pub mod negotiate;
pub mod process;

mod alerts;
mod classic;
mod daemon;
mod event_log;
mod family;
mod labels;
mod listening;
mod live;
mod peers;
mod ports;
mod stories;
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
    /// Version of the daemon.
    pub version: String,
    /// Release of the running kernel.
    pub kernel: String,
    /// The daemon's own process; `None` hides it.
    pub process: Option<ProcessRow>,
}

/// The text of one scrape.
pub fn encode(page: Page, format: Format) -> Result<String, fmt::Error> {
    let lines = 200
        + page.snapshot.series.len() * 10
        + page.snapshot.timeout_series.len() * 3
        + page.snapshot.open_series.len() * 2
        + page.snapshot.ports.len() * 4
        + page.snapshot.listening.series.len() * 3
        + page.snapshot.listening.overflows.as_ref().map_or(0, |overflows| overflows.series.len() * 2);
    let exemplars = match format {
        // It has none.
        Format::Classic => false,
        Format::OpenMetrics100 | Format::OpenMetrics001 => true,
    };
    let [ours, process] = registries(page, exemplars);
    let mut text = String::with_capacity(lines * LINE_BYTES);
    encode_registry(&mut text, &ours)?;
    encode_registry(&mut text, &process)?;
    match format {
        Format::Classic => Ok(classic::from_open_metrics(&text)),
        Format::OpenMetrics100 | Format::OpenMetrics001 => {
            encode_eof(&mut text)?;
            Ok(text)
        }
    }
}

/// The same in protobuf: each family with its length before it.
#[cfg(feature = "native-histograms")]
pub fn encode_protobuf(page: Page) -> Result<Vec<u8>, prometheus_protobuf::EncodeError> {
    let [ours, process] = registries(page, true);
    let mut bytes = prometheus_protobuf::encode_to_vec(&ours)?;
    bytes.append(&mut prometheus_protobuf::encode_to_vec(&process)?);
    Ok(bytes)
}

/// What is ours, and what every exporter has.
fn registries(mut page: Page, exemplars: bool) -> [Registry; 2] {
    let mut process = Registry::default();
    if let Some(row) = page.process.take() {
        process.register_collector(Box::new(row));
    }
    let mut ours = Registry::with_prefix(PREFIX);
    ours.register_collector(Box::new(Families { page, exemplars }));
    [ours, process]
}

/// A page, and whether it names events.
#[derive(Debug)]
struct Families {
    page: Page,
    exemplars: bool,
}

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Self { page, exemplars } = self;
        let (encoder, snapshot) = (&mut encoder, &page.snapshot);
        peers::encode(encoder, &snapshot.series, *exemplars)?;
        timeouts::encode(encoder, &snapshot.timeout_series)?;
        live::encode(encoder, snapshot)?;
        ports::encode(encoder, &snapshot.ports, snapshot.hooked)?;
        stories::encode(encoder, snapshot)?;
        listening::encode(encoder, &snapshot.listening)?;
        alerts::encode(encoder, &page.alerts)?;
        alerts::encode_pushed(encoder, &page.pushed)?;
        alerts::encode_exported(encoder, page.exported.as_deref())?;
        event_log::encode(encoder, page.logged.as_deref())?;
        daemon::encode(encoder, page)
    }
}
