//! JSON Schemas of the API and of what commands print by themselves, from the types of [`crate::view`] and the closed lists behind their strings.
//!
//! Those of an event and of the history are committed as `docs/schema/*.schema.json`, for users who need no more, beside those of
//! `check` and `probe`, which ask no daemon; all of the API are parts of the document that [`super::openapi`] makes.

use std::net::{Ipv4Addr, Ipv6Addr};

use monitor_common::counters::Kind;
use monitor_common::peer::{Ended, Role, Side};
use monitor_common::record::Stage;
use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::convert::{ended_name, family_name, shutdown_name, side_name};
use crate::advice::settings::Side as SettingSide;
use crate::alerts::book::State as AlertState;
use crate::alerts::catalog::{Alert, Severity};
use crate::cause::Cause;
use crate::command::probe::view::ProbeView;
use crate::diagnosis::Finding;
use crate::event::{Counted, Direction, role_name};
use crate::idle::Basis;
use crate::owners::By;
use crate::snapshot::SignalStatus;
use crate::summary::State as OverviewState;
use crate::timeouts::alignment::Verdict as Alignment;
use crate::verdict::{AppSaw, Confidence, Fact};
use crate::view::EventView;
use crate::view::check::CheckView;
use crate::view::history::HistoryView;

/// The schema of one event, draft 2020-12. Every key is required, none is unknown, and closed lists are closed.
pub fn event_schema() -> Value {
    schema_of::<EventView>()
}

/// The schema of `/api/v1/history`, likewise.
pub fn history_schema() -> Value {
    schema_of::<HistoryView>()
}

/// The schema of what `check -o json` prints, likewise.
pub fn check_schema() -> Value {
    schema_of::<CheckView>()
}

/// The schema of what `probe -o json` prints, likewise.
pub fn probe_schema() -> Value {
    schema_of::<ProbeView>()
}

fn schema_of<T: JsonSchema>() -> Value {
    let mut schema = settings().into_generator().into_root_schema_for::<T>();
    refine(&mut schema);
    schema.to_value()
}

/// Makes schemas that refer to each other within a document of the API, whose dialect this draft is.
pub(super) fn generator() -> SchemaGenerator {
    settings()
        .with(|settings| "/components/schemas".clone_into(settings.definitions_path.to_mut()))
        .into_generator()
}

/// All that were referred to, by name.
pub(super) fn definitions(mut generator: SchemaGenerator) -> Map<String, Value> {
    let mut definitions = generator.take_definitions(true);
    for definition in definitions.values_mut() {
        if let Ok(schema) = definition.try_into() {
            refine(schema);
        }
    }
    definitions
}

fn settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().for_serialize()
}

fn refine(schema: &mut Schema) {
    RecursiveTransform(close).transform(schema);
    RecursiveTransform(join_lines).transform(schema);
}

/// No other keys than those described.
fn close(schema: &mut Schema) {
    if schema.get("properties").is_some() {
        schema.insert("additionalProperties".to_owned(), json!(false));
    }
}

/// Doc comments are broken into lines for the eye only.
fn join_lines(schema: &mut Schema) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

/// The list for a key that may be `null`.
pub(crate) fn or_null(mut names: Value) -> Value {
    if let Value::Array(names) = &mut names {
        names.push(Value::Null);
    }
    names
}

/// For an object with keys from this list.
pub(crate) fn keys(names: Value) -> Value {
    Value::Object([("enum".to_owned(), names)].into_iter().collect())
}

pub(crate) fn kinds() -> Value {
    json!(Kind::ALL.map(Kind::name))
}

pub(crate) fn ways() -> Value {
    json!(By::ALL.map(By::name))
}

pub(crate) fn directions() -> Value {
    json!([Direction::Sent, Direction::Received].map(Direction::name))
}

pub(crate) fn families() -> Value {
    json!([family_name(Ipv4Addr::UNSPECIFIED.into()), family_name(Ipv6Addr::UNSPECIFIED.into())])
}

pub(crate) fn roles() -> Value {
    json!([Role::Client, Role::Server].map(role_name))
}

pub(crate) fn causes() -> Value {
    // What has a story is never without a verdict: only counts are.
    let told = Cause::ALL.into_iter().filter(|cause| *cause != Cause::Unclassified);
    told.map(Cause::name).collect()
}

pub(crate) fn counted_causes() -> Value {
    json!(Cause::ALL.map(Cause::name))
}

pub(crate) fn alerts() -> Value {
    json!(Alert::ALL.map(Alert::name))
}

pub(crate) fn alert_states() -> Value {
    json!(AlertState::ALL.map(AlertState::name))
}

pub(crate) fn severities() -> Value {
    json!([Severity::Critical, Severity::Warning].map(Severity::name))
}

pub(crate) fn statuses() -> Value {
    json!([SignalStatus::Works, SignalStatus::Degraded, SignalStatus::Missing].map(SignalStatus::name))
}

pub(crate) fn findings() -> Value {
    json!(Finding::ALL.map(Finding::name))
}

pub(crate) fn setting_sides() -> Value {
    json!([SettingSide::Client, SettingSide::Server, SettingSide::Path].map(SettingSide::name))
}

pub(crate) fn overview_states() -> Value {
    json!([OverviewState::Quiet, OverviewState::Attention, OverviewState::Wrong].map(OverviewState::name))
}

pub(crate) fn alignments() -> Value {
    json!(Alignment::ALL.map(Alignment::name))
}

pub(crate) fn confidences() -> Value {
    json!([Confidence::Certain, Confidence::Likely, Confidence::Possible].map(Confidence::name))
}

pub(crate) fn evidence() -> Value {
    json!({"type": "string", "enum": Fact::ALL.map(Fact::path)})
}

pub(crate) fn app_saws() -> Value {
    let all = [
        AppSaw::ConnectionRefused,
        AppSaw::ConnectionReset,
        AppSaw::EndOfFile,
        AppSaw::TimedOut,
        AppSaw::ConnectionAborted,
        AppSaw::Nothing,
    ];
    json!(all.map(AppSaw::name))
}

pub(crate) fn bases() -> Value {
    let all = [Basis::BeforeOurData, Basis::BeforePeersData, Basis::BeforeReset, Basis::BeforeFin];
    json!(all.map(Basis::name))
}

pub(crate) fn sides() -> Value {
    json!([Side::Local, Side::Peer].map(side_name))
}

pub(crate) fn endings() -> Value {
    let all = [Ended::OurFin, Ended::Unread, Ended::Chosen, Ended::Destroyed, Ended::Reset, Ended::PeerReset];
    json!(all.map(ended_name))
}

pub(crate) fn counted() -> Value {
    json!([Counted::Reset, Counted::Aborted].map(Counted::name))
}

pub(crate) fn stages() -> Value {
    json!([Stage::Syn, Stage::Ack].map(Stage::name))
}

pub(crate) fn shutdowns() -> Value {
    // Two bits.
    json!([0, 1, 2, 3].map(shutdown_name))
}
