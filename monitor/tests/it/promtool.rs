//! promtool and amtool: what Prometheus itself says of a page, of rules and of queries, and Alertmanager of routes.

use std::env;
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

/// Runs it in `deploy/prometheus`, and returns what it said. Fails when it does, or when it is not there: a test that was left out
/// must not look like one that passed.
#[track_caller]
pub(crate) fn promtool(arguments: &[&str], input: &str) -> String {
    said("promtool", arguments, input)
}

/// The same of Alertmanager's tool.
#[track_caller]
pub(crate) fn amtool(arguments: &[&str]) -> String {
    said("amtool", arguments, "")
}

/// What `kubectl kustomize` makes of a directory below the repository's root.
#[track_caller]
pub(crate) fn rendered(directory: &Path) -> String {
    said("kubectl", &["kustomize", directory.to_str().unwrap()], "")
}

#[track_caller]
fn said(program: &str, arguments: &[&str], input: &str) -> String {
    let Output { status, stdout, stderr } = output(program, arguments, input);
    let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    assert!(status.success(), "{program} {}: {status}\n{said}", arguments.join(" "));
    said
}

/// Whether it can read these queries; fails with what it says of them.
#[track_caller]
pub(crate) fn check_queries(queries: &[&str]) {
    let rules: Vec<_> = queries
        .iter()
        .enumerate()
        .map(|(number, query)| json!({"record": format!("query:{number}"), "expr": query}))
        .collect();
    // JSON is YAML, in which no query has to be quoted by hand.
    let file = json!({"groups": [{"name": "queries", "rules": rules}]});
    let said = with_file("queries.yml", &file.to_string(), |path| promtool(&["check", "rules", path], ""));
    assert!(said.contains(&format!("{} rules found", queries.len())), "{said}");
}

/// What comes of a file with that text, which is there meanwhile.
pub(crate) fn with_file<T>(name: &str, text: &str, then: impl FnOnce(&str) -> T) -> T {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let directory = env::temp_dir().join(format!("reset-monitor-{}-{number}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let path = directory.join(name);
    fs::write(&path, text).unwrap();
    let result = then(path.to_str().unwrap());
    fs::remove_dir_all(&directory).unwrap();
    result
}

/// The repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[track_caller]
fn output(name: &str, arguments: &[&str], input: &str) -> Output {
    for program in [Some(name.into()), fetched(name)].into_iter().flatten() {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(root().join("deploy/prometheus"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = match command.spawn() {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => panic!("{name}: {error}"),
        };
        // A page is larger than what a pipe holds, but promtool reads all of it before it says a word.
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        return child.wait_with_output().unwrap();
    }
    panic!("{name} is not here; `cargo xtask setup` fetches it, `cargo xtask test` uses it");
}

/// Where `cargo xtask setup` puts a program.
pub(crate) fn fetched(program: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = set("RESET_MONITOR_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("reset-monitor")))
        .or_else(|| Some(set("HOME")?.join(".cache/reset-monitor")))?;
    Some(cache.join("tools/bin").join(program))
}
