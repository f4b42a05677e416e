//! What the command-line clients print, and what they say when the daemon does not answer.

use std::io;

use monitor::cause::Cause;
use monitor::command::client::{ClientError, Server, ServerArgs};
use monitor::command::events::{EventOutput, EventPrinter, Reader};
use monitor::command::{listeners, peers};
use monitor::event::{Event, Told};
use monitor::http::convert::listeners::listeners_view;
use monitor::http::convert::{event_view, peer_view};
use monitor::http::filter::EventFilter;
use monitor::http::filter::listeners::ListenerFilter;
use monitor::publish::Known;
use monitor::terminal::{Medium, Output};
use monitor::view::listeners::ListenersView;
use monitor::view::{CountsView, EventView, EventsView, PeersView};
use monitor_common::counters::Kind;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::support::{
    Daemon, finally, hooked_snapshot, overflow, owner, provisional, refusal, rejection, snapshot, told,
};

fn print(output: EventOutput, filter: EventFilter, events: &[Told]) -> String {
    let mut out = Vec::new();
    let mut printer = EventPrinter::new(output, filter, &mut out);
    for event in events {
        assert_eq!(printer.print_told(event).unwrap(), Reader::Listens);
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn events_stand_in_aligned_columns() {
    let text = print(EventOutput::Table, EventFilter::default(), &[told(1), refusal(2)]);
    let expected = "\
TIME                      DIR       PEER              PORT  ROLE       IDLE  CAUSE          REASON                IN/OUT  SEGS  OWNER
2026-11-20T03:00:00.123Z  sent      10.0.0.1           443  server    250ms  unread_data    TCP_ABORT_ON_CLOSE  120/4096   1/2  nginx[42]
1970-01-01T00:00:00.000Z  sent      127.0.0.1            1  -             -  refused        -                          -     -  -
";
    assert_eq!(text, expected);
}

#[test]
fn a_compact_line_fits_a_narrow_terminal_and_its_fields_can_be_counted() {
    let text = print(EventOutput::Compact, EventFilter::default(), &[told(1), refusal(2), provisional(3)]);
    let expected = "\
2026-11-20T03:00:00.123Z -> 10.0.0.1:443         server unread_data     250ms nginx[42]
1970-01-01T00:00:00.000Z -> 127.0.0.1:1          -      refused             - -
1970-01-01T00:00:00.000Z <- [2001:db8::7]:8443   client idle_reuse?   >=1m00s -
";
    assert_eq!(text, expected);
    assert!(text.lines().all(|line| line.split_whitespace().count() == 7 && line.len() <= 100));
}

#[test]
fn an_overflow_and_a_rejection_tell_whom_they_were_for_and_what_they_met() {
    let events = [overflow(1), rejection(2)];
    let table = print(EventOutput::Table, EventFilter::default(), &events);
    for (row, parts) in table.lines().skip(1).zip([
        ["received  10.0.0.9 ", "  8080  ", "listen_overflow", "10.0.0.5:8080 syn queue 129/128"],
        ["sent      2001:db8::9 ", "  8080  ", "netfilter_reject", "[2001:db8::5]:8080 [S]"],
    ]) {
        assert!(parts.iter().all(|part| row.contains(part)), "{parts:?} are not in {row}");
    }
    let compact = "\
2026-11-20T03:00:00.000Z <- 10.0.0.9:41234       -      listen_overflow       - 10.0.0.5:8080 syn queue 129/128
1970-01-01T00:00:00.000Z -> [2001:db8::9]:41234  -      netfilter_reject       - [2001:db8::5]:8080 [S]
";
    assert_eq!(print(EventOutput::Compact, EventFilter::default(), &events), compact);
    let only = EventFilter { cause: Some(Cause::ListenOverflow), ..EventFilter::default() };
    let json = print(EventOutput::Json, only, &events);
    let told: EventView = serde_json::from_str(&json).unwrap();
    assert_eq!(told, event_view(&overflow(1)));
}

#[test]
fn an_idle_close_is_no_cause_and_tells_who_closed() {
    let filter = EventFilter { idle_closes: true, ..EventFilter::default() };
    for (kind, shown) in
        [(Kind::IdleCloseSent, "idle_close(local)"), (Kind::IdleCloseReceived, "idle_close(peer)")]
    {
        let told = Told { id: 1, event: Event::of_kind(kind), verdict: None, burst: None };
        assert!(print(EventOutput::Table, filter, std::slice::from_ref(&told)).contains(shown));
        assert!(print(EventOutput::Compact, filter, std::slice::from_ref(&told)).contains(shown));
        assert_eq!(print(EventOutput::Table, EventFilter::default(), &[told]), "");
    }
}

/// What is printed for an event with a provisional verdict, and when it is final.
fn print_both(output: EventOutput, filter: EventFilter, cause: Cause) -> String {
    let mut out = Vec::new();
    let mut printer = EventPrinter::new(output, filter, &mut out);
    printer.print_told(&provisional(7)).unwrap();
    printer.print_verdict(&event_view(&finally(7, cause))).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_final_verdict_is_told_to_programs_and_to_people_only_if_the_event_is_new_to_them() {
    let all = EventFilter::default();
    let one = EventFilter { cause: Some(Cause::ProcessExit), ..all };
    let was = EventFilter { cause: Some(Cause::IdleReuse), ..all };
    for output in [EventOutput::Table, EventOutput::Compact] {
        assert_eq!(print_both(output, all, Cause::ProcessExit).matches("2001:db8::7").count(), 1);
        assert!(print_both(output, all, Cause::ProcessExit).contains("idle_reuse?"));
        assert!(print_both(output, one, Cause::ProcessExit).contains("process_exit "));
        assert_eq!(print_both(output, one, Cause::LateData), "");
        assert_eq!(print_both(output, was, Cause::ProcessExit).matches("2001:db8::7").count(), 1);
    }
    for (filter, finals) in [(all, vec![false, true]), (one, vec![true]), (was, vec![false, true])] {
        let text = print_both(EventOutput::Json, filter, Cause::ProcessExit);
        let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let told: Vec<(u64, bool)> = events.map(|event: EventView| (event.id, event.is_final)).collect();
        assert_eq!(told, finals.into_iter().map(|is_final| (7, is_final)).collect::<Vec<_>>());
    }
}

#[test]
fn json_is_one_event_per_line_and_reads_back() {
    let text = print(EventOutput::Json, EventFilter::default(), &[told(1), refusal(2)]);
    let events: Vec<EventView> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events, [event_view(&told(1)), event_view(&refusal(2))]);
}

#[test]
fn only_events_of_the_filter_are_printed() {
    let filter = EventFilter { kind: Some(Kind::RefusedSent), ..EventFilter::default() };
    let text = print(EventOutput::Json, filter, &[told(1), refusal(2), told(3)]);
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_hostile_process_name_cannot_act_on_the_terminal() {
    let hostile = "\x1b]0;x\x07\u{9b}2J\n\u{202e}";
    let event = Event { owner: Some(owner(hostile)), ..told(1).event };
    let told = Told { event, ..told(1) };
    let table = print(EventOutput::Table, EventFilter::default(), std::slice::from_ref(&told));
    assert!(table.ends_with("?]0;x??2J??[42]\n"), "{table:?}");
    let json = print(EventOutput::Json, EventFilter::default(), std::slice::from_ref(&told));
    assert!(json.trim_end().chars().all(|character| !monitor::terminal::is_hostile(character)), "{json:?}");
    let back: EventView = serde_json::from_str(&json).unwrap();
    assert_eq!(back.owner.unwrap().comm, hostile);
}

#[test]
fn a_reader_that_has_left_is_no_failure() {
    struct Closed;
    impl io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut printer = EventPrinter::new(EventOutput::Json, EventFilter::default(), Closed);
    assert_eq!(printer.print_told(&told(1)).unwrap(), Reader::Left);
}

#[test]
fn peers_stand_in_aligned_columns() {
    let snapshot = snapshot();
    let answer = PeersView {
        time: String::new(),
        peers: snapshot.peers.iter().flatten().map(|row| peer_view(row, None)).collect(),
        matching: snapshot.peers.iter().flatten().count(),
        total: CountsView::default(),
        open: None,
        ports: Vec::new(),
        namespaces: Vec::new(),
    };
    let mut out = Vec::new();
    peers::print(&answer, Output::Table, Medium::PLAIN, &mut out).unwrap();
    let expected = "\
PEER          PORT  ROLE    OPENED  CLOSED  RESET  RATIO  RECV  SENT  REFUSED  ABORTED  TOP CAUSE
10.0.0.1      8080  client   10000    9000     10  0.11%    20    11        1       10  other
2001:db8::7    443  server    3000    2700      3  0.11%     6     4        0        3  other
192.0.2.0/24   443  server    5000    4500      5  0.11%    10     6        0        5  other
other            -  server    1000     900      1  0.11%     2     2        0        1  other
retired          -  client    2000    1800      2  0.11%     4     3        1        2  other
";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

fn listeners_answer(port: Option<u16>, limit: usize) -> ListenersView {
    listeners_view(&snapshot(), &ListenerFilter { port }, limit, Known::default())
}

fn print_listeners(answer: &ListenersView, output: Output, colour: bool) -> String {
    let mut out = Vec::new();
    listeners::print(answer, output, Medium { colour, width: None }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn listeners_stand_in_aligned_columns_with_the_rest_below() {
    let answer = listeners_answer(None, 10);
    let expected = "\
LISTENER       BACKLOG  LIMIT  FULL  DROPS  UID  INODE
[::]%4:443         129    128  100%     40   33    503
10.0.0.9:8443        3      4   60%      0   33    505
0.0.0.0:80           0    511    0%      2   33    501
0.0.0.0:80           3    511    0%      0   33    502
10.0.0.9:22          0    128    0%      0   33    504
43 listen overflows and 47 listen drops in 3 network namespaces; 13 drops by sockets closed since; \
conntrack 900 of 1024, 3 drops; 1 orphan socket; 12 in TIME_WAIT
";
    assert_eq!(print_listeners(&answer, Output::Table, false), expected);
    let json = print_listeners(&answer, Output::Json, false);
    assert_eq!(serde_json::from_str::<ListenersView>(&json).unwrap(), answer);
    assert_eq!(listeners::message(&answer, &ListenerFilter::default()), None);
}

#[test]
fn overflows_by_stage_have_a_column_where_they_are_counted_and_closed_and_far_listeners_a_row() {
    let answer = listeners_view(&hooked_snapshot(), &ListenerFilter::default(), 3, Known::default());
    let expected = "\
LISTENER              BACKLOG  LIMIT  FULL  OVERFLOWS(SYN/ACK)  DROPS  UID  INODE
[::]%4:443                129    128  100%                30/4     40   33    503
10.0.0.9:8443               3      4   60%                 0/0      0   33    505
0.0.0.0:80                  0    511    0%                 0/0      2   33    501
0.0.0.0:80 (netns 2)        -      -     -                 4/0      -    -      -
10.0.0.9:25 (closed)        -      -     -                 2/1      -    -      -
43 listen overflows (36 at the SYN, 5 at the last ACK, 2 elsewhere) and 47 listen drops in 3 network namespaces; \
13 drops by sockets closed since; conntrack 900 of 1024, 3 drops, 7 without a place; 1 orphan socket; 12 in TIME_WAIT
";
    assert_eq!(print_listeners(&answer, Output::Table, false), expected);
    let json = print_listeners(&answer, Output::Json, false);
    assert_eq!(serde_json::from_str::<ListenersView>(&json).unwrap(), answer);
}

#[test]
fn a_full_queue_is_red_on_a_terminal_and_a_filling_one_yellow() {
    let text = print_listeners(&listeners_answer(None, 10), Output::Table, true);
    assert!(text.contains("\x1b[31m129\x1b[0m") && text.contains("\x1b[31m100%\x1b[0m"), "{text:?}");
    assert!(text.contains("\x1b[33m60%\x1b[0m") && !text.contains("m511"), "{text:?}");
}

#[test]
fn an_answer_without_listeners_says_why() {
    let port = |port| ListenerFilter { port };
    let message = |answer: &ListenersView, filter| listeners::message(answer, &filter).unwrap();
    let none = listeners_answer(Some(81), 10);
    assert!(message(&none, port(Some(81))).contains("port 81"));
    let more = listeners_answer(None, 2);
    assert!(message(&more, port(None)).starts_with("2 of 5"));
    let unknown = ListenersView::default();
    assert!(message(&unknown, port(None)).contains("reset-monitor check"));
    assert_eq!(print_listeners(&unknown, Output::Table, false), "");
}

/// A daemon on loopback, and a client for it.
async fn serve(daemon: Daemon) -> (Server, watch::Sender<bool>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = client(&format!("http://{}", listener.local_addr().unwrap()));
    let mut task = JoinSet::new();
    task.spawn(monitor::http::server::serve(listener, daemon.router, daemon.shutdown.subscribe()));
    (server, daemon.shutdown, task)
}

fn client(url: &str) -> Server {
    Server::new(&ServerArgs { server: url.to_owned() }).unwrap()
}

#[tokio::test]
async fn a_client_reads_what_the_daemon_writes() {
    let daemon = Daemon::new();
    daemon.publish(1..=3);
    let (server, _shutdown, _task) = serve(daemon).await;
    let past: EventsView = server.get("/api/v1/events?limit=2").await.unwrap();
    assert_eq!(past.events, [event_view(&told(2)), event_view(&told(3))]);

    let mut stream = server.stream("/api/v1/events/stream?after=2").await.unwrap();
    let message = stream.next().await.unwrap().unwrap();
    assert_eq!(message.event, "reset");
    assert_eq!(serde_json::from_str::<EventView>(&message.data).unwrap(), event_view(&told(3)));
}

#[tokio::test]
async fn a_stream_ends_for_its_client_when_the_daemon_stops() {
    let (server, shutdown, _task) = serve(Daemon::new()).await;
    let mut stream = server.stream("/api/v1/events/stream").await.unwrap();
    shutdown.send_replace(true);
    assert_eq!(stream.next().await.unwrap(), None);
}

#[tokio::test]
async fn a_refusal_repeats_the_daemons_own_words() {
    let (server, _shutdown, _task) = serve(Daemon::new()).await;
    let error = server.get::<EventsView>("/api/v1/events?limit=0").await.unwrap_err();
    assert!(matches!(error, ClientError::Refused { .. }));
    assert!(error.to_string().contains("`limit`"), "{error}");
}

#[tokio::test]
async fn a_daemon_that_is_not_there_gives_one_line_that_says_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&url).get::<EventsView>("/api/v1/events").await.unwrap_err().to_string();
    for part in [url.as_str(), "onnection refused", "is it running?", "reset-monitor run", "--server"] {
        assert!(error.contains(part), "{part} is not in {error}");
    }
    assert!(!error.contains('\n'));
}
