//! The page in protobuf against the page in text, read by the messages' own decoder and by a real Prometheus.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use monitor::cause::Cause;
use monitor::http::server::{Limits, serve_within};
use monitor::metrics::negotiate::Format;
use monitor::metrics::{Page, encode, encode_protobuf};
use monitor::snapshot::{IdleHistogram, Snapshot};
use prometheus_client::encoding::prometheus_protobuf::prometheus_data_model::{
    Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use prost::Message as _;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::exposition::{families, full_page, samples};
use crate::prometheus_server::Prometheus;
use crate::support::{Daemon, signals, snapshot};

/// Name and labels of a sample.
type Series = (String, BTreeMap<String, String>);

fn decoded(page: Page) -> Vec<MetricFamily> {
    let bytes = encode_protobuf(page).unwrap();
    let mut rest = bytes.as_slice();
    let mut families = Vec::new();
    while !rest.is_empty() {
        families.push(MetricFamily::decode_length_delimited(&mut rest).unwrap());
    }
    families
}

fn labels(pairs: &[LabelPair]) -> BTreeMap<String, String> {
    pairs.iter().map(|pair| (pair.name.clone(), pair.value.clone())).collect()
}

/// What the text says of a metric: a line, or the lines of a histogram.
fn lines(name: &str, metric: &Metric) -> Vec<(Series, f64)> {
    let labels = labels(&metric.label);
    let line = |suffix: &str, value| ((format!("{name}{suffix}"), labels.clone()), value);
    match (&metric.counter, &metric.gauge, &metric.histogram) {
        (Some(counter), None, None) => vec![line("", counter.value)],
        (None, Some(gauge), None) => vec![line("", gauge.value)],
        (None, None, Some(histogram)) => {
            let buckets = histogram.bucket.iter().map(|bucket| {
                let ((name, mut labels), count) = line("_bucket", number(bucket.cumulative_count));
                let bound = bucket.upper_bound;
                labels.insert(
                    "le".to_owned(),
                    if bound.is_infinite() { "+Inf".to_owned() } else { format!("{bound:.1}") },
                );
                ((name, labels), count)
            });
            let sum = line("_sum", histogram.sample_sum);
            buckets.chain([sum, line("_count", number(histogram.sample_count))]).collect()
        }
        others => panic!("{name}: {others:?}"),
    }
}

fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

#[test]
fn protobuf_has_the_families_labels_and_values_of_the_text() {
    let page = full_page();
    let proto = decoded(page.clone());
    let text = families(&page);
    let kind = |family: &MetricFamily| match MetricType::try_from(family.r#type).unwrap() {
        MetricType::Counter => "counter",
        MetricType::Gauge => "gauge",
        MetricType::Histogram => "histogram",
        other @ (MetricType::Summary | MetricType::Untyped | MetricType::GaugeHistogram) => {
            panic!("{other:?}")
        }
    };
    let described =
        |family: &MetricFamily| (family.name.clone(), kind(family).to_owned(), family.help.clone());
    assert_eq!(
        proto.iter().map(described).collect::<Vec<_>>(),
        text.iter()
            .map(|family| (family.name.clone(), family.kind.clone(), family.help.clone()))
            .collect::<Vec<_>>()
    );
    // Lines of a histogram come in another order.
    let (mut from_proto, mut from_text) = (BTreeMap::new(), BTreeMap::new());
    for (series, value) in
        proto.iter().flat_map(|family| family.metric.iter().flat_map(|metric| lines(&family.name, metric)))
    {
        assert_eq!(from_proto.insert(series.clone(), value), None, "{series:?} twice");
    }
    for sample in samples(&encode(&page, Format::Classic).unwrap()) {
        from_text.insert((sample.name, sample.labels), sample.value);
    }
    for (series, value) in &from_text {
        assert_eq!(from_proto.get(series), Some(value), "{series:?}");
    }
    assert_eq!(from_proto.len(), from_text.len());
}

#[test]
fn exemplars_of_openmetrics_are_there() {
    let page = full_page();
    let open = encode(&page, Format::OpenMetrics100).unwrap();
    let from_text: Vec<_> =
        open.lines().filter_map(|line| Some(line.split_once(" # ")?.1.to_owned())).collect();
    let from_proto: Vec<_> = decoded(page)
        .iter()
        .flat_map(|family| &family.metric)
        .filter_map(|metric| metric.counter.as_ref()?.exemplar.as_ref())
        .map(|exemplar| {
            let [LabelPair { name, value }] = exemplar.label.as_slice() else { panic!("{exemplar:?}") };
            format!("{{{name}=\"{value}\"}} {}", exemplar.value)
        })
        .collect();
    assert!(from_text.len() > 1);
    let plain = |text: &String| text.replace(".0", "");
    assert_eq!(
        from_proto.iter().map(plain).collect::<Vec<_>>(),
        from_text.iter().map(plain).collect::<Vec<_>>()
    );
}

/// The native buckets as bounds with their own counts.
fn native(histogram: &Histogram) -> Vec<([f64; 2], u64)> {
    let step = 2_f64.powf(2_f64.powi(-histogram.schema));
    let (mut index, mut count, mut buckets) = (0, 0, Vec::new());
    let mut deltas = histogram.positive_delta.iter();
    for span in &histogram.positive_span {
        index += span.offset;
        for delta in deltas.by_ref().take(span.length as usize) {
            count += delta;
            buckets.push(([step.powi(index - 1), step.powi(index)], u64::try_from(count).unwrap()));
            index += 1;
        }
    }
    assert_eq!(deltas.next(), None);
    buckets
}

#[test]
fn native_buckets_hold_what_was_observed_and_add_up_to_the_count() {
    let times =
        [0, 3, 999, 1_000, 4_990, 59_900, 60_004, 60_100, 350_000, 100_000_000].map(Duration::from_millis);
    let page = Page { snapshot: Arc::new(observed(&times)), ..full_page() };
    let family = decoded(page)
        .into_iter()
        .find(|family| family.name == "reset_monitor_idle_before_reset_seconds")
        .unwrap();
    let histogram = family.metric[0].histogram.as_ref().unwrap();
    assert_eq!((histogram.sample_count, histogram.zero_count), (10, 1));
    let buckets = native(histogram);
    assert_eq!(
        buckets.iter().map(|(_, count)| count).sum::<u64>() + histogram.zero_count,
        histogram.sample_count
    );
    for ([low, high], count) in buckets {
        let within =
            times.iter().map(Duration::as_secs_f64).filter(|time| low < *time && *time <= high).count();
        assert_eq!(within as u64, count, "{low} {high}");
    }
}

/// A snapshot with these times before resets that were races.
fn observed(times: &[Duration]) -> Snapshot {
    let mut idle = IdleHistogram::default();
    for time in times {
        idle.observe(*time);
    }
    Snapshot { idle: vec![(Cause::IdleReuse, idle)], ..snapshot() }
}

const NEVER: Duration = Duration::from_hours(1);

/// Whether a number is this one.
fn near(wanted: f64) -> impl Fn(f64) -> bool {
    move |value| (value - wanted).abs() < 0.001
}

#[tokio::test]
async fn prometheus_reads_the_same_from_protobuf_as_from_text_and_quantiles_from_native_histograms() {
    let seconds = |seconds: u64, times: usize| std::iter::repeat_n(Duration::from_secs(seconds), times);
    let before: Vec<_> = seconds(5, 7).chain(seconds(1, 3)).collect();
    let daemon = Daemon::with(observed(&before), signals());
    // One that is never asked for protobuf.
    let text_only = daemon.router.clone().layer(axum::middleware::map_request(
        |mut request: axum::http::Request<axum::body::Body>| async move {
            let text = "application/openmetrics-text; version=1.0.0".parse().unwrap();
            request.headers_mut().insert(axum::http::header::ACCEPT, text);
            request
        },
    ));
    let (_stop, stop) = watch::channel(false);
    let mut servers = JoinSet::new();
    let mut jobs = Vec::new();
    for (name, router) in [("protobuf", daemon.router.clone()), ("text", text_only)] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        jobs.push((name, listener.local_addr().unwrap()));
        let limits = Limits { connections: 16, header: NEVER, write_stall: NEVER, goodbye: NEVER };
        servers.spawn(serve_within(listener, router, stop.clone(), limits));
    }
    let prometheus = Prometheus::start(&jobs).await;
    let idle = "reset_monitor_idle_before_reset_seconds";
    prometheus.until(&format!("histogram_count({idle}{{job='protobuf'}})"), near(10.0)).await;
    prometheus.until(&format!("{idle}_count{{job='text'}}"), near(10.0)).await;

    // What is no histogram, of both; the process is another one at each scrape.
    let others = "__name__!~'(process|scrape|up).*|.*idle_before_reset.*'";
    let of = async |job: &str| -> BTreeMap<String, String> {
        let mut series = BTreeMap::new();
        for sample in prometheus.query(&format!("{{job='{job}',{others}}}")).await {
            let mut labels = sample["metric"].as_object().unwrap().clone();
            assert!(labels.remove("job").is_some() && labels.remove("instance").is_some());
            series.insert(Value::from(labels).to_string(), sample["value"][1].as_str().unwrap().to_owned());
        }
        series
    };
    // A scrape that fails leaves none for a moment.
    let (protobuf, text) = loop {
        let both = (of("protobuf").await, of("text").await);
        if both.0.len() > 100 && both.1.len() > 100 {
            break both;
        }
    };
    assert_eq!(protobuf, text);
    let exemplars = prometheus.exemplars("reset_monitor_resets_received_total").await;
    let of_job = |job: &str| exemplars.iter().filter(|of| of["seriesLabels"]["job"] == job).count();
    assert!(of_job("text") > 0 && of_job("protobuf") == of_job("text"), "{exemplars:?}");

    // 90 resets after a minute, 10 after 350 s.
    let after: Vec<_> = before.into_iter().chain(seconds(60, 90)).chain(seconds(350, 10)).collect();
    daemon.publisher.snapshot(Arc::new(observed(&after)));
    prometheus.until(&format!("histogram_count({idle}{{job='protobuf'}})"), near(110.0)).await;
    prometheus.until(&format!("{idle}_count{{job='text'}}"), near(110.0)).await;
    let sum: f64 = after.iter().map(Duration::as_secs_f64).sum();
    for query in [format!("histogram_sum({idle}{{job='protobuf'}})"), format!("{idle}_sum{{job='text'}}")] {
        let told = prometheus.until(&query, f64::is_finite).await;
        assert!(near(sum)(told), "{query}: {told}, not {sum}");
    }
    for (quantile, wanted) in [(0.5, 60.0), (0.99, 350.0)] {
        let query = format!("histogram_quantile({quantile}, rate({idle}{{job='protobuf'}}[1h]))");
        let told = prometheus.until(&query, f64::is_finite).await;
        assert!((told / wanted - 1.0).abs() < 0.091, "{query}: {told}, not {wanted}");
    }
}
