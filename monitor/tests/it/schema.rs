//! The JSON Schema of an event: committed as it is made, true of every event, closed, and described in full.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use jsonschema::Validator;
use monitor::burst::Burst;
use monitor::cause::Cause;
use monitor::event::{Counted, Event, Fin, IdleCloses, Owner, Quiet, Told};
use monitor::http::convert::event_view;
use monitor::http::convert::owners::resolved_view;
use monitor::http::schema::{check_schema, event_schema, probe_schema};
use monitor::idle::{Basis, Idle};
use monitor::owners::{By, Owners};
use monitor::publish::Known;
use monitor::verdict::{AppSaw, Confidence, Fact, Verdict};
use monitor_common::counters::Kind;
use monitor_common::peer::{Ended, Side};
use monitor_common::record::Stage;
use serde_json::{Value, json};

use crate::names;
use crate::support::{answer, finally, overflow, provisional, refusal, rejection, told};

fn committed(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    std::fs::read_to_string(root.join(path)).unwrap()
}

fn schema() -> Value {
    serde_json::from_str(&committed("docs/schema/event.schema.json")).unwrap()
}

fn validator() -> Validator {
    jsonschema::draft202012::options().should_validate_formats(true).build(&schema()).unwrap()
}

#[track_caller]
fn validate(validator: &Validator, event: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(event).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert_eq!(errors, [""; 0], "{event:#}");
}

/// An event of which everything is known.
fn known(kind: Kind) -> Told {
    let base = told(1);
    let event = Event {
        kind,
        fin: Some(Fin {
            by: Side::Peer,
            quiet: Some(Quiet {
                age: Duration::from_millis(4),
                sent_age: Duration::from_mins(1),
                received_age: Duration::from_secs(61),
                last_bytes: 0,
                answered: false,
            }),
        }),
        idle: Some(Idle { time: Duration::from_mins(1), basis: Basis::BeforeFin, at_least: true }),
        peers_idle_closes: Some(IdleCloses {
            count: 7,
            least: Duration::from_mins(1),
            most: Duration::from_secs(61),
        }),
        ended: Some(Ended::OurFin),
        counted: Some(Counted::Aborted),
        baseline_ttl: Some(64),
        backlog: Some((129, 128)),
        stage: Some(Stage::Ack),
        cgroup_id: Some(u64::MAX),
        socket_inode: Some(4_711),
        owner: Some(Owner { exit_signal: Some(9), exiting: true, ..base.event.owner.clone().unwrap() }),
        socket: base.event.socket.map(|mut socket| {
            socket.ack_age = Some(Duration::ZERO);
            socket.data_segments_in = 0;
            socket.shutdown = Some(3);
            socket
        }),
        ..base.event
    };
    let verdict = Verdict::of(Cause::IdleReuse, Confidence::Certain, &Fact::ALL, Some(AppSaw::EndOfFile));
    let burst = Burst { id: 1, first: event.time, last: event.time, connections: 5, restart: true };
    Told { id: u64::MAX, event, verdict: Some(Verdict { other_end: Some(7), ..verdict }), burst: Some(burst) }
}

/// As JSON, with everything known about its socket and its ends.
fn known_view(kind: Kind) -> Value {
    let (owners, _questions) = Owners::new();
    owners.answer([(u64::MAX, answer("nginx", By::Hook))]);
    let names = names::knowing(&known(kind).event);
    serde_json::to_value(resolved_view(
        &known(kind),
        Known { owners: Some(&owners), names: Some(&names), residents: None },
    ))
    .unwrap()
}

/// What is `null` in an event, for the check that a sample knows everything.
fn nulls(value: &Value, path: &str, found: &mut Vec<String>) {
    if value.is_null() {
        found.push(path.to_owned());
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        nulls(value, &format!("{path}.{key}"), found);
    }
}

#[test]
fn the_committed_schemas_are_those_of_the_source() {
    for (name, schema) in [("check", check_schema()), ("event", event_schema()), ("probe", probe_schema())] {
        let committed: Value =
            serde_json::from_str(&committed(&format!("docs/schema/{name}.schema.json"))).unwrap();
        assert_eq!(committed, schema, "{name}: run `cargo xtask docs`");
    }
}

#[test]
fn every_kind_of_event_fits_the_schema_with_everything_known_and_with_nothing() {
    let validator = validator();
    for kind in Kind::ALL {
        let full = known_view(kind);
        let mut unknown = Vec::new();
        nulls(&full, "", &mut unknown);
        assert_eq!(unknown, [""; 0], "the sample knows everything");
        validate(&validator, &full);
        let nothing = Told { id: 1, event: Event::of_kind(kind), verdict: None, burst: None };
        validate(&validator, &serde_json::to_value(event_view(&nothing)).unwrap());
    }
    for told in [told(1), refusal(2), provisional(3), finally(4, Cause::Other), overflow(5), rejection(6)] {
        validate(&validator, &serde_json::to_value(event_view(&told)).unwrap());
    }
}

#[test]
fn an_event_that_says_more_less_or_something_else_does_not_fit() {
    let validator = validator();
    let good = known_view(Kind::ResetReceived);
    for key in good.as_object().unwrap().keys() {
        let mut less = good.clone();
        less.as_object_mut().unwrap().remove(key);
        assert!(!validator.is_valid(&less), "without {key}");
    }
    for (pointer, value) in [
        ("/kind", json!("reset")),
        ("/direction", json!("in")),
        ("/process/by", json!("guess")),
        ("/process/started", json!("yesterday")),
        ("/cgroup/container_id", json!(7)),
        ("/family", json!("ipx")),
        ("/peer/role", json!("proxy")),
        ("/cause", json!("unclassified")),
        ("/confidence", json!("sure")),
        ("/evidence", json!(["local.addr"])),
        ("/evidence", json!(["state", "state"])),
        ("/app_saw", json!("EPERM")),
        ("/idle/basis", json!("before")),
        ("/fin/by", json!("remote")),
        ("/ended_by", json!("fin")),
        ("/counted", json!("closed")),
        ("/stage", json!("fin")),
        ("/socket/shutdown", json!("all")),
        ("/time", json!("yesterday")),
        ("/id", json!(-1)),
        ("/local/port", json!(65_536)),
        ("/final", Value::Null),
        ("/new", json!(1)),
        ("/idle/new", json!(1)),
    ] {
        let mut bad = good.clone();
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[key] = value;
        assert!(!validator.is_valid(&bad), "{pointer}");
    }
}

/// Every field of the schema by its path: `idle.seconds`.
fn fields(schema: &Value, of: &Value, prefix: &str, found: &mut BTreeSet<String>) {
    for (name, field) in of["properties"].as_object().unwrap() {
        assert!(
            field["description"].is_string() || field["$ref"].is_string(),
            "{prefix}{name} is not described"
        );
        found.insert(format!("{prefix}{name}"));
        let reference = field["$ref"].as_str().or_else(|| field["anyOf"][0]["$ref"].as_str());
        if let Some(reference) = reference {
            let inner = schema.pointer(reference.trim_start_matches('#')).unwrap();
            fields(schema, inner, &format!("{prefix}{name}."), found);
        }
    }
}

#[test]
fn the_page_on_events_describes_every_field_and_no_other() {
    let schema = schema();
    let mut in_schema = BTreeSet::new();
    fields(&schema, &schema, "", &mut in_schema);
    let page = committed("docs/events.md");
    let (_, tables) = page.split_once("\n## Fields\n").unwrap();
    let (tables, _) = tables.split_once("\n## ").unwrap();
    let rows = tables.lines().filter_map(|line| line.strip_prefix("| `"));
    let on_page: BTreeSet<String> = rows.map(|row| row.split('`').next().unwrap().to_owned()).collect();
    assert_eq!(on_page, in_schema);
}

#[test]
fn the_page_on_events_explains_every_cause() {
    let page = committed("docs/events.md");
    for cause in Cause::ALL.into_iter().filter(|cause| *cause != Cause::Unclassified) {
        assert!(page.contains(&format!("\n| `{}` |", cause.name())), "{}", cause.name());
    }
}
