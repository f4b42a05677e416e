//! `/api/v1/overview`: is anything wrong, with whom, why, and what to change.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::response::Response;

use super::api::Pairs;
use super::convert::explain::diagnosis_view;
use super::convert::history::sums_view;
use super::convert::owners::whose;
use super::error::ApiError;
use super::filter::PeerFilter;
use super::filter::pattern::PeerPattern;
use super::query::{self, Params};
use super::{AppState, held};
use crate::alerts::book::State as AlertState;
use crate::diagnosis::{Host, diagnose, select};
use crate::event::{Told, role_name};
use crate::publish::history::HISTORY;
use crate::snapshot::{PeerLabel, SignalStatus, Snapshot};
use crate::summary::{Facts, Summary, WINDOW, WINDOW_INTERVALS, summarize, target};
use crate::trend::Resolution;
use crate::view::explain::DiagnosisView;
use crate::view::overview::{HealthView, OverviewView, SubjectView};

/// A diagnosis in rows of lists, by its size.
const ROWS: usize = 30;

/// `/api/v1/overview`.
pub(super) async fn overview(
    State(state): State<AppState>,
    Query(pairs): Pairs,
) -> Result<Response, ApiError> {
    Params::read(pairs, query::none)?;
    let places = held::places(&state.rows, ROWS, "overviews")?;
    let snapshot = state.fresh().await;
    let report = state.published.alerts();
    let in_state = |wanted| report.rows.iter().filter(|row| row.state() == wanted).count();
    let misaligned = misaligned(&snapshot);
    let (peers, open) = (peers(&snapshot), open(&snapshot));
    let uptime = Duration::try_from_secs_f64(snapshot.uptime_seconds).unwrap_or_default();
    let (summary, recent) = state.published.past(|trend| {
        let facts = Facts { alerts: &report.rows, trend, misaligned, uptime, peers, open };
        let recent = sums_view(trend, trend.total(), Resolution::Fine, WINDOW_INTERVALS, true);
        (summarize(&facts), recent)
    });
    // Rows of all peers are made only when there is somebody to explain.
    let diagnosis = match summary.subject.as_ref().and_then(target) {
        Some((peer, port, role)) => {
            let peer = peer.map(PeerPattern::of);
            let filter = PeerFilter { peer, port, role: Some(role), ..PeerFilter::default() };
            diagnosis(&state, &filter).await
        }
        None => None,
    };
    let Summary { state: how, headline, subject, runbook } = summary;
    let advice = diagnosis.as_ref().and_then(|found| found.fixes.first()).map(|fix| fix.advice.clone());
    let view = OverviewView {
        time: snapshot.taken.to_string(),
        since: snapshot.started.to_string(),
        version: state.settings.version.clone(),
        kernel: state.settings.kernel.clone(),
        uptime_seconds: snapshot.uptime_seconds,
        state: how.name().to_owned(),
        headline,
        subject: subject.as_ref().and_then(target).map(|(peer, port, role)| SubjectView {
            peer: peer.map(|peer| peer.to_string()),
            port,
            role: role_name(role).to_owned(),
        }),
        why: diagnosis.as_ref().map(|found| found.verdict.sentence.clone()),
        change: advice.or_else(|| runbook.map(str::to_owned)),
        diagnosis,
        window_seconds: WINDOW.as_secs(),
        recent,
        peers,
        open,
        firing: in_state(AlertState::Firing),
        pending: in_state(AlertState::Pending),
        misaligned: misaligned.0,
        health: health(&state, &snapshot),
    };
    held::json(&view, places)
}

async fn diagnosis(state: &AppState, filter: &PeerFilter) -> Option<DiagnosisView> {
    let snapshot = state.fresh_with_peers().await;
    let signals = state.published.signals();
    let host = Host::new(&snapshot, &signals)?;
    let mut kept: Vec<Arc<Told>> = state.published.history_before(u64::MAX, HISTORY);
    kept.reverse();
    let (subjects, _) = select(filter, &host, &kept, 1);
    let mut view = diagnosis_view(&diagnose(subjects.first()?, &host), state.published.known());
    for cause in &mut view.evidence {
        cause.here = whose(&kept, &cause.examples, state.published.known());
    }
    Some(view)
}

/// How many pairs there are of which the server's timeout ends first, and the worst of them.
fn misaligned(snapshot: &Snapshot) -> (usize, Option<PeerLabel>) {
    let negative =
        snapshot.timeout_series.iter().filter_map(|series| Some((series.margin_ms?, series.label)));
    let negative: Vec<_> = negative.filter(|(margin, _)| *margin < 0).collect();
    (negative.len(), negative.iter().min().map(|(_, label)| *label))
}

fn peers(snapshot: &Snapshot) -> Option<u64> {
    let of = |name| snapshot.fills.iter().find(|fill| fill.name == name).and_then(|fill| fill.used);
    [of("client_peers"), of("server_peers")].into_iter().flatten().reduce(|sum, used| sum + used)
}

fn open(snapshot: &Snapshot) -> Option<u64> {
    snapshot.walk.map(|_| snapshot.open_series.iter().map(|series| series.open).sum())
}

fn health(state: &AppState, snapshot: &Snapshot) -> HealthView {
    let signals = state.published.signals();
    let count = |status| signals.iter().filter(|row| row.status == status).count();
    HealthView {
        works: count(SignalStatus::Works),
        degraded: count(SignalStatus::Degraded),
        missing: count(SignalStatus::Missing),
        lost: snapshot.stories.kinds.iter().map(|kind| kind.lost).sum(),
        unattributed: snapshot.unattributed + snapshot.unattributed_overflows.unwrap_or(0),
    }
}
