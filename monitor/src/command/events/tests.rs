//! What `events` says besides events.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::{EventFilter, EventsView, none, notices};

fn past(oldest: u64, started: &str) -> EventsView {
    EventsView {
        events: Vec::new(),
        missed: 0,
        next: 12_000,
        previous: None,
        oldest: Some(oldest),
        oldest_time: Some("2026-11-20T10:00:00.000000Z".to_owned()),
        newest: Some(12_000),
        started: started.to_owned(),
    }
}

fn since(time: &str) -> EventFilter {
    EventFilter { since: Some(time.parse().unwrap()), ..EventFilter::default() }
}

#[test]
fn a_reader_is_told_what_the_daemon_cannot_know() {
    let told = |past: &EventsView, filter: &EventFilter| notices(past, filter).join("\n");
    let early = "2026-11-20T08:00:00Z";
    let forgotten = told(&past(2_001, early), &since("2026-11-20T09:59:59Z"));
    assert!(forgotten.contains("2026-11-20T10:00:00.000000Z are no longer kept"), "{forgotten}");
    assert_eq!(told(&past(2_001, early), &since("2026-11-20T10:00:00Z")), "");
    assert_eq!(told(&past(1, early), &since("2026-11-20T08:00:00Z")), "");
    let unknown = told(&past(1, early), &since("2026-11-20T07:00:00Z"));
    assert!(unknown.contains("before 2026-11-20T08:00:00Z: the daemon was started then"), "{unknown}");
    assert_eq!(told(&past(2_001, early), &EventFilter::default()), "", "only who asks for a time cares");
}

#[test]
fn an_empty_answer_says_of_what_time_and_what_to_do() {
    let now: Timestamp = "2026-11-20T10:10:00Z".parse().unwrap();
    let now = now.to_zoned(TimeZone::UTC);
    let said = |filter: &EventFilter, follow| none(filter, &now, follow, None);
    let all = EventFilter::default();
    assert_eq!(said(&all, false), "no resets yet; -f waits for one");
    assert_eq!(said(&all, true), "no resets yet");
    let recent = since("2026-11-20T10:00:00Z");
    assert_eq!(said(&recent, false), "no resets in the last 10 min 0 s; -f waits for one");
    let window = EventFilter { until: Some(now.timestamp()), port: Some(80), ..recent };
    assert_eq!(said(&window, false), "no such event in this time");
}
