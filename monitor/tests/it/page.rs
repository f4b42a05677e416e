//! The page at `/` as the server gives it: its files, their types, and that nothing of them is from elsewhere. What it shows is
//! looked at with a browser, in `browser.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use axum::http::{Method, StatusCode, header};

use crate::support::{Daemon, request};

/// The page, and every file that a file of it names.
async fn files(daemon: &Daemon) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut known = BTreeSet::from(["/".to_owned()]);
    let mut ahead = vec!["/".to_owned()];
    while let Some(path) = ahead.pop() {
        let answer = daemon.get(&path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        let named: Vec<String> = answer
            .text
            .split('"')
            .filter(|word| {
                word.starts_with("/assets/") || Path::new(word).extension().is_some_and(|end| end == "js")
            })
            .map(|word| resolve(&path, word))
            .collect();
        ahead.extend(named.into_iter().filter(|path| known.insert(path.clone())));
        found.push((path, answer.text));
    }
    found
}

/// What an import means in the file that has it.
fn resolve(from: &str, name: &str) -> String {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    if name.starts_with('/') {
        return name.to_owned();
    }
    for part in name.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[tokio::test]
async fn every_file_of_the_page_is_served_with_its_type_and_is_only_sent_again_when_it_changed() {
    let daemon = Daemon::new();
    let files = files(&daemon).await;
    assert!(files.len() > 20, "{files:?}");
    for (path, _) in &files {
        let answer = daemon.get(path).await;
        let kind = match Path::new(path).extension().and_then(|end| end.to_str()) {
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            None => "text/html; charset=utf-8",
            Some(other) => panic!("{other}"),
        };
        assert_eq!(answer.header("content-type"), kind, "{path}");
        let tag = answer.header("etag").to_owned();
        for (known, status) in [(tag.as_str(), StatusCode::NOT_MODIFIED), ("\"other\"", StatusCode::OK)] {
            let asked = request(Method::GET, path).header(header::IF_NONE_MATCH, known);
            let again = daemon.ask(asked).await;
            assert_eq!((again.status, again.header("etag")), (status, tag.as_str()), "{path}");
            assert_eq!(again.text.is_empty(), status == StatusCode::NOT_MODIFIED, "{path}");
        }
    }
}

#[tokio::test]
async fn every_asset_in_the_repository_is_part_of_the_page() {
    let daemon = Daemon::new();
    let served: BTreeSet<String> = files(&daemon).await.into_iter().map(|(path, _)| path).collect();
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let mut directories = vec![assets.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(&assets).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                directories.push(path);
            } else if !["index.html", "vendor/README.md", "vendor/uPlot.LICENSE"].contains(&&*name) {
                assert!(served.contains(&format!("/assets/{name}")), "nothing on the page names {name}");
            }
        }
    }
}

#[tokio::test]
async fn the_page_has_no_script_or_style_in_its_text_and_makes_no_elements_of_strings() {
    let daemon = Daemon::new();
    let page = daemon.get("/").await;
    for inline in ["<style", "style=", "javascript:", " onclick", " onerror", "http://", "https://"] {
        assert!(!page.text.contains(inline), "{inline}");
    }
    for piece in page.text.split("<script").skip(1) {
        assert!(piece.starts_with(" src=\"/assets/"), "{piece}");
    }
    let policy = page.header("content-security-policy");
    for part in ["script-src 'self'", "connect-src 'self'", "require-trusted-types-for 'script'"] {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    for (path, text) in files(&daemon).await.iter().filter(|(path, _)| path.contains("/js/")) {
        for way in
            ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "http://", "https://"]
        {
            let allowed =
                way == "http://" && text.matches(way).count() == text.matches("http://127.0.0.1:1").count();
            let namespace = path.ends_with("dom.js") && way == "http://";
            assert!(!text.contains(way) || allowed || namespace, "{way} in {path}");
        }
    }
}

#[tokio::test]
async fn what_is_no_file_of_the_page_is_refused() {
    let daemon = Daemon::new();
    for path in [
        "/assets/",
        "/assets/index.html",
        "/assets/../Cargo.toml",
        "/assets/js/nothing.js",
        "/assets/%2e%2e/x",
    ] {
        let answer = daemon.get(path).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
    }
    assert_eq!(daemon.get("/?view=peer&peer=%3Cscript%3E").await.text, daemon.get("/").await.text);
}

#[test]
fn the_vendored_charts_are_as_they_were_published() {
    let published = [
        ("uPlot.iife.min.js", "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"),
        ("uPlot.min.css", "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04"),
        ("uPlot.LICENSE", "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd"),
    ];
    let vendor = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/vendor");
    let said = std::process::Command::new("sha256sum")
        .args(published.map(|(name, _)| name))
        .current_dir(&vendor)
        .output()
        .unwrap();
    let expected = published.map(|(name, sum)| format!("{sum}  {name}"));
    assert_eq!(String::from_utf8(said.stdout).unwrap().lines().collect::<Vec<_>>(), expected);
    let readme = fs::read_to_string(vendor.join("README.md")).unwrap();
    for (name, sum) in published {
        assert!(readme.contains(&format!("| `{name}` | `{sum}` |")), "{name} in vendor/README.md");
    }
}
