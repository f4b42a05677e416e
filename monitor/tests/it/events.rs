//! `/api/v1/events`: filters, and paging in both directions.

use axum::http::StatusCode;
use monitor::event::{Event, Told};
use monitor::publish::history::HISTORY;
use monitor::view::EventsView;
use monitor_common::counters::Kind;

use crate::support::{Daemon, refusal, told};

async fn page(daemon: &Daemon, query: &str) -> EventsView {
    let answer = daemon.get(&format!("/api/v1/events?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json()
}

/// Ids of an answer's events.
async fn events(daemon: &Daemon, query: &str) -> Vec<u64> {
    let answer = daemon.get(&format!("/api/v1/events?{query}")).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text);
    answer.json::<EventsView>().events.into_iter().map(|event| event.id).collect()
}

#[tokio::test]
async fn events_are_the_last_ones_oldest_first_or_the_next_ones_after_an_id() {
    let daemon = Daemon::new();
    daemon.publish(1..=150);
    assert_eq!(events(&daemon, "").await, (51..=150).collect::<Vec<_>>());
    assert_eq!(events(&daemon, "limit=2").await, [149, 150]);
    assert_eq!(events(&daemon, "limit=2&after=7").await, [8, 9]);
    assert_eq!(events(&daemon, "after=150").await, [0; 0]);
}

#[tokio::test]
async fn events_are_filtered_by_each_of_their_properties() {
    let daemon = Daemon::new();
    daemon.publisher.event(told(1).into());
    daemon.publisher.event(refusal(2).into());
    for (query, expected) in [
        ("peer=10.0.0.0/24", vec![1]),
        ("peer=::ffff:127.0.0.1", vec![2]),
        ("port=443", vec![1]),
        ("port=40000", vec![2]),
        ("direction=sent", vec![1, 2]),
        ("direction=received", vec![]),
        ("cause=refused", vec![2]),
        ("kind=reset_sent", vec![1]),
        ("kind=reset_sent&cause=refused", vec![]),
        ("peer=other", vec![]),
    ] {
        assert_eq!(events(&daemon, query).await, expected, "{query}");
    }
}

/// An event at a moment.
fn at(id: u64, time: &str) -> Told {
    let event = Event { time: time.parse().unwrap(), ..told(id).event };
    Told { event, ..told(id) }
}

#[tokio::test]
async fn since_belongs_to_the_window_and_until_does_not() {
    let daemon = Daemon::new();
    daemon.publisher.event(at(1, "2026-11-20T02:59:59.999999999Z").into());
    daemon.publisher.event(at(2, "2026-11-20T03:00:00Z").into());
    daemon.publisher.event(at(3, "2026-11-20T03:00:00.000001Z").into());
    daemon.publisher.event(at(4, "2026-11-20T03:00:01Z").into());
    for (query, expected) in [
        ("since=2026-11-20T03:00:00Z", vec![2, 3, 4]),
        ("until=2026-11-20T03:00:00Z", vec![1]),
        ("since=2026-11-20T03:00:00Z&until=2026-11-20T03:00:01Z", vec![2, 3]),
        ("since=2026-11-20T03:00:00.0000001Z", vec![3, 4]),
        ("since=2026-11-20T04:00:00%2B01:00&limit=2", vec![3, 4]),
        ("since=2026-11-20T03:00:00Z&after=0&limit=1", vec![2]),
        ("since=2026-11-20T03:00:02Z", vec![]),
        ("since=2026-11-20T03:00:01Z&until=2026-11-20T03:00:01Z", vec![]),
    ] {
        assert_eq!(events(&daemon, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn an_event_can_be_asked_for_by_the_time_it_was_shown_with() {
    let daemon = Daemon::new();
    daemon.publisher.event(at(1, "2026-11-20T03:00:00.123456789Z").into());
    let shown = page(&daemon, "").await.events[0].time.clone();
    assert_eq!(shown, "2026-11-20T03:00:00.123456Z");
    assert_eq!(events(&daemon, &format!("since={shown}")).await, [1]);
    assert_eq!(events(&daemon, &format!("until={shown}")).await, [0; 0]);
}

#[tokio::test]
async fn all_that_is_kept_can_be_paged_through_in_both_directions() {
    let daemon = Daemon::new();
    daemon.publish((1..=500).filter(|id| *id != 250));
    daemon.publisher.event(refusal(501).into());
    let newest = page(&daemon, "limit=1").await;
    assert_eq!(
        (newest.oldest, newest.newest, newest.next, newest.previous),
        (Some(1), Some(501), 501, Some(501))
    );
    for filter in ["", "&cause=unread_data", "&cause=refused"] {
        let mut forwards = Vec::new();
        let mut next = 0;
        loop {
            let page = page(&daemon, &format!("limit=70&after={next}{filter}")).await;
            forwards.extend(page.events.iter().map(|event| event.id));
            if page.next == next {
                break;
            }
            next = page.next;
        }
        assert_eq!(next, 501, "{filter}: everything was looked at");
        let mut backwards = Vec::new();
        let mut before = String::new();
        loop {
            let page = page(&daemon, &format!("limit=70{before}{filter}")).await;
            backwards.splice(0..0, page.events.iter().map(|event| event.id));
            let Some(previous) = page.previous else { break };
            before = format!("&before={previous}");
        }
        assert_eq!(forwards, backwards, "{filter}");
        let expected = if filter.ends_with("refused") { 1 } else { 500 - usize::from(!filter.is_empty()) };
        assert_eq!(forwards.len(), expected, "{filter}");
    }
    assert_eq!(events(&daemon, "after=10&before=14").await, [11, 12, 13]);
    assert_eq!(events(&daemon, "after=10&before=5").await, [0; 0]);
    let between = page(&daemon, "before=100&limit=10").await;
    assert_eq!((between.next, between.previous), (99, Some(90)));
}

#[tokio::test]
async fn a_client_sees_what_it_missed_and_that_the_daemon_was_restarted() {
    let daemon = Daemon::new();
    let empty = page(&daemon, "").await;
    assert_eq!((empty.next, empty.oldest, empty.oldest_time, empty.newest), (0, None, None, None));
    assert_eq!(empty.started, "2026-11-20T02:00:00.000000Z");
    daemon.publish(1..=HISTORY as u64 + 50);
    let late = page(&daemon, "after=43&limit=1").await;
    assert_eq!((late.missed, late.events[0].id, late.next), (7, 51, 51));
    assert_eq!(late.oldest_time.as_deref(), Some("2026-11-20T03:00:00.123456Z"));
    assert_eq!(page(&daemon, "after=50&limit=1").await.missed, 0);
    assert_eq!(page(&daemon, "after=0&limit=1").await.missed, 0, "what is kept is all that was asked for");
    let restarted = page(&daemon, "after=20000&limit=1").await;
    assert_eq!((restarted.events[0].id, restarted.next), (51, 51));
}

#[tokio::test]
async fn idle_closes_come_only_when_asked_for() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    let close = Told { id: 2, event: Event::of_kind(Kind::IdleCloseReceived), verdict: None, burst: None };
    daemon.publisher.event(close.into());
    assert_eq!(events(&daemon, "").await, [1]);
    assert_eq!(events(&daemon, "idle_closes=true").await, [1, 2]);
    assert_eq!(events(&daemon, "kind=idle_close_received").await, [2]);
    assert_eq!(page(&daemon, "").await.next, 2, "it was looked at");
}
