//! The committed document of the API, and whether an answer is as it says. Every answer that a test gets goes through here.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use axum::http::StatusCode;
use jsonschema::Validator;
use serde_json::{Value, json};

/// `docs/openapi.json`.
pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap());

/// Statuses that belong to no route: an unknown path, another method.
const OF_NO_ROUTE: [StatusCode; 2] = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];

/// The operations of the document, by path.
pub(crate) fn operations() -> impl Iterator<Item = (&'static str, &'static Value)> {
    DOCUMENT["paths"].as_object().unwrap().iter().map(|(path, item)| (path.as_str(), &item["get"]))
}

/// Panics unless an answer is one that the document has for this path.
#[track_caller]
pub(crate) fn check(target: &str, status: StatusCode, kind: &str, body: &str) {
    let path = target.split('?').next().unwrap();
    let kind = kind.split(';').next().unwrap();
    let operation = &DOCUMENT["paths"][path]["get"];
    let response = resolved(&operation["responses"][status.as_str()]);
    if response.is_null() {
        let for_people = path == "/" || path.starts_with("/assets/");
        if !status.is_client_error() {
            assert!(for_people, "{target}: {status} is not in the document");
            return;
        }
        assert!(
            operation.is_null() || OF_NO_ROUTE.contains(&status),
            "{target}: {status} is not in the document"
        );
        assert_eq!(kind, "application/json", "{target}: {status}");
        fits(&json!({ "$ref": "#/components/schemas/Error" }), body, target);
        return;
    }
    let content = &response["content"][kind];
    assert!(!content.is_null(), "{target}: {status} as {kind} is not in the document");
    match kind {
        "application/json" => fits(&content["schema"], body, target),
        "text/event-stream" => body.split_inclusive("\n\n").for_each(check_message),
        _ => assert_eq!(content["schema"], json!({ "type": "string" })),
    }
}

/// Panics unless the document has this message of the stream.
#[track_caller]
pub(crate) fn check_message(text: &str) {
    let messages = &operations()
        .find_map(|(_, operation)| operation["responses"]["200"]["content"].get("text/event-stream"))
        .unwrap()["x-messages"];
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    match (field("event: "), field("data: ")) {
        (Some(event), Some(data)) => {
            let schema = &messages[event];
            assert!(!schema.is_null(), "no message `{event}` is in the document");
            fits(schema, data, event);
        }
        (None, None) => assert!(text.starts_with(':'), "{text}"),
        (Some(_), None) | (None, Some(_)) => panic!("half a message: {text}"),
    }
}

fn resolved(node: &'static Value) -> &'static Value {
    match node["$ref"].as_str() {
        Some(reference) => DOCUMENT.pointer(reference.trim_start_matches('#')).unwrap(),
        None => node,
    }
}

/// Panics unless the text is JSON that the schema of the document describes.
#[track_caller]
fn fits(schema: &Value, text: &str, what: &str) {
    let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{what}: {error}: {text}"));
    let validator = validator(schema);
    let errors: Vec<String> =
        validator.iter_errors(&value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, [""; 0], "{what}: {value:#}");
}

/// One for each schema: making it costs more than using it.
fn validator(schema: &Value) -> Arc<Validator> {
    static MADE: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let make = || {
        let mut whole = schema.clone();
        whole["components"] = DOCUMENT["components"].clone();
        jsonschema::draft202012::options().should_validate_formats(true).build(&whole).unwrap()
    };
    Arc::clone(made.entry(schema.to_string()).or_insert_with(|| Arc::new(make())))
}
