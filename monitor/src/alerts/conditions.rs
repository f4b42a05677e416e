//! Whether each alert holds at an evaluation.

use std::collections::HashSet;
use std::time::Duration;

use super::book::Measure;
use super::catalog::Alert;
use super::peers::{Added, Volume};
use super::rules::Rule;
use super::subject::{Identity, Listener, Subject};
use super::ticks::{Base, Trail};
use super::{Engine, PairReading};
use crate::counts::Stories;
use crate::snapshot::listening::{ConntrackRow, ListenerOverflows, Listening};
use crate::snapshot::{SignalRow, SignalStatus};

/// Alerts that count resets of a peer.
const OF_RESETS: [Alert; 5] = [
    Alert::ResetRatioHigh,
    Alert::ConnectionResetRatioHigh,
    Alert::IdleReuseResets,
    Alert::MiddleboxResets,
    Alert::ResetBurst,
];

impl Engine {
    pub(super) fn check_peers(&mut self, tick: u32, now: Duration) {
        let Self { rules, ticks, peers, counts: _, book } = self;
        for (subject, since) in peers.increases(ticks) {
            for alert in OF_RESETS {
                let Some(rule) = rules.on(alert, subject) else { continue };
                let Some(base) = ticks.base(rule.window) else { continue };
                if let Some(measure) = measure(alert, &rule, &since(base)) {
                    book.holds(Identity { alert, subject: *subject }, rule, measure, tick, now);
                }
            }
        }
    }

    pub(super) fn check_pairs(&mut self, pairs: &[PairReading], tick: u32, now: Duration) {
        let alert = Alert::KeepAliveMisaligned;
        for &PairReading { service, margin_ms } in pairs {
            let subject = Subject::of(service);
            let measure = Measure::Margin { milliseconds: margin_ms };
            if let Some(rule) = self.rules.on(alert, &subject)
                && measure.value() < rule.threshold
            {
                self.book.holds(Identity { alert, subject }, rule, measure, tick, now);
            }
        }
    }

    /// What is counted since the start, besides peers.
    pub(super) fn check_counts(
        &mut self,
        listening: &Listening,
        stories: &Stories,
        tick: u32,
        now: Duration,
    ) {
        let lost = stories.kinds.iter().map(|kind| kind.lost).sum();
        let mut counts = vec![(Alert::EventsLost, Subject::Host, lost)];
        counts.extend(overflows(listening).map(|(subject, count)| (Alert::ListenOverflow, subject, count)));
        // One that is gone begins anew when it comes again.
        let counted: HashSet<Subject> = counts.iter().map(|(_, subject, _)| *subject).collect();
        self.counts.retain(|subject, _| counted.contains(subject));
        for (alert, subject, count) in counts {
            let trail = self.counts.entry(subject).or_default();
            if trail.last().is_some_and(|last| count < last) {
                *trail = Trail::default();
            }
            if count > 0 {
                trail.note(tick, count, self.ticks.oldest());
            }
            let Some(rule) = self.rules.on(alert, &subject) else { continue };
            let before = match self.ticks.base(rule.window) {
                Some(Base::Start) => 0,
                Some(Base::Tick(base)) => trail.at(base).unwrap_or(0),
                None => continue,
            };
            let measure = Measure::Count(count.saturating_sub(before));
            // Of what is lost, any that is more than none.
            let is_enough = alert != Alert::EventsLost && measure.value() >= rule.threshold;
            if is_enough || measure.value() > rule.threshold {
                self.book.holds(Identity { alert, subject }, rule, measure, tick, now);
            }
        }
    }

    /// What is so now, however it came about.
    pub(super) fn check_levels(
        &mut self,
        listening: &Listening,
        signals: &[SignalRow],
        tick: u32,
        now: Duration,
    ) {
        let (alert, subject) = (Alert::ConntrackNearlyFull, Subject::Host);
        if let Some(ConntrackRow { entries: Some(part), limit: Some(whole), drops: _ }) = listening.conntrack
            && let Some(rule) = self.rules.on(alert, &subject)
        {
            let measure = Measure::Share { part, whole };
            if measure.value() > rule.threshold {
                self.book.holds(Identity { alert, subject }, rule, measure, tick, now);
            }
        }
        let alert = Alert::SignalMissing;
        for signal in signals.iter().filter(|signal| signal.status == SignalStatus::Missing) {
            let subject = Subject::Signal(signal.signal);
            if let Some(rule) = self.rules.on(alert, &subject) {
                self.book.holds(Identity { alert, subject }, rule, Measure::Missing, tick, now);
            }
        }
    }
}

/// What an alert on resets of a peer goes by, if that is enough for it. What must hold for a window before it fires has an exact one by
/// then. What fires sooner must hold whatever the volume was in a window that is not exact.
fn measure(alert: Alert, rule: &Rule, added: &Added) -> Option<Measure> {
    let Added { resets, volume, least, most } = added;
    let share = |of: fn(&Volume) -> u32| {
        let (volume, enough) =
            if rule.lasting >= rule.window { (of(volume), of(volume)) } else { (of(most), of(least)) };
        let measure = Measure::Share { part: resets.reset.into(), whole: volume.into() };
        let is_enough = u64::from(resets.reset) >= rule.min_resets
            && u64::from(enough) >= rule.min_volume
            && resets.reset > 0
            && enough > 0;
        (is_enough && measure.value() > rule.threshold).then_some(measure)
    };
    let count = |count: u32| {
        let measure = Measure::Count(count.into());
        (count > 0 && measure.value() >= rule.threshold).then_some(measure)
    };
    match alert {
        Alert::ResetRatioHigh => share(|volume| volume.exchanges),
        Alert::ConnectionResetRatioHigh => share(|volume| volume.closed),
        Alert::IdleReuseResets => count(resets.idle_reuse),
        Alert::MiddleboxResets => count(resets.middlebox),
        Alert::ResetBurst => count(resets.reset),
        Alert::KeepAliveMisaligned
        | Alert::ListenOverflow
        | Alert::ConntrackNearlyFull
        | Alert::EventsLost
        | Alert::SignalMissing => None,
    }
}

/// Overflows by listener; the kernel's sum where nobody counts them apart.
fn overflows(listening: &Listening) -> impl Iterator<Item = (Subject, u64)> {
    let of = |listener, netns, count| (Subject::Listener { netns, listener }, count);
    let (apart, rest) = match &listening.overflows {
        Some(ListenerOverflows { rows, series: _, beyond }) => {
            (rows.as_slice(), Some(of(Listener::Other, None, *beyond)))
        }
        None => (&[][..], listening.listen_overflows.map(|count| of(Listener::Unknown, None, count))),
    };
    apart.iter().map(move |row| of(Listener::At(row.address), Some(row.netns), row.counts.sum())).chain(rest)
}
