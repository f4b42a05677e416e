//! Who has seen enough: Ctrl-C, and a reader that goes away.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Output, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

use monitor::clock;
use rustix::process::{Pid, Signal, kill_process};

use super::{ANSWER, Server, probe};

/// A probe that runs.
struct Running(Child);

impl Running {
    fn start(words: &[&str]) -> Self {
        Self(probe(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    fn interrupt(self) -> Output {
        let pid = Pid::from_raw(self.0.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        self.0.wait_with_output().unwrap()
    }
}

fn line(stdout: &mut ChildStdout) -> Vec<u8> {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while byte != *b"\n" {
        stdout.read_exact(&mut byte).unwrap();
        seen.extend(byte);
    }
    seen
}

/// Answers a request.
fn answer(stream: &mut TcpStream) -> Option<()> {
    stream.read(&mut [0; 4_096]).ok().filter(|bytes| *bytes > 0)?;
    stream.write_all(ANSWER).ok()
}

#[test]
fn ctrl_c_tells_what_was_learnt_so_far() {
    // The first connection is ended at once, the others never.
    let (tell, ended) = channel();
    let first = Arc::new(Mutex::new(Some(tell)));
    let server = Server::start(move |mut stream| {
        let mut buffer = [0; 4_096];
        stream.read(&mut buffer).ok().filter(|bytes| *bytes > 0)?;
        stream.write_all(ANSWER).unwrap();
        match first.lock().unwrap().take() {
            Some(tell) => tell.send(()).unwrap(),
            // The end of the probe is the end of the connection.
            None => assert_eq!(stream.read(&mut buffer).unwrap(), 0),
        }
        None
    });
    let mut running = Running::start(&[&server.url(), "-n", "2"]);
    ended.recv().unwrap();
    // Its row is printed when its end was seen; the next connection is open or about to be.
    let mut stdout = running.0.stdout.take().unwrap();
    let mut seen = Vec::new();
    // The titles and its row.
    for _ in 0..2 {
        seen.extend(line(&mut stdout));
    }
    let output = running.interrupt();
    stdout.read_to_end(&mut seen).unwrap();
    let (text, stderr) = (String::from_utf8(seen).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{text}{stderr}");
    assert!(text.contains("FIN") && text.contains("timeout  "), "{text}");
}

#[test]
fn ctrl_c_before_anything_was_learnt_is_no_success() {
    let (tell, asked) = channel();
    let server = Server::start(move |mut stream| {
        let mut buffer = [0; 4_096];
        assert!(stream.read(&mut buffer).unwrap() > 0);
        tell.send(()).unwrap();
        // No answer.
        assert_eq!(stream.read(&mut buffer).unwrap(), 0);
        None
    });
    let running = Running::start(&[&server.url()]);
    asked.recv().unwrap();
    let output = running.interrupt();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("stopped before"));
}

#[test]
fn ctrl_c_is_heard_while_a_second_answer_is_waited_for() {
    let (tell, asked) = channel();
    let server = Server::start(move |mut stream| {
        answer(&mut stream)?;
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        tell.send(()).unwrap();
        // No second answer.
        assert_eq!(stream.read(&mut [0; 4_096]).unwrap(), 0);
        None
    });
    let running = Running::start(&[&server.url(), "-n", "1", "--idle", "100ms", "--timeout", "15s"]);
    asked.recv().unwrap();
    let output = running.interrupt();
    // Waited to its end it would be a use without an answer, which is something learnt.
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8(output.stderr).unwrap().contains("stopped before"));
}

#[test]
fn a_probe_ends_when_its_reader_does() {
    // Two connections are ended at once, the others by the probe.
    let number = Arc::new(Mutex::new(0));
    let server = Server::start(move |mut stream| {
        answer(&mut stream)?;
        let answered = clock::monotonic();
        let mut number = number.lock().unwrap();
        *number += 1;
        let is_kept = *number > 2;
        drop(number);
        is_kept.then(|| {
            assert_eq!(stream.read(&mut [0; 4_096]).unwrap_or(0), 0);
            clock::monotonic().saturating_sub(answered).as_secs_f64()
        })
    });
    let mut running = Running::start(&[&server.url(), "-n", "4", "--max-wait", "20s"]);
    let mut stdout = running.0.stdout.take().unwrap();
    line(&mut stdout);
    drop(stdout);
    let output = running.0.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // None that was begun, or all of them for a short time.
    assert!(server.measured.try_iter().all(|held| held < 15.0));
}
