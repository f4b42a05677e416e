//! Metrics over OTLP against the metrics page of the same moment, read by protoc; and receivers that are absent, slow, or do not want them.

mod said;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use monitor::http::server::{Limits, serve_within};
use monitor::metrics::encode;
use monitor::metrics::negotiate::Format;
use monitor::otlp::Exporter;
use monitor::otlp::settings::{OtlpFile, OtlpSettings};
use monitor::publish::{self, Publisher};
use monitor::push::Account;
use monitor::push::settings::{Address, Auth};
use monitor::snapshot::Snapshot;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceResponse,
};
use prost::Message as _;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use self::said::{Attributes, list, metrics, number, points, translated, word};
use crate::exposition::{page, samples};
use crate::support::{hooked_snapshot, signals, snapshot};

/// Longer than any test runs.
const NEVER: Duration = Duration::from_hours(1);
/// So short that waiting for it costs nothing.
const SOON: Duration = Duration::from_millis(20);

/// What it answers: status, `Retry-After`, body.
type Answer = (StatusCode, Option<&'static str>, Vec<u8>);

/// What came: headers and body.
type Post = (HeaderMap, Bytes);

#[derive(Clone)]
struct Desk {
    posts: mpsc::Sender<Post>,
    /// One by one; then 200.
    answers: Arc<Mutex<VecDeque<Answer>>>,
    is_asleep: bool,
}

/// A receiver in the background of a test.
struct Receiver {
    address: SocketAddr,
    posts: mpsc::Receiver<Post>,
    _stop: watch::Sender<bool>,
    _task: JoinSet<()>,
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> (StatusCode, HeaderMap, Vec<u8>) {
    // A test that has seen enough reads no more.
    drop(desk.posts.try_send((headers, body)));
    if desk.is_asleep {
        std::future::pending::<()>().await;
    }
    let next = desk.answers.lock().unwrap().pop_front();
    let (status, wait, body) = next.unwrap_or((StatusCode::OK, None, Vec::new()));
    let headers = wait.map(|wait| (header::RETRY_AFTER, wait.parse().unwrap())).into_iter().collect();
    (status, headers, body)
}

impl Receiver {
    async fn start(answers: Vec<Answer>) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers, false)
    }

    fn at(listener: TcpListener, answers: Vec<Answer>, is_asleep: bool) -> Self {
        let address = listener.local_addr().unwrap();
        let (send, posts) = mpsc::channel(64);
        let desk = Desk { posts: send, answers: Arc::new(Mutex::new(answers.into())), is_asleep };
        let router = Router::new().route("/otlp/v1/metrics", post(take)).with_state(desk);
        let (stop, stopping) = watch::channel(false);
        let limits = Limits { connections: 16, header: NEVER, write_stall: NEVER, goodbye: SOON };
        let mut task = JoinSet::new();
        task.spawn(serve_within(listener, router, stopping, limits));
        Self { address, posts, _stop: stop, _task: task }
    }
}

fn settings(address: SocketAddr) -> OtlpSettings {
    let settings = OtlpFile::default().settings(Some(&format!("http://{address}/otlp"))).unwrap().unwrap();
    OtlpSettings { interval: NEVER, timeout: NEVER, retry: [SOON; 2], ..settings }
}

/// A daemon that sends what it has.
struct Sending {
    account: Arc<Account>,
    publisher: Publisher,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
}

impl Sending {
    fn start(snapshot: Snapshot, settings: &OtlpSettings) -> Self {
        // Nobody takes requests for a fresh snapshot, so the latest one answers them.
        let (publisher, published, _) = publish::channel(Arc::new(snapshot), signals().into());
        let (exporter, account) = Exporter::new(settings, "node-7");
        let (stop, stopping) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(exporter.run(published, stopping));
        Self { account, publisher, stop, task }
    }

    async fn until(&self, sent: u64, failures: u64) {
        while (self.account.sent(), self.account.failures()) != (sent, failures) {
            tokio::task::yield_now().await;
        }
    }

    async fn end(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.task.join_next().await {
            ended.unwrap();
        }
    }
}

#[tokio::test]
async fn a_receiver_gets_the_values_of_the_metrics_page_under_the_names_of_opentelemetry() {
    for snapshot in [snapshot(), hooked_snapshot()] {
        let mut receiver = Receiver::start(Vec::new()).await;
        let sending = Sending::start(snapshot.clone(), &settings(receiver.address));
        let (headers, body) = receiver.posts.recv().await.unwrap();
        assert_eq!(headers[header::CONTENT_TYPE], "application/x-protobuf");
        let (resource, metrics) = metrics(&body);
        let resource: Vec<_> = resource.iter().map(|(key, value)| (&**key, &**value)).collect();
        assert_eq!(
            resource,
            [("host.name", "node-7"), ("service.name", "reset-monitor"), ("service.version", "0.1.0")]
        );

        let mut wanted = BTreeMap::new();
        for sample in samples(&encode(&page(snapshot), Format::Classic).unwrap()) {
            if let Some(series) = translated(&sample) {
                // A kind of reset appears with its first one; two of the page's may be one kind.
                if sample.value > 0.0 || series.0 != "system.network.tcp.resets" {
                    *wanted.entry(series).or_insert(0.0) += sample.value;
                }
            }
        }
        assert!(wanted.len() > 60, "{wanted:?}");
        assert_eq!(points(&metrics), wanted);
        sending.until(1, 0).await;
        sending.end().await;
    }
}

#[tokio::test]
async fn sums_count_from_the_start_and_say_so() {
    let mut receiver = Receiver::start(Vec::new()).await;
    let snapshot = snapshot();
    let moments = [snapshot.started, snapshot.taken].map(|moment| moment.as_nanosecond().to_string());
    let sending = Sending::start(snapshot, &settings(receiver.address));
    let (_, metrics) = metrics(&receiver.posts.recv().await.unwrap().1);
    let up_and_down = [
        "system.network.tcp.connection.open",
        "system.network.tcp.connection.idle",
        "system.network.tcp.listener.backlog",
        "system.network.tcp.listener.backlog.limit",
    ];
    for metric in &metrics {
        let name = word(metric, "name");
        for kind in ["sum", "exponential_histogram"] {
            for data in list(metric, kind) {
                assert_eq!(
                    word(data, "aggregation_temporality"),
                    "AGGREGATION_TEMPORALITY_CUMULATIVE",
                    "{name}"
                );
                let is_monotonic = word(data, "is_monotonic") == "true";
                assert_eq!(is_monotonic, kind == "sum" && !up_and_down.contains(&name), "{name}");
                for point in list(data, "data_points") {
                    assert_eq!(
                        [word(point, "start_time_unix_nano"), word(point, "time_unix_nano")],
                        [&*moments[0], &moments[1]]
                    );
                }
            }
        }
        assert!(!word(metric, "unit").is_empty() && word(metric, "description").ends_with('.'), "{name}");
    }
    sending.end().await;
}

#[tokio::test]
async fn buckets_of_idle_times_have_their_bounds() {
    let mut receiver = Receiver::start(Vec::new()).await;
    let sending = Sending::start(snapshot(), &settings(receiver.address));
    let (_, metrics) = metrics(&receiver.posts.recv().await.unwrap().1);
    let idle = metrics
        .iter()
        .find(|metric| word(metric, "name") == "system.network.tcp.reset.peer.idle.duration")
        .unwrap();
    // One reset after a minute: `exposition::details`.
    let point = &idle["exponential_histogram"][0]["data_points"][0];
    assert_eq!((number(point, "scale"), number(point, "count")), (3.0, 1.0));
    let positive = &point["positive"][0];
    let base = 2_f64.powf(2_f64.powi(-3));
    // OTLP's bucket 0 is above 1 and up to the base.
    let low = base.powf(number(positive, "offset"));
    assert!(low < 60.0 && 60.0 <= low * base, "{low}");
    sending.end().await;
}

fn status(code: u16) -> Answer {
    (StatusCode::from_u16(code).unwrap(), None, Vec::new())
}

#[tokio::test]
async fn what_a_receiver_cannot_take_now_is_sent_again_as_it_is_then() {
    for code in [429, 500, 502, 503, 504] {
        let mut receiver = Receiver::start(vec![status(code); 3]).await;
        let sending = Sending::start(snapshot(), &settings(receiver.address));
        receiver.posts.recv().await.unwrap();
        sending.publisher.snapshot(Arc::new(Snapshot { unattributed: 77, ..snapshot() }));
        sending.until(1, 3).await;
        let mut last = receiver.posts.recv().await.unwrap().1;
        while let Ok((_, body)) = receiver.posts.try_recv() {
            last = body;
        }
        let (_, metrics) = metrics(&last);
        let counter = ("reset_monitor.counter".to_owned(), "OutRsts".to_owned());
        let newest =
            points(&metrics)[&("reset_monitor.unattributed".to_owned(), Attributes::from([counter]))];
        assert!((newest - 77.0).abs() < 0.5, "{code}: {newest}");
        sending.end().await;
    }
}

#[tokio::test]
async fn what_a_receiver_refuses_or_takes_in_part_waits_for_the_next_turn() {
    let partial = ExportMetricsServiceResponse {
        partial_success: Some(ExportMetricsPartialSuccess {
            rejected_data_points: 3,
            error_message: "too old".to_owned(),
        }),
    };
    for answer in [status(400), status(404), (StatusCode::OK, None, partial.encode_to_vec())] {
        let mut receiver = Receiver::start(vec![answer.clone(); 2]).await;
        // Were it sent again at once, that would not end here.
        let sending = Sending::start(snapshot(), &settings(receiver.address));
        receiver.posts.recv().await.unwrap();
        sending.until(0, 1).await;
        sending.end().await;
        let often = OtlpSettings { interval: SOON, ..settings(receiver.address) };
        let sending = Sending::start(snapshot(), &often);
        while sending.account.sent() < 3 {
            tokio::task::yield_now().await;
        }
        assert_eq!(sending.account.failures(), 1, "{answer:?}");
        sending.end().await;
    }
}

#[tokio::test]
async fn a_receiver_that_asks_to_be_left_alone_is_and_one_that_hangs_is_given_up() {
    let mut receiver =
        Receiver::start(vec![(StatusCode::SERVICE_UNAVAILABLE, Some("3600"), Vec::new())]).await;
    let waiting = Sending::start(snapshot(), &settings(receiver.address));
    receiver.posts.recv().await.unwrap();
    waiting.until(0, 1).await;
    let hanging = Receiver::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), Vec::new(), true);
    let giving_up = Sending::start(snapshot(), &OtlpSettings { timeout: SOON, ..settings(hanging.address) });
    // Meanwhile the first one is not asked again.
    while giving_up.account.failures() < 5 {
        tokio::task::yield_now().await;
    }
    assert_eq!((waiting.account.failures(), receiver.posts.try_recv().is_err()), (1, true));
    // One that would wait for ever ends with the daemon, too.
    let for_ever = Sending::start(snapshot(), &settings(hanging.address));
    for sending in [waiting, giving_up, for_ever] {
        sending.end().await;
    }
}

#[tokio::test]
async fn one_that_was_not_there_or_comes_and_goes_gets_the_state_of_then() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sending = Sending::start(snapshot(), &OtlpSettings { interval: SOON, ..settings(address) });
    while sending.account.failures() < 2 {
        tokio::task::yield_now().await;
    }
    let flapping: Vec<Answer> =
        (0..6).map(|number| status(if number % 2 == 0 { 502 } else { 200 })).collect();
    let _receiver = Receiver::at(TcpListener::bind(address).await.unwrap(), flapping, false);
    while sending.account.sent() < 6 {
        tokio::task::yield_now().await;
    }
    assert!(sending.account.failures() >= 5);
    sending.end().await;
}

/// A file that is gone with the test.
struct Secret(std::path::PathBuf);

impl Drop for Secret {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn secret(name: &str, text: &str) -> Secret {
    let path = std::env::temp_dir().join(format!("reset-monitor-otlp-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    Secret(path)
}

#[tokio::test]
async fn headers_and_tokens_come_from_files_as_they_are_at_the_request() {
    let (headers, token) = (secret("headers", "x-scope-orgid: a\n"), secret("token", "first\n"));
    let mut receiver = Receiver::start(Vec::new()).await;
    let plain = settings(receiver.address);
    let endpoint = Address { auth: Auth::Bearer(token.0.clone()), ..plain.endpoint.clone() };
    let headers_file = Some(headers.0.clone());
    let sending =
        Sending::start(snapshot(), &OtlpSettings { endpoint, headers_file, interval: SOON, ..plain });
    let mut wanted = ("a", "Bearer first");
    for _ in 0..2 {
        let is_so = |of: &HeaderMap| of["x-scope-orgid"] == wanted.0 && of[header::AUTHORIZATION] == wanted.1;
        while !is_so(&receiver.posts.recv().await.unwrap().0) {}
        std::fs::write(&headers.0, "x-scope-orgid: b\n").unwrap();
        std::fs::write(&token.0, "second").unwrap();
        wanted = ("b", "Bearer second");
    }
    // Without its secret it is not asked at all.
    let failures = sending.account.failures();
    drop(token);
    while sending.account.failures() == failures {
        tokio::task::yield_now().await;
    }
    sending.end().await;
}

#[test]
fn every_metric_is_in_the_documentation_and_no_other() {
    let request = monitor::otlp::mapping::request(&hooked_snapshot(), "node-7").encode_to_vec();
    let (_, metrics) = metrics(&request);
    let mut sent: Vec<String> = metrics.iter().map(|metric| word(metric, "name").to_owned()).collect();
    let document = include_str!("../../../docs/otlp.md");
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let kinds = ["sum,", "up-down,", "gauge,", "exponential histogram,"];
    let mut documented: Vec<String> = rows
        .filter(|(_, rest)| kinds.iter().any(|kind| rest.starts_with(kind)))
        .map(|(name, _)| name.to_owned())
        .collect();
    sent.sort();
    documented.sort();
    assert_eq!(documented, sent);
}
