//! Questions about sockets of this very process.

use std::net::TcpListener;

use super::*;
use crate::owners::Suspect;

fn question(id: u64) -> Question {
    let monotonic_ns = u64::try_from(clock::monotonic().as_nanos()).unwrap();
    Question { id, monotonic_ns, suspect: None, socket_inode: None, cgroup_id: None }
}

fn listener() -> (TcpListener, u64) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let inode = rustix::fs::fstat(&listener).unwrap().st_ino;
    (listener, inode)
}

fn pid_and_way(answer: &Answer) -> Option<(u32, By)> {
    answer.process.as_ref().map(|(process, by)| (process.pid, *by))
}

#[test]
fn one_search_answers_all_questions_and_what_comes_too_early_waits_for_the_next() {
    let mut finder = Finder::start();
    assert_eq!(finder.due(), None, "nothing is looked for while nobody asks");
    let (_kept, inode) = listener();
    let own = std::process::id();
    let sockets = |ids: &[u64]| {
        ids.iter().map(|id| Question { socket_inode: Some(inode), ..question(*id) }).collect::<Vec<_>>()
    };
    let first = finder.answer(sockets(&[1, 2]));
    assert_eq!(first.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [1, 2]);
    assert!(first.iter().all(|(_, answer)| pid_and_way(answer) == Some((own, By::File))));
    assert_eq!(finder.due(), None);

    finder.searches.pay(clock::monotonic(), Duration::from_mins(1));
    let early = finder.answer(sockets(&[3]));
    assert_eq!(early, [(3, Answer { searching: true, ..Answer::default() })]);
    assert_eq!(finder.due(), Some(finder.searches.next()));
    assert_eq!(finder.answer(Vec::new()), [], "nothing new");
    finder.searches = SearchPace::default();
    let late = finder.answer(Vec::new());
    assert_eq!(
        late.iter().map(|(id, answer)| (*id, pid_and_way(answer))).collect::<Vec<_>>(),
        [(3, Some((own, By::File)))]
    );
    assert_eq!(finder.due(), None);
}

#[test]
fn who_closed_a_socket_is_not_looked_for_and_must_still_be_the_same() {
    let mut finder = Finder::start();
    let comm = std::fs::read_to_string("/proc/self/comm").unwrap().trim_end().to_owned();
    let suspect = Suspect { pid: std::process::id(), tid: 0, comm };
    let other = Suspect { comm: "another".to_owned(), pid: suspect.pid, tid: 0 };
    let asked = [suspect.clone(), other, suspect].map(Some).into_iter().zip(1..);
    let mut asked: Vec<_> = asked.map(|(suspect, id)| Question { suspect, ..question(id) }).collect();
    // Before it was there.
    asked[2].monotonic_ns = 0;
    let answers = finder.answer(asked);
    let ways: Vec<_> = answers.iter().map(|(_, answer)| pid_and_way(answer)).collect();
    assert_eq!(ways, [Some((std::process::id(), By::Hook)), None, None]);
}

#[test]
fn questions_beyond_those_that_may_wait_are_answered_without_a_search_and_counted() {
    let mut finder = Finder::start();
    finder.searches.pay(clock::monotonic(), Duration::from_mins(1));
    let many = OPEN as u64 + 5;
    let asked = (1..=many).map(|id| Question { socket_inode: Some(u64::MAX), ..question(id) }).collect();
    assert_eq!(finder.answer(asked).len() as u64, many);
    assert_eq!((finder.open.len(), finder.unsearched), (OPEN, 5));
}
