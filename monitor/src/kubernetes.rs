//! The watch of a cluster's API server: pods of this node, services and endpoint slices, into `names.rs`.
//!
//! Lists, watches, relists after 410 Gone and waits between tries are those of the crate kube. Nothing waits for it: until it has answered,
//! and whenever it does not, addresses are shown as they are and names count as stale.

mod objects;
pub mod settings;

use std::fmt::Debug;
use std::pin::pin;
use std::time::Duration;

use axum::http::Response;
use futures_util::StreamExt as _;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::client::ClientBuilder;
use kube::config::KubeConfigOptions;
use kube::config::Kubeconfig;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::utils::{Backoff, ResetTimerBackoff};
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tower::util::MapResponseLayer;

use self::objects::{Named, object_of};
use self::settings::KubernetesSettings;
use crate::names::{Kind, Names};
use crate::push::pace::{Pace, random};
use crate::terminal::{innermost, printable};

/// For so long after a watch should have ended a connection may say nothing.
const DEAD: Duration = Duration::from_secs(10);
/// So long it must work for waits to begin anew.
const WORKS: Duration = Duration::from_mins(2);
/// Between two looks for the files that say how to reach the API server.
const AGAIN: Duration = Duration::from_secs(30);

/// Watches until it is asked to end.
#[derive(Debug)]
pub struct Watcher {
    settings: KubernetesSettings,
    names: Names,
}

impl Watcher {
    /// With where names go.
    pub fn new(settings: KubernetesSettings) -> (Self, Names) {
        let names = Names::default();
        (Self { settings, names: names.clone() }, names)
    }

    /// Watches until `stop` becomes true or its sender is gone.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let all = async {
            tokio::join!(
                self.follow::<Pod>(Some(&self.settings.node)),
                self.follow::<Service>(None),
                self.follow::<EndpointSlice>(None),
            )
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            _ = all => {}
        }
    }

    /// One kind, of one node if there is one.
    async fn follow<K>(&self, node: Option<&str>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Named
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let mut log = Log { kind: K::KIND, fails: false };
        let client = loop {
            match self.client(K::KIND).await {
                Ok(client) => break client,
                Err(why) => log.failed(&why),
            }
            tokio::time::sleep(AGAIN).await;
        };
        let mut config = watcher::Config::default().timeout(self.settings.watch_seconds);
        if let Some(node) = node {
            config = config.fields(&format!("spec.nodeName={node}"));
        }
        let waits = ResetTimerBackoff::new(Waits(Pace::new(self.settings.retry)), WORKS);
        let mut events = pin!(watcher(Api::<K>::all(client), config).backoff(waits));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => {
                    log.works();
                    self.names.change(|index| match event {
                        Event::Init => index.begin(K::KIND),
                        Event::InitApply(named) | Event::Apply(named) => {
                            if let Some(object) = object_of(&named) {
                                named.put(index, &object);
                            }
                        }
                        Event::Delete(named) => {
                            if let Some(object) = object_of(&named) {
                                index.remove(&object);
                            }
                        }
                        Event::InitDone => index.end(K::KIND),
                    });
                }
                Err(error) => {
                    self.names.change(|index| index.failed(K::KIND));
                    log.failed(&innermost(&error));
                }
            }
        }
    }

    /// One that notes when the server answers: a watch that was taken up again says nothing until something changes.
    async fn client(&self, kind: Kind) -> Result<Client, String> {
        let mut config = match &self.settings.kubeconfig {
            Some(path) => {
                let read = Kubeconfig::read_from(path).map_err(|error| innermost(&error))?;
                Config::from_custom_kubeconfig(read, &KubeConfigOptions::default())
                    .await
                    .map_err(|error| innermost(&error))?
            }
            None => Config::incluster().map_err(|error| innermost(&error))?,
        };
        // It would try again several times before it says that the server fails; we wait ourselves.
        config.default_retry = false;
        // A list has no timeout of its own. A watch is ended by the server before this.
        config.read_timeout = Some(Duration::from_secs(self.settings.watch_seconds.into()) + DEAD);
        config.reset_reader_on_write = true;
        let names = self.names.clone();
        let answered = move |response: Response<_>| {
            if response.status().is_success() {
                names.change(|index| index.answered(kind));
            }
            response
        };
        let builder = ClientBuilder::try_from(config).map_err(|error| innermost(&error))?;
        Ok(builder.with_layer(&MapResponseLayer::new(answered)).build())
    }
}

/// Later and later, and not all nodes at once.
struct Waits(Pace);

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.failed(Duration::ZERO, random());
        self.0.next()
    }
}

impl Backoff for Waits {
    fn reset(&mut self) {
        self.0.worked();
    }
}

/// Says once that it began to fail, and once that it works.
#[derive(Debug)]
struct Log {
    kind: Kind,
    fails: bool,
}

impl Log {
    fn failed(&mut self, why: &str) {
        if !self.fails {
            let (kind, why) = (self.kind.name(), printable(why));
            tracing::warn!(%why, "the Kubernetes API server does not say which {kind} there are: names may be missing or old, nothing else");
        }
        self.fails = true;
    }

    fn works(&mut self) {
        if self.fails {
            tracing::info!("the Kubernetes API server says again which {} there are", self.kind.name());
        }
        self.fails = false;
    }
}
