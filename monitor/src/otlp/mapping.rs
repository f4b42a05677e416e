//! A snapshot as metrics of OpenTelemetry: names and attributes are here and in the submodules, and nowhere else. Pure.
//!
//! `docs/otlp.md` says which of them are proposed conventions, and why the others are called what they are.

mod listening;
mod peers;

use monitor_common::counters::Kind;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::metrics::v1::{Metric, ResourceMetrics, ScopeMetrics};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::message::{About, COUNTER, Span, text};
use crate::counts::StoryCounts;
use crate::snapshot::Snapshot;

const SERVICE: &str = "reset-monitor";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Everything that one request says; `host` is where it is so.
pub fn request(snapshot: &Snapshot, host: &str) -> ExportMetricsServiceRequest {
    let span = Span::of(snapshot.started, snapshot.taken);
    let metrics = peers::metrics(span, snapshot)
        .chain(listening::metrics(span, &snapshot.listening))
        .chain(own(span, snapshot))
        .collect();
    let resource = Resource {
        attributes: vec![
            text("host.name", host),
            text("service.name", SERVICE),
            text("service.version", VERSION),
        ],
        ..Resource::default()
    };
    let scope = InstrumentationScope {
        name: SERVICE.to_owned(),
        version: VERSION.to_owned(),
        ..InstrumentationScope::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![ScopeMetrics { scope: Some(scope), metrics, schema_url: String::new() }],
            schema_url: String::new(),
        }],
    }
}

/// Stories by what became of them.
type StoryMetric = (About, fn(&StoryCounts) -> u64);

const STORIES: [StoryMetric; 3] = [
    (About("reset_monitor.events.seen", "{event}", "Events that should have a story."), |counts| counts.seen),
    (
        About(
            "reset_monitor.events.lost",
            "{event}",
            "Events whose story was lost because the ring buffer was full.",
        ),
        |counts| counts.lost,
    ),
    (
        About("reset_monitor.events.suppressed", "{event}", "Events whose story a rate limit held back."),
        |counts| counts.suppressed,
    ),
];

const UNATTRIBUTED: About = About(
    "reset_monitor.unattributed",
    "1",
    "Difference between what is counted here and the kernel's counter of the same, absolute and summed over network namespaces.",
);

/// Whether the rest can be trusted.
fn own(span: Span, snapshot: &Snapshot) -> impl Iterator<Item = Metric> {
    let stories = STORIES.into_iter().filter_map(move |(about, value)| {
        let point =
            |kind: Kind| (vec![text("reset_monitor.kind", kind.name())], value(snapshot.stories.of(kind)));
        span.sum(about, COUNTER, Kind::ALL.into_iter().map(point))
    });
    let counters =
        [("OutRsts", Some(snapshot.unattributed)), ("ListenOverflows", snapshot.unattributed_overflows)];
    let points = counters.into_iter().filter_map(|(counter, value)| {
        Some((vec![text("reset_monitor.counter", counter)], approximate(value?)))
    });
    stories.chain(span.gauge(UNATTRIBUTED, points))
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53, and far below it")]
const fn approximate(count: u64) -> f64 {
    count as f64
}
