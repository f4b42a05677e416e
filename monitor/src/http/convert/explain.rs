//! A diagnosis to its JSON.

use jiff::Timestamp;

use super::names::scope_name;
use super::owners::namespace_cgroup;
use super::{burst_view, counts_view, event_time};
use crate::advice::numbers::{Range, Spread};
use crate::advice::settings::Setting;
use crate::diagnosis::{CauseEvidence, Diagnosis, Fix, ListenerFacts, OwnerSeen, TtlSeen, Unseen, Verdict};
use crate::event::{Direction, role_name};
use crate::publish::Known;
use crate::verdict::{AppSaw, Confidence};
use crate::view::event::BacklogView;
use crate::view::explain::{
    CauseView, DiagnosisView, ExplainView, FixView, IdleClosesView, ListenerFactsView, OwnerSeenView,
    RangeView, SettingView, SpreadView, TtlView, UnseenView, VerdictView,
};

/// The whole answer: `matching` were found, of which these are shown.
pub fn explain_view(
    taken: Timestamp,
    since: Timestamp,
    events_since: Option<Timestamp>,
    matching: usize,
    diagnoses: &[Diagnosis],
    known: Known<'_>,
) -> ExplainView {
    ExplainView {
        time: taken.to_string(),
        since: since.to_string(),
        events_since: events_since.map(event_time),
        matching,
        diagnoses: diagnoses.iter().map(|diagnosis| diagnosis_view(diagnosis, known)).collect(),
    }
}

/// One of them.
pub fn diagnosis_view(diagnosis: &Diagnosis, known: Known<'_>) -> DiagnosisView {
    let Diagnosis {
        peer,
        port,
        role,
        netns,
        peers,
        since: _,
        counts,
        verdict,
        causes,
        peer_closes,
        own_closes,
        listener,
        fixes,
        unseen,
    } = diagnosis;
    DiagnosisView {
        peer: peer.map(|peer| peer.to_string()),
        name: peer.and_then(|scope| scope_name(scope, *port, *role, known)),
        port: *port,
        role: role_name(*role).to_owned(),
        netns: *netns,
        cgroup: netns.and_then(|netns| namespace_cgroup(netns, known)),
        peers: *peers,
        verdict: verdict_view(verdict),
        counts: counts_view(counts),
        evidence: causes.iter().map(cause_view).collect(),
        idle_closes: IdleClosesView {
            peer: peer_closes.map(spread_view),
            local: own_closes.map(spread_view),
        },
        listener: listener.map(|ListenerFacts { overflows, queue, drops }| ListenerFactsView {
            overflows,
            queue: queue.map(|queue| BacklogView { waiting: queue.backlog, limit: queue.limit }),
            drops,
        }),
        fixes: fixes.iter().map(fix_view).collect(),
        unseen: unseen.iter().map(unseen_view).collect(),
    }
}

fn verdict_view(verdict: &Verdict) -> VerdictView {
    let Verdict {
        finding,
        sentence,
        cause,
        direction,
        count,
        of,
        confidence,
        connection_ratio,
        exchange_ratio,
    } = verdict;
    VerdictView {
        finding: finding.name().to_owned(),
        sentence: sentence.clone(),
        cause: cause.map(|cause| cause.name().to_owned()),
        direction: direction.map(|direction| direction.name().to_owned()),
        count: *count,
        of: *of,
        confidence: confidence.map(|confidence| confidence.name().to_owned()),
        connection_ratio: *connection_ratio,
        exchange_ratio: *exchange_ratio,
    }
}

fn cause_view(seen: &CauseEvidence) -> CauseView {
    let CauseEvidence {
        cause,
        direction,
        count,
        events,
        confidence,
        idle,
        app_saw,
        first,
        last,
        owners,
        exit_signals,
        oom_kills,
        ttl,
        reasons,
        bursts,
        other_ends,
        exchanges,
        unread,
        examples,
    } = seen;
    let named = |(confidence, count): &(Confidence, usize)| (confidence.name().to_owned(), *count);
    let saw = |(app_saw, count): &(AppSaw, usize)| (app_saw.name().to_owned(), *count);
    CauseView {
        cause: cause.name().to_owned(),
        direction: direction.name().to_owned(),
        count: *count,
        events: *events,
        confidence: confidence.iter().map(named).collect(),
        idle: idle.map(spread_view),
        app_saw: app_saw.iter().map(saw).collect(),
        first: first.map(event_time),
        last: last.map(event_time),
        owners: owners
            .iter()
            .map(|OwnerSeen { comm, pid, count }| OwnerSeenView {
                comm: comm.clone(),
                pid: *pid,
                count: *count,
            })
            .collect(),
        // Looked up beside the events' way, so who asks adds it.
        here: Vec::new(),
        exit_signals: exit_signals.iter().copied().collect(),
        oom_kills: *oom_kills,
        ttl: ttl.map(|TtlSeen { compared, apart, reset, baseline, example: _ }| TtlView {
            compared,
            apart,
            reset: range_view(reset),
            baseline: range_view(baseline),
        }),
        reasons: reasons.iter().cloned().collect(),
        bursts: bursts.iter().copied().map(burst_view).collect(),
        other_ends: *other_ends,
        exchanges: exchanges.map(range_view),
        unread_bytes: unread.map(range_view),
        examples: examples.clone(),
    }
}

fn spread_view(spread: Spread) -> SpreadView {
    let Spread { count, min, median, max } = spread;
    SpreadView { count, min: min.as_secs_f64(), median: median.as_secs_f64(), max: max.as_secs_f64() }
}

const fn range_view(range: Range) -> RangeView {
    let Range { count: _, min, max } = range;
    RangeView { min, max }
}

fn fix_view(fix: &Fix) -> FixView {
    let Fix { cause, direction, advice } = fix;
    let setting = |Setting { software, side, setting, value, place }: &Setting| SettingView {
        software: software.name().to_owned(),
        side: side.name().to_owned(),
        setting: setting.clone(),
        value: value.clone(),
        place: (*place).to_owned(),
    };
    FixView {
        cause: cause.name().to_owned(),
        direction: Direction::name(*direction).to_owned(),
        advice: advice.text.clone(),
        settings: advice.settings.iter().map(setting).collect(),
    }
}

fn unseen_view(unseen: &Unseen) -> UnseenView {
    let Unseen { signal, status, why, advice } = unseen;
    let text = |text: &String| (!text.is_empty()).then(|| text.clone());
    UnseenView {
        signal: (*signal).to_owned(),
        status: status.name().to_owned(),
        why: text(why),
        advice: text(advice),
    }
}
