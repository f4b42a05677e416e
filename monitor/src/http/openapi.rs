//! `/api/v1/openapi.json`: the document of the API, `OpenAPI` 3.1, from the routes, the readers of their parameters and the views.
//!
//! Nothing in it is written twice: a path is the router's, a parameter is what the reader of requests takes, an answer is the type
//! that is serialized. It is committed as `docs/openapi.json`, and what is committed is served: a test holds them equal, and what makes
//! it is not in the daemon.

use axum::extract::Query;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::api::Pairs;
use super::error::{ApiError, REFUSALS};
use super::query::{self, Known, Params};
use super::routes::{List, routes};
use super::{AppState, schema, stream};
use crate::view::{ErrorView, EventView, LaggedView};

/// Version of the specification that the document follows: the oldest 3.1, which every reader of 3.1 takes.
const OPENAPI: &str = "3.1.0";
/// What holds for all routes.
const ABOUT: &str = "What a reset-monitor knows of its host: which TCP resets there were, who sent them, why, and what to \
    change. Every route is read with GET (or HEAD, without the body) and changes nothing; another method is answered with 405, \
    an unknown path with 404. Every refusal has the same body, `Error`. Unknown is `null`, never 0; times are RFC 3339 in UTC, \
    durations are seconds. Names of processes, cgroups and hosts are hostile input. A parameter that is unknown or given twice \
    is refused. Later versions add routes, parameters, keys and words to lists, so a client ignores what it does not know; \
    nothing is taken away or changes its meaning below `/api/v1`.";

/// The document, as it was made when it was committed.
const COMMITTED: &str = include_str!("../../../docs/openapi.json");

/// What the document says of a route.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operation {
    /// Name for generated clients.
    pub(super) id: &'static str,
    /// The group it is shown in.
    pub(super) tag: &'static str,
    /// One sentence.
    pub(super) summary: &'static str,
    /// Its query parameters, by whatever reads them.
    pub(super) parameters: fn() -> Vec<Known>,
    /// What comes with 200.
    pub(super) answer: Answer,
    /// What may come else.
    pub(super) refusals: &'static [StatusCode],
}

/// The body of an answer with status 200.
#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    /// JSON of a view.
    Json(fn(&mut SchemaGenerator) -> Schema),
    /// Text in one of these media types.
    Text(&'static [&'static str]),
    /// Server-sent events.
    Stream,
}

/// `/api/v1/openapi.json`.
pub(super) async fn openapi(Query(pairs): Pairs) -> Result<Response, ApiError> {
    Params::read(pairs, query::none)?;
    let kind = HeaderValue::from_static("application/json");
    Ok(([(header::CONTENT_TYPE, kind)], COMMITTED).into_response())
}

/// The document.
pub fn document() -> Value {
    let mut generator = schema::generator();
    let error = generator.subschema_for::<ErrorView>();
    let mut described = Described { generator, paths: Map::new(), refused: Vec::new() };
    routes(&mut described);
    let Described { generator, paths, refused } = described;
    let responses: Map<String, Value> = REFUSALS
        .into_iter()
        .filter(|(status, _, _)| refused.contains(status))
        .map(|(status, name, about)| (name.to_owned(), refusal(status, about, &error)))
        .collect();
    json!({
        "openapi": OPENAPI,
        "info": {
            "title": "reset-monitor",
            "summary": "TCP resets of a host: who sent them, why, and what to change",
            "description": ABOUT,
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [
            { "url": "/", "description": "The daemon that this document was read from." },
            { "url": "http://127.0.0.1:9777", "description": "A daemon on this host that listens where it does by default." },
        ],
        "tags": TAGS.map(|(name, description)| json!({ "name": name, "description": description })),
        "paths": paths,
        "components": { "responses": responses, "schemas": schema::definitions(generator) },
    })
}

/// The document's part of the routes, as it grows.
struct Described {
    generator: SchemaGenerator,
    paths: Map<String, Value>,
    refused: Vec<StatusCode>,
}

impl List for Described {
    fn route(
        &mut self,
        path: &'static str,
        _: MethodRouter<AppState>,
        operation: impl FnOnce() -> Option<Operation>,
    ) {
        if let Some(operation) = operation() {
            self.refused.extend(operation.refusals);
            let described = describe(&operation, &mut self.generator);
            self.paths.insert(path.to_owned(), json!({ "get": described }));
        }
    }
}

/// Groups of routes.
pub(super) const JUDGED: &str = "diagnosis";
pub(super) const COUNTED: &str = "counts";
pub(super) const TOLD: &str = "events";
pub(super) const ITSELF: &str = "daemon";
const TAGS: [(&str, &str); 4] = [
    (JUDGED, "What is wrong, with whom, why, and what to change."),
    (COUNTED, "What was counted."),
    (TOLD, "What happened, one by one."),
    (ITSELF, "How the daemon is."),
];

fn describe(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let Operation { id, tag, summary, parameters, answer, refusals } = operation;
    let mut parameters: Vec<Value> = parameters().iter().map(parameter).collect();
    let content = match answer {
        Answer::Json(schema) => json!({ "application/json": { "schema": schema(generator) } }),
        Answer::Text(kinds) => {
            let kinds =
                kinds.iter().map(|kind| ((*kind).to_owned(), json!({ "schema": { "type": "string" } })));
            Value::Object(kinds.collect())
        }
        Answer::Stream => {
            parameters.push(last_event_id());
            json!({ "text/event-stream": messages(generator) })
        }
    };
    let mut responses = Map::new();
    responses.insert("200".to_owned(), json!({ "description": "As asked for.", "content": content }));
    for (status, name, _) in REFUSALS.into_iter().filter(|(status, _, _)| refusals.contains(status)) {
        let reference = json!({ "$ref": format!("#/components/responses/{name}") });
        responses.insert(status.as_u16().to_string(), reference);
    }
    json!({
        "operationId": id,
        "tags": [tag],
        "summary": summary,
        "parameters": parameters,
        "responses": responses,
    })
}

fn parameter(known: &Known) -> Value {
    let Known { name, about, form, default } = known;
    let mut schema = form.schema();
    if let (Some(default), Some(schema)) = (default, schema.as_object_mut()) {
        schema.insert("default".to_owned(), form.value(default));
    }
    json!({ "name": name, "in": "query", "description": about, "schema": schema })
}

fn last_event_id() -> Value {
    json!({
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The same as `after`, and stronger: a browser that reconnects sends it.",
        "schema": { "type": "integer", "minimum": 0 },
    })
}

/// `OpenAPI` 3.1 has no words for the messages of a stream, so these are an extension: the schema of `data` by the name of the message.
fn messages(generator: &mut SchemaGenerator) -> Value {
    let event = generator.subschema_for::<EventView>();
    let lagged = generator.subschema_for::<LaggedView>();
    let mut messages: Map<String, Value> =
        stream::OF_EVENTS.into_iter().map(|name| (name.to_owned(), event.clone().to_value())).collect();
    messages.insert(stream::LAGGED.to_owned(), lagged.to_value());
    json!({
        "schema": {
            "type": "string",
            "description": "Server-sent events. `x-messages` has the schema of each message's data, which is one line of JSON.",
        },
        "x-messages": messages,
    })
}

fn refusal(status: StatusCode, about: &str, error: &Schema) -> Value {
    let content = json!({ "application/json": { "schema": error } });
    if status != StatusCode::SERVICE_UNAVAILABLE {
        return json!({ "description": about, "content": content });
    }
    let seconds = json!({ "type": "integer", "minimum": 0 });
    let retry = json!({ "description": "Seconds after which to try again.", "schema": seconds });
    json!({ "description": about, "content": content, "headers": { "Retry-After": retry } })
}
