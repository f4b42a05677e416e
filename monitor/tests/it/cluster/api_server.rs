//! An API server of three kinds of objects: lists in pages, watches from a version on, and what goes wrong in practice.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::probe::tls::server_with;

pub(super) const PODS: &str = "/api/v1/pods";
pub(super) const SERVICES: &str = "/api/v1/services";
pub(super) const SLICES: &str = "/apis/discovery.k8s.io/v1/endpointslices";

type Body = BoxBody<Bytes, std::io::Error>;
/// That a watch may be behind.
const LINES: usize = 4_096;
/// `Err` cuts the connection.
type Line = Result<Bytes, std::io::Error>;

#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) token: String,
}

#[derive(Default)]
struct State {
    version: u64,
    objects: BTreeMap<(&'static str, String), Value>,
    /// What happened: its version, the kind, the line that tells it.
    history: Vec<(u64, &'static str, Bytes)>,
    watches: Vec<(&'static str, mpsc::Sender<Line>)>,
    asked: Vec<Asked>,
    lists: usize,
    connections: usize,
    begun: usize,
    fails: bool,
    silent: bool,
    /// Changes are not told, and requests wait.
    paused: bool,
    /// Versions below are forgotten.
    oldest: u64,
}

pub(super) struct ApiServer {
    pub(super) address: String,
    /// What it is known by, in PEM; empty without encryption.
    pub(super) certificate: String,
    state: Arc<Mutex<State>>,
    /// Ends with it.
    _task: JoinSet<()>,
}

/// One for `localhost` that signs itself, in PEM, and what a server needs of it.
pub(super) fn certificate() -> (String, Arc<ServerConfig>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), server_with(&certificate, &key))
}

impl ApiServer {
    pub(super) async fn start() -> Self {
        Self::start_with(None, String::new()).await
    }

    pub(super) async fn start_encrypted() -> Self {
        let (certificate, config) = certificate();
        Self::start_with(Some(TlsAcceptor::from(config)), certificate).await
    }

    async fn start_with(tls: Option<TlsAcceptor>, certificate: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State { version: 1, ..State::default() }));
        let shared = Arc::clone(&state);
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                shared.lock().unwrap().connections += 1;
                connections.spawn(async move {
                    let Some(tls) = tls else { return serve(shared, stream).await };
                    // Who does not believe us leaves.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(shared, stream).await;
                    }
                });
            }
        });
        Self { address, certificate, state, _task: task }
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap())
    }

    pub(super) fn put(&self, kind: &'static str, object: Value) {
        self.change(|state| {
            let name = object["metadata"]["name"].as_str().unwrap().to_owned();
            let is_new = !state.objects.contains_key(&(kind, name.clone()));
            let object = state.tell(kind, if is_new { "ADDED" } else { "MODIFIED" }, object);
            state.objects.insert((kind, name), object);
        });
    }

    pub(super) fn remove(&self, kind: &'static str, name: &str) {
        self.change(|state| {
            let object = state.objects.remove(&(kind, name.to_owned())).unwrap();
            state.tell(kind, "DELETED", object);
        });
    }

    /// Whoever watches is told that the version is too old, as is who asks for what was before.
    pub(super) fn expire(&self) {
        self.change(|state| {
            state.oldest = state.version;
            state.history.clear();
            let gone = json!({"type": "ERROR", "object": status(410, "Expired")});
            for (_, watch) in state.watches.drain(..) {
                drop(watch.try_send(Ok(Bytes::from(format!("{gone}\n")))));
            }
        });
    }

    /// All watches break off in the middle.
    pub(super) fn cut(&self) {
        self.change(|state| {
            for (_, watch) in state.watches.drain(..) {
                drop(watch.try_send(Err(std::io::Error::other("cut"))));
            }
        });
    }

    /// Says this to whoever watches the kind, and ends the watch.
    pub(super) fn say(&self, kind: &str, line: &'static str) {
        self.change(|state| {
            for (_, watch) in state.watches.extract_if(.., |(of, _)| *of == kind) {
                drop(watch.try_send(Ok(Bytes::from_static(line.as_bytes()))));
            }
        });
    }

    pub(super) fn fail(&self, fails: bool) {
        self.change(|state| state.fails = fails);
    }

    pub(super) fn be_silent(&self) {
        self.change(|state| state.silent = true);
    }

    pub(super) fn pause(&self) {
        self.change(|state| state.paused = true);
    }

    pub(super) fn resume(&self) {
        self.change(|state| state.paused = false);
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.change(|state| state.asked.clone())
    }

    /// Watches that were begun, ever.
    pub(super) fn watches(&self) -> usize {
        self.change(|state| state.begun)
    }

    pub(super) fn port(&self) -> &str {
        self.address.rsplit_once(':').unwrap().1
    }

    pub(super) fn connections(&self) -> usize {
        self.change(|state| state.connections)
    }

    /// Watches that are held now.
    pub(super) fn open(&self) -> usize {
        self.change(|state| state.watches.len())
    }

    pub(super) fn lists(&self) -> usize {
        self.change(|state| state.lists)
    }
}

impl State {
    fn tell(&mut self, kind: &'static str, what: &str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        let line = Bytes::from(format!("{}\n", json!({"type": what, "object": object})));
        if !self.paused {
            self.watches.retain(|(of, watch)| *of != kind || watch.try_send(Ok(line.clone())).is_ok());
        }
        self.history.push((self.version, kind, line));
        object
    }

    fn list(&mut self, kind: &'static str, limit: usize, from: usize) -> Value {
        self.lists += usize::from(from == 0);
        let all: Vec<&Value> =
            self.objects.iter().filter(|((of, _), _)| *of == kind).map(|(_, object)| object).collect();
        let items: Vec<&Value> = all.iter().skip(from).take(limit).copied().collect();
        let next = from + items.len();
        let more = (next < all.len()).then(|| next.to_string());
        json!({
            "kind": "List", "apiVersion": "v1", "items": items,
            "metadata": {"resourceVersion": self.version.to_string(), "continue": more}
        })
    }

    fn watch(&mut self, kind: &'static str, since: u64) -> Response<Body> {
        if since < self.oldest {
            return json_response(410, &status(410, "Expired"));
        }
        let (sender, receiver) = mpsc::channel(LINES);
        for (_, _, line) in self.history.iter().filter(|(version, of, _)| *version > since && *of == kind) {
            drop(sender.try_send(Ok(line.clone())));
        }
        self.begun += 1;
        self.watches.push((kind, sender));
        let lines = stream::unfold(receiver, |mut receiver| async move {
            let line: Line = receiver.recv().await?;
            Some((line.map(Frame::data), receiver))
        });
        Response::new(BodyExt::boxed(StreamBody::new(lines)))
    }
}

async fn serve(shared: Arc<Mutex<State>>, stream: impl AsyncRead + AsyncWrite + Unpin) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
    });
    // One that is cut ends with an error.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

async fn answer(shared: &Mutex<State>, request: &Request<Incoming>) -> Response<Body> {
    let uri = request.uri();
    let token = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
    shared.lock().unwrap().asked.push(Asked { target: uri.to_string(), token: token.to_owned() });
    if shared.lock().unwrap().silent {
        std::future::pending::<()>().await;
    }
    while shared.lock().unwrap().paused {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let mut state = shared.lock().unwrap();
    if state.fails {
        return json_response(503, &status(503, "ServiceUnavailable"));
    }
    let Some(kind) = [PODS, SERVICES, SLICES].into_iter().find(|kind| *kind == uri.path()) else {
        return json_response(404, &status(404, "NotFound"));
    };
    let query = uri.query().unwrap_or_default();
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if parameter("watch") == Some("true") {
        return state.watch(kind, parameter("resourceVersion").unwrap().parse().unwrap());
    }
    let number = |name: &str, default| parameter(name).map_or(default, |value| value.parse().unwrap());
    let list = state.list(kind, number("limit", usize::MAX), number("continue", 0));
    json_response(200, &list)
}

fn status(code: u16, reason: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": reason, "reason": reason, "code": code})
}

fn json_response(code: u16, value: &Value) -> Response<Body> {
    let body = Full::from(value.to_string()).map_err(|never: Infallible| match never {});
    Response::builder().status(code).header("content-type", "application/json").body(body.boxed()).unwrap()
}
