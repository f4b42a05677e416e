//! What `-o json` prints: one object, at the end.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::outcome::{Answer, End, How, Outcome, Report, Reuse};
use super::summary::{By, Edge, Summary, Truth};
use crate::advice::numbers::Spread;
use crate::http::schema;

/// A whole run.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Probe")]
pub struct ProbeView {
    /// As typed.
    pub target: String,
    /// The address that was talked to.
    pub address: String,
    /// The peer's idle timeout; `null` when no connection was ended by it.
    pub timeout: Option<TimeoutView>,
    /// Seconds that `Keep-Alive: timeout=N` states.
    pub stated_seconds: Option<f64>,
    /// Whether that is `true`, `early`, `late` or `untold`.
    #[schemars(extend("enum" = schema::or_null(json!(Truth::ALL.map(Truth::name)))))]
    pub stated_is: Option<&'static str>,
    /// Whole seconds after which a client must give up by itself; `null` when nothing sane fits, or nothing was seen.
    pub client_at_most_seconds: Option<u64>,
    /// What that is below: `end`, the earliest end by the peer; `lost`, the earliest use that was lost; `waited`, how long this probe waited.
    #[schemars(extend("enum" = schema::or_null(json!(By::ALL.map(By::name)))))]
    pub client_below: Option<&'static str>,
    /// Where connections were used again: which quiet was answered.
    pub reuse: Option<ReuseView>,
    /// Each connection, in the order of their ends.
    pub connections: Vec<ConnectionView>,
}

/// Quiet times after which the peer ended connections.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProbeTimeout")]
pub struct TimeoutView {
    /// The middle one.
    pub seconds: f64,
    /// The shortest.
    pub shortest_seconds: f64,
    /// The longest.
    pub longest_seconds: f64,
    /// How many.
    pub samples: usize,
    /// How many by a reset.
    pub resets: usize,
}

/// What came of using connections again.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProbeReuse")]
pub struct ReuseView {
    /// How many were answered.
    pub answered: usize,
    /// The longest quiet among these.
    pub longest_answered_seconds: Option<f64>,
    /// How many met a reset.
    pub reset: usize,
    /// How many met a FIN or nothing.
    pub unanswered: usize,
    /// The shortest quiet among these two.
    pub shortest_lost_seconds: Option<f64>,
}

/// A connection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProbeConnection")]
pub struct ConnectionView {
    /// From 1.
    pub number: u32,
    /// This end.
    pub local: Option<String>,
    /// Of the first answer, if it was HTTP.
    pub status: Option<u16>,
    /// Quiet that was asked for.
    pub wanted_seconds: Option<f64>,
    /// Quiet before it was used again.
    pub idle_seconds: Option<f64>,
    /// `fin`, `reset`, `close_notify_fin`, `close_notify_reset` or `close_notify` for how the peer ended it while it was idle; `open`, or
    /// `never_quiet` when the peer sent by itself again and again; where it was used again `answered`, `reset`, `closed` or `no_answer`; `stopped` or `failed`.
    #[schemars(extend("enum" = results()))]
    pub result: &'static str,
    /// How the peer ended it while it was idle.
    #[schemars(extend("enum" = schema::or_null(json!(How::ALL.map(How::name)))))]
    pub ended_by: Option<&'static str>,
    /// After this quiet.
    pub ended_after_seconds: Option<f64>,
    /// How long it was quiet and open.
    pub open_after_seconds: Option<f64>,
    /// Bytes that came while it was held.
    pub unasked_bytes: u64,
    /// What failed.
    pub error: Option<String>,
}

/// What a connection's `result` may be.
fn results() -> Value {
    let reused = Reuse::ALL.map(Reuse::name).into_iter().filter(|name| *name != How::Reset.name());
    let others = ["open", "never_quiet", "stopped", "failed"];
    json!(How::ALL.map(How::name).into_iter().chain(reused).chain(others).collect::<Vec<_>>())
}

impl ProbeView {
    /// Of what was learnt.
    pub fn new(target: String, address: String, summary: &Summary, reports: &[Report]) -> Self {
        let Summary {
            ends,
            one_timer: _,
            by_reset,
            open: _,
            open_after: _,
            never_quiet: _,
            edge,
            stated,
            limit,
            client_at_most,
            failed: _,
        } = *summary;
        let timeout = ends.map(|Spread { count, min, median, max }| TimeoutView {
            seconds: median.as_secs_f64(),
            shortest_seconds: min.as_secs_f64(),
            longest_seconds: max.as_secs_f64(),
            samples: count,
            resets: by_reset,
        });
        let reuse =
            edge.map(|Edge { answered, longest_answered, reset, unanswered, shortest_lost }| ReuseView {
                answered,
                longest_answered_seconds: longest_answered.map(|time| time.as_secs_f64()),
                reset,
                unanswered,
                shortest_lost_seconds: shortest_lost.map(|time| time.as_secs_f64()),
            });
        Self {
            target,
            address,
            timeout,
            stated_seconds: stated.map(|(stated, _)| stated.as_secs_f64()),
            stated_is: stated.map(|(_, truth)| truth.name()),
            client_at_most_seconds: client_at_most,
            client_below: limit.filter(|_| client_at_most.is_some()).map(|limit| limit.by.name()),
            reuse,
            connections: reports.iter().map(connection).collect(),
        }
    }
}

fn connection(report: &Report) -> ConnectionView {
    let Report { number, local, wanted, answer, unasked, outcome } = report;
    let status = answer.as_ref().and_then(|answer| match answer {
        Answer::Http(head) => Some(head.status),
        Answer::Bytes(_) => None,
    });
    let base = ConnectionView {
        number: *number,
        local: local.map(|local| local.to_string()),
        status,
        wanted_seconds: wanted.map(|wanted| wanted.as_secs_f64()),
        idle_seconds: None,
        result: "stopped",
        ended_by: None,
        ended_after_seconds: None,
        open_after_seconds: None,
        unasked_bytes: *unasked,
        error: None,
    };
    let ended = |base: ConnectionView, end: Option<End>| ConnectionView {
        ended_by: end.map(|end| end.how.name()),
        ended_after_seconds: end.map(|end| end.after.as_secs_f64()),
        ..base
    };
    match outcome {
        Outcome::Ended(end) => ConnectionView { result: end.how.name(), ..ended(base, Some(*end)) },
        Outcome::Open { after } => {
            ConnectionView { result: "open", open_after_seconds: Some(after.as_secs_f64()), ..base }
        }
        Outcome::NeverQuiet { longest: _ } => ConnectionView { result: "never_quiet", ..base },
        Outcome::Reused { idle, before, reuse } => ConnectionView {
            result: reuse.name(),
            idle_seconds: Some(idle.as_secs_f64()),
            ..ended(base, *before)
        },
        Outcome::Stopped => base,
        Outcome::Failed(failure) => {
            ConnectionView { result: "failed", error: Some(failure.to_string()), ..base }
        }
    }
}
