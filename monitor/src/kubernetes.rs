//! The watch of a cluster's API server: pods of this node, services and endpoint slices, into `names.rs`.
//!
//! Lists, watches and relists after 410 Gone are those of the crate kube; waits between tries are ours. Nothing waits for it: until it has
//! answered, and whenever it does not, addresses are shown as they are and names count as stale.

mod objects;
pub mod settings;

use std::error::Error;
use std::fmt::Debug;
use std::path::Path;
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
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Config, Resource};
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tower::util::MapResponseLayer;

use self::objects::{Named, object_of};
use self::settings::KubernetesSettings;
use crate::clock;
use crate::names::{Kind, Names};
use crate::push::pace::{Pace, random};
use crate::terminal::{innermost, printable};

/// For so long after a watch should have ended a connection may say nothing.
const DEAD: Duration = Duration::from_secs(10);
/// Objects to a page of a list: a slice of a hundred endpoints is some 30 kB of JSON, and a page is in memory at once.
const PAGE: u32 = 100;
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
            let config = self.config().await;
            tokio::join!(
                self.follow::<Pod>(&config, Some(&self.settings.node)),
                self.follow::<Service>(&config, None),
                self.follow::<EndpointSlice>(&config, None),
            );
            // Without a client there are no names, and that is all.
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = all => {}
        }
    }

    /// How to reach the API server, once that can be read.
    async fn config(&self) -> Config {
        let mut warned = false;
        loop {
            let read = match &self.settings.kubeconfig {
                Some(path) => from_file(path).await,
                None => Config::incluster().map_err(|error| innermost(&error)),
            };
            match read {
                Ok(mut config) => {
                    // It would try again several times before it says that the server fails; we wait ourselves.
                    config.default_retry = false;
                    // A list has no timeout of its own. A watch is ended by the server before this.
                    let watch = Duration::from_secs(self.settings.watch_seconds.into());
                    config.read_timeout = Some(watch + DEAD);
                    config.reset_reader_on_write = true;
                    return config;
                }
                Err(why) if !warned => {
                    let (why, seconds) = (printable(&why), AGAIN.as_secs());
                    tracing::warn!(%why, "cannot find out how to reach the Kubernetes API server, so there are no names; trying again every {seconds} s");
                    warned = true;
                }
                Err(_) => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// One kind, of one node if there is one.
    async fn follow<K>(&self, config: &Config, node: Option<&str>)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Named
            + Clone
            + Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let client = match self.client(config.clone(), K::KIND) {
            Ok(client) => client,
            // What the configuration says cannot be used, now or later.
            Err(why) => return self.failed(K::KIND, &why),
        };
        let mut wanted = watcher::Config::default().timeout(self.settings.watch_seconds).page_size(PAGE);
        if let Some(node) = node {
            wanted = wanted.fields(&format!("spec.nodeName={node}"));
        }
        let mut waits = Waits::new(self.settings.retry);
        let mut events = pin!(watcher(Api::<K>::all(client), wanted));
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.names.change(|index| match event {
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
                }),
                Err(error) => {
                    self.failed(K::KIND, &innermost(&error));
                    tokio::time::sleep(waits.after_failure(clock::monotonic(), random())).await;
                }
            }
        }
    }

    fn failed(&self, kind: Kind, why: &str) {
        if self.names.change(|index| index.failed(kind)) {
            let (kind, why) = (kind.name(), printable(why));
            tracing::warn!(%why, "the Kubernetes API server does not say which {kind} there are: names may be missing or old, nothing else");
        }
    }

    /// One that notes when the server answers: a watch that was taken up again says nothing until something changes.
    fn client(&self, config: Config, kind: Kind) -> Result<Client, String> {
        let names = self.names.clone();
        let answered = move |response: Response<_>| {
            if response.status().is_success() && names.change(|index| index.answered(kind)) {
                tracing::info!("the Kubernetes API server says again which {} there are", kind.name());
            }
            response
        };
        let builder = ClientBuilder::try_from(config).map_err(|error| innermost(&error))?;
        Ok(builder.with_layer(&MapResponseLayer::new(answered)).build())
    }
}

async fn from_file(path: &Path) -> Result<Config, String> {
    let wrong = |error: &(dyn Error + 'static)| format!("{}: {}", path.display(), innermost(error));
    let read = Kubeconfig::read_from(path).map_err(|error| wrong(&error))?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    config.map_err(|error| wrong(&error))
}

/// Later and later, and not all nodes at once. kube's own waits begin anew with each list that is only begun, so they never grow while lists fail
/// (seen with 5.0.0).
#[derive(Debug)]
struct Waits {
    pace: Pace,
    last: Option<Duration>,
}

impl Waits {
    const fn new(retry: [Duration; 2]) -> Self {
        Self { pace: Pace::new(retry), last: None }
    }

    /// How long to wait now that it failed, at this monotonic time.
    fn after_failure(&mut self, now: Duration, random: u32) -> Duration {
        if self.last.is_none_or(|last| now.saturating_sub(last) >= WORKS) {
            self.pace.worked();
        }
        self.last = Some(now);
        self.pace.failed(now, random);
        self.pace.next().unwrap_or(now).saturating_sub(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_while_it_fails_and_begin_anew_when_it_has_worked_for_a_while() {
        let seconds = Duration::from_secs;
        let mut waits = Waits::new([seconds(1), seconds(30)]);
        let mut now = seconds(0);
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let wait = waits.after_failure(now, u32::MAX);
            assert_eq!(wait, seconds(expected));
            now += wait;
        }
        // Not quite two minutes after the last one.
        now += seconds(89);
        assert_eq!(waits.after_failure(now, u32::MAX), seconds(30));
        assert_eq!(waits.after_failure(now + WORKS, u32::MAX), seconds(1));
    }
}
