//! `deploy/kubernetes`: the manifests allow what the systemd unit allows and nothing else, and what they name is there.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use monitor::config::DEFAULT_LISTEN;
use serde_json::{Value, json};

use crate::metrics_page::golden;
use crate::prometheus;
use crate::promtool::{self, root};
use crate::support::Daemon;

const DIRECTORY: &str = "deploy/kubernetes";
const PRIVILEGED: &str = "overlays/privileged";
const NAMES: &str = "overlays/kubernetes-names";
const OVERLAYS: [&str; 2] = [PRIVILEGED, NAMES];
/// The rules as the Prometheus operator takes them, made from those that promtool tests.
const RULES: &str = "deploy/kubernetes/components/prometheus-operator/prometheus-rule.yaml";
const RULES_BEGIN: &str = "\
# Made from deploy/prometheus/recording.yml, alerts.yml and fleet.yml: `WRITE_GOLDEN=1 cargo test -p monitor --test it -- kubernetes`.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: reset-monitor
  namespace: reset-monitor
  labels:
    app.kubernetes.io/name: reset-monitor
spec:
  groups:
";

#[track_caller]
fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[track_caller]
fn parse(path: &str) -> Value {
    serde_saphyr::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn manifest(name: &str) -> Value {
    parse(&format!("{DIRECTORY}/{name}"))
}

/// What an overlay changes of the daemons.
fn overlay(name: &str) -> Value {
    manifest(&format!("{name}/daemonset.yaml"))
}

fn pod() -> Value {
    manifest("base/daemonset.yaml")["spec"]["template"]["spec"].take()
}

fn container() -> Value {
    let pod = pod();
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1, "one container, and nothing before it");
    assert!(pod["initContainers"].is_null());
    pod["containers"][0].clone()
}

fn texts(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

/// Whoever widens one of both has to widen the other, and say why in each.
#[test]
fn the_container_has_the_capabilities_of_the_systemd_unit_and_no_other_right() {
    let context = &container()["securityContext"];
    let unit = read("deploy/systemd/reset-monitor.service");
    let of_unit = |name: &str| -> BTreeSet<String> {
        let line = unit.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().map(|name| name.trim_start_matches("CAP_").to_owned()).collect()
    };
    let added = texts(&context["capabilities"]["add"]);
    let capabilities: BTreeSet<String> = added.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(capabilities, of_unit("AmbientCapabilities="));
    assert_eq!(capabilities, of_unit("CapabilityBoundingSet="));
    let expected = json!({
        "privileged": false,
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "runAsUser": 0,
        "runAsGroup": 0,
        "capabilities": {"drop": ["ALL"], "add": added},
        "appArmorProfile": {"type": "Unconfined"},
    });
    assert_eq!(*context, expected);
    let pod = pod();
    assert_eq!(pod["securityContext"], json!({"seccompProfile": {"type": "RuntimeDefault"}}));
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(manifest("base/service-account.yaml")["automountServiceAccountToken"], false);
    for hosts in ["hostNetwork", "hostPID"] {
        assert_eq!(pod[hosts], true, "{hosts}");
    }
    assert!(pod["hostIPC"].is_null());
    assert!(container()["resources"]["limits"]["memory"].is_string());
}

#[test]
fn of_the_node_only_cgroups_are_mounted_and_nothing_there_is_written_to() {
    let (pod, container) = (pod(), container());
    let volumes = pod["volumes"].as_array().unwrap();
    let of_node: Vec<_> = volumes.iter().filter(|volume| volume.get("hostPath").is_some()).collect();
    assert_eq!(
        of_node.iter().map(|volume| &volume["hostPath"]["path"]).collect::<Vec<_>>(),
        ["/sys/fs/cgroup"]
    );
    let mounts = container["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts.len(), volumes.len());
    for mount in mounts {
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert_eq!(volume.get("hostPath").is_some(), mount["readOnly"] == true, "{mount}");
    }
}

#[tokio::test]
async fn probes_and_the_port_are_those_of_the_daemon() {
    let container = container();
    let daemon = Daemon::new();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        let asked = &container[probe]["httpGet"];
        assert_eq!(asked["port"], "metrics", "{probe}");
        let answer = daemon.get(asked["path"].as_str().unwrap()).await;
        assert_ne!(answer.status, 404, "{probe}");
    }
    let port = DEFAULT_LISTEN.parse::<SocketAddr>().unwrap().port();
    assert_eq!(container["ports"], json!([{"name": "metrics", "containerPort": port, "protocol": "TCP"}]));
    let policy = manifest("base/network-policy.yaml");
    assert_eq!(policy["spec"]["ingress"][0]["ports"], json!([{"protocol": "TCP", "port": port}]));
    let listen = variable(&container, "RESET_MONITOR_LISTEN");
    assert_eq!(listen, format!("$(NODE_ADDRESS):{port}"), "no other address");
}

#[track_caller]
fn variable(container: &Value, name: &str) -> String {
    let list = container["env"].as_array().unwrap();
    let found = list.iter().find(|variable| variable["name"] == name).unwrap_or_else(|| panic!("no {name}"));
    found["value"].as_str().unwrap().to_owned()
}

#[test]
fn the_daemon_knows_every_variable_that_is_set() {
    let mut help = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    let help = String::from_utf8(help.args(["run", "--help"]).output().unwrap().stdout).unwrap();
    // What is not built in has no option; the image has it.
    let overlays = OVERLAYS.into_iter().filter(|name| *name != NAMES || cfg!(feature = "kubernetes"));
    let patched = |name| overlay(name)["spec"]["template"]["spec"]["containers"][0].clone();
    for container in overlays.map(patched).chain([container()]) {
        let ours = |variable: &&Value| variable["name"].as_str().unwrap().starts_with("RESET_MONITOR_");
        let set: Vec<_> = container["env"].as_array().unwrap().iter().filter(ours).collect();
        assert!(!set.is_empty());
        for variable in set {
            let name = variable["name"].as_str().unwrap();
            assert!(help.contains(&format!("[env: {name}")), "{name}");
        }
    }
}

#[test]
fn overlays_change_the_base_and_only_one_says_privileged() {
    let base = manifest("base/daemonset.yaml");
    let namespace = &manifest("base/kustomization.yaml")["namespace"];
    for name in OVERLAYS {
        let overlay = overlay(name);
        for field in ["apiVersion", "kind"] {
            assert_eq!(base[field], overlay[field]);
        }
        assert_eq!(base["metadata"]["name"], overlay["metadata"]["name"]);
        assert_eq!(*namespace, overlay["metadata"]["namespace"]);
        let patched = &overlay["spec"]["template"]["spec"]["containers"][0];
        assert_eq!(patched["name"], container()["name"]);
        assert_eq!(patched.get("securityContext").is_some(), name == PRIVILEGED, "{name}");
    }
    let context = &overlay(PRIVILEGED)["spec"]["template"]["spec"]["containers"][0]["securityContext"];
    assert_eq!(*context, json!({"privileged": true, "allowPrivilegeEscalation": true, "capabilities": null}));
}

/// What is listed and watched, and no more: nothing is written, and no secret can be read.
#[test]
fn whoever_asks_for_names_may_list_and_watch_what_has_them() {
    let text = read(&format!("{DIRECTORY}/{NAMES}/rbac.yaml"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let [role, binding] = documents.as_slice() else { panic!("{documents:?}") };
    let expected = json!([
        {"apiGroups": [""], "resources": ["pods", "services"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]);
    assert_eq!(role["rules"], expected);
    assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
    let account = manifest("base/service-account.yaml");
    assert_eq!(binding["subjects"][0]["name"], account["metadata"]["name"]);
    assert_eq!(binding["subjects"][0]["namespace"], manifest("base/kustomization.yaml")["namespace"]);
    assert_eq!(pod()["serviceAccountName"], account["metadata"]["name"]);
    assert_eq!(overlay(NAMES)["spec"]["template"]["spec"]["automountServiceAccountToken"], true);
}

/// Everything that a manifest says is still there when the types of Kubernetes 1.33 have read and written it: a field that they do not know, or
/// with another type, is not.
#[cfg(feature = "kubernetes")]
#[test]
fn manifests_are_as_kubernetes_describes_them() {
    use k8s_openapi::api::apps::v1::DaemonSet;
    use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
    use k8s_openapi::api::networking::v1::NetworkPolicy;
    use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding};
    fn through<T: serde::de::DeserializeOwned + serde::Serialize>(value: &Value) -> Value {
        serde_json::to_value(serde_json::from_value::<T>(value.clone()).unwrap()).unwrap()
    }
    let mut kinds = BTreeSet::new();
    for directory in ["base", NAMES, PRIVILEGED] {
        for entry in fs::read_dir(root().join(DIRECTORY).join(directory)).unwrap() {
            let path = entry.unwrap().path();
            let text = fs::read_to_string(&path).unwrap();
            for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
                let kind = document["kind"].as_str().unwrap();
                let known = match kind {
                    "DaemonSet" => through::<DaemonSet>(&document),
                    "Namespace" => through::<Namespace>(&document),
                    "ServiceAccount" => through::<ServiceAccount>(&document),
                    "NetworkPolicy" => through::<NetworkPolicy>(&document),
                    "ClusterRole" => through::<ClusterRole>(&document),
                    "ClusterRoleBinding" => through::<ClusterRoleBinding>(&document),
                    "Kustomization" => continue,
                    other => panic!("{}: {other}", path.display()),
                };
                kinds.insert(kind.to_owned());
                has_all_of(&known, &document, &path.display().to_string());
            }
        }
    }
    assert_eq!(kinds.len(), 6, "{kinds:?}");
}

#[cfg(feature = "kubernetes")]
#[track_caller]
fn has_all_of(known: &Value, said: &Value, at: &str) {
    match said {
        Value::Object(fields) => {
            for (name, said) in fields {
                has_all_of(&known[name], said, &format!("{at}.{name}"));
            }
        }
        Value::Array(list) => {
            for (index, said) in list.iter().enumerate() {
                has_all_of(&known[index], said, &format!("{at}[{index}]"));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => assert_eq!(known, said, "{at}"),
    }
}

/// As `kubectl apply --kustomize` would send it.
#[track_caller]
fn rendered(directory: &Path) -> Vec<Value> {
    let text = promtool::rendered(directory);
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// Of the only daemon that is rendered.
fn rendered_container(documents: &[Value]) -> Value {
    let daemons: Vec<_> = documents.iter().filter(|document| document["kind"] == "DaemonSet").collect();
    let [daemon] = daemons.as_slice() else { panic!("{daemons:?}") };
    let pod = &daemon["spec"]["template"]["spec"];
    assert!(
        (&pod["hostNetwork"], &pod["hostPID"], &pod["hostIPC"]) == (&json!(true), &json!(true), &Value::Null)
    );
    pod["containers"][0].clone()
}

fn kinds(documents: &[Value]) -> Vec<&str> {
    let mut kinds: Vec<_> = documents.iter().map(|document| document["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    kinds
}

#[test]
fn what_is_rendered_has_the_rights_of_the_base_and_only_the_privileged_overlay_has_more() {
    let base = rendered(&root().join(DIRECTORY).join("base"));
    assert_eq!(kinds(&base), ["DaemonSet", "Namespace", "NetworkPolicy", "ServiceAccount"]);
    assert_eq!(rendered_container(&base)["securityContext"], container()["securityContext"]);
    let names = rendered(&root().join(DIRECTORY).join(NAMES));
    let mut with_rights = kinds(&base);
    with_rights.extend(["ClusterRole", "ClusterRoleBinding"]);
    with_rights.sort_unstable();
    assert_eq!(kinds(&names), with_rights);
    let named = rendered_container(&names);
    assert_eq!(named["securityContext"], container()["securityContext"]);
    assert_eq!(variable(&named, "RESET_MONITOR_KUBERNETES"), "true");
    let privileged = rendered(&root().join(DIRECTORY).join(PRIVILEGED));
    assert_eq!(kinds(&privileged), kinds(&base));
    let context = &rendered_container(&privileged)["securityContext"];
    assert_eq!((&context["privileged"], &context["capabilities"]), (&json!(true), &Value::Null));
    // What else the base says holds in a privileged container, too.
    assert_eq!(context["readOnlyRootFilesystem"], true);
}

/// The README's example: an image of one's own, and the operator's resources.
#[test]
fn a_kustomization_as_in_the_readme_is_rendered_with_its_image_and_the_operators_resources() {
    let readme = read(&format!("{DIRECTORY}/README.md"));
    let (_, rest) = readme.split_once("```yaml\n# kustomization.yaml\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    let place = root().join("target").join(format!("kustomization-{}", std::process::id()));
    fs::create_dir_all(&place).unwrap();
    fs::write(place.join("kustomization.yaml"), example.replace("deploy/", "../../deploy/")).unwrap();
    let documents = std::panic::catch_unwind(|| rendered(&place));
    fs::remove_dir_all(&place).unwrap();
    let documents = documents.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    assert_eq!(
        kinds(&documents),
        ["DaemonSet", "Namespace", "NetworkPolicy", "PodMonitor", "PrometheusRule", "ServiceAccount"]
    );
    assert_eq!(rendered_container(&documents)["image"], "registry.example/reset-monitor:0.1.0");
    assert!(documents.iter().all(|document| {
        document["kind"] == "Namespace" || document["metadata"]["namespace"] == "reset-monitor"
    }));
}

#[test]
fn every_file_is_in_its_kustomization_and_the_image_is_of_this_version() {
    for directory in ["base", PRIVILEGED, NAMES, "components/prometheus-operator"] {
        let path = root().join(DIRECTORY).join(directory);
        let kustomization = manifest(&format!("{directory}/kustomization.yaml"));
        let mut named: BTreeSet<String> = BTreeSet::from(["kustomization.yaml".to_owned()]);
        named.extend(
            kustomization["resources"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| one.as_str().unwrap().to_owned()),
        );
        named.extend(
            kustomization["patches"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|one| one["path"].as_str().unwrap().to_owned()),
        );
        for name in &named {
            assert!(path.join(name).exists(), "{directory}: {name}");
        }
        named.retain(|name| Path::new(name).extension().is_some());
        let there: BTreeSet<String> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(there, named, "{directory}");
    }
    let image = &manifest("base/kustomization.yaml")["images"][0];
    assert_eq!(
        (&image["name"], &image["newTag"]),
        (&container()["image"], &json!(env!("CARGO_PKG_VERSION")))
    );
}

/// The operator scrapes as deploy/prometheus/scrape-fleet.yml does, by which the rules were tested.
#[test]
fn the_pod_monitor_names_targets_as_the_scrape_configuration_does() {
    let monitor = manifest("components/prometheus-operator/pod-monitor.yaml")["spec"].take();
    let scrape = parse("deploy/prometheus/scrape-fleet.yml");
    let job = &scrape["scrape_configs"][0];
    assert_eq!(monitor["sampleLimit"], job["sample_limit"]);
    let endpoint = &monitor["podMetricsEndpoints"][0];
    assert_eq!(endpoint["interval"], scrape["global"]["scrape_interval"]);
    let labels = &pod_labels();
    assert_eq!(monitor["selector"]["matchLabels"], *labels);
    assert_eq!(labels[monitor["jobLabel"].as_str().unwrap()], job["job_name"]);
    let relabelings = job["relabel_configs"].as_array().unwrap();
    let kept = relabelings.iter().find(|rule| rule["action"] == "keep").unwrap();
    assert_eq!(endpoint["port"], kept["regex"]);
    let named: Vec<_> = relabelings
        .iter()
        .filter(|rule| rule.get("target_label").is_some())
        .map(|rule| json!({"sourceLabels": rule["source_labels"], "targetLabel": rule["target_label"]}))
        .collect();
    assert_eq!(endpoint["relabelings"], json!(named));
}

fn pod_labels() -> Value {
    let daemons = manifest("base/daemonset.yaml");
    let labels = daemons["spec"]["template"]["metadata"]["labels"].clone();
    assert_eq!(labels, daemons["spec"]["selector"]["matchLabels"]);
    labels
}

#[test]
fn the_operators_rules_are_those_that_are_tested() {
    let mut text = RULES_BEGIN.to_owned();
    let mut groups = Vec::new();
    for file in prometheus::RULES {
        let path = format!("deploy/prometheus/{file}");
        let content = read(&path);
        let (_, rules) = content.split_once("\ngroups:\n").unwrap();
        for line in rules.lines() {
            text.push_str(if line.is_empty() { "" } else { "  " });
            text.push_str(line);
            text.push('\n');
        }
        groups.extend(parse(&path)["groups"].as_array().unwrap().clone());
    }
    golden(RULES, &text);
    assert_eq!(parse(RULES)["spec"]["groups"], json!(groups));
}
