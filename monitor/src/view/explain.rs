//! `/api/v1/explain` as JSON: a verdict, its evidence, and the fix.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::names::NameView;
use super::owners::CgroupView;
use super::{BacklogView, BurstView, CountsView};
use crate::http::schema;

/// `/api/v1/explain`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Explain")]
pub struct ExplainView {
    /// When the counts were read.
    #[schemars(extend("format" = "date-time"))]
    pub time: String,
    /// When counting began.
    #[schemars(extend("format" = "date-time"))]
    pub since: String,
    /// Time of the oldest event that is kept: evidence is from then on; `null` before the first one.
    #[schemars(extend("format" = "date-time"))]
    pub events_since: Option<String>,
    /// How many peers, roles and namespaces match.
    pub matching: usize,
    /// The worst first.
    pub diagnoses: Vec<DiagnosisView>,
}

/// What is wrong with one peer, or with all peers of a port.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Diagnosis")]
pub struct DiagnosisView {
    /// Address, network, `other` or `retired`; `null` for all peers of the port.
    pub peer: Option<String>,
    /// What the cluster calls the peer; `null` where names are not asked for, and for what has none.
    pub name: Option<NameView>,
    /// Service port; `null` for `other` and `retired`.
    pub port: Option<u16>,
    /// `client` or `server`.
    #[schemars(extend("enum" = schema::roles()))]
    pub role: String,
    /// Namespace; `null` where it spans them all.
    pub netns: Option<u32>,
    /// What that belongs to; `null` for the daemon's own, and where nobody is known in it.
    pub cgroup: Option<CgroupView>,
    /// How many peers it is about.
    pub peers: usize,
    /// In one sentence.
    pub verdict: VerdictView,
    /// Counts since counting began.
    pub counts: CountsView,
    /// By cause and direction, the most important first.
    pub evidence: Vec<CauseView>,
    /// After which quiet connections were closed without a reset.
    pub idle_closes: IdleClosesView,
    /// Our listener; `null` as client.
    pub listener: Option<ListenerFactsView>,
    /// What to do, for at most three causes.
    pub fixes: Vec<FixView>,
    /// Signals that would have told more here, and are not served in full.
    pub unseen: Vec<UnseenView>,
}

/// The verdict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Verdict")]
pub struct VerdictView {
    /// `resets`, `overflows_only`, `refused_only`, `aborted_only` or `no_resets`.
    #[schemars(extend("enum" = schema::findings()))]
    pub finding: String,
    /// For people.
    pub sentence: String,
    /// The dominating cause.
    #[schemars(extend("enum" = schema::or_null(schema::counted_causes())))]
    pub cause: Option<String>,
    /// Who sent its resets.
    #[schemars(extend("enum" = schema::or_null(schema::directions())))]
    pub direction: Option<String>,
    /// How many of them.
    pub count: u64,
    /// Of how many in this direction.
    pub of: u64,
    /// How sure most of them are; `null` when no event of it is kept.
    #[schemars(extend("enum" = schema::or_null(schema::confidences())))]
    pub confidence: Option<String>,
    /// `reset / closed`; `null` before the first close.
    pub connection_ratio: Option<f64>,
    /// `reset / exchanges`; `null` before the first exchange.
    pub exchange_ratio: Option<f64>,
}

/// What was seen of a cause. But for `count`, it is from the events that are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Cause")]
pub struct CauseView {
    /// Why.
    #[schemars(extend("enum" = schema::counted_causes()))]
    pub cause: String,
    /// `sent` or `received`.
    #[schemars(extend("enum" = schema::directions()))]
    pub direction: String,
    /// How many were counted.
    pub count: u64,
    /// Of how many the event is kept.
    pub events: usize,
    /// How many by confidence.
    #[schemars(extend("propertyNames" = schema::keys(schema::confidences())))]
    pub confidence: BTreeMap<String, usize>,
    /// Quiet before, in seconds; `null` where no connection was known.
    pub idle: Option<SpreadView>,
    /// How many by what the application on this host saw, where that is known.
    #[schemars(extend("propertyNames" = schema::keys(schema::app_saws())))]
    pub app_saw: BTreeMap<String, usize>,
    /// Time of the first event kept.
    #[schemars(extend("format" = "date-time"))]
    pub first: Option<String>,
    /// Time of the last one.
    #[schemars(extend("format" = "date-time"))]
    pub last: Option<String>,
    /// Programs that closed the connections, the most frequent first.
    pub owners: Vec<OwnerSeenView>,
    /// Whose sockets on this host the newest events were about: `name[pid]`, a container or a systemd unit, as far as that is known.
    pub here: Vec<String>,
    /// How many by the signal the owner died of.
    pub exit_signals: BTreeMap<u8, usize>,
    /// How many of those came from the kernel's OOM killer.
    pub oom_kills: usize,
    /// TTL of received resets beside that of the handshake; `null` where either is not known.
    pub ttl: Option<TtlView>,
    /// How many by the kernel's reason.
    pub reasons: BTreeMap<String, usize>,
    /// Bursts, the last ones.
    pub bursts: Vec<BurstView>,
    /// Events whose other end is on this host, too.
    pub other_ends: usize,
    /// Exchanges that the connections had carried.
    pub exchanges: Option<RangeView>,
    /// Bytes that nobody had read.
    pub unread_bytes: Option<RangeView>,
    /// The newest events, for `/api/v1/events?after=ID-1`.
    pub examples: Vec<u64>,
}

/// Times in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Spread")]
pub struct SpreadView {
    /// How many.
    pub count: usize,
    /// The shortest.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The longest.
    pub max: f64,
}

/// Numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Range")]
pub struct RangeView {
    /// The smallest.
    pub min: u64,
    /// The largest.
    pub max: u64,
}

/// A program that closed connections.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "OwnerSeen")]
pub struct OwnerSeenView {
    /// Task name; hostile input, to be shown as text.
    pub comm: String,
    /// Its last process id.
    pub pid: u32,
    /// How often.
    pub count: usize,
}

/// TTLs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Ttl")]
pub struct TtlView {
    /// Resets of which both are known.
    pub compared: usize,
    /// Those that are apart by more than two.
    pub apart: usize,
    /// Of the resets.
    pub reset: RangeView,
    /// Of the handshakes.
    pub baseline: RangeView,
}

/// Closes after quiet: a hint of each side's timeout.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdleClosesBySide")]
pub struct IdleClosesView {
    /// By the peer, in seconds of quiet.
    pub peer: Option<SpreadView>,
    /// By this host.
    pub local: Option<SpreadView>,
}

/// Our listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "ListenerFacts")]
pub struct ListenerFactsView {
    /// How often its queue was full; `null` where no function hook counts that.
    pub overflows: Option<u64>,
    /// Its fullest queue, now or at an overflow.
    pub queue: Option<BacklogView>,
    /// Handshakes and segments that it dropped.
    pub drops: Option<u64>,
}

/// What to do about a cause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Fix")]
pub struct FixView {
    /// Why.
    #[schemars(extend("enum" = schema::counted_causes()))]
    pub cause: String,
    /// Who sent its resets.
    #[schemars(extend("enum" = schema::directions()))]
    pub direction: String,
    /// A paragraph.
    pub advice: String,
    /// Settings to paste; those that apply. None comes twice in a diagnosis.
    pub settings: Vec<SettingView>,
}

/// One setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Setting")]
pub struct SettingView {
    /// Of what.
    pub software: String,
    /// At which end: `client`, `server` or `path`.
    #[schemars(extend("enum" = schema::setting_sides()))]
    pub side: String,
    /// The lines to paste; what was not seen is a blank such as `<seconds>`.
    pub setting: String,
    /// The value in it; `null` when it is a blank, or does not depend on what was seen.
    pub value: Option<String>,
    /// Where the lines go.
    #[serde(rename = "where")]
    pub place: String,
}

/// A signal that is not served in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Unseen")]
pub struct UnseenView {
    /// Its name.
    pub signal: String,
    /// `degraded` or `missing`.
    #[schemars(extend("enum" = schema::statuses()))]
    pub status: String,
    /// What is not seen.
    pub why: Option<String>,
    /// What can be done.
    pub advice: Option<String>,
}
