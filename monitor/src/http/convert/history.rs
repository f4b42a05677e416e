//! The past to its JSON.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use crate::event::{Direction, role_name};
use crate::snapshot::{IDLE_BOUNDS, IdleHistogram, PeerLabel, Snapshot};
use crate::trend::{Key, Resolution, Series, Trend};
use crate::view::history::{HistoryView, IdleHistogramView, PastSumsView, PastView, PeerPastView};

/// A peer of which something of the past is known.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// Who.
    pub label: PeerLabel,
    /// Its numbers.
    pub series: Option<&'a Series>,
    /// How long its connections had been quiet before resets.
    pub idle: Option<&'a IdleHistogram>,
}

/// The whole answer: `matching` peers were found, of which these are shown.
pub fn history_view(
    trend: &Trend,
    snapshot: &Snapshot,
    resolution: Resolution,
    peers: &[Past<'_>],
    matching: usize,
) -> HistoryView {
    let intervals = trend.intervals(resolution);
    let began = intervals.start().saturating_mul(resolution.step().as_secs());
    let after = SignedDuration::from_secs(i64::try_from(began).unwrap_or(i64::MAX));
    HistoryView {
        time: snapshot.taken.to_string(),
        since: snapshot.started.to_string(),
        step_seconds: resolution.step().as_secs(),
        start: began_at(snapshot).checked_add(after).unwrap_or(Timestamp::MAX).to_string(),
        intervals: intervals.count(),
        total: past_view(trend, trend.total(), resolution, true),
        peers: peers.iter().map(|past| peer_view(trend, past, resolution)).collect(),
        matching,
        most_peers: crate::trend::MOST_PEERS,
    }
}

/// The sums over the last `count` intervals.
pub fn sums_view(
    trend: &Trend,
    series: &Series,
    resolution: Resolution,
    count: u64,
    is_total: bool,
) -> PastSumsView {
    let sum = |key| trend.sum(series, key, resolution, count);
    let (closed, exchanges, reset) = (sum(Key::Closed), sum(Key::Exchanges), sum(Key::Reset));
    let mut causes = [BTreeMap::new(), BTreeMap::new()];
    let mut main: BTreeMap<&'static str, u64> = BTreeMap::new();
    for (direction, cause, key) in resets(series) {
        let resets = sum(key);
        if resets > 0 {
            of(&mut causes, direction).insert(cause.to_owned(), resets);
            *main.entry(cause).or_default() += resets;
        }
    }
    let [resets_sent, resets_received] = causes;
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people to read")]
    let ratio = |whole: u64| (whole > 0).then(|| (reset as f64 / whole as f64).min(1.0));
    PastSumsView {
        opened: sum(Key::Opened),
        closed,
        exchanges,
        reset,
        aborted: sum(Key::Aborted),
        refused_received: sum(Key::Refused),
        overflows: is_total.then(|| sum(Key::Overflows)),
        resets_sent,
        resets_received,
        main_cause: main.into_iter().max_by_key(|(_, count)| *count).map(|(cause, _)| cause.to_owned()),
        connection_ratio: ratio(closed),
        exchange_ratio: ratio(exchanges),
    }
}

/// When the daemon's time began, on the wall clock of the snapshot: that clock may have been set since the start.
fn began_at(snapshot: &Snapshot) -> Timestamp {
    let uptime = SignedDuration::try_from_secs_f64(snapshot.uptime_seconds).unwrap_or(SignedDuration::ZERO);
    let began = snapshot.taken.checked_sub(uptime).unwrap_or(snapshot.started);
    // To the second: two answers should not differ by what it takes to read a clock.
    Timestamp::from_second(began.as_second()).unwrap_or(began)
}

fn peer_view(trend: &Trend, past: &Past<'_>, resolution: Resolution) -> PeerPastView {
    let Past { label, series, idle } = past;
    PeerPastView {
        peer: label.scope.to_string(),
        port: label.port,
        role: role_name(label.role).to_owned(),
        past: series.map(|series| past_view(trend, series, resolution, false)),
        idle_before_reset: idle.map(|IdleHistogram { buckets, sum, fine: _ }| IdleHistogramView {
            bounds_seconds: IDLE_BOUNDS.to_vec(),
            counts: buckets.to_vec(),
            sum_seconds: *sum,
        }),
    }
}

fn past_view(trend: &Trend, series: &Series, resolution: Resolution, is_total: bool) -> PastView {
    let points = |key| -> Vec<Option<u32>> {
        let point = |at| trend.is_known(resolution, at).then(|| series.get(key, resolution, at));
        trend.intervals(resolution).map(point).collect()
    };
    let mut causes = [BTreeMap::new(), BTreeMap::new()];
    for (direction, cause, key) in resets(series) {
        let points = points(key);
        if points.iter().flatten().any(|count| *count > 0) {
            of(&mut causes, direction).insert(cause.to_owned(), points);
        }
    }
    let [resets_sent, resets_received] = causes;
    PastView {
        sums: sums_view(trend, series, resolution, u64::MAX, is_total),
        opened: points(Key::Opened),
        closed: points(Key::Closed),
        exchanges: points(Key::Exchanges),
        reset: points(Key::Reset),
        aborted: points(Key::Aborted),
        refused_received: points(Key::Refused),
        overflows: is_total.then(|| points(Key::Overflows)),
        resets_sent,
        resets_received,
    }
}

fn of<T>(directions: &mut [T; 2], direction: Direction) -> &mut T {
    let [sent, received] = directions;
    match direction {
        Direction::Sent => sent,
        Direction::Received => received,
    }
}

fn resets(series: &Series) -> impl Iterator<Item = (Direction, &'static str, Key)> {
    series.keys().filter_map(|key| match key {
        Key::Resets(direction, cause) => Some((direction, cause.name(), key)),
        Key::Opened
        | Key::Closed
        | Key::Exchanges
        | Key::Reset
        | Key::Aborted
        | Key::Refused
        | Key::Overflows => None,
    })
}
