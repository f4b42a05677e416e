//! What cannot be measured: one line that says what failed, on what, and what to do.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use super::{Server, probe, run};

/// The only line that begins with the program's name.
fn complaint(words: &[&str], code: i32) -> String {
    let (exit, stdout, stderr) = run(words);
    assert_eq!((exit, stdout.as_str()), (Some(code), ""), "{words:?}: {stderr}");
    assert!(!stderr.contains('\x1b'), "{stderr:?}");
    // Everything is said once.
    assert!(!stderr.contains("os error"), "{stderr}");
    let mut lines = stderr.lines().filter(|line| line.starts_with("reset-monitor: "));
    let line = lines.next().unwrap_or_else(|| panic!("{words:?}: {stderr}")).to_owned();
    assert_eq!((lines.next(), stderr.lines().last()), (None, Some(line.as_str())), "{stderr}");
    line
}

/// One that says this to any request.
fn saying(answer: &'static [u8]) -> Server {
    Server::start(move |mut stream| {
        let mut buffer = [0; 4_096];
        stream.read(&mut buffer).ok().filter(|bytes| *bytes > 0)?;
        drop(stream.write_all(answer));
        // Until the probe has gone.
        while stream.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
        None
    })
}

#[test]
fn bad_words_are_bad_usage() {
    for (words, wanted) in [
        (vec![], "TARGET"),
        (vec!["nowhere"], "a port is missing"),
        (vec!["ftp://a/"], "ftp://"),
        (vec!["a:99999"], "1 to 65535"),
        (vec!["::1:80"], "brackets"),
        (vec!["http://a/", "--idle", "soon"], "no time"),
        (vec!["http://a/", "--sweep", "2s..1s"], "a longer one"),
        (vec!["http://a/", "--sweep", "0s..10s", "--step", "1ms"], "10001 connections"),
        (vec!["http://a/", "--idle", "1s", "--sweep", "1s..2s"], "cannot be used with"),
        (vec!["http://a/", "--step", "1s"], "--sweep"),
        (vec!["http://a/", "-n", "1001"], "1..=1000"),
        (vec!["http://a/", "--send", "x"], "--send is for HOST:PORT"),
        (vec!["http://a/", "--tls"], "--tls is for HOST:PORT"),
        (vec!["http://a/", "--insecure"], "--insecure is for TLS"),
        (vec!["https://a/", "--ca", "/does/not/exist"], "/does/not/exist"),
        (vec!["https://a/", "--ca", "/dev/null"], "there is none in it"),
        (vec!["https://10.0.0.256/"], "`10.0.0.256` is no name that a certificate can be for"),
        (vec!["10.0.0.256:1", "--tls", "--insecure"], "no name that a certificate can be for"),
        (vec!["a:1", "--method", "GET"], "--method is for HTTP"),
        (vec!["a:1", "--header", "A: b"], "--header is for HTTP"),
        (vec!["http://a/", "--header", "A"], "no header"),
        (vec!["a:1", "--idle", "1s"], "--send"),
        (vec!["a:1", "--send", r"\q"], "no escape"),
    ] {
        let line = complaint(&words, 2);
        assert!(line.contains(wanted), "{words:?}: {line}");
    }
}

#[test]
fn nobody_there_is_told_with_the_address() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let line = complaint(&[&address], 1);
    assert!(
        line.contains(&address) && line.contains("refused") && line.contains("does anything listen"),
        "{line}"
    );
    let line = complaint(&["http://nonexistent.invalid/"], 1);
    assert!(line.contains("cannot look up nonexistent.invalid"), "{line}");
    let line = complaint(&["http://[fe80::1%25nosuch0]/"], 1);
    assert!(line.contains("no network interface `nosuch0`"), "{line}");
    let line = complaint(&["127.0.0.1:1", "-6"], 1);
    assert!(line.contains("no IPv6 address"), "{line}");
    let line = complaint(&["127.0.0.1:1", "--source", "198.51.100.9"], 1);
    assert!(line.contains("is --source an address of this host"), "{line}");
}

#[test]
fn an_answer_that_cannot_be_used_is_told_and_cannot_act_on_a_terminal() {
    for (answer, wanted) in [
        (&b"\x1b[2J\x9bgarbage\r\n\r\n"[..], "no HTTP/1"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "https://"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "no number"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "keeps no connection"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "HTTP/1.0"),
        (b"HTTP/1.1 200 OK\r\n\r\nendless", "only the connection's end"),
    ] {
        let server = saying(answer);
        let line = complaint(&[&server.url()], 1);
        assert!(line.contains(wanted) && line.contains(&server.address.to_string()), "{line}");
        assert_eq!(line.matches(wanted).count(), 1, "{line}");
    }
    let line = complaint(&[&saying(b"HTTP/1.1 200 OK\r\n").url(), "--timeout", "200ms"], 1);
    assert!(line.contains("no complete answer within 200 ms"), "{line}");
}

#[test]
fn a_connection_that_is_ended_during_its_use_is_no_idle_timeout() {
    let server = Server::start(|mut stream| {
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        None
    });
    let line = complaint(&[&server.url()], 1);
    assert!(line.contains("by a FIN before it had answered"), "{line}");
}

#[test]
fn a_redirect_is_told_and_not_followed() {
    let elsewhere = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    elsewhere.set_nonblocking(true).unwrap();
    let to = elsewhere.local_addr().unwrap();
    let server = Server::start(move |mut stream| {
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        let answer = format!("HTTP/1.1 302 Found\r\nLocation: http://{to}/\x7f\r\nContent-Length: 0\r\n\r\n");
        let answer = answer.replace('\x7f', "\u{9b}");
        stream.write_all(answer.as_bytes()).unwrap();
        None
    });
    let (code, _, stderr) = run(&[&server.url(), "-n", "1"]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains(&format!("points to http://{to}/?, which is not followed")), "{stderr}");
    assert_eq!(elsewhere.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let server = Server::start(|mut stream| {
        assert!(stream.read(&mut [0; 4_096]).unwrap() > 0);
        stream.write_all(super::ANSWER).unwrap();
        None
    });
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = probe(&[&server.url(), "-n", "1"]).stdout(writer).output().unwrap().status;
    assert_eq!(status.code(), Some(0));
}
