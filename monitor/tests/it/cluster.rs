//! The watch of a cluster, against an API server that speaks real HTTP and behaves as real ones do on bad days.

mod api_server;

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use monitor::kubernetes::Watcher;
use monitor::kubernetes::settings::KubernetesSettings;
use monitor::names::{Fullness, Kind, Names};
use monitor_common::peer::Role;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::api_server::{ApiServer, PODS, SERVICES, SLICES};

/// A watcher of such a server.
struct Watched {
    names: Names,
    stop: watch::Sender<bool>,
    task: JoinSet<()>,
    /// Removed with it.
    kubeconfig: std::path::PathBuf,
}

impl Watched {
    fn start(name: &str, address: &str) -> Self {
        Self::reaching(name, &json!({"server": format!("http://{address}")}))
    }

    fn reaching(name: &str, cluster: &Value) -> Self {
        Self::as_user(name, cluster, &json!({"token": "a-token"}))
    }

    fn as_user(name: &str, cluster: &Value, user: &Value) -> Self {
        let path =
            std::env::temp_dir().join(format!("reset-monitor-{}-{name}.kubeconfig", std::process::id()));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": cluster}],
            "users": [{"name": "u", "user": user}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]
        });
        std::fs::write(&path, config.to_string()).unwrap();
        let settings = KubernetesSettings {
            node: "node-1".to_owned(),
            kubeconfig: Some(path.clone()),
            watch_seconds: 290,
            retry: [Duration::from_millis(5), Duration::from_millis(50)],
        };
        let (watcher, names) = Watcher::new(settings);
        let (stop, stopping) = watch::channel(false);
        let mut task = JoinSet::new();
        task.spawn(watcher.run(stopping));
        Self { names, stop, task, kubeconfig: path }
    }

    /// What an address is called that we connect to at port 80; nothing without a name.
    fn at(&self, address: &str) -> String {
        let address = address.parse().unwrap();
        let name = self.names.read(|index| index.name(address, Some(80), Some(Role::Client)));
        name.map(|name| format!("{}/{}", name.namespace, name.service.or(name.pod).unwrap()))
            .unwrap_or_default()
    }

    fn fullness(&self) -> Fullness {
        self.names.fullness()
    }

    /// A test that waits for what does not come is ended by whoever runs it.
    async fn until(&self, is_so: impl Fn(&Self) -> bool) {
        while !is_so(self) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// All is listed and watched.
    async fn settled(&self, server: &ApiServer) {
        self.until(|watched| !watched.fullness().stale && server.open() == Kind::ALL.len()).await;
    }

    async fn end(self) {
        self.stop.send_replace(true);
        let Self { names: _, stop: _, mut task, kubeconfig } = self;
        task.join_next().await.unwrap().unwrap();
        std::fs::remove_file(kubeconfig).unwrap();
    }
}

fn service(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"clusterIP": address, "clusterIPs": [address], "ports": [{"port": 80}]}
    })
}

fn pod(name: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": name, "namespace": "shop", "uid": format!("uid-of-{name}")},
        "spec": {"nodeName": "node-1", "containers": [{"name": "app"}]},
        "status": {"phase": "Running", "podIPs": [{"ip": address}]}
    })
}

fn slice(service: &str, pod: &str, address: &str) -> Value {
    json!({
        "metadata": {"name": format!("{service}-x"), "namespace": "shop", "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4", "ports": [{"port": 80}],
        "endpoints": [{"addresses": [address], "targetRef": {"kind": "Pod", "name": pod}}]
    })
}

#[tokio::test]
async fn lists_and_watches_give_names_and_only_this_nodes_pods_are_asked_for() {
    let server = ApiServer::start().await;
    for number in 0..1_200 {
        server.put(
            SERVICES,
            service(&format!("s{number}"), &format!("10.2.{}.{}", number / 256, number % 256)),
        );
    }
    server.put(PODS, pod("orders-1", "10.1.0.7"));
    let watched = Watched::start("lists", &server.address);
    watched.until(|watched| !watched.fullness().stale).await;
    assert_eq!([watched.at("10.2.4.175"), watched.at("10.1.0.7")], ["shop/s1199", "shop/orders-1"]);
    assert_eq!((watched.fullness().pods, watched.fullness().addresses), (1, 1_201));

    server.put(SLICES, slice("orders", "orders-1", "10.1.0.7"));
    watched.until(|watched| watched.at("10.1.0.7") == "shop/orders").await;
    server.remove(SERVICES, "s7");
    server.put(SERVICES, service("new", "10.2.0.7"));
    watched.until(|watched| watched.at("10.2.0.7") == "shop/new").await;
    server.remove(PODS, "orders-1");
    watched.until(|watched| watched.fullness().pods == 0).await;

    let asked = server.asked();
    assert!(asked.iter().all(|request| request.token == "Bearer a-token"), "{asked:?}");
    let of_pods = asked.iter().filter(|request| request.target.contains("/pods?"));
    assert!(of_pods.clone().count() > 1);
    assert!(
        of_pods.clone().all(|request| request.target.contains("fieldSelector=spec.nodeName%3Dnode-1")),
        "{asked:?}"
    );
    assert!(asked.iter().any(|request| request.target.contains("continue=")), "a long list comes in pages");
    watched.end().await;
}

#[tokio::test]
async fn a_history_that_is_gone_is_listed_anew_and_names_stay_meanwhile() {
    let server = ApiServer::start().await;
    server.put(SERVICES, service("a", "10.2.0.1"));
    server.put(SERVICES, service("b", "10.2.0.2"));
    let watched = Watched::start("gone", &server.address);
    watched.settled(&server).await;
    // Nothing is told of what happens now.
    server.pause();
    server.remove(SERVICES, "a");
    server.put(SERVICES, service("c", "10.2.0.3"));
    server.expire();
    watched.until(|watched| watched.fullness().stale).await;
    assert_eq!(watched.at("10.2.0.2"), "shop/b");
    server.resume();
    watched.until(|watched| watched.at("10.2.0.3") == "shop/c" && !watched.fullness().stale).await;
    assert_eq!(watched.at("10.2.0.2"), "shop/b");
    server.put(SERVICES, service("d", "10.2.0.1"));
    watched.until(|watched| watched.at("10.2.0.1") == "shop/d").await;
    watched.end().await;
}

#[tokio::test]
async fn a_watch_that_is_cut_goes_on_where_it_was() {
    let server = ApiServer::start().await;
    server.put(SERVICES, service("a", "10.2.0.1"));
    let watched = Watched::start("cut", &server.address);
    watched.settled(&server).await;
    let lists = server.lists();
    server.cut();
    server.put(SERVICES, service("b", "10.2.0.2"));
    watched.until(|watched| watched.at("10.2.0.2") == "shop/b" && !watched.fullness().stale).await;
    assert_eq!(server.lists(), lists, "nothing was listed anew");
    watched.end().await;
}

#[tokio::test]
async fn a_server_that_fails_makes_names_stale_and_one_that_works_again_makes_them_new() {
    let server = ApiServer::start().await;
    server.put(SERVICES, service("a", "10.2.0.1"));
    server.fail(true);
    let watched = Watched::start("fails", &server.address);
    watched.until(|_| server.asked().len() >= 3).await;
    assert!(watched.fullness().stale);
    assert_eq!(watched.at("10.2.0.1"), "");
    server.fail(false);
    watched.settled(&server).await;
    assert_eq!(watched.at("10.2.0.1"), "shop/a");
    server.fail(true);
    server.cut();
    watched.until(|watched| watched.fullness().stale).await;
    assert_eq!(watched.at("10.2.0.1"), "shop/a", "what was known stays");
    // Nothing has changed, so that only the answer itself can tell.
    server.fail(false);
    watched.until(|watched| !watched.fullness().stale).await;
    watched.end().await;
}

#[tokio::test]
async fn a_server_that_never_answers_or_is_not_there_holds_nobody_up() {
    let silent = ApiServer::start().await;
    silent.be_silent();
    let watched = Watched::start("silent", &silent.address);
    watched.until(|_| silent.asked().len() >= 3).await;
    assert!(watched.fullness().stale);
    watched.end().await;

    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let watched = Watched::start("absent", &gone.to_string());
    assert!(watched.fullness().stale);
    watched.end().await;
}

#[tokio::test]
async fn what_is_no_object_is_an_error_and_neither_a_panic_nor_a_name() {
    let server = ApiServer::start().await;
    server.put(SERVICES, service("a", "10.2.0.1"));
    let watched = Watched::start("nonsense", &server.address);
    watched.settled(&server).await;
    for nonsense in ["{\"type\":\"ADDED\",\"object\":7}\n", "\u{0}\u{1}\n", "{\"type\":\"ADDED\"\n", "[]\n"] {
        let watches = server.watches();
        server.say(SERVICES, nonsense);
        watched.until(|watched| server.watches() > watches && !watched.fullness().stale).await;
    }
    assert_eq!(watched.at("10.2.0.1"), "shop/a");
    watched.end().await;
}

#[tokio::test]
async fn the_server_is_believed_by_the_certificate_that_is_named_and_by_no_other() {
    let server = ApiServer::start_encrypted().await;
    server.put(SERVICES, service("a", "10.2.0.1"));
    let cluster = |certificate: &str| {
        let encoded = BASE64_STANDARD.encode(certificate);
        json!({"server": format!("https://localhost:{}", server.port()), "certificate-authority-data": encoded})
    };
    let watched = Watched::reaching("tls", &cluster(&server.certificate));
    watched.settled(&server).await;
    assert_eq!(watched.at("10.2.0.1"), "shop/a");
    watched.end().await;

    let (asked, connections) = (server.asked().len(), server.connections());
    let (strange, _) = api_server::certificate();
    let watched = Watched::reaching("tls-strange", &cluster(&strange));
    watched.until(|_| server.connections() > connections + 3).await;
    assert!(watched.fullness().stale);
    assert_eq!(server.asked().len(), asked, "no token was shown to a stranger");
    watched.end().await;
}

/// A task that ends takes the daemon with it.
#[tokio::test]
async fn with_credentials_that_cannot_be_used_there_are_no_names_and_the_watcher_goes_on() {
    let server = ApiServer::start_encrypted().await;
    let cluster = json!({
        "server": format!("https://localhost:{}", server.port()),
        "certificate-authority-data": BASE64_STANDARD.encode(&server.certificate),
    });
    let nonsense = BASE64_STANDARD.encode("no certificate");
    let user = json!({"client-certificate-data": nonsense, "client-key-data": nonsense});
    let mut watched = Watched::as_user("credentials", &cluster, &user);
    watched
        .until(|watched| watched.names.read(|index| Kind::ALL.map(|kind| index.fails(kind))) == [true; 3])
        .await;
    // Whatever it has to do, it does now.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(watched.task.try_join_next().is_none(), "it ended");
    assert!(watched.fullness().stale);
    watched.end().await;
}
