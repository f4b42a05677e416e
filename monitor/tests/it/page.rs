//! The page at `/`.

use std::sync::Arc;

use monitor::event::Event;
use monitor::event::Told;
use monitor::snapshot::Snapshot;

use crate::support::{Daemon, hooked_snapshot, overflow, owner, signals, snapshot, told};

#[tokio::test]
async fn the_page_shows_health_peers_ports_and_events() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    let page = daemon.get("/").await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    for shown in [
        "0.1.0 on kernel 6.18.1-test, up 1 h 0 min",
        "1 work, 0 degraded, 1 missing",
        "use 6.1 or newer",
        "<td>10.0.0.1</td><td>8080</td><td>client</td><td>20</td><td>11</td><td>1</td><td>9000</td><td>10</td><td>0.11%</td><td>other</td>",
        "<td>8080</td><td>1</td><td>2</td><td>3</td>",
        "<td>unread_data</td><td>TCP_ABORT_ON_CLOSE</td><td>nginx[42]</td>",
        "href=\"/metrics\"",
        "http-equiv=\"refresh\"",
    ] {
        assert!(page.text.contains(shown), "{shown} is not in {}", page.text);
    }
}

#[tokio::test]
async fn the_page_shows_full_queues_and_rejections_where_they_are_counted() {
    let daemon = Daemon::with(hooked_snapshot(), signals());
    daemon.publisher.event(Arc::new(overflow(1)));
    let page = daemon.get("/").await.text;
    for shown in [
        "<td>[::]:443</td><td>1</td><td>30</td><td>4</td>",
        "<td>listen_overflow</td><td></td><td>10.0.0.5:8080 syn queue 129/128</td>",
        "counted differently: 1; overflows: 1.",
        "<td>8080</td><td>1</td><td>2</td><td>3</td><td>4</td>",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
    let unhooked = Daemon::new().get("/").await.text;
    assert!(
        !unhooked.contains("accept queue") && unhooked.contains("<td>3</td><td>unknown</td>"),
        "{unhooked}"
    );
}

#[tokio::test]
async fn a_hostile_process_name_is_text() {
    let daemon = Daemon::new();
    let hostile = "<img src=x onerror=alert(1)>\"'&";
    let event = Event { owner: Some(owner(hostile)), ..told(1).event };
    daemon.publisher.event(Arc::new(Told { event, ..told(1) }));
    let page = daemon.get("/").await.text;
    assert!(page.contains("&lt;img src=x onerror=alert(1)&gt;&quot;&#39;&amp;[42]"), "{page}");
    assert!(!page.contains("<img"));
}

#[tokio::test]
async fn the_page_has_no_script_and_no_style_of_its_own() {
    let daemon = Daemon::new();
    daemon.publish([1]);
    let page = daemon.get("/").await;
    for inline in ["<script", "<style", "style=", "javascript:", " onclick"] {
        assert!(!page.text.contains(inline), "{inline}");
    }
    assert_eq!(daemon.get("/assets/page.css").await.header("content-type"), "text/css; charset=utf-8");
    assert_eq!(daemon.get("/assets/icon.svg").await.header("content-type"), "image/svg+xml");
}

#[tokio::test]
async fn an_empty_page_says_what_to_try() {
    let empty = Snapshot { peers: Some(Vec::new()), series: Vec::new(), port_rows: Vec::new(), ..snapshot() };
    let page = Daemon::with(empty, signals()).get("/").await.text;
    assert!(page.contains("curl http://127.0.0.1:1"), "{page}");
    assert!(page.contains("reset-monitor events -f"));
}
