//! `probe` as a user meets it: the binary, against servers whose clock is the judge.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use monitor::clock;
use serde_json::Value;
use socket2::SockRef;

mod errors;
mod quiet;
mod stop;
pub(crate) mod tls;

/// What may lie between the numbers of both ends.
const AGREES: f64 = 0.05;
/// On a busy machine one end or the other is woken late; not every time.
const RUNS: usize = 5;

/// A server of a test, on a thread for each connection.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// What each connection's thread measured, in seconds.
    pub(super) measured: Receiver<f64>,
}

impl Server {
    /// Gives each connection to `serve`.
    pub(super) fn start(serve: impl Fn(TcpStream) -> Option<f64> + Clone + Send + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (tell, measured) = channel();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (serve, tell) = (serve.clone(), tell.clone());
                thread::spawn(move || {
                    if let Some(time) = serve(stream.unwrap()) {
                        // The test may have seen enough.
                        let _sent = tell.send(time);
                    }
                });
            }
        });
        Self { address, measured }
    }

    /// Answers each request with this, and ends a connection after so much quiet.
    pub(super) fn answering(answer: &'static [u8], quiet: Duration, end: fn(TcpStream)) -> Self {
        Self::start(move |stream| keep(stream, answer, quiet, end))
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The middle of what so many connections' threads measured.
    fn median(&self, number: usize) -> f64 {
        let mut times: Vec<f64> = self.measured.iter().take(number).collect();
        times.sort_by(f64::total_cmp);
        times[number / 2]
    }
}

/// Serves a connection; the quiet before its end, from the last byte written.
pub(super) fn keep(mut stream: TcpStream, answer: &[u8], quiet: Duration, end: fn(TcpStream)) -> Option<f64> {
    stream.set_read_timeout(Some(quiet)).unwrap();
    let mut buffer = [0; 4_096];
    let mut answered = clock::monotonic();
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return None,
            Ok(_) => {
                stream.write_all(answer).unwrap();
                answered = clock::monotonic();
            }
            Err(_) => break,
        }
    }
    end(stream);
    Some(clock::monotonic().saturating_sub(answered).as_secs_f64())
}

fn by_reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    drop(stream);
}

pub(super) const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nKeep-Alive: timeout=1\r\n\r\nhello";
pub(super) const QUIET: Duration = Duration::from_secs(1);

pub(super) fn probe(words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reset-monitor"));
    command.arg("probe").args(words);
    command
}

/// Exit code, stdout and stderr.
pub(super) fn run(words: &[&str]) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = probe(words).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

pub(super) fn json(words: &[&str]) -> Value {
    let (code, stdout, stderr) = run(&[words, &["-o", "json"]].concat());
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    described(&stdout)
}

/// What it printed, which is as the committed schema says.
fn described(stdout: &str) -> Value {
    let view = serde_json::from_str(stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"));
    let schema: Value = serde_json::from_str(include_str!("../../../docs/schema/probe.schema.json")).unwrap();
    jsonschema::draft202012::validate(&schema, &view).unwrap_or_else(|error| panic!("{error}: {view:#}"));
    view
}

/// Probes until its number agrees with the server's.
fn agrees(server: &Server, words: &[&str], end: &str) {
    let mut seen = Vec::new();
    for _ in 0..RUNS {
        let view = json(&[&[server.url().as_str()], words, &["-n", "3"]].concat());
        let connections = view["connections"].as_array().unwrap();
        assert!(connections.iter().all(|one| one["result"] == end && one["status"] == 200), "{view}");
        assert_eq!(view["timeout"]["samples"], 3);
        let (ours, theirs) = (view["timeout"]["seconds"].as_f64().unwrap(), server.median(3));
        seen.push((ours, theirs));
        if (ours - theirs).abs() <= AGREES {
            return;
        }
    }
    panic!("never within {AGREES} s: {seen:?}");
}

#[test]
fn the_timeout_is_that_of_the_servers_own_clock_when_it_closes() {
    let server = Server::answering(ANSWER, QUIET, drop);
    agrees(&server, &[], "fin");
}

#[test]
fn the_timeout_is_that_of_the_servers_own_clock_when_it_resets() {
    let server = Server::answering(ANSWER, QUIET, by_reset);
    agrees(&server, &["--method", "POST", "-H", "X: y"], "reset");
}

#[test]
fn a_chunked_answer_is_read_before_the_quiet_begins() {
    let chunked: &[u8] =
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n";
    let view = json(&[&Server::answering(chunked, QUIET, drop).url(), "-n", "1"]);
    assert_eq!(
        (&view["connections"][0]["result"], &view["connections"][0]["unasked_bytes"]),
        (&"fin".into(), &0.into())
    );
}

#[test]
fn people_see_each_connection_the_timeout_and_what_the_server_states() {
    let server = Server::answering(ANSWER, Duration::from_secs(3), drop);
    let (code, stdout, stderr) = run(&[&server.url(), "-n", "2"]);
    assert_eq!(code, Some(0), "{stderr}");
    let lines: Vec<_> = stdout.lines().collect();
    assert!(lines[0].starts_with("CONN") && lines[1].contains("200     FIN"), "{stdout}");
    for wanted in
        ["timeout  3.", "of 2 connections", "Keep-Alive: timeout=1: it closes later", "after 2 s at most"]
    {
        assert!(stdout.contains(wanted), "{wanted}: {stdout}");
    }
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(
        stderr.contains("2 connections, held for at most 600.0 s") && !stderr.contains('\x1b'),
        "{stderr}"
    );
}

#[test]
fn a_request_after_the_timeout_meets_a_reset_and_one_before_is_answered() {
    let server = Server::answering(ANSWER, QUIET, drop);
    let view = json(&[&server.url(), "--sweep", "0s..3s", "--step", "1.5s"]);
    let mut results: Vec<_> = view["connections"].as_array().unwrap().iter().collect();
    results.sort_by_key(|one| one["number"].as_u64());
    let of = |field: &str| results.iter().map(|one| one[field].clone()).collect::<Vec<_>>();
    assert_eq!(of("result"), ["answered", "reset", "reset"]);
    assert_eq!(of("ended_by"), [Value::Null, "fin".into(), "fin".into()]);
    assert_eq!((&view["reuse"]["answered"], &view["reuse"]["reset"]), (&1.into(), &2.into()));
    let idle = results[1]["idle_seconds"].as_f64().unwrap();
    assert!(idle >= 1.5 && results[1]["ended_after_seconds"].as_f64().unwrap() < idle, "{view}");
}

#[test]
fn a_server_that_resets_what_crosses_its_close_is_the_race_itself() {
    // It resets when the second request is there, as if it had closed at that very moment.
    let server = Server::start(|mut stream| {
        let mut buffer = [0; 4_096];
        assert!(stream.read(&mut buffer).unwrap() > 0);
        stream.write_all(ANSWER).unwrap();
        assert!(stream.read(&mut buffer).unwrap() > 0);
        by_reset(stream);
        None
    });
    let view = json(&[&server.url(), "--idle", "0.2", "-n", "1"]);
    assert_eq!(
        (&view["connections"][0]["result"], &view["connections"][0]["ended_by"]),
        (&"reset".into(), &Value::Null)
    );
}

#[test]
fn plain_tcp_is_spoken_as_told() {
    let server = Server::start(|mut stream| {
        let mut said = [0; 6];
        stream.read_exact(&mut said).unwrap();
        assert_eq!(&said, b"PING\r\n");
        stream.write_all(b"+PONG\r\n").unwrap();
        keep(stream, b"+PONG\r\n", Duration::from_millis(400), drop)
    });
    let address = server.address.to_string();
    let view = json(&[&address, "--send", r"PING\r\n", "-n", "1"]);
    assert_eq!(
        (&view["connections"][0]["result"], &view["target"]),
        (&"fin".into(), &address.as_str().into())
    );
    let view = json(&[&address, "--send", r"PING\r\n", "-n", "1", "--idle", "100ms"]);
    assert_eq!(view["connections"][0]["result"], "answered");
    // What is said right before the end belongs to it.
    let telling = Server::start(|stream| {
        keep(stream, b"", Duration::from_millis(400), |mut stream| stream.write_all(b"too long").unwrap())
    });
    let view = json(&[&telling.address.to_string(), "-n", "1"]);
    assert_eq!(view["connections"][0]["unasked_bytes"], 8);
    assert!(view["timeout"]["seconds"].as_f64() > Some(0.2), "{view}");
    // Without a word a connection is just held.
    let silent = Server::answering(b"", Duration::from_millis(400), drop);
    let view = json(&[&silent.address.to_string(), "-n", "2"]);
    assert_eq!(view["timeout"]["samples"], 2);
}

#[test]
fn what_never_closes_is_told_in_one_line_and_is_no_success() {
    let server = Server::answering(ANSWER, Duration::from_mins(1), drop);
    let (code, stdout, stderr) = run(&[&server.url(), "-n", "2", "--max-wait", "300ms"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("open     2 connections after 0.3"), "{stdout}");
    let last = stderr.lines().last().unwrap();
    assert!(last.contains("kept every connection open") && last.contains("--max-wait"), "{stderr}");
}
