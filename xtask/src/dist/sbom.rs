//! What a binary consists of, as `CycloneDX` 1.5: every crate that is linked in, with its licence. Build scripts, macros and tests are not in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::image::About;

/// The package of the daemon.
const ROOT: &str = "monitor";

/// The document, by what `cargo metadata` says.
pub(super) fn of(about: &About, metadata: &str) -> Result<String> {
    let metadata: Value = serde_json::from_str(metadata).context("cannot understand `cargo metadata`")?;
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        let entries = list.as_array().into_iter().flatten();
        entries.filter_map(|entry| Some((entry["id"].as_str()?.to_owned(), entry.clone()))).collect()
    };
    let (packages, nodes) = (by_id(&metadata["packages"]), by_id(&metadata["resolve"]["nodes"]));
    let root =
        packages.iter().find(|(_, package)| package["name"] == ROOT).context("no such package: monitor")?.0;

    let mut linked = BTreeMap::new();
    let mut next = vec![root.clone()];
    while let Some(id) = next.pop() {
        let needed = linked_into(&nodes[&id], &packages);
        next.extend(needed.iter().filter(|needed| !linked.contains_key(*needed)).cloned());
        linked.insert(id, needed);
    }
    let components: Vec<_> =
        linked.keys().filter(|id| *id != root).map(|id| component(&packages[id])).collect();
    let reference = |id: &String| purl(&packages[id]);
    let dependencies: Vec<_> = linked
        .iter()
        .map(|(id, needed)| json!({"ref": reference(id), "dependsOn": needed.iter().map(reference).collect::<BTreeSet<_>>()}))
        .collect();
    let mut daemon = component(&packages[root]);
    daemon["type"] = json!("application");
    daemon["name"] = json!("reset-monitor");
    let document = json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"timestamp": about.created, "component": daemon, "properties": [{"name": "revision", "value": about.revision}]},
        "components": components,
        "dependencies": dependencies,
    });
    Ok(format!("{document:#}\n"))
}

/// The packages whose code is in a package's library: no build dependencies, tests or macros.
fn linked_into(node: &Value, packages: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let normal = |dependency: &&Value| {
        dependency["dep_kinds"]
            .as_array()
            .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()))
    };
    let dependencies = node["deps"].as_array().into_iter().flatten().filter(normal);
    let ids = dependencies.filter_map(|dependency| dependency["pkg"].as_str());
    ids.filter(|id| packages.get(*id).is_some_and(|package| !is_macro(package))).map(str::to_owned).collect()
}

fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets.filter_map(|target| target["kind"].as_array()).flatten().any(|kind| kind == "proc-macro")
}

fn component(package: &Value) -> Value {
    let mut component = json!({
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "purl": purl(package),
    });
    if let Some(licence) = package["license"].as_str() {
        // Old manifests write a slash where SPDX has OR.
        component["licenses"] = json!([{"expression": licence.replace('/', " OR ").replace("  ", " ")}]);
    }
    component
}

/// <https://github.com/package-url/purl-spec>, type `cargo`.
fn purl(package: &Value) -> String {
    let text = |field: &str| package[field].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", text("name"), text("version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, kind: &str) -> Value {
        json!({"id": name, "name": name, "version": "1.0.0", "license": "MIT/Apache-2.0", "targets": [{"kind": [kind]}]})
    }

    #[test]
    fn what_is_linked_is_listed_and_what_only_builds_is_not() {
        let node = |id: &str, deps: &[(&str, Value)]| {
            let deps: Vec<_> =
                deps.iter().map(|(pkg, kind)| json!({"pkg": pkg, "dep_kinds": [{"kind": kind}]})).collect();
            json!({"id": id, "deps": deps})
        };
        let normal = Value::Null;
        let metadata = json!({
            "packages": [package("monitor", "lib"), package("used", "lib"), package("deep", "lib"), package("derive", "proc-macro"),
                package("builder", "lib"), package("tester", "lib"), package("of_macro", "lib")],
            "resolve": {"nodes": [
                node("monitor", &[("used", normal.clone()), ("derive", normal.clone()), ("builder", json!("build")), ("tester", json!("dev"))]),
                node("used", &[("deep", normal.clone())]),
                node("deep", &[("used", normal.clone())]),
                node("derive", &[("of_macro", normal)]),
            ]},
        });
        let about = About {
            version: "1.0.0".to_owned(),
            revision: "abc".to_owned(),
            created: "2026-01-01T00:00:00Z".to_owned(),
        };
        let document: Value = serde_json::from_str(&of(&about, &metadata.to_string()).unwrap()).unwrap();
        let names: Vec<_> =
            document["components"].as_array().unwrap().iter().map(|one| one["name"].clone()).collect();
        assert_eq!(names, ["deep", "used"]);
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        assert_eq!(document["metadata"]["component"]["name"], "reset-monitor");
        let of_root = document["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .find(|one| one["ref"] == "pkg:cargo/monitor@1.0.0");
        assert_eq!(of_root.unwrap()["dependsOn"], json!(["pkg:cargo/used@1.0.0"]));
    }
}
