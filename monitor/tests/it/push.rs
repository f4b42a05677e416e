//! What Alertmanagers are told, over real sockets on loopback: by those that take it, refuse it, cannot, are slow or not there.
//!
//! Nothing here waits for a time: a test goes on when an instance was told something, or when a count has changed.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::routing::post;
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use monitor::alerts::report::Report;
use monitor::alerts::rules::Rules;
use monitor::alerts::{Engine, Reading};
use monitor::clock::{WallClock, monotonic};
use monitor::counts::Stories;
use monitor::http::server::serve;
use monitor::push::settings::{Address, Auth, PushFile, PushSettings};
use monitor::push::{Account, pushers};
use monitor::snapshot::listening::Listening;
use monitor::snapshot::{SignalRow, SignalStatus};
use monitor::view::push::PostedAlertView;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::probe::tls::server_with;
use crate::wait::until;

/// Longer than any test runs.
const NEVER: Duration = Duration::from_hours(1);
/// So short that waiting for it costs nothing.
const SOON: Duration = Duration::from_millis(5);

/// A request: who it says it is, and what it tells.
type Post = (Option<String>, Vec<PostedAlertView>);

/// What an instance does with requests.
#[derive(Clone)]
struct Desk {
    posts: mpsc::Sender<Post>,
    /// What to answer, one by one; then 200.
    answers: Arc<Mutex<VecDeque<StatusCode>>>,
    /// Never answers at all.
    is_asleep: bool,
}

/// An instance in the background of a test.
struct Alertmanager {
    address: SocketAddr,
    posts: mpsc::Receiver<Post>,
    _stop: watch::Sender<bool>,
    _task: JoinSet<()>,
}

async fn take(State(desk): State<Desk>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let who = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(headers[header::CONTENT_TYPE], "application/json");
    // A test that has seen enough reads no more.
    drop(desk.posts.try_send((who, serde_json::from_slice(&body).unwrap())));
    if desk.is_asleep {
        std::future::pending::<()>().await;
    }
    desk.answers.lock().unwrap().pop_front().unwrap_or(StatusCode::OK)
}

impl Alertmanager {
    async fn start(answers: &[StatusCode], is_asleep: bool) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers, is_asleep)
    }

    fn at(listener: TcpListener, answers: &[StatusCode], is_asleep: bool) -> Self {
        let address = listener.local_addr().unwrap();
        let (send, posts) = mpsc::channel(64);
        let answers = Arc::new(Mutex::new(answers.iter().copied().collect()));
        let desk = Desk { posts: send, answers, is_asleep };
        let router = Router::new().route("/api/v2/alerts", post(take)).with_state(desk);
        let (stop, stopping) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(serve(listener, router, stopping));
        Self { address, posts, _stop: stop, _task: task }
    }

    /// The next request, as the names of signals and whether each is over.
    async fn next(&mut self) -> Vec<(String, bool)> {
        let (_, alerts) = self.posts.recv().await.unwrap();
        let is_over =
            |alert: &PostedAlertView| alert.ends_at.parse::<Timestamp>().unwrap() <= monitor::clock::now();
        alerts.iter().map(|alert| (alert.labels["signal"].clone(), is_over(alert))).collect()
    }
}

/// A daemon that tells instances about signals.
struct Telling {
    reports: watch::Sender<Arc<Report>>,
    accounts: Vec<Arc<Account>>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    engine: Engine,
    started: Duration,
    evaluations: u64,
}

impl Telling {
    fn start(settings: &PushSettings) -> Self {
        let (reports, _) = watch::channel(Arc::default());
        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let (pushers, accounts): (Vec<_>, Vec<_>) = pushers(settings, "node-7").into_iter().unzip();
        for pusher in pushers {
            tasks.spawn(pusher.run(reports.subscribe(), stopping.clone()));
        }
        let mut rules = Rules::default();
        for rule in &mut rules.all {
            (rule.lasting, rule.hold) = (Duration::ZERO, Duration::ZERO);
        }
        // Evaluations of a test are long over when it tells of them.
        let started = monotonic().saturating_sub(Duration::from_mins(1));
        Self { reports, accounts, stop, tasks, engine: Engine::new(rules, started), started, evaluations: 0 }
    }

    /// These signals are missing from now on, and no others.
    fn missing(&mut self, signals: &[&'static str]) {
        let row = |signal: &&'static str| SignalRow {
            signal,
            hook: "none".to_owned(),
            status: SignalStatus::Missing,
            why: String::new(),
            advice: String::new(),
        };
        let signals: Vec<SignalRow> = signals.iter().map(row).collect();
        self.evaluations += 1;
        let now = self.started + Duration::from_secs(self.evaluations);
        let reading = Reading {
            peers: std::iter::empty(),
            pairs: Vec::new(),
            listening: &Listening::default(),
            stories: &Stories::default(),
            signals: &signals,
        };
        self.engine.evaluate(reading, now);
        self.reports.send_replace(Arc::new(self.engine.report(WallClock::now())));
    }

    async fn end(mut self) {
        self.stop.send_replace(true);
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
    }
}

fn settings(addresses: &[SocketAddr]) -> PushSettings {
    let urls: Vec<String> = addresses.iter().map(|address| format!("http://{address}")).collect();
    let settings = PushFile::default().settings(&urls).unwrap();
    PushSettings { resend: NEVER, timeout: NEVER, retry: [SOON; 2], ..settings }
}

fn firing(signal: &str) -> Vec<(String, bool)> {
    vec![(signal.to_owned(), false)]
}

fn over(signal: &str) -> Vec<(String, bool)> {
    vec![(signal.to_owned(), true)]
}

#[tokio::test]
async fn every_instance_is_told_what_fires_and_what_is_over_once() {
    let mut first = Alertmanager::start(&[], false).await;
    let mut second = Alertmanager::start(&[], false).await;
    let labels = BTreeMap::from([("cluster".to_owned(), "a".to_owned())]);
    let mut telling = Telling::start(&PushSettings { labels, ..settings(&[first.address, second.address]) });
    telling.missing(&["reject"]);
    let (who, alerts) = first.posts.recv().await.unwrap();
    assert_eq!((who, alerts.len()), (None, 1));
    let expected = [
        ("alertname", "SignalMissing"),
        ("cluster", "a"),
        ("instance", "node-7"),
        ("severity", "warning"),
        ("signal", "reject"),
    ];
    let labels: Vec<_> = alerts[0].labels.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(labels, expected);
    assert_eq!(alerts[0].annotations.description, "The signal reject is missing.");
    assert_eq!(second.next().await, firing("reject"));
    // What was told is not told again; what is new is.
    telling.missing(&["reject", "conntrack"]);
    assert_eq!(first.next().await, firing("conntrack"));
    telling.missing(&["reject"]);
    assert_eq!(first.next().await, over("conntrack"));
    for wanted in [firing("conntrack"), over("conntrack")] {
        assert_eq!(second.next().await, wanted);
    }
    until(|| telling.accounts.iter().all(|account| (account.sent(), account.failures()) == (3, 0))).await;
    telling.end().await;
}

#[tokio::test]
async fn a_firing_alert_is_told_again() {
    let mut instance = Alertmanager::start(&[], false).await;
    let mut telling = Telling::start(&PushSettings { resend: SOON, ..settings(&[instance.address]) });
    telling.missing(&["reject"]);
    let mut starts = Vec::new();
    for _ in 0..5 {
        let (_, alerts) = instance.posts.recv().await.unwrap();
        assert_eq!((alerts.len(), &*alerts[0].labels["signal"]), (1, "reject"));
        starts.push(alerts[0].starts_at.clone());
    }
    starts.dedup();
    assert_eq!(starts.len(), 1, "it is the same alert each time");
    telling.end().await;
}

#[tokio::test]
async fn what_an_instance_cannot_take_is_tried_again_until_it_can() {
    for failure in
        [StatusCode::INTERNAL_SERVER_ERROR, StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS]
    {
        let mut instance = Alertmanager::start(&[failure; 3], false).await;
        let mut telling = Telling::start(&settings(&[instance.address]));
        telling.missing(&["reject"]);
        for _ in 0..4 {
            assert_eq!(instance.next().await, firing("reject"), "{failure}");
        }
        until(|| telling.accounts[0].sent() == 1).await;
        assert_eq!(telling.accounts[0].failures(), 3, "{failure}");
        telling.end().await;
    }
}

#[tokio::test]
async fn what_an_instance_refuses_is_not_repeated_at_once_and_others_are_told() {
    let mut instance = Alertmanager::start(&[StatusCode::BAD_REQUEST], false).await;
    let mut telling = Telling::start(&settings(&[instance.address]));
    telling.missing(&["reject"]);
    assert_eq!(instance.next().await, firing("reject"));
    until(|| telling.accounts[0].failures() == 1).await;
    telling.missing(&["reject", "conntrack"]);
    assert_eq!(instance.next().await, firing("conntrack"));
    until(|| telling.accounts[0].sent() == 1).await;
    telling.end().await;
}

#[tokio::test]
async fn one_that_comes_and_goes_is_told_the_state_of_now_and_each_other_at_once() {
    let flapping: Vec<StatusCode> =
        (0..6).map(|number| if number % 2 == 0 { StatusCode::BAD_GATEWAY } else { StatusCode::OK }).collect();
    let mut weak = Alertmanager::start(&flapping, false).await;
    let mut strong = Alertmanager::start(&[], false).await;
    let mut telling = Telling::start(&settings(&[weak.address, strong.address]));
    let all: [&'static str; 3] = ["reject", "conntrack", "overflow"];
    for count in 1..=3 {
        telling.missing(&all[..count]);
        assert_eq!(strong.next().await, firing(all[count - 1]));
        for _ in 0..2 {
            assert_eq!(weak.next().await, firing(all[count - 1]), "once in vain, once not");
        }
        until(|| telling.accounts[0].sent() == count as u64).await;
    }
    assert_eq!((telling.accounts[0].failures(), telling.accounts[1].failures()), (3, 0));
    telling.end().await;
}

#[tokio::test]
async fn a_slow_one_delays_nobody_and_is_given_up() {
    let asleep = Alertmanager::start(&[], true).await;
    let mut awake = Alertmanager::start(&[], false).await;
    let mut telling = Telling::start(&PushSettings { timeout: SOON, ..settings(&[asleep.address]) });
    let mut other = Telling::start(&settings(&[awake.address]));
    for telling in [&mut telling, &mut other] {
        telling.missing(&["reject"]);
    }
    assert_eq!(awake.next().await, firing("reject"));
    until(|| telling.accounts[0].failures() >= 3).await;
    assert_eq!((telling.accounts[0].sent(), other.accounts[0].failures()), (0, 0));
    // One that would wait for ever ends with the daemon, too.
    let mut waiting = Telling::start(&settings(&[asleep.address, awake.address]));
    waiting.missing(&["reject"]);
    assert_eq!(awake.next().await, firing("reject"));
    for telling in [telling, other, waiting] {
        telling.end().await;
    }
}

#[tokio::test]
async fn one_that_was_not_there_is_told_what_is_so_when_it_comes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let mut telling = Telling::start(&settings(&[address]));
    telling.missing(&["reject"]);
    until(|| telling.accounts[0].failures() >= 2).await;
    telling.missing(&["conntrack"]);
    let mut instance = Alertmanager::at(TcpListener::bind(address).await.unwrap(), &[], false);
    let told = instance.next().await;
    // Of the first one its end, since whoever was here before may have told of it.
    assert_eq!(told, [firing("conntrack"), over("reject")].concat());
    telling.end().await;
}

/// A file that is gone with the test.
struct Secret(PathBuf);

impl Drop for Secret {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn secret(name: &str, text: &str) -> Secret {
    let path = std::env::temp_dir().join(format!("reset-monitor-push-{}-{name}", std::process::id()));
    std::fs::write(&path, text).unwrap();
    Secret(path)
}

#[tokio::test]
async fn secrets_come_from_files_as_they_are_at_the_request() {
    let (token, password) = (secret("token", "first\n"), secret("password", "open sesame\n"));
    let mut instances = [Alertmanager::start(&[], false).await, Alertmanager::start(&[], false).await];
    let auths = [Auth::Bearer(token.0.clone()), Auth::Basic("ali".to_owned(), password.0.clone())];
    let plain = settings(&[instances[0].address, instances[1].address]);
    let with = |(address, auth): (&Address, Auth)| Address { auth, ..address.clone() };
    let alertmanagers = plain.alertmanagers.iter().zip(auths).map(with).collect();
    let mut telling = Telling::start(&PushSettings { alertmanagers, ..plain });
    telling.missing(&["reject"]);
    let [bearer, basic] = &mut instances;
    assert_eq!(bearer.posts.recv().await.unwrap().0.unwrap(), "Bearer first");
    assert_eq!(basic.posts.recv().await.unwrap().0.unwrap(), "Basic YWxpOm9wZW4gc2VzYW1l");
    std::fs::write(&token.0, "second").unwrap();
    until(|| telling.accounts[0].sent() == 1).await;
    telling.missing(&["conntrack", "reject"]);
    assert_eq!(bearer.posts.recv().await.unwrap().0.unwrap(), "Bearer second");
    // Without its secret it is not asked at all, and the other one is.
    let (sent, failures) = (telling.accounts[1].sent(), telling.accounts[0].failures());
    drop(token);
    telling.missing(&["conntrack", "reject", "overflow"]);
    until(|| telling.accounts[0].failures() > failures && telling.accounts[1].sent() > sent).await;
    telling.end().await;
}

#[tokio::test]
async fn over_tls_it_must_be_whom_we_believe() {
    let key = rcgen::KeyPair::generate().unwrap();
    let cert =
        rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let acceptor = TlsAcceptor::from(server_with(&cert, &key));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (posts, mut told) = mpsc::channel(64);
    let router = Router::new().route("/am/api/v2/alerts", post(take)).with_state(Desk {
        posts,
        answers: Arc::default(),
        is_asleep: false,
    });
    let mut server = JoinSet::new();
    server.spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            // Who does not believe us leaves.
            let Ok(stream) = acceptor.accept(tcp).await else { continue };
            let service = TowerToHyperService::new(router.clone());
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        }
    });

    let ca = secret("ca", &cert.pem());
    let url = format!("https://localhost:{port}/am");
    let plain = PushFile::default().settings(&[url]).unwrap();
    let believing = Address { ca_file: Some(ca.0.clone()), ..plain.alertmanagers[0].clone() };
    for (address, is_believed) in [(plain.alertmanagers[0].clone(), false), (believing, true)] {
        let settings = PushSettings { alertmanagers: vec![address], retry: [SOON; 2], ..plain.clone() };
        let mut telling = Telling::start(&settings);
        telling.missing(&["reject"]);
        if is_believed {
            assert_eq!(told.recv().await.unwrap().1.len(), 1);
            until(|| telling.accounts[0].sent() == 1).await;
        } else {
            until(|| telling.accounts[0].failures() >= 1).await;
            assert_eq!(telling.accounts[0].sent(), 0);
        }
        telling.end().await;
    }
}
