//! Who owns the sockets of events, as readers see it: unknown until there is an answer, and never part of a replay.

use std::sync::Arc;

use monitor::cause::Cause;
use monitor::command::events::{EventOutput, EventPrinter};
use monitor::event::{Event, Told};
use monitor::http::convert::event_view;
use monitor::http::convert::owners::whose;
use monitor::http::filter::EventFilter;
use monitor::owners::{Answer, By};
use monitor::publish::Known;
use monitor::view::explain::ExplainView;
use monitor::view::owners::{CgroupView, ProcessView};
use monitor::view::{EventView, EventsView};

use crate::support::{Daemon, answer, finally, provisional, refusal, told};

/// A received reset on a socket with an inode number and a cgroup.
fn received(id: u64) -> Told {
    let Told { id, event, verdict, burst } = provisional(id);
    Told { id, event: Event { socket_inode: Some(5), cgroup_id: Some(7), ..event }, verdict, burst }
}

async fn only_event(daemon: &Daemon) -> EventView {
    let mut events: EventsView = daemon.get("/api/v1/events").await.json();
    assert_eq!(events.events.len(), 1);
    events.events.remove(0)
}

#[tokio::test]
async fn an_event_names_the_process_and_the_cgroup_once_they_are_found() {
    let (daemon, owners, mut questions) = Daemon::asking();
    daemon.publisher.event(Arc::new(received(1)));
    let question = questions.try_recv().unwrap();
    assert_eq!((question.id, question.socket_inode, question.cgroup_id), (1, Some(5), Some(7)));
    let early = only_event(&daemon).await;
    assert_eq!((&early.process, &early.cgroup), (&None, &None));

    owners.answer([(1, answer("curl", By::File))]);
    let late = only_event(&daemon).await;
    let process = ProcessView {
        pid: 4711,
        comm: "curl".to_owned(),
        started: Some("2026-11-20T02:59:30.25Z".to_owned()),
        by: "file".to_owned(),
    };
    let id = "0123456789abcdef".repeat(4);
    let pod = "1b2c3d4e-0000-4111-8222-333344445555";
    let cgroup = CgroupView {
        path: format!(
            "/kubepods.slice/kubepods-pod{}.slice/crio-{id}.scope/system.slice/web.service",
            pod.replace('-', "_")
        ),
        container_id: Some(id),
        pod_uid: Some(pod.to_owned()),
        pod: None,
        unit: Some("web.service".to_owned()),
    };
    assert_eq!(late, EventView { process: Some(process), cgroup: Some(cgroup), ..early });
}

#[tokio::test]
async fn who_closed_the_connection_is_known_at_once_but_not_since_when_it_runs() {
    let (daemon, owners, mut questions) = Daemon::asking();
    daemon.publisher.event(Arc::new(told(1)));
    assert_eq!(questions.try_recv().unwrap().suspect.unwrap().pid, 42);
    let early = only_event(&daemon).await.process.unwrap();
    assert_eq!((early.pid, &*early.comm, early.started, &*early.by), (42, "nginx", None, "hook"));
    // It had ended when it was looked up.
    owners.answer([(1, Answer::default())]);
    assert_eq!(only_event(&daemon).await.process.unwrap().started, None);
}

#[tokio::test]
async fn nothing_is_asked_about_an_event_without_a_socket() {
    let (daemon, _owners, mut questions) = Daemon::asking();
    daemon.publisher.event(Arc::new(refusal(1)));
    assert!(questions.try_recv().is_err());
}

#[test]
fn a_replay_names_nobody_whom_it_would_have_to_look_up() {
    let view = event_view(&told(1));
    assert_eq!((view.process, view.cgroup), (None, None));
}

#[test]
fn people_see_the_process_else_the_container_else_the_unit() {
    let event = |process: Option<ProcessView>, container: Option<&str>, unit: Option<&str>| {
        let cgroup = CgroupView {
            path: "/x".to_owned(),
            container_id: container.map(str::to_owned),
            pod_uid: None,
            pod: None,
            unit: unit.map(str::to_owned),
        };
        EventView { process, cgroup: Some(cgroup), ..event_view(&received(1)) }
    };
    let process = ProcessView { pid: 7, comm: "curl".to_owned(), started: None, by: "file".to_owned() };
    let id = "0123456789abcdef".repeat(4);
    for (event, text) in [
        (event(Some(process), Some(&id), None), "curl[7]"),
        (event(None, Some(&id), Some("web.service")), "container 0123456789ab"),
        (event(None, None, Some("web.service")), "web.service"),
        (event(None, None, None), "-"),
        (EventView { cgroup: None, ..event(None, None, None) }, "-"),
    ] {
        let mut out = Vec::new();
        EventPrinter::new(EventOutput::Compact, EventFilter::default(), &mut out).print(&event).unwrap();
        let line = String::from_utf8(out).unwrap();
        assert!(line.ends_with(&format!(" {text}\n")), "{text}: {line}");
    }
}

#[tokio::test]
async fn explain_says_whose_sockets_met_the_resets_each_once() {
    let (daemon, owners, _questions) = Daemon::asking();
    let of_known_peer = |id| {
        let mut told = received(id);
        (told.event.remote, told.event.netns) = ("10.0.0.1:8080".parse().unwrap(), 1);
        told.verdict = finally(id, Cause::Other).verdict;
        Arc::new(told)
    };
    let told: Vec<_> = (1..=3).map(of_known_peer).collect();
    owners.answer([(1, answer("curl", By::File)), (3, answer("curl", By::File))]);
    for told in &told {
        daemon.publisher.event(Arc::clone(told));
    }
    let explained: ExplainView = daemon.get("/api/v1/explain?peer=10.0.0.1&port=8080").await.json();
    let mut here = explained.diagnoses[0].evidence.iter().map(|cause| cause.here.clone());
    assert!(here.any(|here| here == ["curl[4711]"]), "{explained:?}");
    owners.answer([(2, answer("wget", By::File))]);
    assert_eq!(
        whose(&told, &[1, 2, 3, 9], Known { owners: Some(&owners), ..Known::default() }),
        ["curl[4711]", "wget[4711]"]
    );
    assert_eq!(whose(&told, &[1], Known::default()), [""; 0]);
}
