//! The event stream over the router: replay, filters, readers that fall behind, and its end.

use axum::body::Body;
use axum::http::{Method, StatusCode};
use http_body_util::BodyExt;
use monitor::cause::Cause;
use monitor::publish::history::HISTORY;
use monitor::view::{EventView, LaggedView};
use tower::ServiceExt;

use crate::document::check_message;
use crate::support::{Daemon, finally, overflow, provisional, refusal, rejection, request};

/// One message of a stream.
#[derive(Debug, PartialEq, Eq)]
enum Message {
    Reset(u64),
    Overflow(u64),
    Verdict(u64, Cause),
    Lagged(u64),
}

struct Stream(Body);

impl Stream {
    async fn open(daemon: &Daemon, query: &str, last_event_id: Option<&str>) -> Self {
        let mut request = request(Method::GET, &format!("/api/v1/events/stream?{query}"));
        if let Some(id) = last_event_id {
            request = request.header("last-event-id", id);
        }
        let answer = daemon.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self(answer.into_body())
    }

    /// The next message; `None` at the end.
    async fn next(&mut self) -> Option<Message> {
        loop {
            let frame = self.0.frame().await?.unwrap().into_data().unwrap();
            let text = std::str::from_utf8(&frame).unwrap();
            if text != ":\n\n" {
                return Some(parse(text));
            }
        }
    }

    async fn take(&mut self, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        while messages.len() < count {
            messages.push(self.next().await.unwrap());
        }
        messages
    }
}

/// Strict about the form: `id` for events only, one line of data, an empty line.
fn parse(text: &str) -> Message {
    check_message(text);
    if let Some(data) = text.strip_prefix("event: verdict\ndata: ") {
        let event: EventView = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        assert!(event.is_final);
        return Message::Verdict(event.id, Cause::from_name(&event.cause.unwrap()).unwrap());
    }
    if let Some(data) = text.strip_prefix("event: lagged\ndata: ") {
        let LaggedView { missed } = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
        return Message::Lagged(missed);
    }
    let (id, rest) = text.strip_prefix("id: ").unwrap().split_once("\nevent: ").unwrap();
    let (name, rest) = rest.split_once("\ndata: ").unwrap();
    let data = rest.strip_suffix("\n\n").unwrap();
    assert!(!data.contains('\n'));
    let event: EventView = serde_json::from_str(data).unwrap();
    assert_eq!(event.id.to_string(), id);
    match name {
        "reset" => Message::Reset(event.id),
        "listen_overflow" => Message::Overflow(event.id),
        other => panic!("no message is called {other}"),
    }
}

fn resets(ids: impl IntoIterator<Item = u64>) -> Vec<Message> {
    ids.into_iter().map(Message::Reset).collect()
}

#[tokio::test]
async fn a_stream_begins_with_what_happens_next() {
    let daemon = Daemon::new();
    daemon.publish(1..=5);
    let mut stream = Stream::open(&daemon, "", None).await;
    daemon.publish(6..=7);
    assert_eq!(stream.take(2).await, resets(6..=7));
}

#[tokio::test]
async fn replay_joins_the_live_events_without_gap_or_repetition() {
    let daemon = Daemon::new();
    daemon.publish(1..=5);
    let mut stream = Stream::open(&daemon, "after=2", None).await;
    daemon.publish(6..=6);
    assert_eq!(stream.take(4).await, resets(3..=6));
    daemon.publish(7..=8);
    assert_eq!(stream.take(2).await, resets(7..=8));
}

#[tokio::test]
async fn a_browser_that_reconnects_goes_on_where_it_was() {
    let daemon = Daemon::new();
    daemon.publish(1..=5);
    let mut stream = Stream::open(&daemon, "after=1", Some("4")).await;
    assert_eq!(stream.take(1).await, resets([5]));
}

#[tokio::test]
async fn an_id_from_before_a_restart_replays_all_there_is() {
    let daemon = Daemon::new();
    daemon.publish(1..=3);
    let mut stream = Stream::open(&daemon, "", Some("5000")).await;
    assert_eq!(stream.take(3).await, resets(1..=3));
}

#[tokio::test]
async fn a_stream_is_filtered_like_the_list() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    daemon.publisher.event(refusal(2).into());
    let mut stream = Stream::open(&daemon, "after=0&kind=refused_sent", None).await;
    daemon.publish([3]);
    daemon.publisher.event(refusal(4).into());
    assert_eq!(stream.take(2).await, resets([2, 4]));
}

#[tokio::test]
async fn a_reader_behind_the_live_queue_misses_nothing_that_is_still_kept() {
    let daemon = Daemon::new();
    let mut stream = Stream::open(&daemon, "", None).await;
    let many = HISTORY as u64;
    daemon.publish(1..=many);
    assert_eq!(stream.take(HISTORY).await, resets(1..=many));
}

#[tokio::test]
async fn a_reader_behind_the_history_is_told_how_many_it_missed() {
    let daemon = Daemon::new();
    let mut stream = Stream::open(&daemon, "", None).await;
    let many = HISTORY as u64;
    daemon.publish(1..=many + 50);
    assert_eq!(stream.next().await, Some(Message::Lagged(50)));
    assert_eq!(stream.take(HISTORY).await, resets(51..=many + 50));

    let mut resumed = Stream::open(&daemon, "after=43", None).await;
    assert_eq!(resumed.next().await, Some(Message::Lagged(7)));
    assert_eq!(resumed.next().await, Some(Message::Reset(51)));

    let mut all = Stream::open(&daemon, "after=0", None).await;
    assert_eq!(all.next().await, Some(Message::Reset(51)), "what is kept is all that was asked for");
}

#[tokio::test]
async fn a_final_verdict_follows_the_event_it_is_about() {
    let daemon = Daemon::new();
    daemon.publisher.event(provisional(1).into());
    let mut stream = Stream::open(&daemon, "", None).await;
    daemon.publisher.event(provisional(2).into());
    assert_eq!(stream.next().await, Some(Message::Reset(2)));
    daemon.publisher.revise(finally(1, Cause::IdleReuse).into());
    daemon.publisher.revise(finally(2, Cause::ProcessExit).into());
    let verdict = Message::Verdict(2, Cause::ProcessExit);
    assert_eq!(stream.next().await, Some(verdict), "this reader was not told of event 1");
    daemon.publisher.event(provisional(3).into());
    daemon.publisher.revise(finally(3, Cause::LateData).into());
    daemon.publish([4]);
    assert_eq!(stream.take(2).await, resets(3..=4), "what was not sent yet is sent as it is now");
}

#[tokio::test]
async fn a_reader_that_comes_back_is_told_the_verdicts_of_meanwhile() {
    let daemon = Daemon::new();
    daemon.publisher.event(provisional(1).into());
    daemon.publisher.event(provisional(2).into());
    daemon.publisher.revise(finally(1, Cause::LateData).into());
    daemon.publish([3]);
    daemon.publisher.revise(finally(2, Cause::ProcessExit).into());
    let mut stream = Stream::open(&daemon, "", Some("3")).await;
    daemon.publish([4]);
    let verdict = Message::Verdict(2, Cause::ProcessExit);
    assert_eq!(
        stream.take(2).await,
        [verdict, Message::Reset(4)],
        "the one on 1 came before 3, which it has"
    );
}

#[tokio::test]
async fn a_verdict_is_for_readers_of_the_old_cause_and_of_the_new_one() {
    let daemon = Daemon::new();
    let mut of_old = Stream::open(&daemon, "cause=idle_reuse", None).await;
    let mut of_new = Stream::open(&daemon, "cause=process_exit", None).await;
    let mut of_none = Stream::open(&daemon, "cause=unread_data", None).await;
    daemon.publisher.event(provisional(1).into());
    assert_eq!(of_old.next().await, Some(Message::Reset(1)));
    daemon.publish([2]);
    // The others have left event 1 out by then.
    assert_eq!(of_none.next().await, Some(Message::Reset(2)));
    daemon.publisher.revise(finally(1, Cause::ProcessExit).into());
    daemon.publish([3]);
    let verdict = Message::Verdict(1, Cause::ProcessExit);
    assert_eq!(of_old.next().await, Some(verdict));
    assert_eq!(of_none.next().await, Some(Message::Reset(3)));
    assert_eq!(of_new.next().await, Some(Message::Reset(1)), "this one had not looked at event 1 before");
    daemon.publisher.event(provisional(4).into());
    daemon.publish([5]);
    assert_eq!(of_old.next().await, Some(Message::Reset(4)));
    let mut of_new = Stream::open(&daemon, "cause=process_exit&after=5", None).await;
    daemon.publisher.revise(finally(4, Cause::ProcessExit).into());
    assert_eq!(of_new.next().await, Some(Message::Verdict(4, Cause::ProcessExit)));
}

#[tokio::test]
async fn a_reader_that_falls_behind_gets_its_verdicts_all_the_same() {
    let daemon = Daemon::new();
    let mut stream = Stream::open(&daemon, "", None).await;
    let (sent, all) = (10, 5_000);
    (1..=sent).for_each(|id| daemon.publisher.event(provisional(id).into()));
    assert_eq!(stream.take(10).await, resets(1..=sent));
    (sent + 1..=all).for_each(|id| daemon.publisher.event(provisional(id).into()));
    (1..=all).for_each(|id| daemon.publisher.revise(finally(id, Cause::LateData).into()));
    let verdicts: Vec<_> = (1..=sent).map(|id| Message::Verdict(id, Cause::LateData)).collect();
    assert_eq!(stream.take(10).await, verdicts);
    assert_eq!(stream.take(4_990).await, resets(sent + 1..=all));
    daemon.publish([all + 1]);
    assert_eq!(stream.next().await, Some(Message::Reset(all + 1)));
}

#[tokio::test]
async fn a_stream_with_much_left_to_send_does_not_hold_up_the_end() {
    let daemon = Daemon::new();
    daemon.publish(1..=5_000);
    let mut stream = Stream::open(&daemon, "after=0", None).await;
    assert_eq!(stream.next().await, Some(Message::Reset(1)));
    daemon.shutdown.send(true).unwrap();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_stream_ends_when_the_daemon_does() {
    let daemon = Daemon::new();
    let mut stream = Stream::open(&daemon, "", None).await;
    daemon.shutdown.send(true).unwrap();
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn streams_are_bounded_and_their_places_come_back() {
    let daemon = Daemon::new();
    let mut open = Vec::new();
    for _ in 0..128 {
        open.push(Stream::open(&daemon, "", None).await);
    }
    let refused = daemon.get("/api/v1/events/stream").await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(daemon.get("/metrics").await.status, StatusCode::OK);
    open.pop();
    Stream::open(&daemon, "", None).await;
}

#[tokio::test]
async fn an_overflow_is_no_reset_and_a_rejection_is_one() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    daemon.publisher.event(overflow(2).into());
    daemon.publisher.event(rejection(3).into());
    let mut all = Stream::open(&daemon, "after=0", None).await;
    let told = [Message::Reset(1), Message::Overflow(2), Message::Reset(3)];
    assert_eq!(all.take(3).await, told);
    let mut some = Stream::open(&daemon, "after=0&cause=listen_overflow&direction=received", None).await;
    assert_eq!(some.take(1).await, [Message::Overflow(2)]);
}
