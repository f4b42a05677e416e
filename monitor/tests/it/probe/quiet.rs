//! What is quiet: a peer that speaks by itself is not, and one that answers nothing is.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use super::{ANSWER, Server, json, run};

/// Reads until it was quiet for so long; none when the other end has gone.
fn quiet(stream: &mut TcpStream, time: Duration) -> Option<()> {
    stream.set_read_timeout(Some(time)).unwrap();
    loop {
        match stream.read(&mut [0; 4_096]) {
            Ok(0) => return None,
            Ok(_) => {}
            Err(_) => return Some(()),
        }
    }
}

#[test]
fn a_server_that_speaks_by_itself_is_never_quiet_and_has_no_advice() {
    let server = Server::start(|mut stream| {
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        stream.write_all(ANSWER).unwrap();
        loop {
            quiet(&mut stream, Duration::from_millis(200))?;
            stream.write_all(b"ping").ok()?;
        }
    });
    let (code, stdout, stderr) = run(&[&server.url(), "-n", "2", "--max-wait", "2s"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("never quiet") && stdout.contains("bytes came"), "{stdout}");
    assert!(!stdout.contains("set  ") && !stdout.contains("open  "), "{stdout}");
    let last = stderr.lines().last().unwrap();
    assert!(last.contains("sent by itself again and again"), "{last}");
    let (code, stdout, stderr) = run(&[&server.url(), "-n", "1", "--idle", "1s"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("never quiet") && stderr.contains("sent by itself"), "{stdout}{stderr}");
}

#[test]
fn one_greeting_leaves_a_quiet_that_counts() {
    let server = Server::start(|mut stream| {
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        stream.write_all(ANSWER).unwrap();
        quiet(&mut stream, Duration::from_millis(200))?;
        stream.write_all(b"news").ok()?;
        quiet(&mut stream, Duration::from_mins(1))?;
        None
    });
    let (code, stdout, stderr) = run(&[&server.url(), "-n", "1", "--max-wait", "2s"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stdout.contains("open") && stderr.contains("kept every connection open"), "{stdout}{stderr}");
}

#[test]
fn what_answers_nothing_is_quiet_from_what_was_said_on() {
    // While an answer is waited for, and when it is not any more.
    for time in [1.5, 3.0] {
        let server =
            Server::start(move |mut stream| quiet(&mut stream, Duration::from_secs_f64(time)).and(None));
        let view = json(&[&server.address.to_string(), "--send", "x", "-n", "1"]);
        let one = &view["connections"][0];
        assert_eq!((&one["result"], &view["timeout"]["resets"]), (&Value::from("fin"), &Value::from(0)));
        let after = one["ended_after_seconds"].as_f64().unwrap();
        // A busy machine makes it longer.
        assert!(after > time - 0.2, "{view}");
    }
    let reset = Server::start(|mut stream| {
        quiet(&mut stream, Duration::from_millis(1_500))?;
        super::by_reset(stream);
        None
    });
    let view = json(&[&reset.address.to_string(), "--send", "x", "-n", "1"]);
    assert_eq!(view["connections"][0]["result"], "reset");
    // Used again, it tells nothing.
    let server = Server::start(|mut stream| quiet(&mut stream, Duration::from_mins(1)).and(None));
    let words = ["--send", "x", "-n", "1", "--idle", "100ms", "--timeout", "300ms"];
    let (code, stdout, stderr) = run(&[&[server.address.to_string().as_str()][..], &words].concat());
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("answers nothing") && !stdout.contains("\nlost "), "{stdout}{stderr}");
}

#[test]
fn what_ends_the_connection_at_once_did_not_understand() {
    let server = Server::start(|mut stream| {
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        None
    });
    let (code, stdout, stderr) = run(&[&server.address.to_string(), "--send", "x", "-n", "1"]);
    assert_eq!(code, Some(1), "{stdout}{stderr}");
    assert!(stderr.contains("does it speak what was sent?"), "{stderr}");
}
