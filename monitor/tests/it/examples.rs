//! The documentation's examples that ask the API: run as they are written, with a real curl, against a daemon's real socket.
//!
//! An example is a block of shell, or a line after `$ ` in a block with output, that asks `127.0.0.1:9777`. It must end well, what it
//! asked for must be answered with 200, or with the status that a comment at its end names (`# 404`), and the answer must be as the
//! document of the API says.

use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use http_body_util::BodyExt;
use monitor::cause::Cause;
use monitor::http::server::{Limits, serve_within};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::document::{check, operations};
use crate::openapi::full;
use crate::support::{finally, told};

/// Where examples say the daemon is.
const EXAMPLE_ADDRESS: &str = "127.0.0.1:9777";
/// After which a stuck example is given up.
const PATIENCE: Duration = Duration::from_mins(2);

/// One example.
#[derive(Debug)]
struct Example {
    /// File and line.
    place: String,
    script: String,
    /// What the daemon answers it with.
    status: StatusCode,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every page of the documentation.
fn pages() -> Vec<String> {
    let mut pages = Vec::new();
    for directory in ["", "docs/"] {
        for entry in fs::read_dir(root().join(directory)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if Path::new(&name).extension().is_some_and(|kind| kind == "md") {
                pages.push(format!("{directory}{name}"));
            }
        }
    }
    pages.sort();
    pages
}

/// The examples of a page, in their order.
fn examples(page: &str) -> Vec<Example> {
    let text = fs::read_to_string(root().join(page)).unwrap();
    let mut lines = text.lines().enumerate();
    let mut found = Vec::new();
    while let Some((number, line)) = lines.next() {
        let Some(language) = line.strip_prefix("```") else { continue };
        let block: Vec<&str> =
            lines.by_ref().map(|(_, line)| line).take_while(|line| !line.starts_with("```")).collect();
        let scripts = match language {
            "sh" => vec![block.join("\n")],
            _ => block.iter().filter_map(|line| line.strip_prefix("$ ").map(str::to_owned)).collect(),
        };
        for script in scripts.into_iter().filter(|script| script.contains("curl ")) {
            let status = script.rsplit_once("# ").and_then(|(_, status)| status.trim().parse().ok());
            let place = format!("{page}:{}", number + 2);
            found.push(Example { place, script, status: status.unwrap_or(StatusCode::OK) });
        }
    }
    found
}

/// What a daemon was asked, and with what it answered.
#[derive(Clone, Debug, Default)]
struct Asked(Arc<Mutex<Vec<Exchange>>>);

#[derive(Clone, Debug)]
struct Exchange {
    target: String,
    status: StatusCode,
    kind: String,
    body: String,
}

impl Asked {
    fn exchanges(&self) -> Vec<Exchange> {
        self.0.lock().unwrap().clone()
    }

    /// Whether a stream has given somebody a message.
    fn has_told(&self) -> bool {
        self.exchanges()
            .iter()
            .any(|asked| asked.kind == "text/event-stream" && asked.body.contains("data: "))
    }
}

/// Writes down what passes.
async fn note(State(asked): State<Asked>, request: Request, next: Next) -> Response {
    let target = request.uri().to_string();
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map_or("", |kind| kind.to_str().unwrap());
    let exchange = Exchange { target, status: response.status(), kind: kind.to_owned(), body: String::new() };
    let place = {
        let mut exchanges = asked.0.lock().unwrap();
        exchanges.push(exchange);
        exchanges.len() - 1
    };
    response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            if let Some(data) = frame.data_ref() {
                asked.0.lock().unwrap()[place].body.push_str(std::str::from_utf8(data).unwrap());
            }
            frame
        }))
    })
}

/// Runs an example against a daemon of its own. A stream that it opens is ended by the daemon once it has told something.
async fn run(example: &Example) -> (Output, Vec<Exchange>) {
    let daemon = full();
    let asked = Asked::default();
    let router: Router = daemon.router.clone().layer(middleware::from_fn_with_state(asked.clone(), note));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop_server, stopped) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(serve_within(listener, router, stopped, Limits::default()));
    let mut example_tasks = JoinSet::new();
    let mut shell = shell(&example.script, address);
    example_tasks.spawn_blocking(move || shell.output());

    let ended = async {
        let mut id = 100;
        loop {
            if let Some(output) = example_tasks.try_join_next() {
                return output.unwrap().unwrap();
            }
            if asked.exchanges().iter().any(|asked| asked.kind == "text/event-stream") {
                // Of every cause that an example may wait for.
                id += 1;
                daemon.publisher.event(told(id).into());
                id += 1;
                daemon.publisher.event(finally(id, Cause::IdleReuse).into());
            }
            if asked.has_told() {
                daemon.shutdown.send_replace(true);
            }
            tokio::task::yield_now().await;
        }
    };
    let output = tokio::time::timeout(PATIENCE, ended).await;
    let output = output.unwrap_or_else(|_| panic!("{}: never ends: {}", example.place, example.script));
    stop_server.send_replace(true);
    tasks.join_all().await;
    (output, asked.exchanges())
}

fn shell(script: &str, address: SocketAddr) -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-eo", "pipefail", "-c", &script.replace(EXAMPLE_ADDRESS, &address.to_string())]);
    bash.stdin(Stdio::null()).current_dir(env!("CARGO_TARGET_TMPDIR"));
    bash
}

#[tokio::test]
async fn every_example_works_and_is_answered_as_the_document_says() {
    let mut elsewhere = Vec::new();
    for example in pages().iter().flat_map(|page| examples(page)) {
        if !example.script.contains(EXAMPLE_ADDRESS) {
            elsewhere.push(example.script);
            continue;
        }
        let (output, exchanges) = run(&example).await;
        let said = format!("{example:?}: {output:?}");
        assert!(output.status.success(), "{said}");
        assert!(!output.stdout.is_empty(), "{said}");
        assert!(!exchanges.is_empty(), "nobody was asked: {said}");
        for Exchange { target, status, kind, body } in exchanges {
            assert_eq!(status, example.status, "{target}: {said}");
            check(&target, status, &kind, &body);
        }
    }
    // The one that is to be refused, and seen to be.
    assert_eq!(elsewhere.len(), 1, "{elsewhere:?}");
    assert!(elsewhere[0].starts_with("curl http://127.0.0.1:1 "));
}

#[tokio::test]
async fn every_route_has_an_example_on_the_page_of_the_api() {
    let mut shown = BTreeSet::new();
    for example in examples("docs/api.md") {
        for Exchange { target, .. } in run(&example).await.1 {
            shown.insert(target.split('?').next().unwrap().to_owned());
        }
    }
    let documented: BTreeSet<String> = operations().map(|(path, _)| path.to_owned()).collect();
    assert_eq!(shown, documented);
}

#[test]
fn the_page_on_the_api_names_every_parameter_of_every_route() {
    let page = fs::read_to_string(root().join("docs/api.md")).unwrap();
    for (path, operation) in operations() {
        let Some((_, section)) = page.split_once(&format!("\n### `{path}`\n")) else {
            panic!("docs/api.md has no section on {path}");
        };
        let section = section.split("\n##").next().unwrap();
        for parameter in operation["parameters"].as_array().unwrap() {
            let name = parameter["name"].as_str().unwrap();
            let is_named =
                [format!("`{name}`"), format!("`{name}=")].iter().any(|text| section.contains(text));
            assert!(is_named, "docs/api.md: {path} without `{name}`");
        }
    }
}

#[tokio::test]
async fn an_example_that_does_not_work_is_noticed() {
    let of =
        |script: &str| Example { place: String::new(), script: script.to_owned(), status: StatusCode::OK };
    let (output, exchanges) = run(&of("curl -sf 'http://127.0.0.1:9777/api/v1/peers?limt=3'")).await;
    assert!(!output.status.success());
    assert_eq!(exchanges[0].status, StatusCode::BAD_REQUEST);
    let (output, _) = run(&of("curl -s http://127.0.0.1:9777/api/v1/peers | jq -e .peer")).await;
    assert!(!output.status.success());
    let (output, exchanges) = run(&of("curl -s http://127.0.0.1:9777/api/v1/nothing")).await;
    assert!(output.status.success());
    assert_eq!(exchanges[0].status, StatusCode::NOT_FOUND);
}
